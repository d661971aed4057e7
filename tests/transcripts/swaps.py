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
from pyzk.jute.records import QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.commands import StorageCommand, TruncateLog
from pyzk.quorum.epochs import CURRENT, Epochs
from pyzk.quorum.leader import STORING_CURRENT, STORING_EPOCH, Leader
from pyzk.quorum.learner import ACCEPTING, BROADCAST, SYNCING, Learner
from pyzk.quorum.learner_handler import SYNCED, LearnerHandler
from pyzk.quorum.learner_handler import SYNCING as HANDLER_SYNCING
from pyzk.quorum.learner_sync import Proposal, SyncedLearner
from pyzk.quorum.lifecycle import SETTLING, MemberLife
from pyzk.quorum.link import QuorumLink
from pyzk.quorum.member import Member
from pyzk.quorum.packets import ForwardedRequest
from pyzk.quorum.proposals import EpochAcks
from pyzk.quorum.snapshot_stream import SnapshotPart
from pyzk.server.connection import Connection
from pyzk.server.request import QueuedRead, Request
from pyzk.server.sessions import Session
from pyzk.zxid import make


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
    SyncedLearner._store,
)
def _(right: Callable[..., None], learner: SyncedLearner) -> None:
    learner.member.save_epoch(CURRENT, learner.epoch)
    right(learner)


@swap(
    "the ACK of NEWLEADER sent ahead of the data",
    "zab/ZOOKEEPER-3911 zab/ZOOKEEPER-3911_snapshot zab/ZOOKEEPER-4643"
    " sync/observer_informed_early",
    SyncedLearner._store,
)
def _(right: Callable[..., None], learner: SyncedLearner) -> None:
    learner._send_ack(make(learner.epoch, 0))
    right(learner)


@swap(
    "the ACK of NEWLEADER sent between the data and the epoch",
    "zab/ZOOKEEPER-4643 zab/ZOOKEEPER-3911_snapshot",
    SyncedLearner._save_current,
)
def _(right: Callable[..., None], learner: SyncedLearner) -> None:
    learner._send_ack(make(learner.epoch, 0))
    right(learner)


@swap("the epoch saved ahead of the truncation", "sync/deposed_leader", Member.order)
def _(right: Callable[..., int], member: Member, command: StorageCommand) -> int:
    if isinstance(command, TruncateLog):
        member.save_epoch(CURRENT, member.epochs.accepted)
    return right(member, command)


@swap(
    "an ACK of a proposal ahead of the ACK of NEWLEADER",
    "zab/ZOOKEEPER-4685 sync/trunc_and_more zab/ZOOKEEPER-3104",
    SyncedLearner._propose,
)
def _(
    right: Callable[..., None],
    learner: SyncedLearner,
    zxid: int,
    payload: bytes,
) -> None:
    right(learner, zxid, payload)
    learner._send_ack(zxid)


@swap(
    "uncommitted proposals forgotten at NEWLEADER",
    "zab/ZOOKEEPER-4394 zab/ZOOKEEPER-4685 sync/trunc_and_more pipeline/group_commit",
    SyncedLearner._store,
)
def _(right: Callable[..., None], learner: SyncedLearner) -> None:
    learner.uncommitted.clear()
    right(learner)


@swap(
    "commits behind NEWLEADER applied and logged at once",
    "zab/ZOOKEEPER-4394 sync/observer_informed_early",
    SyncedLearner._match,
)
def _(right: Callable[..., Proposal], learner: SyncedLearner, zxid: int) -> Proposal:
    proposal = right(learner, zxid)
    while learner._matched:
        learner._matched -= 1
        learner._learn(learner._take_head())
    return proposal


@swap(
    "a transaction taken that does not follow the one before",
    "zab/another_epoch zab/ZOOKEEPER-4925_hole",
    SyncedLearner._check_order,
)
def _(_right: object, _learner: SyncedLearner, _zxid: int) -> None:
    return


@swap(
    "the zxid of DIFF taken for the own one",
    "zab/ZOOKEEPER-2355 sessions/close_session zab/ZOOKEEPER-4925_hole",
    SyncedLearner._begin_sync,
)
def _(
    right: Callable[..., None],
    learner: SyncedLearner,
    packet: QuorumPacket,
    base: int,
) -> None:
    right(learner, packet, base)
    if packet.type == packets.DIFF:
        learner.member.database.tree.last_zxid = packet.zxid


