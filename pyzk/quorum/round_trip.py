"""How long a PING takes to a learner and back.

Pure. ZooKeeper has nothing like it.
The answer to a PING repeats its zxid. One that comes unasked, as a learner with a slow disk sends
it, most often has another zxid, and is no measure.
"""

from __future__ import annotations

from collections import deque
from typing import Final

PINGS: Final = 64
"""The number of PINGs without an answer whose times of sending are kept."""


class RoundTrip:
    """The PINGs to one learner that are under way, and how long the last one took."""

    __slots__ = ("_sent", "ms")

    def __init__(self) -> None:
        self._sent: deque[tuple[int, int]] = deque(maxlen=PINGS)
        """(zxid, monotonic ms) of each PING that is not answered."""
        self.ms: int = -1
        """The ms from the last PING that was answered to its answer; -1 before there was one."""

    def sent(self, zxid: int, now_ms: int) -> None:
        """Notes a PING."""
        self._sent.append((zxid, now_ms))

    def answered(self, zxid: int, now_ms: int) -> None:
        """Notes an answer to a PING with this zxid."""
        for at, (sent_zxid, sent_ms) in enumerate(self._sent):
            if sent_zxid == zxid:
                self.ms = now_ms - sent_ms
                for _ in range(at + 1):
                    self._sent.popleft()
                return

    def forget(self) -> None:
        """Waits for no answer any more: the learner takes part from now on, and what came to it
        before that it does not answer."""
        self._sent.clear()
