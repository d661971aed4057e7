"""How much is read of the configurations that other servers tell in an election.

Pure. A text may be as long as a notification, half a MiB, and whoever can connect may send one
after another, each a little different: to read one takes about a second at worst. A text whose last
line says that it is no later than the configuration in force is not read at all. Each member may
tell one of the greatest length at once, and so many bytes a second from then on; all strangers
together as much as one member. What is beyond that is passed over, and read when it is told again:
servers repeat themselves for as long as they look for a leader, and answer whoever does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pyzk.int64 import signed
from pyzk.quorum.election_messages import MAX_CONFIG_BYTES

if TYPE_CHECKING:
    from pyzk.clock import Clock

BYTES_A_MS: Final = 16
"""What each may tell in addition for each ms that passes."""
STRANGERS: Final = -1
"""Whoever is no member, as one who tells."""
_VERSION: Final = re.compile(rb"version=([0-9a-f]{1,16})")


def told_version(text: bytes) -> int | None:
    """Returns the version that a text names in its last line, where all servers write it; None if
    it is not there."""
    match = _VERSION.fullmatch(text.rpartition(b"\n")[2])
    return None if match is None else signed(int(match[1], 16))


class ReadingBudget:
    """What each of those who tell configurations may still have read."""

    def __init__(self, clock: Clock) -> None:
        self._clock: Clock = clock
        self._spent: dict[int, tuple[int, int]] = {}
        """Who -> (bytes spent, the monotonic ms of that)."""

    def take(self, who: int, size: int) -> bool:
        """Tells whether ``size`` bytes of this member, or of `STRANGERS`, may be read now, and
        counts them if so."""
        now_ms = self._clock.now_ms
        spent, at_ms = self._spent.get(who, (0, now_ms))
        left = max(0, spent - (now_ms - at_ms) * BYTES_A_MS)
        if left + size > MAX_CONFIG_BYTES:
            return False
        self._spent[who] = (left + size, now_ms)
        return True
