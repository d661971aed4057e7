"""When a snapshot is due: by count, by bytes, and by the size of the tree."""

from __future__ import annotations

from random import Random

import pytest

from pyzk.server.snapshot_trigger import SnapshotTrigger


def fires(
    trigger: SnapshotTrigger, records: int, record_bytes: int = 100, znodes: int = 5
) -> list[int]:
    """After which records a snapshot is due."""
    return [number for number in range(1, records + 1) if trigger.logged(record_bytes, znodes)]


@pytest.mark.parametrize("seed", range(20))
def test_a_snapshot_is_due_between_half_the_count_and_all_of_it(seed: int) -> None:
    due = fires(SnapshotTrigger(100, 0, Random(seed)), 1000)
    gaps = [after - before for before, after in zip([0, *due], due, strict=False)]
    assert all(51 <= gap <= 100 for gap in gaps)
    assert len(set(gaps)) > 1
    assert due == fires(SnapshotTrigger(100, 0, Random(seed)), 1000)


@pytest.mark.parametrize("seed", range(20))
def test_a_snapshot_is_due_between_half_the_bytes_and_all_of_them(seed: int) -> None:
    due = fires(SnapshotTrigger(1_000_000, 10_000, Random(seed)), 1000)
    gaps = [after - before for before, after in zip([0, *due], due, strict=False)]
    assert all(50 <= gap <= 100 for gap in gaps)


@pytest.mark.parametrize("limit", [0, -1])
def test_bytes_without_limit_do_not_count(limit: int) -> None:
    assert fires(SnapshotTrigger(1000, limit, Random(1)), 500, 1 << 30) == []


def test_the_least_count_works() -> None:
    assert fires(SnapshotTrigger(2, 0, Random(1)), 6) == [2, 4, 6]
    assert fires(SnapshotTrigger(1, 0, Random(1)), 3) == [1, 2, 3]


def test_a_large_tree_is_not_written_more_often_than_it_changes() -> None:
    trigger = SnapshotTrigger(1000, 0, Random(1))
    assert fires(trigger, 100_000, znodes=160_000) == [40_000, 80_000]
    assert len(fires(trigger, 200_000, znodes=100_000)) > 200
    assert fires(SnapshotTrigger(200_000, 0, Random(1)), 99_000, znodes=160_000) == []


def test_the_limit_in_bytes_holds_for_a_large_tree_too() -> None:
    due = fires(SnapshotTrigger(100, 10_000, Random(1)), 1000, znodes=1_000_000)
    assert due
    assert max(after - before for before, after in zip([0, *due], due, strict=False)) <= 100
