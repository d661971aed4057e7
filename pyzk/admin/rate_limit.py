"""How often a command of the admin server is carried out.

Pure. ZooKeeper: RateLimiter. Time is cut into intervals, the first of which begins with the server;
in each of them the command is carried out once. An interval ends at the first request behind it,
and with that the next one begins.
"""

from __future__ import annotations


class RateLimit:
    """Lets one request through in each interval."""

    __slots__ = ("_began_ms", "_interval_ms", "_is_free")

    def __init__(self, interval_ms: int, now_ms: int) -> None:
        self._interval_ms: int = interval_ms
        self._began_ms: int = now_ms
        self._is_free: bool = True

    def takes(self, now_ms: int) -> bool:
        """Tells whether a request is carried out now; then no other one is in this interval."""
        if now_ms > self._began_ms + self._interval_ms:
            self._began_ms = now_ms
            self._is_free = True
        is_free, self._is_free = self._is_free, False
        return is_free
