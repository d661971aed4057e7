"""Sessions: what keeps them alive, when they expire, what goes with them.

sessions-and-watches.md A and C.
"""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import CreateMode, OpCode, Xid
from pyzk.jute.records import (
    AuthPacket,
    CloseSessionTxn,
    CreateSessionTxn,
    DeleteRequest,
    PathRequest,
    SASLToken,
)
from pyzk.server.sessions import SessionTracker, first_session_id
from tests.frames import connect_frame, create_request, encode_request
from tests.server.calls import (
    CHILDREN,
    DELETED,
    burst,
    children_of,
    events,
    logged_types,
    make,
    split_replies,
    stat_of,
)
from tests.world import Client, World, owned_paths

TICK = 3000
TICK_2S = ServerConfig(tick_time_ms=2000)


def ids_left(tracker: SessionTracker, now_ms: int) -> list[int]:
    tracker.expire(now_ms)
    return [session.session_id for session in tracker.take_expired(1000)]


# --- ids: A2 ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server_id", "elapsed_ms", "session_id"),
    [
        (1, 0, 0x0100000000000000),
        (1, 1, 0x0100000000010000),
        (1, 0x12345678AB, 0x0112345678AB0000),
        (1, 0xFF12345678AB, 0x0112345678AB0000),  # 40 bits of the clock
        (127, 1, 0x7F00000000010000),
        (128, 1, 0x8000000000010000 - (1 << 64)),
        (128, 0, 0x8000000000000001 - (1 << 64)),  # not the smallest long
        (255, 1, 0xFF00000000010000 - (1 << 64)),
    ],
)
def test_ids_begin_with_server_and_clock(server_id: int, elapsed_ms: int, session_id: int) -> None:
    assert first_session_id(server_id, elapsed_ms) == session_id


def test_ids_count_up_by_one_and_wrap() -> None:
    tracker = SessionTracker(TICK, (1 << 63) - 2)
    assert [tracker.allocate_id() for _ in range(3)] == [
        (1 << 63) - 2,
        (1 << 63) - 1,
        -(1 << 63) + 1,
    ]


# --- the tracker: A7, A8 ------------------------------------------------------------


@pytest.mark.parametrize(
    ("now_ms", "timeout_ms", "bucket_ms"),
    [
        (0, 6000, 9000),  # strictly later
        (1, 6000, 9000),
        (2999, 6000, 9000),
        (3000, 6000, 12_000),
        (0, 5999, 6000),
        (0, 6001, 9000),
    ],
)
def test_expiry_is_rounded_up_to_the_next_tick(
    now_ms: int, timeout_ms: int, bucket_ms: int
) -> None:
    tracker = SessionTracker(TICK, 1)
    session = tracker.add(7, timeout_ms, now_ms)
    assert session.bucket_ms == tracker.deadline == bucket_ms
    assert ids_left(tracker, bucket_ms - 1) == []
    assert ids_left(tracker, bucket_ms) == [7]
    assert session.is_closing
    assert tracker.deadline is None


def test_a_touch_moves_a_session_to_a_later_bucket() -> None:
    tracker = SessionTracker(TICK, 1)
    first, second = tracker.add(1, 6000, 0), tracker.add(2, 6000, 0)
    tracker.touch(first, 3000)
    assert tracker.deadline == second.bucket_ms == 9000
    tracker.touch(second, 3000)
    assert tracker.deadline == 12_000
    assert list(tracker.buckets) == [12_000]
    assert ids_left(tracker, 12_000) == [1, 2]


def test_a_shorter_timeout_moves_the_deadline_forward() -> None:
    tracker = SessionTracker(TICK, 1)
    tracker.add(1, 30_000, 0)
    tracker.add(1, 6000, 0)
    assert tracker.deadline == 9000
    assert list(tracker.buckets) == [9000]


def test_a_closing_session_is_touched_no_more() -> None:
    tracker = SessionTracker(TICK, 1)
    session = tracker.add(1, 6000, 0)
    tracker.mark_closing(1)
    tracker.mark_closing(1)
    tracker.touch(session, 90_000)
    assert tracker.deadline is None
    was_tracked = session.is_tracked
    assert tracker.remove(1) is session
    assert (was_tracked, session.is_tracked) == (True, False)
    assert tracker.remove(1) is None
    tracker.mark_closing(1)


