"""SASL packets, operation 102: auth-acl-quota.md §7.2. The answers are those that 3.9.3 gave."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.auth.provider import AuthId
from pyzk.auth.sasl.digest_md5 import DigestMd5Client
from pyzk.auth.sasl.gssapi import Step
from pyzk.config.jaas import Login
from pyzk.config.sasl import SaslConfig
from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.errors import ConfigError
from pyzk.jute.archive import NULL
from pyzk.jute.records import ACL, SASLToken
from pyzk.server.host import Host
from tests.auth.sasl.test_gssapi import FakeContext
from tests.frames import OPEN, Reply, create_request, encode_request
from tests.server.calls import authenticate, burst, create_as, make
from tests.server.test_auth_ops import who_am_i
from tests.world import Client, World

LOGIN = Login(section="Server", users={"bob": "bobsecret", "super": "adminsecret"})
PROVIDERS = (("sasl", "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"),)
IP = ("ip", "127.0.0.1")


def world(*, sasl: SaslConfig | None = None, **values: Any) -> World:
    return World(
        ServerConfig(sasl=sasl or SaslConfig(login=LOGIN), auth_providers=PROVIDERS, **values)
    )


def send(client: Client, token: bytes | None) -> Reply:
    return client.call(OpCode.SASL, SASLToken(token))


def token_of(reply: Reply) -> bytes:
    packet, end = SASLToken.decode(reply.body, 0, len(reply.body))
    assert end == len(reply.body)
    assert packet.token is not None
    return packet.token


def log_in(client: Client, user: str = "bob", password: str = "bobsecret") -> Reply:
    """Return the last answer of a login."""
    mechanism = DigestMd5Client("zookeeper", "zk-sasl-md5", user, password, Random(2), user)
    reply = send(client, b"")
    assert (reply.err, reply.zxid) == (0, 0)
    answer = mechanism.step(token_of(reply))
    reply = send(client, answer)
    if reply.err == 0 and reply.body != NULL:
        assert mechanism.step(token_of(reply)) is None
        assert mechanism.is_complete
    return reply


def is_refused(client: Client, reply: Reply, err: int = -115) -> bool:
    """Tell whether this was the answer to a failure, and the connection is closed behind it."""
    return (reply.err, reply.zxid, reply.body, client.is_closed) == (err, 0, NULL, True)


def test_a_login() -> None:
    client = world().connect()
    reply = log_in(client)
    assert (reply.err, reply.zxid) == (0, 0)
    assert token_of(reply).startswith(b"rspauth=")
    assert who_am_i(client) == {IP, ("sasl", "bob")}


def test_a_login_is_that_of_one_connection() -> None:
    shared = world()
    log_in(shared.connect())
    assert who_am_i(shared.connect()) == {IP}


@pytest.mark.parametrize("token", [b"", b"garbage", b"x" * 5000])
def test_a_token_that_proves_nothing(token: bytes) -> None:
    client = world().connect()
    send(client, b"")
    assert is_refused(client, send(client, token))


def test_a_long_first_token() -> None:
    client = world().connect()
    assert is_refused(client, send(client, b"x" * 4097))


@pytest.mark.parametrize(("user", "password"), [("bob", "wrong"), ("eve", "bobsecret")])
def test_a_wrong_login(user: str, password: str) -> None:
    client = world().connect()
    assert is_refused(client, log_in(client, user, password))


def test_a_second_login_fails() -> None:
    client = world().connect()
    log_in(client)
    assert is_refused(client, send(client, b""))


@pytest.mark.parametrize("body", [b"", b"\0\0\0\x09abc", NULL])
def test_a_packet_without_a_token_is_not_answered(body: bytes) -> None:
    client = world().connect()
    client.submit(OpCode.SASL, body)
    assert client.replies() == []
    assert client.is_closed


def test_without_users_nobody_can_log_in() -> None:
    for config in (ServerConfig(), ServerConfig(sasl=SaslConfig())):
        client = World(config).connect()
        reply = send(client, b"")
        assert (reply.err, reply.body) == (0, NULL)
        assert not client.is_closed


def test_what_comes_behind_a_failure_is_not_served() -> None:
    shared = world()
    client = shared.connect()
    send(client, b"")
    burst(client, (OpCode.SASL, SASLToken(b"x")), (OpCode.CREATE, create_request("/a")))
    assert [reply.err for reply in client.replies()] == [-115]
    make(shared.connect(), "/a")


def test_an_answer_overtakes_a_write() -> None:
    shared = world()
    client = shared.connect()
    shared.is_disk_held = True
    burst(client, (OpCode.CREATE, create_request("/a")), (OpCode.SASL, SASLToken(b"")))
    assert [reply.xid for reply in client.replies()] == [102]
    shared.sync()
    assert [reply.xid for reply in client.replies()] == [101]


@given(st.lists(st.one_of(st.binary(max_size=60), st.just(b"")), max_size=5))
def test_no_tokens_of_a_stranger_let_him_in(tokens: list[bytes]) -> None:
    """Whatever he sends, he ends his own connection at most."""
    shared = world()
    client = shared.connect()
    for token in tokens:
        if not client.is_closed:
            client.submit(OpCode.SASL, SASLToken(token))
    assert client.connection.auth_ids == (AuthId("ip", "127.0.0.1"),)
    assert who_am_i(shared.connect()) == {IP}


# --- steps that block ------------------------------------------------------------------------


class Threads:
    """Kerberos whose threads a test has in its hands."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.principal = "zookeeper/host@R"
        self.peer_name = "bob@R"
        self.service = ""

    def run(self, step: Step) -> None:
        self.steps.append(step)

    def accept(self, login: Login) -> FakeContext:
        assert login.principal == self.principal
        context = FakeContext(is_initiator=False)
        context.peer_name = self.peer_name
        return context

    def initiate(self, login: Login, service: str) -> FakeContext:
        self.service = service
        return FakeContext(is_initiator=True)

    def finish(self, shared: World) -> None:
        """Do the one step that is under way, and hand back what has come of it."""
        (step,) = self.steps
        self.steps = []
        step.take()
        step.finish()
        shared.settle()