@swap(
    "a snapshot put in force as soon as it has come",
    "zab/ZOOKEEPER-3642",
    SyncedLearner.snapshot_part,
)
def _(
    right: Callable[..., None],
    learner: SyncedLearner,
    link: QuorumLink,
    part: SnapshotPart,
) -> None:
    right(learner, link, part)
    load = learner._load
    if part.is_last and load is not None:
        learner.member.replace_database(load.database, load.zxid)


@swap(
    "a failed truncation passed over",
    "zab/ZOOKEEPER-3701 zab/ZOOKEEPER-4837",
    SyncedLearner._not_truncated,
)
def _(_right: object, learner: SyncedLearner, _end: int) -> None:
    learner._enter(SYNCING)
    if learner._is_new_leader_here:
        learner._store()


@swap(
    "the committed log not fed during synchronization",
    "zab/ZOOKEEPER-4925 zab/ZOOKEEPER-4394 sync/in_the_committed_log",
    SyncedLearner._learn,
)
def _(right: Callable[..., None], learner: SyncedLearner, proposal: Proposal) -> None:
    database = learner.member.database
    kept, database.committed = database.committed, None
    right(learner, proposal)
    database.committed = kept


# --- from role to role


@swap(
    "no wait for the disk ahead of the election",
    "zab/ZOOKEEPER-4712 zab/ZOOKEEPER-2845_leader zab/ZOOKEEPER-2355 zab/ZOOKEEPER-5094",
    MemberLife._settle,
)
def _(right: Callable[..., None], life: MemberLife) -> None:
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
def _(
    right: Callable[..., None],
    life: MemberLife,
    ticket: int,
    database: Database,
) -> None:
    right(life, ticket, life.member.database if life.phase == SETTLING else database)


@swap(
    "what is logged and not applied left out",
    "zab/ZOOKEEPER-2845 zab/ZOOKEEPER-2845_leader zab/ZOOKEEPER-4712 pipeline/write_that_survives",
    MemberLife._fast_forward,
)
def _(_right: object, life: MemberLife) -> None:
    life._unapplied.clear()


# --- epochs


@swap("ACKEPOCH sent ahead of acceptedEpoch", "zab/accepted_epoch zab/fresh_start", Learner._wait)
def _(
    right: Callable[..., None],
    learner: Learner,
    ticket: int,
    then: Callable[[], None] | None,
) -> None:
    if learner.phase == ACCEPTING and then is not None:
        then()
    else:
        right(learner, ticket, then)


@swap(
    "LEADERINFO sent ahead of acceptedEpoch",
    "zab/accepted_epoch_of_a_leader zab/fresh_start",
    Leader._count_epoch,
)
def _(
    right: Callable[..., None],
    leader: Leader,
    sid: int,
    bit: int,
    accepted: int,
) -> None:
    right(leader, sid, bit, accepted)
    if leader.phase == STORING_EPOCH:
        leader._ticket = 0
        leader._epoch_accepted()


@swap(
    "synchronization begun ahead of currentEpoch",
    "zab/accepted_epoch_of_a_leader zab/fresh_start",
    Leader._count_epoch_ack,
)
def _(
    right: Callable[..., None],
    leader: Leader,
    sid: int,
    bit: int,
    current_epoch: int,
    last_zxid: int,
) -> None:
    right(leader, sid, bit, current_epoch, last_zxid)
    if leader.phase == STORING_CURRENT:
        leader._ticket = 0
        leader._epoch_is_current()


@swap(
    "an epoch answered that was accepted before",
    "zab/older_epoch zab/not_counted zab/accepted_epoch",
    Epochs.answer,
)
def _(_right: object, epochs: Epochs, _new_epoch: int) -> int:
    return epochs.current


@swap("a learner followed by a leader that lacks what it has", "zab/ahead", EpochAcks.add)
def _(
    _right: object,
    acks: EpochAcks,
    _sid: int,
    bit: int,
    _current_epoch: int,
    _last_zxid: int,
) -> None:
    acks.acked |= bit


@swap(
    "served without a quorum of ACKs of NEWLEADER", "zab/fresh_start", Leader._count_new_leader_ack
)
def _(_right: object, leader: Leader, _bit: int) -> None:
    leader._establish()


# --- how a leader synchronizes


