"""Votes: whom one peer wants to lead, when two votes agree, and which of them is better.

Pure. ZooKeeper: Vote, QuorumPeer.ServerState and FastLeaderElection.totalOrderPredicate.

Votes are ordered by (peer epoch, zxid, sid), all signed. The peer epoch is the currentEpoch of the
proposed leader, neither the epoch in its zxid nor the round: a server may have logged transactions
of an epoch that it never became a full member of. The round (logical clock) orders attempts to
elect; it says nothing about who is better.
"""

from __future__ import annotations

from typing import Final

from pyzk.zxid import format_zxid


class PeerState:
    """What a peer is doing (``QuorumPeer.ServerState``); the numbers are those on the wire."""

    LOOKING: Final = 0
    FOLLOWING: Final = 1
    LEADING: Final = 2
    OBSERVING: Final = 3

    NAMES: Final = ("LOOKING", "FOLLOWING", "LEADING", "OBSERVING")


NOBODY: Final = -(1 << 63)
"""The leader, zxid and peer epoch in the vote of a server that is no voter: any vote is better."""
UNTRUSTED_ZXID: Final = -1
"""The zxid of a peer whose data were lost: it neither votes nor is voted for."""


class Vote:
    """The choice of one server; it never changes."""

    __slots__ = ("format_version", "leader", "peer_epoch", "round", "state", "zxid")

    def __init__(
        self,
        leader: int,
        zxid: int,
        round: int,
        peer_epoch: int,
        state: int = PeerState.LOOKING,
        format_version: int = 0,
    ) -> None:
        self.leader: int = leader
        self.zxid: int = zxid
        """The last zxid of the leader when it was proposed."""
        self.round: int = round
        """The election in which it was proposed (``electionEpoch``)."""
        self.peer_epoch: int = peer_epoch
        """The currentEpoch of the leader; the new epoch replaces it once that is established."""
        self.state: int = state
        """The state of the server that votes."""
        self.format_version: int = format_version
        """The format version of the notification which brought the vote."""

    def agrees_with(self, other: Vote) -> bool:
        """Tells whether both count for one leader in a tally.

        A vote of a running election must be the same in everything. Of servers that have elected,
        zxid and round are not compared: who joined later may have others. Servers before 3.5
        (format version 0) report a peer epoch that was never refreshed, so beside a newer one only
        the leader counts.
        """
        if self.leader != other.leader:
            return False
        if PeerState.LOOKING in (self.state, other.state):
            return (
                self.zxid == other.zxid
                and self.round == other.round
                and self.peer_epoch == other.peer_epoch
            )
        if (self.format_version > 0) != (other.format_version > 0):
            return True
        return self.peer_epoch == other.peer_epoch

    def is_greater(self, other: Vote) -> bool:
        """Tells whether this vote comes after the other in the total order."""
        if self.peer_epoch != other.peer_epoch:
            return self.peer_epoch > other.peer_epoch
        if self.zxid != other.zxid:
            return self.zxid > other.zxid
        return self.leader > other.leader

    def __repr__(self) -> str:
        return (
            f"{PeerState.NAMES[self.state]} for {self.leader} (epoch {self.peer_epoch},"
            f" zxid {format_zxid(self.zxid)}, round {self.round})"
        )
