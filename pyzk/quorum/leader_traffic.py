"""What a leader sends to all learners that take part: proposals, commits, and the SYNCs among them.

Pure. ZooKeeper: Leader.forwardingFollowers, observingLearners and pendingSyncs. What one input has
led to is sent as one piece. (To hold proposals while others are under way, so that more go
together, lost a tenth of set 50x1 in scripts/bench/ensemble.py.)

No limit of packets is checked here: `Prep` makes no transaction that a learner of ZooKeeper with
the same jute.maxbuffer and extra size would not take.

Where this differs from ZooKeeper, on purpose: what a learner has acknowledged on an earlier link
does not count until it is acknowledged again, for TRUNC and SNAP make it give that up. ZooKeeper
counts it, and may commit what no quorum has.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pyzk.quorum import packets

if TYPE_CHECKING:
    from pyzk.quorum.learner_handler import LearnerHandler
    from pyzk.quorum.proposals import Proposal


class LearnerTraffic:
    """The learners that hear of every write, and what waits to be sent to them."""

    def __init__(self) -> None:
        self.followers: list[LearnerHandler] = []
        """The learners that get PROPOSAL and COMMIT; each change makes another list."""
        self.observers: list[LearnerHandler] = []
        """The learners that get INFORM."""
        self.later: list[LearnerHandler] = []
        """The followers that hear of a proposal only when those have it that can be elected."""
        self.told_later: int = 0
        """The last proposal that those have been sent."""
        self.batch: list[bytes] = []
        """The packets that wait for all followers."""
        self.batch_zxid: int = 0
        """The last proposal that waits, or 0."""
        self.informs: list[bytes] = []
        """The packets that wait for all observers."""
        self.syncs: deque[tuple[int, LearnerHandler]] = deque()
        """(zxid, who asked): SYNC is answered behind the commit of zxid."""

    def add(
        self,
        handler: LearnerHandler,
        outstanding: dict[int, Proposal],
        after: int,
        change: int,
        is_told_later: bool = False,
    ) -> None:
        """Queues the proposals behind ``after``, and registers a learner for all that comes later;
        ``change``, if it is not 0, and the proposals behind it are left to ``propose_from``.

        What is committed is applied at once, so nothing is between what was sent and these."""
        if handler.is_observer:
            self.observers = [*self.observers, handler]
            return
        if is_told_later:
            self.later = [*self.later, handler]
        else:
            self.followers = [*self.followers, handler]
        for zxid in [zxid for zxid in outstanding if zxid > after]:
            proposal = outstanding[zxid]
            proposal.acks &= ~handler.bit  # what it has acked on an earlier link
            if not change or zxid < change:
                _propose(handler, zxid, proposal)

    def propose_from(
        self, handler: LearnerHandler, outstanding: dict[int, Proposal], first: int
    ) -> None:
        """Queues the proposals from ``first`` on for one learner, those that it may have by now."""
        end = self.told_later if handler in self.later else max(outstanding, default=0)
        for zxid in [zxid for zxid in outstanding if first <= zxid <= end]:
            _propose(handler, zxid, outstanding[zxid])

    def remove(self, handler: LearnerHandler) -> None:
        """Sends nothing more to a learner."""
        self.followers = [each for each in self.followers if each is not handler]
        self.observers = [each for each in self.observers if each is not handler]
        self.later = [each for each in self.later if each is not handler]

    def clear(self) -> None:
        """Sends nothing more to anybody."""
        self.followers = []
        self.observers = []
        self.later = []

    # --- who hears of a change later ------------------------------------------------

    def set_apart(self, later: list[LearnerHandler], told: int) -> None:
        """Tells these followers of what is proposed behind ``told`` only by ``tell_later``, and of
        what is committed by ``commit_later``. Nothing may wait in the batch."""
        self.followers = [each for each in self.followers if each not in later]
        self.later = later
        self.told_later = told

    def tell_later(self, zxid: int, proposal: Proposal) -> None:
        """Sends a proposal to those that were set apart."""
        self.told_later = zxid
        for handler in self.later:
            _propose(handler, zxid, proposal)

    def commit_later(self, zxid: int) -> None:
        """Sends a COMMIT to those that were set apart: ahead of a SYNC, which is sent as soon as
        the others have theirs."""
        for handler in self.later:
            handler.propose(packets.encode_bare(packets.COMMIT, zxid), 0)

    def activate_later(self, zxid: int, leader: int) -> None:
        """Sends those that were set apart the news that a change is in force."""
        for handler in self.later:
            handler.propose(packets.encode_commit_and_activate(zxid, leader), 0)

    def join(self, outstanding: dict[int, Proposal]) -> None:
        """Sends those that were set apart what they were not told yet; from now on they hear of
        everything at once. Nothing may wait in the batch."""
        later, self.later = self.later, []
        self.followers = [*self.followers, *later]
        for handler in later:
            self.propose_from(handler, outstanding, self.told_later + 1)

    def commit(self, zxid: int, payload: bytes) -> None:
        """Queues the news that the proposal ``zxid`` is committed."""
        if self.followers:
            self.batch.append(packets.encode_bare(packets.COMMIT, zxid))
        if self.observers:
            self.informs.append(packets.encode_packet(packets.INFORM, zxid, payload))

    def activate(self, zxid: int, payload: bytes, leader: int) -> None:
        """Queues the news that a change of the configuration is committed and in force, and who
        leads from now on."""
        if self.followers:
            self.batch.append(packets.encode_commit_and_activate(zxid, leader))
        if self.observers:
            self.informs.append(packets.encode_inform_and_activate(zxid, leader, payload))

    def send(self, committed_zxid: int) -> None:
        """Sends what was proposed and committed since the last time, then the SYNCs behind it."""
        batch = self.batch
        if batch:
            self.batch = []
            zxid, self.batch_zxid = self.batch_zxid, 0
            data = batch[0] if len(batch) == 1 else b"".join(batch)
            for handler in self.followers:
                handler.propose(data, zxid)
        informs = self.informs
        if informs:
            self.informs = []
            count = len(informs)
            data = informs[0] if count == 1 else b"".join(informs)
            for handler in self.observers:
                handler.numbers.informed(committed_zxid, count)
                handler.send(data)
        syncs = self.syncs
        while syncs and syncs[0][0] <= committed_zxid:
            _, handler = syncs.popleft()
            handler.send(packets.encode_bare(packets.SYNC, 0))


def _propose(handler: LearnerHandler, zxid: int, proposal: Proposal) -> None:
    handler.propose(packets.encode_packet(packets.PROPOSAL, zxid, proposal.payload), zxid)
