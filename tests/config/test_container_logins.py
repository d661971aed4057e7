"""Logins, secrets and TLS that an environment asks for."""

from __future__ import annotations

import pytest

from pyzk.config.container import (
    BITNAMI_DEFAULTS,
    LOGIN_KEY,
)
from pyzk.config.jaas import login_of, parse_jaas
from tests.config.environments import OPEN, asked, config, given, refusal, values

# ---- secrets


def test_a_secret_may_be_in_a_file() -> None:
    made = asked(
        OPEN,
        files={"/run/secrets/port": "2190\n\n"},
        ZOO_PORT_NUMBER_FILE="/run/secrets/port",
        ZOO_PORT_NUMBER="2181",
    )
    assert values(made)["clientPort"] == "2190"
    assert made.warnings == ()


def test_a_secret_whose_file_cannot_be_read_is_an_error() -> None:
    error = refusal(ZOO_SERVER_PASSWORDS_FILE="/nowhere")
    assert (
        str(error) == "ZOO_SERVER_PASSWORDS_FILE: cannot read /nowhere: No such file or directory"
    )


def test_the_path_of_a_key_store_is_not_a_file_with_the_path() -> None:
    made = asked(ZOO_TLS_CLIENT_ENABLE="yes", ZOO_TLS_CLIENT_KEYSTORE_FILE="/k.jks")
    assert values(made)["ssl.keyStore.location"] == "/k.jks"


LOGIN = {
    "ZOO_ENABLE_AUTH": "yes",
    "ZOO_SERVER_USERS": "bob, ann",
    "ZOO_SERVER_PASSWORDS": 'b"\\ob;an#n=',
}


def test_clients_that_have_to_log_in() -> None:
    made = asked(LOGIN)
    assert values(made)["sessionRequireClientSASLAuth"] == "true"
    module = parse_jaas(made.login.encode(), {})["Server"]
    assert dict(module[0].options) == {"user_bob": 'b"\\ob', "user_ann": "an#n="}
    assert login_of("Server", module).users == {"bob": 'b"\\ob', "ann": "an#n="}
    whole = config(made)
    assert whole.session_require_client_sasl_auth
    assert whole.sasl is not None


def test_members_that_have_to_log_in() -> None:
    made = asked(
        OPEN,
        ZOO_SERVERS="a:1:2,b:1:2,c:1:2",
        ZOO_ENABLE_QUORUM_AUTH="yes",
        ZOO_QUORUM_LEARNER_USER="m",
        ZOO_QUORUM_LEARNER_PASSWORD="p",
        ZOO_QUORUM_SERVER_USERS="m",
        ZOO_QUORUM_SERVER_PASSWORDS="p",
    )
    assert set(parse_jaas(made.login.encode(), {})) == {"QuorumLearner", "QuorumServer"}
    whole = config(made)
    assert whole.ensemble is not None
    assert whole.ensemble.quorum_sasl is not None


def test_no_secret_is_in_what_is_shown() -> None:
    made = asked(
        LOGIN,
        ZOO_TLS_CLIENT_ENABLE="yes",
        ZOO_TLS_CLIENT_KEYSTORE_FILE="/k.jks",
        ZOO_TLS_CLIENT_KEYSTORE_PASSWORD="geheim",
        JVMFLAGS="-Dzookeeper.ssl.trustStore.password=geheim",
        ZOO_CFG_EXTRA="ssl.quorum.keyStore.password=geheim",
    )
    shown = made.text() + repr((made.notes, made.warnings))
    assert "ssl.keyStore.password=(set)" in shown
    for secret in ("geheim", "ob", "an#n"):
        assert secret not in shown


