"""Requests that take long: each is counted, some are logged."""

from __future__ import annotations

import logging

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.jute.records import PathWatchRequest
from pyzk.server.slow_requests import LINE_INTERVAL_MS
from tests.frames import create_request, multi
from tests.world import World


def slow_world(threshold_ms: int = 500) -> World:
    return World(ServerConfig(slow_request_ms=threshold_ms))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "pyzk.server.slow_requests"
    ]


def test_a_slow_write_and_the_read_behind_it_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = slow_world()
    client = world.connect()
    world.is_disk_held = True
    caplog.set_level(logging.WARNING)
    client.submit(OpCode.CREATE, create_request("/a"))
    client.submit(OpCode.GET_DATA, PathWatchRequest("/a", False))
    world.advance(499)
    world.sync()
    assert world.server.metrics.slow_requests == 0
    client.submit(OpCode.CREATE, create_request("/b"))
    client.submit(OpCode.GET_DATA, PathWatchRequest("/b", False))
    world.advance(500)
    world.sync()
    assert world.server.metrics.slow_requests == 2
    (line,) = lines(caplog)
    session = f"0x{client.connection.session_id:x}"
    assert line.startswith(f"slow request: create '/b' of session {session} (/127.0.0.1), which")
    assert line.endswith("took 500 ms")
    world.advance(LINE_INTERVAL_MS)
    client.submit(OpCode.CREATE, create_request("/c"))
    client.submit(OpCode.GET_DATA, PathWatchRequest("/c\n", False))
    world.advance(600)
    world.sync()
    assert lines(caplog)[1].endswith("took 600 ms; 1 others since the last such line")
    assert world.server.metrics.slow_requests == 4


def test_slow_writes_of_one_latency_count_each(caplog: pytest.LogCaptureFixture) -> None:
    world = slow_world(100)
    clients = [world.connect() for _ in range(5)]
    world.is_disk_held = True
    for number, client in enumerate(clients):
        client.submit(OpCode.CREATE, create_request(f"/a{number}"))
    world.advance(100)
    world.sync()
    assert world.server.metrics.slow_requests == 5
    assert len(lines(caplog)) == 1


def test_a_multi_is_named_with_some_of_its_paths(caplog: pytest.LogCaptureFixture) -> None:
    world = slow_world(100)
    client = world.connect()
    world.is_disk_held = True
    client.submit(OpCode.MULTI, multi(*[(OpCode.CREATE, create_request(f"/{n}")) for n in "abcde"]))
    world.advance(100)
    world.sync()
    assert "multi '/a', '/b', '/c' and 2 more of session" in lines(caplog)[0]


def test_no_request_is_slow_where_nobody_says_so(caplog: pytest.LogCaptureFixture) -> None:
    world = slow_world(0)
    client = world.connect()
    world.is_disk_held = True
    client.submit(OpCode.CREATE, create_request("/a"))
    world.advance(1_000_000)
    world.sync()
    assert (world.server.metrics.slow_requests, lines(caplog)) == (0, [])
