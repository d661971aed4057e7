"""largeRequestThreshold and largeRequestMaxBytes: not too many long requests at a time."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.jute.records import PathWatchRequest, SetDataRequest
from tests.frames import create_request, encode_request
from tests.server.calls import burst, make
from tests.world import Client, World

THRESHOLD = 200
CONFIG = ServerConfig(large_request_threshold=THRESHOLD, large_request_max_bytes=2500)
PLAIN = SetDataRequest("/a", b"", -1)


def set_data(length: int) -> SetDataRequest:
    """A request whose frame has this length."""
    record = SetDataRequest("/a", b"", -1)
    return SetDataRequest("/a", bytes(length - 8 - len(record.encode())), -1)


@pytest.fixture
def world() -> World:
    return World(CONFIG)


def test_together_they_may_have_the_limit_and_no_more(world: World, client: Client) -> None:
    make(client, "/a")
    other = world.connect()
    world.is_disk_held = True
    burst(client, (OpCode.SET_DATA, set_data(1000)), (OpCode.SET_DATA, PLAIN))
    burst(other, (OpCode.SET_DATA, set_data(1500)))
    burst(client, (OpCode.SET_DATA, set_data(THRESHOLD)))
    rejected = world.server.metrics.large_requests_rejected
    assert rejected == 0, "2500 is the limit, and what has the threshold is not large"
    third = world.open()
    world.is_disk_held = False
    third.handshake()
    assert [reply.err for reply in client.replies()] == [0, 0, 0]
    assert [reply.err for reply in other.replies()] == [0]
    world.is_disk_held = True
    burst(client, (OpCode.SET_DATA, set_data(2500)))
    burst(other, (OpCode.SET_DATA, set_data(THRESHOLD)))
    assert world.server.metrics.large_requests_rejected == 0
    burst(other, (OpCode.SET_DATA, set_data(THRESHOLD + 1)))
    assert other.is_closed
    assert world.server.metrics.large_requests_rejected == 1
    world.sync()
    assert [reply.err for reply in client.replies()] == [0]


def test_it_is_refused_by_its_length_before_it_is_there(world: World, client: Client) -> None:
    client.send(encode_request(1, OpCode.SET_DATA, set_data(2501))[:4])
    assert client.is_closed


def test_a_large_one_in_pieces_among_others_is_answered_in_order(
    world: World, client: Client
) -> None:
    make(client, "/a")
    records = [PLAIN, set_data(900), PLAIN, set_data(1100), PLAIN]
    data = b"".join(
        encode_request(number, OpCode.SET_DATA, record) for number, record in enumerate(records)
    )
    client.send(data)
    assert [reply.xid for reply in client.replies()] == [0, 1, 2, 3, 4]
    for at in range(0, len(data), 7):
        client.send(data[at : at + 7])
    assert [reply.xid for reply in client.replies()] == [0, 1, 2, 3, 4]
    assert world.server.metrics.large_requests_rejected == 0


def test_a_read_counts_as_long_as_it_waits(world: World, client: Client) -> None:
    make(client, "/a")
    long_path = PathWatchRequest("/" + "x" * 1500, False)
    for _ in range(3):
        assert client.call(OpCode.EXISTS, long_path).err == -101
    world.is_disk_held = True
    burst(client, (OpCode.SET_DATA, PLAIN), (OpCode.EXISTS, long_path))
    other = world.open()
    world.is_disk_held = False
    other.handshake()
    assert [reply.err for reply in client.replies()] == [0, -101]
    world.is_disk_held = True
    burst(client, (OpCode.SET_DATA, PLAIN), (OpCode.EXISTS, long_path), (OpCode.EXISTS, long_path))
    assert client.is_closed
    world.sync()
    world.is_disk_held = False
    assert other.call(OpCode.SET_DATA, set_data(2500)).err == 0, "what was taken is done"


def test_one_that_fails_or_whose_client_left_gives_its_room_back(
    world: World, client: Client
) -> None:
    make(client, "/a")
    for _ in range(3):
        assert client.call(OpCode.SET_DATA, SetDataRequest("/nosuch", bytes(2000), -1)).err == -101
    world.is_disk_held = True
    burst(client, (OpCode.SET_DATA, set_data(2400)))
    client.connection.closed()
    world.sync()
    world.is_disk_held = False
    assert world.connect().call(OpCode.SET_DATA, set_data(2400)).err == 0


def test_one_that_stops_its_connection_for_a_while_is_the_last_to_be_served() -> None:
    world = World(
        ServerConfig(
            large_request_threshold=THRESHOLD,
            large_request_max_bytes=100_000,
            global_outstanding_limit=1,
        )
    )
    client = world.connect()
    make(client, "/a")
    world.is_disk_held = True
    taken = len(world.log)
    large = (OpCode.SET_DATA, set_data(900))
    burst(client, large, large, (OpCode.SET_DATA, PLAIN), large)
    assert client.connection.is_stalled
    assert len(world.log) - taken == 2
    for _ in range(5):
        world.sync()
    assert [reply.err for reply in client.replies()] == [0] * 4


def test_without_a_threshold_nothing_is_large() -> None:
    client = World(ServerConfig(large_request_max_bytes=100)).connect()
    create = create_request("/a", bytes(10_000))
    assert client.call(OpCode.CREATE, create).err == 0
