"""Proposals, acks and commits; what learners ask for; how a leader finds it leads nobody."""

from __future__ import annotations

import struct

import pytest

from pyzk.constants import ErrorCode, OpCode
from pyzk.data.txn import decode_txn
from pyzk.jute.packing import pack_int
from pyzk.jute.records import CreateSessionTxn, ErrorTxn
from pyzk.quorum import packets
from pyzk.quorum.epochs import Epochs
from pyzk.quorum.leader import LAST_COUNTER
from pyzk.server.marks import Marks
from pyzk.server.request import Request
from pyzk.zxid import make
from tests.frames import create_request, encode_request
from tests.quorum.leader_world import INIT_TICKS, SYNC_TICKS, LeaderWorld, Learner, membership
from tests.transactions import SESSION, create, database_of, new_session

UNKNOWN = 0x5555


def established(
    voters: int = 3, observers: int = 0, *, joined: int = 2, marks: Marks | None = None
) -> tuple[LeaderWorld, list[Learner]]:
    """A leader of epoch 2 and its learners: followers 2, 3, … and then the observers."""
    database = database_of([new_session(make(1, 1))])
    world = LeaderWorld(
        membership(voters, observers), database=database, epochs=Epochs(1, 1), marks=marks
    )
    learners = [world.learner(sid) for sid in range(2, 2 + joined)]
    for learner in learners:
        learner.info(accepted=1)
    for learner in learners:
        learner.ack_epoch(make(1, 1), 1)
    for learner in learners:
        learner.ack_new_leader()
    for sid in range(voters + 1, voters + observers + 1):
        observer = world.learner(sid, is_observer=True)
        learners.append(observer)
        observer.info(accepted=1)
        observer.ack_epoch(make(1, 1), 1)
        observer.ack_new_leader()
    for learner in learners:
        assert learner.fresh()[-1] == "UPTODATE"
    return world, learners


def own_create(world: LeaderWorld, path: str, data: bytes = b"") -> None:
    """A write of a client that is connected to the leader itself."""
    record = create_request(path, data)
    request = Request(None, None, 0, OpCode.CREATE, record, (), world.clock.now_ms)
    request.client_id = SESSION
    world.leader.submit(request)
    world.settle()


def applied(world: LeaderWorld) -> list[str]:
    return [path for path in world.database.tree.nodes if not path.startswith("/zookeeper")][1:]


def sync(learner: Learner) -> None:
    learner.request(OpCode.SYNC, pack_int(1) + b"/")


def committed(*numbers: int) -> list[str]:
    return [f"COMMIT {make(2, number):#x}" for number in numbers]


# --- the commit -------------------------------------------------------------------------


def test_a_write_is_proposed_logged_and_committed_when_a_quorum_has_it() -> None:
    world, (first, second) = established()
    world.is_disk_held = True
    own_create(world, "/a")
    assert first.fresh() == second.fresh() == ["PROPOSAL 0x200000001 create /a"]
    assert world.log == [make(2, 1)]
    first.ack(make(2, 1))
    assert first.fresh() == []
    assert applied(world) == []
    world.sync()
    assert first.fresh() == second.fresh() == committed(1)
    assert applied(world) == ["/a"]


def test_a_commit_need_not_wait_for_the_leader_s_own_disk() -> None:
    world, (first, second) = established()
    world.is_disk_held = True
    own_create(world, "/a")
    first.ack(make(2, 1))
    second.ack(make(2, 1))
    assert applied(world) == ["/a"]
    assert first.fresh()[-1:] == committed(1)
    world.sync()
    assert first.fresh() == []


def test_the_leader_s_own_disk_alone_commits_nothing() -> None:
    world, (first, _) = established()
    own_create(world, "/a")
    assert applied(world) == []
    assert committed(1)[0] not in first.got


def test_two_acks_of_one_follower_are_one() -> None:
    world, (first, _) = established()
    world.is_disk_held = True
    own_create(world, "/a")
    first.ack(make(2, 1), make(2, 1))
    assert applied(world) == []


