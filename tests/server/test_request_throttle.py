"""request_throttle_*, request_stale_* and throttled_op_wait_time (processors.md §2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import CreateMode, OpCode, Xid
from pyzk.jute.records import AuthPacket, PathRequest, PathWatchRequest, SetDataRequest
from pyzk.server.connection import OUT_HIGH_BYTES, STALL_CHOKED
from tests.frames import create_request, encode_request, multi
from tests.server.calls import burst, make
from tests.server.members import Ensemble
from tests.world import Client, World

CONFIG = ServerConfig(request_throttle_max_requests=2)
SEQUENTIAL = (OpCode.CREATE, create_request("/s", flags=2))
UNREADABLE = (OpCode.CREATE, b"\0\0\0\x09x")
EXISTS = (OpCode.EXISTS, PathWatchRequest("/", False))


@pytest.fixture
def world() -> World:
    return World(CONFIG)


def with_two_under_way(world: World) -> Client:
    """Returns a client whose two writes wait for the disk."""
    client = world.connect()
    world.is_disk_held = True
    burst(client, SEQUENTIAL, SEQUENTIAL)
    return client


def disk_answers(world: World) -> None:
    """Has the disk answer once: what is written then is not durable yet."""
    world.unsynced = []
    world.peer.log_synced(world.log_zxid)
    world.flush()


def waiting(world: World) -> int:
    line = world.server.queues.line
    assert line is not None
    return len(line.waiting)


def writes_taken(world: World) -> int:
    return sum(txn.header.type == OpCode.CREATE for txn in world.log)


# --- the line -------------------------------------------------------------------------


def test_no_more_than_the_limit_are_under_way(world: World) -> None:
    client = with_two_under_way(world)
    burst(client, *[SEQUENTIAL] * 3)
    assert (writes_taken(world), waiting(world)) == (2, 3)
    assert world.server.outstanding == 5
    disk_answers(world)
    assert (writes_taken(world), waiting(world)) == (4, 1)
    disk_answers(world)
    disk_answers(world)
    assert [reply.err for reply in client.replies()] == [0] * 5
    assert world.server.outstanding == waiting(world) == 0


def test_who_comes_later_waits_behind_whatever_it_asks_for(world: World) -> None:
    other = world.connect()
    client = with_two_under_way(world)
    burst(other, EXISTS)
    burst(client, *[SEQUENTIAL] * 2)
    burst(other, EXISTS)
    assert other.replies() == []
    disk_answers(world)
    assert len(other.replies()) == 1, "the second waits behind writes that fill the limit again"
    disk_answers(world)
    assert len(other.replies()) == 1


def test_requests_of_a_session_are_answered_in_order(world: World) -> None:
    clients = [world.connect() for _ in range(3)]
    world.is_disk_held = True
    for _ in range(5):
        for client in clients:
            for request in (SEQUENTIAL, EXISTS, UNREADABLE, (OpCode.MULTI, multi())):
                client.submit(*request)
    for _ in range(100):
        disk_answers(world)
    for client in clients:
        assert client.xids() == list(range(1, 21))
    assert world.server.outstanding == 0


def test_pings_and_identities_and_new_sessions_wait_for_nobody(world: World) -> None:
    other = world.connect()
    client = with_two_under_way(world)
    burst(client, SEQUENTIAL, SEQUENTIAL)
    burst(other, EXISTS)
    other.submit(OpCode.PING, xid=Xid.PING)
    other.submit(OpCode.AUTH, AuthPacket(0, "digest", b"bob:x"), xid=Xid.AUTH)
    assert other.xids() == [Xid.PING, Xid.AUTH]
    third = world.connect()
    disk_answers(world)
    assert third.connect_response() is not None
    assert other.xids() == []
    disk_answers(world)
    assert other.xids() == [101]


def test_the_end_of_a_session_waits_behind_its_requests(world: World) -> None:
    client = with_two_under_way(world)
    burst(client, (OpCode.CREATE, create_request("/e", flags=CreateMode.EPHEMERAL)))
    client.submit(OpCode.CLOSE_SESSION, xid=9)
    for _ in range(3):
        disk_answers(world)
    assert client.xids() == [101, 102, 101, 9]
    assert client.is_closed
    assert "/e" not in world.tree.nodes
    assert world.server.outstanding == waiting(world) == 0


def test_a_session_whose_requests_wait_has_been_heard_of(world: World) -> None:
    client = with_two_under_way(world)
    world.advance(9000)
    burst(client, SEQUENTIAL)
    world.advance(9000)
    assert not client.is_closed


def test_what_is_too_much_for_the_line_is_not_read(world: World) -> None:
    world = World(replace(CONFIG, global_outstanding_limit=4))
    client = with_two_under_way(world)
    burst(client, *[SEQUENTIAL] * 10)
    assert client.connection.is_stalled
    assert waiting(world) == 3
    for _ in range(20):
        disk_answers(world)
    assert len(client.replies()) == 12
    assert not client.connection.is_stalled


def test_no_xid_makes_the_line_endless(world: World) -> None:
    """Requests with an xid of 0 or less do not count for globalOutstandingLimit."""
    world = World(replace(CONFIG, global_outstanding_limit=4))
    client = with_two_under_way(world)
    get = encode_request(Xid.SET_WATCHES, OpCode.EXISTS, PathWatchRequest("/", False))
    client.send(get * 50)
    assert client.connection.is_stalled
    assert waiting(world) == 3


def test_a_role_that_ends_forgets_the_line(world: World) -> None:
    client = with_two_under_way(world)
    burst(client, SEQUENTIAL)
    world.server.end()
    assert waiting(world) == world.server.outstanding == 0


def test_it_is_off_unless_it_is_asked_for() -> None:
    world = World()
    assert world.server.queues.line is None
    assert not world.server.is_guarded


def test_enforced_authentication_comes_first() -> None:
    world = World(replace(CONFIG, enforce_auth_enabled=True, enforce_auth_schemes=("digest",)))
    client = world.connect()
    burst(client, SEQUENTIAL)
    assert [reply.err for reply in client.replies()] == [-124]
    assert client.is_closed


# --- a learner ------------------------------------------------------------------------


def test_a_learner_forwards_no_more_than_the_limit() -> None:
    ensemble = Ensemble(CONFIG)
    client = ensemble.connect(ensemble.follower)
    for _ in range(5):
        client.submit(OpCode.CREATE, create_request("/s", flags=2))
    client.submit(OpCode.SYNC, PathRequest("/"))
    assert len(ensemble.follower.role.sent) == 2
    ensemble.commit()
    assert len(ensemble.follower.role.sent) == 2
    for _ in range(3):
        ensemble.commit()
    assert [reply.err for reply in client.replies()] == [0] * 6
    assert ensemble.follower.server.outstanding == 0


@pytest.mark.parametrize("key", ["request_throttle_drop_stale", "request_stale_connection_check"])
def test_a_learner_submits_nothing_in_a_session_that_is_over(key: str) -> None:
    """Its leader would answer in the name of a session that nobody knows here any more."""
    config = replace(CONFIG, **{key: False}, audit_enable=True)  # type: ignore[arg-type]
    ensemble = Ensemble(config)
    follower = ensemble.follower
    client, other = ensemble.connect(follower), ensemble.connect(follower)
    burst(client, *[SEQUENTIAL] * 2)
    burst(other, SEQUENTIAL, EXISTS, SEQUENTIAL)
    ensemble.forward()
    session = ensemble.leader.server.sessions.sessions[other.session_id]
    ensemble.leader.server.close_session(session)
    for _ in range(4):
        ensemble.commit()
    assert other.is_closed
    server = follower.server
    line, audit = server.queues.line, server.audit
    assert line is not None
    assert audit is not None
    assert (len(line.waiting), server.outstanding, audit.under_way) == (0, 0, 0)
    assert server.queues.outstanding_bytes == 0


# --- stale requests -------------------------------------------------------------------


def test_requests_of_a_client_that_is_gone_are_dropped(world: World) -> None:
    gone = world.connect()
    client = with_two_under_way(world)
    burst(gone, SEQUENTIAL, EXISTS, SEQUENTIAL)
    burst(client, SEQUENTIAL)
    gone.connection.closed()
    disk_answers(world)
    assert (writes_taken(world), waiting(world)) == (3, 0)
    metrics = world.server.metrics
    assert metrics.stale_requests_dropped == 1, "the rest goes with the first"
    assert metrics.stale_requests == 0
    disk_answers(world)
    assert world.server.outstanding == 0


def test_they_are_dropped_while_the_line_stands_still(world: World) -> None:
    gone = world.connect()
    with_two_under_way(world)
    burst(gone, SEQUENTIAL)
    gone.connection.closed()
    world.driver.wake()
    assert waiting(world) == 0


def test_the_end_of_a_session_outlives_its_connection(world: World) -> None:
    gone = world.connect()
    with_two_under_way(world)
    gone.submit(OpCode.CLOSE_SESSION)
    gone.connection.closed()
    disk_answers(world)
    disk_answers(world)
    assert gone.session_id not in world.server.sessions.sessions


def test_but_not_if_a_request_before_it_was_dropped(world: World) -> None:
    gone = world.connect()
    with_two_under_way(world)
    burst(gone, SEQUENTIAL)
    gone.submit(OpCode.CLOSE_SESSION)
    gone.connection.closed()
    disk_answers(world)
    disk_answers(world)
    assert gone.session_id in world.server.sessions.sessions


@pytest.mark.parametrize("key", ["request_throttle_drop_stale", "request_stale_connection_check"])
def test_they_are_carried_out_if_that_is_asked_for(key: str) -> None:
    world = World(replace(CONFIG, **{key: False}))  # type: ignore[arg-type]  # both are booleans
    gone = world.connect()
    make(gone, "/a")
    with_two_under_way(world)
    burst(gone, (OpCode.SET_DATA, SetDataRequest("/a", b"1", -1)), EXISTS)
    gone.submit(OpCode.GET_DATA, PathWatchRequest("/a", True))
    gone.connection.closed()
    disk_answers(world)
    disk_answers(world)
    assert world.tree.nodes["/a"].data == b"1"
    assert world.tree.watches.watch_count == 0, "nobody watches for a client that is gone"
    metrics = world.server.metrics
    assert metrics.stale_requests_dropped == 0
    assert metrics.stale_requests == (3 if key == "request_throttle_drop_stale" else 0)
    assert metrics.stale_replies == 1
    assert world.server.outstanding == 0


def test_a_request_that_waits_longer_than_its_timeout_can_be_stale() -> None:
    world = World(replace(CONFIG, request_stale_latency_check=True))
    slow = world.connect(timeout_ms=6000)
    client = with_two_under_way(world)
    burst(slow, EXISTS, EXISTS)
    burst(client, SEQUENTIAL)
    for _ in range(3):
        world.advance(2000)
        slow.ping()
        client.submit(OpCode.PING, xid=Xid.PING)
    assert world.server.metrics.stale_requests_dropped == 0
    world.advance(2000)
    assert slow.is_closed
    assert slow.replies() == []
    assert world.server.metrics.stale_requests_dropped == 1
    assert waiting(world) == 1


# --- -127 -----------------------------------------------------------------------------


def test_what_has_waited_too_long_is_answered_in_its_turn_and_not_done() -> None:
    world = World(replace(CONFIG, throttled_op_wait_time_ms=50))
    client = with_two_under_way(world)
    burst(client, SEQUENTIAL)
    world.advance(30)
    burst(client, EXISTS, SEQUENTIAL)
    world.advance(25)
    assert client.replies() == []
    disk_answers(world)
    replies = client.replies()
    last = world.tree.last_zxid
    assert [(each.err, each.body) for each in replies[2:]] == [(-127, b""), (0, replies[3].body)]
    assert replies[2].zxid == replies[1].zxid
    disk_answers(world)
    (reply,) = client.replies()
    assert (reply.err, reply.zxid) == (0, last + 1)
    assert world.server.metrics.throttled_ops == 1
    assert writes_taken(world) == 3
    assert world.server.outstanding == 0


def test_the_end_of_a_session_never_has_waited_too_long() -> None:
    world = World(replace(CONFIG, throttled_op_wait_time_ms=1))
    client = with_two_under_way(world)
    client.submit(OpCode.CLOSE_SESSION, xid=7)
    world.advance(100)
    disk_answers(world)
    disk_answers(world)
    assert [(reply.xid, reply.err) for reply in client.replies()][2:] == [(7, 0)]


def test_a_late_request_keeps_its_place_behind_a_write() -> None:
    world = World(replace(CONFIG, request_throttle_max_requests=3, throttled_op_wait_time_ms=50))
    client = world.connect()
    world.is_disk_held = True
    burst(client, *[SEQUENTIAL] * 3)
    disk_answers(world)
    client.replies()
    burst(client, *[SEQUENTIAL] * 3)
    burst(client, SEQUENTIAL)
    world.advance(10)
    burst(client, SEQUENTIAL)
    world.advance(45)  # the first of the two has waited too long, the second has not
    disk_answers(world)
    disk_answers(world)
    assert [reply.err for reply in client.replies()] == [0, 0, 0, -127, 0]


# --- clients that do not read, and long requests --------------------------------------


def test_reads_that_waited_come_as_the_client_takes_them() -> None:
    world = World(CONFIG)
    reader = world.connect()
    reader.create("/a", bytes(300_000))
    with_two_under_way(world)
    get = (OpCode.GET_DATA, PathWatchRequest("/a", False))
    burst(reader, *[get] * 20)
    disk_answers(world)
    assert len(reader.received) < OUT_HIGH_BYTES + 2 * 300_100
    assert reader.connection.parked_bytes > 0
    assert world.server.outstanding == 0, "it holds up nobody"
    total = 0
    while reader.received:
        total += len(reader.received)
        assert len(reader.received) < OUT_HIGH_BYTES + 2 * 300_100
        reader.frames()
        reader.connection.resume(STALL_CHOKED)
        world.settle()
    assert total > 20 * 300_000
    assert reader.connection.parked_bytes == 0


def test_a_write_behind_reads_that_are_not_taken_is_done() -> None:
    world = World(CONFIG)
    reader = world.connect()
    reader.create("/a", bytes(600_000))
    with_two_under_way(world)
    get = (OpCode.GET_DATA, PathWatchRequest("/a", False))
    burst(reader, get, get, get, (OpCode.SET_DATA, SetDataRequest("/a", b"1", -1)), get)
    disk_answers(world)
    disk_answers(world)
    assert world.tree.nodes["/a"].data == b"1"
    reader.connection.resume(STALL_CHOKED)
    world.settle()
    assert [reply.err for reply in reader.replies()] == [0] * 5
    assert world.server.outstanding == reader.connection.parked_bytes == 0


def test_long_requests_count_while_they_wait_and_after() -> None:
    world = World(replace(CONFIG, large_request_threshold=100, large_request_max_bytes=1000))
    client = world.connect()
    make(client, "/a")
    with_two_under_way(world)
    large = (OpCode.SET_DATA, SetDataRequest("/a", bytes(600), -1))
    burst(client, large)
    under_way = world.server.queues.large
    assert under_way.bytes > 600, "it waits"
    disk_answers(world)
    assert under_way.bytes > 600, "it is under way"
    disk_answers(world)
    assert under_way.bytes == 0
    assert [reply.err for reply in client.replies()] == [0]


# --- numbers --------------------------------------------------------------------------


def test_waiting_is_counted(world: World) -> None:
    metrics = world.server.metrics
    client = with_two_under_way(world)
    before = metrics.request_throttle_queue_time_ms.count
    burst(client, SEQUENTIAL)
    assert metrics.request_throttle_wait_count == 1
    world.advance(40)
    disk_answers(world)
    times = metrics.request_throttle_queue_time_ms
    assert (times.count - before, times.max) == (1, 40)
