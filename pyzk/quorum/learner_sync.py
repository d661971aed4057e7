"""How a learner takes over its leader's history, up to where it serves.

Pure. Answers to Learner.syncWithLeader.

DIFF: what is committed is logged and applied as it comes, all of it is durable before currentEpoch
is. Its zxid says nothing of what this learner has (ZOOKEEPER-2355). TRUNC: the disk cuts the log
and loads what is left; then as after DIFF. SNAP: what follows is applied to the new database, which
is then stored as a whole; the old one stays in use and whole until then (3642). Uncommitted
proposals wait for UPTODATE, neither logged nor acknowledged; a COMMIT finds its proposal there, in
order (4394). Whatever is applied enters the committed log (4925).

Synchronization may bring transactions of the leader's epoch and of earlier ones, what comes behind
NEWLEADER is of the leader's epoch alone. Where the original ignores a COMMIT without its proposal,
a transaction of another epoch, or a hole, the link is closed here.
"""

from __future__ import annotations

import logging
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
from pyzk.quorum import packets
from pyzk.quorum.commands import StoreDatabase, TruncateLog
from pyzk.quorum.epochs import CURRENT
from pyzk.quorum.learner import (
    BROADCAST,
    CHOOSING,
    LOADING,
    READY,
    STORING,
    SYNCING,
    TRUNCATING,
    Handlers,
    Learner,
)
from pyzk.quorum.snapshot_load import SnapshotLoad
from pyzk.server.sessions import LearnerSessions
from pyzk.zxid import epoch_of, follows, format_zxid, make

if TYPE_CHECKING:
    from pyzk.data.database import Database
    from pyzk.jute.records import QuorumPacket
    from pyzk.quorum.link import QuorumLink
    from pyzk.quorum.member import Member
    from pyzk.quorum.snapshot_stream import SnapshotPart

log = logging.getLogger(__name__)

MAX_WAITING_BYTES: Final = 1 << 28
"""Of proposals that wait for the disk or for UPTODATE."""

Proposal = tuple[int, bytes, LoggedTxn]
"""(zxid, payload as it came, the same decoded)"""


