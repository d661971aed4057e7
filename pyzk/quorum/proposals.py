"""What a leader counts: accepted epochs, acknowledgements of an epoch, and those of proposals.

Pure. ZooKeeper: Leader.getEpochToPropose, waitForEpochAck and outstandingProposals, and
SyncedLearnerTracker. `quorum.leader` asks and acts; here nothing is sent or stored.

The servers that have acked are a number with a bit for each voter. Whether such a number is a
quorum is looked up: it is asked twice for every write.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pyzk.errors import QuorumProtocolError
from pyzk.quorum.epochs import MAX_EPOCH, MAX_LEAP
from pyzk.quorum.packets import NOT_COUNTED
from pyzk.quorum.verifier import QuorumVerifier
from pyzk.zxid import format_zxid

if TYPE_CHECKING:
    from pyzk.server.request import Request


class AckTally:
    """Tells which sets of voters, as bit masks, are a quorum of every verifier."""

    def __init__(self, verifiers: Iterable[QuorumVerifier]) -> None:
        self.verifiers: tuple[QuorumVerifier, ...] = ()
        self._bits: dict[int, int] = {}
        """The bit of every server that has had a vote: no other server ever gets it."""
        self._known: dict[int, bool] = {}
        """Mask -> whether it is a quorum; only a few of all masks ever occur."""
        self.use(verifiers)

    def use(self, verifiers: Iterable[QuorumVerifier]) -> None:
        """Counts by other verifiers from here on. Masks stay valid."""
        self.verifiers = tuple(verifiers)
        self._known = {}
        for verifier in self.verifiers:
            for sid in verifier.voters:
                if sid not in self._bits:
                    self._bits[sid] = 1 << len(self._bits)

    def copy(self) -> AckTally:
        """Returns a tally that counts the same masks by the present verifiers."""
        other = AckTally(())
        other._bits = dict(self._bits)
        other.use(self.verifiers)
        return other

    @property
    def all_bits(self) -> int:
        """The mask of all voters."""
        return (1 << len(self._bits)) - 1

    def bit(self, sid: int) -> int:
        """Returns the mask of ``sid``; 0, which counts for nothing, if it never had a vote."""
        return self._bits.get(sid, 0)

    def is_voter(self, sid: int) -> bool:
        """Tells whether ``sid`` has a vote now."""
        return any(sid in verifier.voters for verifier in self.verifiers)

    def is_quorum(self, acks: int) -> bool:
        """Tells whether these are a quorum of each of the verifiers."""
        known = self._known.get(acks)
        if known is None:
            sids = [sid for sid, bit in self._bits.items() if acks & bit]
            known = all(verifier.has_quorum(sids) for verifier in self.verifiers)
            self._known[acks] = known
        return known


class NewEpoch:
    """The epoch that is about to be proposed.

    It is above every epoch that was accepted by a server that connects before a quorum has
    connected. An observer's epoch raises it, but it does not count for the quorum, unless the
    change that the new leader completes promotes it.
    """

    def __init__(self, tally: AckTally) -> None:
        self._tally: AckTally = tally
        self.candidate: int = -1
        self._limit: int = MAX_EPOCH
        """The highest accepted epoch that is believed; the leader's own sets it."""
        self.connected: int = 0
        """The voters that have said what they accepted, as a mask."""

    def add(self, sid: int, bit: int, accepted: int) -> None:
        """Takes the accepted epoch of a server, the leader's own first; ``bit`` is what it counts.
        Raises QuorumProtocolError for one that leaves no epoch to propose, or that is too far from
        the leader's own to be true."""
        if accepted >= MAX_EPOCH or not 0 <= accepted <= self._limit:
            raise QuorumProtocolError(f"server {sid} says that it has accepted epoch {accepted}")
        if self.candidate < 0:
            self._limit = accepted + MAX_LEAP
        self.candidate = max(self.candidate, accepted + 1)
        self.connected |= bit

    @property
    def is_settled(self) -> bool:
        """Whether a quorum is connected."""
        return self._tally.is_quorum(self.connected)


class EpochAcks:
    """The servers that have acknowledged the new epoch, and whose history is no longer than the
    leader's."""

    def __init__(self, tally: AckTally, current_epoch: int, last_zxid: int) -> None:
        self._tally: AckTally = tally
        self._current_epoch: int = current_epoch
        self._last_zxid: int = last_zxid
        self.acked: int = 0

    def add(self, sid: int, bit: int, current_epoch: int, last_zxid: int) -> None:
        """Takes an ACKEPOCH; ``bit`` is what it counts. Raises QuorumProtocolError for a server
        that is ahead: it must not be made to follow, for what it has may be committed. One with the
        leader's last zxid has the same history, and is not ahead, whatever its epoch is."""
        if current_epoch == NOT_COUNTED:
            return
        own = (self._current_epoch, self._last_zxid)
        if last_zxid != self._last_zxid and (current_epoch, last_zxid) > own:
            raise QuorumProtocolError(
                f"server {sid} is ahead: epoch {current_epoch}, zxid {format_zxid(last_zxid)};"
                f" the leader has {self._current_epoch}, {format_zxid(self._last_zxid)}"
            )
        if last_zxid != -1:
            self.acked |= bit

    @property
    def is_settled(self) -> bool:
        """Whether a quorum has acknowledged."""
        return self._tally.is_quorum(self.acked)


class Proposal:
    """A transaction that is under way: which voters have it on disk, and its request."""

    __slots__ = ("acks", "payload", "request")

    def __init__(self, payload: bytes, request: Request) -> None:
        self.acks: int = 0
        self.payload: bytes = payload
        self.request: Request = request


class ProposalSizes:
    """The sizes of payloads that mntr shows; -1 before the first."""

    __slots__ = ("largest", "last", "smallest")

    def __init__(self) -> None:
        self.last: int = -1
        self.smallest: int = -1
        self.largest: int = -1

    def add(self, size: int) -> None:
        """Notes the size of a payload."""
        self.last = size
        if size > self.largest:
            self.largest = size
        if size < self.smallest or self.smallest < 0:
            self.smallest = size
