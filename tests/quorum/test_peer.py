"""The peer: deterministic, driven by one deadline."""

from __future__ import annotations

from random import Random

import pytest

from pyzk.clock import Clock
from pyzk.config.server import ServerConfig
from pyzk.constants import CreateMode, OpCode
from pyzk.data.database import Database
from pyzk.data.tree import DataTree
from pyzk.jute.records import CreateRequest, DeleteRequest, SetDataRequest
from pyzk.quorum.standalone import standalone_peer
from tests.frames import OPEN, Record, connect_frame, create_request, encode_request
from tests.server.calls import burst, create_as, logged_types
from tests.world import START_MS, Client, World

EXTENDED = ServerConfig(extended_types_enabled=True, tick_time_ms=2000)


def run(
    seed: int, *, step_ms: int = 300
) -> tuple[list[bytes], list[tuple[int, int, int, int, int]], int]:
    """A random life of one server; return what clients got, what was logged, the digest."""
    rng = Random(seed)
    world = World(EXTENDED)
    received: dict[int, bytes] = {}
    clients: list[Client] = []
    for number in range(150):
        world.is_disk_held = rng.random() < 0.3
        if not clients or rng.random() < 0.1:
            clients.append(world.open())
            clients[-1].send(connect_frame(timeout_ms=rng.choice([4000, 9000])))
        client = rng.choice(clients)
        path = rng.choice(["/a", "/b", "/a/c"])
        requests: list[tuple[int, Record | bytes]] = [
            (OpCode.CREATE, CreateRequest(path, b"x", OPEN, rng.randrange(4))),
            (OpCode.SET_DATA, SetDataRequest(path, b"y" * rng.randrange(9), -1)),
            (OpCode.DELETE, DeleteRequest(path, -1)),
            (OpCode.CREATE_CONTAINER, create_request(path, flags=4)),
            (OpCode.PING, b""),
        ]
        client.connection.receive(encode_request(number, *rng.choice(requests)))
        world.settle()
        world.advance(rng.randrange(2 * step_ms))
        for index, each in enumerate(clients):
            received[index] = received.get(index, b"") + each.received
            each.received = b""
    world.sync()
    log = [
        (txn.header.client_id, txn.header.zxid, txn.header.time, txn.header.type, txn.digest or 0)
        for txn in world.log
    ]
    return list(received.values()), log, world.tree.digest


@pytest.mark.parametrize("seed", range(5))
def test_the_same_inputs_give_the_same_bytes(seed: int) -> None:
    first = run(seed)
    assert first == run(seed)
    assert len(first[1]) > 50
    assert first != run(seed + 100)


# --- the deadline -------------------------------------------------------------------


def test_the_deadline_is_never_in_the_past_after_a_wake(world: World) -> None:
    world.open()
    world.connect()
    for _ in range(200):
        due = world.peer.deadline
        assert due > world.clock.now_ms
        world.advance(due - world.clock.now_ms)


def test_the_deadline_comes_no_later_than_what_falls_due(world: World) -> None:
    assert world.peer.deadline <= START_MS + world.config.container_check_interval_ms
    world.open()
    assert world.peer.deadline <= START_MS + world.config.sessionless_cnxn_timeout_ms
    world.connect(timeout_ms=6000)
    session_deadline = world.server.sessions.deadline
    assert session_deadline is not None
    assert world.peer.deadline <= session_deadline


def test_a_wake_too_early_does_nothing(world: World, client: Client) -> None:
    opened = world.open()
    for _ in range(10):
        world.peer.wake()
    world.settle()
    assert logged_types(world) == [-10]
    assert not client.is_closed
    assert not opened.is_closed


# --- many sessions ------------------------------------------------------------------


