"""Connections that are closed for their clients to go elsewhere."""

from __future__ import annotations

import json
from random import Random

import pytest

from pyzk.admin.shedding import percentage_in, shed, shed_answer
from pyzk.config.server import ServerConfig
from tests.world import World


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"percentage": 0}', 0),
        (b'{"percentage": 100, "more": 1}', 100),
        (b'{"percentage": 12.9}', 12),
        (b'{"percentage": "50"}', 50),
        (b'{"percentage": true}', 1),
        (b'{"percentage": null}', 0),
        (b'{"percentage": "x"}', 0),
        (b'{"percentage": []}', 0),
    ],
)
def test_the_percentage(body: bytes, expected: int) -> None:
    assert percentage_in(body) == expected


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "Missing required field: percentage"),
        (b"{}", "Missing required field: percentage"),
        (b"[1]", "Missing required field: percentage"),
        (b"5", "Missing required field: percentage"),
        (b'{"percentage": 101}', "Percentage must be between 0 and 100"),
        (b'{"percentage": -1}', "Percentage must be between 0 and 100"),
        (b'{"percentage": 1e300}', "Percentage must be between 0 and 100"),
        (b"{", "Invalid JSON or failed to read request body: "),
        (b"\xff", "Invalid JSON or failed to read request body: "),
        (b"[" * 100_000, "Invalid JSON or failed to read request body: "),
    ],
)
def test_what_asks_for_none(body: bytes, error: str) -> None:
    answer = percentage_in(body)
    assert not isinstance(answer, int)
    assert answer.status == 400
    assert json.loads(b"".join(answer.body))["error"].startswith(error)


def test_all_or_some_are_closed() -> None:
    world = World(ServerConfig(max_client_cnxns=0))
    clients = [world.connect() for _ in range(200)]
    assert shed(world.server, 0, Random(1)) == 0
    count = shed(world.server, 30, Random(1))
    assert 30 < count < 90
    world.settle()
    assert len(world.server.connections) == 200 - count
    assert shed(world.server, 100, Random(1)) == 200 - count
    assert len(world.server.sessions.sessions) == len(clients)


def test_the_answer() -> None:
    found = json.loads(b"".join(shed_answer(30, 7).body))
    assert found == {
        "connections_shed": 7,
        "percentage_requested": 30,
        "command": "shed_connections",
        "error": None,
    }
