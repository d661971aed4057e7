"""Metrics: summaries, percentiles, the order of names, reset."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyzk.metrics import COUNTERS, PERCENTILE_SUMMARIES, SUMMARIES, Metrics
from pyzk.summaries import (
    MEDIAN_RESERVOIR,
    NAMESPACES,
    RESERVOIR,
    PercentileSummary,
    Summary,
)


def test_an_empty_summary_is_all_zero() -> None:
    summary = PercentileSummary()
    assert (summary.count, summary.sum, summary.min, summary.max) == (0, 0, 0, 0)
    assert summary.average == 0.0
    assert summary.percentiles(0.5, 0.999) == [0, 0]


def test_a_summary_keeps_extremes_and_average() -> None:
    summary = Summary()
    for value in (5, 2, 9, 2):
        summary.add(value)
    assert (summary.count, summary.sum, summary.min, summary.max) == (4, 18, 2, 9)
    assert summary.average == 4.5
    summary.reset()
    assert (summary.count, summary.average) == (0, 0.0)


def test_averages_are_rounded_half_up_to_four_decimals() -> None:
    for total, count, expected in ((193, 12, 16.0833), (7, 24, 0.2917), (1, 20000, 0.0001)):
        summary = Summary()
        summary.count, summary.sum = count, total
        assert summary.average == expected


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 5))))
def test_adding_many_is_adding_often(values: list[tuple[int, int]]) -> None:
    one, many = PercentileSummary(), PercentileSummary()
    for value, count in values:
        for _ in range(count):
            one.add(value)
        many.add_many(value, count)
    for name in ("count", "sum", "min", "max"):
        assert getattr(one, name) == getattr(many, name)
    assert one.percentiles(0.1, 0.5, 0.9) == many.percentiles(0.1, 0.5, 0.9)


def test_percentiles_lie_between_the_values() -> None:
    summary = PercentileSummary()
    for value in range(1, 101):
        summary.add(value)
    assert summary.percentiles(0.0, 0.5, 0.95, 0.99, 0.999, 1.0) == [1, 51, 96, 100, 100, 100]


def test_percentiles_are_those_of_the_last_values() -> None:
    summary = PercentileSummary()
    summary.add_many(1000, RESERVOIR + 10)
    assert summary.percentiles(0.5) == [1000]
    summary.add_many(1, RESERVOIR * 3)
    assert summary.percentiles(0.5, 0.999) == [1, 1]
    assert summary.max == 1000
    summary.reset()
    assert summary.percentiles(0.5) == [0]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=30),
    st.integers(1, 12),
    st.integers(0, 20),
)
def test_recent_values_are_the_last_ones(
    rows: list[tuple[int, int]], kept: int, recent: int
) -> None:
    summary = PercentileSummary(kept)
    every: list[int] = []
    for value, count in rows:
        summary.add_many(value, count)
        every += [value] * count
    for count in (recent, kept):
        wanted = sorted(every[-min(count, kept) :]) if count else []
        got = summary.recent(count, 0.0, 1.0)
        assert got == ([wanted[0], wanted[-1]] if wanted else [0, 0])
    plain = PercentileSummary(1000)
    for value in every[-kept:]:
        plain.add(value)
    assert summary.percentiles(0.25, 0.5, 0.9) == plain.percentiles(0.25, 0.5, 0.9)


def test_every_number_has_its_kind_and_comes_in_the_order_of_mntr() -> None:
    metrics = Metrics()
    assert COUNTERS[:2] == ("watch_bytes", "stale_requests_dropped")
    assert COUNTERS[-1] == "revalidate_count"
    assert (SUMMARIES[0], SUMMARIES[-1]) == ("socket_closing_time", "startup_snap_load_time")
    assert PERCENTILE_SUMMARIES[0] == "prep_processor_queue_time_ms"
    assert PERCENTILE_SUMMARIES[-1] == "write_commitproc_time_ms"
    assert [name for name, _ in metrics.counters()] == list(COUNTERS)
    assert [name for name, _ in metrics.summaries()] == list(SUMMARIES)
    assert [name for name, _ in metrics.percentile_summaries()] == list(PERCENTILE_SUMMARIES)
    assert {type(number) for _, number in metrics.counters()} == {int}
    kept = {len(_filled(each)) for _, each in metrics.summaries()}
    assert kept == {MEDIAN_RESERVOIR}
    kept = {len(_filled(each)) for _, each in metrics.percentile_summaries()}
    assert kept == {RESERVOIR}


def _filled(summary: PercentileSummary) -> list[int]:
    """All values that a summary keeps of many, no two the same."""
    for value in range(2 * RESERVOIR):
        summary.add(value)
    low = summary.percentiles(0.0)[0]
    return list(range(low, 2 * RESERVOIR))


def test_response_sizes() -> None:
    metrics = Metrics()
    assert metrics.last_client_response_size == metrics.min_client_response_size == -1
    for size in (20, 16, 93, 24):
        metrics.count_response(size)
    assert metrics.last_client_response_size == 24
    assert metrics.min_client_response_size == 16
    assert metrics.max_client_response_size == 93


def test_writes_are_counted_by_the_first_name_of_their_path() -> None:
    written = Metrics().written
    for path, size in (("/a", 3), ("/a/b/c", 0), ("/", 9), ("/ab/c", 1), ("/a", 100), ("/a/x", 0)):
        written.add(path, size)
    assert list(written.summaries) == ["a", "ab"]
    a, ab = written.summaries.values()
    assert (a.count, a.sum, a.min, a.max) == (4, 5 + 6 + 102 + 4, 4, 102)
    assert (ab.count, ab.sum) == (1, 6)


def test_namespaces_are_counted_apart_up_to_a_limit() -> None:
    written = Metrics().written
    for number in range(NAMESPACES + 5):
        written.add(f"/w{number}", 0)
    assert len(written.summaries) == NAMESPACES
    written.add("/w0", 0)
    written.add("/more", 0)
    written.add("/more/x", 0)
    assert len(written.summaries) == NAMESPACES
    assert written.summaries["w0"].count == 2
    assert sum(summary.count for summary in written.summaries.values()) == NAMESPACES + 1


def test_reset_forgets_everything_and_keeps_the_objects() -> None:
    metrics = Metrics()
    fsync, update = metrics.fsynctime, metrics.updatelatency
    metrics.packets_received = metrics.packets_sent = metrics.fsync_threshold_exceed_count = 5
    metrics.latency.add(4)
    metrics.count_response(10)
    metrics.written.add("/a", 1)
    metrics.snap_count = 3
    fsync.add(1)
    update.add(1)
    metrics.reset()
    assert metrics.packets_received == metrics.packets_sent == metrics.latency.count == 0
    assert metrics.fsync_threshold_exceed_count == metrics.snap_count == 0
    assert metrics.max_client_response_size == -1
    assert metrics.written.summaries == {}
    metrics.written.add("/a/b", 1)
    assert metrics.written.summaries["a"].count == 1
    assert metrics.fsynctime is fsync
    assert metrics.updatelatency is update
    assert fsync.count == update.count == 0
