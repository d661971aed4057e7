"""The role of a leader: Zab from the new epoch to the last commit.

Pure. ZooKeeper: Leader and LeaderZooKeeperServer. Each phase ends by itself or ends the role; the
tables at the end say what leads from one to the next.

    DISCOVERY        until a quorum has said which epochs it accepted: N is above all of them
    STORING_EPOCH    acceptedEpoch = N is on its way to the disk
    EPOCH_ACKS       LEADERINFO is sent, until a quorum has said ACKEPOCH, none of it being ahead
    STORING_CURRENT  currentEpoch = N is on its way to the disk
    SYNCHRONIZATION  each learner gets what it lacks and NEWLEADER, until a quorum has acked that
    BROADCAST        this server is established, serves, and proposes

The three that wait for others do so for initLimit ticks at most. A late learner walks through them
alone. A transaction is committed when a quorum has it on disk, in the order of the zxids; this
server's disk may be the last of them. When the counter of the epoch runs out, the leader takes no
more writes, waits for those under way, and steps down (ZOOKEEPER-1277).

Where this differs from ZooKeeper, on purpose: a voter that has accepted a later epoch than N can
never follow, and must not. This leader then accepts that epoch, too, and steps down, so that the
next one is higher for both. ZooKeeper goes on, and that voter is out until there is another
election. An epoch that no counting of elections leads to is not believed: one such number would end
the leaderships of this ensemble for good.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pyzk.constants import OpCode
from pyzk.errors import QuorumProtocolError
from pyzk.quorum import packets
from pyzk.quorum.commands import ListenForLearners, StopListening
from pyzk.quorum.epochs import ACCEPTED, CURRENT, MAX_EPOCH, MAX_LEAP
from pyzk.quorum.forwarding import decode_forward
from pyzk.quorum.intake import LeaderIntake
from pyzk.quorum.leader_config import LeaderConfig
from pyzk.quorum.leader_gauges import LearnerLine, leader_gauges, learner_lines
from pyzk.quorum.leader_latencies import LeaderLatencies
from pyzk.quorum.leader_sync import Synchronizer
from pyzk.quorum.leader_traffic import LearnerTraffic
from pyzk.quorum.learner_handler import (
    AWAIT_EPOCH,
    AWAIT_SYNC,
    EPOCH_PROPOSED,
    ESTABLISHED,
    LearnerHandler,
    LearnerMaster,
    check_timeout,
)
from pyzk.quorum.proposals import AckTally, EpochAcks, NewEpoch, Proposal, ProposalSizes
from pyzk.quorum.role import Unapplied
from pyzk.quorum.standalone import SPOT_CHECK_MASK
from pyzk.server.piece import Piece
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

EPOCH_SETTLED: Final = "a quorum has connected"
EPOCH_ACKED: Final = "a quorum has acknowledged the epoch"
QUORUM_SYNCED: Final = "a quorum has acknowledged NEWLEADER"
STORED: Final = "order durable"
INFO: Final = "FOLLOWERINFO or OBSERVERINFO of a learner"
ACKEPOCH: Final = "ACKEPOCH of a learner"
NEWLEADER_ACKED: Final = "ACK of NEWLEADER of a learner"

LAST_COUNTER: Final = 0xFFFFFFFE
"""The last counter that is used in an epoch."""

_WAITS: Final = {
    DISCOVERY: "no quorum has connected",
    EPOCH_ACKS: "no quorum has acknowledged the epoch",
    SYNCHRONIZATION: "no quorum has been synchronized",
}


class Leader(LearnerMaster):
    """Role: prepares every write of the ensemble, and commits it when a quorum has it."""

    mode = "leader"

    def __init__(self, member: Member) -> None:
        super().__init__(member)
        self.unapplied: Unapplied = Unapplied()
        self.phase: int = DISCOVERY
        self.traffic: LearnerTraffic = LearnerTraffic()
        self._config: LeaderConfig = LeaderConfig(self, self.traffic)
        self._tally: AckTally = self._config.tally
        self._own_bit: int = self._tally.bit(member.sid)
        self._latencies: LeaderLatencies = LeaderLatencies(member, self._own_bit)
        self._new_epoch: NewEpoch = NewEpoch(self._tally)
        self._epoch_acks: EpochAcks = EpochAcks(
            self._tally, member.epochs.current, member.database.last_zxid
        )
        self._new_leader_acks: int = 0
        self._synchronizer: Synchronizer = Synchronizer(self)
        self._ticket: int = 0
        """The number of the order to store an epoch."""
        self._outranked_by: int = -1
        """A later epoch that a voter has accepted: this leader saves it and steps down. -1 means
        none."""
        self._half_tick_ms: int = max(1, member.tick_ms // 2)
        self._started_ms: int = member.clock.now_ms
        self._next_beat_ms: int = self._started_ms + self._half_tick_ms
        self._phase_deadline: int | None = None
        self._established_ms: int = 0
        self._has_stopped: bool = False
        self.prep: Prep
        self.last_committed: int = 0
        self.sizes: ProposalSizes = ProposalSizes()
        self._self_acked: int = 0
        self._outstanding: dict[int, Proposal] = {}
        """zxid -> proposal that is not committed, in order and without a hole."""
        self.intake: LeaderIntake = LeaderIntake(member, self._tally, self._own_bit)
        self._piece: Piece = Piece(member.server)
        self._uncounted_commits: int = 0
        self._counted: int = 0
        """The last proposal that is in the metrics."""
        self._is_exhausted: bool = False
        """Whether the counter has run out: nothing more is proposed."""

    # --- life -----------------------------------------------------------------------

    def start(self) -> None:
        """Opens the quorum port and waits for learners."""
        member = self.member
        # Before the data are looked at: learners give up on a closed port soon.
        member.outbox.commands.append(ListenForLearners(member.me))
        member.kill_dead_sessions()
        member.install_config()
        self._enter(DISCOVERY)
        try:
            self._count_epoch(member.sid, self._own_bit, member.epochs.accepted)
        except QuorumProtocolError as error:
            self._end(str(error))

    def stop(self) -> None:
        """Closes the links and ends the service; what was proposed is left to the peer."""
        if self._has_stopped:
            return
        self._has_stopped = True
        self._end("it was stopped")
        member = self.member
        member.outbox.commands.append(StopListening())
        handlers, self.handlers = self.handlers, []
        self.traffic.clear()
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

    # --- from phase to phase --------------------------------------------------------

    def _enter(self, phase: int) -> None:
        self.phase = phase
        member = self.member
        due = member.clock.now_ms + member.init_limit_ms
        self._phase_deadline = due if phase in _WAITS else None

    def _go(self, event: str) -> None:
        """Enters the phase that the table gives for an event, and takes the event."""
        take, phase = EVENTS[self.phase, event]
        self._enter(phase)
        take(self)

    # --- time -----------------------------------------------------------------------

    @property
    def deadline(self) -> int | None:
        """The monotonic ms at which ``wake`` is wanted."""
        due = self._phase_deadline
        return self._next_beat_ms if due is None or self._next_beat_ms < due else due

    def wake(self) -> None:
        """Counts a beat: pings the learners, sees who is silent, and whether there is a quorum."""
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
        self.beat += 1
        self.ping_learners()
        if self.phase == BROADCAST and not self.beat & 1:
            if not self._tally.is_quorum(self._own_bit | self.alive_bits()):
                self._end("it has lost its quorum")
            elif self._config.must_leave:
                self._end("another server was made the leader")

    def looking(self, sid: int) -> None:
        """Ends if a voter looks for a leader, and no quorum has connected within
        maxTimeToWaitForEpoch: none is likely to."""
        limit = self.member.ensemble.max_time_to_wait_for_epoch_ms
        if limit < 0 or self.phase != DISCOVERY or not self._tally.is_voter(sid):
            return
        if self.member.clock.now_ms - self._started_ms >= limit:
            self._end(f"server {sid} looks for a leader, and no quorum has connected in {limit} ms")

    # --- links ----------------------------------------------------------------------

    def link_accepted(self, name: str) -> QuorumLink | None:
        """Returns the link with a learner that has connected, None once this role is over."""
        return self.accept(name) if self.over is None else None

    def forget(self, handler: LearnerHandler) -> None:
        """Forgets a learner that has gone. Whether enough are left is asked at the next tick."""
        super().forget(handler)
        self.traffic.remove(handler)

    # --- discovery ------------------------------------------------------------------

    def registered(self, handler: LearnerHandler) -> None:
        """Takes a learner that has said who it is. Raises QuorumProtocolError if it is refused."""
        member = self.member
        sid = handler.sid
        if sid == member.sid:
            raise QuorumProtocolError(f"it says it is server {sid}, which is this one (see myid)")
        established = self.phase == BROADCAST
        self._config.admit(sid, handler.config_version, is_established=established)
        for other in list(self.handlers):
            if other is not handler and other.sid == sid:
                other.link.fail(f"server {sid} has connected anew")
        handler.bit = self._config.bit_of(handler, is_established=established)
        LEARNER_EVENTS[self.phase, INFO](self, handler)

    def _count_accepted(self, handler: LearnerHandler) -> None:
        """Counts the epoch that the learner has accepted."""
        self._count_epoch(handler.sid, handler.bit, handler.accepted_epoch)

    def _check_accepted(self, handler: LearnerHandler) -> None:
        """Lets the learner wait, unless it has accepted a later epoch: then steps down."""
        if handler.accepted_epoch > self.epoch:
            self._outranked(handler)

    def _propose_to(self, handler: LearnerHandler) -> None:
        """Lets LEADERINFO be sent, unless the learner has accepted a later epoch: steps down."""
        if handler.accepted_epoch > self.epoch:
            self._outranked(handler)
        else:
            handler.go(EPOCH_PROPOSED)

    def _count_epoch(self, sid: int, bit: int, accepted: int) -> None:
        proposed = self._new_epoch
        proposed.add(sid, bit, accepted)  # this server is the first
        if proposed.is_settled:
            self.epoch = proposed.candidate
            self._go(EPOCH_SETTLED)

    def _accept_epoch(self) -> None:
        """Orders acceptedEpoch to be saved."""
        self._ticket = self.member.save_epoch(ACCEPTED, self.epoch)

    def _outranked(self, handler: LearnerHandler) -> None:
        accepted = handler.accepted_epoch
        reason = f"server {handler.sid} has accepted epoch {accepted}, later than {self.epoch}"
        limit = min(MAX_EPOCH - 1, self.epoch + MAX_LEAP)
        is_voter = self._tally.is_voter(handler.sid)
        if not is_voter or accepted > limit or self._outranked_by >= accepted:
            raise QuorumProtocolError(reason)
        log.warning("%s: this server steps down, so that the next epoch is later", reason)
        self._outranked_by = accepted
        if self.phase not in (STORING_EPOCH, STORING_CURRENT):
            self._ticket = self.member.save_epoch(ACCEPTED, accepted)

    def stored(self, ticket: int) -> None:
        """Goes on when an epoch is on disk: other servers may be told of it now."""
        if self.over is not None or ticket != self._ticket:
            return
        is_awaited = self.phase in (STORING_EPOCH, STORING_CURRENT)
        self._go(STORED)
        if is_awaited and self._outranked_by > self.epoch and self.phase != STORING_CURRENT:
            self._ticket = self.member.save_epoch(ACCEPTED, self._outranked_by)

    def _step_down(self) -> None:
        """Ends: a voter has accepted a later epoch, and this server has now, too."""
        self._end(f"a voter has accepted epoch {self._outranked_by}, later than {self.epoch}")

    def _propose_epoch(self) -> None:
        """Lets LEADERINFO be sent to all learners; counts the own acknowledgement."""
        member = self.member
        epoch = self.epoch
        log.info("proposing epoch %d", epoch)
        self.last_proposed = self.last_committed = make(epoch, 0)
        self._self_acked = self._counted = make(epoch, 0)
        self._config.begin_epoch()
        for handler in list(self.handlers):
            if handler.phase == AWAIT_EPOCH:
                handler.go(EPOCH_PROPOSED)
        self._count_epoch_ack(
            member.sid, self._own_bit, member.epochs.current, member.database.last_zxid
        )

    def epoch_acked(self, handler: LearnerHandler) -> None:
        """Takes an ACKEPOCH. Raises QuorumProtocolError if that learner is ahead."""
        LEARNER_EVENTS[self.phase, ACKEPOCH](self, handler)

    def _count_ack_epoch(self, handler: LearnerHandler) -> None:
        """Counts the acknowledgement, unless the learner is ahead: that ends the link."""
        self._count_epoch_ack(handler.sid, handler.bit, handler.current_epoch, handler.last_zxid)

    def _let_wait(self, handler: LearnerHandler) -> None:
        """Lets the learner wait until currentEpoch is saved."""

    def _synchronize_one(self, handler: LearnerHandler) -> None:
        """Sends the learner what it lacks, and NEWLEADER, unless it has to wait."""
        if not self._config.lets_wait(handler):
            self._synchronizer.start(handler)

    def _count_epoch_ack(self, sid: int, bit: int, current_epoch: int, last_zxid: int) -> None:
        acks = self._epoch_acks
        acks.add(sid, bit, current_epoch, last_zxid)
        if acks.is_settled and self._outranked_by < 0:
            self._go(EPOCH_ACKED)

    def _save_current(self) -> None:
        """Orders currentEpoch to be saved."""
        self._ticket = self.member.save_epoch(CURRENT, self.epoch)

    # --- synchronization ------------------------------------------------------------

    def _synchronize_all(self) -> None:
        """Sends the learners that wait what they lack, and NEWLEADER; counts the own disk."""
        ready = [each for each in self.handlers if each.phase == AWAIT_SYNC]
        self._synchronizer.start_all([each for each in ready if not self._config.lets_wait(each)])
        self._count_new_leader_ack(self._own_bit)

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        """Takes the records that a learner needs from the log."""
        if self.over is None:
            self._synchronizer.log_read(ticket, records)

    def restored(self, ticket: int, database: Database) -> None:
        raise AssertionError("a leader has not asked for another database")

    def start_forwarding(self, handler: LearnerHandler, after: int) -> None:
        """Queues what is proposed and not committed, and registers for all that comes later."""
        self._config.forward(handler, self._outstanding, after)

    def new_leader_queued(self, handler: LearnerHandler) -> None:
        """Queues a change of the configuration that is under way, and what was proposed behind it:
        they wait for UPTODATE, which would put what NEWLEADER names in their place."""
        if self._config.zxid and not handler.is_observer:
            self.traffic.propose_from(handler, self._outstanding, self._config.zxid)

    def new_leader_acked(self, handler: LearnerHandler) -> None:
        """Takes an ACK of NEWLEADER: a learner has everything up to that on disk."""
        log.info("%r is synchronized", handler, extra=handler.subject)
        LEARNER_EVENTS[self.phase, NEWLEADER_ACKED](self, handler)

    def _count_synced(self, handler: LearnerHandler) -> None:
        """Counts the learner."""
        self._count_new_leader_ack(handler.bit)

    def _let_serve(self, handler: LearnerHandler) -> None:
        """Lets UPTODATE be sent."""
        handler.go(ESTABLISHED)

    def _count_new_leader_ack(self, bit: int) -> None:
        self._new_leader_acks |= bit
        self._synchronizer.start_all(self._config.synced(self._new_leader_acks))
        if self._tally.is_quorum(self._new_leader_acks):
            self._go(QUORUM_SYNCED)

    def _establish(self) -> None:
        """Begins to serve; lets UPTODATE be sent to all learners that are synchronized."""
        member = self.member
        server = member.server
        clock = member.clock
        member.stands_aside = ""
        self._established_ms = clock.now_ms
        log.info("leader of epoch %d after %d ms", self.epoch, clock.now_ms - self._started_ms)
        member.database.begin_epoch(self.epoch)
        member.established(self.epoch)
        self._config.activate(make(self.epoch, 0), self._new_leader_acks, self._outstanding)
        server.begin(
            self,
            server.tracked_sessions(),
            len(member.verifier.voters),
            takes_clients=member.ensemble.leader_serves,
        )
        self.prep = Prep(server, self._config.plan)
        for handler in list(self.handlers):
            if handler.is_synced:
                handler.go(ESTABLISHED)

    # --- broadcast ------------------------------------------------------------------

    def submit(self, request: Request) -> None:
        """Prepares a write and proposes it."""
        if self._is_exhausted or self.over is not None or self._config.is_deposed:
            return
        payload = self.prep.prepare(request)
        zxid = request.zxid
        if request.type == OpCode.RECONFIG:
            self._config.propose(zxid)
        self._outstanding[zxid] = Proposal(payload, request)
        self.intake.proposed_bytes += len(payload)
        self.last_proposed = zxid
        self.sizes.add(len(payload))
        traffic = self.traffic
        if traffic.followers:
            traffic.batch.append(packets.encode_packet(packets.PROPOSAL, zxid, payload))
            traffic.batch_zxid = zxid
        self.member.log_txn(zxid, payload)
        if counter_of(zxid) >= LAST_COUNTER:
            log.warning("the zxids of epoch %d are used up", self.epoch)
            self._is_exhausted = True

    def log_synced(self, zxid: int) -> None:
        """Counts what is durable in the log of this server as acknowledged by it."""
        first = self._self_acked + 1
        if self.over is not None or zxid < first:
            return
        self._self_acked = zxid
        self._latencies.synced(self._outstanding, max(first, self.last_committed + 1), zxid)
        self._commit()

    def acked(self, handler: LearnerHandler, zxid: int) -> None:
        """Takes an ACK: a learner has a proposal on disk."""
        handler.acked(zxid)
        proposal = self._outstanding.get(zxid)
        if proposal is not None:
            self._latencies.acked(handler.sid, proposal, handler.bit)
            if zxid == self.last_committed + 1:
                self._commit()

    def go_on(self) -> None:
        """Commits the next piece of what has its quorum; an earlier role may have left some."""
        if self.over is None and self.phase == BROADCAST:
            self._commit()

    def _commit(self) -> None:
        """Commits, in order, what has its quorum: as much as one input may cost."""
        outstanding = self._outstanding
        config = self._config
        tally = config.tally_for(self.last_committed + 1)
        database = self.member.server.database
        queues = self.member.server.queues
        traffic = self.traffic
        before = zxid = self.last_committed
        while not config.is_deposed:
            proposal = outstanding.get(zxid + 1)
            if proposal is None or not tally.is_quorum(proposal.acks):
                break
            if self._piece.is_over():
                break
            zxid += 1
            del outstanding[zxid]
            self.last_committed = zxid
            payload = proposal.payload
            self.intake.proposed_bytes -= len(payload)
            if config.zxid:
                config.commit(zxid, proposal, outstanding)
                tally = config.tally_for(zxid + 1)
            else:
                traffic.commit(zxid, payload)
            request = proposal.request
            foretold = request.foretold if zxid & SPOT_CHECK_MASK else None
            applied = database.commit(request, request.body, request.digest, payload, foretold)
            queues.finish(request, applied)
            if traffic.syncs and traffic.syncs[0][0] <= zxid:
                traffic.send(zxid)  # SYNC stands between this COMMIT and the next
        self._uncounted_commits += zxid - before
        self.prep.changes.applied(zxid)
        if self._is_exhausted and not outstanding:
            self._end(f"the zxids of epoch {self.epoch} are used up")

    def flush(self) -> None:
        """Sends what an input has led to, and takes requests that have waited."""
        server = self.member.server
        self._piece.begin()
        if self.phase == BROADCAST:
            goes_on = self.intake.look() or self._uncounted_commits > 0
            while (deferred := self.intake.next_deferred()) is not None:
                self._take_request(*deferred)
            if goes_on:
                server.metrics.commit_count += self._uncounted_commits
                self._uncounted_commits = 0
                server.queues.end_batch()
        self._counted = server.metrics.count_proposals(self._counted, self.last_proposed)
        self.traffic.send(self.last_committed)
        if self.traffic.later:
            self._config.tell_later(self._outstanding)

    def send_batch(self) -> None:
        """Sends what was proposed and committed since the last time, then the SYNCs behind it."""
        self.traffic.send(self.last_committed)

    # --- requests of learners, sessions ---------------------------------------------

    def requested(self, handler: LearnerHandler, forwarded: ForwardedRequest) -> None:
        """Takes what a learner asks in a client's name. SYNC is answered when everything is
        committed that was proposed by now, and never by an error: its answers carry no name."""
        if not self.intake.defers(handler, forwarded):
            self._take_request(handler, forwarded, False)

    def _take_request(
        self, handler: LearnerHandler, forwarded: ForwardedRequest, has_moved: bool
    ) -> None:
        if forwarded.type == OpCode.SYNC:
            self.traffic.syncs.append((self.last_proposed, handler))
            if self.last_proposed <= self.last_committed:
                self.traffic.send(self.last_committed)  # ahead of what is committed from here on
        else:
            origin = None if has_moved else handler  # nobody owns a session as None
            self.submit(decode_forward(origin, forwarded, self.member.clock.now_ms))

    def touched(self, sessions: list[tuple[int, int]]) -> None:
        """Counts these sessions as alive: a learner has heard from their clients."""
        if self.phase == BROADCAST:
            server = self.member.server
            for session_id, timeout_ms in sessions:
                check_timeout(session_id, timeout_ms)
                server.touch_session(session_id, timeout_ms)

    def revalidate_for(self, handler: LearnerHandler, session_id: int, timeout_ms: int) -> bool:
        """Tells whether a session lives, with which a client has come to a learner."""
        check_timeout(session_id, timeout_ms)
        self.traffic.send(self.last_committed)
        return self.member.server.revalidate_for(handler, session_id, timeout_ms)

    def revalidate(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        """Tells a client that has come to this server with a session whether it lives."""
        self.member.server.revalidate_here(connection, session_id, timeout_ms)

    def hold_up(self, handler: LearnerHandler) -> None:
        """Takes no further writes until less waits for this learner."""
        self.intake.hold_up(handler)

    def can_spare(self, handler: LearnerHandler) -> bool:
        """Tells whether there is a quorum without this learner."""
        return self.intake.can_spare(handler, self.handlers)

    # --- for people -----------------------------------------------------------------

    def learners(self) -> list[LearnerLine]:
        """Returns what is known of each learner that has said who it is."""
        return learner_lines(self.handlers)

    def gauges(self) -> dict[str, int]:
        """Returns what mntr shows of a leader."""
        uptime = self.member.clock.now_ms - self._established_ms if self.phase == BROADCAST else 0
        return leader_gauges(self.handlers, self._tally, self.traffic, uptime, self.sizes)


EVENTS: Final[dict[tuple[int, str], tuple[Callable[[Leader], None], int]]] = {
    (DISCOVERY, EPOCH_SETTLED): (Leader._accept_epoch, STORING_EPOCH),
    (STORING_EPOCH, STORED): (Leader._propose_epoch, EPOCH_ACKS),
    (EPOCH_ACKS, EPOCH_ACKED): (Leader._save_current, STORING_CURRENT),
    (STORING_CURRENT, STORED): (Leader._synchronize_all, SYNCHRONIZATION),
    (SYNCHRONIZATION, QUORUM_SYNCED): (Leader._establish, BROADCAST),
    (EPOCH_ACKS, STORED): (Leader._step_down, EPOCH_ACKS),
    (SYNCHRONIZATION, STORED): (Leader._step_down, SYNCHRONIZATION),
    (BROADCAST, STORED): (Leader._step_down, BROADCAST),
}
"""(phase, event) -> (what takes it, next phase); the phase is entered first."""

LEARNER_EVENTS: Final[dict[tuple[int, str], Callable[[Leader, LearnerHandler], None]]] = {
    (DISCOVERY, INFO): Leader._count_accepted,
    (STORING_EPOCH, INFO): Leader._check_accepted,
    **{(phase, INFO): Leader._propose_to for phase in range(EPOCH_ACKS, BROADCAST + 1)},
    (EPOCH_ACKS, ACKEPOCH): Leader._count_ack_epoch,
    (STORING_CURRENT, ACKEPOCH): Leader._let_wait,
    (SYNCHRONIZATION, ACKEPOCH): Leader._synchronize_one,
    (SYNCHRONIZATION, NEWLEADER_ACKED): Leader._count_synced,
    (BROADCAST, ACKEPOCH): Leader._synchronize_one,
    (BROADCAST, NEWLEADER_ACKED): Leader._let_serve,
}
"""(phase, event of a learner) -> what takes it; the phase stays."""
