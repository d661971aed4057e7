"""A learner, from its dial to the end: what is the same before, in and after synchronization.

Pure. Answers to Learner. `learner_sync` follows the leader's history; `follower` and `observer`
say what is taken in which phase, and by what: any other packet closes the link.

    CONNECTING   dials the leader, which may open its port a moment later
    DISCOVERY    has said FOLLOWERINFO or OBSERVERINFO; LEADERINFO names the new epoch N
    ACCEPTING    acceptedEpoch = N is on its way to the disk; then ACKEPOCH
    CHOOSING     DIFF, TRUNC or SNAP says how this learner is synchronized
    LOADING      the snapshot behind SNAP; a database is built beside the one in use
    TRUNCATING   the disk cuts the log; what comes meanwhile waits
    SYNCING      PROPOSAL and COMMIT (or INFORM) up to NEWLEADER
    STORING      everything that was committed goes to the disk, then currentEpoch = N
    READY        has said ACK of (N,0), and waits for UPTODATE; what comes waits
    BROADCAST    serves

The order that Zab stands on: acceptedEpoch is durable before ACKEPOCH is sent; the transactions or
the snapshot, then currentEpoch, before the ACK of NEWLEADER; that one before any other ACK
(ZOOKEEPER-4643, 4646, 4785, 4685). Between ACKEPOCH and it nothing is sent at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pyzk.constants import OpCode
from pyzk.errors import QuorumProtocolError
from pyzk.quorum import packets
from pyzk.quorum.commands import DialLeader
from pyzk.quorum.epochs import ACCEPTED
from pyzk.quorum.forwarding import encode_forward
from pyzk.quorum.link import QuorumLink
from pyzk.quorum.role import Unapplied
from pyzk.zxid import counter_of, format_zxid

if TYPE_CHECKING:
    from pyzk.jute.records import QuorumPacket
    from pyzk.quorum.member import Member
    from pyzk.quorum.snapshot_stream import SnapshotPart
    from pyzk.server.connection import Connection
    from pyzk.server.request import Request
    from pyzk.server.sessions import LearnerSessions

CONNECTING: Final = 0
DISCOVERY: Final = 1
ACCEPTING: Final = 2
CHOOSING: Final = 3
LOADING: Final = 4
TRUNCATING: Final = 5
SYNCING: Final = 6
STORING: Final = 7
READY: Final = 8
BROADCAST: Final = 9
OVER: Final = 10

PHASE_NAMES: Final = (
    "connecting", "discovery", "accepting the epoch", "before synchronization",
    "loading a snapshot", "truncating", "synchronization", "storing", "before UPTODATE",
    "broadcast", "over",
)  # fmt: skip

SOON_TRIES: Final = 5
SOON_MS: Final = 20
"""The first tries follow each other quickly: who has won the election may not know it yet."""
LATER_TRIES: Final = 10
"""Then so many, leaderConnectDelayDuringRetryMs apart. The original tries five times in all. Who
refuses longer has died since the election, and the others wait for a new one."""
MOMENT_MS: Final = 250
"""A connection that lasted no longer and brought nothing was a refusal: what stands between, a
proxy, has taken it, and found the leader's port closed."""

Handlers = dict[int, Callable[["QuorumPacket"], None]]
"""packet type -> what takes it"""


