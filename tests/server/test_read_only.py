"""readonlymode.enabled: reads for clients that asked for them, nothing else."""

from __future__ import annotations

import struct

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import ErrorCode, OpCode
from pyzk.jute.records import (
    AddWatchRequest,
    CreateTTLRequest,
    DeleteContainerRequest,
    DeleteRequest,
    PathRequest,
    PathWatchRequest,
    ReconfigRequest,
    SetACLRequest,
    SetDataRequest,
)
from pyzk.server.passwords import session_password
from pyzk.server.readonly import ReadOnly
from tests.frames import OPEN, Record, connect_frame, create_request, multi
from tests.server.members import Ensemble, Member, read_only_member
from tests.world import Client, World

LOCAL = ServerConfig(local_sessions_enabled=True)


@pytest.fixture
def member() -> Member:
    return read_only_member(LOCAL)


@pytest.fixture
def client(member: Member) -> Client:
    return member.connect(read_only=True)


def test_a_client_that_asks_for_it_is_taken_and_told(member: Member) -> None:
    client = member.open()
    response = client.handshake(read_only=True)
    assert response is not None
    assert response.read_only
    assert response.session_id >> 56 == 2
    assert client.ping().err == 0


@pytest.mark.parametrize("read_only", [False, None])
def test_other_clients_are_closed_without_a_word(member: Member, read_only: bool | None) -> None:
    client = member.open()
    client.send(connect_frame(read_only=read_only))
    assert client.is_closed
    assert client.frames() == []


def test_no_other_role_says_that_it_is_read_only() -> None:
    ensemble = Ensemble(LOCAL)
    for member in ensemble.members:
        response = member.open().handshake(read_only=True)
        assert response is not None
        assert not response.read_only
    response = World().open().handshake(read_only=True)
    assert response is not None
    assert not response.read_only


def test_a_client_that_has_seen_more_is_not_taken(member: Member) -> None:
    client = member.open()
    client.send(connect_frame(read_only=True, last_zxid_seen=member.database.last_zxid + 1))
    assert client.is_closed
    assert client.frames() == []


@pytest.mark.parametrize(
    ("opcode", "record"),
    [
        (OpCode.EXISTS, PathWatchRequest("/", True)),
        (OpCode.GET_DATA, PathWatchRequest("/", True)),
        (OpCode.GET_ACL, PathRequest("/")),
        (OpCode.GET_CHILDREN, PathWatchRequest("/", False)),
        (OpCode.GET_CHILDREN2, PathWatchRequest("/", False)),
        (OpCode.GET_ALL_CHILDREN_NUMBER, PathRequest("/")),
        (OpCode.GET_EPHEMERALS, PathRequest("/")),
        (OpCode.ADD_WATCH, AddWatchRequest("/", 1)),
        (OpCode.WHO_AM_I, b""),
        (OpCode.MULTI_READ, multi((OpCode.GET_DATA, PathWatchRequest("/", False)))),
    ],
)
def test_reads_are_answered(client: Client, opcode: int, record: Record | bytes) -> None:
    assert client.call(opcode, record).err == 0


@pytest.mark.parametrize(
    ("opcode", "record"),
    [
        (OpCode.SYNC, PathRequest("/")),
        (OpCode.CREATE, create_request("/a")),
        (OpCode.CREATE, create_request("/a", flags=1)),
        (OpCode.CREATE2, create_request("/a")),
        (OpCode.CREATE_TTL, CreateTTLRequest("/a", b"", OPEN, 5, 1)),
        (OpCode.CREATE_CONTAINER, create_request("/a", flags=4)),
        (OpCode.DELETE, DeleteRequest("/a", -1)),
        (OpCode.DELETE_CONTAINER, DeleteContainerRequest(b"/a")),
        (OpCode.SET_DATA, SetDataRequest("/", b"", -1)),
        (OpCode.SET_ACL, SetACLRequest("/", OPEN, -1)),
        (OpCode.MULTI, multi((OpCode.DELETE, DeleteRequest("/a", -1)))),
        (OpCode.RECONFIG, ReconfigRequest(None, None, None, -1)),
        (OpCode.SET_DATA, b"unreadable"),
    ],
)
def test_everything_else_is_refused_and_the_connection_stays(
    member: Member, client: Client, opcode: int, record: Record | bytes
) -> None:
    reply = client.call(opcode, record)
    assert (reply.zxid, reply.err) == (member.database.last_zxid, ErrorCode.NOT_READ_ONLY)
    assert client.ping().err == 0


def test_an_upgrade_is_not_even_tried() -> None:
    config = ServerConfig(local_sessions_enabled=True, local_sessions_upgrading_enabled=True)
    client = read_only_member(config).connect(read_only=True)
    reply = client.call(OpCode.CREATE, create_request("/a", flags=1))
    assert reply.err == ErrorCode.NOT_READ_ONLY


@pytest.mark.parametrize("opcode", [OpCode.CHECK, 99])
def test_what_is_no_request_ends_the_connection(client: Client, opcode: int) -> None:
    assert client.call(opcode).err == ErrorCode.UNIMPLEMENTED
    assert client.is_closed


def test_a_local_session_can_be_ended_resumed_and_expires(member: Member) -> None:
    ended = member.connect(read_only=True)
    assert ended.call(OpCode.CLOSE_SESSION).err == 0
    assert ended.is_closed
    client = member.connect(read_only=True)
    again = member.resume(client, read_only=True)
    assert again.session_id == client.session_id
    member.settle()
    assert client.is_closed
    member.clock.now_ms += 60_000
    member.server.expire_sessions()
    member.settle()
    assert again.is_closed
    assert not member.server.sessions.sessions


def test_a_session_of_the_ensemble_is_not_resumed(member: Member) -> None:
    member.database.sessions[77] = 10_000
    client = member.open()
    client.send(connect_frame(77, session_password(77), read_only=True))
    assert client.is_closed
    assert client.frames() == [], "the client shall keep it, and try another server"


def test_a_session_that_nobody_knows_is_over(member: Member) -> None:
    client = member.open()
    response = client.handshake(session_id=78, password=session_password(78), read_only=True)
    assert response is not None
    assert response.session_id == 0
    assert client.is_closed


def test_without_local_sessions_there_are_no_sessions_at_all() -> None:
    member = read_only_member(ServerConfig())
    client = member.open()
    client.send(connect_frame(read_only=True))
    zxid = member.database.last_zxid
    assert client.frames() == [struct.pack(">iqi", 0, zxid, ErrorCode.NOT_READ_ONLY)]
    assert client.is_closed
    assert not member.server.sessions.sessions


def test_the_words_of_four_letters_know_the_role() -> None:
    config = ServerConfig(four_letter_whitelist=("isro",))
    member = read_only_member(config)
    client = member.open()
    client.send(b"isro")
    assert client.received == b"ro"


def test_when_a_leader_is_found_everybody_is_closed_and_writes_are_taken(
    member: Member, client: Client
) -> None:
    member.server.end()
    member.settle()
    assert client.is_closed
    member.server.begin(ReadOnly(member.server), member.server.learner_sessions())
    member.server.end()
    ensemble = Ensemble(LOCAL)
    writer = ensemble.follower.connect()
    writer.submit(OpCode.CREATE, create_request("/a"))
    ensemble.commit()
    assert writer.replies()[0].err == 0