def test_acks_of_observers_and_strangers_commit_nothing() -> None:
    world, (first, observer) = established(observers=1, joined=1)
    stranger = world.joined(9, accepted=1)
    world.is_disk_held = True
    first.create("/a")
    observer.ack(make(2, 1))
    stranger.ack(make(2, 1))
    assert stranger.fresh()[-1] == "PROPOSAL 0x200000001 create /a"
    world.sync()
    assert applied(world) == []
    assert not observer.is_closed()
    first.ack(make(2, 1))
    assert applied(world) == ["/a"]


def test_an_ack_from_before_a_truncation_counts_no_more() -> None:
    world, (first, second) = established(5, joined=2)
    world.is_disk_held = True
    own_create(world, "/a")
    first.ack(make(2, 1))
    first = world.learner(2)
    first.info(accepted=2)
    first.ack_epoch(make(2, 1), packets.NOT_COUNTED)
    assert [line.split()[0] for line in first.fresh()[1:4]] == ["TRUNC", "PROPOSAL", "NEWLEADER"]
    world.sync()
    second.ack(make(2, 1))
    assert applied(world) == []
    first.ack_new_leader()
    first.ack(make(2, 1))
    assert applied(world) == ["/a"]


def test_commits_are_in_the_order_of_the_zxids_whatever_the_order_of_the_acks() -> None:
    world, (first, second) = established(5, joined=2)
    for path in ("/a", "/b", "/c"):
        own_create(world, path)
    first.ack(make(2, 1), make(2, 2), make(2, 3))
    second.ack(make(2, 2), make(2, 3))
    assert applied(world) == []
    second.ack(make(2, 1))
    assert applied(world) == ["/a", "/b", "/c"]
    assert first.fresh()[-3:] == committed(1, 2, 3)


def test_a_later_proposal_does_not_pass_one_that_has_no_quorum() -> None:
    world, (first, second) = established(5, joined=2)
    world.is_disk_held = True
    for path in ("/a", "/b"):
        own_create(world, path)
    first.ack(make(2, 2))
    second.ack(make(2, 2))
    world.sync()
    assert applied(world) == []
    first.ack(make(2, 1))
    assert applied(world) == []
    second.ack(make(2, 1))
    assert applied(world) == ["/a", "/b"]
    assert not world.leader.prep.changes.made


def test_a_client_of_the_leader_is_answered_at_the_commit_and_goes_on() -> None:
    world, (first, _) = established()
    client = world.open()
    assert client.handshake() is None
    first.ack(make(2, 1))
    assert client.connect_response() is not None
    world.server.queues.outstanding_limit = 0
    client.send(
        encode_request(1, OpCode.CREATE, create_request("/a"))
        + encode_request(2, OpCode.CREATE, create_request("/b"))
    )
    assert world.log[-1] == make(2, 2)
    assert client.replies() == []
    first.ack(make(2, 2))
    assert [reply.zxid for reply in client.replies()] == [make(2, 2)]
    assert world.log[-1] == make(2, 3)
    first.ack(make(2, 3))
    assert [reply.zxid for reply in client.replies()] == [make(2, 3)]


def test_an_ack_does_not_outlive_the_link_it_came_on() -> None:
    world, (first, _) = established()
    world.is_disk_held = True
    own_create(world, "/a")
    own_create(world, "/b")
    first.ack(make(2, 1), make(2, 2))
    again = world.learner(2)
    again.info(accepted=2)
    again.ack_epoch(make(2, 2), packets.NOT_COUNTED)
    assert again.fresh()[1] == "TRUNC 0x100000001", "it gives up what it has acknowledged"
    world.sync()
    assert applied(world) == []
    again.ack_new_leader()
    again.ack(make(2, 1))
    assert applied(world) == ["/a"]


def test_an_ensemble_of_one_commits_what_its_disk_has() -> None:
    world = LeaderWorld(
        membership(1), database=database_of([new_session(make(1, 1))]), epochs=Epochs(1, 1)
    )
    world.is_disk_held = True
    own_create(world, "/a")
    assert applied(world) == []
    world.sync()
    assert applied(world) == ["/a"]


def test_every_committed_transaction_enters_the_committed_log() -> None:
    world, (first, _) = established()
    own_create(world, "/a")
    own_create(world, "/a")
    first.ack(make(2, 1), make(2, 2))
    log = world.database.committed
    assert log is not None
    assert list(log.zxids) == [make(1, 1), make(2, 1), make(2, 2)]
    assert log.payload(make(2, 1)) == first.packets[-4].data


