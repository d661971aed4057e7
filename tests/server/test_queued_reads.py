"""Reads that have waited for a write: their replies come as the client takes them."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode, Xid
from pyzk.jute.records import PathWatchRequest, SetDataRequest
from pyzk.server.connection import OUT_HIGH_BYTES, STALL_CHOKED
from tests.server.calls import burst
from tests.world import Client, World


def take_all(client: Client) -> list[int]:
    """Take the replies as a socket does: resume when they are written; return what came each
    time."""
    sizes = []
    while client.received:
        sizes.append(len(client.received))
        client.frames()
        client.connection.resume(STALL_CHOKED)
        client.world.settle()
    return sizes


@pytest.fixture
def reader(world: World) -> Client:
    client = world.connect()
    client.create("/a", bytes(300_000))
    world.is_disk_held = True
    return client


GET = (OpCode.GET_DATA, PathWatchRequest("/a", False))
SET = (OpCode.SET_DATA, SetDataRequest("/a", bytes(300_000), -1))


def test_replies_that_waited_for_a_write_come_as_the_client_takes_them(
    world: World, reader: Client
) -> None:
    """All at once they are what a server drops a client for that does not read."""
    burst(reader, SET, *[GET] * 20)
    world.sync()
    assert len(reader.received) < OUT_HIGH_BYTES + 2 * 300_100
    burst(reader, SET)
    assert reader.connection.parked_bytes > 10
    sizes = take_all(reader)
    assert sum(sizes) > 20 * 300_000
    assert max(sizes) < OUT_HIGH_BYTES + 2 * 300_100
    world.sync()
    assert len(reader.replies()) == 1
    assert world.server.outstanding == world.server.queues.outstanding_bytes == 0


def test_it_goes_on_although_too_many_requests_are_on_the_way() -> None:
    world = World(ServerConfig(global_outstanding_limit=5))
    reader = world.connect()
    reader.create("/a", bytes(300_000))
    world.is_disk_held = True
    burst(reader, SET, *[GET] * 20)
    world.sync()
    take_all(reader)
    assert world.server.outstanding == 0
    assert not reader.connection.is_stalled


def test_reads_between_two_writes_see_the_first_only(world: World, reader: Client) -> None:
    small = (OpCode.SET_DATA, SetDataRequest("/a", b"", -1))
    burst(reader, SET, *[GET] * 8, small, GET)
    world.sync()
    lengths = [len(reply.body) for reply in reader.replies()]
    assert all(length > 300_000 for length in lengths[1:9])
    assert lengths[-1] < 100
    assert len(lengths) == 11


def test_who_leaves_in_between_holds_up_nobody(world: World, reader: Client) -> None:
    burst(reader, SET, *[GET] * 20)
    world.sync()
    reader.connection.closed()
    assert world.server.outstanding == 0
    again = world.open()
    again.handshake(session_id=reader.session_id, password=reader.password)
    assert again.call(OpCode.PING, xid=Xid.PING).err == 0


LONG = (OpCode.GET_DATA, PathWatchRequest("/" + "x" * 3000, False))


def not_reading(world: World, reader: Client) -> None:
    """A client takes none of its replies, and more of its reads wait than may be on the way."""
    world.server.queues.intake_bytes = 10_000
    world.sync()
    fails = (OpCode.SET_DATA, SetDataRequest("/a", b"", 1000))
    burst(reader, fails, *[GET] * 4, *[LONG] * 5)
    world.sync()
    assert reader.connection.parked_bytes > world.server.queues.intake_bytes


def test_who_takes_no_replies_holds_up_nobody(world: World, reader: Client) -> None:
    """What waits for the client is no more on the way: the write before it is applied."""
    other = world.connect()
    not_reading(world, reader)
    assert world.server.outstanding == world.server.queues.outstanding_bytes == 0
    other.frames()
    world.is_disk_held = False
    for _ in range(3):
        assert other.set_data("/a", b"").err == 0
    assert not other.connection.is_stalled
    take_all(reader)
    assert world.server.outstanding == world.server.queues.outstanding_bytes == 0
    assert reader.connection.parked_bytes == 0


def test_the_end_of_a_client_that_takes_no_replies_gives_back_what_it_had(
    world: World, reader: Client
) -> None:
    not_reading(world, reader)
    reader.connection.closed()
    assert world.server.outstanding == world.server.queues.outstanding_bytes == 0
    assert reader.connection.parked_bytes == 0


def test_a_large_read_that_waits_for_its_client_keeps_no_other_out() -> None:
    config = ServerConfig(large_request_threshold=100, large_request_max_bytes=10_000)
    world = World(config)
    reader, other = world.connect(), world.connect()
    reader.create("/a", b"")
    world.is_disk_held = True
    read = (OpCode.GET_DATA, PathWatchRequest("/" + "x" * 3000, False))
    world.server.tree.nodes["/a"].data = bytes(OUT_HIGH_BYTES)
    small = (OpCode.SET_DATA, SetDataRequest("/a", b"", 1000))
    burst(reader, small, GET, read, read, read)
    world.sync()
    assert reader.connection.parked_bytes == 3 * (4 + 3001 + 1)
    assert world.server.queues.large.bytes == 0
    world.is_disk_held = False
    assert other.set_data("/a", bytes(5000)).err == 0
    take_all(reader)
    assert world.server.queues.large.bytes == 0


@pytest.mark.parametrize("first", [(), (SET,)])
def test_who_takes_its_replies_slowly_does_not_expire(
    world: World, reader: Client, first: tuple[tuple[int, SetDataRequest], ...]
) -> None:
    """Its PINGs are behind requests that wait for it. Who takes nothing expires."""
    burst(reader, *first, *[GET] * 40)
    world.sync()
    world.is_disk_held = False
    for _ in range(5):
        assert reader.connection.is_stalled
        world.advance(6000)
        assert not reader.is_closed
        reader.frames()
        reader.connection.resume(STALL_CHOKED)
        world.settle()
    world.advance(20_000)
    assert reader.is_closed
