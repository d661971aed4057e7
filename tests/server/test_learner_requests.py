"""A learner: what it forwards, what it answers itself, and when."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import ErrorCode, OpCode, Xid
from pyzk.data.tree import Applied
from pyzk.jute.records import (
    ACL,
    AuthPacket,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    Id,
    PathRequest,
    PathWatchRequest,
    ReconfigRequest,
    SetACLRequest,
    SetDataRequest,
    TxnHeader,
)
from pyzk.quorum import packets
from pyzk.quorum.forwarding import encode_forward
from pyzk.server.outbox import Outbox
from tests.frames import OPEN, Record, Reply, create_request, multi
from tests.server.calls import CREATED, errors, events, path_in
from tests.server.members import Ensemble, as_packet
from tests.world import Client

DATA = PathWatchRequest("/a", False)


@pytest.fixture
def ensemble() -> Ensemble:
    return Ensemble()


@pytest.fixture
def client(ensemble: Ensemble) -> Client:
    return ensemble.connect(ensemble.follower)


def call(ensemble: Ensemble, client: Client, opcode: int, record: Record | bytes) -> Reply:
    """Send a write and have it committed."""
    client.submit(opcode, record)
    ensemble.commit()
    (reply,) = client.replies()
    return reply


# --- what is forwarded ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("opcode", "record"),
    [
        (OpCode.CREATE, create_request("/b")),
        (OpCode.CREATE2, create_request("/b")),
        (OpCode.CREATE_CONTAINER, create_request("/b", flags=4)),
        (OpCode.CREATE_TTL, CreateTTLRequest("/b", b"", OPEN, 5, 1000)),
        (OpCode.DELETE, DeleteRequest("/b", -1)),
        (OpCode.SET_DATA, SetDataRequest("/b", b"", -1)),
        (OpCode.SET_ACL, SetACLRequest("/b", OPEN, -1)),
        (OpCode.MULTI, multi((OpCode.DELETE, DeleteRequest("/b", -1)))),
        (OpCode.RECONFIG, ReconfigRequest(None, None, None, -1)),
        (OpCode.SYNC, PathRequest("/b")),
        (OpCode.SET_DATA, b"\0\0"),
    ],
)
def test_a_write_goes_to_the_leader_as_it_came(
    ensemble: Ensemble, client: Client, opcode: int, record: Record | bytes
) -> None:
    body = record if isinstance(record, bytes) else record.encode()
    client.submit(opcode, record, xid=77)
    (request,) = ensemble.follower.role.sent
    sent = packets.forwarded_request(as_packet(encode_forward(request)))
    assert (sent.session, sent.cxid, sent.type) == (client.session_id, 77, opcode)
    assert sent.body == body
    assert sent.ids == [Id("ip", "127.0.0.1")]
    assert client.replies() == []


def test_the_identities_of_the_connection_go_with_a_write(
    ensemble: Ensemble, client: Client
) -> None:
    client.call(OpCode.AUTH, AuthPacket(0, "digest", b"joe:secret"), xid=Xid.AUTH)
    acl = [ACL(31, "auth", "")]
    reply = call(ensemble, client, OpCode.CREATE, CreateRequest("/a", b"", acl, 0))
    assert reply.err == 0
    other = ensemble.connect(ensemble.follower)
    assert call(ensemble, other, OpCode.SET_DATA, SetDataRequest("/a", b"", -1)).err == -102
    assert call(ensemble, client, OpCode.SET_DATA, SetDataRequest("/a", b"", -1)).err == 0


def test_the_begin_and_the_end_of_a_session_are_forwarded(ensemble: Ensemble) -> None:
    follower = ensemble.follower
    client = follower.connect(timeout_ms=12_345)
    (request,) = follower.role.sent
    sent = packets.forwarded_request(as_packet(encode_forward(request)))
    assert (sent.type, sent.cxid, sent.body) == (OpCode.CREATE_SESSION, 0, b"\0\0\x30\x39")
    assert client.frames() == [], "not before it is committed"
    ensemble.commit()
    assert client.connect_response() is not None
    client.submit(OpCode.CLOSE_SESSION, xid=5)
    (request,) = follower.role.sent
    sent = packets.forwarded_request(as_packet(encode_forward(request)))
    assert (sent.type, sent.cxid, sent.body) == (OpCode.CLOSE_SESSION, 5, b"")
    assert sent.session == client.session_id
    ensemble.commit()
    assert client.xids() == [5]
    assert client.is_closed


def test_frames_that_come_before_the_session_is_committed_wait(ensemble: Ensemble) -> None:
    client = ensemble.follower.connect()
    client.submit(OpCode.PING, xid=Xid.PING)
    assert client.connection.is_stalled
    ensemble.commit()
    assert len(client.frames()) == 2


@pytest.mark.parametrize("opcode", [OpCode.CHECK, OpCode.CREATE_SESSION, 99, OpCode.NOTIFICATION])
def test_what_is_no_request_is_not_forwarded(
    ensemble: Ensemble, client: Client, opcode: int
) -> None:
    client.submit(opcode)
    assert ensemble.follower.role.sent == []
    (reply,) = client.replies()
    assert (reply.zxid, reply.err) == (-1, ErrorCode.UNIMPLEMENTED)
    assert client.is_closed


def test_a_session_that_was_refused_by_the_leader_never_opens(ensemble: Ensemble) -> None:
    client = ensemble.follower.connect()
    session_id = client.connection.session_id
    header = TxnHeader(session_id, 0, 1, 0, OpCode.ERROR)
    ensemble.follower.server.queues.committed(header, Applied(OpCode.ERROR, -5))
    ensemble.follower.settle()
    assert client.frames() == []
    assert client.is_closed


# --- answers -------------------------------------------------------------------------


def test_a_write_is_answered_when_it_is_committed(ensemble: Ensemble, client: Client) -> None:
    xid = client.submit(OpCode.CREATE, create_request())
    ensemble.forward()
    assert client.replies() == []
    ensemble.commit()
    (reply,) = client.replies()
    assert (reply.xid, reply.zxid, reply.err) == (xid, ensemble.leader.database.last_zxid, 0)
    assert path_in(reply) == "/a"


def test_an_error_of_the_leader_is_answered_by_the_learner(
    ensemble: Ensemble, client: Client
) -> None:
    assert call(ensemble, client, OpCode.DELETE, DeleteRequest("/no", -1)).err == -101
    assert ensemble.log[-1].header.type == OpCode.ERROR


def test_a_write_that_cannot_be_read_is_an_error_with_a_zxid_of_its_own(
    ensemble: Ensemble, client: Client
) -> None:
    before = ensemble.leader.database.last_zxid
    reply = call(ensemble, client, OpCode.SET_DATA, b"\0\0")
    assert (reply.zxid, reply.err) == (before + 1, ErrorCode.MARSHALLING_ERROR)


def test_a_failed_multi_has_its_results_on_a_learner_too(
    ensemble: Ensemble, client: Client
) -> None:
    body = multi((OpCode.CREATE, create_request()), (OpCode.DELETE, DeleteRequest("/no", -1)))
    assert errors(call(ensemble, client, OpCode.MULTI, body)) == [0, -101]


def test_a_read_behind_a_write_of_its_session_waits_and_sees_it(
    ensemble: Ensemble, client: Client
) -> None:
    client.submit(OpCode.CREATE, create_request("/a", b"new"), xid=1)
    client.submit(OpCode.GET_DATA, DATA, xid=2)
    client.submit(OpCode.PING, xid=Xid.PING)
    client.submit(OpCode.SET_DATA, SetDataRequest("/a", b"newer", -1), xid=3)
    client.submit(OpCode.GET_DATA, DATA, xid=4)
    assert client.replies() == []
    ensemble.commit(1)
    first = client.replies()
    assert [reply.xid for reply in first] == [1, 2, Xid.PING]
    assert b"new" in first[1].body
    assert b"newer" not in first[1].body
    ensemble.commit(1)
    assert client.xids() == [3, 4]


def test_reads_of_other_sessions_do_not_wait(ensemble: Ensemble, client: Client) -> None:
    other = ensemble.connect(ensemble.follower)
    client.submit(OpCode.CREATE, create_request())
    ensemble.forward()
    assert other.exists("/a").err == -101
    ensemble.commit()
    assert other.exists("/a").err == 0


def test_commits_of_others_answer_nobody_here(ensemble: Ensemble, client: Client) -> None:
    other = ensemble.connect(ensemble.observer)
    client.submit(OpCode.CREATE, create_request("/mine"), xid=1)
    ensemble.forward()
    other.submit(OpCode.CREATE, create_request("/others"), xid=1)
    ensemble.commit()
    (reply,) = client.replies()
    assert path_in(reply) == "/mine"
    assert path_in(other.replies()[0]) == "/others"


def test_the_event_of_a_write_comes_before_its_answer(ensemble: Ensemble, client: Client) -> None:
    assert client.exists("/a", watch=True).err == -101
    client.submit(OpCode.CREATE, create_request())
    ensemble.commit()
    replies = client.replies()
    assert replies[0].event == (CREATED, "/a")
    assert [reply.xid for reply in replies[1:]] == [1 + 1]


def test_watches_fire_on_every_member(ensemble: Ensemble, client: Client) -> None:
    watchers = [ensemble.connect(member) for member in ensemble.members]
    for watcher in watchers:
        watcher.exists("/a", watch=True)
    call(ensemble, client, OpCode.CREATE, create_request())
    assert [events(watcher) for watcher in watchers] == [[(CREATED, "/a")]] * 3


# --- sync ----------------------------------------------------------------------------


def test_sync_waits_for_the_leader_and_says_its_path(ensemble: Ensemble, client: Client) -> None:
    other = ensemble.connect(ensemble.observer)
    other.submit(OpCode.CREATE, create_request())
    ensemble.forward()
    client.submit(OpCode.SYNC, PathRequest("/x"), xid=1)
    client.submit(OpCode.GET_DATA, DATA, xid=2)
    assert client.replies() == []
    ensemble.commit()
    sync, read = client.replies()
    assert (sync.xid, sync.err, sync.body) == (1, 0, b"\0\0\0\x02/x")
    assert (read.xid, read.err) == (2, 0)


def test_sync_waits_for_the_writes_of_its_session(ensemble: Ensemble, client: Client) -> None:
    client.submit(OpCode.CREATE, create_request(), xid=1)
    client.submit(OpCode.SYNC, PathRequest("/x"), xid=2)
    client.submit(OpCode.SET_DATA, SetDataRequest("/a", b"", -1), xid=3)
    ensemble.commit(1)
    assert client.xids() == [1, 2]
    ensemble.commit()
    assert client.xids() == [3]


def test_a_sync_that_cannot_be_read_is_an_error(ensemble: Ensemble, client: Client) -> None:
    client.submit(OpCode.SYNC, b"\0\0\0\x09/", xid=1)
    ensemble.commit()
    (reply,) = client.replies()
    assert reply.err == ErrorCode.MARSHALLING_ERROR


def test_an_error_with_the_number_of_a_sync_is_not_its_answer(
    ensemble: Ensemble, client: Client
) -> None:
    client.submit(OpCode.SYNC, PathRequest("/x"), xid=9)
    header = TxnHeader(client.session_id, 9, 1, 0, OpCode.ERROR)
    ensemble.follower.server.queues.committed(header, Applied(OpCode.ERROR, -101))
    ensemble.follower.settle()
    assert client.replies() == []


def test_on_the_leader_a_sync_is_answered_like_a_read(ensemble: Ensemble) -> None:
    client = ensemble.connect(ensemble.leader)
    assert client.call(OpCode.SYNC, PathRequest("/x")).err == 0
    assert not ensemble.leader_role.proposed


# --- lost connections, closed sessions ----------------------------------------------------


def test_commits_still_match_when_the_connection_was_lost(
    ensemble: Ensemble, client: Client
) -> None:
    client.submit(OpCode.CREATE, create_request("/a"), xid=1)
    client.submit(OpCode.GET_DATA, DATA, xid=2)
    ensemble.forward()
    client.connection.closed()
    again = ensemble.follower.resume(client)
    ensemble.forward()
    ensemble.follower.settle()
    again.connect_response()
    again.submit(OpCode.SET_DATA, SetDataRequest("/a", b"x", -1), xid=3)
    again.submit(OpCode.GET_DATA, DATA, xid=4)
    assert again.replies() == []
    ensemble.commit(1)
    assert again.replies() == []
    ensemble.commit()
    assert again.xids() == [3, 4]
    assert client.frames() == []
    assert ensemble.follower.server.outstanding == 0


def test_when_a_session_ends_every_member_closes_its_connection_of_it(
    ensemble: Ensemble, client: Client
) -> None:
    elsewhere = ensemble.move(client, ensemble.observer)
    elsewhere.submit(OpCode.CLOSE_SESSION, xid=9)
    ensemble.commit()
    assert elsewhere.xids() == [9]
    assert elsewhere.is_closed
    assert client.is_closed, "the old connection, still open at the follower"
    assert client.frames() == []


def test_a_session_that_the_leader_expires_is_closed_without_a_word(
    ensemble: Ensemble, client: Client
) -> None:
    client.exists("/a", watch=True)
    ensemble.advance(60_000)
    ensemble.commit()
    assert client.is_closed
    assert client.frames() == []
    assert ensemble.follower.database.sessions == {}
    assert not ensemble.follower.server.sessions.sessions


def test_what_waits_in_a_session_that_ends_is_no_longer_counted(
    ensemble: Ensemble, client: Client
) -> None:
    ensemble.advance(60_000)  # the leader expires it
    client.submit(OpCode.CREATE, create_request(), xid=1)
    client.submit(OpCode.SYNC, PathRequest("/"), xid=2)
    client.submit(OpCode.GET_DATA, DATA, xid=3)
    server = ensemble.follower.server
    assert server.outstanding == 3
    ensemble.commit()
    assert client.is_closed
    assert client.frames() == []
    assert server.outstanding == 0
    assert client.connection.outstanding == 0


def test_after_closing_its_session_a_client_is_not_heard(
    ensemble: Ensemble, client: Client
) -> None:
    client.submit(OpCode.CLOSE_SESSION, xid=1)
    client.submit(OpCode.CREATE, create_request(), xid=2)
    client.submit(OpCode.GET_DATA, DATA, xid=3)
    ensemble.commit()
    assert client.xids() == [1]
    assert [txn.header.type for txn in ensemble.log] == [OpCode.CREATE_SESSION, -11]


def test_a_learner_counts_long_requests(ensemble: Ensemble) -> None:
    config = ServerConfig(large_request_threshold=100, large_request_max_bytes=1000)
    ensemble = Ensemble(config)
    client = ensemble.connect(ensemble.follower)
    server = ensemble.follower.server
    client.submit(OpCode.CREATE, create_request("/a", bytes(400)))
    client.submit(OpCode.SET_DATA, SetDataRequest("/a", bytes(300), -1))
    assert 700 < server.queues.large.bytes < 900
    ensemble.commit(1)
    assert 300 < server.queues.large.bytes < 400
    ensemble.commit()
    assert server.queues.large.bytes == 0
    assert len(client.replies()) == 2


def test_a_learner_stops_reading_when_too_much_is_on_the_way() -> None:
    ensemble = Ensemble(ServerConfig(global_outstanding_limit=2))
    client = ensemble.connect(ensemble.follower)
    for number in range(4):
        client.submit(OpCode.CREATE, create_request(f"/{number}"))
    assert client.connection.is_stalled
    assert len(ensemble.follower.role.sent) == 3
    ensemble.commit()
    ensemble.commit()
    assert len(client.replies()) == 4


def test_a_learner_hands_nothing_to_the_log_by_itself(ensemble: Ensemble, client: Client) -> None:
    client.submit(OpCode.CREATE, create_request())
    ensemble.commit()
    outbox: Outbox = ensemble.follower.peer.outbox
    assert outbox.log == []
    assert outbox.commands == []
