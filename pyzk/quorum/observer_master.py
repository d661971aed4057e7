"""An observer master: a follower that observers follow in place of the leader.

Pure. ZooKeeper: ObserverMaster and FollowerZooKeeperServer. A follower that serves has one if
observerMasterPort is set; it ends with that role. An observer meets the same `LearnerHandler` as at
a leader. What is different:

- Only observers are taken. The epoch is known, and nobody waits for a quorum: an observer is told
  UPTODATE as soon as it has acknowledged NEWLEADER.
- What the follower applies is sent on as INFORM, made of its own PROPOSAL at the COMMIT.
- Requests and questions go to the leader on the follower's link, among those of its own clients,
  and the answers come back the same way (`learner_questions`). The leader knows of no observer: all
  their sessions are owned by the follower, which itself refuses what comes from where a session is
  no longer (`session_places`).
- Which sessions live is told to the leader in the follower's own answers to PING.
- What the leader would end its link with the follower for ends the link with the observer here.

Where this differs from ZooKeeper, on purpose:

- An observer is synchronized from the database, which has all that is committed: there is no queue
  of recent packets that could begin too late, or lack what was proposed before this role served
  (ZOOKEEPER-5088). What observerMaster.sizeLimit bounds is what waits for one observer: who lets
  more wait is disconnected, and synchronized anew when it comes back.
- An observer that is ahead, for it comes from a master that was faster, waits until this follower
  has caught up; ZooKeeper has it truncate what is committed.
- NEWLEADER carries the configuration in force. One that is only proposed reaches the observer when
  it is activated.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pyzk.config.members import config_text
from pyzk.constants import OpCode
from pyzk.errors import QuorumProtocolError
from pyzk.quorum import packets
from pyzk.quorum.commands import ListenForObservers, StopListeningForObservers
from pyzk.quorum.forwarding import encode_too_late
from pyzk.quorum.leader_sync import Synchronizer
from pyzk.quorum.leader_traffic import LearnerTraffic
from pyzk.quorum.learner_handler import (
    ACTIVE,
    EPOCH_PROPOSED,
    ESTABLISHED,
    LearnerHandler,
    LearnerMaster,
    check_timeout,
)
from pyzk.quorum.session_places import SessionPlaces
from pyzk.zxid import counter_of, epoch_of, format_zxid

if TYPE_CHECKING:
    from pyzk.config.members import QuorumServer
    from pyzk.quorum.learner_questions import LeaderQuestions
    from pyzk.quorum.link import QuorumLink
    from pyzk.quorum.member import Member
    from pyzk.quorum.packets import ForwardedRequest
    from pyzk.server.sessions import LearnerSessions

log = logging.getLogger(__name__)


class ObserverMaster(LearnerMaster):
    """The observers of one follower, from the time that it serves to the end of its role."""

    def __init__(
        self,
        member: Member,
        epoch: int,
        upstream: QuorumLink,
        asked: LeaderQuestions,
        sessions: LearnerSessions,
    ) -> None:
        """Takes the epoch that the follower is in, its link with the leader, what it has asked
        there, and the sessions of its clients."""
        super().__init__(member)
        self.epoch = epoch
        self.queue_bytes = member.ensemble.observer_master_limit_bytes
        self.last_proposed = member.database.last_zxid
        self._upstream: QuorumLink = upstream
        self._asked: LeaderQuestions = asked
        self._places: SessionPlaces = SessionPlaces(member.database.sessions)
        asked.places = self._places
        self._sessions: LearnerSessions = sessions
        self._synchronizer: Synchronizer = Synchronizer(self)
        self._traffic: LearnerTraffic = LearnerTraffic()
        self._ahead: list[LearnerHandler] = []
        """The observers that have more than this follower has applied."""
        self._is_full: bool = False
        """Whether so much waits for the leader that observers are not read."""
        self._commits: int = 0
        """The transactions since the last flush; they are counted together."""
        self._half_tick_ms: int = max(1, member.tick_ms // 2)
        self._me: QuorumServer = member.me
        """This server, as it is where the port is open."""
        self.deadline: int = member.clock.now_ms + self._half_tick_ms
        """The monotonic ms at which ``wake`` is wanted."""

    # --- life -----------------------------------------------------------------------

    def start(self) -> None:
        """Opens the port for observers."""
        member = self.member
        port = member.ensemble.observer_master_port
        self._me = member.me
        member.outbox.commands.append(ListenForObservers(self._me, port))

    def stop(self) -> None:
        """Closes the port and the links. Observers that are up to date get what is queued: it is
        committed, and may be what ends this role."""
        self.send_batch()
        self.over = "the role of its follower is over"
        self.member.outbox.commands.append(StopListeningForObservers())
        handlers, self.handlers = self.handlers, []
        self._traffic.clear()
        self._ahead = []
        for handler in handlers:
            if handler.phase == ACTIVE:
                handler.link.close()
            else:
                handler.end()

    def wake(self) -> None:
        """Counts a beat: pings the observers, and sees who is silent."""
        now = self.member.clock.now_ms
        if now < self.deadline:
            return
        self.deadline = now + self._half_tick_ms
        self.beat += 1
        if self._is_full:
            for handler in self.handlers:
                handler.heard = self.beat  # they are not read
        for handler in self._ahead:
            if self.beat - handler.heard > 2 * self.init_ticks:
                zxid = format_zxid(handler.last_zxid)
                handler.link.fail(f"{zxid}, which it has, was not committed here within initLimit")
        self.ping_learners()

    def flush(self) -> None:
        """Sends what an input has led to."""
        if self._ahead:
            self._synchronize_waiting()
        self.send_batch()
        if self._commits:
            self.member.server.metrics.om_commit_process_time_ms.add_many(0, self._commits)
            self._commits = 0
        is_full = self._upstream.queued_bytes > self.member.server.marks.queue_bytes
        if is_full or self._is_full:
            self._is_full = is_full
            for handler in self.handlers:
                handler.link.pause(is_full)

    # --- what the leader has committed ----------------------------------------------

    def committed(self, zxid: int, payload: bytes) -> None:
        """Queues INFORM: the follower has applied a transaction."""
        self.last_proposed = zxid
        self._commits += 1
        self._traffic.commit(zxid, payload)

    def activated(self, zxid: int, leader: int, payload: bytes) -> None:
        """Queues INFORMANDACTIVATE: the follower has applied a reconfiguration. Moves the port
        along if this server is elsewhere now."""
        self.last_proposed = zxid
        self._commits += 1
        self._traffic.activate(zxid, payload, leader)
        if self.member.me.addresses != self._me.addresses:
            self.start()

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        """Takes the records that an observer needs from the log."""
        if self.over is None:
            self._synchronizer.log_read(ticket, records)

    # --- observers that come and go -------------------------------------------------

    def registered(self, handler: LearnerHandler) -> None:
        """Takes an observer that has said who it is. Raises QuorumProtocolError if it is
        refused."""
        member = self.member
        sid = handler.sid
        if not handler.is_observer:
            raise QuorumProtocolError(f"server {sid} is no observer, and this server does not lead")
        if sid == member.sid:
            raise QuorumProtocolError(f"it says it is server {sid}, which is this one (see myid)")
        if handler.accepted_epoch > self.epoch:
            raise QuorumProtocolError(
                f"server {sid} has accepted epoch {handler.accepted_epoch}, later than {self.epoch}"
            )
        version = handler.config_version
        if version > member.membership.version and not member.has_quorums_of(version):
            raise QuorumProtocolError(f"server {sid} has version {version:x} of the configuration")
        for other in list(self.handlers):
            if other is not handler and other.sid == sid:
                other.link.fail(f"server {sid} has connected anew")
        handler.go(EPOCH_PROPOSED)

    def epoch_acked(self, handler: LearnerHandler) -> None:
        """Sends the observer what it lacks, or lets it wait while it is ahead.

        What it has of this epoch is of this leader, and will be committed here, too, or the role
        ends. A zxid (N, 0) is no transaction, and never comes."""
        zxid = handler.last_zxid
        is_ahead = epoch_of(zxid) == self.epoch and zxid > self.member.database.last_zxid
        if is_ahead and counter_of(zxid):
            self._ahead.append(handler)
        else:
            self._synchronizer.start(handler)

    def _synchronize_waiting(self) -> None:
        """Sends the observers that were ahead, and no longer are, what they lack."""
        waiting, self._ahead = self._ahead, []
        for handler in waiting:
            if handler.link.is_closed:
                continue
            try:
                self.epoch_acked(handler)
            except QuorumProtocolError as error:
                handler.link.fail(str(error))

    def start_forwarding(self, handler: LearnerHandler, after: int) -> None:
        """Registers the observer for all that is committed later; NEWLEADER, which comes next,
        carries the configuration of this moment."""
        text = config_text(self.member.membership).encode("utf-8")
        self.new_leader_packet = packets.encode_new_leader(self.epoch, text)
        self._traffic.add(handler, {}, after, 0)

    def new_leader_queued(self, handler: LearnerHandler) -> None:
        """Queues nothing: what is not committed is not for observers."""

    def new_leader_acked(self, handler: LearnerHandler) -> None:
        """Lets UPTODATE be sent: an observer has everything up to NEWLEADER on disk."""
        log.info("%r is synchronized", handler, extra=handler.subject)
        handler.go(ESTABLISHED)

    def forget(self, handler: LearnerHandler) -> None:
        """Forgets an observer that has gone."""
        super().forget(handler)
        self._traffic.remove(handler)

    def hold_up(self, handler: LearnerHandler) -> None:
        """Ends the link of an observer that lets too much wait: nobody is held up for it."""
        handler.link.fail(
            f"{handler!r} is too slow: {handler.queued_bytes} bytes wait for it"
            " (observerMaster.sizeLimit)"
        )

    def can_spare(self, handler: LearnerHandler) -> bool:
        """Tells that no observer is needed."""
        return True

    def send_batch(self) -> None:
        """Sends what was committed since the last time."""
        self._traffic.send(self.last_proposed)

    # --- what observers say ---------------------------------------------------------

    def acked(self, handler: LearnerHandler, zxid: int) -> None:
        """Raises QuorumProtocolError: nobody proposes anything to an observer."""
        raise QuorumProtocolError(f"ACK {format_zxid(zxid)} of an observer")

    def requested(self, handler: LearnerHandler, forwarded: ForwardedRequest) -> None:
        """Sends on to the leader what an observer asks in a client's name, unless the session has
        written elsewhere since."""
        if forwarded.type == OpCode.SYNC:
            self._asked.syncs.append(handler)
        session_id = forwarded.session
        if self._places.refuses(forwarded.type, session_id, handler):
            self._upstream.send(encode_too_late(session_id, forwarded.cxid))
        else:
            self._upstream.send(packets.encode_request(forwarded))

    def touched(self, sessions: list[tuple[int, int]]) -> None:
        """Notes the sessions that live, until the leader asks; those that nobody knows are left
        out, so that the table stays small."""
        known = self.member.database.sessions
        touched = self._sessions.touched
        for session_id, timeout_ms in sessions:
            check_timeout(session_id, timeout_ms)
            if session_id in known:
                touched[session_id] = timeout_ms

    def revalidate_for(
        self, handler: LearnerHandler, session_id: int, timeout_ms: int
    ) -> bool | None:
        """Asks the leader whether a session lives, and returns None: its answer is sent on."""
        check_timeout(session_id, timeout_ms)
        self._asked.revalidate(handler, session_id, timeout_ms)
        self._upstream.send(packets.encode_revalidate(session_id, timeout_ms))
        return None

    # --- for people -----------------------------------------------------------------

    def gauges(self) -> dict[str, int]:
        """Returns what mntr shows of a follower that takes observers."""
        return {"synced_observers": sum(each.is_synced for each in self.handlers)}