@swap(
    "NEWLEADER ahead of what is queued",
    "zab/ZOOKEEPER-3104 sync/trunc_and_more zab/ZOOKEEPER-3911_snapshot",
    LearnerHandler.new_leader,
)
def _(_right: object, handler: LearnerHandler, data: bytes) -> None:
    handler.link.send_ahead(data)
    handler._enter(HANDLER_SYNCING)
    handler._held = []


@swap(
    "traffic behind NEWLEADER not held back",
    "zab/ZOOKEEPER-4394_leader zab/ZOOKEEPER-3104 zab/ZOOKEEPER-4685_leader",
    LearnerHandler.new_leader,
)
def _(right: Callable[..., None], handler: LearnerHandler, data: bytes) -> None:
    right(handler, data)
    handler._held = None


@swap("an early ACK taken for the ACK of NEWLEADER", "zab/ZOOKEEPER-4685_leader", Leader.acked)
def _(
    right: Callable[..., None],
    leader: Leader,
    handler: LearnerHandler,
    zxid: int,
) -> None:
    right(leader, handler, zxid)
    if handler.phase == HANDLER_SYNCING:
        handler._enter(SYNCED)
        leader.new_leader_acked(handler)


@swap("acks of an earlier link counted", "zab/ack_of_an_earlier_link", Leader.start_forwarding)
def _(
    right: Callable[..., None],
    leader: Leader,
    handler: LearnerHandler,
    after: int,
) -> None:
    acks = [(proposal, proposal.acks) for proposal in leader._outstanding.values()]
    right(leader, handler, after)
    for proposal, before in acks:
        proposal.acks = before


# --- broadcast


@swap(
    "a follower's ACK ahead of its disk",
    "pipeline/write_at_the_leader zab/ZOOKEEPER-4712",
    Learner.flush,
)
def _(right: Callable[..., None], learner: Learner) -> None:
    if learner.phase == BROADCAST:
        learner.log_synced(learner.member.logged_zxid)
    right(learner)


@swap(
    "the leader's own ack ahead of its disk",
    "pipeline/write_at_the_leader zab/ZOOKEEPER-3104",
    Leader.submit,
)
def _(right: Callable[..., None], leader: Leader, request: Request) -> None:
    right(leader, request)
    leader._outstanding[request.zxid].acks |= leader._own_bit


@swap("a commit ahead of the one before it", "pipeline/commits_in_order", Leader.acked)
def _(
    right: Callable[..., None],
    leader: Leader,
    handler: LearnerHandler,
    zxid: int,
) -> None:
    right(leader, handler, zxid)
    proposal = leader._outstanding.get(zxid)
    if proposal is not None and leader._tally.is_quorum(proposal.acks):
        leader.last_committed = zxid - 1
        leader._commit()


@swap(
    "a proposal applied ahead of its COMMIT",
    "pipeline/write_at_a_follower pipeline/replies_in_order",
    SyncedLearner.flush,
)
def _(right: Callable[..., None], learner: Learner) -> None:
    if isinstance(learner, SyncedLearner) and learner.phase == BROADCAST:
        for proposal in learner.uncommitted:
            if proposal[0] > learner.member.database.last_zxid:
                learner._apply(proposal)
    right(learner)


@swap("a COMMIT taken for that of the oldest proposal", "pipeline/wrong_commit", Learner.packet)
def _(
    right: Callable[..., None], learner: SyncedLearner, link: QuorumLink, packet: QuorumPacket
) -> None:
    if packet.type == packets.COMMIT and learner.uncommitted:
        packet.zxid = learner.uncommitted[0][0]
    right(learner, link, packet)


@swap("SYNC ahead of the commit of what was proposed before", "pipeline/sync", Leader._take)
def _(
    right: Callable[..., None],
    leader: Leader,
    handler: LearnerHandler,
    forwarded: ForwardedRequest,
) -> None:
    if forwarded.type != OpCode.SYNC:
        right(leader, handler, forwarded)
        return
    kept, leader.last_proposed = leader.last_proposed, leader.last_committed
    right(leader, handler, forwarded)
    leader.last_proposed = kept


@swap(
    "a read ahead of its session's write",
    "pipeline/replies_in_order pipeline/write_at_a_follower pipeline/sync",
    Connection._wait,
)
def _(
    _right: object,
    connection: Connection,
    _session: Session,
    read: QueuedRead,
) -> int:
    return connection.answer_read(read)
