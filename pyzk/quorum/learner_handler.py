"""The leader's side of one learner: what it may say when, and how long it may be silent.

Pure. ZooKeeper: LearnerHandler and LearnerMaster. A packet that the table at the end does not name
in the present phase ends this link, nothing else.

    AWAIT_INFO      the link is there; FOLLOWERINFO or OBSERVERINFO must come
    AWAIT_EPOCH     the leader has no epoch yet
    AWAIT_ACKEPOCH  LEADERINFO was sent
    AWAIT_SYNC      the epoch is not acknowledged by a quorum, or the log is being read
    SYNCING         everything up to NEWLEADER is queued
    SYNCED          NEWLEADER was acknowledged; the leader is not established yet
    ACTIVE          UPTODATE was sent

Learners up to 3.9.2 may acknowledge proposals and answer PINGs before they acknowledge NEWLEADER
(ZOOKEEPER-4685): both are taken, and only the ACK of (epoch, 0) ends the wait.

Live traffic behind NEWLEADER is held back until UPTODATE is queued: a COMMIT in between breaks the
synchronization of learners up to 3.9.2 (ZOOKEEPER-4394). PINGs are not held back.

Time is counted in beats of half a tick, so that a leader that stood still does not blame its
learners for it. Nor does it blame a learner for what waits in its own queue: as long as the line
takes what was queued a beat ago, the learner counts as heard. A proposal is awaited until there has
been no ACK for syncLimit.

A learner that lets more wait than its mark holds up the writes of all (`pyzk.server.marks`). It may
do so for syncLimit; then the link ends if there is a quorum without it (docs/decisions/0016).

Where this differs from ZooKeeper, on purpose: a learner that goes on acknowledging, but each
proposal later than syncLimit, is only behind; the SyncLimitCheck of ZooKeeper drops it. A learner
that holds up the others is dropped; ZooKeeper lets its queue grow.
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
from pyzk.quorum.learner_numbers import LearnerNumbers
from pyzk.quorum.link import QuorumLink
from pyzk.quorum.round_trip import RoundTrip
from pyzk.quorum.snapshot_stream import SnapshotPart
from pyzk.zxid import counter_of, epoch_of, format_zxid

if TYPE_CHECKING:
    from pyzk.quorum.member import Member
    from pyzk.quorum.packets import ForwardedRequest
    from pyzk.quorum.snapshot_send import SnapshotChunks

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

EPOCH_PROPOSED: Final = "the leader proposes an epoch"
HISTORY_QUEUED: Final = "what the learner lacks is queued"
NEWLEADER_ACKED: Final = "ACK of NEWLEADER"
ESTABLISHED: Final = "the leader is established"

STRANGERS: Final = 64
"""The most links at one time that have not said who they are."""
_NEVER: Final = 1 << 62


def check_timeout(session_id: int, timeout_ms: int) -> None:
    """Raises QuorumProtocolError for a negative session timeout: it would end the session at once,
    or never be reached."""
    if timeout_ms < 0:
        raise QuorumProtocolError(f"session {hex_id(session_id)} has a timeout of {timeout_ms} ms")


class LearnerMaster:
    """What learners follow: their handlers, and what a handler asks of it. A leader is one."""

    def __init__(self, member: Member) -> None:
        self.member: Member = member
        self.over: str | None = None
        """Why this server leads no longer, and ignores what learners say; None while it leads."""
        self.handlers: list[LearnerHandler] = []
        self.epoch: int = -1
        """The epoch that is led, as soon as it is settled."""
        self.new_leader_packet: bytes = b""
        self.last_proposed: int = 0
        ensemble = member.ensemble
        self.init_ticks: int = ensemble.init_limit_ticks
        self.sync_ticks: int = ensemble.sync_limit_ticks
        self.beat: int = 0
        """Half ticks since the start; a time in which this server stood still counts as one."""
        self.queue_bytes: int = member.server.marks.queue_bytes
        """The bytes that may wait for a learner before it holds others up."""

    def accept(self, name: str) -> QuorumLink:
        """Returns the link with a learner that has connected. If too many have not said who they
        are, the oldest of them goes: a learner says it at once, and must not be kept out."""
        strangers = [handler for handler in self.handlers if handler.phase == AWAIT_INFO]
        if len(strangers) >= STRANGERS:
            strangers[0].link.fail(f"{len(strangers)} links have not said who they are")
        handler = LearnerHandler(self, name)
        self.handlers.append(handler)
        return handler.link

    def forget(self, handler: LearnerHandler) -> None:
        """Forgets a learner that has gone."""
        if handler in self.handlers:
            self.handlers.remove(handler)

    def ping_learners(self) -> None:
        """Sends PINGs, and ends the links of learners that have been silent for too long."""
        ping = packets.encode_bare(packets.PING, self.last_proposed)
        for handler in list(self.handlers):
            handler.check(self.beat)
            handler.ping(ping)

    def alive_bits(self) -> int:
        """Returns the voters among the learners that are alive, as a mask."""
        alive = 0
        for handler in self.handlers:
            if handler.counts_as_alive:
                alive |= handler.bit
        return alive

    # --- what each kind of master answers in its own way ------------------------------

    def registered(self, handler: LearnerHandler) -> None:
        """Takes a learner that has said who it is. Raises QuorumProtocolError if it is refused."""
        raise AssertionError("each kind of master says whom it takes")

    def epoch_acked(self, handler: LearnerHandler) -> None:
        """Takes an ACKEPOCH. Raises QuorumProtocolError if that learner is ahead."""
        raise AssertionError("each kind of master says what an epoch needs")

    def new_leader_acked(self, handler: LearnerHandler) -> None:
        """Takes an ACK of NEWLEADER: a learner has everything up to that on disk."""
        raise AssertionError("each kind of master says when a learner may serve")

    def acked(self, handler: LearnerHandler, zxid: int) -> None:
        """Takes an ACK: a learner has a proposal on disk."""
        raise AssertionError("each kind of master says what an ACK counts")

    def requested(self, handler: LearnerHandler, forwarded: ForwardedRequest) -> None:
        """Takes what a learner asks in a client's name."""
        raise AssertionError("each kind of master says who answers")

    def touched(self, sessions: list[tuple[int, int]]) -> None:
        """Counts these sessions as alive: a learner has heard of them."""
        raise AssertionError("each kind of master says who tracks sessions")

    def revalidate_for(
        self, handler: LearnerHandler, session_id: int, timeout_ms: int
    ) -> bool | None:
        """Tells whether a session lives, with which a client has come to a learner; None if that is
        asked elsewhere, and the answer will be sent."""
        raise AssertionError("each kind of master says who tracks sessions")

    def hold_up(self, handler: LearnerHandler) -> None:
        """Takes no further writes until less waits for this learner."""
        raise AssertionError("each kind of master says whom a learner holds up")

    def can_spare(self, handler: LearnerHandler) -> bool:
        """Tells whether the others can go on without this learner."""
        raise AssertionError("each kind of master says whom it needs")

    def send_batch(self) -> None:
        """Sends what waits for all learners."""
        raise AssertionError("each kind of master says what it sends")

    def start_forwarding(self, handler: LearnerHandler, after: int) -> None:
        """Queues what is proposed and not committed, and registers for all that comes later."""
        raise AssertionError("each kind of master says what it sends")

    def new_leader_queued(self, handler: LearnerHandler) -> None:
        """Queues what must stand behind NEWLEADER, and so behind UPTODATE."""
        raise AssertionError("each kind of master says what it sends")


