"""A learner: how it finds its leader's epoch, takes over its history, and comes to serve.

Pure. ZooKeeper: Learner. `Follower` and `Observer` are what it is in BROADCAST. A packet that the
tables at the end do not name in the present phase closes the link.

    CONNECTING   dials the leader (`learner_dial`)
    DISCOVERY    has said FOLLOWERINFO or OBSERVERINFO; LEADERINFO names the new epoch N
    ACCEPTING    acceptedEpoch = N is on its way to the disk
    CHOOSING     has said ACKEPOCH; DIFF, TRUNC or SNAP says how this learner is synchronized
    LOADING      the snapshot behind SNAP comes; a database is built beside the one in use
    TRUNCATING   the disk cuts the log and loads what is left; what comes meanwhile waits
    SYNCING      PROPOSAL and COMMIT (or INFORM) come up to NEWLEADER
    STORING      everything that was committed goes to the disk
    SAVING       currentEpoch = N is on its way to the disk
    READY        has said ACK of (N, 0), and waits for UPTODATE; what comes waits
    BROADCAST    serves
    OVER         has ended, which it may from every other phase

The order that Zab stands on: acceptedEpoch is durable before ACKEPOCH is sent; the transactions or
the snapshot (`learner_sync`), then currentEpoch, before the ACK of NEWLEADER; that one before any
other ACK (ZOOKEEPER-4643, 4646, 4785, 4685). Between ACKEPOCH and it nothing is sent at all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pyzk.constants import OpCode
from pyzk.data.txn import LoggedTxn
from pyzk.errors import QuorumProtocolError
from pyzk.jute.records import QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.epochs import ACCEPTED, CURRENT
from pyzk.quorum.forwarding import encode_forward
from pyzk.quorum.learner_dial import MOMENT_MS, LeaderDial
from pyzk.quorum.learner_phases import (
    ACCEPTING,
    BROADCAST,
    CHOOSING,
    CONNECTED,
    CONNECTING,
    DISCOVERY,
    EPOCH_KNOWN,
    EPOCH_NEW,
    HAS_NEWLEADER,
    LOADED,
    LOADING,
    LOG_SYNCED,
    NOT_TRUNCATED,
    OVER,
    PHASE_NAMES,
    READY,
    REFUSED,
    SAVING,
    STORED,
    STORING,
    SYNCING,
    TRUNCATED,
    TRUNCATING,
)
from pyzk.quorum.learner_questions import LeaderQuestions
from pyzk.quorum.learner_sync import Synchronization
from pyzk.quorum.link import QuorumLink
from pyzk.quorum.role import Unapplied
from pyzk.server.piece import Piece
from pyzk.zxid import counter_of, format_zxid, make

if TYPE_CHECKING:
    from pyzk.data.database import Database
    from pyzk.quorum.member import Member
    from pyzk.quorum.snapshot_stream import SnapshotPart
    from pyzk.server.connection import Connection
    from pyzk.server.request import Request
    from pyzk.server.sessions import LearnerSessions

log = logging.getLogger(__name__)


class Learner:
    """Role: another server leads."""

    def __init__(self, member: Member, leader_sid: int, mode: str, is_observer: bool) -> None:
        has_log = not is_observer or member.ensemble.sync_enabled
        self.member: Member = member
        self.leader_sid: int = leader_sid
        self.mode: str = mode
        self.is_observer: bool = is_observer
        self.over: str | None = None
        self.is_over: bool = False
        """Whether the role has ended or was stopped: what comes then is ignored."""
        self.unapplied: Unapplied = Unapplied()
        self.phase: int = CONNECTING
        self.link: QuorumLink = QuorumLink(member.outbox, f"server {leader_sid}, the leader", self)
        self.sync: Synchronization = Synchronization(member, leader_sid, has_log)
        self._packets: PacketSteps = OBSERVER_STEPS if is_observer else FOLLOWER_STEPS
        self._dial: LeaderDial = LeaderDial(member, leader_sid)
        self._lost: str = ""
        """Why the last connection was refused."""
        self._heard_ms: int = 0
        self._limit_ms: int = member.init_limit_ms
        """The longest time for which the leader may be silent."""
        self._ticket: int = 0
        """The number of the command whose answer is waited for, or 0."""
        self._has_answered: bool = False
        """Whether clients have been answered since the last flush."""
        self._piece: Piece = Piece(member.server)
        self._sessions: LearnerSessions | None = None
        self._ping_at_ms: int | None = None
        """When the next PING is due, while the leader is not read, and is told unasked which
        sessions live."""
        self.asked: LeaderQuestions = LeaderQuestions(member.server)

    @property
    def epoch(self) -> int:
        """N, once LEADERINFO has named it; 0 before."""
        return self.sync.epoch

    # --- from phase to phase --------------------------------------------------------

    def packet(self, link: QuorumLink, packet: QuorumPacket) -> None:
        """Takes a packet of the leader. Raises QuorumProtocolError if its time has not come."""
        step = self._packets.get((self.phase, packet.type))
        if step is None:
            raise QuorumProtocolError(
                f"{packets.describe(packet)} in the phase {PHASE_NAMES[self.phase]!r}"
            )
        take, self.phase = step
        take(self, packet)

    def _go(self, event: str) -> None:
        """Enters the phase that the table gives for an event, and takes the event."""
        take, self.phase = EVENTS[self.phase, event]
        take(self)

    def _end(self, reason: str) -> None:
        """Ends this role; the peer stops it after this input."""
        if not self.is_over:
            self.is_over = True
            self.over = reason
            self.link.close()

    def stop(self) -> None:
        """Closes the link and serves no longer."""
        self.is_over = True
        self.phase = OVER
        self.link.close()
        self.sync.uncommitted.clear()
        self.asked.clear()
        self.member.server.end()

    # --- connecting -----------------------------------------------------------------

    def start(self) -> None:
        """Begins to connect with the leader."""
        self._dial.begin()
        self._try()

    def _try(self) -> None:
        if self.link.is_closed:
            self.link = QuorumLink(self.member.outbox, self.link.name, self)
        reason = self._dial.dial(self.link)
        if reason:
            self._end(reason)

    def link_up(self, link: QuorumLink) -> None:
        """Takes the news that the leader has taken the connection."""
        if link is self.link and self.phase == CONNECTING and not self.is_over:
            self._go(CONNECTED)

    def _on_connected(self) -> None:
        """Says who this is: FOLLOWERINFO or OBSERVERINFO."""
        member = self.member
        self._heard_ms = member.clock.now_ms
        self.sync.source_sid = self._dial.sid
        self.link.send(
            packets.encode_learner_info(
                member.sid,
                member.epochs.accepted,
                member.membership.version,
                is_observer=self.is_observer,
            )
        )

    def link_down(self, link: QuorumLink, reason: str) -> None:
        """Takes the news that the connection has ended, or could not be made."""
        if link is not self.link or self.is_over:
            return
        lasted_ms = self.member.clock.now_ms - self._heard_ms
        if self.phase == CONNECTING or (
            self.phase == DISCOVERY and not link.has_received and lasted_ms <= MOMENT_MS
        ):
            self._lost = reason
            self._go(REFUSED)
        else:
            self._end(f"the link with {self.link.name}, has ended: {reason}")

    def _on_refused(self) -> None:
        """Tries again a moment later, unless that has been tried for too long."""
        reason = self._dial.refused(self._lost)
        if reason:
            self._end(reason)

    # --- inputs ---------------------------------------------------------------------

    def bytes_came(self, link: QuorumLink) -> None:
        """Notes that the leader has sent something, if only a part of a packet."""
        self._heard_ms = self.member.clock.now_ms

    def snapshot_part(self, link: QuorumLink, part: SnapshotPart) -> None:
        """Takes the next part of the snapshot."""
        if self.phase != LOADING:
            raise QuorumProtocolError("a snapshot that was not awaited")
        self.sync.add_part(part)
        if part.is_last:
            self._go(LOADED)

    def stored(self, ticket: int) -> None:
        """Goes on when the command that was waited for is durable."""
        if ticket == self._ticket and not self.is_over:
            self._answered()
            self._go(STORED)

    def restored(self, ticket: int, database: Database) -> None:
        """Goes on when the log is cut; ``database`` is what is left."""
        if ticket != self._ticket or self.phase != TRUNCATING or self.is_over:
            return
        self._answered()
        self.member.replace_database(database, database.last_zxid)
        failure = self.sync.truncation_failure
        if not failure:
            self._go(TRUNCATED)
        elif self.sync.has_failed_to_truncate:
            self._end(failure)
        else:
            self._go(NOT_TRUNCATED)

    def _answered(self) -> None:
        """Begins to count the leader's silence anew: until now this server waited for its disk."""
        self._ticket = 0
        self._heard_ms = self.member.clock.now_ms

    def log_synced(self, zxid: int) -> None:
        """Goes on when the log is durable, if that was waited for."""
        is_awaited = self.phase == STORING and not self._ticket and not self.is_over
        if is_awaited and self.member.is_settled:
            self._go(LOG_SYNCED)

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        """Does nothing: only whom others follow reads its log."""

    def looking(self, sid: int) -> None:
        """Ends if the leader, which has not said its epoch yet, looks for a leader itself since its
        election. What comes later ends with the link."""
        if sid == self.leader_sid and self.phase in (CONNECTING, DISCOVERY):
            self._end(f"server {sid}, the leader, looks for a leader itself")

    def flush(self) -> None:
        """Lets clients go on after an input, and the leader wait if the disk is behind."""
        if self._has_answered:
            self._has_answered = False
            self.member.server.queues.end_batch()
        member = self.member
        self._piece.begin()
        is_behind = member.unsynced_bytes > member.server.marks.log_bytes
        link = self.link
        if is_behind != link.is_paused and not link.is_closed:
            link.pause(is_behind)
            self._heard_ms = member.clock.now_ms
            pings = is_behind and self._sessions is not None
            self._ping_at_ms = self._next_ping_ms if pings else None

    # --- time -----------------------------------------------------------------------

    @property
    def _next_ping_ms(self) -> int:
        return self.member.clock.now_ms + max(1, self.member.tick_ms // 2)

    def wake(self) -> None:
        """Looks at the clock: dials again, says which sessions live, or ends."""
        now = self.member.clock.now_ms
        at = self._dial.at_ms
        if at is not None and now >= at and not self.is_over:
            self._try()
        due = self.deadline
        if due is None or now < due:
            return
        if self._ping_at_ms is not None:
            self._send_ping(self.member.database.last_zxid)
            self._ping_at_ms = self._next_ping_ms
            return
        if self.phase == CONNECTING:
            self._end(f"{self.link.name}, cannot be reached in time")
        else:
            self._end(f"{self.link.name}, has been silent for {now - self._heard_ms} ms")

    @property
    def deadline(self) -> int | None:
        """The monotonic ms at which ``wake`` is wanted."""
        return self._leader_deadline()

    def _leader_deadline(self) -> int | None:
        """Returns when the next try is due, or the leader has been silent too long; None while the
        disk is waited for. PINGs are not read then, and sessions must not expire for that."""
        if self.is_over or self._ticket or self.phase == STORING:
            return None
        if self.link.is_paused:
            return self._ping_at_ms
        if self.phase == CONNECTING:
            return self._dial.deadline
        return self._heard_ms + self._limit_ms

    # --- discovery ------------------------------------------------------------------

    def _on_leader_info(self, packet: QuorumPacket) -> None:
        """Reads the epoch, and compares it with the one that this server has accepted."""
        epoch = packets.leader_info(packet)[0]
        if counter_of(packet.zxid):
            raise QuorumProtocolError(f"LEADERINFO {format_zxid(packet.zxid)} begins no epoch")
        answer = self.member.epochs.answer(epoch)
        self.sync.epoch = epoch
        self._go(EPOCH_KNOWN if answer == packets.NOT_COUNTED else EPOCH_NEW)

    def _accept_epoch(self) -> None:
        """Orders acceptedEpoch to be saved."""
        self._ticket = self.member.save_epoch(ACCEPTED, self.epoch)

    def _on_accepted(self) -> None:
        """Says ACKEPOCH with the current epoch and the last zxid."""
        self._answer_epoch(self.member.epochs.current)

    def _on_known_epoch(self) -> None:
        """Says ACKEPOCH that does not count."""
        self._answer_epoch(packets.NOT_COUNTED)

    def _answer_epoch(self, answer: int) -> None:
        """Says what this learner has. Only to a leader who has heard the truth, and does not count
        this answer, may it say "nothing": what it has must weigh when leaders are compared."""
        member = self.member
        is_silent = member.needs_snapshot and answer == packets.NOT_COUNTED
        zxid = self.sync.told_zxid = 0 if is_silent else member.database.last_zxid
        self.link.send(packets.encode_ack_epoch(zxid, answer))

    # --- synchronization ------------------------------------------------------------

    def _on_diff(self, packet: QuorumPacket) -> None:
        """Begins to take what the leader has beyond the history here."""
        self.sync.begin_diff(packet)

    def _on_snap(self, packet: QuorumPacket) -> None:
        """Begins to build the leader's database beside the one in use."""
        self.sync.begin_snap(packet)

    def _on_trunc(self, packet: QuorumPacket) -> None:
        """Orders the log to be cut behind the packet's zxid."""
        self._ticket = self.sync.truncate(packet)

    def _on_loaded(self) -> None:
        """Goes on with what follows the snapshot, which is in memory."""

    def _on_truncated(self) -> None:
        """Takes over what was committed meanwhile."""
        self.sync.learn_matched()
        if self.sync.has_new_leader:
            self._go(HAS_NEWLEADER)

    def _on_not_truncated(self) -> None:
        """Connects anew, to tell the leader what is left; that is no reason for an election."""
        self.sync.give_up_truncation()
        self.link.close()
        self.start()

    def _on_proposal_in_sync(self, packet: QuorumPacket) -> None:
        """Keeps the proposal until its COMMIT comes; it is not acknowledged yet."""
        zxid = packet.zxid
        self.sync.see(self.sync.uncommitted.hold(zxid, packets.txn_payload(packet)))

    def _on_commit_in_sync(self, packet: QuorumPacket) -> None:
        """Takes the oldest proposal over, in SYNCING; elsewhere the commit waits."""
        self._match(packet.zxid)

    def _on_commit_and_activate_in_sync(self, packet: QuorumPacket) -> None:
        """Does what COMMIT does, and puts the new configuration in force."""
        leader = packets.designated_leader(packet)
        self._activate(self._match(packet.zxid), leader)

    def _on_inform_in_sync(self, packet: QuorumPacket) -> None:
        """Does what PROPOSAL and COMMIT do."""
        self.sync.uncommitted.hold(packet.zxid, packets.txn_payload(packet))
        self._match(packet.zxid)

    def _on_inform_and_activate_in_sync(self, packet: QuorumPacket) -> None:
        """Does what INFORM does, and puts the new configuration in force."""
        leader, payload = packets.inform_and_activate(packet)
        self.sync.uncommitted.hold(packet.zxid, payload)
        self._activate(self._match(packet.zxid), leader)

    def _on_ping_early(self, packet: QuorumPacket) -> None:
        """Gives no answer: the leader would take it for the ACK of NEWLEADER."""

    def _match(self, zxid: int) -> LoggedTxn:
        """Returns the transaction that is committed, which must be the oldest one that was not."""
        txn = self.sync.uncommitted.match(zxid)[2]
        if self.phase == SYNCING:
            self.sync.learn_matched()
        return txn

    # --- what is durable before this learner says so ----------------------------------

    def _note_new_leader(self, packet: QuorumPacket) -> None:
        """Notes that everything is here; it is stored when the log is cut."""
        self.sync.note_new_leader(packet)

    def _on_new_leader(self, packet: QuorumPacket) -> None:
        """Makes durable what this learner has: the database of a snapshot, or the log."""
        self.sync.note_new_leader(packet)
        self._store()

    def _store(self) -> None:
        """Makes durable what this learner has, as NEWLEADER has come already."""
        self._ticket = self.sync.store()
        if not self._ticket and self.member.is_settled:
            self._go(LOG_SYNCED)

    def _on_stored(self) -> None:
        """Puts the new database in force; orders currentEpoch to be saved."""
        self.sync.put_in_force()
        self._save_current()

    def _save_current(self) -> None:
        """Orders currentEpoch to be saved."""
        self._ticket = self.member.save_epoch(CURRENT, self.epoch)

    def _on_current(self) -> None:
        """Says ACK of NEWLEADER."""
        member = self.member
        member.needs_snapshot = False
        ticks = member.ensemble.observer_sync_limit_ticks if self.is_observer else 0
        self._limit_ms = ticks * member.tick_ms if ticks else member.sync_limit_ms
        self._send_ack(make(self.epoch, 0))

    def _send_ack(self, zxid: int) -> None:
        self.link.send(packets.encode_bare(packets.ACK, zxid))

    # --- broadcast ------------------------------------------------------------------

    def _on_up_to_date(self, packet: QuorumPacket) -> None:
        """Begins to serve: logs what waited, applies what of it is committed."""
        member = self.member
        uncommitted = self.sync.uncommitted
        oldest = uncommitted.oldest_zxid
        if self.is_observer and oldest is not None:
            raise QuorumProtocolError(
                f"the proposal {format_zxid(oldest)} was not committed"
                " before UPTODATE, and an observer hears no COMMIT afterwards"
            )
        server = member.server
        if self.sync.activate_leaders():
            uncommitted.clear()  # none of it was logged
            version = member.membership.version
            self._end(f"version {version:x} of the configuration has another leader, or role")
            return
        member.established(self.epoch)
        member.install_config()
        self._sessions = server.learner_sessions()
        voters = 0 if self.is_observer else len(member.membership.voters)
        server.begin(self, self._sessions, voters)
        self.sync.count(is_observer=self.is_observer)
        log.info(
            "server %d is %s of server %d in epoch %d; last zxid %s",
            member.sid,
            self.mode,
            self.sync.source_sid,
            self.epoch,
            format_zxid(member.database.last_zxid),
        )
        self._send_ack(make(self.epoch, 0))
        for zxid, payload, _ in list(uncommitted.queue):
            self._begin_logging(zxid, payload)
        while (head := uncommitted.take_matched()) is not None:
            self._apply(head[1], head[2])

    def _begin_logging(self, zxid: int, payload: bytes) -> None:
        """Logs a proposal that waited for UPTODATE."""
        self.sync.log(zxid, payload)

    def go_on(self) -> None:
        """Takes what the leader has sent and this learner has let wait."""
        self.link.go_on()

    def _hold_if_long(self) -> None:
        """Lets what the leader has sent wait if this input has taken long."""
        if self._piece.is_over():
            self.link.hold()

    def _apply(self, payload: bytes, txn: LoggedTxn) -> None:
        """Applies what is committed; its own record need not be durable here for that."""
        member = self.member
        applied = member.database.commit(txn.header, txn.body, txn.digest, payload)
        member.server.queues.committed(txn.header, applied)
        self._has_answered = True

    def _activate(self, txn: LoggedTxn, leader: int) -> None:
        """Puts the configuration of a committed transaction in force. A leader that names another
        one commits nothing more, and leads on until its learners have left."""
        zxid = format_zxid(txn.header.zxid)
        has_changed = self.sync.activate(txn, leader)
        if leader != self.leader_sid:
            self._end(f"the reconfiguration {zxid} makes server {leader} the leader")
        elif has_changed:
            role = "an observer" if self.member.is_observer else "a participant"
            self._end(f"the reconfiguration {zxid} makes this server {role}")

    # --- for the server and its clients ----------------------------------------------

    def gauges(self) -> dict[str, int]:
        """Returns nothing: a learner has no gauges that others lack."""
        return {}

    def _on_ping(self, packet: QuorumPacket) -> None:
        """Answers with the sessions that have been heard of since the last PING."""
        self._send_ping(packet.zxid)

    def _send_ping(self, zxid: int) -> None:
        assert self._sessions is not None, self.phase
        touched = self._sessions.take_touched()
        self.link.send_ahead(packets.encode_ping_reply(zxid, touched))

    def _on_sync(self, packet: QuorumPacket) -> None:
        """Answers the client that asked first for a sync."""
        self.asked.finish_sync(packet)
        self._has_answered = True

    def _on_revalidate(self, packet: QuorumPacket) -> None:
        """Tells the client that has come with this session whether it lives."""
        self.asked.finish_revalidate(packet)
        self._has_answered = True

    def submit(self, request: Request) -> None:
        """Sends a write, or a sync, to the leader."""
        if request.opcode == OpCode.SYNC:
            self.asked.syncs.append(request)
        self.link.send(encode_forward(request))

    def revalidate(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        """Asks the leader whether a session lives."""
        self.asked.revalidate(connection, session_id, timeout_ms)
        self.link.send(packets.encode_revalidate(session_id, timeout_ms))


EventSteps = dict[tuple[int, str], tuple[Callable[[Learner], None], int]]
"""(phase, event) -> (what takes it, next phase); the phase is entered first."""

PacketSteps = dict[tuple[int, int], tuple[Callable[[Learner, QuorumPacket], None], int]]
"""(phase, packet type) -> (what takes it, next phase); the phase is entered first."""

EVENTS: Final[EventSteps] = {
    (CONNECTING, CONNECTED): (Learner._on_connected, DISCOVERY),
    (CONNECTING, REFUSED): (Learner._on_refused, CONNECTING),
    (DISCOVERY, REFUSED): (Learner._on_refused, CONNECTING),
    (DISCOVERY, EPOCH_NEW): (Learner._accept_epoch, ACCEPTING),
    (DISCOVERY, EPOCH_KNOWN): (Learner._on_known_epoch, CHOOSING),
    (ACCEPTING, STORED): (Learner._on_accepted, CHOOSING),
    (LOADING, LOADED): (Learner._on_loaded, SYNCING),
    (TRUNCATING, TRUNCATED): (Learner._on_truncated, SYNCING),
    (TRUNCATING, NOT_TRUNCATED): (Learner._on_not_truncated, CONNECTING),
    (SYNCING, HAS_NEWLEADER): (Learner._store, STORING),
    (STORING, LOG_SYNCED): (Learner._save_current, SAVING),
    (STORING, STORED): (Learner._on_stored, SAVING),
    (SAVING, STORED): (Learner._on_current, READY),
}

_WITH_TXNS: Final = (TRUNCATING, SYNCING, STORING, SAVING, READY)
_TXNS: Final = {
    packets.PROPOSAL: Learner._on_proposal_in_sync,
    packets.COMMIT: Learner._on_commit_in_sync,
    packets.COMMITANDACTIVATE: Learner._on_commit_and_activate_in_sync,
    packets.PING: Learner._on_ping_early,
}
_INFORMS: Final = {
    packets.INFORM: Learner._on_inform_in_sync,
    packets.INFORMANDACTIVATE: Learner._on_inform_and_activate_in_sync,
}

FOLLOWER_STEPS: Final[PacketSteps] = {
    (DISCOVERY, packets.LEADERINFO): (Learner._on_leader_info, DISCOVERY),
    (CHOOSING, packets.DIFF): (Learner._on_diff, SYNCING),
    (CHOOSING, packets.TRUNC): (Learner._on_trunc, TRUNCATING),
    (CHOOSING, packets.SNAP): (Learner._on_snap, LOADING),
    (TRUNCATING, packets.NEWLEADER): (Learner._note_new_leader, TRUNCATING),
    (SYNCING, packets.NEWLEADER): (Learner._on_new_leader, STORING),
    (READY, packets.UPTODATE): (Learner._on_up_to_date, BROADCAST),
    **{(phase, kind): (take, phase) for phase in _WITH_TXNS for kind, take in _TXNS.items()},
}
OBSERVER_STEPS: Final[PacketSteps] = {
    **FOLLOWER_STEPS,
    **{(phase, kind): (take, phase) for phase in _WITH_TXNS for kind, take in _INFORMS.items()},
}