class SyncedLearner(Learner):
    """A learner and its history: what it was told, logged and applied."""

    def __init__(self, member: Member, leader_sid: int, mode: str, is_observer: bool) -> None:
        super().__init__(member, leader_sid, mode, is_observer)
        self._load: SnapshotLoad | None = None
        """From SNAP until its database is stored."""
        self._truncated_to: int = 0
        self._was_not_truncated: bool = False
        """The disk could not do once already what a TRUNC asked for."""
        self._is_new_leader_here: bool = False
        self._proposed_zxid: int = 0
        """Of the last proposal; before the first, where the history stands that it continues."""
        self._is_first_free: bool = False
        """The first proposal may repeat what the snapshot has."""
        self._floor_zxid: int = 0
        """A transaction lies above it: from NEWLEADER on it is of the leader's epoch."""
        self._ceiling_zxid: int = 0
        """And below this one, with which the epoch behind the leader's begins."""
        self.uncommitted: deque[Proposal] = deque()
        """Proposals that are not applied, in order; logged in BROADCAST only."""
        self._matched: int = 0
        """So many of them, from the oldest on, have been committed; 0 in BROADCAST."""
        self._waiting_bytes: int = 0
        self.waiting_limit_bytes: int = MAX_WAITING_BYTES

    def _phases(self) -> dict[int, Handlers]:
        txns = self._transactions()
        to_new_leader: Handlers = {**txns, packets.NEWLEADER: self._on_new_leader}
        return {
            **super()._phases(),
            CHOOSING: {
                packets.DIFF: self._on_diff,
                packets.TRUNC: self._on_trunc,
                packets.SNAP: self._on_snap,
            },
            LOADING: {},
            TRUNCATING: to_new_leader,
            SYNCING: to_new_leader,
            STORING: txns,
            READY: {**txns, packets.UPTODATE: self._on_up_to_date},
            BROADCAST: {
                packets.PING: self._on_ping,
                packets.SYNC: self._on_sync,
                packets.REVALIDATE: self._on_revalidate,
            },
        }

    def _transactions(self) -> Handlers:
        """Return what may come from the choice on until UPTODATE."""
        return {
            packets.PROPOSAL: self._on_proposal_in_sync,
            packets.COMMIT: self._on_commit_in_sync,
            packets.COMMITANDACTIVATE: self._on_commit_and_activate_in_sync,
            packets.PING: self._on_ping_early,
        }

    def stop(self) -> None:
        """Close the link, serve no longer."""
        if self.phase == BROADCAST:
            # Elsewhere what is in there was never logged.
            for zxid, payload, _ in self.uncommitted:
                self.unapplied.append((zxid, payload))
        self.uncommitted.clear()
        self._matched = 0
        super().stop()

    def snapshot_part(self, link: QuorumLink, part: SnapshotPart) -> None:
        """The next part of the snapshot has come."""
        load = self._load
        if load is None or self.phase != LOADING:
            raise QuorumProtocolError("a snapshot that was not awaited")
        load.add(part)
        if part.is_last:
            log.info(
                "snapshot of %s loaded, %d znodes",
                format_zxid(load.zxid),
                len(load.database.tree.nodes),
            )
            self._enter(SYNCING)

    def log_synced(self, zxid: int) -> None:
        """The log is durable up to ``zxid``."""
        if self._is_waiting_for_log and self.member.is_settled and not self.is_over:
            self._is_waiting_for_log = False
            self._save_current()

    # --- synchronization ------------------------------------------------------------

    def _on_diff(self, packet: QuorumPacket) -> None:
        self._check_told(packet)
        self._begin_sync(packet, self.member.database.last_zxid)
        self._enter(SYNCING)

    def _on_snap(self, packet: QuorumPacket) -> None:
        self._begin_sync(packet, packet.zxid)
        # What the leader began to forward before it took the zxid of SNAP comes in spite of it.
        self._is_first_free = True
        self._load = SnapshotLoad(self.member.config, packet.zxid)
        self._enter(LOADING)

    def _on_trunc(self, packet: QuorumPacket) -> None:
        member = self.member
        self._check_told(packet)
        self._begin_sync(packet, packet.zxid)
        if packet.zxid >= self.told_zxid:
            raise QuorumProtocolError(
                f"{packets.describe(packet)}, but the last transaction here is"
                f" {format_zxid(self.told_zxid)}"
            )
        self._truncated_to = packet.zxid
        self._enter(TRUNCATING)
        member.is_database_whole = False
        self._wait(member.order(TruncateLog(member.ticket(), packet.zxid)), None)

    def _check_told(self, packet: QuorumPacket) -> None:
        if self.told_zxid != self.member.database.last_zxid:
            raise QuorumProtocolError(
                f"{packets.describe(packet)} for a learner that needs a snapshot"
            )

    def _begin_sync(self, packet: QuorumPacket, base: int) -> None:
        self._proposed_zxid = base
        self._floor_zxid = 0
        self._ceiling_zxid = make(self.epoch + 1, 0)
        if not 0 <= packet.zxid < self._ceiling_zxid:
            raise QuorumProtocolError(f"{packets.describe(packet)} in epoch {self.epoch}")
        log.info(
            "synchronization with server %d: %s; last zxid here is %s",
            self.leader_sid,
            packets.describe(packet),
            format_zxid(self.member.database.last_zxid),
        )

    def restored(self, ticket: int, database: Database) -> None:
        """The log is cut; this is what is left."""
        if ticket != self._ticket or self.phase != TRUNCATING or self.is_over:
            return
        member = self.member
        self._ticket = 0
        self._heard_ms = member.clock.now_ms
        member.replace_database(database, database.last_zxid)
        if database.last_zxid != self._truncated_to:
            self._not_truncated(database.last_zxid)
            return
        self._enter(SYNCING)
        while self._matched:
            self._matched -= 1
            self._learn(self._take_head())
        if self._is_new_leader_here:
            self._store()

    def _not_truncated(self, end: int) -> None:
        """What is left is not what the leader knows: it must hear of that, but only once."""
        wanted = self._truncated_to
        reason = f"TRUNC {format_zxid(wanted)}, but the log ends at {format_zxid(end)}"
        if self._was_not_truncated:
            self._end(reason)
            return
        self._was_not_truncated = True
        if end > wanted:
            self.member.needs_snapshot = True
            log.warning("%s: it cannot be cut without an older snapshot; asking for one", reason)
        else:
            log.warning("%s: telling server %d", reason, self.leader_sid)
        self.uncommitted.clear()
        self._matched = self._waiting_bytes = 0
        self._is_new_leader_here = False
        self._reconnect()

    def _on_proposal_in_sync(self, packet: QuorumPacket) -> None:
        self._propose(packet.zxid, packets.txn_payload(packet))

    def _propose(self, zxid: int, payload: bytes) -> None:
        """Let a proposal wait for its COMMIT, and for its time to be logged."""
        txn = self._decode(zxid, payload)
        self._waiting_bytes += len(payload)
        if self._waiting_bytes > self.waiting_limit_bytes:
            raise QuorumProtocolError(
                f"more than {self.waiting_limit_bytes} bytes of transactions before UPTODATE"
            )
        self.uncommitted.append((zxid, payload, txn))

    def _on_commit_in_sync(self, packet: QuorumPacket) -> None:
        self._match(packet.zxid)

    def _on_commit_and_activate_in_sync(self, packet: QuorumPacket) -> None:
        leader = packets.designated_leader(packet)
        self._activate(self._match(packet.zxid), leader)

    def _on_inform_in_sync(self, packet: QuorumPacket) -> None:
        self._propose(packet.zxid, packets.txn_payload(packet))
        self._match(packet.zxid)

    def _on_inform_and_activate_in_sync(self, packet: QuorumPacket) -> None:
        leader, payload = packets.inform_and_activate(packet)
        self._propose(packet.zxid, payload)
        self._activate(self._match(packet.zxid), leader)

    def _match(self, zxid: int) -> Proposal:
        """Return the proposal that is committed: the oldest one that was not."""
        uncommitted = self.uncommitted
        matched = self._matched
        if matched >= len(uncommitted) or uncommitted[matched][0] != zxid:
            raise self._unknown_commit(zxid, matched)
        proposal = uncommitted[matched]
        if self.phase == SYNCING:
            self._learn(self._take_head())
        else:
            self._matched = matched + 1
        return proposal

    def _unknown_commit(self, zxid: int, position: int) -> QuorumProtocolError:
        uncommitted = self.uncommitted
        oldest = (
            f"{format_zxid(uncommitted[position][0])} is the oldest proposal"
            if position < len(uncommitted)
            else "there is no proposal"
        )
        return QuorumProtocolError(f"COMMIT {format_zxid(zxid)}, but {oldest}")

    def _take_head(self) -> Proposal:
        head = self.uncommitted.popleft()
        self._waiting_bytes -= len(head[1])
        return head

    def _learn(self, proposal: Proposal) -> None:
        """Take over a transaction that was committed before this learner serves."""
        zxid, payload, txn = proposal
        load = self._load
        if load is None:
            self._log(zxid, payload)
            database = self.member.database
        else:
            database = load.database
            if zxid > database.last_zxid:
                self._check_behind_snapshot(database.last_zxid, zxid)
        database.commit(txn.header, txn.body, txn.digest, payload)

    def _log(self, zxid: int, payload: bytes) -> None:
        self.member.log_txn(zxid, payload)

    def _decode(self, zxid: int, payload: bytes) -> LoggedTxn:
        """Read the transaction of a proposal; it must be the one behind the last."""
        if zxid != self._proposed_zxid + 1 or not self._floor_zxid < zxid < self._ceiling_zxid:
            self._check_order(zxid)
        self._proposed_zxid = zxid
        self._is_first_free = False
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
        """A hole is a transaction lost: an epoch begins with 1, what a quorum has has no gap."""
        last = self._proposed_zxid
        if not self._floor_zxid < zxid < self._ceiling_zxid:
            raise QuorumProtocolError(
                f"the transaction {format_zxid(zxid)} is not one of epoch {self.epoch},"
                f" the leader's{'' if self._is_new_leader_here else ', or of an earlier one'}"
            )
        if self._is_first_free:
            return
        if zxid <= last or epoch_of(zxid) == epoch_of(last):
            raise QuorumProtocolError(
                f"the transaction {format_zxid(zxid)} does not follow {format_zxid(last)}"
            )
        if not follows(last, zxid):
            # Logged, it would be a gap that the next start refuses.
            self.member.needs_snapshot = True
            raise QuorumProtocolError(
                f"the transaction {format_zxid(zxid)} comes first of its epoch, after"
                f" {format_zxid(last)}: those before it are missing, asking for a snapshot"
            )

    def _on_new_leader(self, packet: QuorumPacket) -> None:
        if packet.zxid != make(self.epoch, 0):
            raise QuorumProtocolError(f"{packets.describe(packet)}, but the epoch is {self.epoch}")
        if self._is_new_leader_here:
            raise QuorumProtocolError("NEWLEADER comes twice")
        self._is_new_leader_here = True
        self._floor_zxid = packet.zxid
        self.new_leader_config = packets.new_leader_config(packet)
        if self.phase == SYNCING:
            self._store()

    def _store(self) -> None:
        """Make durable what this learner has, before it says so."""
        self._enter(STORING)
        member = self.member
        load = self._load
        if load is not None:
            load.finish()
            self._check_head(load.database.last_zxid)
            self._is_first_free = False
            if not self.uncommitted:
                self._proposed_zxid = load.database.last_zxid
            member.is_database_whole = False
            self._wait(member.order(StoreDatabase(member.ticket(), load.database)), self._on_stored)
        elif member.is_settled:
            self._save_current()
        else:
            self._is_waiting_for_log = True

    def _check_head(self, zxid: int) -> None:
        """What is not committed yet cannot be in the snapshot."""
        if not self.uncommitted:
            return
        head = self.uncommitted[0][0]
        if head <= zxid:
            raise QuorumProtocolError(
                f"the proposal {format_zxid(head)} was not committed, and the"
                f" snapshot is of {format_zxid(zxid)}"
            )
        self._check_behind_snapshot(zxid, head)

    def _check_behind_snapshot(self, last: int, zxid: int) -> None:
        if not follows(last, zxid):
            raise QuorumProtocolError(
                f"the transaction {format_zxid(zxid)} does not follow the snapshot of"
                f" {format_zxid(last)}"
            )

    def _on_stored(self) -> None:
        load = self._load
        assert load is not None, self.phase
        self._load = None
        database = load.database
        database.log_complete_after = database.last_zxid
        self.member.replace_database(database, database.last_zxid)
        self._save_current()

    def _save_current(self) -> None:
        self._wait(self.member.save_epoch(CURRENT, self.epoch), self._on_current)

    def _on_current(self) -> None:
        member = self.member
        member.needs_snapshot = False
        ticks = member.ensemble.observer_sync_limit_ticks if self.is_observer else 0
        self._limit_ms = ticks * member.tick_ms if ticks else member.sync_limit_ms
        self._enter(READY)
        self._send_ack(make(self.epoch, 0))

    def _send_ack(self, zxid: int) -> None:
        self.link.send(packets.encode_bare(packets.ACK, zxid))

    # --- broadcast ------------------------------------------------------------------

    def _on_up_to_date(self, packet: QuorumPacket) -> None:
        member = self.member
        if self.is_observer and len(self.uncommitted) > self._matched:
            raise QuorumProtocolError(
                f"the proposal {format_zxid(self.uncommitted[self._matched][0])} was not committed"
                " before UPTODATE, and an observer hears no COMMIT afterwards"
            )
        server = member.server
        if self.new_leader_config is not None:
            member.heard_config(self.new_leader_config)
        member.established(self.epoch)
        member.install_config()
        self._enter(BROADCAST)
        self._sessions = LearnerSessions(server)
        server.begin(self, self._sessions, self._voters())
        log.info(
            "server %d is %s of server %d in epoch %d; last zxid %s",
            member.sid,
            self.mode,
            self.leader_sid,
            self.epoch,
            format_zxid(member.database.last_zxid),
        )
        self._send_ack(make(self.epoch, 0))
        waiting = list(self.uncommitted)
        matched = self._matched
        self._matched = 0
        for zxid, payload, _ in waiting:
            self._begin_logging(zxid, payload)
        for _ in range(matched):
            self._apply(self.uncommitted.popleft())

    def _voters(self) -> int:
        """How many share the limit of requests on the way."""
        return 0

    def _begin_logging(self, zxid: int, payload: bytes) -> None:
        """A proposal that waited for UPTODATE."""
        self._log(zxid, payload)

    def _apply(self, proposal: Proposal) -> None:
        """Apply what is committed; its own record need not be durable here for that."""
        _, payload, txn = proposal
        member = self.member
        applied = member.database.commit(txn.header, txn.body, txn.digest, payload)
        member.server.committed(txn.header, applied)
        self._has_answered = True

    def _activate(self, proposal: Proposal, leader: int) -> None:
        """A reconfiguration is committed; the configuration here stays as it is. A leader that
        names another one commits nothing more, and leads on until its learners have left."""
        zxid, _, txn = proposal
        log.warning("the reconfiguration %s is not activated here", format_zxid(zxid))
        body = txn.body
        if isinstance(body, SetDataTxn) and body.data is not None:
            self.member.heard_config(body.data)
        if leader != self.leader_sid:
            self._end(f"the reconfiguration {format_zxid(zxid)} makes server {leader} the leader")

    def _on_ping_early(self, packet: QuorumPacket) -> None:
        """No answer before UPTODATE: the leader would take it for the ACK of NEWLEADER."""


def _is_sound(body: Body | list[SubTxn] | None) -> bool:
    """Tell whether every znode that is made or deleted has a path that a znode can have."""
    if isinstance(body, list):
        return all(_is_sound(sub.body) for sub in body)
    if isinstance(body, (CreateTxn, CreateTTLTxn, CreateContainerTxn, DeleteTxn)):
        return _is_path(body.path)
    if isinstance(body, CloseSessionTxn):
        return all(map(_is_path, body.paths_to_delete))
    return True


def _is_path(path: str) -> bool:
    return len(path) > 1 and path[0] == "/"
