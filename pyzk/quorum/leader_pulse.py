"""What a learner has heard of its leader's history: the zxid in the last PING.

Pure. A leader's PING names the last transaction that it has proposed, so a learner knows how far it
is behind, as of that moment. ZooKeeper: the zxid of a PING, which no learner there looks at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyzk.clock import Clock


class LeaderPulse:
    """The last PING of the leader, or of the observer master in its place."""

    __slots__ = ("heard_ms", "zxid")

    def __init__(self) -> None:
        self.zxid: int = -1
        """The last zxid that it had proposed; -1 before the first PING."""
        self.heard_ms: int = 0
        """The monotonic ms at which the PING came."""

    def heard(self, zxid: int, clock: Clock) -> None:
        """Notes a PING."""
        self.zxid = zxid
        self.heard_ms = clock.now_ms
