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
        if count > 0:
            self.add(value)
            self.count += count - 1
            self.sum += value * (count - 1)

    def add_all(self, values: list[int]) -> None:
        """Add some numbers, at least one."""
        least, greatest = min(values), max(values)
        if self.count == 0 or least < self.min:
            self.min = least
        if self.count == 0 or greatest > self.max:
            self.max = greatest
        self.count += len(values)
        self.sum += sum(values)

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
        for _ in range(min(count, RESERVOIR) - 1):
            self._keep(value)

    def _keep(self, value: int) -> None:
        values = self._values
        if len(values) < RESERVOIR:
            values.append(value)
        else:
            values[self._next] = value
            self._next = (self._next + 1) % RESERVOIR

    def add_all(self, values: list[int]) -> None:
        super().add_all(values)
        kept = self._values
        kept += values
        if len(kept) > RESERVOIR:
            del kept[: len(kept) - RESERVOIR]
            self._next = 0

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


def add_by_namespace(writes: list[tuple[str, int]], summaries: dict[str, Summary]) -> None:
    """Add the (path, bytes of data) of a batch of writes under the first component of the path; the
    path counts, too."""
    by_namespace: dict[str, list[int]] = {}
    for path, size in writes:
        end = path.find("/", 1)
        namespace = path[1:] if end < 0 else path[1:end]
        sizes = by_namespace.get(namespace)
        if sizes is None:
            by_namespace[namespace] = [len(path) + size]
        else:
            sizes.append(len(path) + size)
    by_namespace.pop("", None)  # the root belongs to none
    for namespace, sizes in by_namespace.items():
        summary = summaries.get(namespace)
        if summary is None:
            if len(summaries) >= NAMESPACES:
                continue
            summary = summaries[namespace] = Summary()
        summary.add_all(sizes)
