"""The time, as the core sees it.

Pure. The driver writes both fields at the start of a batch; inside a batch time stands still.
"""

from __future__ import annotations


class Clock:
    """Two readings of time in milliseconds; written by the driver, read by the core."""

    __slots__ = ("now_ms", "wall_ms")

    def __init__(self, now_ms: int = 0, wall_ms: int = 0) -> None:
        self.now_ms: int = now_ms
        """Monotonic time in ms, for timeouts and never for data."""
        self.wall_ms: int = wall_ms
        """Time since 1970 in ms, for ctime, mtime and TTL."""
