"""What every test may use: seeded randomness, a clock, patience that slow machines can stretch."""

from __future__ import annotations

import os
import random
import zlib

import pytest
from hypothesis import HealthCheck, settings

from pyzk.clock import Clock

TIMEOUT_FACTOR = float(os.environ.get("PYZK_TEST_TIMEOUT_FACTOR", "1"))

pytest_plugins = ["pytester"]

# A shared machine may stall: a slow example is no failure.
settings.register_profile(
    "fast", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
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
    return Clock(now_ms=1_000_000, wall_ms=1_700_000_000_000)


@pytest.fixture
def patience() -> float:
    """Seconds after which a live test gives up waiting."""
    return 20.0 * TIMEOUT_FACTOR