@pytest.fixture
def threads() -> Threads:
    return Threads()


@pytest.fixture
def kerberos(threads: Threads) -> World:
    login = Login(section="Server", users={}, principal="zookeeper/host@R", uses_keytab=True)
    made = world(sasl=SaslConfig(login=login, default_realm="R"))
    made.peer.run_on(Host(kerberos=threads))
    return made


def step(shared: World, threads: Threads, client: Client, token: bytes) -> Reply:
    client.submit(OpCode.SASL, SASLToken(token))
    assert client.replies() == []
    threads.finish(shared)
    (reply,) = client.replies()
    return reply


def test_a_login_with_kerberos(kerberos: World, threads: Threads) -> None:
    client = kerberos.connect()
    assert token_of(step(kerberos, threads, client, b"AP-REQ")) == b"AP-REP"
    assert token_of(step(kerberos, threads, client, b"")) == b"wrapped:\x01\x01\x00\x00"
    assert who_am_i(client) == {IP}
    reply = step(kerberos, threads, client, b"wrapped:\x01\x00\x00\x00")
    assert (reply.err, reply.body) == (0, NULL)
    assert who_am_i(client) == {IP, ("sasl", "bob@R")}


def test_a_failure_of_kerberos(kerberos: World, threads: Threads) -> None:
    client = kerberos.connect()
    assert is_refused(client, step(kerberos, threads, client, b"garbage"))


def test_requests_wait_for_a_step_and_have_its_identity(kerberos: World, threads: Threads) -> None:
    client = kerberos.connect()
    step(kerberos, threads, client, b"AP-REQ")
    step(kerberos, threads, client, b"")
    client.send(
        encode_request(1, OpCode.SASL, SASLToken(b"wrapped:\x01\x00\x00\x00"))
        + encode_request(2, OpCode.WHO_AM_I)
    )
    client.submit(OpCode.PING, xid=-2)
    assert client.replies() == []
    threads.finish(kerberos)
    replies = client.replies()
    assert [reply.xid for reply in replies] == [1, 2, -2]
    assert b"bob@R" in replies[1].body


def test_a_step_holds_up_nobody_else(kerberos: World, threads: Threads) -> None:
    client = kerberos.connect()
    client.submit(OpCode.SASL, SASLToken(b"AP-REQ"))
    assert kerberos.connect().call(OpCode.PING, xid=-2).err == 0


