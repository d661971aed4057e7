"""What a learner was told of and has not applied: proposals, in order, each checked when it comes.

Pure. ZooKeeper: the packetsNotCommitted of Learner.syncWithLeader and the pendingTxns of
FollowerZooKeeperServer.

Synchronization may bring transactions of the leader's epoch and of earlier ones; what comes behind
NEWLEADER is of the leader's epoch alone. Every transaction must follow the one before it: a hole is
a transaction that is lost. A COMMIT must name the oldest proposal that is not committed
(ZOOKEEPER-4394).

Where this differs from ZooKeeper, on purpose: ZooKeeper ignores a COMMIT without its proposal and
takes a transaction of another epoch or behind a hole. Here each of them ends the link.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from pyzk.data.txn import Body, LoggedTxn, SubTxn, decode_txn
from pyzk.errors import JuteError, QuorumProtocolError
from pyzk.jute.records import (
    CloseSessionTxn,
    CreateContainerTxn,
    CreateTTLTxn,
    CreateTxn,
    DeleteTxn,
    SetDataTxn,
)
from pyzk.zxid import epoch_of, follows, format_zxid, make

if TYPE_CHECKING:
    from pyzk.quorum.member import Member

MAX_WAITING_BYTES: Final = 1 << 28
"""The most bytes of proposals that wait for the disk or for UPTODATE."""

UncommittedTxn = tuple[int, bytes, LoggedTxn]
"""A proposal as (zxid, payload as it came, the payload decoded)."""


class UncommittedTxns:
    """The transactions between the proposal and the commit, of one learner."""

    def __init__(self, member: Member) -> None:
        self._member: Member = member
        self.queue: deque[UncommittedTxn] = deque()
        """Proposals that are not applied, in order."""
        self.matched: int = 0
        """How many proposals in the queue, from the oldest on, are committed; 0 in BROADCAST."""
        self.last_zxid: int = 0
        """The last proposal; before the first, the end of the history that it continues."""
        self.is_first_free: bool = False
        """Whether the next proposal may repeat what the snapshot has."""
        self.floor_zxid: int = 0
        """The zxid above which every transaction lies; from NEWLEADER on, the leader's epoch."""
        self._ceiling_zxid: int = 0
        """The zxid below which every transaction lies: the beginning of the next epoch."""
        self._epoch: int = 0
        self._waiting_bytes: int = 0
        self.limit_bytes: int = MAX_WAITING_BYTES

    def begin(self, epoch: int, base_zxid: int) -> None:
        """Expects what follows ``base_zxid``, from the leader of ``epoch``."""
        self.last_zxid = base_zxid
        self.floor_zxid = 0
        self._epoch = epoch
        self._ceiling_zxid = make(epoch + 1, 0)

    def clear(self) -> None:
        """Forgets all proposals."""
        self.queue.clear()
        self.matched = self._waiting_bytes = 0

    # --- proposals ------------------------------------------------------------------

    def hold(self, zxid: int, payload: bytes) -> LoggedTxn:
        """Lets a proposal wait for its COMMIT, and for its time to be logged; returns it."""
        txn = self.read(zxid, payload)
        self._waiting_bytes += len(payload)
        if self._waiting_bytes > self.limit_bytes:
            raise QuorumProtocolError(
                f"more than {self.limit_bytes} bytes of transactions before UPTODATE"
            )
        self.queue.append((zxid, payload, txn))
        return txn

    def read(self, zxid: int, payload: bytes) -> LoggedTxn:
        """Returns the transaction of a proposal. Raises QuorumProtocolError if it does not follow
        the last one, or cannot be applied."""
        if zxid != self.last_zxid + 1 or not self.floor_zxid < zxid < self._ceiling_zxid:
            self._check_order(zxid)
        self.last_zxid = zxid
        self.is_first_free = False
        # To skip what cannot be applied would be to have another history than the leader.
        try:
            txn = decode_txn(payload)
        except JuteError as error:
            raise QuorumProtocolError(
                f"the transaction {format_zxid(zxid)} cannot be read: {error}"
            ) from None
        body = txn.body
        if not isinstance(body, SetDataTxn) and not _is_sound(body):
            raise QuorumProtocolError(f"the transaction {format_zxid(zxid)} has a wrong path")
        return txn

    def _check_order(self, zxid: int) -> None:
        """Raises QuorumProtocolError for a hole, and for a transaction of an epoch that is not the
        leader's. An epoch begins with 1, and what a quorum has is without a gap."""
        last = self.last_zxid
        if not self.floor_zxid < zxid < self._ceiling_zxid:
            raise QuorumProtocolError(
                f"the transaction {format_zxid(zxid)} is not one of epoch {self._epoch},"
                f" the leader's{'' if self.floor_zxid else ', or of an earlier one'}"
            )
        if self.is_first_free:
            return
        if zxid <= last or epoch_of(zxid) == epoch_of(last):
            raise QuorumProtocolError(
                f"the transaction {format_zxid(zxid)} does not follow {format_zxid(last)}"
            )
        if not follows(last, zxid):
            # Logged, it would be a gap that the next start refuses.
            self._member.needs_snapshot = True
            raise QuorumProtocolError(
                f"the transaction {format_zxid(zxid)} comes first of its epoch, after"
                f" {format_zxid(last)}: those before it are missing, asking for a snapshot"
            )

    # --- commits --------------------------------------------------------------------

    def match(self, zxid: int) -> UncommittedTxn:
        """Returns the proposal that is committed, which must be the oldest one that was not."""
        position = self.matched
        queue = self.queue
        if position >= len(queue) or queue[position][0] != zxid:
            raise self.unknown_commit(zxid)
        self.matched = position + 1
        return queue[position]

    def take_matched(self) -> UncommittedTxn | None:
        """Takes the oldest proposal out if it is committed."""
        if not self.matched:
            return None
        self.matched -= 1
        head = self.queue.popleft()
        self._waiting_bytes -= len(head[1])
        return head

    @property
    def oldest_zxid(self) -> int | None:
        """The oldest proposal that is not committed."""
        return self.queue[self.matched][0] if self.matched < len(self.queue) else None

    def unknown_commit(self, zxid: int) -> QuorumProtocolError:
        """Returns what is said of a COMMIT that names another transaction than the oldest."""
        oldest = self.oldest_zxid
        known = (
            "there is no proposal"
            if oldest is None
            else f"{format_zxid(oldest)} is the oldest proposal"
        )
        return QuorumProtocolError(f"COMMIT {format_zxid(zxid)}, but {known}")


def _is_sound(body: Body | list[SubTxn] | None) -> bool:
    """Tells whether every znode that is made or deleted has a path that a znode can have."""
    if isinstance(body, list):
        return all(_is_sound(sub.body) for sub in body)
    if isinstance(body, (CreateTxn, CreateTTLTxn, CreateContainerTxn, DeleteTxn)):
        return _is_path(body.path)
    if isinstance(body, CloseSessionTxn):
        return all(map(_is_path, body.paths_to_delete))
    return True


def _is_path(path: str) -> bool:
    return len(path) > 1 and path[0] == "/"