def test_an_observer_hears_of_a_transaction_when_it_is_committed() -> None:
    _, (first, observer) = established(observers=1, joined=1)
    first.create("/a")
    assert observer.fresh() == []
    first.ack(make(2, 1))
    assert observer.fresh() == ["INFORM 0x200000001 create /a"]
    assert observer.packets[-1].data == first.packets[-2].data


def test_an_ack_of_what_was_never_proposed_ends_the_link() -> None:
    world, (first, second) = established()
    own_create(world, "/a")
    first.ack(make(2, 2))
    assert first.is_closed()
    assert not second.is_closed()
    assert not world.over()


def test_an_ack_of_what_is_committed_and_the_second_one_of_newleader_say_nothing_new() -> None:
    world, (first, second) = established()
    own_create(world, "/a")
    first.ack(make(2, 1))
    second.ack(make(2, 1), make(1, 1), make(2, 0))
    assert not second.is_closed()
    assert applied(world) == ["/a"]


def test_what_one_input_makes_leaves_as_one_piece() -> None:
    _, (first, second) = established()
    first.raw.clear()
    second.raw.clear()
    body = [create_request(f"/{n}").encode() for n in range(3)]
    first.send(
        *[
            packets.encode_request(
                packets.ForwardedRequest(SESSION, n, OpCode.CREATE, body[n], None)
            )
            for n in range(3)
        ]
    )
    assert len(second.raw) == 1
    assert len(second.fresh()) == 3
    first.ack(make(2, 1), make(2, 2), make(2, 3))
    assert len(second.raw) == 2
    assert second.fresh() == committed(1, 2, 3)


def test_what_was_proposed_and_not_committed_is_left_to_the_peer_in_order() -> None:
    world, (first, _) = established()
    own_create(world, "/a")
    own_create(world, "/b")
    own_create(world, "/c")
    first.ack(make(2, 1))
    world.leader.stop()
    assert [zxid for zxid, _ in world.leader.unapplied] == [make(2, 2), make(2, 3)]
    assert decode_txn(world.leader.unapplied[0][1]).header.zxid == make(2, 2)


# --- the counter ------------------------------------------------------------------------


def test_when_the_counter_runs_out_the_leader_finishes_and_steps_down() -> None:
    world, (first, _) = established()
    world.leader.prep.next_zxid = make(2, LAST_COUNTER - 1)
    world.leader.last_committed = world.leader.last_proposed = make(2, LAST_COUNTER - 2)
    world.leader._self_acked = make(2, LAST_COUNTER - 2)
    own_create(world, "/a")
    own_create(world, "/b")
    own_create(world, "/c")
    assert world.log == [make(2, LAST_COUNTER - 1), make(2, LAST_COUNTER)]
    first.ack(make(2, LAST_COUNTER - 1))
    assert not world.over()
    first.ack(make(2, LAST_COUNTER))
    assert "used up" in world.over()
    assert applied(world) == ["/a", "/b"]


# --- what learners ask for --------------------------------------------------------------


def test_a_request_of_a_learner_becomes_a_transaction_of_its_session() -> None:
    world, (first, second) = established()
    first.request(OpCode.CREATE_SESSION, CreateSessionTxn(5000).encode(), session=0x77, cxid=0)
    first.create("/a", session=0x77)
    txn = decode_txn(second.packets[-1].data or b"")
    assert (txn.header.client_id, txn.header.cxid) == (0x77, 1)
    assert second.fresh() == [
        "PROPOSAL 0x200000001 createSession",
        "PROPOSAL 0x200000002 create /a",
    ]
    assert world.server.sessions.sessions[0x77].timeout_ms == 5000


def test_a_request_that_cannot_be_read_is_answered_with_an_error_transaction() -> None:
    world, (first, second) = established()
    first.request(OpCode.CREATE, b"\xff")
    body = decode_txn(second.packets[-1].data or b"").body
    assert isinstance(body, ErrorTxn)
    assert body.err == ErrorCode.MARSHALLING_ERROR
    assert world.log == [make(2, 1)]


