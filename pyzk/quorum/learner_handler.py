"""The leader's side of one learner: what it may say when, and how long it may be silent.

Pure. Answers to LearnerHandler. A learner goes through the phases in this order:

    AWAIT_INFO      the link is there; FOLLOWERINFO or OBSERVERINFO must come
    AWAIT_EPOCH     the leader has no epoch yet
    AWAIT_ACKEPOCH  LEADERINFO was sent
    AWAIT_SYNC      the epoch is not acknowledged by a quorum, or the log is being read
    SYNCING         everything up to NEWLEADER is queued
    SYNCED          NEWLEADER was acknowledged; the leader is not established yet
    ACTIVE          UPTODATE was sent

A packet that the phase does not know ends this link, nothing else. Learners up to 3.9.2 may
acknowledge proposals and answer PINGs before they acknowledge NEWLEADER (ZOOKEEPER-4685): both are
taken, and only the ACK of (epoch, 0) ends the wait.

Live traffic behind NEWLEADER is held back until UPTODATE is queued: a COMMIT in between breaks the
synchronization of learners up to 3.9.2 (ZOOKEEPER-4394). PINGs are not held back.

Time is counted in beats of half a tick, so that a leader that stood still does not blame its
learners for it. Nor does it blame a learner for what waits in its own queue: as long as the line
takes what was queued a beat ago, the learner counts as heard. A proposal is awaited until there has
been no ACK for syncLimit. (The original's SyncLimitCheck also drops who goes on acknowledging, each
proposal later than that; here such a learner is only behind.)

A learner that lets more wait than its mark holds up the writes of all (`pyzk.server.marks`). It may
do so for syncLimit; then the link ends if there is a quorum without it (docs/decisions/0016).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pyzk.errors import JuteError, QuorumProtocolError
from pyzk.int64 import hex_id
from pyzk.jute.records import QuorumPacket
from pyzk.outsiders import about
from pyzk.quorum import packets
from pyzk.quorum.link import QuorumLink
from pyzk.quorum.snapshot_stream import SnapshotPart
from pyzk.zxid import counter_of, epoch_of, format_zxid

if TYPE_CHECKING:
    from pyzk.quorum.leader import Leader
    from pyzk.quorum.leader_sync import SnapshotChunks

log = logging.getLogger(__name__)

AWAIT_INFO: Final = 0
AWAIT_EPOCH: Final = 1
AWAIT_ACKEPOCH: Final = 2
AWAIT_SYNC: Final = 3
SYNCING: Final = 4
SYNCED: Final = 5
ACTIVE: Final = 6

PHASE_NAMES: Final = (
    "before it has said who it is",
    "while no epoch is proposed",
    "instead of ACKEPOCH",
    "while it waits for its synchronization",
    "before the ACK of NEWLEADER",
    "before UPTODATE",
    "in the broadcast phase",
)

_NEVER: Final = 1 << 62


def check_timeout(session_id: int, timeout_ms: int) -> None:
    """Raise QuorumProtocolError for a negative session timeout: it would end the session at once,
    or never be reached."""
    if timeout_ms < 0:
        raise QuorumProtocolError(f"session {hex_id(session_id)} with a timeout of {timeout_ms} ms")


class LearnerHandler:
    """One learner, compared by identity; it is the owner of the sessions that it serves."""

    def __init__(self, leader: Leader, name: str) -> None:
        self.leader: Leader = leader
        self.name: str = name
        self.link: QuorumLink = QuorumLink(leader.member.outbox, name, self)
        self.phase: int = AWAIT_INFO
        self.sid: int = -1
        self.is_observer: bool = False
        self.bit: int = 0
        """What its acks count: nothing if it has no vote."""
        self.last_zxid: int = 0
        """Of ACKEPOCH."""
        self.heard: int = leader.beat
        """The beat of its last packet, or of what it has to answer."""
        self.deadline: int = leader.beat + 2 * (leader.init_ticks + leader.sync_ticks)
        """The beat from which it is no longer counted as alive."""
        self.is_snapshot: bool = False
        """How it was synchronized."""
        self.chunks: SnapshotChunks | None = None
        self.acked_zxid: int = 0
        self.sent_zxid: int = 0
        """The last proposal that was queued and asks for an ACK."""
        self.told_zxid: int = 0
        """The last transaction that it can have, and acknowledge: what is held back is not yet."""
        self._queue_bytes: int = leader.member.server.marks.queue_bytes
        self.mark_bytes: int = self._queue_bytes
        """With more than this waiting for it no further writes are taken."""
        self._beat_taken: int = 0
        """How far the line had come at the last beat, and how far the queue reached."""
        self._beat_end: int = 0
        self.holds_up: bool = False
        """Its queue has been above the mark since the last beat."""
        self._held_beats: int = 0
        """For so many beats it has held up the writes of all."""
        self._held: list[bytes] | None = None
        self._held_bytes: int = 0
        self._awaited: int = 0
        """A proposal whose ACK is awaited, or 0."""
        self._awaited_beat: int = 0
        """When it was sent; or when there was an ACK last, or the line moved, if that is later."""

    def __repr__(self) -> str:
        kind = "observer" if self.is_observer else "follower"
        return f"{kind} {self.sid} ({self.name})" if self.phase != AWAIT_INFO else self.name

    @property
    def subject(self) -> dict[str, str]:
        """Whom log lines are about: anybody may say that he is any server."""
        host = self.name.rpartition(":")[0]
        return about(host if self.phase == AWAIT_INFO else f"server {self.sid} at {host}")

    # --- to the learner -------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Queue what must not overtake UPTODATE."""
        held = self._held
        if held is None:
            link = self.link
            link.send(data)
            if link.queued_bytes > self.mark_bytes:
                self._hold_up()
        else:
            held.append(data)
            self._held_bytes += len(data)
            if self.is_behind:
                self._hold_up()

    def _hold_up(self) -> None:
        if not self.link.is_closed:
            self.holds_up = True
            self.leader.intake.hold_up(self)

    def propose(self, data: bytes, zxid: int) -> None:
        """Queue proposals and commits; ``zxid`` is the last proposal among them, or 0."""
        self.send(data)
        if zxid:
            self.sent_zxid = zxid
            if self.phase == ACTIVE:
                self.told_zxid = zxid
                if not self._awaited:
                    self._await_ack(zxid)

    def propose_epoch(self, epoch: int) -> None:
        """Send LEADERINFO."""
        self._enter(AWAIT_ACKEPOCH)
        self.link.send(packets.encode_leader_info(epoch))

    def make_room(self, extra_bytes: int) -> None:
        """What synchronizes is queued, however much: it is not the learner that lets it wait.

        ``extra_bytes`` may wait beside: as long as it is being sent a snapshot it cannot take
        anything else. Once it is up to date the mark comes down with what waits.
        """
        self.mark_bytes = self._queue_bytes + extra_bytes + self.link.queued_bytes

    def new_leader(self, data: bytes) -> None:
        """Queue NEWLEADER behind what synchronizes; hold back what comes then."""
        self.link.send(data)
        self._enter(SYNCING)
        self._held = []

    def up_to_date(self) -> None:
        """Send UPTODATE, and what was held back for it."""
        self._enter(ACTIVE)
        self._is_alive()
        held, self._held = self._held, None
        self.link.send(packets.UPTODATE_PACKET)
        for data in held or ():
            self.link.send(data)
        self._held_bytes = 0
        if self.sent_zxid:
            self.told_zxid = self.sent_zxid
        if self.sent_zxid > self.acked_zxid:
            self._await_ack(self.sent_zxid)

    def ping(self, data: bytes) -> None:
        """Queue a PING; before NEWLEADER it would be taken for something else. It stands in no
        order with proposals, and does not wait behind them: the answer says which sessions live."""
        if self.phase == ACTIVE:
            self.link.send_ahead(data)
        elif self.phase >= SYNCING:
            self.link.send(data)

    def _enter(self, phase: int) -> None:
        self.phase = phase
        self.heard = self.leader.beat

    def _is_alive(self) -> None:
        self.deadline = self.leader.beat + 2 * self.leader.sync_ticks

    # --- time -----------------------------------------------------------------------

    @property
    def is_synced(self) -> bool:
        """Whether it has acknowledged NEWLEADER."""
        return self.phase >= SYNCED

    @property
    def is_syncing(self) -> bool:
        """Whether it is being sent what it lacks."""
        return self.phase == SYNCING

    @property
    def queued_bytes(self) -> int:
        """What waits for it, a snapshot not counted."""
        return self.link.queued_bytes + self._held_bytes

    @property
    def is_behind(self) -> bool:
        """Whether more waits for it than its mark."""
        return self.link.queued_bytes + self._held_bytes > self.mark_bytes

    @property
    def counts_as_alive(self) -> bool:
        """Whether the leader may count on it when it looks for its quorum."""
        return self.phase != AWAIT_INFO and self.leader.beat <= self.deadline

    def check(self, beat: int) -> None:
        """End the link if the learner has been silent, or has not acknowledged, for too long."""
        leader = self.leader
        phase = self.phase
        chunks = self.chunks
        if chunks is not None and phase == SYNCING:
            if chunks.is_exhausted:
                self.chunks = None
                self.heard = beat
            elif chunks.has_progressed():
                # Its time runs from the end of the snapshot, as long as that moves.
                self.heard = beat
        self._look_at_line(beat)
        if phase in (AWAIT_INFO, AWAIT_ACKEPOCH, SYNCING):
            limit = 2 * leader.init_ticks
        elif phase == ACTIVE:
            limit = 2 * leader.sync_ticks
        else:
            limit = _NEVER  # it is the leader that keeps it waiting
        if beat - self.heard > limit:
            self.link.fail(f"{self!r} has been silent for too long {PHASE_NAMES[phase]}")
        elif self._awaited and beat - self._awaited_beat >= 2 * leader.sync_ticks:
            zxid = format_zxid(self._awaited)
            self.link.fail(f"{self!r} has not acknowledged {zxid} within syncLimit")
        else:
            self._check_mark()

    def _look_at_line(self, beat: int) -> None:
        """See that what waits in the queue is not taken for the learner's silence."""
        link = self.link
        taken = link.taken_bytes
        if self._beat_taken < taken < self._beat_end:
            self.heard = self._awaited_beat = beat
            if self.phase == ACTIVE:
                self._is_alive()
        self._beat_taken = taken
        self._beat_end = taken + link.queued_bytes

    def _check_mark(self) -> None:
        """End the link of a learner that has held up all others for too long."""
        leader = self.leader
        waiting = self.queued_bytes
        if self.phase == ACTIVE and self.mark_bytes > self._queue_bytes:
            self.mark_bytes = max(
                self._queue_bytes, min(self.mark_bytes, waiting + self._queue_bytes)
            )
        if self.holds_up or self.is_behind:
            self.holds_up = self.is_behind
            self._held_beats += 1
            ticks = leader.sync_ticks if self.phase == ACTIVE else leader.init_ticks
            if self._held_beats > 2 * ticks and leader.intake.can_spare(self, leader.handlers):
                self.link.fail(
                    f"{self!r} is too slow: {waiting} bytes wait for it, and writes wait for that"
                )
        elif 2 * waiting < self._queue_bytes:
            self._held_beats = 0

    def _await_ack(self, zxid: int) -> None:
        self._awaited = zxid
        self._awaited_beat = self.leader.beat

    def acked(self, zxid: int) -> None:
        """A proposal was acknowledged, and so were all before it."""
        is_progress = zxid > self.acked_zxid
        self.acked_zxid = max(zxid, self.acked_zxid)
        if zxid < self._awaited:
            if is_progress:
                self._awaited_beat = self.leader.beat
        elif zxid < self.sent_zxid and self.phase == ACTIVE:
            self._await_ack(self.sent_zxid)
        else:
            self._awaited = 0

    # --- from the learner -----------------------------------------------------------

    def link_up(self, link: QuorumLink) -> None:
        raise AssertionError("a leader dials nobody")

    def bytes_came(self, link: QuorumLink) -> None:
        self.heard = self.leader.beat
        if self.phase == ACTIVE:
            self._is_alive()

    def snapshot_part(self, link: QuorumLink, part: SnapshotPart) -> None:
        raise QuorumProtocolError("a learner sends no snapshot")

    def link_down(self, link: QuorumLink, reason: str) -> None:
        level = logging.WARNING if link.has_failed else logging.INFO
        log.log(level, "the link with %r has ended: %s", self, reason, extra=self.subject)
        self.end()
        self.leader.forget(self)

    def end(self) -> None:
        """Let go of everything; nobody is told."""
        if self.chunks is not None:
            self.chunks.close()
            self.chunks = None
        self._held = None
        self.link.abort()

    def packet(self, link: QuorumLink, packet: QuorumPacket) -> None:
        """A packet has come. Raises QuorumProtocolError for one that the phase does not know."""
        leader = self.leader
        if leader.over is not None:
            return
        phase = self.phase
        if phase == ACTIVE and packet.type == packets.ACK:
            self._ack(packet)
            return
        action = _ACTIONS.get((phase, packet.type))
        if action is None:
            raise QuorumProtocolError(f"{packets.describe(packet)} {PHASE_NAMES[phase]}")
        try:
            action(self, packet)
        except JuteError as error:
            raise QuorumProtocolError(f"{packets.describe(packet)}: {error}") from None

    def _info(self, packet: QuorumPacket) -> None:
        info = packets.learner_info(packet)
        if info.protocol_version < packets.PROTOCOL_VERSION:
            raise QuorumProtocolError(
                f"server {info.server_id} speaks version {info.protocol_version:#x} of the protocol"
            )
        if info.server_id < 0 or packet.zxid < 0 or counter_of(packet.zxid):
            raise QuorumProtocolError(f"{packets.describe(packet)} names no server or no epoch")
        self.is_observer = packet.type == packets.OBSERVERINFO
        self.sid = info.server_id
        self._enter(AWAIT_EPOCH)
        self.leader.registered(self, epoch_of(packet.zxid), info.config_version)

    def _ack_epoch(self, packet: QuorumPacket) -> None:
        self.last_zxid = packet.zxid
        current = packets.ack_epoch(packet)
        epoch = self.leader.epoch
        # Who has taken part in this epoch says NOT_COUNTED; a later history may be committed.
        if not packets.NOT_COUNTED <= current < epoch or epoch_of(packet.zxid) > epoch:
            raise QuorumProtocolError(f"{packets.describe(packet)} in epoch {epoch}")
        self._enter(AWAIT_SYNC)
        self.leader.epoch_acked(self, current)

    def _early_ack(self, packet: QuorumPacket) -> None:
        """Before NEWLEADER is acknowledged, which this may do."""
        self._ack(packet)
        if not counter_of(packet.zxid) and self.phase == SYNCING:
            self._enter(SYNCED)
            self._is_alive()
            self.leader.new_leader_acked(self)

    def _ack(self, packet: QuorumPacket) -> None:
        """A learner may acknowledge also what it was synchronized with (3.8 does), and NEWLEADER
        twice. An observer need not acknowledge anything, and nothing is expected of it."""
        zxid = packet.zxid
        if zxid & 0xFFFFFFFF:
            if not 0 < zxid <= (self.leader.last_proposed if self.is_observer else self.told_zxid):
                raise QuorumProtocolError(f"ACK {format_zxid(zxid)}, which it was not sent")
            self.leader.acked(self, zxid)
        elif epoch_of(zxid) != self.leader.epoch:
            raise QuorumProtocolError(f"ACK of NEWLEADER {format_zxid(zxid)}, another epoch")

    def _ping(self, packet: QuorumPacket) -> None:
        touched = packets.touched_sessions(packet)
        if touched:
            self.leader.touched(touched)

    def _revalidate(self, packet: QuorumPacket) -> None:
        session_id, timeout_ms = packets.revalidate(packet)
        is_valid = self.leader.revalidate_for(self, session_id, timeout_ms)
        self.send(packets.encode_validity(session_id, is_valid))

    def _request(self, packet: QuorumPacket) -> None:
        self.leader.requested(self, packets.forwarded_request(packet))


_ACTIONS: Final[dict[tuple[int, int], Callable[[LearnerHandler, QuorumPacket], None]]] = {
    (AWAIT_INFO, packets.FOLLOWERINFO): LearnerHandler._info,
    (AWAIT_INFO, packets.OBSERVERINFO): LearnerHandler._info,
    (AWAIT_ACKEPOCH, packets.ACKEPOCH): LearnerHandler._ack_epoch,
    (SYNCING, packets.ACK): LearnerHandler._early_ack,
    (SYNCING, packets.PING): LearnerHandler._ping,
    (SYNCED, packets.ACK): LearnerHandler._early_ack,
    (SYNCED, packets.PING): LearnerHandler._ping,
    (ACTIVE, packets.ACK): LearnerHandler._ack,
    (ACTIVE, packets.PING): LearnerHandler._ping,
    (ACTIVE, packets.REVALIDATE): LearnerHandler._revalidate,
    (ACTIVE, packets.REQUEST): LearnerHandler._request,
}
