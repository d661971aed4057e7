"""Mistakes of observer masters and in unsaved configurations are found, nothing without them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pyzk.sim.options import SAFETY
from pyzk.sim.run import simulate
from tests.sim import master_mutations as mistakes

SEEDS = 30

SERVED: dict[str, object] = {
    "mode": SAFETY,
    "observer_masters": True,
    "masterless": (),
    "master_s": 0.5,
    "voters": 3,
    "observers": 2,
    "groups": (),
    "weights": (),
    "reconfig": False,
    "reconfig_s": 0.0,
    "admins": 0,
    "spares": 0,
    "save_error_s": 0.0,
    "lost_s": 0.0,
    "wipe_s": 0.0,
    "is_declared_new": True,
    "clients": 4,
    "operations": 300,
    "pipeline": 10,
    "think_ms": 5,
    "sync_us": 40_000,
    "slow_syncs": 0.0,
    "latency_us": 500,
    "duration_s": 20,
    "crash_s": 1.5,
    "pause_s": 0.0,
    "partition_s": 0.0,
    "tick_ms": 1000,
    "session_timeout_ms": 10_000,
    "silences": 0.0,
    "closes": 0.0,
}
"""Much is proposed and not committed yet when a follower begins to take observers."""
UNSAVED: dict[str, object] = {
    "mode": SAFETY,
    "observer_masters": False,
    "reconfig": True,
    "reconfig_s": 0.3,
    "admins": 1,
    "save_error_s": 1.0,
    "voters": 3,
    "observers": 0,
    "spares": 2,
    "groups": (),
    "weights": (),
    "is_declared_new": True,
    "lost_s": 0.0,
    "duration_s": 10,
    "operations": 20,
    "crash_s": 1.5,
}
"""Much of a run is spent on changes, which often cannot be saved."""


@pytest.mark.source
@pytest.mark.parametrize(
    ("mistake", "options", "rule"),
    [
        (mistakes.forget_pending, SERVED, "observers"),
        (mistakes.never_try_again, UNSAVED, "progress"),
        (mistakes.pass_over_the_log, UNSAVED, "configurations"),
    ],
)
def test_a_mistake_is_found(
    mistake: Callable[[pytest.MonkeyPatch], None],
    options: dict[str, object],
    rule: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        mistake(patched)
        seed, violation = first_found(options)
    assert violation.split(":")[0] == rule
    assert not simulate(seed, overrides=options).violation, "the mistake is not what was found"


def first_found(options: dict[str, object]) -> tuple[int, str]:
    for seed in range(1, SEEDS + 1):
        violation = simulate(seed, overrides=options).violation
        if violation:
            return seed, violation
    return 0, ""


def test_observers_follow_followers_and_a_member_may_have_no_such_port() -> None:
    options = {**SERVED, "operations": 20, "master_s": 1.0}
    assert sum(simulate(seed, overrides=options).observed for seed in (1, 2)) > 0
    nobody = {**options, "masterless": (1, 2, 3, 4, 5)}
    results = [simulate(seed, overrides=nobody) for seed in (1, 2)]
    assert [(each.violation, each.observed) for each in results] == [("", 0)] * 2
