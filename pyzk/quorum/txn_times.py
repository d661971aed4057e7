"""When the transactions were made that a server waits for, to tell later how long they took.

Pure. ZooKeeper: Request.logLatency, which looks at the time in the header of each transaction. The
transactions of one turn mostly have one time: there is a row for each time, not for each
transaction.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyzk.summaries import PercentileSummary


class TxnTimes:
    """The times of transactions whose zxids follow each other, in rows."""

    __slots__ = ("_count", "_rows", "_time")

    def __init__(self) -> None:
        self._rows: deque[tuple[int, int]] = deque()
        """(time in ms, how many transactions), the oldest first, without the newest row."""
        self._time: int = -1
        self._count: int = 0
        """How many transactions the newest row has."""

    def add(self, time_ms: int) -> None:
        """Note that one more transaction was made at this time."""
        if time_ms != self._time:
            if self._count:
                self._rows.append((self._time, self._count))
            self._time = time_ms
            self._count = 0
        self._count += 1

    def take(self, count: int, now_ms: int, summary: PercentileSummary) -> None:
        """Tell a summary how long the oldest ``count`` transactions have taken until now, and
        forget them. What seems to come from the future is left out: clocks differ."""
        rows = self._rows
        while count > 0:
            is_newest = not rows
            time_ms, there = (self._time, self._count) if is_newest else rows[0]
            taken = min(count, there)
            if now_ms >= time_ms:
                summary.add_many(now_ms - time_ms, taken)
            if is_newest:
                self._count -= taken
                return
            if taken < there:
                rows[0] = (time_ms, there - taken)
            else:
                rows.popleft()
            count -= taken