class Learner:
    """Role: another server leads."""

    def __init__(self, member: Member, leader_sid: int, mode: str, is_observer: bool) -> None:
        self.member: Member = member
        self.leader_sid: int = leader_sid
        self.mode: str = mode
        self.is_observer: bool = is_observer
        self.over: str | None = None
        self.is_over: bool = False
        """Over, or stopped: what comes now is ignored."""
        self.unapplied: Unapplied = deque()
        self.epoch: int = 0
        """N, once LEADERINFO has named it."""
        self.told_zxid: int = 0
        """What ACKEPOCH said to be the last transaction here."""
        self.new_leader_config: bytes | None = None
        """The text of the last configuration that the leader has seen, from NEWLEADER."""
        self.phase: int = CONNECTING
        self.link: QuorumLink = QuorumLink(member.outbox, f"server {leader_sid}, the leader", self)
        self._table: dict[int, Handlers] = self._phases()
        self._handlers: Handlers = self._table[CONNECTING]
        self._tries: int = 0
        self._dial_at_ms: int | None = None
        """The next try; None while one is under way."""
        self._give_up_ms: int = 0
        self._heard_ms: int = 0
        self._limit_ms: int = member.init_limit_ms
        """How long the leader may be silent."""
        self._ticket: int = 0
        """Of the command whose answer is waited for."""
        self._then: Callable[[], None] | None = None
        """What goes on when it has come."""
        self._is_waiting_for_log: bool = False
        self._has_answered: bool = False
        """Clients have been answered since the last flush."""
        self._sessions: LearnerSessions | None = None
        self._ping_at_ms: int | None = None
        """While the leader is not read: when it is told unasked which sessions live."""
        self._pending_syncs: deque[Request] = deque()
        self._pending_revalidations: dict[int, deque[tuple[Connection, int]]] = {}
        """session -> (connection, timeout in ms) of each question, in order."""

    def _phases(self) -> dict[int, Handlers]:
        """Return the table: phase -> packet type -> what takes it."""
        return {
            CONNECTING: {},
            DISCOVERY: {packets.LEADERINFO: self._on_leader_info},
            ACCEPTING: {},
            OVER: {},
        }

    # --- connecting -----------------------------------------------------------------

    def start(self) -> None:
        """Connect with the leader."""
        self._connect()

    def _connect(self) -> None:
        member = self.member
        ticks = member.ensemble.connect_to_learner_master_limit_ticks
        limit_ms = ticks * member.tick_ms if ticks > 0 else member.init_limit_ms
        self._give_up_ms = member.clock.now_ms + limit_ms
        self._tries = 0
        self._dial()

    def _dial(self) -> None:
        member = self.member
        leader = member.membership.member(self.leader_sid)
        if leader is None:
            self._end(f"server {self.leader_sid} is not in the configuration")
            return
        self._dial_at_ms = None
        self._tries += 1
        if self.link.is_closed:
            self.link = QuorumLink(member.outbox, self.link.name, self)
        addresses = tuple((each.host, each.quorum_port) for each in leader.addresses)
        left_ms = max(1, self._give_up_ms - member.clock.now_ms)
        member.outbox.commands.append(DialLeader(self.link, addresses, left_ms))

    def _reconnect(self) -> None:
        """Begin anew with the same leader, who need not be elected again for that."""
        self.link.close()
        self._enter(CONNECTING)
        self._connect()

    def link_up(self, link: QuorumLink) -> None:
        """The leader has taken the connection: say who this is."""
        if link is not self.link or self.phase != CONNECTING or self.is_over:
            return
        member = self.member
        self._enter(DISCOVERY)
        self._heard_ms = member.clock.now_ms
        link.send(
            packets.encode_learner_info(
                member.sid,
                member.epochs.accepted,
                member.membership.version,
                is_observer=self.is_observer,
            )
        )

    def link_down(self, link: QuorumLink, reason: str) -> None:
        """There is no connection, or none any more."""
        if link is not self.link or self.is_over:
            return
        member = self.member
        if self.phase == DISCOVERY and not link.has_received:
            if member.clock.now_ms - self._heard_ms <= MOMENT_MS:
                self._enter(CONNECTING)
        if self.phase != CONNECTING:
            self._end(f"the link with server {self.leader_sid}, the leader, has ended: {reason}")
            return
        delay_ms = max(1, member.ensemble.leader_connect_delay_ms)
        if self._tries <= SOON_TRIES:
            delay_ms = min(delay_ms, SOON_MS)
        at = member.clock.now_ms + delay_ms
        if self._tries > SOON_TRIES + LATER_TRIES or at >= self._give_up_ms:
            self._end(
                f"server {self.leader_sid}, the leader, cannot be reached after"
                f" {self._tries} tries: {reason}"
            )
            return
        self._dial_at_ms = at

    # --- inputs ---------------------------------------------------------------------

    def bytes_came(self, link: QuorumLink) -> None:
        """The leader has sent something, if only a part of a packet."""
        self._heard_ms = self.member.clock.now_ms

    def packet(self, link: QuorumLink, packet: QuorumPacket) -> None:
        """The leader has sent a packet."""
        handler = self._handlers.get(packet.type)
        if handler is None:
            raise QuorumProtocolError(
                f"{packets.describe(packet)} in the phase {PHASE_NAMES[self.phase]!r}"
            )
        handler(packet)

    def snapshot_part(self, link: QuorumLink, part: SnapshotPart) -> None:
        """The next part of the snapshot has come."""
        raise QuorumProtocolError("a snapshot that was not awaited")

    def stored(self, ticket: int) -> None:
        """The command that was waited for is durable."""
        then = self._then
        if ticket != self._ticket or then is None or self.is_over:
            return
        self._ticket = 0
        self._then = None
        self._heard_ms = self.member.clock.now_ms
        then()

    def looking(self, sid: int) -> None:
        """The leader looks for a leader itself, since its election: before it has said its epoch
        there is nothing to wait for. What comes later ends with the link."""
        if sid == self.leader_sid and self.phase in (CONNECTING, DISCOVERY):
            self._end(f"server {sid}, the leader, looks for a leader itself")

    def log_synced(self, zxid: int) -> None:
        """The log is durable up to ``zxid``."""

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        """Only leaders read their log."""

    def flush(self) -> None:
        """An input has been taken in whole: let clients go on, and the leader wait if the disk is
        behind."""
        if self._has_answered:
            self._has_answered = False
            self.member.server.queues.end_batch()
        member = self.member
        is_behind = member.unsynced_bytes > member.server.marks.log_bytes
        link = self.link
        if is_behind != link.is_paused and not link.is_closed:
            link.pause(is_behind)
            self._heard_ms = member.clock.now_ms
            self._ping_at_ms = (
                self._next_ping_ms if is_behind and self._sessions is not None else None
            )

    @property
    def _next_ping_ms(self) -> int:
        return self.member.clock.now_ms + max(1, self.member.tick_ms // 2)

    def wake(self) -> None:
        """Look at the clock."""
        now = self.member.clock.now_ms
        at = self._dial_at_ms
        if at is not None and now >= at and not self.is_over:
            self._dial()
        due = self.deadline
        if due is None or now < due:
            return
        if self._ping_at_ms is not None:
            self._send_ping(self.member.database.last_zxid)
            self._ping_at_ms = self._next_ping_ms
            return
        if self.phase == CONNECTING:
            self._end(f"server {self.leader_sid}, the leader, cannot be reached in time")
        else:
            self._end(
                f"server {self.leader_sid}, the leader, has been silent for"
                f" {now - self._heard_ms} ms"
            )

    @property
    def deadline(self) -> int | None:
        """The monotonic ms at which the next try is due, or the leader has been silent too long.

        There is none while the disk is waited for: that is not the leader's silence. But PINGs are
        not read then, and sessions must not expire for that.
        """
        if self.is_over or self._ticket or self._is_waiting_for_log:
            return None
        if self.link.is_paused:
            return self._ping_at_ms
        if self.phase == CONNECTING:
            at = self._dial_at_ms
            return self._give_up_ms if at is None else at
        return self._heard_ms + self._limit_ms

    # --- the end --------------------------------------------------------------------

    def stop(self) -> None:
        """Close the link, serve no longer."""
        self.is_over = True
        self._enter(OVER)
        self.link.close()
        self._pending_syncs.clear()
        self._pending_revalidations.clear()
        self.member.server.end()

    def _end(self, reason: str) -> None:
        """This role is over; the peer stops it after this input."""
        if not self.is_over:
            self.is_over = True
            self.over = reason
            self.link.close()

    def _enter(self, phase: int) -> None:
        self.phase = phase
        self._handlers = self._table[phase]

    def _wait(self, ticket: int, then: Callable[[], None] | None) -> None:
        self._ticket = ticket
        self._then = then

    # --- discovery ------------------------------------------------------------------

    def _on_leader_info(self, packet: QuorumPacket) -> None:
        epoch = packets.leader_info(packet)[0]
        if counter_of(packet.zxid):
            raise QuorumProtocolError(f"LEADERINFO {format_zxid(packet.zxid)} begins no epoch")
        member = self.member
        answer = member.epochs.answer(epoch)
        self.epoch = epoch
        if answer == packets.NOT_COUNTED:
            self._answer_epoch(answer)
            return
        self._enter(ACCEPTING)
        self._wait(member.save_epoch(ACCEPTED, epoch), self._on_accepted)

    def _on_accepted(self) -> None:
        self._answer_epoch(self.member.epochs.current)

    def _answer_epoch(self, answer: int) -> None:
        """Say what this learner has. Only to a leader who has heard the truth, and does not count
        this answer, may it say "nothing": what it has must weigh when leaders are compared."""
        member = self.member
        self.told_zxid = member.database.last_zxid
        if member.needs_snapshot and answer == packets.NOT_COUNTED:
            self.told_zxid = 0
        self._enter(CHOOSING)
        self.link.send(packets.encode_ack_epoch(self.told_zxid, answer))

    # --- for the server and its clients ----------------------------------------------

    def gauges(self) -> dict[str, int]:
        """Nothing that only leaders count."""
        return {}

    def _on_ping(self, packet: QuorumPacket) -> None:
        self._send_ping(packet.zxid)

    def _send_ping(self, zxid: int) -> None:
        assert self._sessions is not None, self.phase
        touched = self._sessions.take_touched()
        self.link.send_ahead(packets.encode_ping_reply(zxid, touched))

    def _on_sync(self, packet: QuorumPacket) -> None:
        if not self._pending_syncs:
            raise QuorumProtocolError(f"{packets.describe(packet)}, and none was asked for")
        self.member.server.queues.finish_sync(self._pending_syncs.popleft())
        self._has_answered = True

    def _on_revalidate(self, packet: QuorumPacket) -> None:
        session_id, is_valid = packets.validity(packet)
        pending = self._pending_revalidations.get(session_id)
        if pending is None:
            raise QuorumProtocolError(f"{packets.describe(packet)}, and nobody asked")
        connection, timeout_ms = pending.popleft()
        if not pending:
            del self._pending_revalidations[session_id]
        self.member.server.revalidated(connection, session_id, timeout_ms, is_valid)
        self._has_answered = True

    def submit(self, request: Request) -> None:
        """Send a write, or a sync, to the leader."""
        if request.opcode == OpCode.SYNC:
            self._pending_syncs.append(request)
        self.link.send(encode_forward(request))

    def revalidate(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        """Ask the leader whether a session lives."""
        pending = self._pending_revalidations.get(session_id)
        if pending is None:
            pending = self._pending_revalidations[session_id] = deque()
        pending.append((connection, timeout_ms))
        self.link.send(packets.encode_revalidate(session_id, timeout_ms))
