"""Summaries of many numbers: how many, their sum, the least, the greatest, percentiles.

Pure. Answers to AvgMinMaxCounter, AvgMinMaxPercentileCounter and the sets of them. A summary with
percentiles keeps the last 4096 values; the original keeps 4096 drawn at random.
"""

from __future__ import annotations

from typing import Final

RESERVOIR: Final = 4096
"""The number of values that a summary with percentiles keeps."""
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
    """A summary that also knows percentiles of its last values."""

    __slots__ = ("_next", "_values")

    def __init__(self) -> None:
        super().__init__()
        self._values: list[int] = []
        self._next = 0

    def add(self, value: int) -> None:
        super().add(value)
        self._keep(value)

    def add_many(self, value: int, count: int) -> None:
        super().add_many(value, count)
        kept = 0
        while kept < count and kept < RESERVOIR:
            self._keep(value)
            kept += 1

    def _keep(self, value: int) -> None:
        values = self._values
        if len(values) < RESERVOIR:
            values.append(value)
        else:
            at = self._next
            values[at] = value
            self._next = at + 1 if at + 1 < RESERVOIR else 0

    def percentiles(self, *quantiles: float) -> list[int]:
        """Return the value below which each share of the kept values lies, interpolated and
        rounded."""
        values = sorted(self._values)
        return [_quantile(values, quantile) for quantile in quantiles]

    def reset(self) -> None:
        super().reset()
        self._values.clear()
        self._next = 0


def _quantile(ordered: list[int], quantile: float) -> int:
    if not ordered:
        return 0
    position = quantile * (len(ordered) + 1)
    index = int(position)
    if index < 1:
        return ordered[0]
    if index >= len(ordered):
        return ordered[-1]
    low, high = ordered[index - 1], ordered[index]
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
