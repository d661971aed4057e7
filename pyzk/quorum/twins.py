"""Signs that another server runs with the id of this one.

Pure. The protocols have no word for it: who is connected to by two servers with one id keeps the
newer connection. Each of the two then loses its connections to servers that live, and as soon as it
connects again the other one does. ZooKeeper says nothing about it.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from pyzk.outsiders import about

if TYPE_CHECKING:
    from pyzk.clock import Clock

log = logging.getLogger(__name__)

MANY: Final = 4
WITHIN_MS: Final = 60_000
APART_MS: Final = 300
"""Ends that follow each other sooner count once: at a start servers dial each other at the same
time, and an election follows another, so that some connections replace others at once."""
ELECTIONS: Final = -1
"""In the place of an epoch: a connection of the election port."""
MAX_KEYS: Final = 64


class LostLinks:
    """Connections of this server that others have ended."""

    def __init__(self, sid: int, where: str, clock: Clock) -> None:
        """``where``: how this server is told from its twin."""
        self._sid: int = sid
        self._where: str = where
        self._clock: Clock = clock
        self._ended: dict[tuple[int, int], deque[int]] = {}
        """(server, epoch) -> when it has ended connections, in monotonic ms."""

    def ended(self, other: int, epoch: int = ELECTIONS) -> None:
        """Server ``other`` has ended a connection; of the leader, while it led ``epoch``."""
        if len(self._ended) >= MAX_KEYS:
            self._ended.clear()
        times = self._ended.setdefault((other, epoch), deque(maxlen=MANY))
        now = self._clock.now_ms
        if times and now - times[-1] < APART_MS:
            return
        times.append(now)
        if len(times) < MANY or now - times[0] > WITHIN_MS:
            return
        log.error(
            "server %d has ended %d connections of this one within %d ms, and lives: either it does"
            " not hear from this server in time, or another server has its id, %d. No two servers"
            " may have the same myid; this one is at %s",
            other,
            MANY,
            now - times[0],
            self._sid,
            self._where,
            extra=about(f"server {other}"),
        )
        times.clear()

    def gone(self, other: int) -> None:
        """Server ``other`` cannot be reached: that is why its connections have ended."""
        for key in [key for key in self._ended if key[0] == other]:
            del self._ended[key]
