"""localSessionsEnabled: sessions that one member makes, keeps and ends by itself."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import ErrorCode, OpCode, Xid
from pyzk.jute.records import (
    ACL,
    AuthPacket,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    ErrorTxn,
    PathWatchRequest,
    SetDataRequest,
)
from pyzk.quorum.forwarding import decode_forward
from pyzk.quorum.packets import ForwardedRequest
from pyzk.server.request import Request
from tests.frames import OPEN, Record, Reply, create_request, multi
from tests.server.calls import errors
from tests.server.members import Ensemble, Member
from tests.world import Client, World

LOCAL = ServerConfig(local_sessions_enabled=True)
UPGRADING = ServerConfig(local_sessions_enabled=True, local_sessions_upgrading_enabled=True)

PERSISTENT = create_request("/a")
EPHEMERAL = create_request("/e", flags=1)
EPHEMERAL_MULTI = multi((OpCode.SET_DATA, SetDataRequest("/", b"", -1)), (OpCode.CREATE, EPHEMERAL))
WANT_GLOBAL: list[tuple[int, Record | bytes]] = [
    (OpCode.CREATE, EPHEMERAL),
    (OpCode.CREATE2, EPHEMERAL),
    (OpCode.CREATE, create_request("/e", flags=3)),
    (OpCode.CREATE, CreateRequest("/e", b"", [ACL(31, "digest", "joe:hash")], 1)),
    (OpCode.MULTI, EPHEMERAL_MULTI),
]

PLACES = pytest.mark.parametrize("place", [0, 1, 2], ids=["leader", "follower", "observer"])
LEARNERS = pytest.mark.parametrize("place", [1, 2], ids=["follower", "observer"])


def begin(config: ServerConfig, place: int) -> tuple[Ensemble, Member, Client]:
    ensemble = Ensemble(config)
    member = ensemble.members[place]
    return ensemble, member, member.connect()


def call(ensemble: Ensemble, client: Client, opcode: int, record: Record | bytes) -> Reply:
    client.submit(opcode, record)
    ensemble.commit()
    (reply,) = client.replies()
    return reply


def types(ensemble: Ensemble) -> list[int]:
    return [txn.header.type for txn in ensemble.log]


# --- begin and end ---------------------------------------------------------------------


@PLACES
def test_a_local_session_begins_at_once_without_a_transaction(place: int) -> None:
    ensemble, member, client = begin(LOCAL, place)
    assert client.session_id >> 56 == place + 1
    ensemble.commit()
    assert ensemble.log == []
    assert all(each.database.sessions == {} for each in ensemble.members)
    assert member.server.sessions.local_count == 1
    assert client.ping().err == 0


@PLACES
def test_a_local_session_ends_at_once_without_a_transaction(place: int) -> None:
    ensemble, member, client = begin(LOCAL, place)
    client.submit(OpCode.CLOSE_SESSION, xid=7)
    (reply,) = client.replies()
    assert (reply.xid, reply.err) == (7, 0)
    assert client.is_closed
    assert not member.server.sessions.sessions
    assert member.server.outstanding == 0
    ensemble.commit()
    assert ensemble.log == []


@PLACES
def test_the_end_of_a_local_session_waits_for_its_writes(place: int) -> None:
    ensemble, member, client = begin(LOCAL, place)
    client.submit(OpCode.CREATE, PERSISTENT, xid=1)
    client.submit(OpCode.GET_DATA, PathWatchRequest("/a", False), xid=2)
    client.submit(OpCode.CLOSE_SESSION, xid=3)
    client.submit(OpCode.PING, xid=Xid.PING)
    assert client.replies() == []
    ensemble.commit()
    assert [(reply.xid, reply.err) for reply in client.replies()] == [(1, 0), (2, 0), (3, 0)]
    assert client.is_closed
    assert types(ensemble) == [OpCode.CREATE]
    assert member.server.outstanding == 0


@PLACES
def test_a_member_expires_its_local_sessions(place: int) -> None:
    ensemble, member, client = begin(LOCAL, place)
    silent = member.connect()
    for _ in range(5):
        ensemble.advance(4_000)
        client.ping()
    assert silent.is_closed
    assert silent.frames() == []
    assert client.session_id in member.server.sessions.sessions
    assert silent.session_id not in member.server.sessions.sessions
    ensemble.commit()
    assert ensemble.log == []


@LEARNERS
def test_a_local_session_with_a_write_on_the_way_ends_behind_it(place: int) -> None:
    ensemble, member, client = begin(LOCAL, place)
    client.submit(OpCode.CREATE, PERSISTENT)
    ensemble.advance(60_000)
    assert client.connection in member.server.connections
    ensemble.commit()
    assert client.is_closed
    assert not member.server.sessions.sessions
    assert "/a" in member.database.tree.nodes
    assert member.server.outstanding == 0


@LEARNERS
def test_the_leader_does_not_hear_of_local_sessions(place: int) -> None:
    ensemble = Ensemble(LOCAL)
    client = ensemble.learners[place - 1].connect()
    client.ping()
    assert ensemble.learners[place - 1].role.sessions.take_touched() == {}


@PLACES
def test_a_local_session_can_be_resumed_where_it_is_and_nowhere_else(place: int) -> None:
    ensemble, member, client = begin(LOCAL, place)
    again = ensemble.move(client, member)
    assert again.session_id == client.session_id
    assert client.is_closed
    for other in ensemble.members:
        if other is not member:
            assert ensemble.move(again, other).session_id == 0
    assert all(not learner.role.asked for learner in ensemble.learners)


@PLACES
def test_a_local_session_that_is_ending_is_not_resumed(place: int) -> None:
    ensemble, member, client = begin(LOCAL, place)
    client.submit(OpCode.CREATE, PERSISTENT)
    client.submit(OpCode.CLOSE_SESSION)
    again = member.resume(client)
    assert again.session_id == 0
    ensemble.commit()


def test_a_server_that_stands_alone_has_no_local_sessions() -> None:
    world = World(LOCAL)
    world.connect()
    assert [txn.header.type for txn in world.log] == [OpCode.CREATE_SESSION]
    assert world.server.sessions.local_count == 0


# --- writes ---------------------------------------------------------------------------


@PLACES
def test_a_local_session_writes_what_is_not_its_own(place: int) -> None:
    ensemble, _, client = begin(LOCAL, place)
    assert call(ensemble, client, OpCode.CREATE, PERSISTENT).err == 0
    assert call(ensemble, client, OpCode.SET_DATA, SetDataRequest("/a", b"", -1)).err == 0
    body = multi((OpCode.DELETE, DeleteRequest("/a", -1)))
    assert errors(call(ensemble, client, OpCode.MULTI, body)) == [0]
    assert OpCode.CREATE_SESSION not in types(ensemble)


def test_a_session_with_the_leaders_own_number_that_is_not_there_has_expired() -> None:
    ensemble, _, client = begin(LOCAL, 1)
    session = ensemble.follower.server.sessions.sessions[client.session_id]
    session.session_id = 1 << 56 | 4711
    client.submit(OpCode.CREATE, PERSISTENT)
    ensemble.commit()
    assert types(ensemble) == [OpCode.ERROR]


@PLACES
@pytest.mark.parametrize(("opcode", "record"), WANT_GLOBAL[:4])
def test_an_ephemeral_of_a_local_session_is_refused(
    place: int, opcode: int, record: Record | bytes
) -> None:
    ensemble, _, client = begin(LOCAL, place)
    reply = call(ensemble, client, opcode, record)
    assert reply.err == ErrorCode.EPHEMERAL_ON_LOCAL_SESSION
    assert types(ensemble) == [OpCode.ERROR], "it takes a zxid"
    assert not client.is_closed


def test_an_ephemeral_in_a_multi_of_a_local_session_is_refused() -> None:
    refused = ErrorCode.EPHEMERAL_ON_LOCAL_SESSION
    ensemble, _, client = begin(LOCAL, 0)
    reply = call(ensemble, client, OpCode.MULTI, EPHEMERAL_MULTI)
    assert errors(reply) == [0, refused]
    # A learner's transaction says what the leader found, in the original, too.
    ensemble, _, client = begin(LOCAL, 1)
    reply = call(ensemble, client, OpCode.MULTI, EPHEMERAL_MULTI)
    assert errors(reply) == [0, ErrorCode.SESSION_EXPIRED]


@PLACES
def test_another_error_of_a_local_session_is_said_as_it_is(place: int) -> None:
    ensemble, _, client = begin(LOCAL, place)
    bad = create_request("/e", flags=9)
    assert call(ensemble, client, OpCode.CREATE, bad).err == ErrorCode.BAD_ARGUMENTS
    assert call(ensemble, client, OpCode.MULTI, b"\0").err == ErrorCode.MARSHALLING_ERROR


# --- upgrades -------------------------------------------------------------------------


@PLACES
@pytest.mark.parametrize(("opcode", "record"), WANT_GLOBAL)
def test_an_ephemeral_makes_a_local_session_global_first(
    place: int, opcode: int, record: Record | bytes
) -> None:
    ensemble, member, client = begin(UPGRADING, place)
    client.call(OpCode.AUTH, AuthPacket(0, "digest", b"joe:x"), xid=Xid.AUTH)
    reply = call(ensemble, client, opcode, record)
    assert reply.err == 0
    assert types(ensemble) == [OpCode.CREATE_SESSION, opcode]
    first = ensemble.log[0].header
    assert (first.client_id, first.cxid) == (client.session_id, 0)
    for each in ensemble.members:
        assert each.database.sessions == {client.session_id: 10_000}
        assert len(each.database.tree.ephemerals[client.session_id]) == 1
    assert member.server.sessions.local_count == 0
    assert member.server.outstanding == 0


@PLACES
@pytest.mark.parametrize(
    ("opcode", "record"),
    [
        (OpCode.CREATE, PERSISTENT),
        (OpCode.CREATE_CONTAINER, create_request("/c", flags=4)),
        (OpCode.CREATE_TTL, CreateTTLRequest("/t", b"", OPEN, 5, 1000)),
        (OpCode.MULTI, multi((OpCode.CREATE, PERSISTENT))),
        (OpCode.MULTI, b"\0\0"),
        (OpCode.CREATE, create_request("/e", flags=77)),
    ],
)
def test_nothing_else_makes_it_global(place: int, opcode: int, record: Record | bytes) -> None:
    ensemble, member, client = begin(UPGRADING, place)
    call(ensemble, client, opcode, record)
    assert OpCode.CREATE_SESSION not in types(ensemble)
    assert member.server.sessions.local_count == 1


@LEARNERS
def test_a_create_that_cannot_be_read_makes_nothing_global(place: int) -> None:
    ensemble, _, client = begin(UPGRADING, place)
    assert call(ensemble, client, OpCode.CREATE, b"\0\0").err == ErrorCode.MARSHALLING_ERROR
    assert types(ensemble) == [OpCode.ERROR]


@PLACES
def test_an_upgrade_happens_once_and_in_order(place: int) -> None:
    ensemble, _, client = begin(UPGRADING, place)
    client.submit(OpCode.CREATE, PERSISTENT, xid=1)
    client.submit(OpCode.CREATE, EPHEMERAL, xid=2)
    client.submit(OpCode.GET_DATA, PathWatchRequest("/e", False), xid=3)
    client.submit(OpCode.CREATE, create_request("/f", flags=1), xid=4)
    ensemble.commit()
    assert types(ensemble) == [OpCode.CREATE, OpCode.CREATE_SESSION, OpCode.CREATE, OpCode.CREATE]
    assert [(reply.xid, reply.err) for reply in client.replies()] == [
        (1, 0), (2, 0), (3, 0), (4, 0)
    ]  # fmt: skip


@LEARNERS
def test_from_the_upgrade_on_the_leader_expires_the_session(place: int) -> None:
    ensemble, member, client = begin(UPGRADING, place)
    client.submit(OpCode.CREATE, EPHEMERAL)
    assert member.server.sessions.deadline is None
    learner = ensemble.learners[place - 1]
    assert learner.role.sessions.take_touched() == {client.session_id: 10_000}
    ensemble.commit()
    owner = ensemble.leader.server.sessions.sessions[client.session_id].owner
    assert owner is learner
    ensemble.advance(60_000)
    ensemble.commit()
    assert client.is_closed
    assert types(ensemble)[-1] == OpCode.CLOSE_SESSION
    assert all("/e" not in each.database.tree.nodes for each in ensemble.members)


def test_an_upgraded_session_of_the_leader_is_the_leaders_from_the_proposal_on() -> None:
    ensemble, member, client = begin(UPGRADING, 0)
    session = member.server.sessions.sessions[client.session_id]
    request = Request(None, session, 1, OpCode.CREATE, EPHEMERAL, (), 0)
    request.owner = member.server
    upgrade = member.server.queues.upgrade(request)
    assert upgrade is not None
    ensemble.leader_role.submit(upgrade)
    assert session.owner is member.server


def test_a_local_session_of_the_leader_owns_nothing_whoever_asks() -> None:
    ensemble, _, client = begin(LOCAL, 0)
    forwarded = ForwardedRequest(client.session_id, 1, OpCode.CREATE, EPHEMERAL.encode(), None)
    ensemble.leader_role.submit(decode_forward(ensemble.follower, forwarded, 0))
    ensemble.commit()
    body = ensemble.log[-1].body
    assert isinstance(body, ErrorTxn)
    assert body.err == ErrorCode.SESSION_EXPIRED


@PLACES
def test_an_upgraded_session_ends_for_all(place: int) -> None:
    ensemble, member, client = begin(UPGRADING, place)
    call(ensemble, client, OpCode.CREATE, EPHEMERAL)
    assert call(ensemble, client, OpCode.CLOSE_SESSION, b"").err == 0
    assert client.is_closed
    assert types(ensemble)[-1] == OpCode.CLOSE_SESSION
    assert not member.server.sessions.sessions


@PLACES
def test_an_upgraded_session_can_move(place: int) -> None:
    ensemble, _, client = begin(UPGRADING, place)
    call(ensemble, client, OpCode.CREATE, EPHEMERAL)
    for member in ensemble.members:
        client = ensemble.move(client, member)
        assert client.session_id
