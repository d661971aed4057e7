"""How a leader brings learners up to date: what goes over the link, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from pyzk.constants import OpCode
from pyzk.data.database import Database
from pyzk.jute.records import SetDataTxn, TxnHeader
from pyzk.quorum import packets
from pyzk.quorum.commands import ReadLog
from pyzk.quorum.epochs import Epochs
from pyzk.quorum.forwarding import decode_forward
from pyzk.quorum.snapshot_send import PIECE_BYTES
from pyzk.zxid import make
from tests.quorum.leader_world import INIT_TICKS, SYNC_TICKS, LeaderWorld, Learner, membership
from tests.transactions import create, database_of, new_session

NEWLEADER = "NEWLEADER 0x200000000 version=0"
UPTODATE = "UPTODATE"


def history(count: int, epoch: int = 1) -> list[bytes]:
    """A session and then creates, ``count`` transactions."""
    first = new_session(make(epoch, 1))
    return [first, *(create(make(epoch, n), f"/n{n}") for n in range(2, count + 1))]


def leading(
    database: Database, members: int = 3, observers: int = 0, **settings: Any
) -> LeaderWorld:
    """A leader of epoch 2 that waits for its learners to be synchronized."""
    return LeaderWorld(
        membership(members, observers), database=database, epochs=Epochs(1, 1), **settings
    )


def begun(world: LeaderWorld, sid: int, zxid: int, *, is_observer: bool = False) -> Learner:
    """A learner that has acknowledged the epoch."""
    learner = world.learner(sid, is_observer=is_observer)
    learner.info(accepted=1)
    learner.ack_epoch(zxid, 1)
    assert learner.fresh()[:1] == ["LEADERINFO 0x200000000 epoch=2"] or not learner.got
    learner._seen = 1
    return learner


def two_of_five(zxid: int) -> tuple[LeaderWorld, Learner, Learner]:
    """A leader of five, with the two learners that it needs, which have NEWLEADER."""
    world = leading(database_of(history(4)), members=5)
    learners = world.learner(2), world.learner(3)
    for learner in learners:
        learner.info(accepted=1)
    for learner in learners:
        learner.ack_epoch(zxid, 1)
    return world, *learners


def pairs(*numbers: int, epoch: int = 1) -> list[str]:
    out = []
    for number in numbers:
        zxid = f"{make(epoch, number):#x}"
        out += [f"PROPOSAL {zxid} create /n{number}", f"COMMIT {zxid}"]
    return out


def test_a_learner_with_everything_gets_an_empty_diff() -> None:
    world = leading(database_of(history(4)))
    learner = begun(world, 2, make(1, 4))
    assert learner.fresh() == ["DIFF 0x100000004", NEWLEADER]


def test_a_learner_gets_what_it_lacks_as_proposals_and_commits() -> None:
    payloads = history(4)
    world = leading(database_of(payloads))
    learner = begun(world, 2, make(1, 2))
    assert learner.fresh() == ["DIFF 0x100000004", *pairs(3, 4), NEWLEADER]
    assert [each.data for each in learner.packets if each.type == packets.PROPOSAL] == payloads[2:]


def test_a_learner_that_has_too_much_is_told_to_truncate() -> None:
    world = leading(database_of(history(4)))
    learner = begun(world, 2, make(1, 4))
    learner.ack_new_leader()
    late = begun(world, 3, make(1, 9))
    assert late.fresh() == ["TRUNC 0x100000004", NEWLEADER]


def test_newleader_carries_the_configuration() -> None:
    world = leading(database_of([]))
    learner = begun(world, 2, 0)
    config = packets.new_leader_config(learner.packets[-1])
    assert config is not None
    assert config.startswith(b"server.1=127.0.0.1:2010:2011:participant;0.0.0.0:2012\n")
    assert config.endswith(b"\nversion=0")


# --- SNAP -------------------------------------------------------------------------------


def everything(learner: Learner) -> dict[str, bytes | None]:
    return {path: data for part in learner.parts for path, data, *_ in part.nodes}


def test_a_learner_without_data_gets_a_snapshot() -> None:
    database = database_of(history(4))
    world = leading(database)
    learner = begun(world, 2, 0)
    assert learner.fresh() == ["SNAP 0x100000004", NEWLEADER]
    nodes = [node for part in learner.parts for node in part.nodes]
    assert nodes == [
        (path, node.data, node.acl_id, node.encode_persisted())
        for path, node in database.tree.nodes.items()
    ]
    sessions = [each for part in learner.parts for each in part.sessions]
    assert sessions == list(database.sessions.items())
    acls = [each for part in learner.parts for each in part.acls]
    assert acls == database.tree.acls.items()
    assert learner.parts[-1].is_last


def big_database() -> Database:
    payloads = history(3)
    payloads += [create(make(1, n), f"/n{n}", bytes(20_000)) for n in range(4, 104)]
    return database_of(payloads)


def test_a_snapshot_is_of_the_moment_of_its_zxid_and_made_as_it_is_taken() -> None:
    database = big_database()
    world = leading(database)
    learner = world.learner(2)
    learner.info(accepted=1)
    learner.reads = False
    learner.ack_epoch(0, 1)
    assert learner.link.queued_bytes < 500
    learner.reads = True
    learner.take(limit=1, pieces=3)
    assert len(learner.raw[-1]) < PIECE_BYTES + 16 * 21_000
    assert "/n2" in everything(learner)
    assert "/n103" not in everything(learner)
    header = TxnHeader(1, 1, make(1, 104), 0, OpCode.SET_DATA)
    for number in range(2, 104):
        database.tree.apply(header, SetDataTxn(f"/n{number}", b"later", 1))
    learner.take(limit=1)
    got = everything(learner)
    assert got["/n2"] == b""
    assert {got[f"/n{n}"] for n in range(4, 104)} == {bytes(20_000)}
    assert learner.got[-1] == NEWLEADER
    assert not database.tree._views


def test_two_snapshots_at_once_are_each_of_their_own_moment() -> None:
    world = leading(big_database(), observers=1)
    first = world.learner(2)
    first.info(accepted=1)
    first.reads = False
    first.ack_epoch(0, 1)
    second = world.learner(3)
    second.info(accepted=1)
    second.ack_epoch(0, 1)
    second.ack_new_leader()
    second.request(OpCode.DELETE, b"\0\0\0\3/n9\xff\xff\xff\xff")
    second.ack(make(2, 1))
    assert "/n9" not in world.database.tree.nodes
    third = begun(world, 4, 0, is_observer=True)
    assert "/n9" not in everything(third)
    first.reads = True
    first.take()
    assert "/n9" in everything(first)
    assert "/n9" in everything(second)


@pytest.mark.parametrize("how", ["lost", "stop"])
def test_a_snapshot_that_breaks_off_holds_nothing_any_more(how: str) -> None:
    world = leading(big_database())
    learner = world.learner(2)
    learner.info(accepted=1)
    learner.reads = False
    learner.ack_epoch(0, 1)
    assert world.database.tree._views
    if how == "lost":
        learner.link.lost("reset")
    else:
        world.leader.stop()
    assert not world.database.tree._views
    assert not learner.link.has_output


def test_a_snapshot_may_take_as_long_as_it_moves() -> None:
    world = leading(big_database())
    mate = world.joined(2, accepted=1)
    learner = world.learner(3)
    learner.info(accepted=1)
    learner.reads = False
    learner.ack_epoch(0, 1)
    pieces = 2  # SNAP itself, and the first of the snapshot
    for _ in range(3):
        world.beat(2 * INIT_TICKS, mate)
        learner.reads = True
        learner.take(limit=1, pieces=pieces)
        learner.reads = False
        pieces = 1
        assert not learner.is_closed()
    world.beat(2 * INIT_TICKS + 1, mate)
    assert not learner.is_closed(), "the beat that sees the last piece counts anew"
    world.beat(1, mate)
    assert learner.is_closed()


# --- the log on disk --------------------------------------------------------------------


def old_learner(limit: int = 3) -> tuple[LeaderWorld, list[tuple[int, bytes]]]:
    payloads = history(8)
    world = leading(database_of(payloads, committed_limit=limit))
    return world, [(make(1, n), payload) for n, payload in enumerate(payloads, 1)]


def test_what_the_committed_log_lacks_is_read_from_disk() -> None:
    world, records = old_learner()
    world.disk = records[1:]
    learner = begun(world, 2, make(1, 2))
    assert learner.fresh() == ["DIFF 0x100000008", *pairs(3, 4, 5, 6, 7, 8), NEWLEADER]
    command = world.commands[-1]
    assert isinstance(command, ReadLog)
    assert command.after == make(1, 2)


@pytest.mark.parametrize("disk", [None, []])
def test_a_log_that_is_too_long_or_has_nothing_means_a_snapshot(
    disk: list[tuple[int, bytes]] | None,
) -> None:
    world, _ = old_learner()
    world.disk = disk
    learner = begun(world, 2, make(1, 2))
    assert learner.fresh() == ["SNAP 0x100000008", NEWLEADER]


def test_a_log_that_may_not_be_read_is_not() -> None:
    payloads = history(8)
    world = leading(database_of(payloads, committed_limit=3), snapshot_size_factor=-1)
    learner = begun(world, 2, make(1, 2))
    assert learner.fresh() == ["SNAP 0x100000008", NEWLEADER]
    assert not any(isinstance(each, ReadLog) for each in world.commands)


def test_a_log_that_is_known_whole_only_later_is_not_read() -> None:
    world, _ = old_learner()
    world.database.log_complete_after = make(1, 3)
    learner = begun(world, 2, make(1, 2))
    assert learner.fresh() == ["SNAP 0x100000008", NEWLEADER]


def test_what_is_committed_while_the_log_is_read_is_sent_once() -> None:
    world, records = old_learner()
    world.joined(2, accepted=1)
    world.is_disk_held = True
    late = begun(world, 3, make(1, 2))
    assert late.fresh() == []
    mate = world.leader.handlers[0]
    asker = Learner(world, mate.link, 2, False)
    asker.create("/x")
    world.disk = [*records[1:], (make(2, 1), b"uncommitted")]
    world.leader.log_synced(make(2, 1))
    asker.ack(make(2, 1))
    asker.create("/y")
    world.answer()
    assert late.fresh() == [
        "DIFF 0x200000001",
        *pairs(3, 4, 5, 6, 7, 8),
        "PROPOSAL 0x200000001 create /x",
        "COMMIT 0x200000001",
        "PROPOSAL 0x200000002 create /y",
        NEWLEADER,
    ]


def test_a_learner_that_went_while_the_log_was_read_is_forgotten() -> None:
    world, records = old_learner()
    world.is_disk_held = True
    learner = world.learner(2)
    learner.info(accepted=1)
    world.answer()
    learner.ack_epoch(make(1, 2), 1)
    world.answer()
    assert any(isinstance(each, ReadLog) for each in world.commands)
    learner.link.lost("reset")
    world.disk = records
    world.answer()
    assert world.leader.handlers == world.leader.traffic.followers == []


def test_force_snapshot_sync_is_obeyed() -> None:
    world = leading(database_of(history(4)), force_snapshot_sync=True)
    assert begun(world, 2, make(1, 4)).fresh() == ["SNAP 0x100000004", NEWLEADER]


# --- how many at once -------------------------------------------------------------------


def test_observers_wait_for_their_turn_and_voters_do_not() -> None:
    world = leading(database_of(history(4)), observers=3, max_concurrent_snap_syncs=1)
    voter = begun(world, 2, 0)
    observer = begun(world, 4, 0, is_observer=True)
    assert observer.is_closed()
    other = begun(world, 3, 0)
    assert not other.is_closed()
    diff = begun(world, 5, make(1, 3), is_observer=True)
    assert not diff.is_closed()
    voter.ack_new_leader()
    other.ack_new_leader()
    again = begun(world, 4, 0, is_observer=True)
    assert again.fresh() == ["SNAP 0x200000000", NEWLEADER]
    assert begun(world, 6, 0, is_observer=True).is_closed()


def test_observers_that_are_sent_logs_are_counted_by_themselves() -> None:
    world = leading(database_of(history(4)), observers=3, max_concurrent_diff_syncs=1)
    begun(world, 2, 0)
    assert not begun(world, 4, make(1, 3), is_observer=True).is_closed()
    assert begun(world, 5, make(1, 3), is_observer=True).is_closed()
    assert not begun(world, 6, 0, is_observer=True).is_closed()


def test_an_observer_whose_log_is_too_long_waits_for_its_turn_like_the_others() -> None:
    world = leading(
        database_of(history(8), committed_limit=3), observers=2, max_concurrent_snap_syncs=1
    )
    begun(world, 2, make(1, 8))
    first = begun(world, 4, 0, is_observer=True)
    world.is_disk_held = True
    second = begun(world, 5, make(1, 2), is_observer=True)
    assert second.fresh() == []
    world.sync()
    assert second.is_closed()
    assert not first.is_closed()
    assert world.over() == ""


# --- NEWLEADER and UPTODATE -------------------------------------------------------------


def test_uptodate_waits_until_a_quorum_has_acknowledged_newleader() -> None:
    world, first, second = two_of_five(make(1, 4))
    assert first.fresh()[1:] == ["DIFF 0x100000004", NEWLEADER]
    first.ack_new_leader()
    assert not world.is_serving()
    assert first.fresh() == []
    second.ack_new_leader()
    assert world.is_serving()
    assert first.fresh() == [UPTODATE]
    assert second.fresh()[-1] == UPTODATE
    assert world.database.last_zxid == make(2, 0)


@pytest.mark.parametrize("sid", [4, 9])
def test_acks_of_observers_and_strangers_establish_nobody(sid: int) -> None:
    world = leading(database_of(history(4)), observers=1)
    begun(world, 2, make(1, 4))
    learner = begun(world, sid, make(1, 4), is_observer=sid == 4)
    learner.ack_new_leader()
    assert not world.is_serving()


def test_a_leader_that_is_established_tells_the_election() -> None:
    world = leading(database_of(history(4)))
    election = world.elections.election
    election.look(make(1, 4), 1)
    learner = begun(world, 2, make(1, 4))
    assert election.current_vote.peer_epoch == 1
    learner.ack_new_leader()
    assert election.current_vote.peer_epoch == 2


@pytest.mark.parametrize("leader_serves", [True, False])
def test_a_leader_may_take_no_clients(leader_serves: bool) -> None:
    world = leading(database_of(history(4)), leader_serves=leader_serves)
    learner = world.joined(2, accepted=1)
    assert world.server.is_running
    assert world.is_serving() == leader_serves
    learner.create("/a")
    learner.ack(make(2, 1))
    assert "/a" in world.database.tree.nodes


def test_two_acks_of_one_learner_are_one() -> None:
    world, learner, _ = two_of_five(make(1, 4))
    learner.ack_new_leader()
    learner.ack_new_leader()
    assert not world.is_serving()


def test_without_a_quorum_of_acks_the_role_ends_after_init_limit() -> None:
    world, learner, _ = two_of_five(make(1, 4))
    learner.ack_new_leader()
    world.beat(2 * INIT_TICKS - 1)
    assert not world.over()
    world.beat()
    assert "synchronized" in world.over()
    assert not learner.is_closed(), "it is the leader that kept it waiting"


def test_the_ack_of_another_epoch_ends_the_link() -> None:
    world = leading(database_of([]))
    learner = begun(world, 2, 0)
    learner.ack(make(1, 0))
    assert learner.is_closed()
    assert not world.is_serving()


def test_the_limit_of_requests_on_the_way_is_shared_by_the_voters() -> None:
    world, first, second = two_of_five(make(1, 4))
    first.ack_new_leader()
    second.ack_new_leader()
    limit = world.member.config.global_outstanding_limit
    assert world.server.queues.outstanding_limit == limit // 4


def test_a_leader_with_sessions_gives_each_its_full_timeout() -> None:
    world = leading(database_of([new_session(make(1, 1), 5, 4000)]))
    world.joined(2, accepted=1)
    sessions = world.server.sessions.sessions
    assert list(sessions) == [5]
    assert sessions[5].bucket_ms > world.clock.now_ms + 4000


# --- what happens around NEWLEADER ------------------------------------------------------


def established(**settings: Any) -> tuple[LeaderWorld, Learner, Learner]:
    """A leader, a follower that is active, and one that has NEWLEADER to acknowledge."""
    world = leading(database_of(history(2)), **settings)
    active = begun(world, 2, make(1, 2))
    active.ack_new_leader()
    joining = begun(world, 3, make(1, 2))
    joining.fresh()
    active.fresh()
    return world, active, joining


def test_what_is_outstanding_is_queued_before_newleader_and_committed_behind_uptodate() -> None:
    world = leading(database_of(history(2)))
    active = begun(world, 2, make(1, 2))
    active.ack_new_leader()
    world.is_disk_held = True
    active.create("/x")
    joining = begun(world, 3, make(1, 1))
    assert joining.fresh() == [
        "DIFF 0x100000002",
        *pairs(2),
        "PROPOSAL 0x200000001 create /x",
        NEWLEADER,
    ]
    active.create("/y")
    active.ack(make(2, 1))
    world.sync()
    assert world.leader.last_committed == make(2, 1)
    assert joining.fresh() == [], "a COMMIT here ends the synchronization of older learners"
    joining.ack_new_leader()
    assert joining.fresh() == [
        UPTODATE,
        "PROPOSAL 0x200000002 create /y",
        "COMMIT 0x200000001",
    ]


def test_an_observer_gets_no_proposal_before_newleader_and_informs_behind_uptodate() -> None:
    world = leading(database_of(history(2)), observers=1)
    active = begun(world, 2, make(1, 2))
    active.ack_new_leader()
    world.is_disk_held = True
    active.create("/x")
    observer = begun(world, 4, make(1, 2), is_observer=True)
    assert observer.fresh() == ["DIFF 0x100000002", NEWLEADER]
    active.ack(make(2, 1))
    world.sync()
    assert observer.fresh() == []
    observer.ack_new_leader()
    assert observer.fresh() == [UPTODATE, "INFORM 0x200000001 create /x"]


def test_a_batch_that_is_being_collected_reaches_a_learner_once() -> None:
    world, active, _ = established()
    world.is_disk_held = True
    late = world.learner(3)
    late.info(accepted=1)
    late.fresh()
    request = decode_forward(None, packets.ForwardedRequest(5, 1, 99, b"", None), 0)
    world.leader.submit(request)
    late.ack_epoch(make(1, 2), 1)
    assert late.fresh() == [
        "DIFF 0x100000002",
        "PROPOSAL 0x200000001 error unimplemented",
        NEWLEADER,
    ]
    assert active.fresh() == ["PROPOSAL 0x200000001 error unimplemented"]
    late.ack_new_leader()
    assert late.fresh() == [UPTODATE]


def test_acks_of_proposals_before_that_of_newleader_count() -> None:
    world = leading(database_of(history(2)))
    active = begun(world, 2, make(1, 2))
    active.ack_new_leader()
    world.is_disk_held = True
    active.create("/x")
    joining = begun(world, 3, make(1, 2))
    joining.ack(make(2, 1))
    assert not joining.is_closed()
    world.sync()
    assert world.leader.last_committed == make(2, 1)
    joining.ack_new_leader()
    assert UPTODATE in joining.fresh()


def test_answers_to_pings_are_taken_before_newleader_is_acknowledged() -> None:
    _, _, joining = established()
    joining.send(packets.encode_ping_reply(0, {1: 2}))
    assert not joining.is_closed()


def test_pings_are_sent_from_newleader_on_and_not_before() -> None:
    world = leading(database_of(history(2)), members=5)
    early = world.learner(2)
    early.info(accepted=1)
    waiting = begun(world, 3, make(1, 2))
    world.beat()
    early.ack_epoch(make(1, 2), 1)
    assert "PING 0x200000000" not in waiting.got
    assert "PING 0x200000000" not in early.got
    world.beat(2)
    assert early.got[-2:] == waiting.got[-2:] == ["PING 0x200000000"] * 2


def test_a_learner_has_init_limit_to_acknowledge_newleader() -> None:
    world, active, joining = established()
    world.beat(2 * INIT_TICKS, active)
    assert not joining.is_closed()
    world.beat(1, active)
    assert joining.is_closed()
    assert not active.is_closed()


def test_a_learner_that_was_synchronized_is_expected_to_answer_within_sync_limit() -> None:
    world, active, joining = established()
    joining.ack_new_leader()
    world.beat(2 * SYNC_TICKS, active)
    assert not joining.is_closed()
    world.beat(1, active)
    assert joining.is_closed()