def test_a_session_that_has_moved_is_told_so() -> None:
    _, (first, second) = established()
    first.create("/a")
    second.create("/b")
    body = decode_txn(second.packets[-1].data or b"").body
    assert isinstance(body, ErrorTxn)
    assert body.err == ErrorCode.SESSION_MOVED
    second.send(packets.encode_revalidate(SESSION, 6000))
    second.create("/c")
    assert second.got[-1] == "PROPOSAL 0x200000003 create /c"


def test_revalidate_says_whether_a_session_lives() -> None:
    _, (first, _) = established()
    first.send(packets.encode_revalidate(SESSION, 6000))
    first.send(packets.encode_revalidate(UNKNOWN, 6000))
    assert first.fresh() == [f"REVALIDATE {SESSION:#x} valid", f"REVALIDATE {UNKNOWN:#x} gone"]


def test_the_answer_to_revalidate_comes_behind_the_commits() -> None:
    world, (first, _) = established()
    own_create(world, "/a")
    first.fresh()
    first.send(
        packets.encode_bare(packets.ACK, make(2, 1)), packets.encode_revalidate(SESSION, 6000)
    )
    assert first.fresh() == [*committed(1), f"REVALIDATE {SESSION:#x} valid"]


def test_the_answer_to_a_ping_keeps_sessions_alive() -> None:
    world, (first, _) = established()
    session = world.server.sessions.sessions[SESSION]
    before = session.bucket_ms
    world.beat(4, first)
    assert session.bucket_ms == before
    first.send(packets.encode_ping_reply(0, {SESSION: 6000, UNKNOWN: 1000}))
    assert session.bucket_ms > before


def test_an_unreadable_answer_to_a_ping_ends_the_link() -> None:
    _, (first, second) = established()
    first.send(packets.encode_packet(packets.PING, 0, bytes(13)))
    assert first.is_closed()
    assert not second.is_closed()


@pytest.mark.parametrize("kind", [packets.FOLLOWERINFO, packets.ACKEPOCH, packets.COMMIT])
def test_a_packet_that_has_no_place_in_the_broadcast_ends_the_link(kind: int) -> None:
    world, (first, second) = established()
    first.send(packets.encode_packet(kind, 0, bytes(20)))
    assert first.is_closed()
    assert not second.is_closed()
    assert not world.over()


# --- liveness ---------------------------------------------------------------------------


def test_learners_are_pinged_each_half_tick_with_what_was_proposed_last() -> None:
    world, (first, second) = established()
    own_create(world, "/a")
    world.beat(2, first, second)
    assert [each.zxid for each in first.packets[-2:]] == [make(2, 1), make(2, 1)]
    assert {each.type for each in first.packets[-2:]} == {packets.PING}
    assert first.packets[-1].data is None


def test_a_leader_whose_learners_are_silent_steps_down() -> None:
    world, learners = established(5, joined=3)
    world.beat(2 * SYNC_TICKS + 2, *learners[:2])
    assert learners[2].is_closed()
    assert not world.over()
    learners[1].link.lost("reset")
    assert not world.over()
    world.beat(2, learners[0])
    assert "lost its quorum" in world.over()


def test_observers_and_strangers_keep_no_leader_alive() -> None:
    world, (follower, *observers) = established(observers=2, joined=1)
    stranger = world.joined(9, accepted=1)
    follower.link.lost("reset")
    world.beat(2, *observers, stranger)
    assert "lost its quorum" in world.over()


def test_a_learner_that_is_being_synchronized_counts_for_a_while() -> None:
    world, (first,) = established(joined=1)
    first.link.lost("reset")
    again = world.learner(2)
    again.info(accepted=2)
    world.beat(2 * INIT_TICKS)
    assert not world.over()
    again.ack_epoch(make(1, 1), -1)
    world.beat(2 * SYNC_TICKS)
    assert not world.over()
    world.beat(2)
    assert "lost its quorum" in world.over()


def test_who_has_not_said_who_it_is_counts_for_nothing() -> None:
    world, (first,) = established(joined=1)
    first.link.lost("reset")
    world.learner(2)
    world.beat(2)
    assert "lost its quorum" in world.over()


