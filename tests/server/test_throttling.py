"""globalOutstandingLimit: the server stops reading from busy connections, and never errs."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.jute.records import PathWatchRequest
from pyzk.server.session_queues import OWN_REQUESTS
from tests.frames import create_request, encode_request
from tests.server.calls import burst
from tests.world import Client, World

LIMIT = 3
SEQUENTIAL = (OpCode.CREATE, create_request("/s", flags=2))


@pytest.fixture
def world() -> World:
    return World(ServerConfig(global_outstanding_limit=LIMIT))


def is_stalled(client: Client) -> bool:
    return client.connection.is_stalled


def writes_taken(world: World) -> int:
    return sum(txn.header.type == OpCode.CREATE for txn in world.log)


def test_the_limit_may_be_reached_and_one_more_stops_the_connection(
    world: World, client: Client
) -> None:
    world.is_disk_held = True
    burst(client, *[SEQUENTIAL] * LIMIT)
    assert not is_stalled(client)
    burst(client, *[SEQUENTIAL] * 5)
    assert is_stalled(client)
    assert writes_taken(world) == LIMIT + 1
    world.sync()
    assert not is_stalled(client)
    assert len(client.replies()) == LIMIT + 5
    assert world.server.outstanding == 0
    assert not world.server.queues.throttled


def test_all_requests_are_answered_in_order_however_small_the_limit() -> None:
    world = World(ServerConfig(global_outstanding_limit=1))
    clients = [world.connect() for _ in range(3)]
    world.is_disk_held = True
    for client in clients:
        burst(client, *[SEQUENTIAL] * 20, (OpCode.EXISTS, PathWatchRequest("/", False)))
    for _ in range(100):
        world.sync()
    for client in clients:
        assert [reply.xid for reply in client.replies()] == list(range(101, 122))
        assert not is_stalled(client)
    assert world.server.outstanding == 0


def test_only_the_busy_connection_is_stopped(world: World, client: Client) -> None:
    other = world.connect()
    world.is_disk_held = True
    burst(client, *[SEQUENTIAL] * (LIMIT + 1))
    assert is_stalled(client)
    assert not is_stalled(other)
    assert other.ping().err == 0
    burst(other, SEQUENTIAL)
    assert is_stalled(other)
    world.sync()
    assert not is_stalled(client)
    assert not is_stalled(other)


def test_reads_behind_writes_count_too(world: World, client: Client) -> None:
    world.is_disk_held = True
    read = (OpCode.EXISTS, PathWatchRequest("/", False))
    burst(client, SEQUENTIAL, read, read)
    assert not is_stalled(client)
    burst(client, read)
    assert is_stalled(client)
    world.sync()
    assert len(client.replies()) == 4


@pytest.mark.parametrize("xid", [0, -1, -2, -8])
def test_requests_of_the_client_library_itself_do_not_stop_it(
    world: World, client: Client, xid: int
) -> None:
    """xid <= 0 is not throttled."""
    world.is_disk_held = True
    burst(client, *[SEQUENTIAL] * LIMIT)
    client.send(encode_request(xid, OpCode.WHO_AM_I) * 3)
    assert not is_stalled(client)
    burst(client, SEQUENTIAL)
    assert is_stalled(client)


def test_but_no_xid_lets_a_client_have_any_number_under_way(world: World, client: Client) -> None:
    world.is_disk_held = True
    burst(client, SEQUENTIAL)
    client.send(encode_request(-8, OpCode.WHO_AM_I) * 3000)
    assert is_stalled(client)
    assert OWN_REQUESTS < world.server.outstanding < OWN_REQUESTS + 3
    world.sync()
    assert len(client.replies()) == 3001
    assert not is_stalled(client)
    assert world.server.outstanding == 0


@pytest.mark.source  # another list than the session's own
def test_reads_are_not_taken_out_of_their_queue_one_by_one() -> None:
    class Counted(list[object]):
        shifts = 0

        def pop(self, *_: object) -> object:
            Counted.shifts += 1
            return super().pop(*_)  # type: ignore[arg-type]

    world = World(ServerConfig(global_outstanding_limit=5000))
    client, gone = world.connect(), world.connect()
    for each in (client, gone):
        session = each.connection.session
        assert session is not None
        session.queue = Counted()  # type: ignore[assignment]
    world.is_disk_held = True
    for each in (client, gone):
        burst(each, SEQUENTIAL)
        each.send(encode_request(1, OpCode.WHO_AM_I) * 1000)
    gone.connection.closed()
    world.sync()
    assert len(client.replies()) == 1001
    assert world.server.outstanding == 0
    assert Counted.shifts <= 2


def test_a_stopped_connection_that_ends_is_forgotten(world: World, client: Client) -> None:
    world.is_disk_held = True
    burst(client, *[SEQUENTIAL] * (LIMIT + 4))
    client.connection.closed()
    assert not world.server.queues.throttled
    world.sync()
    assert world.server.outstanding == 0
    assert writes_taken(world) == LIMIT + 1


def test_sessions_are_made_beyond_the_limit(world: World, client: Client) -> None:
    world.is_disk_held = True
    burst(client, *[SEQUENTIAL] * (LIMIT + 1))
    newcomer = world.open()
    newcomer.handshake()
    world.sync()
    assert newcomer.connect_response() is not None
