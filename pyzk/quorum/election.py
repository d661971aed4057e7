"""The election: how a peer agrees with a quorum on who is to lead, or finds out who leads.

Pure. ZooKeeper: FastLeaderElection. Inputs: ``look``, ``notified``, ``wake`` and what the peer's
later life changes about its vote (``epoch_established``, ``designate``, ``set_view``, ``stop``).
Outputs, drained by the peer after each input: ``sends``, ``decision``, ``lookers``. Links to the
other peers are not its business; a send to a peer that cannot be reached just waits there (see
``election_links``).

Each attempt to elect is a round. A peer proposes itself to all voters of the committed and, while
the configuration is being changed, of the next configuration. It takes over any better proposal of
its round and says so to all; it follows others into a later round. Votes of the round are counted
in ``recvset``. Once a quorum agrees with the own proposal, ``finalize_wait_ms`` of silence decide.

Peers that have elected already answer with the vote they concluded. They are counted apart, in
``outofelection``, and a leader is followed only if a quorum names it *and* it says itself that it
leads: the others may not have noticed that it is gone.

Where this differs from ZooKeeper, on purpose; the bytes on the wire are the same:

- A notification that comes while a quorum waits for silence is counted like any other. ZooKeeper
  drops it unless it is better, so it decides for a quorum that may have gone elsewhere, and then
  waits initLimit for it.
- When *every* voter agrees, or cannot be reached, there is nothing to wait for.
- A peer that looks again no longer counts as a witness of its former leader, nor one that has
  elected in another round as a voter of this one.
- Notifications are repeated whenever the time is due. ZooKeeper counts on its queues: it repeats
  if one of them is empty, and only reconnects if none is.
- A looking peer answers observers and joiners with its present proposal. ZooKeeper answers with
  the vote of its last election, whose leader may be the one that has just gone.
- A leader that leads is followed if a quorum of the present or of the next configuration names it.
  With ZooKeeper's both, a server that alone knows of a change that was never committed looks on.
- Two servers that do not know each other as voters do not answer each other's answers without end.
- A later configuration is adopted from servers that this one knows, or that it knows by that
  configuration, and only if its version can be one. ZooKeeper adopts it from anybody.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from pyzk.errors import PyzkError, QuorumProtocolError
from pyzk.outsiders import about
from pyzk.quorum.config_reading import STRANGERS, ReadingBudget, told_version
from pyzk.quorum.election_messages import MAX_ROUND, Notification, decode_notification
from pyzk.quorum.epochs import MAX_LEAP
from pyzk.quorum.vote import NOBODY, UNTRUSTED_ZXID, PeerState, Vote
from pyzk.zxid import epoch_of

if TYPE_CHECKING:
    from pyzk.clock import Clock
    from pyzk.quorum.election_view import ElectionView
    from pyzk.quorum.verifier import QuorumVerifier

log = logging.getLogger(__name__)

MAX_ASKERS: Final = 1000
"""The most servers that are no voters and whose last question is remembered."""
MAX_CONFIGS: Final = 16
"""The most other configurations that are remembered; a further one replaces the oldest."""
MAX_SHOWN: Final = 300
"""The most characters of the log that tell what is wrong with a configuration."""
_NO_ROUND: Final = -1
"""The round of a vote that no election has concluded."""


class ElectionTimes(NamedTuple):
    """How long an election waits, in ms."""

    finalize_wait_ms: int = 200
    """How long an election waits for a better vote once a quorum agrees. With less there is a
    leader sooner, but the vote of the member with the newest data is more often too late."""
    min_notification_ms: int = 200
    """The time until the first repetition: ``zookeeper.fastleader.minNotificationInterval``."""
    max_notification_ms: int = 60_000
    """The interval doubles up to this: ``zookeeper.fastleader.maxNotificationInterval``."""


class Decision(NamedTuple):
    """How an election ended."""

    state: int
    """LEADING, FOLLOWING or OBSERVING."""
    vote: Vote
    supporters: tuple[int, ...]
    """The servers whose votes agreed."""
    is_established: bool
    """Whether the leader led already."""


class Election:
    """The votes of one peer, from its start to its end."""

    def __init__(
        self,
        sid: int,
        view: ElectionView,
        clock: Clock,
        times: ElectionTimes | None = None,
        is_participant: bool = True,
    ) -> None:
        """Makes the election of a peer. ``is_participant`` is how it is configured, whether or not
        it votes at present."""
        self.sid: int = sid
        self.view: ElectionView = view
        self.clock: Clock = clock
        self.times: ElectionTimes = times or ElectionTimes()
        self.is_participant: bool = is_participant
        self.state: int = PeerState.LOOKING
        self.round: int = 0
        """The logical clock: it counts the elections since the start, in memory only."""
        self.current_vote: Vote = Vote(sid, 0, _NO_ROUND, 0)
        """The result of the last election, with what the peer has learned since."""
        self.proposal: Vote = self.current_vote
        self.recvset: dict[int, Vote] = {}
        """Votes of this round by sid."""
        self.outofelection: dict[int, Vote] = {}
        """Votes of peers that have elected, by sid."""
        self.absent: dict[int, None] = {}
        """Servers that could not be reached when that was last tried."""
        self.is_running: bool = False
        self.sends: list[tuple[int, bytes]] = []
        """(sid, notification) to send; a later one to a sid replaces an earlier one."""
        self.decision: Decision | None = None
        """The peer's next role."""
        self.lookers: list[int] = []
        """Voters that look for a leader although this peer leads, or is to be led by them."""
        self.newer_config: bytes | None = None
        """The text of a later configuration that a notification has brought while this peer looks.
        It is to be put in force at once: ``set_view``, then ``look`` if it has other content, or
        else ``notified`` once more, for the vote that brought it was not counted."""
        self._configs: dict[bytes, QuorumVerifier | None] = {}
        """text -> a configuration that other servers have and this one does not; None if it cannot
        be read."""
        self._budget: ReadingBudget = ReadingBudget(clock)
        self._without_data: dict[int, None] = {}
        """The voters of which the last thing heard is that they look and have no data."""
        self._stands: bool = True
        """Whether this peer may be elected in this round."""
        self._is_first: bool = True
        self._peer_epoch: int = 0
        self._own: Vote = self.proposal
        self._interval_ms: int = 0
        self._repeat_at: int = 0
        self._decide_at: int | None = None
        self._answered_at: dict[int, int] = {}
        self._told_again: dict[int, None] = {}
        """The servers to which the present proposal was sent a second time."""

    # --- inputs ---------------------------------------------------------------------

    def look(self, zxid: int, peer_epoch: int, stands: bool = True) -> None:
        """Begins a round. ``zxid`` is the last processed one, ``peer_epoch`` is currentEpoch. A
        peer that does not stand votes for others only."""
        self.state = PeerState.LOOKING
        self.newer_config = None
        self._peer_epoch = peer_epoch
        self._stands = stands
        self.is_running = True
        self.decision = None
        self.lookers.clear()
        # It stays at the last one: a peer that could not follow would be alone for ever.
        self.round = min(self.round + 1, MAX_ROUND)
        self.recvset.clear()
        self.outofelection.clear()
        if self._is_first:
            self._is_first = False
            self.current_vote = Vote(self.sid, zxid, _NO_ROUND, peer_epoch)
        is_voter = self.is_participant and self.sid in self.view.committed.voters
        self._own = Vote(
            self.sid if is_voter and stands else NOBODY,
            zxid if self.is_participant else NOBODY,
            self.round,
            peer_epoch if self.is_participant else NOBODY,
        )
        self._decide_at = None
        self._interval_ms = self.times.min_notification_ms
        self._repeat_at = self.clock.now_ms + self._interval_ms
        self._propose(self._own)
        self._tally(is_news=True)

    def stop(self) -> None:
        """Ends the election: the peer stops, or takes a role without one."""
        self.is_running = False
        self._decide_at = None

    def set_view(self, view: ElectionView) -> None:
        """Goes by other configurations from now on. If they have other quorums, ``look`` follows
        while an election runs."""
        self.view = view

    def epoch_established(self, peer_epoch: int) -> None:
        """Notes in the vote of this peer that a quorum has accepted the leader's new epoch."""
        vote = self.current_vote
        self.current_vote = Vote(vote.leader, vote.zxid, vote.round, peer_epoch)

    def designate(self, leader: int, zxid: int) -> bool:
        """Takes the leader that the change of configuration at ``zxid`` names; tells whether that
        is another one. If it is, ``take_role`` follows instead of an election."""
        if leader == self.current_vote.leader:
            return False
        self.current_vote = Vote(leader, zxid, _NO_ROUND, -1)
        return True

    def take_role(self, state: int) -> None:
        """Takes a role without an election, by the vote that ``designate`` has left."""
        self.stop()
        self.state = state

    def notified(self, sid: int, payload: bytes) -> None:
        """Takes a notification from ``sid``, whatever this peer is doing.

        One that cannot be read is passed over with a line in the log.
        """
        self.reached(sid)
        try:
            notification = decode_notification(payload)
        except QuorumProtocolError as error:
            log.warning(
                "ignored a notification from server %d: %s",
                sid,
                error,
                extra=about(f"server {sid}"),
            )
            return
        text = notification.config
        if sid in self.view.voters and notification.has_no_data:
            self._without_data[sid] = None
        else:
            self._without_data.pop(sid, None)
        if text and text != self.view.config and self._is_newer(sid, text):
            self.newer_config = text
            return
        if sid not in self.view.voters:
            self._answer_stranger(sid, notification)
        elif self.state == PeerState.LOOKING:
            if self.is_running:
                self._vote_arrived(sid, notification)
        elif notification.state == PeerState.LOOKING:
            vote = self.current_vote
            gave_up = sid == vote.leader and notification.vote().round > vote.round
            if self.state == PeerState.LEADING or (self.state == PeerState.FOLLOWING and gave_up):
                self.lookers.append(sid)
            self._send(sid, self.current_vote, self.current_vote.round)

    @property
    def voters_to_hear_of(self) -> list[int]:
        """The other voters that have not said that they have no data."""
        return sorted({*self.view.voters} - {self.sid, *self._without_data})

    def reached(self, sid: int) -> None:
        """Takes the news that a server is connected, or has given a sign of life."""
        if self.absent:
            self.absent.pop(sid, None)

    def not_reached(self, sid: int) -> None:
        """Takes the news that a server cannot be reached: no better vote comes from it for now."""
        self.absent[sid] = None
        if self.is_running:
            self._tally(is_news=False)

    def lost(self, sid: int) -> None:
        """Takes the news that the connection with a server has ended, and perhaps has lost the last
        notification: sends that again, only once, to know soon whether the server still lives."""
        if self.is_running and sid in self.view.voters and sid not in self._told_again:
            self._told_again[sid] = None
            self._send(sid, self.proposal, self.round)

    def wake(self) -> None:
        """Does what is due at this time."""
        deadline = self.deadline
        if deadline is None or self.clock.now_ms < deadline:
            return
        if self._decide_at is not None:
            self._conclude()
            return
        self._interval_ms = min(2 * self._interval_ms, self.times.max_notification_ms)
        self._repeat_at = self.clock.now_ms + self._interval_ms
        self._broadcast()

    @property
    def deadline(self) -> int | None:
        """The monotonic ms at which ``wake`` is wanted; None while there is nothing to wait for."""
        if not self.is_running:
            return None
        return self._repeat_at if self._decide_at is None else self._decide_at

    def take_sends(self) -> list[tuple[int, bytes]]:
        """Returns what is to be sent, and forgets it."""
        taken, self.sends = self.sends, []
        return taken

    def take_lookers(self) -> list[int]:
        """Returns who looks for a leader, and forgets it."""
        taken, self.lookers = self.lookers, []
        return taken

    # --- a notification -------------------------------------------------------------

    def _is_newer(self, sid: int, text: bytes) -> bool:
        """Tells whether another configuration than the own one is to be adopted now."""
        is_new = text not in self._configs
        committed = self.view.committed
        if is_new and not self._is_worth_reading(sid, text):
            return False
        config = self._read(sid, text) if is_new else self._configs[text]
        if config is None or config.version <= committed.version:
            return False
        if not self.view.is_reconfig_enabled:
            if is_new and not config.has_same_content(committed):
                self._log_refusal(sid, config, "reconfigEnabled is false")
            return False
        if self.state != PeerState.LOOKING or not self.is_running:
            return False
        reason = self._doubt(sid, config)
        if reason:
            self._log_refusal(sid, config, reason)
        return not reason

    def _is_worth_reading(self, sid: int, text: bytes) -> bool:
        """Tells whether a text may be that of a later configuration, and whether there is time to
        read it now."""
        version = told_version(text)
        if version is not None and version <= self.view.committed.version:
            return False
        is_in_time = self._budget.take(sid if self.view.is_member(sid) else STRANGERS, len(text))
        if not is_in_time:
            log.warning(
                "server %d tells configurations faster than they are read: %d bytes are passed"
                " over",
                sid,
                len(text),
                extra=about(f"server {sid}"),
            )
        return is_in_time

    def _doubt(self, sid: int, config: QuorumVerifier) -> str:
        """Returns why a later configuration is not adopted; empty if it is."""
        if not self.view.is_member(sid) and not (
            config.is_member(sid) and config.is_member(self.sid)
        ):
            return "that server is unknown here, and its configuration does not have both servers"
        if not any(config.weight(voter) for voter in config.voters):
            return "it has no voters"
        # A version is a zxid, and epochs count elections.
        known = max(epoch_of(self.view.committed.version), self._peer_epoch)
        if epoch_of(config.version) > known + MAX_LEAP:
            return f"no counting of elections leads from epoch {known} to it"
        return ""

    def _read(self, sid: int, text: bytes) -> QuorumVerifier | None:
        """Remembers another configuration than the own one."""
        configs = self._configs
        if len(configs) >= MAX_CONFIGS:
            del configs[next(iter(configs))]
        configs[text] = None
        try:
            configs[text] = self.view.read_config(text)
        except PyzkError as error:
            log.warning(
                "server %d sent a configuration that cannot be read: %s",
                sid,
                str(error)[:MAX_SHOWN],
                extra=about(f"server {sid}"),
            )
        return configs[text]

    def _log_refusal(self, sid: int, config: QuorumVerifier, reason: str) -> None:
        committed = self.view.committed
        log.warning(
            "server %d has version %x of the configuration, which this server does not adopt: %s;"
            " it goes on with version %x, whose voters are %s",
            sid,
            config.version,
            reason,
            committed.version,
            "the same" if config.has_same_quorums(committed) else "others",
            extra=about(f"server {sid}"),
        )

    def has_quorums_of(self, version: int) -> bool:
        """Tells whether this version of the configuration, as other servers have told it, has the
        same quorums as the committed one."""
        told = self._configs.values()
        known = [each for each in told if each is not None and each.version == version]
        return bool(known) and all(map(self.view.committed.has_same_quorums, known))

    def _answer_stranger(self, sid: int, notification: Notification) -> None:
        """Tells a server that does not vote what is known here; its vote counts nowhere."""
        if notification.state != PeerState.LOOKING:
            return  # an answer to an answer
        now = self.clock.now_ms
        answered_at = self._answered_at.get(sid)
        # It asks once in min_notification_ms at most. What comes faster is an answer to ours, from
        # a server that does not know this one as a voter either.
        if answered_at is not None and now - answered_at < self.times.min_notification_ms // 4:
            return
        if len(self._answered_at) >= MAX_ASKERS:
            self._answered_at.clear()
        self._answered_at[sid] = now
        is_looking = self.state == PeerState.LOOKING and self.is_running
        self._send(sid, self.proposal if is_looking else self.current_vote, self.round)

    def _vote_arrived(self, sid: int, notification: Notification) -> None:
        vote = notification.vote()
        if vote.state == PeerState.LOOKING:
            self.outofelection.pop(sid, None)
            if vote.round < self.round:
                # Even if it is not counted: it must learn that there is a later round.
                self._send(sid, self.proposal, self.round)
        if vote.leader not in self.view.voters:
            return
        if vote.state == PeerState.LOOKING:
            self._count_looking(sid, vote)
        elif vote.state != PeerState.OBSERVING:
            self._count_decided(sid, vote)

    def _count_looking(self, sid: int, vote: Vote) -> None:
        if UNTRUSTED_ZXID in (self._own.zxid, vote.zxid):
            return
        if vote.round < self.round:
            if self.proposal.leader == NOBODY and self._is_eligible(vote.leader):
                # A peer that names nobody is not heard, and could draw nobody into its round.
                self._propose(vote)
                self._tally(is_news=True)
            return
        if vote.round > self.round:
            self.round = vote.round
            self.recvset.clear()
            # Against what this peer has itself: what others proposed belongs to the former round.
            self._propose(vote if self._is_better(vote, self._own) else self._own)
        elif self._is_better(vote, self.proposal):
            self._propose(vote)
        known = self.recvset.get(sid)
        self.recvset[sid] = Vote(vote.leader, vote.zxid, vote.round, vote.peer_epoch)
        self._tally(is_news=known is None or not known.agrees_with(vote))

    def _count_decided(self, sid: int, vote: Vote) -> None:
        """Counts a vote of a peer that follows or leads."""
        if vote.leader == self.sid and (
            not self.is_participant or not self._stands or self._own.zxid == UNTRUSTED_ZXID
        ):
            return  # it cannot lead (again)
        if vote.round == self.round:
            # Without its format version, as in ZooKeeper: beside a vote that has one, only the
            # leader is compared. Followers learn the epoch later than the leader; a peer that
            # joins in between would wait for the next repetition.
            self.recvset[sid] = Vote(
                vote.leader, vote.zxid, vote.round, vote.peer_epoch, vote.state
            )
            if self._is_established(self.recvset, vote):
                return
        else:
            self.recvset.pop(sid, None)
        self.outofelection[sid] = vote
        if not self._is_established(self.outofelection, vote):
            self._tally(is_news=False)

    def _is_established(self, votes: dict[int, Vote], vote: Vote) -> bool:
        """Ends the election if a quorum of ``votes`` agrees with ``vote`` and its leader leads. The
        leader has the quorums that it needs; a change that it never heard of adds none."""
        supporters = _supporters(votes, vote)
        view = self.view
        if vote.leader == self.sid:
            # They follow what this server was before it restarted, or this very election.
            if vote.round != self.round or not view.has_quorums(supporters):
                return False
        else:
            if not view.has_a_quorum(supporters):
                return False
            of_leader = votes.get(vote.leader)
            if of_leader is None or of_leader.state != PeerState.LEADING:
                return False
        self.round = vote.round
        self._finish(
            Vote(vote.leader, vote.zxid, vote.round, vote.peer_epoch), tuple(supporters), True
        )
        return True

    # --- the proposal ---------------------------------------------------------------

    def _is_eligible(self, leader: int) -> bool:
        if leader == NOBODY or (leader == self.sid and not self._stands):
            return False
        return self.view.committed.weight(leader) != 0

    def _is_better(self, vote: Vote, than: Vote) -> bool:
        if not self._is_eligible(vote.leader):
            return False
        return not self._is_eligible(than.leader) or vote.is_greater(than)

    def _propose(self, vote: Vote) -> None:
        self.proposal = Vote(vote.leader, vote.zxid, self.round, vote.peer_epoch)
        is_counted = (
            self.sid in self.view.voters
            and self.proposal.leader in self.view.voters
            and self.proposal.zxid != UNTRUSTED_ZXID
        )
        if is_counted:
            self.recvset[self.sid] = self.proposal
        self._broadcast()

    def _tally(self, is_news: bool) -> None:
        """Starts, restarts or ends the wait for silence; a vote heard before does not restart
        it."""
        supporters = _supporters(self.recvset, self.proposal)
        if not self.view.has_quorums(supporters):
            self._decide_at = None
        elif all(sid in supporters or sid in self.absent for sid in self.view.voters):
            self._conclude()
        elif is_news or self._decide_at is None:
            self._decide_at = self.clock.now_ms + self.times.finalize_wait_ms

    def _conclude(self) -> None:
        self._finish(self.proposal, tuple(_supporters(self.recvset, self.proposal)), False)

    def _finish(self, vote: Vote, supporters: tuple[int, ...], is_established: bool) -> None:
        self.stop()
        if vote.leader == self.sid:
            self.state = PeerState.LEADING
        elif self.is_participant:
            self.state = PeerState.FOLLOWING
        else:
            self.state = PeerState.OBSERVING
        self.current_vote = vote
        self.decision = Decision(self.state, vote, supporters, is_established)
        self.recvset.clear()
        self.outofelection.clear()

    # --- sending --------------------------------------------------------------------

    def _broadcast(self) -> None:
        self._told_again.clear()
        payload = self._payload(self.proposal, self.round)
        for sid in self.view.voters:
            if sid != self.sid:
                self.sends.append((sid, payload))

    def _send(self, sid: int, vote: Vote, round_: int) -> None:
        self.sends.append((sid, self._payload(vote, round_)))

    def _payload(self, vote: Vote, round_: int) -> bytes:
        return Notification(
            self.state,
            vote.leader,
            vote.zxid,
            round_,
            vote.peer_epoch,
            config=self.view.config,
        ).encode()


def _supporters(votes: dict[int, Vote], vote: Vote) -> dict[int, None]:
    """Returns the servers whose votes agree with ``vote``."""
    return {sid: None for sid, each in votes.items() if each.agrees_with(vote)}