def test_a_leader_that_stood_still_does_not_blame_its_learners() -> None:
    world, (first, second) = established()
    world.clock.now_ms += 100_000
    world.leader.wake()
    world.settle()
    world.beat(2 * SYNC_TICKS - 2)
    assert not first.is_closed()
    assert not world.over()
    world.beat(4, second)
    assert first.is_closed()


def test_a_follower_that_does_not_acknowledge_within_sync_limit_is_dropped() -> None:
    world, (first, second) = established()
    own_create(world, "/a")
    second.ack(make(2, 1))
    world.beat(2 * SYNC_TICKS - 1, first, second)
    assert not first.is_closed()
    world.beat(1, first, second)
    assert first.is_closed()
    assert not second.is_closed()


def test_a_follower_that_goes_on_acknowledging_is_only_behind() -> None:
    """Each ACK gives it syncLimit again; one that it has given already does not."""
    world, (first, second) = established()
    for number in range(1, 5):
        own_create(world, f"/{number}")
        second.ack(make(2, number))
    for number in range(1, 4):
        world.beat(2 * SYNC_TICKS - 1, first, second)
        first.ack(make(2, number))
    world.beat(1, first, second)
    first.ack(make(2, 3))
    world.beat(2 * SYNC_TICKS - 2, first, second)
    assert not first.is_closed()
    world.beat(1, first, second)
    assert first.is_closed()
    assert not second.is_closed()


def test_a_follower_that_keeps_up_is_kept() -> None:
    world, (first, second) = established()
    for number in range(1, 4 * SYNC_TICKS):
        own_create(world, f"/{number}")
        world.beat(1, first, second)
        for learner in (first, second):
            learner.ack(make(2, number))
    world.beat(2 * SYNC_TICKS, first, second)
    assert not first.is_closed()


def test_what_a_follower_got_before_uptodate_must_be_acknowledged_too() -> None:
    world, (first, second) = established(5, joined=2)
    own_create(world, "/a")
    late = world.learner(4)
    late.info(accepted=1)
    late.ack_epoch(make(1, 1), 1)
    late.ack_new_leader()
    for learner in (first, second):
        learner.ack(make(2, 1))
    world.beat(2 * SYNC_TICKS, first, second, late)
    assert late.is_closed()
    assert not first.is_closed()


def test_a_second_connection_of_a_learner_ends_the_first() -> None:
    world, (first, _) = established()
    again = world.learner(2)
    again.info(accepted=2)
    assert first.is_closed()
    assert [sid for sid, *_ in world.leader.learners()] == [3, 2]
    own_create(world, "/a")
    assert first.fresh() == []


# --- for people -------------------------------------------------------------------------


def test_the_learners_and_the_numbers_that_people_see() -> None:
    world, (first, _, observer) = established(observers=1)
    world.joined(9, accepted=1)
    world.learner(3).info(accepted=2)
    world.learner(8)
    own_create(world, "/a")
    own_create(world, "/a")
    first.ack(make(2, 1))
    world.beat(2, first, observer)
    sync(first)
    assert sorted(world.leader.learners()) == [
        (2, "server-2", False, True, make(2, 1), 0),
        (3, "server-3", False, False, 0, 0),
        (4, "server-4", True, True, 0, 0),
        (9, "server-9", False, True, 0, 0),
    ]
    size = struct.calcsize(">qiqqi")
    assert world.leader.gauges() == {
        "learners": 5,
        "synced_followers": 1,
        "synced_non_voting_followers": 1,
        "synced_observers": 1,
        "pending_syncs": 1,
        "leader_uptime": 100,
        "last_proposal_size": size + 4,
        "min_proposal_size": size + 4,
        "max_proposal_size": len(create(0, "/a")) + 12,
    }


def test_proposals_commits_and_synchronizations_are_counted() -> None:
    world, (first, _, observer) = established(observers=1)
    own_create(world, "/a")
    own_create(world, "/b")
    first.ack(make(2, 1))
    empty = world.learner(9)
    empty.info(accepted=1)
    empty.ack_epoch()
    metrics = world.server.metrics
    assert (metrics.proposal_count, metrics.commit_count) == (2, 1)
    assert (metrics.diff_count, metrics.snap_count) == (3, 1)
    assert not observer.is_closed()