class LearnerHandler:
    """One learner, compared by identity; it is the owner of the sessions that it serves."""

    def __init__(self, master: LearnerMaster, name: str) -> None:
        self.master: LearnerMaster = master
        self.name: str = name
        self.link: QuorumLink = QuorumLink(master.member.outbox, name, self)
        self.phase: int = AWAIT_INFO
        self.sid: int = -1
        """The id of the server that the learner says it is; -1 before it has said so."""
        self.is_observer: bool = False
        self.bit: int = 0
        """The mask of its vote; 0, which counts for nothing, if it has none."""
        self.accepted_epoch: int = -1
        self.config_version: int = 0
        """The version of its configuration, from FOLLOWERINFO."""
        self.current_epoch: int = 0
        """The current epoch and the last zxid of the learner, from ACKEPOCH."""
        self.last_zxid: int = 0
        self.heard: int = master.beat
        """The beat of its last packet, or of the packet that it has to answer."""
        self.deadline: int = master.beat + 2 * (master.init_ticks + master.sync_ticks)
        """The beat from which on the learner no longer counts as alive."""
        self.is_snapshot: bool = False
        """Whether it was synchronized by a snapshot."""
        self.chunks: SnapshotChunks | None = None
        self.acked_zxid: int = 0
        self.sent_zxid: int = 0
        """The last proposal that was queued and asks for an ACK."""
        self.told_zxid: int = 0
        """The last transaction that the learner can have and acknowledge; what is held back does
        not count."""
        self.numbers: LearnerNumbers = LearnerNumbers(self.link, master.member.clock.wall_ms)
        self._queue_bytes: int = master.queue_bytes
        self.mark_bytes: int = self._queue_bytes
        """No further writes are taken while more than this waits for it."""
        self._beat_taken: int = 0
        """The bytes that the line had taken at the last beat; ``_beat_end`` adds those that
        waited."""
        self._beat_end: int = 0
        self.holds_up: bool = False
        """Whether its queue has been above the mark since the last beat."""
        self._held_beats: int = 0
        """The number of beats for which it has held up the writes of all."""
        self._held: list[bytes] | None = None
        self._held_bytes: int = 0
        self.round_trip: RoundTrip = RoundTrip()
        self._awaited: int = 0
        """A proposal whose ACK is awaited, or 0."""
        self._awaited_beat: int = 0
        """The beat of its sending, or of the last ACK or movement of the line, if that is later."""

    def __repr__(self) -> str:
        kind = "observer" if self.is_observer else "follower"
        return f"{kind} {self.sid} ({self.name})" if self.sid >= 0 else self.name

    @property
    def subject(self) -> dict[str, str]:
        """The subject of log lines about the learner: anybody may claim to be any server."""
        host = self.name.rpartition(":")[0]
        return about(host if self.sid < 0 else f"server {self.sid} at {host}")

    # --- from phase to phase --------------------------------------------------------

    def packet(self, link: QuorumLink, packet: QuorumPacket) -> None:
        """Takes a packet of the learner. Raises QuorumProtocolError if its time has not come."""
        if self.master.over is not None:
            return
        phase = self.phase
        if phase == ACTIVE and packet.type == packets.ACK:
            self._on_ack(packet)
            return
        step = PACKETS.get((phase, packet.type))
        if step is None:
            raise QuorumProtocolError(f"{packets.describe(packet)} {PHASE_NAMES[phase]}")
        take, self.phase = step
        try:
            take(self, packet)
        except JuteError as error:
            raise QuorumProtocolError(f"{packets.describe(packet)}: {error}") from None

    def go(self, event: str) -> None:
        """Enters the phase that the table gives for an event, and takes the event."""
        take, self.phase = EVENTS[self.phase, event]
        self.heard = self.master.beat
        take(self)

    # --- to the learner -------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Queues what must not overtake UPTODATE."""
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
            self.master.hold_up(self)

    def propose(self, data: bytes, zxid: int) -> None:
        """Queues proposals and commits; ``zxid`` is the last proposal among them, or 0."""
        self.send(data)
        if zxid:
            self.sent_zxid = zxid
            if self.phase == ACTIVE:
                self.told_zxid = zxid
                if not self._awaited:
                    self._await_ack(zxid)

    def _send_epoch(self) -> None:
        """Sends LEADERINFO."""
        self.link.send(packets.encode_leader_info(self.master.epoch))

    def make_room(self, extra_bytes: int) -> None:
        """Raises the mark by what is queued to synchronize the learner: it is not the learner that
        lets that wait.

        ``extra_bytes`` may wait beside: as long as it is being sent a snapshot it cannot take
        anything else. Once it is up to date the mark comes down with what waits.
        """
        self.mark_bytes = self._queue_bytes + extra_bytes + self.link.queued_bytes

    def _send_new_leader(self) -> None:
        """Queues NEWLEADER; holds back what comes behind it."""
        self.link.send(self.master.new_leader_packet)
        self._held = []

    def _send_up_to_date(self) -> None:
        """Sends UPTODATE, and what was held back for it."""
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
        """Queues a PING; before NEWLEADER it would be taken for something else. It stands in no
        order with proposals, and does not wait behind them: the answer says which sessions live."""
        self.numbers.zxid = self.master.last_proposed or self.numbers.zxid
        if self.phase == ACTIVE:
            master = self.master
            self.round_trip.sent(master.last_proposed, master.member.clock.now_ms)
            self.link.send_ahead(data)
        elif self.phase >= SYNCING:
            self.link.send(data)

    def _is_alive(self) -> None:
        self.deadline = self.master.beat + 2 * self.master.sync_ticks

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
        """The bytes that wait for it, a snapshot not counted."""
        return self.link.queued_bytes + self._held_bytes

    @property
    def queued_packets(self) -> int:
        """How many pieces wait for it, each of one packet or several."""
        return self.link.queued + len(self._held or ())

    @property
    def is_behind(self) -> bool:
        """Whether more waits for it than its mark."""
        return self.link.queued_bytes + self._held_bytes > self.mark_bytes

    @property
    def counts_as_alive(self) -> bool:
        """Whether the leader may count on it when it looks for its quorum."""
        return self.sid >= 0 and self.master.beat <= self.deadline

    def check(self, beat: int) -> None:
        """Ends the link if the learner has been silent, or has not acknowledged, for too long."""
        master = self.master
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
            limit = 2 * master.init_ticks
        elif phase == ACTIVE:
            limit = 2 * master.sync_ticks
        else:
            limit = _NEVER  # it is the leader that keeps it waiting
        if beat - self.heard > limit:
            self.link.fail(f"{self!r} has been silent for too long {PHASE_NAMES[phase]}")
        elif self._awaited and beat - self._awaited_beat >= 2 * master.sync_ticks:
            zxid = format_zxid(self._awaited)
            self.link.fail(f"{self!r} has not acknowledged {zxid} within syncLimit")
        else:
            self._check_mark()

    def _look_at_line(self, beat: int) -> None:
        """Counts the learner as heard while the line takes what waits in the queue."""
        link = self.link
        taken = link.taken_bytes
        if self._beat_taken < taken < self._beat_end:
            self.heard = self._awaited_beat = beat
            if self.phase == ACTIVE:
                self._is_alive()
        self._beat_taken = taken
        self._beat_end = taken + link.queued_bytes

    def _check_mark(self) -> None:
        """Ends the link of a learner that has held up all others for too long."""
        master = self.master
        waiting = self.queued_bytes
        if self.phase == ACTIVE and self.mark_bytes > self._queue_bytes:
            self.mark_bytes = max(
                self._queue_bytes, min(self.mark_bytes, waiting + self._queue_bytes)
            )
        if self.holds_up or self.is_behind:
            self.holds_up = self.is_behind
            self._held_beats += 1
            ticks = master.sync_ticks if self.phase == ACTIVE else master.init_ticks
            if self._held_beats > 2 * ticks and master.can_spare(self):
                self.link.fail(
                    f"{self!r} is too slow: {waiting} bytes wait for it, and writes wait for that"
                )
        elif 2 * waiting < self._queue_bytes:
            self._held_beats = 0

    def _await_ack(self, zxid: int) -> None:
        self._awaited = zxid
        self._awaited_beat = self.master.beat

    def acked(self, zxid: int) -> None:
        """Notes that the learner has acknowledged a proposal, and so all before it."""
        is_progress = zxid > self.acked_zxid
        self.acked_zxid = max(zxid, self.acked_zxid)
        if zxid < self._awaited:
            if is_progress:
                self._awaited_beat = self.master.beat
        elif zxid < self.sent_zxid and self.phase == ACTIVE:
            self._await_ack(self.sent_zxid)
        else:
            self._awaited = 0

    # --- from the learner -----------------------------------------------------------

    def link_up(self, link: QuorumLink) -> None:
        """Raises AssertionError: only learners dial."""
        raise AssertionError("a leader dials nobody")

    def bytes_came(self, link: QuorumLink) -> None:
        """Notes that the learner has sent something, if only a part of a packet."""
        self.heard = self.master.beat
        if self.phase == ACTIVE:
            self._is_alive()

    def snapshot_part(self, link: QuorumLink, part: SnapshotPart) -> None:
        """Raises QuorumProtocolError: a learner sends no snapshot."""
        raise QuorumProtocolError("a learner sends no snapshot")

    def link_down(self, link: QuorumLink, reason: str) -> None:
        """Forgets the learner, whose link has ended."""
        level = logging.WARNING if link.has_failed else logging.INFO
        log.log(level, "the link with %r has ended: %s", self, reason, extra=self.subject)
        self.end()
        self.master.forget(self)

    def end(self) -> None:
        """Lets go of everything; nobody is told."""
        if self.chunks is not None:
            self.chunks.close()
            self.chunks = None
        self._held = None
        self.link.abort()

    def _on_info(self, packet: QuorumPacket) -> None:
        """Learns who it is and what it has accepted; tells the leader."""
        info = packets.learner_info(packet)
        if info.protocol_version < packets.PROTOCOL_VERSION:
            raise QuorumProtocolError(
                f"server {info.server_id} speaks version {info.protocol_version:#x} of the protocol"
            )
        if info.server_id < 0 or packet.zxid < 0 or counter_of(packet.zxid):
            raise QuorumProtocolError(f"{packets.describe(packet)} names no server or no epoch")
        self.is_observer = packet.type == packets.OBSERVERINFO
        self.sid = info.server_id
        self.accepted_epoch = epoch_of(packet.zxid)
        self.config_version = info.config_version
        self.master.registered(self)

    def _on_ack_epoch(self, packet: QuorumPacket) -> None:
        """Learns which history it has; tells the leader."""
        self.last_zxid = packet.zxid
        current = self.current_epoch = packets.ack_epoch(packet)
        epoch = self.master.epoch
        # Who has taken part in this epoch says NOT_COUNTED; a later history may be committed.
        if not packets.NOT_COUNTED <= current < epoch or epoch_of(packet.zxid) > epoch:
            raise QuorumProtocolError(f"{packets.describe(packet)} in epoch {epoch}")
        self.master.epoch_acked(self)

    def _on_early_ack(self, packet: QuorumPacket) -> None:
        """Counts an ACK; looks whether it is that of NEWLEADER."""
        self._on_ack(packet)
        if not counter_of(packet.zxid):
            self.go(NEWLEADER_ACKED)

    def _on_synced(self) -> None:
        """Tells the leader that the learner has its history on disk."""
        self._is_alive()
        self.master.new_leader_acked(self)

    def _on_ack(self, packet: QuorumPacket) -> None:
        """Counts an ACK for its proposal.

        A learner may acknowledge also what it was synchronized with (3.8 does), and NEWLEADER
        twice. An observer need not acknowledge anything, and nothing is expected of it."""
        zxid = packet.zxid
        if zxid & 0xFFFFFFFF:
            if not 0 < zxid <= (self.master.last_proposed if self.is_observer else self.told_zxid):
                raise QuorumProtocolError(f"ACK {format_zxid(zxid)}, which it was not sent")
            self.master.acked(self, zxid)
        elif epoch_of(zxid) != self.master.epoch:
            raise QuorumProtocolError(f"ACK of NEWLEADER {format_zxid(zxid)}, another epoch")
        elif self.phase == ACTIVE:
            self.round_trip.forget()  # UPTODATE has come

    def _on_ping(self, packet: QuorumPacket) -> None:
        """Learns which sessions live, and how long the way there and back takes."""
        self.round_trip.answered(packet.zxid, self.master.member.clock.now_ms)
        touched = packets.touched_sessions(packet)
        if touched:
            self.master.touched(touched)

    def _on_revalidate(self, packet: QuorumPacket) -> None:
        """Answers whether a session lives, if that is known here."""
        session_id, timeout_ms = packets.revalidate(packet)
        is_valid = self.master.revalidate_for(self, session_id, timeout_ms)
        if is_valid is not None:
            self.send(packets.encode_validity(session_id, is_valid))

    def _on_request(self, packet: QuorumPacket) -> None:
        """Hands a client's write, or sync, to the leader."""
        self.numbers.requests += 1
        self.master.requested(self, packets.forwarded_request(packet))