def test_only_the_silent_sessions_expire(world: World) -> None:
    clients = [world.connect(timeout_ms=6000) for _ in range(20)]
    for client in clients:
        client.create("/e", flags=CreateMode.EPHEMERAL_SEQUENTIAL)
    for _ in range(20):
        world.advance(1000)
        for client in clients[::2]:
            client.ping()
    assert [client.is_closed for client in clients] == [False, True] * 10
    assert world.tree.ephemeral_count == 10
    assert len(world.database.sessions) == 10
    assert world.server.metrics.stale_sessions_expired == 10


@pytest.mark.parametrize("pause_ms", [3001, 10_000, 60_000, 3_600_000])
def test_a_pause_of_the_server_expires_nobody(world: World, pause_ms: int) -> None:
    clients = [world.connect(timeout_ms=6000 + 500 * number) for number in range(20)]
    world.advance(5000)
    world.jump(pause_ms)
    assert logged_types(world) == [-10] * 20
    assert all(client.ping().err == 0 for client in clients)
    for _ in range(20):
        world.advance(1000)
        for client in clients:
            client.ping()
    assert logged_types(world) == [-10] * 20


def test_the_silent_expire_after_a_pause_too(world: World) -> None:
    alive, silent = world.connect(timeout_ms=6000), world.connect(timeout_ms=6000)
    world.jump(60_000)
    for _ in range(25):
        world.advance(1000)
        alive.ping()
    assert not alive.is_closed
    assert silent.is_closed


def test_a_wall_clock_that_jumps_expires_nobody(world: World, client: Client) -> None:
    world.clock.wall_ms += 10**9
    world.peer.wake()
    world.settle()
    assert logged_types(world) == [-10]
    world.clock.wall_ms -= 2 * 10**9
    assert client.create("/a").err == 0


# --- containers and TTL -------------------------------------------------------------


def test_deletions_are_spread_by_their_rate() -> None:
    config = ServerConfig(container_max_per_minute=3)
    world = World(config)
    client = world.connect(timeout_ms=60_000)
    for number in range(7):
        path = f"/c{number}"
        create_as(client, OpCode.CREATE_CONTAINER, path, 4)
        client.create(f"{path}/x")
        client.delete(f"{path}/x")
    left = []
    for _ in range(8):
        world.advance(30_000)
        client.ping()
        left.append(len(world.tree.containers))
    assert left == [7, 4, 4, 1, 1, 0, 0, 0]


def test_a_deletion_still_on_its_way_at_the_next_check_fails_there() -> None:
    """The disk is slower than a minute."""
    world = World(EXTENDED)
    client = world.connect(timeout_ms=40_000)
    create_as(client, OpCode.CREATE_TTL, "/t", 5, ttl=1000)
    client.connection.closed()
    world.is_disk_held = True
    world.advance(130_000)
    world.sync()
    assert [kind for kind in logged_types(world) if kind in (20, -1)] == [20, -1]
    assert world.tree.find("/t") is None
    assert world.database.digest_mismatches == 0


def test_a_clock_that_the_driver_moves_is_all_the_time_there_is() -> None:
    clock = Clock(5000, 7)
    config = ServerConfig(container_check_interval_ms=100)
    peer = standalone_peer(config, Database(DataTree()), clock, Random(1))
    peer.start()
    assert peer.deadline == 5100
    clock.now_ms = 5100
    peer.wake()
    assert peer.deadline == 5200


def test_a_peer_takes_its_role_once(world: World) -> None:
    with pytest.raises(AssertionError):
        world.peer.start()


def test_a_burst_of_everything_leaves_nothing_behind(world: World, client: Client) -> None:
    world.is_disk_held = True
    burst(client, *[(OpCode.CREATE, create_request("/s", flags=3))] * 50)
    burst(client, (OpCode.CLOSE_SESSION, b""))
    world.sync()
    server = world.server
    assert server.outstanding == 0
    assert not server.connections
    assert not server.connections_by_host
    assert not server.handshakes
    assert not server.sessions.sessions
    assert not server.sessions.buckets
    assert not world.peer.outbox.dirty
    assert not world.peer.outbox.log
    assert world.tree.ephemeral_count == 0
