"""What the keys of TLS ask for (operations.md §2.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pyzk.config.cipher_suites import DEFAULT_SUITES, OPENSSL_NAMES
from pyzk.config.ensemble import ensemble_values
from pyzk.config.security_keys import CLIENT_TLS, QUORUM_TLS
from pyzk.config.server import Property, ServerConfig, effective_values, parse_config
from pyzk.config.tls import TlsConfig, usual_values
from pyzk.errors import ConfigError

STORES = "ssl.keyStore.location=/k.jks\nssl.trustStore.location=/t.jks\n"
QUORUM_STORES = STORES.replace("ssl.", "ssl.quorum.")
MEMBERS = "initLimit=5\nsyncLimit=2\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n"


def parse(text: str, *properties: str) -> ServerConfig:
    given = []
    for each in properties:
        name, _, value = each.partition("=")
        given.append(Property(name, value, f"-D{name}"))
    return parse_config(f"dataDir=/d\n{text}".encode(), given, read_file={"/d/myid": b"1"}.get)


def client(text: str, *properties: str) -> TlsConfig:
    found = parse(f"secureClientPort=2281\n{STORES}{text}", *properties).client_tls
    assert found is not None
    return found


def quorum(text: str) -> TlsConfig:
    config = parse(f"clientPort=2181\nsslQuorum=true\n{MEMBERS}{QUORUM_STORES}{text}")
    assert config.ensemble is not None
    assert config.ensemble.quorum_tls is not None
    return config.ensemble.quorum_tls


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return str(caught.value)


def texts(config: ServerConfig) -> list[str]:
    return [text for _, text in config.warnings]


# ---- ports


def test_a_server_may_have_a_secure_port_only() -> None:
    config = parse(f"secureClientPort=2281\nsecureClientPortAddress=::1\n{STORES}")
    assert (config.client_port, config.secure_client_port) == (None, 2281)
    assert config.secure_client_port_address == "::1"
    assert config.warnings == config.notes == ()


def test_a_member_may_have_a_secure_port_only() -> None:
    config = parse(f"secureClientPort=2281\n{STORES}{MEMBERS}")
    assert config.ensemble is not None
    assert (config.client_port, config.ensemble.client_address) == (None, None)
    with_port = parse(f"secureClientPort=2281\n{STORES}{MEMBERS}".replace("a:1:2", "a:1:2;2181"))
    assert with_port.client_port == 2181


def test_both_ports_and_both_on_one() -> None:
    config = parse(
        f"clientPort=2181\nsecureClientPort=2281\nclient.portUnification=true\n"
        f"client.certReload=true\n{STORES}"
    )
    assert (config.client_port, config.secure_client_port) == (2181, 2281)
    assert config.client_port_unification
    assert config.client_cert_reload
    unified = parse(f"clientPort=2181\nclient.portUnification=true\n{STORES}")
    assert unified.client_tls is not None
    assert unified.secure_client_port is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "clientPort: is not set; 2181 is usual, 0 takes any free port"),
        (
            "clientPort=1\nsecureClientPortAddress=::1",
            "line 3: secureClientPortAddress: secureClientPortAddress is set but secureClientPort"
            " is not",
        ),
        (
            f"secureClientPort=2281\nclientPortAddress=::1\n{STORES}",
            "line 3: clientPortAddress: clientPortAddress is set but clientPort is not",
        ),
        (
            f"clientPort=2281\nsecureClientPort=2281\n{STORES}",
            "line 3: secureClientPort: 2281 is the clientPort, too; give another one",
        ),
        ("secureClientPort=65536", "line 2: secureClientPort: '65536' is not an integer from 0 to"),
    ],
)
def test_ports_that_cannot_be(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_two_ports_of_one_number_may_have_two_addresses() -> None:
    config = parse(
        f"clientPort=2281\nclientPortAddress=127.0.0.1\nsecureClientPort=2281\n"
        f"secureClientPortAddress=::1\n{STORES}"
    )
    assert config.secure_client_port == config.client_port
    assert parse(f"clientPort=0\nsecureClientPort=0\n{STORES}").secure_client_port == 0


def test_without_tls_its_keys_are_notes() -> None:
    config = parse("clientPort=2181\nssl.keyStore.location=/k\nssl.clientAuth=none")
    assert config.client_tls is None
    remark = "has no effect without secureClientPort or client.portUnification"
    assert config.notes == (
        (3, f"ssl.keyStore.location: {remark}"),
        (4, f"ssl.clientAuth: {remark}"),
    )


# ---- one set


def test_the_defaults() -> None:
    found = client("")
    assert found == TlsConfig(key_store="/k.jks", trust_store="/t.jks")
    assert found.client_auth == "need"
    assert found.protocols == ("TLSv1.2", "TLSv1.3")
    assert found.ciphers == tuple(OPENSSL_NAMES[name] for name in DEFAULT_SUITES[:12])
    assert found.handshake_detection_timeout_ms == 5000
    assert found.hostname_verification
    assert not found.client_hostname_verification
    assert not found.allow_reverse_dns_lookup
    assert not found.crl
    assert not found.ocsp
    members = quorum("")
    assert members.client_hostname_verification
    assert members.allow_reverse_dns_lookup
    assert members.prefix == "ssl.quorum."


def test_every_key_of_a_set() -> None:
    found = client(
        "ssl.keyStore.password=p1\nssl.keyStore.passwordPath=/p1\nssl.keyStore.type=pem\n"
        "ssl.trustStore.password=p2\nssl.trustStore.passwordPath=/p2\nssl.trustStore.type=PKCS12\n"
        "ssl.clientAuth=WANT\nssl.hostnameVerification=false\nssl.clientHostnameVerification=true\n"
        "ssl.allowReverseDnsLookup=true\nssl.crl=true\nssl.ocsp=true\nssl.handshakeDetectionTimeoutMillis=7\n"
        "ssl.protocol=TLSv1.2\nfips-mode=false\n"
    )
    assert found == TlsConfig(
        key_store="/k.jks",
        key_store_password="p1",
        key_store_password_path="/p1",
        key_store_type="PEM",
        trust_store="/t.jks",
        trust_store_password="p2",
        trust_store_password_path="/p2",
        trust_store_type="PKCS12",
        protocols=("TLSv1.2",),
        client_auth="want",
        hostname_verification=False,
        client_hostname_verification=True,
        allow_reverse_dns_lookup=True,
        crl=True,
        ocsp=True,
        handshake_detection_timeout_ms=7,
        fips_mode=False,
    )


def test_keys_are_also_properties() -> None:
    found = client(
        "",
        "zookeeper.ssl.keyStore.password=geheim",
        "zookeeper.ssl.clientAuth=none",
        "zookeeper.fips-mode=false",
    )
    assert (found.key_store_password, found.client_auth, found.fips_mode) == (
        "geheim",
        "none",
        False,
    )
    assert parse(f"clientPort=1\n{STORES}", "zookeeper.client.portUnification=true").client_tls


def test_an_empty_value_is_none() -> None:
    found = client("ssl.keyStore.type=\nssl.ciphersuites=\nssl.context.supplier.class=\n")
    assert found == client("")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("secureClientPort=1", "ssl.keyStore.location: is not set, and secureClientPort needs it"),
        (
            "clientPort=1\nclient.portUnification=true",
            "ssl.keyStore.location: is not set, and client.portUnification=true needs it",
        ),
        (
            "secureClientPort=1\nssl.keyStore.location=/k",
            "ssl.trustStore.location: is not set, and secureClientPort needs it",
        ),
        (
            f"clientPort=1\nportUnification=true\n{MEMBERS}",
            "ssl.quorum.keyStore.location: is not set, and portUnification=true needs it",
        ),
        (
            f"clientPort=1\nsslQuorum=true\n{MEMBERS}ssl.quorum.keyStore.location=/k\n"
            "ssl.quorum.clientAuth=none",
            "ssl.quorum.trustStore.location: is not set, and sslQuorum=true needs it",
        ),
    ],
)
def test_the_files_that_must_be_there(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_who_asks_for_no_certificates_needs_none_to_trust() -> None:
    for auth in ("none", "want"):
        text = f"secureClientPort=1\nssl.keyStore.location=/k\nssl.clientAuth={auth}"
        found = parse(text).client_tls
        assert found is not None
        assert found.trust_store is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ssl.context.supplier.class=a.B", "names a Java class, which pyzk cannot run; give keySt"),
        ("ssl.authProvider=mine", "pyzk has x509 only; remove it"),
        ("ssl.keyStore.type=BCFKS", "BCFKS is Bouncy Castle's own format, which pyzk cannot read"),
        ("ssl.trustStore.type=bcfks", "BCFKS is Bouncy Castle's own format, which pyzk cannot re"),
        ("ssl.keyStore.type=jceks", "'jceks' is not nothing or jks or pem or pkcs12 or bcfks"),
        ("ssl.clientAuth=maybe", "'maybe' is not nothing or none or want or need"),
        ("ssl.ciphersuites=TLS_NO", "TLS_NO cannot be had; known are those with ECDHE or RSA"),
        ("ssl.ciphersuites=TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_DHE_RSA_WITH_AES_128_GCM_S"),
        ("ssl.enabledProtocols=TLSv1.4", "TLSv1.4 is no protocol; TLSv1.2 and TLSv1.3 are offered"),
        ("ssl.enabledProtocols=TLSv1.1,TLSv1", "no protocol is left; TLSv1.2 and TLSv1.3 are off"),
        ("ssl.protocol=TLSv1.1", "no protocol is left; TLSv1.2 and TLSv1.3 are offered"),
        ("ssl.crl=yes", "'yes' is not true or false"),
        ("ssl.x509.clientCertIdSanMatchType=9", "'9' is not an integer from 0 to 8"),
        ("ssl.x509.clientCertIdSanMatchRegex=(", "'(' is not a regular expression"),
        ("ssl.x509.clientCertIdType=SAN", "needs ssl.x509.clientCertIdSanMatchType, the kind of n"),
        ("ssl.x509.clientCertIdType=CN", "'CN' is not san or sdn"),
    ],
)
def test_what_cannot_be_had_is_an_error_that_names_the_key(line: str, message: str) -> None:
    key = line.partition("=")[0]
    assert refusal(f"secureClientPort=1\n{STORES}{line}").startswith(f"line 5: {key}: {message}")


@pytest.mark.parametrize("suffix", ["context.supplier.class=a.B", "keyStore.type=BCFKS"])
def test_what_members_cannot_have_is_an_error_too(suffix: str) -> None:
    text = f"clientPort=1\nsslQuorum=true\n{MEMBERS}{QUORUM_STORES}ssl.quorum.{suffix}"
    assert f"ssl.quorum.{suffix.partition('=')[0]}: " in refusal(text)


# ---- protocols and suites


@pytest.mark.parametrize(
    ("line", "for_clients", "for_members"),
    [
        ("", ("TLSv1.2", "TLSv1.3"), ("TLSv1.2", "TLSv1.3")),
        ("protocol=TLSv1.3", ("TLSv1.3",), ("TLSv1.2", "TLSv1.3")),
        ("protocol=TLSv1.2", ("TLSv1.2",), ("TLSv1.2",)),
        ("protocol=TLS", ("TLSv1.2", "TLSv1.3"), ("TLSv1.2", "TLSv1.3")),
        ("enabledProtocols=TLSv1.3,TLSv1.2", ("TLSv1.2", "TLSv1.3"), ("TLSv1.2", "TLSv1.3")),
        ("enabledProtocols=TLSv1.3", ("TLSv1.3",), ("TLSv1.3",)),
        ("protocol=TLSv1.3\nPREenabledProtocols=TLSv1.2", ("TLSv1.2",), ("TLSv1.2",)),
    ],
)
def test_protocols(line: str, for_clients: tuple[str], for_members: tuple[str]) -> None:
    assert client(f"ssl.{line.replace('PRE', 'ssl.')}").protocols == for_clients
    assert quorum(f"ssl.quorum.{line.replace('PRE', 'ssl.quorum.')}").protocols == for_members


def test_broken_protocols_are_left_out_with_a_warning() -> None:
    config = parse(f"secureClientPort=1\n{STORES}ssl.enabledProtocols=TLSv1.1,TLSv1.2")
    assert config.client_tls is not None
    assert config.client_tls.protocols == ("TLSv1.2",)
    assert config.warnings == (
        (5, "ssl.enabledProtocols: TLSv1.1 is not offered: it is broken, and Java refuses it"),
    )


GCM = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
ALL_13 = "TLS_AES_256_GCM_SHA384,TLS_AES_128_GCM_SHA256,TLS_CHACHA20_POLY1305_SHA256"


@pytest.mark.parametrize(
    ("suites", "protocols", "ciphers"),
    [
        (GCM, ("TLSv1.2",), ("ECDHE-RSA-AES128-GCM-SHA256",)),
        (ALL_13, ("TLSv1.3",), ()),
        (f"{GCM}, {ALL_13}", ("TLSv1.2", "TLSv1.3"), ("ECDHE-RSA-AES128-GCM-SHA256",)),
        (
            f"{GCM},TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
            ("TLSv1.2",),
            ("ECDHE-RSA-AES128-GCM-SHA256",),
        ),
    ],
)
def test_suites_decide_which_protocols_are_left(
    suites: str, protocols: tuple[str, ...], ciphers: tuple[str, ...]
) -> None:
    found = client(f"ssl.ciphersuites={suites}")
    assert (found.protocols, found.ciphers) == (protocols, ciphers)


def test_suites_that_go_with_no_protocol() -> None:
    line = f"ssl.enabledProtocols=TLSv1.3\nssl.ciphersuites={GCM}"
    assert refusal(f"secureClientPort=1\n{STORES}{line}") == (
        "line 6: ssl.ciphersuites: none of these goes with TLSv1.3"
    )


def test_a_part_of_the_newest_suites_cannot_be_had_alone() -> None:
    config = parse(f"secureClientPort=1\n{STORES}ssl.ciphersuites=TLS_AES_256_GCM_SHA384")
    assert texts(config) == [
        "ssl.ciphersuites: TLS 1.3 comes with TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256,"
        " too: all of its suites or none"
    ]


def test_a_timeout_that_is_none() -> None:
    config = parse(f"secureClientPort=1\n{STORES}ssl.handshakeDetectionTimeoutMillis=0")
    assert config.client_tls is not None
    assert config.client_tls.handshake_detection_timeout_ms == 5000
    assert texts(config) == [
        "ssl.handshakeDetectionTimeoutMillis: must be at least 1; 5000 is used"
    ]


# ---- host names

CLIENTS = {"client_hostname_verification": True}


@pytest.mark.parametrize(
    ("prefix", "fields", "servers", "clients"),
    [
        ("ssl.", {}, True, False),
        ("ssl.", CLIENTS, True, True),
        (
            "ssl.",
            {"hostname_verification": False, "client_hostname_verification": True},
            False,
            False,
        ),
        ("ssl.quorum.", CLIENTS, False, False),
        ("ssl.quorum.", {**CLIENTS, "fips_mode": False}, True, True),
        ("ssl.quorum.", {"fips_mode": False}, True, False),
    ],
)
def test_whose_host_is_verified(
    prefix: str, fields: dict[str, bool], servers: bool, clients: bool
) -> None:
    found = TlsConfig(prefix=prefix, key_store="/k", **fields)  # type: ignore[arg-type]
    assert (found.verifies_servers, found.verifies_clients) == (servers, clients)


def test_names_are_looked_up_outside_of_fips_mode_only() -> None:
    found = TlsConfig(key_store="/k", allow_reverse_dns_lookup=True)
    assert not found.looks_up_names
    assert replace(found, fips_mode=False).looks_up_names


def test_verification_that_fips_mode_prevents_is_a_warning() -> None:
    config = parse(
        f"clientPort=1\nsslQuorum=true\n{MEMBERS}{QUORUM_STORES}ssl.quorum.hostnameVerification=true"
    )
    assert texts(config) == [
        "ssl.quorum.hostnameVerification: has no effect: with fips-mode=true, the default, members"
        " do not verify host names, as in ZooKeeper; set fips-mode=false"
    ]
    assert texts(parse(f"clientPort=1\nsslQuorum=true\n{MEMBERS}{QUORUM_STORES}")) == []


# ---- members


def test_what_members_are_told() -> None:
    config = parse(
        f"clientPort=1\nsslQuorum=true\nportUnification=true\nsslQuorumReloadCertFiles=true\n"
        f"{MEMBERS}{QUORUM_STORES}ssl.quorum.protocol=TLSv1.2"
    ).ensemble
    assert config is not None
    assert (config.ssl_quorum, config.port_unification, config.quorum_cert_reload) == (True,) * 3
    assert config.quorum_tls is not None
    assert config.quorum_tls.key_store == "/k.jks"


def test_a_lone_server_reads_the_keys_of_members_and_has_no_use_for_them() -> None:
    config = parse("clientPort=1\nsslQuorum=true\nssl.quorum.clientAuth=need")
    assert (config.client_tls, config.ensemble, config.warnings) == (None, None, ())
    assert "ssl.quorum.clientAuth: 'x' is not" in refusal("clientPort=1\nssl.quorum.clientAuth=x")


# ---- what is shown


def test_passwords_are_shown_to_nobody() -> None:
    secrets = ("geheim1", "geheim2", "geheim3")
    config = parse(
        f"clientPort=1\nsecureClientPort=2\nsslQuorum=true\n{MEMBERS}{STORES}{QUORUM_STORES}"
        f"ssl.keyStore.password={secrets[0]}\nssl.trustStore.password={secrets[1]}\n"
        f"ssl.quorum.keyStore.password={secrets[2]}\nssl.keyStore.pasword={secrets[0]}\n"
    )
    for each in secrets:
        assert each not in repr(config)
        assert each not in str(config.warnings) + str(config.notes)


def test_values_are_named_once_and_the_usual_ones_are_known() -> None:
    config = parse(
        f"clientPort=1\nsecureClientPort=2\nsslQuorum=true\n{MEMBERS}{STORES}{QUORUM_STORES}"
    )
    values = effective_values(config)
    assert len(dict(values)) == len(values)
    assert dict(values)["ssl.keyStore.location"] == "/k.jks"
    assert dict(usual_values("ssl."))["ssl.ciphersuites"] == DEFAULT_SUITES
    usual = {*usual_values("ssl.")}
    named = {name for name, _ in (*values, *usual) if name.startswith("ssl.")}
    strange = {name for name, value in values if (name, value) not in usual} & named
    assert {"ssl.keyStore.location", "ssl.trustStore.location"} <= strange
    assert config.ensemble is not None
    members = dict(ensemble_values(config.ensemble))
    assert members["ssl.quorum.clientHostnameVerification"] is True
    assert members["sslQuorum"] is True


def test_the_sets_differ_in_what_only_clients_have() -> None:
    assert set(CLIENT_TLS.rows) - set(QUORUM_TLS.rows) == {"authProvider", "sslProvider"}
    assert set(QUORUM_TLS.rows) <= set(CLIENT_TLS.rows)
