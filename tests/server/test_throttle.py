"""The bucket of connection tokens, by itself and in front of the handshake."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from pyzk.clock import Clock
from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.server.throttle import ConnectionThrottle
from tests.world import World

CONFIG = ServerConfig(
    connection_throttle_tokens=3,
    connection_throttle_fill_time_ms=100,
    connection_throttle_fill_count=1,
)


class Chance(Random):
    """Draws what it is told to."""

    def __init__(self, value: float) -> None:
        super().__init__(0)
        self.value = value

    def random(self) -> float:
        return self.value


def throttle_of(config: ServerConfig, chance: float = 0.5) -> tuple[ConnectionThrottle, Clock]:
    clock = Clock(1000, 0)
    return ConnectionThrottle(config, clock, Chance(chance)), clock


def admitted(throttle: ConnectionThrottle, count: int) -> int:
    """How many of so many new sessions are admitted now."""
    return sum(throttle.admits(is_renewal=False) for _ in range(count))


def test_without_tokens_everybody_is_admitted() -> None:
    throttle, _ = throttle_of(ServerConfig())
    assert admitted(throttle, 1000) == 1000
    assert throttle.deficit == 0


def test_a_burst_then_the_rate_of_filling() -> None:
    throttle, clock = throttle_of(CONFIG)
    assert admitted(throttle, 5) == 3
    assert throttle.deficit == 3
    clock.now_ms += 100
    assert admitted(throttle, 1) == 0, "later than the fill time, not at it"
    clock.now_ms += 1
    assert admitted(throttle, 5) == 1
    clock.now_ms += 250
    assert admitted(throttle, 5) == 2
    clock.now_ms += 10_000
    assert admitted(throttle, 5) == 3, "the bucket holds no more"


def test_a_new_session_may_cost_more_than_a_renewal() -> None:
    config = replace(CONFIG, connection_throttle_weight_enabled=True)
    throttle, clock = throttle_of(config)
    assert admitted(throttle, 5) == 3, "the tokens of the configuration are new sessions"
    assert throttle.deficit == 9
    clock.now_ms += 101  # one new session's worth
    assert throttle.admits(is_renewal=True)
    assert not throttle.admits(is_renewal=True)
    assert throttle.deficit == 8


def test_a_new_local_session_costs_its_own_weight() -> None:
    config = replace(
        CONFIG,
        connection_throttle_weight_enabled=True,
        connection_throttle_global_session_weight=3,
        connection_throttle_local_session_weight=2,
    )
    throttle, _ = throttle_of(config)
    assert throttle.admits(is_renewal=False, is_local=True)
    assert throttle.deficit == 2
    assert throttle.admits(is_renewal=False)
    assert throttle.deficit == 5
    assert throttle.admits(is_renewal=True, is_local=True)
    assert throttle.deficit == 7


def test_no_weight_is_less_than_that_of_a_local_session() -> None:
    config = replace(
        CONFIG,
        connection_throttle_weight_enabled=True,
        connection_throttle_global_session_weight=2,
        connection_throttle_renew_session_weight=1,
        connection_throttle_local_session_weight=4,
    )
    throttle, _ = throttle_of(config)
    assert throttle.admits(is_renewal=True)
    assert throttle.deficit == 4
    assert throttle.admits(is_renewal=False)
    assert throttle.deficit == 8


def test_an_empty_bucket_raises_the_share_that_is_turned_away_by_chance() -> None:
    config = replace(
        CONFIG,
        connection_throttle_freeze_time_ms=50,
        connection_throttle_fill_time_ms=1000,
        connection_throttle_drop_increase=0.4,
        connection_throttle_drop_decrease=0.25,
        connection_throttle_decrease_ratio=0.4,
    )
    throttle, clock = throttle_of(config, chance=0.5)
    assert admitted(throttle, 4) == 3
    assert throttle.drop_probability == 0.0
    clock.now_ms += 51
    assert admitted(throttle, 1) == 0
    assert throttle.drop_probability == 0.4
    assert admitted(throttle, 1) == 0
    assert throttle.drop_probability == 0.4, "once in the freeze time"
    for expected in (0.8, 1.0, 1.0):
        clock.now_ms += 51
        assert admitted(throttle, 1) == 0
        assert throttle.drop_probability == expected
    clock.now_ms += 10_000
    assert admitted(throttle, 1) == 0, "the bucket is full, but chance decides first"
    assert throttle.drop_probability == 0.75
    clock.now_ms += 51
    assert admitted(throttle, 1) == 1, "0.5 is not below 0.5"
    assert throttle.drop_probability == 0.5
    assert throttle.deficit == 1
    clock.now_ms += 51
    assert admitted(throttle, 1) == 1
    assert throttle.drop_probability == 0.25, "nearly full: 1 of 3 is gone, 0.4 of 3 is 1.2"
    clock.now_ms += 51
    assert admitted(throttle, 1) == 1
    assert throttle.drop_probability == 0.25, "2 of 3 are gone"


def test_a_connect_request_without_a_token_is_closed_without_reply(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(replace(CONFIG, connection_throttle_tokens=2))
    first = world.connect()
    world.connect()
    third = world.open()
    assert third.handshake() is None
    assert third.is_closed
    assert "connection_throttle_tokens" in caplog.text
    metrics = world.server.metrics
    assert metrics.connection_rejected == 1
    assert (metrics.connection_token_deficit.count, metrics.connection_token_deficit.max) == (2, 2)
    assert first.ping().err == 0
    world.advance(101)
    again = world.open()
    assert again.handshake(session_id=first.session_id, password=first.password) is not None
    assert again.call(OpCode.PING).err == 0
