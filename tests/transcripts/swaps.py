"""Steps in the wrong order, one at a time: each breaks the transcripts that it names.

A swap takes the place of one method while transcripts are played (`test_transcripts`); it is handed
the right method, to call it too early, too late, or not at all. Here are the orders on which safety
hangs, and no others. A transcript that a swap names says so behind "Tried:" in its comment.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from typing import NamedTuple

from pyzk.constants import OpCode
from pyzk.data.database import Database
from pyzk.data.txn import LoggedTxn
from pyzk.jute.records import QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.commands import StorageCommand, TruncateLog
from pyzk.quorum.epochs import CURRENT, Epochs
from pyzk.quorum.follower import Follower
from pyzk.quorum.leader import QUORUM_SYNCED, STORING_CURRENT, STORING_EPOCH, Leader
from pyzk.quorum.leader import STORED as LEADER_STORED
from pyzk.quorum.leader_config import LeaderConfig
from pyzk.quorum.learner import Learner
from pyzk.quorum.learner_handler import HISTORY_QUEUED, NEWLEADER_ACKED, SYNCING, LearnerHandler
from pyzk.quorum.learner_phases import BROADCAST, EPOCH_NEW, STORED, STORING, TRUNCATING
from pyzk.quorum.learner_sync import Synchronization
from pyzk.quorum.lifecycle import SETTLING, MemberLife
from pyzk.quorum.link import QuorumLink
from pyzk.quorum.member import Member
from pyzk.quorum.packets import ForwardedRequest
from pyzk.quorum.proposals import EpochAcks, Proposal
from pyzk.quorum.snapshot_stream import SnapshotPart
from pyzk.quorum.uncommitted import UncommittedTxns
from pyzk.server.connection import Connection
from pyzk.server.request import QueuedRead, Request
from pyzk.server.sessions import Session
from pyzk.zxid import make

Right = Callable[..., None]
"""The right method of a swap."""


class Swap(NamedTuple):
    """What is done wrongly, and what shows it."""

    name: str
    fails: tuple[str, ...]
    """The transcripts that show it."""
    method: Callable[..., object]
    wrong: Callable[..., object]
    """Stands in its place, and is given it as the first argument."""

    @contextmanager
    def made(self) -> Iterator[None]:
        """Put the wrong method in the place of the right one for a while."""
        *path, attribute = self.method.__qualname__.split(".")
        owner = reduce(getattr, path, sys.modules[self.method.__module__])

        def wrong(*args: object) -> object:
            return self.wrong(self.method, *args)

        setattr(owner, attribute, wrong)
        try:
            yield
        finally:
            setattr(owner, attribute, self.method)


SWAPS: list[Swap] = []


def swap(
    name: str, fails: str, method: Callable[..., object]
) -> Callable[[Callable[..., object]], None]:
    """Add a swap of ``method``; ``fails`` names the transcripts, separated by blanks."""

    def add(wrong: Callable[..., object]) -> None:
        SWAPS.append(Swap(name, tuple(fails.split()), method, wrong))

    return add


# --- what a learner stores, and when it says so


@swap(
    "the epoch saved ahead of the data",
    "zab/ZOOKEEPER-4643 zab/ZOOKEEPER-3911 zab/ZOOKEEPER-4394 zab/ZOOKEEPER-3911_snapshot"
    " sync/forced_snapshot",
    Learner._store,
)
def _(right: Right, learner: Learner) -> None:
    learner.member.save_epoch(CURRENT, learner.epoch)
    right(learner)


@swap(
    "the ACK of NEWLEADER sent ahead of the data",
    "zab/ZOOKEEPER-3911 zab/ZOOKEEPER-3911_snapshot zab/ZOOKEEPER-4643"
    " sync/observer_informed_early",
    Learner._store,
)
def _(right: Right, learner: Learner) -> None:
    learner._send_ack(make(learner.epoch, 0))
    right(learner)


@swap(
    "the ACK of NEWLEADER sent between the data and the epoch",
    "zab/ZOOKEEPER-4643 zab/ZOOKEEPER-3911_snapshot",
    Learner._go,
)
def _(right: Right, learner: Learner, event: str) -> None:
    if learner.phase == STORING:
        learner._send_ack(make(learner.epoch, 0))
    right(learner, event)


@swap("the epoch saved ahead of the truncation", "sync/deposed_leader", Member.order)
def _(right: Callable[..., int], member: Member, command: StorageCommand) -> int:
    if isinstance(command, TruncateLog):
        member.save_epoch(CURRENT, member.epochs.accepted)
    return right(member, command)


@swap(
    "an ACK of a proposal ahead of the ACK of NEWLEADER",
    "zab/ZOOKEEPER-4685 sync/trunc_and_more zab/ZOOKEEPER-3104",
    Learner.packet,
)
def _(right: Right, learner: Learner, link: QuorumLink, packet: QuorumPacket) -> None:
    right(learner, link, packet)
    if packet.type == packets.PROPOSAL:
        learner._send_ack(packet.zxid)


@swap(
    "uncommitted proposals forgotten at NEWLEADER",
    "zab/ZOOKEEPER-4394 zab/ZOOKEEPER-4685 sync/trunc_and_more pipeline/group_commit",
    Learner._store,
)
def _(right: Right, learner: Learner) -> None:
    learner.sync.uncommitted.clear()
    right(learner)


@swap(
    "commits behind NEWLEADER applied and logged at once",
    "zab/ZOOKEEPER-4394 sync/observer_informed_early",
    Learner._match,
)
def _(right: Callable[..., LoggedTxn], learner: Learner, zxid: int) -> LoggedTxn:
    txn = right(learner, zxid)
    learner.sync.learn_matched()
    return txn


@swap(
    "a transaction taken that does not follow the one before",
    "zab/another_epoch zab/ZOOKEEPER-4925_hole",
    UncommittedTxns._check_order,
)
def _(_right: object, _uncommitted: UncommittedTxns, _zxid: int) -> None:
    return


@swap(
    "the zxid of DIFF taken for the own one",
    "zab/ZOOKEEPER-2355 sessions/close_session zab/ZOOKEEPER-4925_hole",
    Synchronization._begin,
)
def _(right: Right, sync: Synchronization, packet: QuorumPacket, base: int) -> None:
    right(sync, packet, base)
    if packet.type == packets.DIFF:
        sync._member.database.tree.last_zxid = packet.zxid


@swap("a snapshot put in force as soon as it has come", "zab/ZOOKEEPER-3642", Learner.snapshot_part)
def _(right: Right, learner: Learner, link: QuorumLink, part: SnapshotPart) -> None:
    right(learner, link, part)
    load = learner.sync.load
    if part.is_last and load is not None:
        learner.member.replace_database(load.database, load.zxid)


@swap("a failed truncation passed over", "zab/ZOOKEEPER-3701 zab/ZOOKEEPER-4837", Learner.restored)
def _(right: Right, learner: Learner, ticket: int, database: Database) -> None:
    if learner.phase == TRUNCATING:
        learner.sync._truncated_to = database.last_zxid
    right(learner, ticket, database)


@swap(
    "the committed log not fed during synchronization",
    "zab/ZOOKEEPER-4925 zab/ZOOKEEPER-4394 sync/in_the_committed_log",
    Synchronization._learn,
)
def _(right: Right, sync: Synchronization, zxid: int, payload: bytes, txn: LoggedTxn) -> None:
    database = sync._member.database
    kept, database.committed = database.committed, None
    right(sync, zxid, payload, txn)
    database.committed = kept


# --- from role to role


@swap(
    "no wait for the disk ahead of the election",
    "zab/ZOOKEEPER-4712 zab/ZOOKEEPER-2845_leader zab/ZOOKEEPER-2355 zab/ZOOKEEPER-5094",
    MemberLife._settle,
)
def _(right: Right, life: MemberLife) -> None:
    member = life.member
    synced, member.synced_zxid = member.synced_zxid, member.logged_zxid
    pending, member.pending = member.pending, {}
    right(life)
    member.synced_zxid = synced
    member.pending = {**pending, **member.pending}


@swap(
    "memory kept as it was ahead of the truncation",
    "zab/ZOOKEEPER-5094 zab/ZOOKEEPER-3642",
    MemberLife.restored,
)
def _(right: Right, life: MemberLife, ticket: int, database: Database) -> None:
    right(life, ticket, life.member.database if life.phase == SETTLING else database)


@swap(
    "what is logged and not applied left out",
    "zab/ZOOKEEPER-2845 zab/ZOOKEEPER-2845_leader zab/ZOOKEEPER-4712 pipeline/write_that_survives",
    MemberLife._fast_forward,
)
def _(_right: object, life: MemberLife) -> None:
    life._unapplied.clear()


# --- epochs


@swap("ACKEPOCH sent ahead of acceptedEpoch", "zab/accepted_epoch zab/fresh_start", Learner._go)
def _(right: Right, learner: Learner, event: str) -> None:
    right(learner, event)
    if event == EPOCH_NEW:
        learner._ticket = 0
        right(learner, STORED)


@swap(
    "LEADERINFO sent ahead of acceptedEpoch",
    "zab/accepted_epoch_of_a_leader zab/fresh_start",
    Leader._count_epoch,
)
def _(right: Right, leader: Leader, sid: int, bit: int, accepted: int) -> None:
    right(leader, sid, bit, accepted)
    if leader.phase == STORING_EPOCH:
        leader._ticket = 0
        leader._go(LEADER_STORED)


@swap(
    "synchronization begun ahead of currentEpoch",
    "zab/accepted_epoch_of_a_leader zab/fresh_start",
    Leader._count_epoch_ack,
)
def _(right: Right, leader: Leader, sid: int, bit: int, current_epoch: int, last_zxid: int) -> None:
    right(leader, sid, bit, current_epoch, last_zxid)
    if leader.phase == STORING_CURRENT:
        leader._ticket = 0
        leader._go(LEADER_STORED)


@swap(
    "an epoch answered that was accepted before",
    "zab/older_epoch zab/not_counted zab/accepted_epoch",
    Epochs.answer,
)
def _(_right: object, epochs: Epochs, _new_epoch: int) -> int:
    return epochs.current


@swap("a learner followed by a leader that lacks what it has", "zab/ahead", EpochAcks.add)
def _(
    _right: object, acks: EpochAcks, _sid: int, bit: int, _current_epoch: int, _last_zxid: int
) -> None:
    acks.acked |= bit


@swap(
    "served without a quorum of ACKs of NEWLEADER", "zab/fresh_start", Leader._count_new_leader_ack
)
def _(_right: object, leader: Leader, _bit: int) -> None:
    leader._go(QUORUM_SYNCED)


# --- how a leader synchronizes


@swap(
    "NEWLEADER ahead of what is queued",
    "zab/ZOOKEEPER-3104 sync/trunc_and_more zab/ZOOKEEPER-3911_snapshot",
    LearnerHandler.go,
)
def _(right: Right, handler: LearnerHandler, event: str) -> None:
    if event == HISTORY_QUEUED:
        handler.link.send_ahead(handler.master.new_leader_packet)
        handler.phase = SYNCING
        handler._held = []
    else:
        right(handler, event)


@swap(
    "traffic behind NEWLEADER not held back",
    "zab/ZOOKEEPER-4394_leader zab/ZOOKEEPER-3104 zab/ZOOKEEPER-4685_leader",
    LearnerHandler.go,
)
def _(right: Right, handler: LearnerHandler, event: str) -> None:
    right(handler, event)
    if event == HISTORY_QUEUED:
        handler._held = None


@swap("an early ACK taken for the ACK of NEWLEADER", "zab/ZOOKEEPER-4685_leader", Leader.acked)
def _(right: Right, leader: Leader, handler: LearnerHandler, zxid: int) -> None:
    right(leader, handler, zxid)
    if handler.phase == SYNCING:
        handler.go(NEWLEADER_ACKED)


@swap("acks of an earlier link counted", "zab/ack_of_an_earlier_link", Leader.start_forwarding)
def _(right: Right, leader: Leader, handler: LearnerHandler, after: int) -> None:
    acks = [(proposal, proposal.acks) for proposal in leader._outstanding.values()]
    right(leader, handler, after)
    for proposal, before in acks:
        proposal.acks = before


# --- a change of the configuration


@swap(
    "a change committed without a quorum of the next configuration",
    "zab/reconfiguration",
    LeaderConfig.propose,
)
def _(right: Right, config: LeaderConfig, zxid: int) -> None:
    right(config, zxid)
    config.tally.use((config._member.verifier,))


@swap(
    "a change committed without a quorum of the present configuration",
    "zab/reconfiguration",
    LeaderConfig.propose,
)
def _(right: Right, config: LeaderConfig, zxid: int) -> None:
    right(config, zxid)
    config.tally.use((config._member.configs.last_seen_verifier,))


@swap("a change in force ahead of its commit", "zab/reconfiguration", LeaderConfig.propose)
def _(right: Right, config: LeaderConfig, zxid: int) -> None:
    right(config, zxid)
    config._member.activate_config(config._planned, None, zxid)


@swap(
    "a change named in NEWLEADER ahead of its commit",
    "zab/reconfiguration_and_a_learner",
    LeaderConfig.propose,
)
def _(right: Right, config: LeaderConfig, zxid: int) -> None:
    right(config, zxid)
    config._tell(config._planned)


@swap(
    "commits of a leader that is replaced", "zab/reconfiguration_of_a_leader", LeaderConfig.activate
)
def _(
    right: Right, config: LeaderConfig, zxid: int, acks: int, outstanding: dict[int, Proposal]
) -> None:
    right(config, zxid, acks, outstanding)
    config.is_deposed = False


# --- broadcast


@swap(
    "a follower's ACK ahead of its disk",
    "pipeline/write_at_the_leader zab/ZOOKEEPER-4712",
    Learner.flush,
)
def _(right: Right, learner: Learner) -> None:
    if learner.phase == BROADCAST:
        learner.log_synced(learner.member.logged_zxid)
    right(learner)


@swap(
    "the leader's own ack ahead of its disk",
    "pipeline/write_at_the_leader zab/ZOOKEEPER-3104",
    Leader.submit,
)
def _(right: Right, leader: Leader, request: Request) -> None:
    right(leader, request)
    leader._outstanding[request.zxid].acks |= leader._own_bit


@swap("a commit ahead of the one before it", "pipeline/commits_in_order", Leader.acked)
def _(right: Right, leader: Leader, handler: LearnerHandler, zxid: int) -> None:
    right(leader, handler, zxid)
    proposal = leader._outstanding.get(zxid)
    if proposal is not None and leader._tally.is_quorum(proposal.acks):
        leader.last_committed = zxid - 1
        leader._commit()


@swap(
    "a proposal applied ahead of its COMMIT",
    "pipeline/write_at_a_follower pipeline/replies_in_order",
    Learner.flush,
)
def _(right: Right, learner: Learner) -> None:
    if learner.phase == BROADCAST:
        for zxid, payload, txn in learner.sync.uncommitted.queue:
            if zxid > learner.member.database.last_zxid:
                learner._apply(payload, txn)
    right(learner)


@swap("a COMMIT taken for that of the oldest proposal", "pipeline/wrong_commit", Follower.packet)
def _(right: Right, learner: Follower, link: QuorumLink, packet: QuorumPacket) -> None:
    queue = learner.sync.uncommitted.queue
    if packet.type == packets.COMMIT and queue:
        packet.zxid = queue[0][0]
    right(learner, link, packet)


@swap("SYNC ahead of the commit of what was proposed before", "pipeline/sync", Leader._take_request)
def _(
    right: Right,
    leader: Leader,
    handler: LearnerHandler,
    forwarded: ForwardedRequest,
    has_moved: bool,
) -> None:
    if forwarded.type != OpCode.SYNC:
        right(leader, handler, forwarded, has_moved)
        return
    kept, leader.last_proposed = leader.last_proposed, leader.last_committed
    right(leader, handler, forwarded, has_moved)
    leader.last_proposed = kept


@swap(
    "a read ahead of its session's write",
    "pipeline/replies_in_order pipeline/write_at_a_follower pipeline/sync",
    Connection.wait,
)
def _(_right: object, connection: Connection, _session: Session, read: QueuedRead) -> int:
    return connection.answer_read(read)
