"""Signs that another server runs with the id of this one.

Pure. No message of the protocols tells of it: when two servers with one id connect to a server,
that server keeps the newer connection. Each of the two then loses its connections to servers that
live; when it connects again, the other one loses its own.

Where this differs from ZooKeeper, on purpose: this server says in its log that it has a twin.
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
"""Two ends with less time between them count as one: at a start servers dial each other at the same
time, and elections follow each other, so that some connections replace others at once."""
ELECTIONS: Final = -1
"""Stands in place of an epoch for a connection of the election port."""
MAX_KEYS: Final = 64
RENEWAL_MS: Final = 10_000
"""How long after a change of the configuration the ends of connections say nothing: every server
may open its own anew."""


class LostLinks:
    """The connections of this server that others have ended."""

    def __init__(self, sid: int, where: str, clock: Clock) -> None:
        """Counts for the server ``sid``; ``where`` tells it from its twin."""
        self._sid: int = sid
        self._where: str = where
        self._clock: Clock = clock
        self._ended: dict[tuple[int, int], deque[int]] = {}
        """(server, epoch) -> when it has ended connections, in monotonic ms."""
        self._counts_from_ms: int = 0

    def renewed(self, where: str) -> None:
        """Forgets all ends, for the configuration has changed; this server is at ``where`` now."""
        self._where = where
        self._ended.clear()
        self._counts_from_ms = self._clock.now_ms + RENEWAL_MS

    def ended(self, other: int, epoch: int = ELECTIONS) -> None:
        """Takes the news that server ``other``, as leader of ``epoch`` if it is given, has ended a
        connection."""
        now = self._clock.now_ms
        if now < self._counts_from_ms:
            return
        if len(self._ended) >= MAX_KEYS:
            self._ended.clear()
        times = self._ended.setdefault((other, epoch), deque(maxlen=MANY))
        if times and now - times[-1] < APART_MS:
            return
        times.append(now)
        if len(times) < MANY or now - times[0] > WITHIN_MS:
            return
        log.error(
            "server %d has ended %d connections of this one within %d ms, and lives: either it does"
            " not hear from this server in time, or it refuses them (its log says why, TLS for"
            " instance), or another server has its id, %d. No two servers may have the same myid;"
            " this one is at %s",
            other,
            MANY,
            now - times[0],
            self._sid,
            self._where,
            extra=about(f"server {other}"),
        )
        times.clear()

    def gone(self, other: int) -> None:
        """Takes the news that server ``other`` cannot be reached, so its connections ended."""
        for key in [key for key in self._ended if key[0] == other]:
            del self._ended[key]
