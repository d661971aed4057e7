"""Seeds that must be clean, the same run twice, the command line, seeds that once showed a bug."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyzk.sim.__main__ import main
from pyzk.sim.options import LIVENESS, SAFETY, draw
from pyzk.sim.run import simulate
from tests.processes import ENVIRONMENT, python

REGRESSIONS = Path(__file__).with_name("regressions.txt")
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def process_of_its_own() -> Iterator[None]:
    """Undoes what the command line sets for its whole process: later tests need the log."""
    logger = logging.getLogger("pyzk")
    propagates = logger.propagate
    yield
    logger.propagate = propagates
    gc.unfreeze()
    gc.enable()


def assert_clean(seed: int, *, is_static: bool = False) -> None:
    result = simulate(seed, is_static=is_static)
    assert not result.violation, "\n".join(
        [*result.lines[-20:], result.options.describe(), result.violation]
    )


@pytest.mark.parametrize("seed", range(1, 11))
def test_a_seed_is_clean(seed: int) -> None:
    assert_clean(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 10_200, 20))
def test_many_seeds_are_clean(first: int) -> None:
    for seed in range(first, first + 20):
        assert_clean(seed)


def regression_seeds() -> list[tuple[int, bool]]:
    """Returns the seeds, and of each whether its ensemble never changes."""
    lines = [line.split() for line in REGRESSIONS.read_text().splitlines()]
    return [(int(line[0]), line[1] == "static") for line in lines if line and line[0] != "#"]


@pytest.mark.parametrize(("seed", "is_static"), regression_seeds())
def test_a_seed_that_showed_a_bug_is_clean(seed: int, is_static: bool) -> None:
    assert_clean(seed, is_static=is_static)


def test_a_run_has_faults_elections_commits_and_answers() -> None:
    results = [simulate(seed) for seed in (3, 4, 5)]
    for what in ("faults", "elections", "commits", "answers"):
        assert sum(getattr(result, what) for result in results) > 0, what


def test_options_come_from_the_seed_alone() -> None:
    assert draw(7) == draw(7)
    drawn = [draw(seed) for seed in range(200)]
    assert {options.mode for options in drawn} == {SAFETY, LIVENESS}
    assert {options.voters for options in drawn} == {1, 2, 3, 4, 5, 7}
    new = "observer_masters", "masterless", "observer_limit_bytes", "master_s", "save_error_s"
    for what in ("groups", "reconfig_s", "spares", "read_only", "port_s", *new):
        assert any(getattr(options, what) for options in drawn), what
    static = [draw(seed, is_static=True) for seed in range(200)]
    assert {options.voters for options in static} == {3, 5, 7}
    assert not any(options.reconfig or options.observer_masters for options in static)


def trace_hash(seed: int, hash_seed: str) -> str:
    code = f"from pyzk.sim.run import simulate; print(simulate({seed}).hash)"
    return python("-c", code, env=ENVIRONMENT | {"PYTHONHASHSEED": hash_seed}).stdout


def test_the_same_seed_is_the_same_run_whatever_the_hash_seed() -> None:
    assert trace_hash(11, "1") == trace_hash(11, "2") != trace_hash(12, "1")


def test_the_command_line_sums_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "2", "--set", "duration_s=3"]) == 0
    assert capsys.readouterr().out.startswith("2 seeds, ")


def test_one_seed_is_traced_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "-v", "--set", "duration_s=2"]) == 0
    shown = capsys.readouterr().out
    assert "leads epoch" in shown
    assert "NEWLEADER" in shown
    assert "seed=3 " in shown
