"""When the loop may wait for a sync itself. All times are given."""

from __future__ import annotations

from pyzk.runtime.sync_times import LONGEST_SYNC_S, MAX_PAUSE_S, SHORT_SYNC_S, SyncTimes

SHORT_S = SHORT_SYNC_S / 2


def test_a_disk_is_slow_until_a_sync_was_short() -> None:
    times = SyncTimes()
    assert not times.are_shorter(SHORT_SYNC_S, 0.0)
    times.note(SHORT_SYNC_S)
    assert not times.are_shorter(SHORT_SYNC_S, 0.0)
    times.note(SHORT_S)
    assert times.are_shorter(SHORT_SYNC_S, 0.0)
    times.note_of_loop(SHORT_SYNC_S, 0.0)
    assert not times.are_shorter(SHORT_SYNC_S, 1e9)
    times.note_of_loop(SHORT_S, 1e9)
    assert times.are_shorter(SHORT_SYNC_S, 1e9)


def test_the_thread_tells_only_how_long_a_sync_took_at_most() -> None:
    times = SyncTimes()
    times.note_of_loop(SHORT_S, 0.0)
    times.note(10 * SHORT_SYNC_S)
    assert times.are_shorter(1.1 * SHORT_S, 0.0), "it has waited for the interpreter"
    times.note(0.5 * SHORT_S)
    assert times.are_shorter(0.6 * SHORT_S, 0.0)


def test_who_can_wait_for_less_asks_for_less() -> None:
    times = SyncTimes()
    times.note(SHORT_S)
    assert not times.are_shorter(SHORT_S, 0.0)
    assert times.are_shorter(1.1 * SHORT_S, 0.0)
    times.note_of_loop(0.9 * LONGEST_SYNC_S, 0.0)
    assert times.are_shorter(LONGEST_SYNC_S, 0.0)
    times.note_of_loop(LONGEST_SYNC_S, 0.0)
    assert not times.are_shorter(10 * LONGEST_SYNC_S, 1e9), "the loop waits for no longer"


def test_a_long_sync_of_the_thread_costs_no_pause() -> None:
    times = SyncTimes()
    times.note(10.0)
    times.note(SHORT_S)
    assert times.are_shorter(SHORT_SYNC_S, 0.0)


def pause_after(took_s: float) -> float:
    """Returns for how long the loop waits for no sync, to the millisecond."""
    times = SyncTimes()
    times.note_of_loop(took_s, 100.0)
    times.note(SHORT_S)
    waited_ms = 0
    while not times.are_shorter(SHORT_SYNC_S, 100.0 + waited_ms / 1000):
        waited_ms += 1
    return waited_ms / 1000


def test_the_longer_the_loop_has_waited_the_longer_the_pause_in_relation() -> None:
    assert pause_after(SHORT_S) == pause_after(0.9 * LONGEST_SYNC_S) == 0
    assert pause_after(0.001) == 0.001
    assert pause_after(0.01) == 0.1
    assert pause_after(0.1) == 10.0
    assert pause_after(1.0) == pause_after(30.0) == MAX_PAUSE_S
