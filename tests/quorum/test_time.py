"""What falls due: sessions, handshakes, containers, TTL znodes; and a server that stood still."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import CreateMode, OpCode
from pyzk.jute.records import CreateTTLRequest
from tests.frames import OPEN, create_request
from tests.world import START_MS, Client, World

TICK = 2000


def _world() -> World:
    return World(ServerConfig(tick_time_ms=TICK, extended_types_enabled=True))


def _is_closed(client: Client) -> bool:
    return client.is_closed


def _keep_alive(world: World, client: Client, milliseconds: int) -> None:
    for _ in range(0, milliseconds, 1000):
        world.advance(1000)
        assert client.ping().err == 0


def test_a_silent_session_expires_between_its_timeout_and_one_tick_more() -> None:
    world = _world()
    client = world.connect(timeout_ms=10_000)
    client.create("/e", flags=CreateMode.EPHEMERAL)
    world.advance(9_999)
    assert not _is_closed(client)
    assert "/e" in world.tree.nodes
    world.advance(TICK + 1)
    assert _is_closed(client)
    assert client.frames() == [], "the victim is told nothing"
    assert "/e" not in world.tree.nodes
    assert world.database.sessions == {}


def test_pings_keep_a_session_alive() -> None:
    world = _world()
    client = world.connect(timeout_ms=4_000)
    _keep_alive(world, client, 60_000)
    assert not _is_closed(client)


def test_an_expired_session_cannot_be_re_attached() -> None:
    world = _world()
    client = world.connect(timeout_ms=4_000)
    world.advance(10_000)
    again = world.open()
    response = again.handshake(session_id=client.session_id, password=client.password)
    assert response is not None
    assert (response.timeout_ms, response.session_id) == (0, 0)
    assert again.is_closed


def test_nobody_expires_because_the_whole_server_stood_still() -> None:
    world = _world()
    clients = [world.connect(timeout_ms=10_000) for _ in range(5)]
    world.jump(60_000)
    assert not any(client.is_closed for client in clients)
    for client in clients:
        assert client.ping().err == 0
    world.advance(9_000)
    assert not any(client.is_closed for client in clients)


@pytest.mark.parametrize("beyond_ms", [0, 1000, 2000, 2001, 50_000])
def test_however_a_pause_ends_relative_to_a_bucket_nobody_expires(beyond_ms: int) -> None:
    world = _world()
    clients = [world.connect(timeout_ms=9_000) for _ in range(5)]
    due = world.server.sessions.deadline
    assert due is not None
    world.jump(due - world.clock.now_ms + beyond_ms)
    assert not any(client.is_closed for client in clients)


def test_after_a_pause_a_session_that_stays_silent_expires_all_the_same() -> None:
    world = _world()
    client = world.connect(timeout_ms=10_000)
    world.jump(60_000)
    world.advance(80_000)
    assert _is_closed(client)


def test_a_connection_without_handshake_is_closed_after_ten_seconds() -> None:
    world = _world()
    client = world.open()
    world.advance(9_999)
    assert not _is_closed(client)
    world.advance(1)
    assert _is_closed(client)
    assert world.server.metrics.sessionless_connections_expired == 1


def test_a_handshake_in_drops_is_closed_after_ten_seconds_all_the_same() -> None:
    world = _world()
    client = world.open()
    for byte in bytes.fromhex("0000002d") + bytes(40):
        if _is_closed(client):
            break
        client.send(bytes((byte,)))
        world.advance(1000)
    assert world.clock.now_ms - START_MS == 10_000
    assert world.server.metrics.sessionless_connections_expired == 1


def test_drops_of_a_frame_are_no_sign_of_life() -> None:
    world = _world()
    client = world.connect(timeout_ms=10_000)
    for byte in bytes.fromhex("000fffff") + bytes(40):
        if _is_closed(client):
            break
        client.send(bytes((byte,)))
        world.advance(1000)
    assert 10_000 < world.clock.now_ms - START_MS <= 10_000 + TICK


@pytest.mark.parametrize("jump_ms", [3_600_000, -3_600_000])
def test_a_jump_of_the_wall_clock_concerns_neither_sessions_nor_handshakes(jump_ms: int) -> None:
    world = _world()
    client, silent = world.connect(timeout_ms=10_000), world.connect(timeout_ms=10_000)
    early = world.open()
    client.create("/e", flags=CreateMode.EPHEMERAL)
    _keep_alive(world, client, 5000)
    world.clock.wall_ms += jump_ms
    world.peer.wake()
    world.settle()
    assert not _is_closed(client)
    _keep_alive(world, client, 4000)
    assert not _is_closed(silent)
    assert not _is_closed(early)
    _keep_alive(world, client, 1000)
    assert _is_closed(early)
    _keep_alive(world, client, 3000)
    assert _is_closed(silent), "its time has gone on"
    assert "/e" in world.tree.nodes
    assert client.set_data("/e", b"x").err == 0
    assert world.tree.nodes["/e"].mtime == world.clock.wall_ms


def test_a_container_goes_after_its_last_child_and_one_never_used_stays() -> None:
    world = _world()
    client = world.connect(timeout_ms=40_000)
    for path in ("/used", "/fresh"):
        request = create_request(path, flags=CreateMode.CONTAINER)
        assert client.call(OpCode.CREATE_CONTAINER, request).err == 0
    client.create("/used/child")
    _keep_alive(world, client, 120_000)
    assert "/used" in world.tree.nodes, "it has a child"
    client.delete("/used/child")
    _keep_alive(world, client, 61_000)
    assert "/used" not in world.tree.nodes
    assert "/fresh" in world.tree.nodes
    assert world.log[-1].header.type == OpCode.DELETE_CONTAINER
    assert world.log[-1].header.client_id == 0


def test_a_ttl_counts_from_the_last_set_data() -> None:
    world = _world()
    client = world.connect(timeout_ms=40_000)
    request = CreateTTLRequest("/t", b"", OPEN, CreateMode.PERSISTENT_WITH_TTL, 100_000)
    assert client.call(OpCode.CREATE_TTL, request).err == 0
    _keep_alive(world, client, 90_000)
    client.set_data("/t", b"again")
    _keep_alive(world, client, 60_000)
    assert "/t" in world.tree.nodes
    _keep_alive(world, client, 110_000)
    assert "/t" not in world.tree.nodes


def test_the_same_inputs_give_the_same_bytes() -> None:
    def run() -> list[bytes]:
        world = _world()
        client = world.connect()
        client.create("/a", b"1")
        client.create("/a/s", flags=CreateMode.EPHEMERAL_SEQUENTIAL)
        client.submit(OpCode.CLOSE_SESSION)
        return [client.received, repr([txn.header for txn in world.log]).encode()]

    assert run() == run()


def test_nothing_is_answered_or_visible_before_the_disk_has_answered() -> None:
    world = _world()
    writer, reader = world.connect(), world.connect()
    world.is_disk_held = True
    writer.submit(OpCode.CREATE, create_request("/a", b"1"))
    assert writer.replies() == []
    assert reader.exists("/a").err == -101
    world.sync()
    assert [reply.err for reply in writer.replies()] == [0]
    assert reader.exists("/a").err == 0


def test_a_read_waits_behind_the_write_of_its_own_session_and_no_other() -> None:
    world = _world()
    writer, reader = world.connect(), world.connect()
    world.is_disk_held = True
    writer.submit(OpCode.CREATE, create_request("/a", b"1"), xid=1)
    writer.submit(OpCode.PING, xid=-2)
    writer.submit(OpCode.CREATE, create_request("/b", b"1"), xid=3)
    assert reader.ping().err == 0
    assert writer.replies() == []
    world.sync()
    assert [reply.xid for reply in writer.replies()] == [1, -2, 3]
