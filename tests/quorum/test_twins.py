"""Two servers with one id: what each of them, and the others, can tell."""

from __future__ import annotations

import pytest

from pyzk.clock import Clock
from pyzk.quorum.twins import APART_MS, MANY, MAX_KEYS, RENEWAL_MS, WITHIN_MS, LostLinks


class Server:
    def __init__(self) -> None:
        self.clock = Clock()
        self.lost = LostLinks(3, "zk3:2888:3888", self.clock)

    def lose(self, other: int, count: int = 1, epoch: int = 7, *, every_ms: int = APART_MS) -> None:
        for _ in range(count):
            self.lost.ended(other, epoch)
            self.clock.now_ms += every_ms


def test_a_server_that_lives_and_ends_connections_again_and_again_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server()
    server.lose(1, MANY - 1)
    assert caplog.messages == []
    server.lose(1)
    (line,) = caplog.messages
    assert line.startswith("server 1 has ended 4 connections of this one within 900 ms, and lives")
    assert line.endswith("No two servers may have the same myid; this one is at zk3:2888:3888")
    assert "another server has its id, 3" in line
    server.lose(1, MANY)
    assert len(caplog.messages) == 2


def test_connections_that_replace_others_at_once_are_no_sign(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server()
    for _ in range(MANY - 1):
        server.lose(1, 9, every_ms=APART_MS // 9)
        server.clock.now_ms += APART_MS
    assert caplog.messages == []


def test_what_takes_longer_than_a_minute_is_no_sign(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.lose(1, 99, every_ms=WITHIN_MS // (MANY - 1) + 1)
    assert caplog.messages == []
    server.lose(1, MANY, every_ms=WITHIN_MS // (MANY - 1))
    assert len(caplog.messages) == 1


def test_a_server_that_was_away_or_leads_anew_has_a_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server()
    for epoch in range(9):
        server.lose(1, MANY - 1, epoch)
    for _ in range(9):
        server.lose(2, MANY - 1)
        server.lost.gone(2)
    assert caplog.messages == []


def test_a_change_of_the_configuration_is_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.lose(1, MANY - 1)
    server.lost.renewed("moved:2888:3888")
    server.lose(1, RENEWAL_MS // APART_MS)
    server.clock.now_ms += APART_MS
    server.lose(1, MANY - 1)
    assert caplog.messages == []
    server.lose(1)
    assert caplog.messages[0].endswith("this one is at moved:2888:3888")


def test_memory_is_bounded() -> None:
    server = Server()
    for epoch in range(5 * MAX_KEYS):
        server.lose(1, 1, epoch)
    assert len(server.lost._ended) <= MAX_KEYS
