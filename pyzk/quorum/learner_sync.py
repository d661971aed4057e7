"""How a learner takes over its leader's history: what goes to the log, the tree, the committed log.

Pure. ZooKeeper: Learner.syncWithLeader. `Learner` says when; nothing is sent from here.

After DIFF and TRUNC, what is committed is logged and applied as it comes. The zxid of DIFF says
nothing of what this learner has (ZOOKEEPER-2355). After SNAP, what follows is applied to the new
database, which is then stored as a whole; the old one stays in use and whole until then (3642).
Proposals that are not committed wait for UPTODATE, neither logged nor acknowledged. Whatever is
applied enters the committed log (4925).

Where this differs from ZooKeeper, on purpose: a learner whose disk cannot do what a TRUNC asks for
connects anew, once, and says what it has or asks for a snapshot; ZooKeeper exits.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pyzk.config.members import parse_membership
from pyzk.constants import OpCode
from pyzk.data.txn import LoggedTxn
from pyzk.errors import PyzkError, QuorumProtocolError
from pyzk.jute.records import SetDataTxn
from pyzk.quorum import packets
from pyzk.quorum.commands import StoreDatabase, TruncateLog
from pyzk.quorum.configurations import proposed_membership
from pyzk.quorum.snapshot_load import SnapshotLoad
from pyzk.quorum.uncommitted import UncommittedTxns
from pyzk.zxid import follows, format_zxid, make

if TYPE_CHECKING:
    from pyzk.config.members import Membership
    from pyzk.jute.records import QuorumPacket
    from pyzk.quorum.member import Member
    from pyzk.quorum.snapshot_stream import SnapshotPart

log = logging.getLogger(__name__)


class Synchronization:
    """The history of one learner from DIFF, TRUNC or SNAP to the disk."""

    def __init__(self, member: Member, leader_sid: int, has_log: bool) -> None:
        self._member: Member = member
        self.source_sid: int = leader_sid
        """The id of the server that the history comes from: the leader, or an observer master."""
        self._has_log: bool = has_log
        self.epoch: int = 0
        """The leader's epoch, once LEADERINFO has named it."""
        self.told_zxid: int = 0
        """The last transaction here, as ACKEPOCH has said it."""
        self._leaders_text: bytes | None = None
        """The text of the last configuration that the leader has seen, from NEWLEADER."""
        self._leaders_config: Membership | None = None
        """The configuration of that text; None if it cannot be read, or this server takes none."""
        self.uncommitted: UncommittedTxns = UncommittedTxns(member)
        self.load: SnapshotLoad | None = None
        """The snapshot that comes, until its database is stored."""
        self.has_new_leader: bool = False
        """Whether NEWLEADER has come."""
        self.has_failed_to_truncate: bool = False
        """Whether the disk could not do what a TRUNC asked for, once already."""
        self._truncated_to: int = 0
        self._begun_ms: int = member.clock.now_ms
        """When synchronization began."""

    # --- the three ways ---------------------------------------------------------------

    def begin_diff(self, packet: QuorumPacket) -> None:
        """Expects what follows the history here."""
        self._check_told(packet)
        self._begin(packet, self._member.database.last_zxid)

    def begin_snap(self, packet: QuorumPacket) -> None:
        """Expects a snapshot and what follows it."""
        self._begin(packet, packet.zxid)
        # What the leader began to forward before it took the zxid of SNAP comes in spite of it.
        self.uncommitted.is_first_free = True
        self.load = SnapshotLoad(self._member.config, packet.zxid)

    def add_part(self, part: SnapshotPart) -> None:
        """Takes the next part of the snapshot."""
        load = self.load
        assert load is not None, "SNAP has not come"
        load.add(part)
        if part.is_last:
            nodes = len(load.database.tree.nodes)
            log.info("snapshot of %s loaded, %d znodes", format_zxid(load.zxid), nodes)

    def truncate(self, packet: QuorumPacket) -> int:
        """Orders the log to be cut behind the packet's zxid; returns the ticket of the order."""
        member = self._member
        self._check_told(packet)
        self._begin(packet, packet.zxid)
        if packet.zxid >= self.told_zxid:
            raise QuorumProtocolError(
                f"{packets.describe(packet)}, but the last transaction here is"
                f" {format_zxid(self.told_zxid)}"
            )
        self._truncated_to = packet.zxid
        member.is_database_whole = False
        return member.order(TruncateLog(member.ticket(), packet.zxid))

    def _check_told(self, packet: QuorumPacket) -> None:
        if self.told_zxid != self._member.database.last_zxid:
            raise QuorumProtocolError(
                f"{packets.describe(packet)} for a learner that needs a snapshot"
            )

    def count(self, *, is_observer: bool) -> None:
        """Notes, when this learner serves, how long it took from DIFF, SNAP or TRUNC on."""
        member = self._member
        took_ms = member.clock.now_ms - self._begun_ms
        metrics = member.server.metrics
        summary = metrics.observer_sync_time if is_observer else metrics.follower_sync_time
        summary.add(took_ms)

    def _begin(self, packet: QuorumPacket, base_zxid: int) -> None:
        self._begun_ms = self._member.clock.now_ms
        if not 0 <= packet.zxid < make(self.epoch + 1, 0):
            raise QuorumProtocolError(f"{packets.describe(packet)} in epoch {self.epoch}")
        self.uncommitted.begin(self.epoch, base_zxid)
        log.info(
            "synchronization with server %d: %s; last zxid here is %s",
            self.source_sid,
            packets.describe(packet),
            format_zxid(self._member.database.last_zxid),
        )

    # --- a log that was cut -------------------------------------------------------------

    @property
    def truncation_failure(self) -> str:
        """Returns why the log that the disk has cut is not what TRUNC asked for; empty if it is."""
        wanted, end = self._truncated_to, self._member.database.last_zxid
        if end == wanted:
            return ""
        return f"TRUNC {format_zxid(wanted)}, but the log ends at {format_zxid(end)}"

    def give_up_truncation(self) -> None:
        """Forgets what has come, and notes what the leader must be asked for now."""
        member = self._member
        if member.database.last_zxid > self._truncated_to:
            member.needs_snapshot = True
            what = "it cannot be cut without an older snapshot; asking for one"
        else:
            what = f"telling server {self.source_sid}"
        log.warning("%s: %s", self.truncation_failure, what)
        self.has_failed_to_truncate = True
        self.has_new_leader = False
        self.uncommitted.clear()

    # --- transactions -------------------------------------------------------------------

    def learn_matched(self) -> None:
        """Takes over what is committed before this learner serves."""
        uncommitted = self.uncommitted
        while (head := uncommitted.take_matched()) is not None:
            zxid, payload, txn = head
            self._learn(zxid, payload, txn)

    def _learn(self, zxid: int, payload: bytes, txn: LoggedTxn) -> None:
        load = self.load
        if load is None:
            self.log(zxid, payload)
            database = self._member.database
        else:
            database = load.database
            if zxid > database.last_zxid:
                _check_behind_snapshot(database.last_zxid, zxid)
        database.commit(txn.header, txn.body, txn.digest, payload)

    def log(self, zxid: int, payload: bytes) -> None:
        """Logs a transaction, unless this is an observer that keeps no log."""
        member = self._member
        if self._has_log:
            member.log_txn(zxid, payload)
        else:
            member.database.log_complete_after = zxid

    # --- the end ------------------------------------------------------------------------

    def note_new_leader(self, packet: QuorumPacket) -> None:
        """Notes that NEWLEADER has come: the history is complete."""
        if packet.zxid != make(self.epoch, 0):
            raise QuorumProtocolError(f"{packets.describe(packet)}, but the epoch is {self.epoch}")
        if self.has_new_leader:
            raise QuorumProtocolError("NEWLEADER comes twice")
        self.has_new_leader = True
        self.uncommitted.floor_zxid = packet.zxid
        self._leaders_text = packets.new_leader_config(packet)
        if self._leaders_text is not None and self._member.configs.is_enabled:
            self._see_leaders(self._leaders_text)

    def _see_leaders(self, text: bytes) -> None:
        try:
            self._leaders_config = parse_membership(text)
        except PyzkError as error:
            log.error("the configuration in NEWLEADER cannot be read: %s", error)
        else:
            self._member.see_config_of_leader(self._leaders_config)

    # --- reconfigurations ---------------------------------------------------------------

    def see(self, txn: LoggedTxn) -> None:
        """Looks at a proposal before it is logged: it may be a reconfiguration."""
        if txn.header.type == OpCode.RECONFIG and self._member.configs.is_enabled:
            self._member.see_config(proposed_membership(txn))

    def activate_leaders(self) -> bool:
        """Puts the configuration of NEWLEADER in force, which a quorum has seen; tells whether that
        ends the present role."""
        if self._leaders_config is not None:
            return self._member.activate_config(self._leaders_config, None, 0)
        if self._leaders_text is not None and not self._member.configs.is_enabled:
            self._member.heard_config(self._leaders_text)
        return False

    def activate(self, txn: LoggedTxn, leader: int) -> bool:
        """Puts the configuration of a committed transaction in force; tells whether that ends the
        present role."""
        member = self._member
        if member.configs.is_enabled:
            return member.activate_config(proposed_membership(txn), leader, txn.header.zxid)
        body = txn.body
        if isinstance(body, SetDataTxn) and body.data is not None:
            member.heard_config(body.data)
        return False

    def store(self) -> int:
        """Orders the database of a snapshot to be stored; returns the ticket of the order, or 0
        where everything is in the log. An observer without a log stores its database if NEWLEADER
        gives it a vote: then its acknowledgement counts."""
        load = self.load
        member = self._member
        if load is None:
            is_voter = member.sid in member.configs.last_seen.voters
            return member.store_database() if is_voter and member.is_ahead_of_log else 0
        uncommitted = self.uncommitted
        load.finish()
        zxid = load.database.last_zxid
        self._check_head(zxid)
        uncommitted.is_first_free = False
        if not uncommitted.queue:
            uncommitted.last_zxid = zxid
        member.is_database_whole = False
        return member.order(StoreDatabase(member.ticket(), load.database))

    def _check_head(self, zxid: int) -> None:
        """Raises QuorumProtocolError if the snapshot has what is not committed yet."""
        head = self.uncommitted.oldest_zxid
        if head is None:
            return
        if head <= zxid:
            raise QuorumProtocolError(
                f"the proposal {format_zxid(head)} was not committed, and the"
                f" snapshot is of {format_zxid(zxid)}"
            )
        _check_behind_snapshot(zxid, head)

    def put_in_force(self) -> None:
        """Takes the database of the snapshot, which is stored, in place of the old one; if there
        was none, it is the one in use that was stored."""
        load = self.load
        if load is None:
            return
        self.load = None
        database = load.database
        database.log_complete_after = database.last_zxid
        self._member.replace_database(database, database.last_zxid)


def _check_behind_snapshot(last: int, zxid: int) -> None:
    if not follows(last, zxid):
        raise QuorumProtocolError(
            f"the transaction {format_zxid(zxid)} does not follow the snapshot of"
            f" {format_zxid(last)}"
        )
