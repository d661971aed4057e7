"""The role of a leader: Zab from the new epoch to the last commit.

Pure. Answers to Leader and LeaderZooKeeperServer. Five phases, each of which ends by itself or ends
the role:

    DISCOVERY        until a quorum has said which epochs it accepted: N is above all of them
    STORING_EPOCH    acceptedEpoch = N is being written; then LEADERINFO
    EPOCH_ACKS       until a quorum has answered ACKEPOCH, none of it ahead of this server
    STORING_CURRENT  currentEpoch = N is being written
    SYNCHRONIZATION  each learner gets what it lacks and NEWLEADER, until a quorum has acked that
    BROADCAST        this server is established, serves, and proposes

The three that wait for others do so for initLimit ticks at most. A learner that comes late walks
through them alone.

A voter that has accepted a later epoch than N can never follow: it must not. Then this leader
accepts that epoch, too, and steps down, so that the next one is higher for both. (The original goes
on, and that voter is out until there is another election.) An epoch that no counting of elections
leads to is not believed: one such number would end the leaderships of this ensemble for good.

A transaction is committed when a quorum has it on disk, in the order of the zxids; this server's
disk is one of them and may be the last. When the counter of the epoch runs out, the leader takes no
more writes, waits for those on the way, and steps down (ZOOKEEPER-1277).

What is queued for all learners within one input is sent as one piece, by ``flush``. (To hold
proposals while others are under way, so that more go together, lost a tenth of set 50x1 in
scripts/bench/ensemble.py.)

No limit of packets is checked here: `Prep` makes no transaction that a learner of the original with
the same jute.maxbuffer and extra size would not take.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from pyzk.config.members import config_text
from pyzk.constants import OpCode
from pyzk.errors import QuorumProtocolError
from pyzk.quorum import packets
from pyzk.quorum.commands import ListenForLearners, StopListening
from pyzk.quorum.epochs import ACCEPTED, CURRENT, MAX_EPOCH, MAX_LEAP
from pyzk.quorum.intake import LeaderIntake
from pyzk.quorum.leader_gauges import LearnerLine, leader_gauges, learner_lines
from pyzk.quorum.leader_sync import Synchronizer
from pyzk.quorum.learner_handler import (
    AWAIT_EPOCH,
    AWAIT_INFO,
    AWAIT_SYNC,
    LearnerHandler,
    check_timeout,
)
from pyzk.quorum.proposals import AckTally, EpochAcks, NewEpoch, Proposal, ProposalSizes
from pyzk.quorum.role import Unapplied
from pyzk.quorum.standalone import SPOT_CHECK_MASK
from pyzk.server.outbox import TakeSnapshot
from pyzk.server.prep import Prep
from pyzk.zxid import counter_of, make

if TYPE_CHECKING:
    from pyzk.data.database import Database
    from pyzk.quorum.link import QuorumLink
    from pyzk.quorum.member import Member
    from pyzk.quorum.packets import ForwardedRequest
    from pyzk.server.connection import Connection
    from pyzk.server.request import Request

log = logging.getLogger(__name__)

DISCOVERY: Final = 0
STORING_EPOCH: Final = 1
EPOCH_ACKS: Final = 2
STORING_CURRENT: Final = 3
SYNCHRONIZATION: Final = 4
BROADCAST: Final = 5

STRANGERS: Final = 64
"""Links that have not said who they are, at one time."""
LAST_COUNTER: Final = 0xFFFFFFFE

_WAITS: Final = {
    DISCOVERY: "no quorum has connected",
    EPOCH_ACKS: "no quorum has acknowledged the epoch",
    SYNCHRONIZATION: "no quorum has been synchronized",
}


class Leader:
    """Role: prepares every write of the ensemble, and commits it when a quorum has it."""

    mode = "leader"

    def __init__(self, member: Member) -> None:
        self.member: Member = member
        self.over: str | None = None
        self.unapplied: Unapplied = Unapplied()
        self.phase: int = DISCOVERY
        self.epoch: int = -1
        """N, as soon as it is settled."""
        self.handlers: list[LearnerHandler] = []
        ensemble = member.ensemble
        self.init_ticks: int = ensemble.init_limit_ticks
        self.sync_ticks: int = ensemble.sync_limit_ticks
        self.beat: int = 0
        """Half ticks since the start; a time in which this server stood still counts as one."""
        self.new_leader_packet: bytes = b""
        self._tally: AckTally = AckTally((member.verifier,))
        self._own_bit: int = self._tally.bit(member.sid)
        self._new_epoch: NewEpoch = NewEpoch(self._tally)
        self._epoch_acks: EpochAcks = EpochAcks(
            self._tally, member.epochs.current, member.database.last_zxid
        )
        self._new_leader_acks: int = 0
        self._synchronizer: Synchronizer = Synchronizer(self)
        self._ticket: int = 0
        """Of the epoch that is being stored."""
        self._refused: int = 0
        """Voters that have a later configuration than this one, as a mask."""
        self._outranked_by: int = -1
        """An epoch that a voter has accepted and that this leader cannot reach."""
        self._half_tick_ms: int = max(1, member.tick_ms // 2)
        self._started_ms: int = member.clock.now_ms
        self._next_beat_ms: int = self._started_ms + self._half_tick_ms
        self._phase_deadline: int | None = None
        self._established_ms: int = 0
        self._has_stopped: bool = False
        # Broadcast
        self.prep: Prep
        self.last_proposed: int = 0
        self.last_committed: int = 0
        self.sizes: ProposalSizes = ProposalSizes()
        self._self_acked: int = 0
        self._outstanding: dict[int, Proposal] = {}
        """In the order of the zxids, which have no hole."""
        self._followers: list[LearnerHandler] = []
        """Get PROPOSAL and COMMIT; each change makes another list."""
        self._observers: list[LearnerHandler] = []
        """Get INFORM."""
        self._batch: list[bytes] = []
        """For all followers."""
        self._batch_zxid: int = 0
        """The last proposal in there, or 0."""
        self._informs: list[bytes] = []
        """For all observers."""
        self._syncs: deque[tuple[int, LearnerHandler]] = deque()
        """(zxid, who asked): SYNC is answered behind the commit of zxid."""
        self.intake: LeaderIntake = LeaderIntake(member, self._tally, self._own_bit)
        self._uncounted_commits: int = 0
        self._counted: int = 0  # the last proposal that is in the metrics
        self._is_exhausted: bool = False
        """The counter is: nothing more is proposed."""

    # --- life -----------------------------------------------------------------------

    def start(self) -> None:
        """Open the quorum port and wait for learners."""
        member = self.member
        # Before the data are looked at: learners give up on a closed port soon.
        member.outbox.commands.append(ListenForLearners())
        dead = member.database.kill_dead_sessions()
        if dead:
            log.info("removed %d ephemeral znodes of sessions that are gone", dead)
            # No transaction says so: a later start must find it in a snapshot.
            member.outbox.commands.append(TakeSnapshot())
        member.install_config()
        self._wait(DISCOVERY)
        try:
            self._count_epoch(member.sid, self._own_bit, member.epochs.accepted)
        except QuorumProtocolError as error:
            self._end(str(error))

    def stop(self) -> None:
        """Close the links and end the service; what was proposed is left to the peer."""
        if self._has_stopped:
            return
        self._has_stopped = True
        if self.over is None:
            self.over = "it was stopped"
        member = self.member
        member.outbox.commands.append(StopListening())
        handlers, self.handlers = self.handlers, []
        self._followers = []
        self._observers = []
        self.intake.end()
        for handler in handlers:
            handler.end()
        if self.phase == BROADCAST:
            member.server.end()
        for zxid, proposal in self._outstanding.items():
            self.unapplied.append((zxid, proposal.payload))
        self._outstanding = {}

    def _end(self, reason: str) -> None:
        if self.over is None:
            self.over = reason

    def _wait(self, phase: int) -> None:
        self.phase = phase
        member = self.member
        self._phase_deadline = member.clock.now_ms + member.init_limit_ms

    # --- time -----------------------------------------------------------------------

    @property
    def deadline(self) -> int | None:
        """The monotonic ms at which ``wake`` is wanted."""
        due = self._phase_deadline
        return self._next_beat_ms if due is None or self._next_beat_ms < due else due

    def wake(self) -> None:
        """Beat: ping the learners, see who is silent, and whether there is a quorum."""
        if self.over is not None:
            return
        now = self.member.clock.now_ms
        due = self._phase_deadline
        if due is not None and now >= due:
            self._end(f"{_WAITS[self.phase]} within initLimit ({self.member.init_limit_ms} ms)")
            return
        if now < self._next_beat_ms:
            return
        self._next_beat_ms = now + self._half_tick_ms
        beat = self.beat = self.beat + 1
        ping = packets.encode_bare(packets.PING, self.last_proposed)
        for handler in list(self.handlers):
            handler.check(beat)
            handler.ping(ping)
        if self.phase == BROADCAST and not beat & 1:
            self._check_quorum()

    def _check_quorum(self) -> None:
        alive = self._own_bit
        for handler in self.handlers:
            if handler.counts_as_alive:
                alive |= handler.bit
        if not self._tally.is_quorum(alive):
            self._end("it has lost its quorum")

    def looking(self, sid: int) -> None:
        """A voter looks for a leader: if no quorum has come within maxTimeToWaitForEpoch, none is
        likely to."""
        limit = self.member.ensemble.max_time_to_wait_for_epoch_ms
        if limit < 0 or self.phase != DISCOVERY or not self._tally.bit(sid):
            return
        if self.member.clock.now_ms - self._started_ms >= limit:
            self._end(f"server {sid} looks for a leader, and no quorum has connected in {limit} ms")

    # --- links ----------------------------------------------------------------------

    def link_accepted(self, name: str) -> QuorumLink | None:
        """A learner has connected; None: this leader is one no more. If too many have not said who
        they are, the oldest of them goes: a learner says it at once, and must not be kept out."""
        if self.over is not None:
            return None
        strangers = [handler for handler in self.handlers if handler.phase == AWAIT_INFO]
        if len(strangers) >= STRANGERS:
            strangers[0].link.fail(f"{len(strangers)} links have not said who they are")
        handler = LearnerHandler(self, name)
        self.handlers.append(handler)
        return handler.link

    def forget(self, handler: LearnerHandler) -> None:
        """A learner has gone. Whether enough are left is asked at the next tick."""
        if handler in self.handlers:
            self.handlers.remove(handler)
        self._followers = [each for each in self._followers if each is not handler]
        self._observers = [each for each in self._observers if each is not handler]

    # --- discovery ------------------------------------------------------------------

    def registered(self, handler: LearnerHandler, accepted: int, config_version: int) -> None:
        """A learner has said who it is. Raises QuorumProtocolError if it is refused."""
        member = self.member
        sid = handler.sid
        if sid == member.sid:
            raise QuorumProtocolError(f"it says it is server {sid}, which is this one (see myid)")
        if config_version > member.membership.version and not member.has_quorums_of(config_version):
            self._refuse_config(sid, config_version)
        self._refused &= ~self._tally.bit(sid)
        for other in list(self.handlers):
            if other is not handler and other.sid == sid and other.phase != AWAIT_INFO:
                other.link.fail(f"server {sid} has connected anew")
        if not handler.is_observer:
            handler.bit = self._tally.bit(sid)
        if self.phase == DISCOVERY:
            self._count_epoch(sid, handler.bit, accepted)
            return
        if accepted > self.epoch:
            self._outranked(handler, accepted)
        elif self.phase >= EPOCH_ACKS:
            handler.propose_epoch(self.epoch)

    def _refuse_config(self, sid: int, version: int) -> None:
        """Quorums of two configurations need have no server in common, so who has a later one must
        not count here. If those who have leave no quorum, somebody else is to lead."""
        member = self.member
        tally = self._tally
        if self.phase != BROADCAST and tally.bit(sid):
            self._refused |= tally.bit(sid)
            member.stands_aside = "it could not lead servers that have a later configuration"
            if not tally.is_quorum(tally.all_bits & ~self._refused):
                self._end("a quorum has a later version of the configuration")
        raise QuorumProtocolError(
            f"server {sid} has version {version:x} of the configuration, of which this server does"
            f" not know that it has the voters of its own version {member.membership.version:x}"
        )

    def _count_epoch(self, sid: int, bit: int, accepted: int) -> None:
        proposed = self._new_epoch
        proposed.add(sid, bit, accepted)  # this server is the first
        if proposed.is_settled:
            self.epoch = proposed.candidate
            self.phase = STORING_EPOCH
            self._phase_deadline = None
            self._ticket = self.member.save_epoch(ACCEPTED, self.epoch)

    def _outranked(self, handler: LearnerHandler, accepted: int) -> None:
        reason = f"server {handler.sid} has accepted epoch {accepted}, this is {self.epoch}"
        limit = min(MAX_EPOCH - 1, self.epoch + MAX_LEAP)
        if not handler.bit or accepted > limit or self._outranked_by >= accepted:
            raise QuorumProtocolError(reason)
        log.warning("%s: another election will help", reason)
        self._outranked_by = accepted
        if self.phase not in (STORING_EPOCH, STORING_CURRENT):
            self._ticket = self.member.save_epoch(ACCEPTED, accepted)

    def stored(self, ticket: int) -> None:
        """An epoch is on disk, and may be spoken of."""
        if self.over is not None or ticket != self._ticket:
            return
        if self.phase == STORING_EPOCH:
            self._epoch_accepted()
        elif self.phase == STORING_CURRENT:
            self._epoch_is_current()
        else:
            self._end(f"a voter has accepted epoch {self._outranked_by}, this is {self.epoch}")
            return
        if self._outranked_by > self.epoch and self.phase != STORING_CURRENT:
            self._ticket = self.member.save_epoch(ACCEPTED, self._outranked_by)

    def _epoch_accepted(self) -> None:
        member = self.member
        epoch = self.epoch
        log.info("proposing epoch %d", epoch)
        self._wait(EPOCH_ACKS)
        self.last_proposed = self.last_committed = make(epoch, 0)
        self._self_acked = self._counted = make(epoch, 0)
        config = config_text(member.membership).encode("utf-8")
        self.new_leader_packet = packets.encode_new_leader(epoch, config)
        for handler in list(self.handlers):
            if handler.phase == AWAIT_EPOCH:
                handler.propose_epoch(epoch)
        self._count_epoch_ack(
            member.sid, self._own_bit, member.epochs.current, member.database.last_zxid
        )

    def epoch_acked(self, handler: LearnerHandler, current_epoch: int) -> None:
        """ACKEPOCH has come. Raises QuorumProtocolError if that learner is ahead."""
        if self.phase == EPOCH_ACKS:
            self._count_epoch_ack(handler.sid, handler.bit, current_epoch, handler.last_zxid)
        elif self.phase >= SYNCHRONIZATION:
            self._synchronizer.start(handler)

    def _count_epoch_ack(self, sid: int, bit: int, current_epoch: int, last_zxid: int) -> None:
        acks = self._epoch_acks
        acks.add(sid, bit, current_epoch, last_zxid)
        if acks.is_settled and self._outranked_by < 0:
            self.phase = STORING_CURRENT
            self._phase_deadline = None
            self._ticket = self.member.save_epoch(CURRENT, self.epoch)

    # --- synchronization ------------------------------------------------------------

    def _epoch_is_current(self) -> None:
        self._wait(SYNCHRONIZATION)
        for handler in list(self.handlers):
            if handler.phase == AWAIT_SYNC:
                try:
                    self._synchronizer.start(handler)
                except QuorumProtocolError as error:
                    handler.link.fail(str(error))
        self._count_new_leader_ack(self._own_bit)

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        """The log that a learner needs has been read."""
        if self.over is None:
            self._synchronizer.log_read(ticket, records)

    def restored(self, ticket: int, database: Database) -> None:
        raise AssertionError("a leader has not asked for another database")

    def start_forwarding(self, handler: LearnerHandler, after: int) -> None:
        """Queue what is on its way behind ``after``, and register for all that comes later."""
        if handler.is_observer:
            self._observers = [*self._observers, handler]
            return
        self._followers = [*self._followers, handler]
        outstanding = self._outstanding
        # What is committed here is applied at once, so there is nothing in between.
        proposed = [zxid for zxid in outstanding if zxid > after]
        handler.told_zxid = self.last_proposed
        for zxid in proposed:
            proposal = outstanding[zxid]
            # TRUNC and SNAP make it give up what it has acked on an earlier link: until it acks
            # again it does not count. The original counts it, and may commit what no quorum has.
            proposal.acks &= ~handler.bit
            handler.propose(packets.encode_packet(packets.PROPOSAL, zxid, proposal.payload), zxid)

    def new_leader_acked(self, handler: LearnerHandler) -> None:
        """A learner has everything up to NEWLEADER on disk."""
        log.info("%r is synchronized", handler, extra=handler.subject)
        if self.phase == BROADCAST:
            handler.up_to_date()
        else:
            self._count_new_leader_ack(handler.bit)

    def _count_new_leader_ack(self, bit: int) -> None:
        self._new_leader_acks |= bit
        if self._tally.is_quorum(self._new_leader_acks):
            self._establish()

    def _establish(self) -> None:
        member = self.member
        server = member.server
        clock = member.clock
        self.phase = BROADCAST
        member.stands_aside = ""
        self._phase_deadline = None
        self._established_ms = clock.now_ms
        log.info("leader of epoch %d after %d ms", self.epoch, clock.now_ms - self._started_ms)
        member.database.begin_epoch(self.epoch)
        member.established(self.epoch)
        server.begin(
            self,
            server.tracked_sessions(),
            len(member.verifier.voters),
            takes_clients=member.ensemble.leader_serves,
        )
        self.prep = Prep(server)
        for handler in list(self.handlers):
            if handler.is_synced:
                handler.up_to_date()

    # --- broadcast ------------------------------------------------------------------

    def submit(self, request: Request) -> None:
        """Prepare a write and propose it."""
        prep = self.prep
        if self._is_exhausted or self.over is not None:
            return
        payload = prep.prepare(request)
        zxid = request.zxid
        self._outstanding[zxid] = Proposal(payload, request)
        self.intake.proposed_bytes += len(payload)
        self.last_proposed = zxid
        self.sizes.add(len(payload))
        if self._followers:
            self._batch.append(packets.encode_packet(packets.PROPOSAL, zxid, payload))
            self._batch_zxid = zxid
        self.member.log_txn(zxid, payload)
        if counter_of(zxid) >= LAST_COUNTER:
            log.warning("the zxids of epoch %d are used up", self.epoch)
            self._is_exhausted = True

    def log_synced(self, zxid: int) -> None:
        """The own log is durable up to ``zxid``: that is this server's ack."""
        first = self._self_acked + 1
        if self.over is not None or zxid < first:
            return
        self._self_acked = zxid
        outstanding = self._outstanding
        bit = self._own_bit
        for each in range(max(first, self.last_committed + 1), zxid + 1):
            outstanding[each].acks |= bit
        self._commit()

    def acked(self, handler: LearnerHandler, zxid: int) -> None:
        """A learner has a proposal on disk."""
        handler.acked(zxid)
        proposal = self._outstanding.get(zxid)
        if proposal is not None:
            proposal.acks |= handler.bit
            if zxid == self.last_committed + 1:
                self._commit()

    def _commit(self) -> None:
        """Commit, in order, what has its quorum."""
        outstanding = self._outstanding
        tally = self._tally
        server = self.member.server
        database = server.database
        before = zxid = self.last_committed
        while True:
            proposal = outstanding.get(zxid + 1)
            if proposal is None or not tally.is_quorum(proposal.acks):
                break
            zxid += 1
            del outstanding[zxid]
            self.last_committed = zxid
            payload = proposal.payload
            self.intake.proposed_bytes -= len(payload)
            if self._followers:
                self._batch.append(packets.encode_bare(packets.COMMIT, zxid))
            if self._observers:
                self._informs.append(packets.encode_packet(packets.INFORM, zxid, payload))
            request = proposal.request
            foretold = request.foretold if zxid & SPOT_CHECK_MASK else None
            applied = database.commit(request, request.body, request.digest, payload, foretold)
            server.finish(request, applied)
            if self._syncs and self._syncs[0][0] <= zxid:
                self.send_batch()  # SYNC stands between this COMMIT and the next
        self._uncounted_commits += zxid - before
        self.prep.changes.applied(zxid)
        if self._is_exhausted and not outstanding:
            self._end(f"the zxids of epoch {self.epoch} are used up")

    def flush(self) -> None:
        """An input has been taken in whole."""
        server = self.member.server
        if self.phase == BROADCAST:
            goes_on = self.intake.look() or self._uncounted_commits > 0
            while (deferred := self.intake.next_deferred()) is not None:
                self._take(*deferred)
            if goes_on:
                server.metrics.commit_count += self._uncounted_commits
                self._uncounted_commits = 0
                server.end_batch()
        if self.last_proposed > self._counted:
            server.metrics.proposal_count += self.last_proposed - self._counted
            self._counted = self.last_proposed
        self.send_batch()

    def send_batch(self) -> None:
        """Send what was proposed and committed since the last time, then the SYNCs behind it."""
        batch = self._batch
        if batch:
            self._batch = []
            zxid, self._batch_zxid = self._batch_zxid, 0
            data = batch[0] if len(batch) == 1 else b"".join(batch)
            for handler in self._followers:
                handler.propose(data, zxid)
        informs = self._informs
        if informs:
            self._informs = []
            data = informs[0] if len(informs) == 1 else b"".join(informs)
            for handler in self._observers:
                handler.send(data)
        syncs = self._syncs
        while syncs and syncs[0][0] <= self.last_committed:
            _, handler = syncs.popleft()
            handler.send(packets.encode_bare(packets.SYNC, 0))

    # --- requests of learners, sessions ---------------------------------------------

    def requested(self, handler: LearnerHandler, forwarded: ForwardedRequest) -> None:
        """A learner asks in a client's name. SYNC is answered when everything is committed that
        was proposed by now: never by an error, for learners match the answers by their order."""
        if not self.intake.defers(handler, forwarded):
            self._take(handler, forwarded)

    def _take(self, handler: LearnerHandler, forwarded: ForwardedRequest) -> None:
        if forwarded.type == OpCode.SYNC:
            self._syncs.append((self.last_proposed, handler))
            if self.last_proposed <= self.last_committed:
                self.send_batch()  # ahead of what is committed from here on
        else:
            self.submit(self.member.server.forwarded(handler, forwarded))

    def touched(self, sessions: list[tuple[int, int]]) -> None:
        """A learner has heard of these sessions."""
        if self.phase == BROADCAST:
            server = self.member.server
            for session_id, timeout_ms in sessions:
                check_timeout(session_id, timeout_ms)
                server.touch_session(session_id, timeout_ms)

    def revalidate_for(self, handler: LearnerHandler, session_id: int, timeout_ms: int) -> bool:
        """A client has come to a learner with this session."""
        check_timeout(session_id, timeout_ms)
        self.send_batch()
        return self.member.server.revalidate_for(handler, session_id, timeout_ms)

    def revalidate(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        """A client has come to this server with a session: whether it lives is known here."""
        self.member.server.revalidate_here(connection, session_id, timeout_ms)

    # --- for people -----------------------------------------------------------------

    def learners(self) -> list[LearnerLine]:
        """Return what is known of each learner that has said who it is."""
        return learner_lines(self.handlers)

    def gauges(self) -> dict[str, int]:
        """Return what mntr shows of a leader."""
        uptime = self.member.clock.now_ms - self._established_ms if self.phase == BROADCAST else 0
        return leader_gauges(self.handlers, len(self._syncs), uptime, self.sizes)
