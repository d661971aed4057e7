"""Who logs in with SASL, and who he is then; the scheme sasl in ACLs."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from pyzk.auth.provider import AuthId
from pyzk.auth.sasl.digest_md5 import DigestMd5Client
from pyzk.auth.sasl.logins import ClientLogins, SaslProvider
from pyzk.config.jaas import Login
from pyzk.config.sasl import SaslConfig
from pyzk.errors import ConfigError, SaslError

LOGIN = Login(section="Server", users={"bob": "bobsecret", "super": "adminsecret"})
SUPER = AuthId("super", "")


def logins(**values: Any) -> ClientLogins:
    return ClientLogins(SaslConfig(login=LOGIN, **values), LOGIN, Random(1))


def log_in(where: ClientLogins, user: str, password: str, authzid: str | None = None) -> str:
    """Return the authorization id."""
    server = where.begin()
    client = DigestMd5Client("zookeeper", "zk-sasl-md5", user, password, Random(2), authzid)
    answer = client.step(server.step(b"") or b"")
    assert answer is not None
    client.step(server.step(answer) or b"")
    assert client.is_complete
    return server.authorization_id


def test_users_of_the_section_log_in() -> None:
    assert log_in(logins(), "bob", "bobsecret") == "bob"
    assert log_in(logins(), "bob", "bobsecret", "super") == "bob"
    with pytest.raises(SaslError, match="password"):
        log_in(logins(), "bob", "adminsecret")


def test_the_password_of_super_may_be_set_apart() -> None:
    where = logins(super_password="other")
    assert log_in(where, "super", "other") == "super"
    assert log_in(where, "bob", "bobsecret") == "bob"
    with pytest.raises(SaslError, match="password"):
        log_in(where, "super", "adminsecret")


def test_a_password_of_super_makes_no_user() -> None:
    login = Login(section="Server", users={"bob": "bobsecret"})
    where = ClientLogins(SaslConfig(login=login, super_password="other"), login, Random(1))
    with pytest.raises(SaslError, match="is not known"):
        log_in(where, "super", "other")


def test_super_users() -> None:
    where = logins(super_users=("bob", "zk/host@R"))
    assert where.ids("bob") == (AuthId("sasl", "bob"), SUPER)
    assert where.ids("zk/host@R") == (AuthId("sasl", "zk/host@R"), SUPER)
    assert where.ids("super") == (AuthId("sasl", "super"),)
    assert logins(super_users=("",)).ids("") == (AuthId("sasl", ""),)


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        ({}, "bob", "bob"),
        ({}, "q/x", "q/x"),
        ({}, "bob@R", "bob@R"),
        ({}, "zk/host@R", "zk/host@R"),
        ({"removes_realm": True}, "zk/host@R", "zk/host"),
        ({"removes_host": True}, "zk/host@R", "zk@R"),
        ({"removes_host": True, "removes_realm": True}, "zk/host@R", "zk"),
        ({"auth_to_local": "RULE:[2:$1$2]"}, "zk/host@R", "zkhost/host@R"),
        ({"removes_realm": True}, "bob@OTHER", "bob@OTHER"),  # no rule, so the name as it is
    ],
)
def test_what_an_id_is_made_of(values: dict[str, Any], name: str, expected: str) -> None:
    where = logins(default_realm="R", **values)
    assert where.authorize(name, "super") == expected


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(SaslError, match="no name of Kerberos"):
        logins().authorize("a@b@c", "a@b@c")


def test_wrong_rules_are_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match="neither DEFAULT nor RULE"):
        logins(auth_to_local="nonsense")


# --- the scheme ------------------------------------------------------------------------------


def test_the_scheme_proves_who_somebody_is_and_takes_no_packets() -> None:
    provider = SaslProvider(None)
    assert provider.is_authenticated
    assert provider.authenticate("127.0.0.1", b"bob") is None
    assert provider.user_name("zk/host@R") == "zk/host@R"


@pytest.mark.parametrize(
    ("acl_id", "is_valid"),
    [("bob", True), ("", True), ("a/b/c", True), ("a/b@R", True), ("a@b@c", False)],
)
def test_ids_of_acls(acl_id: str, is_valid: bool) -> None:
    assert SaslProvider(None).is_valid(acl_id) is is_valid


def test_who_matches_an_acl() -> None:
    provider = SaslProvider(SaslConfig(any_user="x"))
    assert provider.matches("bob", "bob")
    assert not provider.matches("bob", "alice")
    assert provider.matches("super", "alice")
    assert provider.matches("bob", "x")
    assert not SaslProvider(None).matches("bob", "x")
