"""The last events and requests, for the report of a test that failed.

Shell. Events and requests have a bounded queue each, so that many pings do not push out the few
events. Of a request only the first bytes are kept; they are decoded when a report is made.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Final

KEPT_EVENTS: Final = 200
KEPT_REQUESTS: Final = 50
KEPT_BYTES: Final = 160


class EventLog:
    """The last events and requests with their times, in ms of the server's clock."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._begun_ms = now_ms()
        self._order = itertools.count()
        self._events: deque[tuple[int, int, str]] = deque(maxlen=KEPT_EVENTS)
        self._requests: deque[tuple[int, int, str, bytes, bool]] = deque(maxlen=KEPT_REQUESTS)

    def note(self, text: str) -> None:
        """Keep an event."""
        self._events.append((next(self._order), self._now_ms(), text))

    def request(self, address: str, data: bytes, is_first: bool) -> None:
        """Keep the beginning of what a client sent."""
        kept = data[:KEPT_BYTES]
        self._requests.append((next(self._order), self._now_ms(), address, kept, is_first))

    def lines(self, describe: Callable[[bytes, bool], str]) -> list[str]:
        """Return everything that is kept, oldest first, one line each."""
        # Copied whole: a thread that looks at a server on its way up runs beside its loop.
        entries = list(self._events)
        entries += [
            (order, at, f"{address} sent {describe(data, is_first)}")
            for order, at, address, data, is_first in list(self._requests)
        ]
        return [f"{(at - self._begun_ms) / 1000:9.3f} s  {text}" for _, at, text in sorted(entries)]
