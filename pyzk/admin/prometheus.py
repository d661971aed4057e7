"""What one scrape of Prometheus is told: families of samples, the window of quantiles, a choice.

Pure. The families are those of `pyzk.server.metric_families`; a shell writes them as text.
ZooKeeper: PrometheusMetricsProvider with its servlet, and the Summary of Prometheus's Java client.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from pyzk.server.metric_families import Counts, Family, counts, families

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pyzk.server.server import Server

WINDOW_MS: Final = 600_000
"""How old the values may be of which quantiles are told."""
MARK_MS: Final = 10_000
"""A scrape that comes sooner after the last one that is remembered is not remembered itself."""


class Window:
    """Knows how many values each summary had at the scrapes of the last ten minutes, and at the one
    before: so a scrape knows which values are that old, and between scrapes nothing is done."""

    def __init__(self) -> None:
        self._marks: deque[tuple[int, Counts]] = deque()

    def begin(self, server: Server) -> Counts | None:
        """Return the counts of when the window of a scrape that comes now begins; None if that is
        not known, because nobody asked then."""
        now_ms = server.clock.now_ms
        marks = self._marks
        while len(marks) > 1 and marks[1][0] <= now_ms - WINDOW_MS:
            marks.popleft()
        found = marks[0][1] if marks and marks[0][0] <= now_ms - WINDOW_MS else None
        if not marks or now_ms >= marks[-1][0] + MARK_MS:
            marks.append((now_ms, counts(server)))
        return found


def scrape(server: Server, window: Window, names: Collection[str] = ()) -> Iterator[Family]:
    """Yield what a scrape is told, by families; with ``names`` only the samples of these names."""
    for family in families(server, window.begin(server)):
        if not names:
            yield family
            continue
        samples = [each for each in family.samples if each.name in names]
        if samples:
            yield family._replace(samples=samples)