def test_a_client_that_is_gone_when_its_step_ends(
    kerberos: World, threads: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    client = kerberos.connect()
    client.submit(OpCode.SASL, SASLToken(b"garbage"))
    client.connection.closed()
    kerberos.settle()
    threads.finish(kerberos)
    assert client.connection.out == []
    assert caplog.text == ""


# --- who may stay ----------------------------------------------------------------------------


def test_who_fails_may_be_let_stay() -> None:
    client = world(sasl=SaslConfig(login=LOGIN, allows_failed_clients=True)).connect()
    for _ in range(2):  # the exchange is spent, and fails again
        reply = send(client, b"x" * 5000) if _ else log_in(client, "bob", "wrong")
        assert (reply.err, reply.body) == (0, NULL)
    assert not client.is_closed
    assert who_am_i(client) == {IP}


@pytest.mark.parametrize(
    "values",
    [
        {"enforce_auth_enabled": True, "enforce_auth_schemes": ("digest", "sasl")},
        {"session_require_client_sasl_auth": True},
    ],
)
def test_where_sasl_is_enforced_who_fails_may_not(values: dict[str, Any]) -> None:
    sasl = SaslConfig(login=LOGIN, allows_failed_clients=True)
    client = world(sasl=sasl, **values).connect()
    assert is_refused(client, log_in(client, "bob", "wrong"), -124)
    client = world(sasl=sasl, **values).connect()
    assert client.call(OpCode.PING, xid=-2).err == -124
    client = world(sasl=sasl, **values).connect()
    log_in(client)
    assert client.call(OpCode.PING, xid=-2).err == 0


def test_one_of_several_enforced_schemes_is_enough() -> None:
    both = world(enforce_auth_enabled=True, enforce_auth_schemes=("digest", "sasl"))
    client = both.connect()
    authenticate(client, "a:b")
    assert client.call(OpCode.PING, xid=-2).err == 0
    only = world(session_require_client_sasl_auth=True).connect()
    authenticate(only, "a:b")
    assert only.call(OpCode.PING, xid=-2).err == -124


@pytest.mark.parametrize(
    "values",
    [
        {"enforce_auth_enabled": True, "enforce_auth_schemes": ("sasl",)},
        {"session_require_client_sasl_auth": True},
    ],
)
def test_sasl_cannot_be_enforced_without_its_scheme(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"'sasl' is not available.*authProvider.sasl="):
        World(ServerConfig(sasl=SaslConfig(login=LOGIN), **values))


# --- ACLs ------------------------------------------------------------------------------------


def test_acls_of_users() -> None:
    shared = world()
    make(shared.connect(), "/bobs", acl=[ACL(31, "sasl", "bob")])
    bob, stranger, root = shared.connect(), shared.connect(), shared.connect()
    log_in(bob)
    log_in(root, "super", "adminsecret")
    for client, err in ((stranger, -102), (bob, 0), (root, 0)):
        assert create_as(client, OpCode.CREATE, f"/bobs/{err}{id(client)}").err == err


def test_super_matches_acls_of_its_scheme_only() -> None:
    shared = world()
    make(shared.connect(), "/other", acl=[ACL(31, "digest", "a:b")])
    root = shared.connect()
    log_in(root, "super", "adminsecret")
    assert create_as(root, OpCode.CREATE, "/other/a").err == -102


def test_a_super_user_passes_every_check() -> None:
    shared = world(sasl=SaslConfig(login=LOGIN, super_users=("bob",)))
    make(shared.connect(), "/other", acl=[ACL(31, "digest", "a:b")])
    client = shared.connect()
    log_in(client)
    assert who_am_i(client) == {IP, ("sasl", "bob"), ("super", "")}
    assert create_as(client, OpCode.CREATE, "/other/a").err == 0


def test_auth_in_an_acl_stands_for_the_login() -> None:
    shared = world()
    client = shared.connect()
    log_in(client)
    make(client, "/own", acl=[ACL(31, "auth", "")])
    assert create_as(shared.connect(), OpCode.CREATE, "/own/a").err == -102
    assert create_as(client, OpCode.CREATE, "/own/a").err == 0


def test_without_the_scheme_a_login_is_good_for_nothing() -> None:
    client = World(ServerConfig(sasl=SaslConfig(login=LOGIN))).connect()
    log_in(client)
    assert who_am_i(client) == {IP, ("sasl", "")}
    reply = create_as(client, OpCode.CREATE, "/a", acl=[ACL(31, "sasl", "bob")])
    assert reply.err == -114


def test_too_many_identities() -> None:
    client = world().connect()
    for number in range(999):
        authenticate(client, f"u{number}:p")
    assert is_refused(client, log_in(client))


def test_requests_in_one_piece_with_the_login_have_its_identity() -> None:
    client = world().connect()
    mechanism = DigestMd5Client("zookeeper", "zk-sasl-md5", "bob", "bobsecret", Random(2))
    answer = mechanism.step(token_of(send(client, b"")))
    client.send(
        encode_request(1, OpCode.SASL, SASLToken(answer)) + encode_request(2, OpCode.WHO_AM_I)
    )
    _, reply = client.replies()
    assert b"bob" in reply.body


def test_open_acls_are_for_all() -> None:
    client = world().connect()
    make(client, "/a", acl=OPEN)