PACKETS: Final[
    dict[tuple[int, int], tuple[Callable[[LearnerHandler, QuorumPacket], None], int]]
] = {
    (AWAIT_INFO, packets.FOLLOWERINFO): (LearnerHandler._on_info, AWAIT_EPOCH),
    (AWAIT_INFO, packets.OBSERVERINFO): (LearnerHandler._on_info, AWAIT_EPOCH),
    (AWAIT_ACKEPOCH, packets.ACKEPOCH): (LearnerHandler._on_ack_epoch, AWAIT_SYNC),
    (SYNCING, packets.ACK): (LearnerHandler._on_early_ack, SYNCING),
    (SYNCING, packets.PING): (LearnerHandler._on_ping, SYNCING),
    (SYNCED, packets.ACK): (LearnerHandler._on_ack, SYNCED),
    (SYNCED, packets.PING): (LearnerHandler._on_ping, SYNCED),
    (ACTIVE, packets.ACK): (LearnerHandler._on_ack, ACTIVE),
    (ACTIVE, packets.PING): (LearnerHandler._on_ping, ACTIVE),
    (ACTIVE, packets.REVALIDATE): (LearnerHandler._on_revalidate, ACTIVE),
    (ACTIVE, packets.REQUEST): (LearnerHandler._on_request, ACTIVE),
}
"""(phase, packet type) -> (what takes it, next phase); the phase is entered first."""

EVENTS: Final[dict[tuple[int, str], tuple[Callable[[LearnerHandler], None], int]]] = {
    (AWAIT_EPOCH, EPOCH_PROPOSED): (LearnerHandler._send_epoch, AWAIT_ACKEPOCH),
    (AWAIT_SYNC, HISTORY_QUEUED): (LearnerHandler._send_new_leader, SYNCING),
    (SYNCING, NEWLEADER_ACKED): (LearnerHandler._on_synced, SYNCED),
    (SYNCED, ESTABLISHED): (LearnerHandler._send_up_to_date, ACTIVE),
}
"""(phase, event) -> (what takes it, next phase); the phase is entered first."""
