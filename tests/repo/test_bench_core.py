"""`make bench-core`: what is counted, and that a count over its bound is told."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from scripts.bench import core, core_work

COUNTS = {"get": 1_000, "set": 2_000}


@pytest.fixture
def bounds(tmp_path: Path) -> Path:
    path = tmp_path / "bounds.json"
    path.write_text(json.dumps({"python": "3.9.1", "bounds": {"compiled": {"get": 7}}}))
    core.record(path, {"source": COUNTS})
    return path


def test_the_counts_between_pairs_of_marks_are_those_of_the_operations() -> None:
    # Before the first mark; then the first round, the second, and the end.
    totals = [900, 11, 5, 12, 5, 500, 5, 1_200, 77]
    assert core.per_operation("100 get\n3 multi of 100 creates\n", totals) == {
        "get": 5,
        "multi of 100 creates": 400,
    }


def test_an_operation_may_cost_a_tenth_more_than_its_bound(
    bounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert core.judge(bounds, {"source": {"get": 1_100, "set": 10}}) == 0
    out, err = capsys.readouterr()
    assert "no operation costs over 10% more than its bound" in out
    assert err == ""


def test_an_operation_that_costs_more_fails_with_how_much(
    bounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert core.judge(bounds, {"source": {"get": 1_101, "set": 2_000}}) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "source: get costs 1,101 instructions, +10.1% of 1,000 (at most +10%)"
    assert 'make bench-core ARGS="--record" records new bounds' in second


def test_an_operation_without_a_bound_fails(
    bounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert core.judge(bounds, {"source": {**COUNTS, "delete": 1}}) == 1
    assert "source: delete has no bound" in capsys.readouterr().err


def test_bounds_of_another_python_are_not_compared(
    bounds: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "python_version_tuple", lambda: ("3", "99", "0"))
    assert core.judge(bounds, {"source": {"get": 9_999}}) == 0
    assert "not compared: the bounds are those of Python 3." in capsys.readouterr().out


def test_to_record_one_form_keeps_the_other(bounds: Path) -> None:
    written = json.loads(bounds.read_text())
    assert written["python"] == platform.python_version()
    assert written["bounds"] == {"compiled": {"get": 7}, "source": COUNTS}


def test_without_valgrind_it_is_skipped_aloud(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert core.main([]) == 0
    assert capsys.readouterr().out == "skipped: valgrind is not installed\n"


def test_every_operation_has_a_bound_in_both_forms(capsys: pytest.CaptureFixture[str]) -> None:
    core_work.main()
    names = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    bounds = json.loads(core.BOUNDS.read_text())["bounds"]
    assert {form: list(counts) for form, counts in bounds.items()} == dict.fromkeys(
        core.FORMS, names
    )
