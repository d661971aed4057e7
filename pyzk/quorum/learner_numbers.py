"""The numbers of one learner that are counted for people only.

Pure. ZooKeeper: LearnerHandler.getLearnerHandlerInfo. They are counted once for all that is sent
together, where that is on the way of a write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyzk.quorum.link import QuorumLink


class LearnerNumbers:
    """What the admin server shows of the link with an observer."""

    __slots__ = ("_joined", "_link", "established_wall_ms", "requests", "zxid")

    def __init__(self, link: QuorumLink, established_wall_ms: int) -> None:
        self.established_wall_ms: int = established_wall_ms
        """When it connected."""
        self.requests: int = 0
        """How many requests of clients it has forwarded."""
        self.zxid: int = -1
        """The zxid of the last INFORM or PING that it was sent; -1 before the first."""
        self._joined: int = 0
        """How many packets were sent in one piece with another."""
        self._link: QuorumLink = link

    def informed(self, zxid: int, count: int) -> None:
        """Notes that so many packets go to it as one piece, the last of which has this zxid."""
        self.zxid = zxid
        self._joined += count - 1

    @property
    def packets_received(self) -> int:
        """How many packets have come from it."""
        return self._link.received

    @property
    def packets_sent(self) -> int:
        """How many packets it was sent."""
        return self._link.sent + self._joined

    def reset(self) -> None:
        """Begins to count anew."""
        self._link.received = self._link.sent = self.requests = self._joined = 0
        self.zxid = -1
