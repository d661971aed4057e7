"""How a leader changes the configuration of its ensemble: who counts meanwhile, who leads then.

Pure. ZooKeeper: Leader (propose, getDesignatedLeader, isQuorumSynced and startZkServer) and the
reconfig case of PrepRequestProcessor.

One change at a time goes through the phases of a proposal. From its proposal on, it and all that
is proposed behind it need a quorum of the present and of the next configuration. When it is
committed the next configuration is in force, and alone counts. It names a leader for itself: this
server if it votes in it at the same quorum address, else a voter that has acknowledged the change
and as much as possible of what was proposed behind it. If that is another server, this one commits
nothing more; its learners leave it, and then it has no quorum.

A new leader completes what it finds: the configuration that was last proposed, as far as it knows,
is in NEWLEADER, needs a quorum of its own for every step up to UPTODATE, and is in force then. An
observer that it promotes counts for that quorum: it is one until then, and has all on disk that a
follower would have.

Whom only the next configuration gives a vote, or a weight, cannot be elected, follows nobody who
lacks what it has, and is needed if the change is to be completed. So it has nothing that a quorum
of the configuration in force lacks: it is sent the change, and what is proposed behind it, when
such a quorum has that on disk, and everything at once behind the news that the change is in force.
A new leader synchronizes such learners when such a quorum has acknowledged NEWLEADER
(docs/decisions/0043).

Where this differs from ZooKeeper, on purpose: a new leader needs the quorums of both configurations
for the epoch and its acknowledgement, too, so that nobody is made to follow who is ahead. What was
proposed behind a change needs only the next configuration once that is in force. Once established,
a leader names in NEWLEADER only what is in force, and sends a change that is under way behind
UPTODATE: a learner of ZooKeeper puts in force at UPTODATE what NEWLEADER names, committed or not.
Voters-to-be, who are told of everything at once by ZooKeeper, are told later, as said above.
A leader that another one is to replace takes no learners, proposes nothing, and ends after
syncLimit though learners have stayed. Who is still being sent what it lacks does not count for the
quorum that a change needs: with ZooKeeper it does, and if it is lost then, so is that quorum.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs

from pyzk.config.members import config_text, is_same_host
from pyzk.errors import (
    BadVersion,
    NewConfigNoQuorum,
    QuorumProtocolError,
    ReconfigInProgress,
)
from pyzk.quorum import packets
from pyzk.quorum.commands import ListenForLearners
from pyzk.quorum.proposals import AckTally
from pyzk.quorum.reconfig import plan_reconfig
from pyzk.quorum.verifier import verifier_of
from pyzk.zxid import make

if TYPE_CHECKING:
    from pyzk.config.members import Membership, QuorumServer
    from pyzk.jute.records import ReconfigRequest
    from pyzk.quorum.leader_traffic import LearnerTraffic
    from pyzk.quorum.learner_handler import LearnerHandler, LearnerMaster
    from pyzk.quorum.member import Member
    from pyzk.quorum.proposals import Proposal

log = logging.getLogger(__name__)


class LeaderConfig:
    """The configurations of a member while it leads, and the change that is under way."""

    def __init__(self, master: LearnerMaster, traffic: LearnerTraffic) -> None:
        self._master: LearnerMaster = master
        self._member: Member = master.member
        self._traffic: LearnerTraffic = traffic
        self.tally: AckTally = AckTally(self._member.configs.verifiers)
        """The quorums that a proposal needs that is made now."""
        self._earlier: AckTally = self.tally.copy()
        """The quorums of the configuration in force: they suffice for what was proposed ahead of
        the change under way."""
        self._earlier.use((self._member.configs.verifier,))
        self._waiting: list[LearnerHandler] = []
        """The learners that are synchronized only when those that can be elected are."""
        self._is_synced: bool = not self._member.configs.is_enabled
        """Whether nobody waits for that any more."""
        self._planned: Membership = self._member.membership
        """The configuration that was planned last; it may have been refused after that."""
        self.zxid: int = 0
        """The zxid of the change under way, 0 if there is none."""
        self.designated: int = self._member.sid
        """Who leads: this server, or the one that a committed change has named."""
        self.is_deposed: bool = False
        """Whether another server leads in the configuration in force: nothing more is proposed or
        committed here."""
        self._leave_at_ms: int = 0
        """When a deposed leader ends, though learners have stayed."""
        self._refused: int = 0
        """The voters that are refused, as a mask."""

    # --- a new epoch ----------------------------------------------------------------

    def begin_epoch(self) -> None:
        """Prepares NEWLEADER. A configuration that a person wrote gets a version, so that it ranks
        above those of servers that are to join (ZOOKEEPER-1783)."""
        member = self._member
        configs = member.configs
        if configs.last_seen.version == 0 and configs.committed.version == 0:
            numbered = attrs.evolve(configs.committed, version=make(self._master.epoch, 0))
            member.see_config(numbered)
            self.tally.use(configs.verifiers)
        self._tell(configs.last_seen)

    def _tell(self, config: Membership) -> None:
        """Has NEWLEADER name the configuration that UPTODATE is to put in force."""
        text = config_text(config).encode("utf-8")
        self._master.new_leader_packet = packets.encode_new_leader(self._master.epoch, text)

    # --- learners -------------------------------------------------------------------

    def admit(self, sid: int, version: int, *, is_established: bool) -> None:
        """Raises QuorumProtocolError for a learner that this server cannot lead: one that has put a
        configuration in force which this server has not even seen. Quorums of two configurations
        need have no server in common.

        A leader that has a quorum goes on without it. Before that, this one does not stand in the
        next election, so that somebody else can lead; if the others are no quorum, it ends."""
        master = self._master
        member = self._member
        tally = self.tally
        if self.is_deposed:
            raise QuorumProtocolError(f"server {self.designated} is to lead now")
        if version <= member.configs.last_seen.version or member.has_quorums_of(version):
            self._refused &= ~tally.bit(sid)
            return
        if not is_established and tally.is_voter(sid):
            member.stands_aside = "it could not lead servers that have a later configuration"
            self._refused |= tally.bit(sid)
            if not tally.is_quorum(tally.all_bits & ~self._refused):
                master.over = master.over or "a quorum has a later version of the configuration"
        raise QuorumProtocolError(
            f"server {sid} has version {version:x} of the configuration, and this server does not"
            f" know that its voters are those of version {member.membership.version:x}"
        )

    def bit_of(self, handler: LearnerHandler, *, is_established: bool) -> int:
        """Returns the mask of a learner's vote. An observer has one while a new leader completes
        the change that promotes it: the next configuration may have no quorum without it, and it
        follows only when that is in force."""
        sid = handler.sid
        if handler.is_observer:
            configs = self._member.configs
            is_promoted = sid in configs.last_seen.voters and sid not in configs.committed.voters
            if is_established or not is_promoted:
                return 0
        return self.tally.bit(sid)

    # --- who must not be ahead ------------------------------------------------------

    def _can_be_elected(self, sid: int) -> bool:
        verifier = self._member.configs.verifier
        return sid in verifier.voters and verifier.weight(sid) != 0

    def lets_wait(self, handler: LearnerHandler) -> bool:
        """Tells whether a new leader lets a learner wait for what it lacks, until `synced` names
        it."""
        if self._is_synced or self._can_be_elected(handler.sid):
            return False
        self._waiting.append(handler)
        return True

    def synced(self, acks: int) -> list[LearnerHandler]:
        """Takes those that have acknowledged NEWLEADER; returns the learners whose wait ends."""
        if self._is_synced or not self._earlier.is_quorum(acks):
            return []
        self._is_synced = True
        waiting, self._waiting = self._waiting, []
        return [each for each in waiting if not each.link.is_closed]

    def is_told_later(self, handler: LearnerHandler) -> bool:
        """Tells whether a follower hears of the change under way, and of what is proposed behind
        it, only when a quorum of those that can be elected has it."""
        is_needed = self.zxid != 0 and self.tally.is_voter(handler.sid)
        return is_needed and not self._can_be_elected(handler.sid)

    def forward(
        self, handler: LearnerHandler, outstanding: dict[int, Proposal], after: int
    ) -> None:
        """Queues what is proposed behind ``after``, up to the change under way, and registers the
        learner for all that comes later."""
        change = self.zxid
        handler.told_zxid = change - 1 if change else self._master.last_proposed
        is_told_later = self.is_told_later(handler)
        self._traffic.add(handler, outstanding, after, change, is_told_later)

    def tell_later(self, outstanding: dict[int, Proposal]) -> None:
        """Sends those that hear of it later what a quorum of the configuration in force has now."""
        traffic = self._traffic
        zxid = traffic.told_later + 1
        while (proposal := outstanding.get(zxid)) is not None:
            if not self._earlier.is_quorum(proposal.acks):
                break
            traffic.tell_later(zxid, proposal)
            zxid += 1

    # --- a change -------------------------------------------------------------------

    def plan(self, request: ReconfigRequest, zxid: int) -> bytes:
        """Returns the text of the configuration that a client asks for, for ``propose`` to follow;
        raises a KeeperError if it cannot be next."""
        member = self._member
        configs = member.configs
        if configs.is_under_way:
            raise ReconfigInProgress
        last_seen = configs.last_seen
        if request.cur_config_id not in (-1, last_seen.version):
            raise BadVersion(f"{request.cur_config_id:x} is not {last_seen.version:x}")
        if zxid <= last_seen.version:
            raise BadVersion(f"{last_seen.version:x} is above all zxids")
        planned = plan_reconfig(
            request,
            last_seen,
            zxid,
            is_standalone_enabled=member.config.standalone_enabled,
            is_multi_address_enabled=member.ensemble.multi_address_enabled,
        )
        followers = self._traffic.followers
        synced = [each.sid for each in followers if each.is_synced and each.counts_as_alive]
        if not verifier_of(planned).has_quorum([member.sid, *synced]):
            raise NewConfigNoQuorum
        self._planned = planned
        return config_text(planned).encode("utf-8")

    def propose(self, zxid: int) -> None:
        """Notes that the change which was planned last is proposed: the voters of both
        configurations count from here on."""
        planned = self._planned
        assert planned.version == zxid, (planned, zxid)
        configs = self._member.configs
        self._earlier = self.tally.copy()
        self.zxid = zxid
        self._member.see_config(planned)
        self.tally.use(configs.verifiers)
        for handler in self._master.handlers:
            if not handler.is_observer:
                handler.bit = self.tally.bit(handler.sid)
        self._master.send_batch()  # all followers get what was proposed ahead of the change
        traffic = self._traffic
        traffic.set_apart(
            [each for each in traffic.followers if self.is_told_later(each)], zxid - 1
        )

    def tally_for(self, zxid: int) -> AckTally:
        """Returns the quorums that a proposal needs."""
        return self._earlier if zxid < self.zxid else self.tally

    def commit(self, zxid: int, proposal: Proposal, outstanding: dict[int, Proposal]) -> None:
        """Queues the news that a proposal is committed, while a change is under way; if it is that,
        puts it in force first."""
        traffic = self._traffic
        if traffic.later and zxid > traffic.told_later:
            traffic.tell_later(zxid, proposal)
        if zxid == self.zxid:
            self.activate(zxid, proposal.acks, outstanding)
            traffic.activate(zxid, proposal.payload, self.designated)
            traffic.activate_later(zxid, self.designated)
            self._master.send_batch()
            traffic.join(outstanding)
        else:
            traffic.commit(zxid, proposal.payload)
            traffic.commit_later(zxid)

    def activate(self, zxid: int, acks: int, outstanding: dict[int, Proposal]) -> None:
        """Puts the configuration in force that was proposed last; ``acks`` are those that have it,
        ``outstanding`` what was proposed behind it. Without ``reconfigEnabled`` there is only the
        one that is in force."""
        member = self._member
        if not member.configs.is_enabled:
            return
        config = member.configs.last_seen
        self.designated = self._designate(config, zxid, acks, outstanding)
        before = member.me
        member.activate_config(config, self.designated, zxid)
        self.zxid = 0
        for handler in self._master.handlers:
            if handler.is_observer:
                handler.bit = 0  # proposals are not for it: it votes as soon as it follows
        self.tally.use(member.configs.verifiers)
        self._earlier = self.tally
        self._tell(member.configs.committed)
        if self.designated != member.sid:
            log.warning("server %d is to lead: this one commits nothing more", self.designated)
            self.is_deposed = True
            self._leave_at_ms = member.clock.now_ms + member.sync_limit_ms
        elif not _is_at(member.me, before):
            member.outbox.commands.append(ListenForLearners(member.me))  # nobody else can lead

    @property
    def must_leave(self) -> bool:
        """Whether learners have stayed for too long with a leader that is none any more."""
        return self.is_deposed and self._member.clock.now_ms >= self._leave_at_ms

    def _designate(
        self, config: Membership, zxid: int, acks: int, outstanding: dict[int, Proposal]
    ) -> int:
        """Returns who is to lead in a configuration."""
        member = self._member
        own = config.member(member.sid)
        if own is not None and not own.is_observer and _is_at(own, member.me):
            return member.sid
        tally = self.tally
        candidates = [sid for sid in config.voters if sid != member.sid and acks & tally.bit(sid)]
        if not candidates:
            return member.sid
        behind = zxid + 1
        while len(candidates) > 1 and (proposal := outstanding.get(behind)) is not None:
            acked = [sid for sid in candidates if proposal.acks & tally.bit(sid)]
            if not acked:
                break
            candidates = acked
            behind += 1
        return candidates[0]


def _is_at(own: QuorumServer, present: QuorumServer) -> bool:
    """Tells whether a server keeps its quorum addresses."""
    places = [(each.host, each.quorum_port) for each in own.addresses]
    others = [(each.host, each.quorum_port) for each in present.addresses]
    return len(places) == len(others) and all(
        any(port == other_port and is_same_host(host, other) for other, other_port in others)
        for host, port in places
    )
