"""The most frequent things, in bounded memory; and that requests are counted by their paths."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.jute.records import PathRequest, PathWatchRequest, SetWatches
from pyzk.server.frequent import KEPT_FOR_EACH, MAX_PATH_CHARS, Frequent
from pyzk.server.operation_names import NAMES, WITHOUT_PATH, paths_of
from pyzk.server.operations import READS, WRITES
from tests.frames import create_request, encode_request, multi
from tests.world import World


def test_few_things_are_counted_exactly() -> None:
    frequent = Frequent(2)
    for name in "abcabcaba":
        frequent.add(name)
    frequent.add("d", 7)
    assert frequent.most() == [("d", 7), ("a", 4)]
    assert frequent.error == 0
    assert frequent.most({"b": 10, "e": 1}) == [("b", 13), ("d", 7)]
    assert frequent.most() == [("d", 7), ("a", 4)], "what was added for once is not kept"


@given(st.lists(st.integers(0, 200), max_size=2000), st.integers(1, 3))
def test_no_number_is_too_small_and_none_too_great_by_more_than_the_error(
    things: list[int], told: int
) -> None:
    frequent = Frequent(told)
    true = Counter(map(str, things))
    for thing in things:
        frequent.add(str(thing))
        assert len(frequent) <= 2 * told * KEPT_FOR_EACH
    for name, count in frequent.most():
        assert true[name] <= count <= true[name] + frequent.error
    assert frequent.error <= len(things) / (told * KEPT_FOR_EACH)


def test_the_frequent_are_found_among_very_many() -> None:
    rng, frequent = Random(1), Frequent(3)
    for number in range(20_000):
        frequent.add(f"/once/{number}")
        if number % 10 == 0:
            frequent.add(f"/often/{rng.randrange(3)}")
    assert {name for name, _ in frequent.most()} == {"/often/0", "/often/1", "/often/2"}


def test_every_operation_of_clients_has_a_name() -> None:
    assert set(NAMES) >= {*READS, *WRITES}
    assert len(set(NAMES.values())) == len(NAMES)


@pytest.mark.parametrize("opcode", sorted({*READS, *WRITES} - WITHOUT_PATH))
def test_what_cannot_be_read_names_no_path(opcode: int) -> None:
    assert paths_of(opcode, b"\0\0\1", 0, 3) == []
    assert paths_of(opcode, b"\xff\xff\xff\xff", 0, 4) == []


def test_paths_of_operations() -> None:
    create = create_request("/a").encode()
    assert paths_of(OpCode.CREATE, b"xx" + create, 2, 2 + len(create)) == ["/a"]
    both = multi((OpCode.CREATE, create_request("/a")), (OpCode.CREATE, create_request("/b")))
    assert paths_of(OpCode.MULTI, both, 0, len(both)) == ["/a", "/b"]
    reads = multi((OpCode.GET_DATA, PathWatchRequest("/c", False)))
    assert paths_of(OpCode.MULTI_READ, reads, 0, len(reads)) == ["/c"]
    watches = SetWatches(0, ["/d"], [], []).encode()
    assert paths_of(OpCode.SET_WATCHES, watches, 0, len(watches)) == []


def served(**changes: int) -> World:
    return World(ServerConfig(**changes))  # type: ignore[arg-type]


def test_paths_of_reads_and_writes_are_counted_where_it_is_asked_for() -> None:
    world = served(metrics_top_paths=2)
    client = world.connect()
    client.create("/a")
    client.create("/b")
    for _ in range(3):
        assert client.call(OpCode.GET_DATA, PathWatchRequest("/a", False)).err == 0
    client.call(OpCode.MULTI, multi((OpCode.CREATE, create_request("/b/c"))))
    client.call(OpCode.EXISTS, PathWatchRequest("/" + "x" * 1000, False))
    # Behind a write: the read waits, and counts once.
    client.submit(OpCode.CREATE, create_request("/d"))
    client.submit(OpCode.GET_ACL, PathRequest("/b"))
    world.settle()
    paths = world.server.tops.paths
    assert paths is not None
    assert paths.counted.most() == [("/a", 4), ("/b", 2)]
    counted = dict(paths.counted.most({"/" + "x" * (MAX_PATH_CHARS - 1): 9}))
    assert counted["/" + "x" * (MAX_PATH_CHARS - 1)] == 10, "a long path is cut"


def test_nothing_stands_in_front_of_requests_where_it_is_off() -> None:
    world = served()
    assert (world.server.tops.paths, world.server.tops.clients) == (None, None)
    assert world.server.reads is READS
    assert {opcode: WRITES[opcode] for opcode in world.server.writes} == world.server.writes


def test_clients_that_have_gone_are_counted_by_address() -> None:
    world = served(metrics_top_clients=1)
    client = world.connect()
    client.create("/a")
    client.connection.closed()
    clients = world.server.tops.clients
    assert clients is not None
    assert clients.most() == [(client.connection.host, 2)]


def test_requests_are_counted_by_operation_however_they_come() -> None:
    world = served()
    client = world.connect()
    metrics = world.server.metrics
    get = encode_request(1, OpCode.GET_DATA, PathWatchRequest("/", False))
    create = encode_request(2, OpCode.CREATE, create_request("/a"))
    ping = encode_request(-2, OpCode.PING)
    before = world.server.metrics.packets_received
    client.send(get + get + create + get + ping + ping)
    world.settle()
    assert world.server.metrics.packets_received == before + 6
    counts = metrics.operations
    assert [counts[each] for each in (OpCode.GET_DATA, OpCode.CREATE, OpCode.PING)] == [3, 1, 2]
    client.send(get[:7])
    client.send(get[7:])
    assert metrics.operations[OpCode.GET_DATA] == 4
    client.send(encode_request(3, 77))
    assert sum(metrics.operations) == 8