@pytest.mark.parametrize("secret", ["geheim", '"geheim"', "geheim # x", "geheim=", "\\geheim'"])
def test_no_secret_is_in_a_warning_of_the_configuration(secret: str) -> None:
    made = asked(
        OPEN,
        ZOO_TLS_CLIENT_ENABLE="yes",
        ZOO_TLS_CLIENT_KEYSTORE_FILE="/k.jks",
        ZOO_TLS_CLIENT_KEYSTORE_PASSWORD=secret,
        ZOO_TLS_CLIENT_TRUSTSTORE_FILE="/t.jks",
        ZOO_CFG_ssl_quorum_keyStore_password=secret,
        ZOO_CFG_EXTRA=f"DigestAuthenticationProvider.superDigest=super:{secret}",
    )
    whole = config(made)
    assert "geheim" not in repr((made, made.text(), whole.warnings, whole.notes))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"ZOO_SERVER_USERS": ""}, "ZOO_SERVER_USERS"),
        ({"ZOO_SERVER_PASSWORDS": ""}, "ZOO_SERVER_PASSWORDS"),
        ({"ZOO_SERVER_PASSWORDS": "one"}, "ZOO_SERVER_PASSWORDS"),
        ({"ZOO_SERVER_PASSWORDS": "a,b\x07"}, "ZOO_SERVER_PASSWORDS"),
        ({"ZOO_SERVER_PASSWORDS": "a,${b}"}, "ZOO_SERVER_PASSWORDS"),
        ({"ZOO_SERVER_USERS": 'bo"b,ann'}, "ZOO_SERVER_USERS"),
        ({"JVMFLAGS": f"-D{LOGIN_KEY}=/x"}, "JVMFLAGS"),
        ({"ZOO_ENABLE_QUORUM_AUTH": "yes"}, "ZOO_QUORUM_LEARNER_USER"),
    ],
)
def test_a_login_that_cannot_be(changes: dict[str, str], key: str) -> None:
    error = refusal(LOGIN | changes)
    assert error.key == key
    assert 'b"\\ob' not in str(error)


def test_who_forbids_anonymous_clients_must_say_who_may_come() -> None:
    assert refusal(ALLOW_ANONYMOUS_LOGIN="no").key == "ALLOW_ANONYMOUS_LOGIN"
    assert asked(ALLOW_ANONYMOUS_LOGIN="no", ALLOW_EMPTY_PASSWORD="yes").is_bitnami
    assert asked(LOGIN, ALLOW_ANONYMOUS_LOGIN="no").login


# ---- TLS


TLS = {
    "ZOO_TLS_CLIENT_ENABLE": "true",
    "ZOO_TLS_CLIENT_KEYSTORE_FILE": "/k.jks",
    "ZOO_TLS_CLIENT_KEYSTORE_PASSWORD": "k",
    "ZOO_TLS_CLIENT_TRUSTSTORE_FILE": "/t.jks",
}


def test_a_lone_server_with_tls_has_no_other_port() -> None:
    made = asked(OPEN | TLS)
    found = given(made, without=BITNAMI_DEFAULTS)
    assert found == {
        "secureClientPort": "3181",
        "ssl.clientAuth": "need",
        "ssl.keyStore.location": "/k.jks",
        "ssl.keyStore.password": "k",
        "ssl.trustStore.location": "/t.jks",
    }
    assert config(made).client_port is None


def test_an_ensemble_with_tls_listens_without_it_too_and_says_so() -> None:
    made = asked(OPEN | TLS, ZOO_SERVERS="a:1:2,b:1:2,c:1:2", ZOO_TLS_PORT_NUMBER="2281")
    assert values(made)["server.1"] == "a:1:2;2181"
    assert values(made)["secureClientPort"] == "2281"
    assert "listen without TLS, too, on 2181" in made.warnings[0]


def test_tls_between_members() -> None:
    made = asked(
        ZOO_TLS_QUORUM_ENABLE="yes",
        ZOO_TLS_QUORUM_KEYSTORE_FILE="/k.p12",
        ZOO_TLS_QUORUM_KEYSTORE_TYPE="PKCS12",
        ZOO_TLS_QUORUM_CLIENT_AUTH="want",
    )
    assert given(made) == {
        "clientPort": "2181",
        "sslQuorum": "true",
        "ssl.quorum.clientAuth": "want",
        "ssl.quorum.keyStore.location": "/k.p12",
        "ssl.quorum.keyStore.type": "PKCS12",
    }


def test_stores_that_nobody_uses_are_named() -> None:
    made = asked(ZOO_TLS_CLIENT_KEYSTORE_FILE="/k.jks", ZOO_TLS_QUORUM_ENABLE="no")
    assert "ssl.keyStore.location" not in values(made)
    assert made.warnings == (
        "ZOO_TLS_CLIENT_ENABLE: is not yes, so these have no effect: ZOO_TLS_CLIENT_KEYSTORE_FILE",
    )
