"""When transactions were made, and how long they took."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyzk.quorum.txn_times import TxnTimes
from pyzk.summaries import PercentileSummary


@given(
    st.lists(st.integers(1, 4), max_size=30), st.lists(st.integers(0, 6), min_size=1, max_size=30)
)
def test_each_transaction_counts_once_in_order(made: list[int], taken: list[int]) -> None:
    times, summary, wanted = TxnTimes(), PercentileSummary(), PercentileSummary()
    left = sorted(made)
    for time_ms in left:
        times.add(time_ms)
    for number, count in enumerate(taken):
        now_ms = 10 + number
        count = min(count, len(left))
        times.take(count, now_ms, summary)
        for time_ms in left[:count]:
            wanted.add(now_ms - time_ms)
        del left[:count]
    assert (summary.count, summary.sum) == (wanted.count, wanted.sum)
    assert summary.percentiles(0.0, 1.0) == wanted.percentiles(0.0, 1.0)


def test_what_comes_from_the_future_is_left_out() -> None:
    times, summary = TxnTimes(), PercentileSummary()
    for time_ms in (10, 30, 30, 20):
        times.add(time_ms)
    times.take(4, 25, summary)
    assert (summary.count, summary.sum) == (2, 15 + 5)
    times.add(20)
    times.take(1, 26, summary)
    assert (summary.count, summary.max) == (3, 15)