def test_a_session_may_be_removed_while_it_is_alive() -> None:
    tracker = SessionTracker(TICK, 1)
    tracker.add(1, 6000, 0)
    tracker.remove(1)
    assert (tracker.deadline, tracker.buckets, tracker.sessions) == (None, {}, {})


def test_sessions_expire_bucket_by_bucket() -> None:
    tracker = SessionTracker(TICK, 1)
    for number in range(3):
        tracker.add(number, 6000 + number * TICK, 0)
    assert ids_left(tracker, 12_000) == [0, 1]
    assert ids_left(tracker, 15_000) == [2]


def test_a_pause_of_the_server_is_given_back_and_a_tick_more() -> None:
    """It stood still: nobody could touch anything."""
    tracker = SessionTracker(TICK, 1)
    sessions = [tracker.add(number, 6000 + number * TICK, 0) for number in range(2)]
    tracker.postpone(2 * TICK + 1)
    assert [session.bucket_ms for session in sessions] == [9000 + 4 * TICK, 12_000 + 4 * TICK]
    assert tracker.deadline == sessions[0].bucket_ms
    assert ids_left(tracker, sessions[0].bucket_ms - 1) == []
    assert ids_left(tracker, sessions[0].bucket_ms) == [0]
    tracker.touch(sessions[1], 90_000)
    assert list(tracker.buckets) == [102_000]


def test_time_given_back_is_nobody_s_when_there_is_none() -> None:
    tracker = SessionTracker(TICK, 1)
    tracker.postpone(10_000)
    assert tracker.deadline is None


# --- expiry in a running server -----------------------------------------------------


def test_a_silent_session_expires_between_timeout_and_a_tick_more() -> None:
    """C 20: timeout 10 s, tick 2 s."""
    world = World(TICK_2S)
    client = world.connect(timeout_ms=10_000)
    world.advance(9_999)
    assert logged_types(world) == [-10]
    world.advance(2_001)
    assert logged_types(world) == [-10, -11]
    assert client.is_closed
    assert client.received == b""


