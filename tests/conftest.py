"""What every test may use: seeded randomness, a clock, patience that slow machines can stretch."""

from __future__ import annotations

import os
import random
import signal
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from pyzk.clock import Clock
from tests.world import START_MS, WALL_MS, Client, World

TIMEOUT_FACTOR = float(os.environ.get("PYZK_TEST_TIMEOUT_FACTOR", "1"))

pytest_plugins = ["pytester"]

# A shared machine may stall: a slow example is no failure.
settings.register_profile(
    "fast",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough", settings.get_profile("fast"), derandomize=False, max_examples=2000
)
settings.load_profile(os.environ.get("PYZK_HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Randomness that is the same in each run of the same test."""
    return random.Random(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture
def clock() -> Clock:
    """A clock that the test moves."""
    return Clock(START_MS, WALL_MS)


@pytest.fixture
def world() -> World:
    """A standalone peer on an empty tree."""
    return World()


@pytest.fixture
def client(world: World) -> Client:
    """A client of it."""
    return world.connect()


@pytest.fixture
def patience() -> float:
    """Seconds after which a live test gives up waiting."""
    return 20.0 * TIMEOUT_FACTOR


@pytest.fixture
def at_a_terminal() -> Iterator[None]:
    """Lets Ctrl-C and a terminal that closes reach the test and what it starts, also where the
    tests run in the background of a shell, or under nohup: SIGINT or SIGHUP is ignored there."""
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    hang_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGHUP, hang_up)
