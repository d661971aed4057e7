"""Summaries of many numbers: how many, their sum, the least, the greatest, percentiles.

Pure. Answers to AvgMinMaxCounter, AvgMinMaxPercentileCounter and the sets of them. A summary with
percentiles keeps the last 4096 values; the original keeps 4096 drawn at random. One without keeps
fewer, for the median that Prometheus is told.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Final

RESERVOIR: Final = 4096
"""The number of values that a summary with percentiles keeps."""
MEDIAN_RESERVOIR: Final = 512
"""The number of values that a summary keeps of which only the median is told."""
NAMESPACES: Final = 1000
"""The number of namespaces whose writes are counted; further ones are not."""
_NO_PREFIX: Final = "\0"
"""What no path begins with."""


class Summary:
    """How many numbers there were, their sum, the least and the greatest; all 0 before the
    first."""

    __slots__ = ("count", "max", "min", "sum")

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0
        self.min = 0
        self.max = 0

    def add(self, value: int) -> None:
        """Add one number."""
        if self.count == 0:
            self.min = self.max = value
        elif value < self.min:
            self.min = value
        elif value > self.max:
            self.max = value
        self.count += 1
        self.sum += value

    def add_many(self, value: int, count: int) -> None:
        """Add one number, ``count`` times."""
        if count <= 0:
            return
        if self.count == 0:
            self.min = self.max = value
        elif value < self.min:
            self.min = value
        elif value > self.max:
            self.max = value
        self.count += count
        self.sum += value * count

    @property
    def average(self) -> float:
        """The average, rounded to four decimals, half up, as reports show it."""
        if self.count == 0:
            return 0.0
        return (self.sum * 20000 + self.count) // (2 * self.count) / 10000

    def reset(self) -> None:
        """Forget every number; the object stays the same."""
        self.count = self.sum = self.min = self.max = 0


class PercentileSummary(Summary):
    """A summary that also knows percentiles of its last values.

    Values come in rows, most often of zeros: rows are kept, not values, so that to add a row costs
    the same however long it is. The newest row is in plain attributes: a number in a list is an
    object, and to make one costs the compiled form more than all the rest."""

    __slots__ = ("_counts", "_kept", "_last", "_next", "_row_count", "_row_value", "_values")

    def __init__(self, kept: int = RESERVOIR) -> None:
        """``kept`` is how many values are kept."""
        super().__init__()
        self._kept = kept
        self._row_value = 0
        self._row_count = 0
        """The newest row: its value, and how many there are of it; 0 before the first."""
        self._values: list[int] = []
        """The values of the other rows; when it is full the oldest is at ``_next``."""
        self._counts: list[int] = []
        """How many values each of those has."""
        self._next = 0
        self._last = -1
        """Where the newest of those is; -1 if there is none."""

    def add(self, value: int) -> None:
        self.add_many(value, 1)

    def add_many(self, value: int, count: int) -> None:
        if count <= 0:
            return
        if self.count == 0:
            self.min = self.max = value
        elif value < self.min:
            self.min = value
        elif value > self.max:
            self.max = value
        self.count += count
        self.sum += value * count
        if value != self._row_value:
            self._end_row()
            self._row_value = value
        self._row_count += count

    def _end_row(self) -> None:
        """Put the newest row to the others."""
        count, self._row_count = self._row_count, 0
        if not count:
            return
        values = self._values
        if len(values) < self._kept:
            self._last = len(values)
            values.append(self._row_value)
            self._counts.append(count)
            return
        at = self._last = self._next
        values[at] = self._row_value
        self._counts[at] = count
        self._next = at + 1 if at + 1 < self._kept else 0

    def percentiles(self, *quantiles: float) -> list[int]:
        """Return the value below which each share of the kept values lies, interpolated and
        rounded."""
        return self.recent(self._kept, *quantiles)

    def recent(self, count: int, *quantiles: float) -> list[int]:
        """Return the same of the last ``count`` values only, or of those that are kept."""
        rows = sorted(self._rows(min(count, self._kept)))
        values = [value for value, _ in rows]
        ends = list(accumulate([number for _, number in rows]))
        return [_quantile(values, ends, quantile) for quantile in quantiles]

    def _rows(self, count: int) -> list[tuple[int, int]]:
        """Return the last ``count`` values as (value, how many), the newest first."""
        begin = self._last + 1  # of the older half, which goes on where the newest row ends
        values = [*self._values[begin:], *self._values[:begin], self._row_value]
        counts = [*self._counts[begin:], *self._counts[:begin], self._row_count]
        values.reverse()
        counts.reverse()
        ends = list(accumulate(counts))
        whole = bisect_right(ends, count)
        rows = list(zip(values[:whole], counts[:whole], strict=True))
        left = count - ends[whole - 1] if whole else count
        if whole < len(values) and left > 0:
            rows.append((values[whole], left))
        return rows

    def reset(self) -> None:
        super().reset()
        self._values.clear()
        self._counts.clear()
        self._row_count = self._next = 0
        self._last = -1


def _quantile(values: list[int], ends: list[int], quantile: float) -> int:
    """Return a quantile of values in order; ``ends`` says how many there are up to and with each
    of them."""
    total = ends[-1] if ends else 0
    if not total:
        return 0
    position = quantile * (total + 1)
    index = int(position)
    if index < 1:
        return values[0]
    if index >= total:
        return values[-1]
    low, high = values[bisect_right(ends, index - 1)], values[bisect_right(ends, index)]
    return int(low + (position - index) * (high - low) + 0.5)


class WrittenByNamespace:
    """The bytes that were written, by the first component of the path; the path counts, too."""

    __slots__ = ("_latest", "_prefix", "summaries")

    def __init__(self) -> None:
        self.summaries: dict[str, Summary] = {}
        """Namespace -> how many bytes its writes had."""
        # Writes come in rows: the namespace of the last one is most often that of the next.
        self._latest: Summary | None = None
        self._prefix = _NO_PREFIX

    def add(self, path: str, size: int) -> None:
        """Add a write of ``size`` bytes of data."""
        summary = self._latest if path.startswith(self._prefix) else self._find(path)
        if summary is not None:
            summary.add(len(path) + size)

    def _find(self, path: str) -> Summary | None:
        """Return the summary of a path, a new one if it is the first of its namespace; None for the
        root, which belongs to none, and for namespaces that are too many."""
        end = path.find("/", 1)
        namespace = path[1:] if end < 0 else path[1:end]
        if not namespace:
            return None
        summary = self.summaries.get(namespace)
        if summary is None:
            if len(self.summaries) >= NAMESPACES:
                return None
            summary = self.summaries[namespace] = Summary()
        self._latest = summary
        self._prefix = f"/{namespace}/"
        return summary

    def reset(self) -> None:
        """Forget every write."""
        self.summaries.clear()
        self._latest = None
        self._prefix = _NO_PREFIX