def test_sessions_that_expire_together_share_a_line(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = [world.connect().session_id for _ in range(12)]
    caplog.set_level("INFO")
    world.advance(15_000)
    (line,) = [text for text in caplog.messages if "expired" in text]
    shown = [f"0x{each & 0xFFFFFFFFFFFFFFFF:x} (timeout 10000 ms)" for each in sessions[:10]]
    assert line == f"expired sessions: {', '.join(shown)} and 2 more"


def test_an_expired_session_takes_its_ephemerals_and_others_are_told(world: World) -> None:
    """C 17: the victim's connection is just closed."""
    victim, other = world.connect(), world.connect(timeout_ms=60_000)
    victim.create("/e", flags=CreateMode.EPHEMERAL)
    victim.exists("/e", watch=True)
    other.exists("/e", watch=True)
    other.get_children("/", watch=True)
    victim.replies(), other.replies()
    world.advance(15_000)
    assert victim.is_closed
    assert victim.received == b""
    assert events(other) == [(DELETED, "/e"), (CHILDREN, "/")]
    assert world.server.metrics.stale_sessions_expired == 1
    txn = world.log[-1]
    assert (txn.header.type, txn.header.client_id, txn.header.cxid) == (-11, victim.session_id, 0)
    assert txn.body == CloseSessionTxn(["/e"])


def test_an_expired_session_cannot_be_reattached(world: World, client: Client) -> None:
    world.advance(15_000)
    again = world.open()
    again.send(connect_frame(client.session_id, client.password))
    assert again.connect_response() is not None
    assert again.session_id == 0


@pytest.mark.parametrize(
    ("opcode", "body"),
    [
        (OpCode.PING, b""),
        (OpCode.WHO_AM_I, b""),
        (OpCode.SYNC, PathRequest("/").encode()),
        (OpCode.CREATE, b"unreadable"),
        (OpCode.DELETE, DeleteRequest("/none", -1).encode()),
    ],
)
def test_every_request_keeps_its_session_alive(
    world: World, client: Client, opcode: int, body: bytes
) -> None:
    for _ in range(5):
        world.advance(9_000)
        client.submit(opcode, body)
    assert not client.is_closed


@pytest.mark.parametrize(
    ("opcode", "body"),
    [
        (OpCode.AUTH, AuthPacket(0, "digest", b"bob:pw").encode()),
        (OpCode.SASL, SASLToken(b"").encode()),
    ],
)
def test_auth_and_sasl_do_not_touch_the_session(
    world: World, client: Client, opcode: int, body: bytes
) -> None:
    """pitfalls.md 47: they are served beside the session."""
    for _ in range(3):
        world.advance(5_000)
        client.submit(opcode, body, xid=Xid.AUTH)
    assert client.is_closed


def test_reattaching_touches_the_session(world: World, client: Client) -> None:
    world.advance(9_000)
    again = world.open()
    again.handshake(session_id=client.session_id, password=client.password)
    world.advance(9_000)
    assert again.ping().err == 0


def test_a_server_that_stood_still_expires_nobody(world: World, client: Client) -> None:
    world.jump(100_000)
    assert not client.is_closed
    assert client.ping().err == 0
    world.advance(15_000)
    assert logged_types(world) == [-10, -11]


def test_a_session_that_went_away_while_the_server_stood_still_expires_later(
    world: World, client: Client
) -> None:
    client.connection.closed()
    world.jump(100_000)
    assert logged_types(world) == [-10]
    world.advance(20_000)
    assert logged_types(world) == [-10, -11]


def test_after_a_restart_every_session_has_its_full_timeout(world: World, client: Client) -> None:
    world.advance(9_000)
    restarted = World(world.config, world.database)
    restarted.advance(9_999)
    assert logged_types(restarted) == []
    restarted.advance(TICK + 1)
    assert logged_types(restarted) == [-11]
    assert world.database.sessions == {}


def test_a_restart_removes_ephemerals_of_sessions_that_are_gone(world: World) -> None:
    client = world.connect()
    client.create("/e", flags=CreateMode.EPHEMERAL)
    world.database.sessions.clear()
    restarted = World(world.config, world.database)
    assert restarted.tree.find("/e") is None
    assert logged_types(restarted) == []
    assert children_of(restarted.connect(), "/") == ["zookeeper"]


# --- the transactions: A9 -----------------------------------------------------------


def test_the_log_has_the_negotiated_timeout(world: World) -> None:
    world.connect(timeout_ms=1)
    assert world.log[0].body == CreateSessionTxn(6000)


def test_closing_is_answered_flushed_and_closed(world: World, client: Client) -> None:
    reply = client.call(OpCode.CLOSE_SESSION)
    assert (reply.err, reply.zxid, reply.body) == (0, 2, b"")
    assert client.is_closed
    assert world.database.sessions == {}
    assert world.server.sessions.sessions == {}


def test_two_ephemerals_of_one_parent_go_with_one_zxid(world: World, client: Client) -> None:
    """C 24."""
    other = world.connect()
    make(other, "/p")
    for name in "ab":
        client.create(f"/p/{name}", flags=CreateMode.EPHEMERAL)
    before = stat_of(other, "/p")
    zxid = client.call(OpCode.CLOSE_SESSION).zxid
    after = stat_of(other, "/p")
    assert (after.pzxid, after.cversion) == (zxid, before.cversion + 2)


def test_closing_counts_what_is_on_its_way(world: World, client: Client) -> None:
    """Applied ephemerals, less those with a pending delete, plus pending creates."""
    client.create("/a", flags=CreateMode.EPHEMERAL)
    client.create("/b", flags=CreateMode.EPHEMERAL)
    world.is_disk_held = True
    burst(
        client,
        (OpCode.DELETE, DeleteRequest("/a", -1)),
        (OpCode.CREATE, create_request("/c", flags=1)),
        (OpCode.CREATE, create_request("/d", flags=1)),
        (OpCode.DELETE, DeleteRequest("/d", -1)),
        (OpCode.CLOSE_SESSION, b""),
    )
    assert world.log[-1].body == CloseSessionTxn(["/c", "/b"])
    world.sync()
    assert [reply.err for reply in client.replies()] == [0] * 5
    assert owned_paths(world.tree) == {}
    assert world.database.digest_mismatches == 0


def test_an_ephemeral_that_another_session_made_again_stays(world: World, client: Client) -> None:
    other = world.connect()
    client.create("/a", flags=CreateMode.EPHEMERAL)
    world.is_disk_held = True
    client.submit(OpCode.DELETE, DeleteRequest("/a", -1))
    other.submit(OpCode.CREATE, create_request("/a", flags=1))
    client.submit(OpCode.CLOSE_SESSION)
    world.sync()
    assert owned_paths(world.tree) == {other.session_id: ["/a"]}


def test_closing_can_leave_out_the_paths() -> None:
    world = World(ServerConfig(close_session_txn_enabled=False))
    client = world.connect()
    client.create("/e", flags=CreateMode.EPHEMERAL)
    client.call(OpCode.CLOSE_SESSION)
    assert (world.log[-1].body, world.log[-1].digest) == (None, None)
    assert world.tree.find("/e") is None


def test_an_ephemeral_under_an_ephemeral_s_parent_goes_once(world: World, client: Client) -> None:
    client.create("/e", flags=CreateMode.EPHEMERAL)
    client.call(OpCode.CLOSE_SESSION)
    assert [txn.header.type for txn in world.log].count(-11) == 1
    assert owned_paths(world.tree) == {}


# --- requests of a closing session: A7, C 4 -----------------------------------------


def test_requests_behind_a_closing_are_dropped(world: World, client: Client) -> None:
    burst(
        client,
        (OpCode.CREATE, create_request("/a")),
        (OpCode.WHO_AM_I, b""),
        (OpCode.CLOSE_SESSION, b""),
        (OpCode.CREATE, create_request("/b")),
        (OpCode.WHO_AM_I, b""),
        (999, b""),
    )
    assert [(reply.xid, reply.err) for reply in client.replies()] == [(101, 0), (102, 0), (103, 0)]
    assert client.is_closed
    assert world.tree.find("/b") is None
    assert world.server.outstanding == 0


def test_requests_of_an_expiring_session_are_dropped(world: World, client: Client) -> None:
    world.is_disk_held = True
    world.advance(15_000)
    client.submit(OpCode.CREATE, create_request("/a"))
    client.submit(OpCode.PING)
    world.sync()
    assert client.received == b""
    assert client.is_closed
    assert logged_types(world) == [-10, -11]


def test_auth_frames_of_a_closing_session_are_still_answered(world: World, client: Client) -> None:
    """They never look at the session."""
    world.is_disk_held = True
    burst(client, (OpCode.CLOSE_SESSION, b""), (OpCode.SASL, SASLToken(b"")))
    assert [reply.xid for reply in client.replies()] == [102]


def test_a_session_that_expires_before_it_is_known_is_made_and_closed(world: World) -> None:
    """The disk is slower than the timeout."""
    world.is_disk_held = True
    client = world.open()
    client.send(connect_frame(timeout_ms=6000))
    world.advance(9_000)
    world.sync()
    assert logged_types(world) == [-10, -11]
    assert world.database.sessions == {}
    assert client.is_closed


# --- watches of a session that ends: B10 --------------------------------------------


def test_one_s_own_deletions_are_told_before_the_reply_to_closing(client: Client) -> None:
    client.create("/e", flags=CreateMode.EPHEMERAL)
    client.exists("/e", watch=True)
    client.submit(OpCode.CLOSE_SESSION, xid=9)
    told, replies = split_replies(client)
    assert told == [(DELETED, "/e")]
    assert [reply.xid for reply in replies] == [9]
    assert client.world.tree.watches.watch_count == 0


def test_a_ping_behind_a_write_waits(world: World, client: Client) -> None:
    """C 18."""
    world.is_disk_held = True
    client.send(
        encode_request(1, OpCode.CREATE, create_request("/a"))
        + encode_request(Xid.PING, OpCode.PING)
    )
    assert client.replies() == []
    world.sync()
    assert [reply.xid for reply in client.replies()] == [1, -2]
