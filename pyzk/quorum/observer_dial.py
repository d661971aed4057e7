"""How an observer finds whom to follow: observer masters in turn, or the leader itself.

Pure. ZooKeeper: QuorumPeer.findLearnerMaster and Observer.waitForReconnectDelay.

With observerMasterPort the voters are tried in turn, at that port. Only when each of them was tried
does the observer wait, at random, for up to observer.reconnectDelayMs; without observerMasterPort
it waits before each connection with the leader.

Where this differs from ZooKeeper, on purpose: the next master is tried at once, without another
election in between. An observer turns to the leader itself, once, where masters are no help: they
are there to spare the leader, but an observer that follows nobody serves nobody. ZooKeeper's
observers go on with the masters for ever. It does so

- at once where the leader is the only voter, and where the last configuration that was seen gives
  this observer a vote: the leader may need that before anybody follows it and takes observers;
- when all masters have refused, if somebody was followed since this leader was elected: it has had
  a quorum since, and nobody is about to open the port. If not, they have half of the time to
  connect, so that a leader that needs this observer hears of it before its own initLimit is over;
- if all of them were tried, and none could be followed, in the time to connect.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pyzk.quorum.commands import DialLeader
from pyzk.quorum.learner_dial import LeaderDial

if TYPE_CHECKING:
    from pyzk.quorum.link import QuorumLink
    from pyzk.quorum.member import Member

log = logging.getLogger(__name__)


class ObserverDial(LeaderDial):
    """The tries of one observer, from the first to a connection or to the end of its patience."""

    def __init__(self, member: Member, leader_sid: int) -> None:
        super().__init__(member, leader_sid)
        self._leader_sid: int = leader_sid
        self._port: int = member.ensemble.observer_master_port
        self._has_masters: bool = False
        """Whether masters are dialed, and not the leader."""
        self._leader_at_ms: int = 0
        """When masters that all refuse have had time enough."""

    @property
    def _is_round_over(self) -> bool:
        return self._member.masters.is_round_over(self._leader_sid)

    def begin(self) -> None:
        """Counts tries and time anew; waits first if all have been tried already."""
        super().begin()
        self.at_ms = None
        now_ms = self._member.clock.now_ms
        self._leader_at_ms = now_ms + (self._give_up_ms - now_ms) // 2
        if self._port > 0:
            self._look_for_masters(now_ms)
        if not self._has_masters or self._is_round_over:
            wait_ms = self._draw_wait()
            if wait_ms > 0:
                self.at_ms = now_ms + wait_ms
                self._give_up_ms += wait_ms
                self._leader_at_ms += wait_ms

    def _look_for_masters(self, now_ms: int) -> None:
        member = self._member
        masters = member.masters
        leader = self._leader_sid
        masters.look(member.membership.voters)
        is_promoted = member.sid in member.configs.last_seen.voters
        self._has_masters = masters.count(leader) > 0 and not is_promoted
        if self._has_masters and masters.have_failed(leader, now_ms, self._give_up_ms - now_ms):
            self._turn_to_leader()

    def _turn_to_leader(self) -> None:
        self._has_masters = False
        self._member.masters.forget_failures()
        self.sid = self._leader_sid
        log.warning(
            "no voter but the leader takes observers at port %d (observerMasterPort): following the"
            " leader itself",
            self._port,
        )

    @property
    def _has_followed(self) -> bool:
        """Whether this observer has followed somebody since the present leader was elected."""
        member = self._member
        return member.masters.has_followed(self._leader_sid, member.election_round)

    def _draw_wait(self) -> int:
        member = self._member
        delay_ms = member.ensemble.observer_reconnect_delay_ms
        return member.rng.randrange(delay_ms) if delay_ms > 0 else 0

    def dial(self, link: QuorumLink) -> str:
        """Orders a connection; returns why there can be none, empty if it is ordered."""
        if not self._has_masters:
            link.name = f"server {self.sid}, the leader"
            return super().dial(link)
        member = self._member
        masters = member.masters
        self.sid = masters.take(self._leader_sid, member.clock.now_ms)
        link.name = f"server {self.sid}, an observer master"
        self.at_ms = None
        self._tries += 1
        hosts = dict.fromkeys(each.host for each in member.addresses_of(self.sid))
        addresses = tuple((host, self._port) for host in hosts)
        left_ms = max(1, self._give_up_ms - member.clock.now_ms)
        # One that does not answer may not use up the time of the others.
        share_ms = max(1, member.init_limit_ms // masters.count(self._leader_sid))
        member.outbox.commands.append(DialLeader(link, addresses, min(left_ms, share_ms)))
        return ""

    def refused(self, reason: str) -> str:
        """Sets the time of the next try; returns why there is none, empty if there is one."""
        if not self._has_masters:
            return super().refused(reason)
        member = self._member
        at_ms = member.clock.now_ms
        if self._tries < member.masters.count(self._leader_sid):
            has_to_wait = self._is_round_over and not self._has_followed
        elif self._has_followed or at_ms >= self._leader_at_ms:
            self._turn_to_leader()
            super().begin()
            has_to_wait = False
        else:
            has_to_wait = self._is_round_over
        if has_to_wait:
            at_ms += max(1, member.ensemble.leader_connect_delay_ms, self._draw_wait())
        if at_ms >= self._give_up_ms:
            return (
                f"no observer master can be reached at port {self._port} after {self._tries} tries,"
                f" the last one with server {self.sid}: {reason}"
            )
        self.at_ms = at_ms
        return ""
