"""The keys of SASL for clients, the login file, and what is said about them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pyzk.config.ensemble import ensemble_values
from pyzk.config.sasl import QuorumSaslConfig, SaslConfig, default_realm
from pyzk.config.server import Property, ServerConfig, effective_values, parse_config
from pyzk.errors import ConfigError

DIGEST = "org.apache.zookeeper.server.auth.DigestLoginModule"
KERBEROS = "com.sun.security.auth.module.Krb5LoginModule"
USERS = f'Server {{ {DIGEST} required user_bob="bobsecret" user_super="s"; }};'
SERVICE = (
    f'Server {{ {KERBEROS} required useKeyTab=true keyTab="/k" storeKey=true'
    ' principal="zookeeper/host@R"; };'
)
KRB5 = "# realms\n[realms]\n default_realm = NO\n[libdefaults]\n default_realm = R \n[x]\n"


def parse(
    text: str = "", jaas: str | None = USERS, files: Mapping[str, str] | None = None, **own: str
) -> ServerConfig:
    """Parse a zoo.cfg with a login file, and further properties whose dots are underscores."""
    there = {key: value.encode() for key, value in (files or {}).items()}
    properties = [
        Property(name.replace("_", "."), value, f"-D{name}") for name, value in own.items()
    ]
    if jaas is not None:
        there["/jaas"] = jaas.encode()
        name = "java.security.auth.login.config"
        properties.append(Property(name, "/jaas", f"-D{name}"))
    return parse_config(
        f"dataDir=/d\nclientPort=2181\n{text}".encode(), properties, read_file=there.get
    )


def sasl(text: str = "", jaas: str | None = USERS, **files: str) -> SaslConfig:
    config = parse(text, jaas, files)
    assert config.warnings == ()
    assert config.sasl is not None
    return config.sasl


def test_nothing_is_told() -> None:
    assert parse(jaas=None).sasl is None


def test_users() -> None:
    config = sasl()
    assert config.login is not None
    assert config.login.users == {"bob": "bobsecret", "super": "s"}
    assert config == SaslConfig(login=config.login)


def test_all_keys() -> None:
    config = sasl(
        "sasl.serverconfig=Other\nSASLAuthenticationProvider.superPassword=p\nsuperUser=a\n"
        "superUser.1=b\nsuperUser.x=c\nletAnySaslUserDoX=any\nallowSaslFailedClients=true\n"
        "kerberos.removeHostFromPrincipal=true\nkerberos.removeRealmFromPrincipal=true\n"
        "security.auth_to_local=RULE:[1:$1]\nrequireKerberosConfig=true\n",
        USERS.replace("Server", "Other"),
        **{"/etc/krb5.conf": KRB5},
    )
    assert config.login is not None
    assert config == SaslConfig(
        login=config.login,
        super_password="p",
        super_users=("a", "b", "c"),
        any_user="any",
        allows_failed_clients=True,
        removes_host=True,
        removes_realm=True,
        auth_to_local="RULE:[1:$1]",
        default_realm="R",
    )


def test_secrets_are_shown_nowhere() -> None:
    config = parse("SASLAuthenticationProvider.superPassword=hidden\n", USERS)
    assert "hidden" not in repr(config)
    assert "bobsecret" not in repr(config)
    assert ("sasl.serverconfig", "Server") in effective_values(config)


@pytest.mark.parametrize("path", ["/jaas", "=/jaas", "file:/jaas", "file:///jaas", "=file:/jaas"])
def test_a_login_file_may_be_a_url(path: str) -> None:
    name = "java.security.auth.login.config"
    config = parse_config(
        b"dataDir=/d\nclientPort=1\n",
        [Property(name, path, name)],
        read_file={"/jaas": USERS.encode()}.get,
    )
    assert config.sasl is not None
    assert config.sasl.login is not None


@pytest.mark.parametrize(
    ("jaas", "message"),
    [
        ("Server {", "/jaas line 1: expected a login module"),
        ("Server {\n X required; };", "/jaas line 2: the login module X is not known here"),
        (SERVICE.replace("/host", ""), "'zookeeper@R' of the section Server is no service"),
    ],
)
def test_a_wrong_login_file(jaas: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(jaas=jaas)
    assert str(caught.value).startswith("java.security.auth.login.config: ")
    assert message in str(caught.value)


def test_a_login_file_that_is_not_there() -> None:
    name = "java.security.auth.login.config"
    with pytest.raises(ConfigError, match=r"-Djava.*: there is no file /gone"):
        parse(jaas=None, java_security_auth_login_config="/gone")
    empty = parse_config(b"dataDir=/d\nclientPort=1\n", [Property(name, "", name)])
    assert empty.sasl is None


def test_a_login_file_for_others_only() -> None:
    config = parse(jaas="Client { };")
    assert config.sasl == SaslConfig()
    assert config.warnings == ()


def test_a_section_that_is_asked_for_and_not_there() -> None:
    expected = "sasl.serverconfig: /jaas has no such section, so no client can log in with SASL"
    assert parse("sasl.serverconfig=Other").warnings == ((3, expected),)
    expected = (
        "sasl.serverconfig: java.security.auth.login.config is not set, so no client can log in"
        " with SASL"
    )
    assert parse("sasl.serverconfig=Other", jaas=None).warnings == ((3, expected),)


def test_a_provider_without_a_section_to_log_in_at() -> None:
    line = "authProvider.x=org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
    expected = "authProvider.x: /jaas has no section Server, so no client can log in with SASL"
    assert parse(line, jaas="Srver { };").warnings == ((3, expected),)
    expected = (
        "authProvider.x: -Djava.security.auth.login.config is not given, so no client can log in"
        " with SASL"
    )
    assert parse(line, jaas=None).warnings == ((3, expected),)


def test_a_section_in_which_nobody_can_log_in() -> None:
    config = parse(jaas=f"Server {{ {DIGEST} required; }};")
    assert config.warnings[0][1].endswith(
        "the section Server names no user (user_NAME), so nobody can log in"
    )


def test_a_password_of_super_without_that_user() -> None:
    config = parse("SASLAuthenticationProvider.superPassword=p", USERS.replace("super", "eve"))
    assert config.warnings == (
        (
            3,
            "SASLAuthenticationProvider.superPassword: has no effect: the section Server has no"
            " option user_super",
        ),
    )


def test_digest_md5_may_be_refused() -> None:
    with pytest.raises(ConfigError, match=r"sasl.digestMd5.enabled: is false, and the section"):
        parse("sasl.digestMd5.enabled=false")
    config = sasl("sasl.digestMd5.enabled=false", SERVICE)
    assert config.login is not None
    assert config.login.is_kerberos


def test_a_missing_configuration_of_kerberos() -> None:
    with pytest.raises(ConfigError, match=r"requireKerberosConfig: is true, and /etc/krb5.conf"):
        parse("requireKerberosConfig=true")


def test_another_configuration_of_kerberos() -> None:
    files = {"/a": "[libdefaults]\n", "/b": KRB5}
    config = parse("", SERVICE, files, java_security_krb5_conf="/gone:/a:/b")
    assert config.sasl is not None
    assert config.sasl.default_realm == "R"
    assert config.sasl.kerberos_file == "/gone:/a:/b"


def test_the_file_of_kerberos_alone_asks_for_nothing() -> None:
    assert parse(jaas=None, java_security_krb5_conf="/gone").sasl is None


def test_a_realm_outside_its_section_does_not_count() -> None:
    assert default_realm("/x", {"/x": b"[realms]\ndefault_realm=A\n"}.get) == ""
    assert default_realm("", {"": KRB5.encode()}.get) == ""


# --- members ---------------------------------------------------------------------------------

MEMBERS = "initLimit=5\nsyncLimit=5\nserver.1=h1:1:2\nserver.2=h2:1:2\nserver.3=h3:1:2\n"
QUORUM = (
    f'QuorumServer {{ {DIGEST} required user_m="hidden"; }};\n'
    f'QuorumLearner {{ {DIGEST} required username="m" password="hidden"; }};\n'
)
ENABLED = "quorum.auth.enableSasl=true\n"
LEARNERS = "quorum.auth.learnerRequireSasl=true\n"
SERVERS = "quorum.auth.serverRequireSasl=true\n"


def quorum(text: str, jaas: str | None = QUORUM, **own: str) -> QuorumSaslConfig | None:
    config = parse(MEMBERS + text, jaas, {"/d/myid": "1"}, **own)
    assert config.ensemble is not None
    assert "hidden" not in repr(config)
    return config.ensemble.quorum_sasl


def test_members_do_not_log_in_unless_they_are_told_to() -> None:
    assert quorum("") is None
    assert quorum("quorum.auth.enableSasl=false\n", jaas=None) is None


@pytest.mark.parametrize(
    ("text", "learner", "server"),
    [
        (ENABLED, False, False),
        (ENABLED + LEARNERS, True, False),
        (ENABLED + LEARNERS + SERVERS, True, True),
    ],
)
def test_the_three_steps(text: str, learner: bool, server: bool) -> None:
    found = quorum(text)
    assert found is not None
    assert (found.learner_requires, found.server_requires) == (learner, server)
    assert found.server.users == {"m": "hidden"}
    assert (found.learner.user, found.learner.password) == ("m", "hidden")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LEARNERS, "quorum.auth.learnerRequireSasl: needs quorum.auth.enableSasl=true"),
        (SERVERS, "quorum.auth.serverRequireSasl: needs quorum.auth.enableSasl=true"),
        (ENABLED + SERVERS, "serverRequireSasl: needs quorum.auth.learnerRequireSasl=true"),
    ],
)
def test_a_step_cannot_be_left_out(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        quorum(text)


def test_members_with_other_sections_and_kerberos() -> None:
    krb = f'{KERBEROS} required useKeyTab=true keyTab="/k" principal'
    found = quorum(
        ENABLED + "quorum.auth.server.saslLoginContext=S\nquorum.auth.learner.saslLoginContext=L\n"
        "quorum.auth.kerberos.servicePrincipal=zk/_HOST\n",
        f'S {{ {krb}="zk/h1@R"; }}; L {{ {krb}="learner/h1@R"; }};',
        java_security_krb5_conf="/krb",
    )
    assert found is not None
    assert found.is_kerberos
    assert (found.server.section, found.learner.section) == ("S", "L")
    assert found.service_principal == "zk/_HOST"
    assert found.kerberos_file == "/krb"


@pytest.mark.parametrize(
    ("jaas", "message"),
    [
        ("", "enableSasl: /jaas has no section QuorumServer"),
        ("QuorumServer { };", "enableSasl: /jaas has no section QuorumServer"),
        (QUORUM.replace("QuorumLearner", "Q"), "enableSasl: /jaas has no section QuorumLearner"),
        (QUORUM.replace("username", "user"), "the section QuorumLearner has no username"),
        (QUORUM.replace("};\n", "};\n {", 1), "/jaas line 2: expected the name of a section"),
    ],
)
def test_a_login_file_that_lacks_something(jaas: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        quorum(ENABLED, jaas)


def test_a_login_file_of_members_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="there is no file /gone"):
        quorum(ENABLED, None, java_security_auth_login_config="/gone")


def test_members_trust_nobody_who_has_to_log_in() -> None:
    for text, trusts in ((ENABLED + LEARNERS, True), (ENABLED + LEARNERS + SERVERS, False)):
        config = parse(MEMBERS + text, QUORUM, {"/d/myid": "1"})
        assert config.ensemble is not None
        assert config.ensemble.trusts_strangers is trusts


def test_the_values_of_members_are_shown_without_secrets() -> None:
    config = parse(MEMBERS + ENABLED, QUORUM, {"/d/myid": "1"})
    assert config.ensemble is not None
    values = ensemble_values(config.ensemble)
    assert ("quorum.auth.enableSasl", True) in values
    assert "hidden" not in str(values)
