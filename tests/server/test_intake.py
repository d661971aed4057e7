"""Bytes on the way: beyond the mark a server takes no further writes, and never errs for it."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.jute.records import PathWatchRequest, SetDataRequest, SetWatches
from pyzk.server.connection import OUT_HIGH_BYTES, PIECE_BYTES, SHORT_BYTES, STALL_CHOKED
from tests.frames import create_request, encode_request
from tests.server.calls import burst, make
from tests.server.members import Ensemble, FakeLearner
from tests.world import Client, World

MARK = 10_000
SIZE = 4000
LARGE = (OpCode.SET_DATA, SetDataRequest("/a", bytes(SIZE), -1))
EXISTS = (OpCode.EXISTS, PathWatchRequest("/a", False))


@pytest.fixture
def world() -> World:
    world = World()
    world.server.queues.intake_bytes = MARK
    return world


@pytest.fixture
def client(world: World) -> Client:
    client = world.connect()
    make(client, "/a")
    world.is_disk_held = True
    return client


def is_stalled(client: Client) -> bool:
    return client.connection.is_stalled


def writes_taken(world: World) -> int:
    return sum(txn.header.type == OpCode.SET_DATA for txn in world.log)


def fill(client: Client) -> None:
    """As many writes as are taken, and one more."""
    before = writes_taken(client.world)
    for _ in range(4):
        burst(client, LARGE)
    assert writes_taken(client.world) - before == 3
    assert is_stalled(client)


def test_more_than_the_mark_waits_and_is_answered_in_order(world: World, client: Client) -> None:
    others = [world.connect() for _ in range(3)]
    world.sync()
    for _ in range(5):
        for each in (client, *others):
            burst(each, LARGE, EXISTS)
    assert writes_taken(world) == 3
    for _ in range(20):
        world.sync()
        assert world.server.queues.outstanding_bytes < MARK + 2 * SIZE
    assert writes_taken(world) == 20
    for each in (client, *others):
        answers = [reply for reply in each.replies() if reply.xid > 100]
        assert [reply.xid for reply in answers] == [101, 102] * 5
        assert not is_stalled(each)
    assert world.server.queues.outstanding_bytes == world.server.outstanding == 0


def test_who_waits_takes_turns(world: World, client: Client) -> None:
    other = world.connect()
    world.sync()
    fill(client)
    burst(client, *[LARGE] * 6)
    burst(other, LARGE)
    world.sync()
    world.sync()
    assert len(other.replies()) == 2, "its session, and its write"


def test_reads_pings_sessions_and_their_ends_do_not_wait(world: World, client: Client) -> None:
    reader, leaver = world.connect(), world.connect()
    world.sync()
    for each in (reader, leaver):
        each.connect_response()
    fill(client)
    assert reader.call(*EXISTS).err == 0
    assert reader.ping().err == 0
    burst(leaver, (OpCode.CLOSE_SESSION, b""))
    newcomer = world.open()
    newcomer.handshake()
    world.sync()
    assert leaver.is_closed
    assert newcomer.connect_response() is not None
    burst(reader, LARGE)
    assert not is_stalled(reader), "there is room again"


def test_behind_a_write_only_short_reads_are_kept(world: World, client: Client) -> None:
    other = world.connect()
    world.sync()
    other.connect_response()
    burst(other, (OpCode.SET_DATA, SetDataRequest("/a", b"", -1)))
    fill(client)
    burst(other, EXISTS)
    assert not is_stalled(other)
    burst(other, (OpCode.EXISTS, PathWatchRequest("/" + "x" * SHORT_BYTES, False)))
    assert is_stalled(other)
    world.sync()
    world.sync()
    assert [reply.err for reply in other.replies()] == [0, 0, -101]


def test_long_reads_behind_a_write_count(world: World, client: Client) -> None:
    watches = SetWatches(0, ["/" + "x" * SIZE], [], [])
    burst(client, (OpCode.SET_DATA, SetDataRequest("/a", b"", -1)))
    for _ in range(5):
        burst(client, (OpCode.SET_WATCHES, watches))
    assert is_stalled(client)
    assert world.server.outstanding == 4
    world.sync()
    replies = client.replies()
    assert sum(reply.xid > 0 for reply in replies) == 6
    assert world.server.queues.outstanding_bytes == 0


def test_a_frame_that_is_not_there_yet_is_not_awaited(world: World, client: Client) -> None:
    """What has come of it is kept; each of thousands could have a mebibyte."""
    other = world.connect()
    world.sync()
    other.connect_response()
    fill(client)
    data = encode_request(7, OpCode.SET_DATA, SetDataRequest("/a", bytes(2 * PIECE_BYTES), -1))
    other.send(data[:100])
    assert is_stalled(other)
    other.send(data[100:5000])
    world.sync()
    assert not is_stalled(other)
    other.send(data[5000:])
    world.sync()
    world.sync()
    assert [reply.xid for reply in other.replies()] == [7]


def test_a_client_that_is_not_read_does_not_expire(world: World, client: Client) -> None:
    fill(client)
    idle = world.connect(timeout_ms=4000)
    world.sync()
    world.is_disk_held = True
    idle.connect_response()
    fill_again = [client.submit(*LARGE) for _ in range(4)]
    assert is_stalled(client)
    world.advance(60_000)
    world.sync()
    assert idle.is_closed, "it could have said something"
    assert not client.is_closed
    for _ in range(4):
        world.sync()
    assert client.replies()[-1].xid == fill_again[-1]


def test_the_bytes_of_a_client_that_has_left_are_given_back(world: World, client: Client) -> None:
    fill(client)
    client.connection.closed()
    assert not world.server.queues.throttled
    world.sync()
    assert world.server.queues.outstanding_bytes == 0


def test_a_long_end_of_a_session_gives_its_bytes_back(world: World, client: Client) -> None:
    burst(client, (OpCode.CLOSE_SESSION, bytes(SIZE)))
    assert world.server.queues.outstanding_bytes == SIZE
    world.sync()
    assert client.is_closed
    assert world.server.queues.outstanding_bytes == 0


def test_a_large_request_waits_like_any_other() -> None:
    world = World(ServerConfig(large_request_threshold=100, large_request_max_bytes=100_000))
    world.server.queues.intake_bytes = MARK
    client = world.connect()
    make(client, "/a")
    world.is_disk_held = True
    burst(client, *[LARGE] * 7)
    for _ in range(10):
        world.sync()
    assert [reply.err for reply in client.replies()] == [0] * 7
    assert world.server.queues.large.bytes == world.server.queues.outstanding_bytes == 0


def test_voters_share_the_mark() -> None:
    for voters, share in ((0, 1), (2, 1), (3, 2), (5, 4)):
        server = Ensemble().follower.server
        server.end()
        FakeLearner(server, "follower", voters)
        assert server.queues.intake_bytes == server.marks.intake_bytes // share


def test_a_learner_counts_what_it_has_forwarded_until_it_is_committed() -> None:
    ensemble = Ensemble()
    follower = ensemble.follower
    follower.server.queues.intake_bytes = 1000
    client = ensemble.connect(follower)
    client.submit(OpCode.CREATE, create_request("/a"))
    ensemble.commit()
    for _ in range(5):
        client.submit(OpCode.SET_DATA, SetDataRequest("/a", bytes(400), -1))
    assert is_stalled(client)
    assert len(follower.role.sent) == 3
    for _ in range(3):
        ensemble.commit()
    assert not is_stalled(client)
    assert len(client.replies()) == 6
    assert follower.server.queues.outstanding_bytes == 0


def test_the_end_of_a_role_forgets_what_was_on_the_way() -> None:
    ensemble = Ensemble()
    follower = ensemble.follower
    client = ensemble.connect(follower)
    client.submit(*LARGE)
    follower.server.queues.is_held = True
    follower.server.end()
    assert follower.server.queues.outstanding_bytes == 0
    assert not follower.server.queues.is_full


def many_reads(world: World, client: Client) -> int:
    """Ask often for much, in one piece; return how much is answered before the client must read."""
    asked = b"".join(
        encode_request(xid, OpCode.GET_DATA, PathWatchRequest("/a", False)) for xid in range(1, 31)
    )
    client.connection.receive(asked)
    size = sum(map(len, client.connection.out))
    assert client.connection.stalled & STALL_CHOKED
    for _ in range(30):
        world.settle()
        client.connection.resume(STALL_CHOKED)
    world.settle()
    assert len(client.replies()) == 30
    return size


def test_reads_beside_too_many_bytes_are_answered_as_the_client_takes_them(
    world: World, client: Client
) -> None:
    reader = world.connect()
    burst(client, (OpCode.SET_DATA, SetDataRequest("/a", bytes(300_000), -1)))
    world.sync()
    reader.connect_response()
    fill(client)
    assert world.server.queues.is_full
    assert many_reads(world, reader) < OUT_HIGH_BYTES + 2 * 300_100


def test_reads_of_a_guarded_server_are_answered_as_the_client_takes_them() -> None:
    world = World()
    client = world.connect()
    client.create("/a", bytes(300_000))
    world.server.is_guarded = True
    assert many_reads(world, client) < OUT_HIGH_BYTES + 2 * 300_100
