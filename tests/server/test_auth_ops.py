"""auth and sasl packets, enforced authentication, whoAmI: auth-acl-quota.md §1 to §9, §13."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode, Xid
from pyzk.errors import ConfigError
from pyzk.jute.records import (
    ACL,
    AuthPacket,
    CreateRequest,
    ReconfigRequest,
    SASLToken,
    WhoAmIResponse,
)
from tests.frames import OPEN, create_request, encode_request
from tests.server.calls import NOBODY, authenticate, burst, create_as, data_of, make, set_acl
from tests.world import Client, World

SUPER = ServerConfig(super_digest="super:D/InIHSb7yEEbrWz8b9l71RjZJU=")  # super:test


def who_am_i(client: Client) -> set[tuple[str, str]]:
    reply = client.call(OpCode.WHO_AM_I)
    assert reply.err == 0
    record, end = WhoAmIResponse.decode(reply.body, 0, len(reply.body))
    assert end == len(reply.body)
    return {(info.auth_scheme, info.user) for info in record.client_info}


# --- auth packets -------------------------------------------------------------------


def test_a_packet_is_answered_with_its_xid_and_zxid_zero(client: Client) -> None:
    make(client, "/a")
    reply = authenticate(client, "bob:pw")
    assert (reply.xid, reply.zxid, reply.err, reply.body) == (Xid.AUTH, 0, 0, b"")
    assert client.call(OpCode.AUTH, AuthPacket(77, "digest", b"x:y"), xid=9).xid == 9


@pytest.mark.parametrize("auth", ["bob:pw", "no colon", "", "a:b:c", "ü:ü"])
def test_digest_never_fails(client: Client, auth: str) -> None:
    assert authenticate(client, auth).err == 0
    assert not client.is_closed


@pytest.mark.parametrize(
    ("scheme", "auth"),
    [
        ("foo", b"x"),
        ("", b"x"),
        (None, b"x"),
        ("world", b"anyone"),
        ("auth", b""),
        ("super", b"x"),
        ("sasl", b"x"),
        ("x509", b"x"),
        ("digest", None),
    ],
)
def test_any_failure_is_auth_failed_and_the_end(
    client: Client, scheme: str | None, auth: bytes | None
) -> None:
    """§13 row 19."""
    client.send(
        encode_request(Xid.AUTH, OpCode.AUTH, AuthPacket(0, scheme, auth))
        + encode_request(1, OpCode.WHO_AM_I)
    )
    (reply,) = client.replies()
    assert (reply.xid, reply.zxid, reply.err, reply.body) == (Xid.AUTH, 0, -115, b"")
    assert client.is_closed


def test_a_packet_that_cannot_be_read_closes_without_reply(client: Client) -> None:
    client.submit(OpCode.AUTH, b"\0\0\0\0\0\0\0\x09x")
    assert client.is_closed
    assert client.replies() == []


def test_ip_packets_succeed_and_add_nothing(client: Client) -> None:
    assert authenticate(client, "whatever", "ip").err == 0
    assert who_am_i(client) == {("ip", "127.0.0.1")}


def test_an_ip_packet_adds_nothing_for_a_client_with_ipv6(world: World) -> None:
    client = world.connect("::1")
    assert authenticate(client, "", "ip").err == 0
    assert who_am_i(client) == {("ip", "0:0:0:0:0:0:0:1")}


ENSEMBLE = ServerConfig(
    auth_providers=(("1", "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider"),),
    ensemble_auth_names=("one", "two"),
)


def test_a_client_of_this_ensemble_may_go_on() -> None:
    client = World(ENSEMBLE).connect()
    assert authenticate(client, "two", "ensemble").err == 0
    assert who_am_i(client) == {("ip", "127.0.0.1")}
    assert create_as(client, OpCode.CREATE, "/a", acl=[ACL(31, "ensemble", "two")]).err == -114


def test_a_client_of_another_ensemble_is_closed_without_a_reply() -> None:
    """§4.8: -115 would be the end for the client, and it is to try its next server."""
    world = World(ENSEMBLE)
    client = world.connect()
    client.submit(OpCode.AUTH, AuthPacket(0, "ensemble", b"three"), xid=Xid.AUTH)
    assert client.is_closed
    assert client.replies() == []
    assert world.server.metrics.ensemble_auth_fail == 1


KEY = ServerConfig(
    auth_providers=(("1", "org.apache.zookeeper.server.auth.KeyAuthenticationProvider"),)
)


def test_the_key_is_in_the_tree() -> None:
    world = World(KEY)
    client = world.connect()
    assert authenticate(client, "no number", "key").err == 0
    assert client.create("/key", b"5").err == 0
    assert authenticate(client, "10", "key").err == 0
    assert who_am_i(client) == {("ip", "127.0.0.1"), ("key", "")}
    assert authenticate(client, "12", "key").err == -115
    assert client.is_closed


def test_digest_packets_fail_where_the_scheme_is_switched_off() -> None:
    client = World(ServerConfig(digest_auth_enabled=False)).connect()
    assert create_as(client, OpCode.CREATE, "/a", acl=NOBODY).err == -114
    assert authenticate(client, "bob:pw").err == -115
    assert client.is_closed


def test_auth_is_answered_out_of_order(world: World, client: Client) -> None:
    """§8.3: its reply overtakes those of requests before it."""
    world.is_disk_held = True
    client.submit(OpCode.CREATE, create_request("/a"), xid=1)
    client.submit(OpCode.AUTH, AuthPacket(0, "digest", b"bob:pw"), xid=Xid.AUTH)
    assert [reply.xid for reply in client.replies()] == [Xid.AUTH]
    world.sync()
    assert [reply.xid for reply in client.replies()] == [1]


def test_a_request_is_judged_by_the_ids_at_the_time_it_came(world: World, client: Client) -> None:
    acl = [ACL(31, "auth", "")]
    world.is_disk_held = True
    burst(
        client,
        (OpCode.CREATE, CreateRequest("/a", b"", acl, 0)),
        (OpCode.AUTH, AuthPacket(0, "digest", b"bob:pw")),
        (OpCode.CREATE, CreateRequest("/b", b"", acl, 0)),
    )
    world.sync()
    replies = {reply.xid: reply.err for reply in client.replies()}
    assert replies == {101: -114, 102: 0, 103: 0}


def test_ids_belong_to_the_connection(world: World, client: Client) -> None:
    """§13 row 28."""
    authenticate(client, "bob:pw")
    make(client, "/a", acl=[ACL(31, "auth", "")])
    assert client.get_data("/a").err == 0
    again = world.open()
    again.handshake(session_id=client.session_id, password=client.password)
    assert again.get_data("/a").err == -102
    authenticate(again, "bob:wrong")
    assert again.get_data("/a").err == -102
    authenticate(again, "bob:pw")
    assert again.get_data("/a").err == 0


def test_auth_does_not_come_before_the_handshake(world: World) -> None:
    client = world.open()
    client.send(encode_request(Xid.AUTH, OpCode.AUTH, AuthPacket(0, "digest", b"bob:pw")))
    assert client.is_closed
    assert client.received == b""


# --- whoAmI -------------------------------------------------------------------------


def test_who_am_i_names_the_address_and_the_users(client: Client) -> None:
    assert who_am_i(client) == {("ip", "127.0.0.1")}
    authenticate(client, "bob:pw")
    authenticate(client, "bob:pw")
    authenticate(client, "ann:pw")
    assert who_am_i(client) == {("ip", "127.0.0.1"), ("digest", "bob"), ("digest", "ann")}
    assert len(client.connection.auth_ids) == 3


def test_who_am_i_shows_ipv6_in_eight_groups(world: World) -> None:
    assert who_am_i(world.connect("::1")) == {("ip", "0:0:0:0:0:0:0:1")}


def test_who_am_i_shows_the_super_user_without_name() -> None:
    client = World(SUPER).connect()
    authenticate(client, "super:test")
    assert who_am_i(client) == {("ip", "127.0.0.1"), ("digest", "super"), ("super", "")}


# --- super --------------------------------------------------------------------------


def test_the_super_user_may_do_everything() -> None:
    """§13 row 20."""
    client = World(SUPER).connect()
    make(client, "/a", acl=NOBODY)
    assert client.set_data("/a", b"x").err == -102
    authenticate(client, "super:wrong")
    assert client.set_data("/a", b"x").err == -102
    authenticate(client, "super:test")
    assert client.set_data("/a", b"x").err == 0
    assert data_of(client, "/a") == b"x"
    assert set_acl(client, "/a", OPEN).err == 0
    assert client.set_data("/zookeeper/config", b"").err == 0
    assert client.delete("/zookeeper/config").err == -8


@pytest.mark.parametrize(("is_enabled", "err"), [(False, -123), (True, -6)])
def test_reconfig_is_refused_by_a_standalone_server(is_enabled: bool, err: int) -> None:
    config = ServerConfig(super_digest=SUPER.super_digest, reconfig_enabled=is_enabled)
    client = World(config).connect()
    authenticate(client, "super:test")
    record = ReconfigRequest(None, None, "server.1=a:1:2;3", -1)
    assert client.call(OpCode.RECONFIG, record).err == err


def test_an_unreadable_reconfig_is_that_before_it_is_disabled(client: Client) -> None:
    assert client.call(OpCode.RECONFIG, b"\0").err == -5
    assert client.world.database.last_zxid == 1


# --- sasl ---------------------------------------------------------------------------


@pytest.mark.parametrize("token", [b"", b"token"])
def test_sasl_that_is_not_configured_answers_with_a_null_token(
    client: Client, token: bytes
) -> None:
    """§13 row 22: the connection stays."""
    reply = client.call(OpCode.SASL, SASLToken(token), xid=3)
    assert (reply.xid, reply.zxid, reply.err, reply.body) == (3, 0, 0, b"\xff\xff\xff\xff")
    assert client.ping().err == 0


@pytest.mark.parametrize("body", [b"", b"\0\0\0\x05abc", b"\xff\xff\xff\xff"])
def test_an_unreadable_sasl_packet_closes_without_reply(client: Client, body: bytes) -> None:
    """A null token too: recorded of the original (sync_ping_misc)."""
    client.submit(OpCode.SASL, body)
    assert client.is_closed
    assert client.replies() == []


def test_sasl_is_answered_out_of_order(world: World, client: Client) -> None:
    world.is_disk_held = True
    client.submit(OpCode.CREATE, create_request("/a"), xid=1)
    client.submit(OpCode.SASL, SASLToken(b""), xid=2)
    assert [reply.xid for reply in client.replies()] == [2]


# --- enforced authentication --------------------------------------------------------


def enforced(*schemes: str) -> World:
    return World(ServerConfig(enforce_auth_enabled=True, enforce_auth_schemes=schemes))


@pytest.mark.parametrize(
    ("opcode", "xid"),
    [
        (OpCode.PING, -2),
        (OpCode.WHO_AM_I, 5),
        (OpCode.CREATE, 5),
        (OpCode.CLOSE_SESSION, 5),
        (999, 5),
    ],
)
def test_a_frame_before_authentication_is_refused_and_the_end(opcode: int, xid: int) -> None:
    """§13 row 21; the session is made all the same, no transaction is."""
    world = enforced("digest")
    client = world.connect()
    assert client.session_id != 0
    reply = client.call(opcode, xid=xid)
    assert (reply.xid, reply.zxid, reply.err, reply.body) == (xid, 0, -124, b"")
    assert client.is_closed
    assert world.database.last_zxid == 1


def test_frames_after_authentication_are_served() -> None:
    client = enforced("digest").connect()
    authenticate(client, "bob:pw")
    make(client, "/a")
    assert data_of(client, "/a") == b""
    assert client.ping().err == 0
    assert client.call(OpCode.CHECK, b"").err == -6


def test_a_sasl_frame_is_let_through() -> None:
    client = enforced("digest").connect()
    assert client.call(OpCode.SASL, SASLToken(b"")).err == 0


def test_any_one_of_the_schemes_is_enough() -> None:
    assert enforced("digest", "ip").connect().ping().err == 0


def test_enforced_requests_pipelined_behind_a_write_keep_their_order() -> None:
    world = enforced("ip")
    client = world.connect()
    world.is_disk_held = True
    burst(
        client,
        (OpCode.CREATE, create_request("/a")),
        (OpCode.PING, b""),
        (OpCode.CREATE, b""),
    )
    assert client.replies() == []
    world.sync()
    assert [(reply.xid, reply.err) for reply in client.replies()] == [(101, 0), (-2, 0), (103, -5)]


def test_sasl_cannot_be_enforced_while_there_is_none() -> None:
    with pytest.raises(ConfigError, match="sasl"):
        World(ServerConfig(session_require_client_sasl_auth=True))
