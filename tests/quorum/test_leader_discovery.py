"""From the election to the new epoch: who is counted, what is on disk before it is said."""

from __future__ import annotations

import pytest

from pyzk.constants import OpCode
from pyzk.errors import QuorumProtocolError
from pyzk.jute.records import CreateTxn, TxnHeader
from pyzk.quorum import packets
from pyzk.quorum.commands import ListenForLearners, StopListening
from pyzk.quorum.epochs import ACCEPTED, CURRENT, MAX_EPOCH, MAX_LEAP, Epochs
from pyzk.quorum.learner_handler import STRANGERS
from pyzk.quorum.proposals import AckTally, EpochAcks, NewEpoch
from pyzk.quorum.verifier import QuorumHierarchical, QuorumMaj
from pyzk.server.outbox import TakeSnapshot
from pyzk.zxid import make
from tests.frames import OPEN
from tests.quorum.leader_world import INIT_TICKS, LeaderWorld, membership
from tests.transactions import create, database_of, new_session


def test_a_leader_listens_before_anything_else() -> None:
    world = LeaderWorld()
    assert isinstance(world.commands[0], ListenForLearners)
    assert world.saved == []


def test_what_an_earlier_role_has_left_unfinished_is_nothing_to_commit() -> None:
    """A member that goes over to leading without an election is asked to go on at once."""
    world = LeaderWorld()
    world.leader.go_on()
    world.learner(2).info()
    assert world.leader.epoch == 1


def test_the_new_epoch_is_above_all_that_a_quorum_has_accepted() -> None:
    world = LeaderWorld(epochs=Epochs(3, 3))
    world.learner(2).info(accepted=7)
    assert world.leader.epoch == 8
    assert world.saved == [(ACCEPTED, 8)]


def test_leaderinfo_is_sent_when_the_epoch_is_on_disk_not_before() -> None:
    world = LeaderWorld()
    world.is_disk_held = True
    learner = world.learner(2)
    learner.info()
    late = world.learner(3)
    late.info()
    assert learner.got == late.got == []
    world.answer()
    assert learner.got == late.got == ["LEADERINFO 0x100000000 epoch=1"]
    assert learner.packets[0].data == b"\x00\x01\x00\x00"
    assert world.member.epochs.accepted == 1


def test_an_observer_raises_the_epoch_and_makes_no_quorum() -> None:
    world = LeaderWorld(membership(3, 1))
    observer = world.learner(4, is_observer=True)
    observer.info(accepted=9)
    assert world.leader.epoch == -1
    world.learner(2).info()
    assert world.leader.epoch == 10
    assert observer.got == ["LEADERINFO 0xa00000000 epoch=10"]


def test_a_stranger_may_follow_and_makes_no_quorum() -> None:
    world = LeaderWorld()
    stranger = world.learner(9)
    stranger.info()
    assert world.leader.epoch == -1
    world.learner(3).info()
    assert stranger.got == ["LEADERINFO 0x100000000 epoch=1"]


def test_one_voter_that_connects_twice_is_one_voter() -> None:
    world = LeaderWorld(membership(5))
    first = world.learner(2)
    first.info()
    second = world.learner(2)
    second.info()
    assert first.is_closed()
    assert not second.is_closed()
    assert world.leader.epoch == -1


def test_a_voter_that_has_gone_again_was_counted() -> None:
    world = LeaderWorld(membership(5))
    first = world.learner(2)
    first.info(accepted=4)
    first.link.lost("reset")
    world.learner(3).info()
    assert world.leader.epoch == 5


def test_an_ensemble_of_one_needs_nobody() -> None:
    world = LeaderWorld(membership(1))
    assert world.saved == [(ACCEPTED, 1), (CURRENT, 1)]
    assert world.is_serving()
    assert world.database.last_zxid == make(1, 0)


def test_without_a_quorum_the_role_ends_after_init_limit() -> None:
    world = LeaderWorld()
    world.beat(2 * INIT_TICKS - 1)
    assert not world.over()
    world.beat()
    assert "no quorum has connected" in world.over()


def test_the_wait_for_acks_of_the_epoch_has_its_own_limit() -> None:
    world = LeaderWorld()
    world.beat(2 * INIT_TICKS - 1)
    learner = world.learner(2)
    learner.info()
    world.beat(2 * INIT_TICKS - 1)
    assert not world.over()
    world.beat()
    assert "acknowledged the epoch" in world.over()


def test_the_disk_may_take_longer_than_init_limit() -> None:
    world = LeaderWorld()
    world.is_disk_held = True
    learner = world.learner(2)
    learner.info()
    world.beat(2 * INIT_TICKS + 5)
    assert not world.over()


@pytest.mark.parametrize("limit", [-1, 300])
def test_a_voter_that_looks_ends_a_leader_that_has_waited_long_for_its_quorum(limit: int) -> None:
    world = LeaderWorld(max_time_to_wait_for_epoch_ms=limit)
    world.leader.looking(2)
    world.beat(6)
    world.leader.looking(9)
    assert not world.over()
    world.leader.looking(2)
    assert (not world.over()) == (limit < 0)


def test_a_leader_that_has_its_epoch_does_not_mind_who_looks() -> None:
    world = LeaderWorld(max_time_to_wait_for_epoch_ms=0)
    world.learner(2).info()
    world.leader.looking(3)
    assert not world.over()


# --- ACKEPOCH ---------------------------------------------------------------------------


def test_the_current_epoch_is_stored_when_a_quorum_has_acknowledged_and_before_newleader() -> None:
    world = LeaderWorld()
    learner = world.learner(2)
    learner.info()
    assert world.saved == [(ACCEPTED, 1)]
    world.is_disk_held = True
    learner.ack_epoch()
    assert world.saved == [(ACCEPTED, 1), (CURRENT, 1)]
    assert learner.fresh() == ["LEADERINFO 0x100000000 epoch=1"]
    world.answer()
    assert learner.fresh() == ["DIFF 0x0", "NEWLEADER 0x100000000 version=0"]


@pytest.mark.parametrize(
    ("zxid", "epoch", "is_ahead"),
    [
        (make(2, 5), 2, False),
        (make(2, 6), 2, True),
        (make(1, 9), 2, False),
        (make(1, 1), 3, True),
        (make(2, 6), 3, True),
        (make(2, 9), 1, False),
    ],
)
def test_a_learner_that_is_ahead_is_dropped(zxid: int, epoch: int, is_ahead: bool) -> None:
    database = database_of([create(make(2, 5), "/a")])
    world = LeaderWorld(epochs=Epochs(2, 2), database=database)
    learner = world.learner(2)
    learner.info(accepted=2)
    learner.ack_epoch(zxid, epoch)
    assert learner.is_closed() == is_ahead
    assert ((CURRENT, 3) in world.saved) != is_ahead
    assert not world.over()


def test_who_has_nothing_more_than_the_leader_is_not_ahead_whatever_its_epoch_is() -> None:
    """The leader of epoch 3 brought it this far, and died before it had written anything."""
    database = database_of([create(make(2, 5), "/a")])
    world = LeaderWorld(epochs=Epochs(3, 2), database=database)
    learner = world.learner(2)
    learner.info(accepted=3)
    learner.ack_epoch(make(2, 5), 3)
    assert (CURRENT, 4) in world.saved
    assert learner.fresh()[1:] == ["DIFF 0x200000005", "NEWLEADER 0x400000000 version=0"]


def test_a_learner_that_had_accepted_the_epoch_before_is_not_counted() -> None:
    world = LeaderWorld()
    learner = world.learner(2)
    learner.info()
    learner.ack_epoch(0, packets.NOT_COUNTED)
    assert world.saved == [(ACCEPTED, 1)]
    assert not learner.is_closed()
    other = world.learner(3)
    other.info()
    other.ack_epoch()
    assert world.saved == [(ACCEPTED, 1), (CURRENT, 1)]
    assert "NEWLEADER 0x100000000 version=0" in learner.got


def test_who_comes_while_the_current_epoch_is_being_stored_waits_for_it() -> None:
    world = LeaderWorld()
    first, late = world.learner(2), world.learner(3)
    first.info()
    late.info()
    world.is_disk_held = True
    first.ack_epoch()
    late.ack_epoch()
    assert late.fresh() == ["LEADERINFO 0x100000000 epoch=1"]
    world.answer()
    assert late.fresh() == ["DIFF 0x0", "NEWLEADER 0x100000000 version=0"]


def test_a_voter_that_comes_as_an_observer_makes_no_quorum() -> None:
    world = LeaderWorld()
    observer = world.learner(2, is_observer=True)
    observer.info()
    assert world.leader.epoch == -1
    world.learner(3).info()
    observer.ack_epoch()
    assert world.saved == [(ACCEPTED, 1)]


def test_an_observer_and_a_server_without_data_acknowledge_for_nobody() -> None:
    world = LeaderWorld(membership(3, 1))
    observer = world.learner(4, is_observer=True)
    observer.info()
    empty = world.learner(2)
    empty.info()
    observer.ack_epoch()
    empty.ack_epoch(zxid=-1)
    assert world.saved == [(ACCEPTED, 1)]


def test_who_is_ahead_after_the_quorum_has_decided_is_synchronized() -> None:
    database = database_of([create(make(1, 1), "/a")])
    world = LeaderWorld(epochs=Epochs(1, 1), database=database)
    world.joined(2, accepted=1)
    late = world.learner(3)
    late.info(accepted=1)
    late.ack_epoch(make(1, 4), 1)
    assert late.fresh()[1:3] == ["TRUNC 0x100000001", "NEWLEADER 0x200000000 version=0"]


# --- who is refused ---------------------------------------------------------------------


def refused(world: LeaderWorld, data: bytes) -> bool:
    learner = world.learner(2)
    learner.send(data)
    return learner.is_closed()


def test_a_learner_with_this_server_s_id_is_refused() -> None:
    world = LeaderWorld(membership(5))
    assert refused(world, packets.encode_learner_info(1, 0, 0))
    assert not world.over()


def test_a_learner_of_a_protocol_without_leaderinfo_is_refused() -> None:
    data = (2).to_bytes(8, "big")
    assert refused(LeaderWorld(), packets.encode_packet(packets.FOLLOWERINFO, 0, data))


@pytest.mark.parametrize("accepted", [MAX_EPOCH, -1])
def test_an_epoch_that_leaves_no_other_is_refused(accepted: int) -> None:
    world = LeaderWorld(epochs=Epochs(MAX_EPOCH - 2, 1))
    learner = world.learner(2)
    learner.info(accepted)
    assert learner.is_closed()
    assert world.leader.epoch == -1
    learner = world.learner(2)
    learner.info(MAX_EPOCH - 1)
    assert world.leader.epoch == MAX_EPOCH


@pytest.mark.parametrize("is_observer", [False, True])
def test_an_epoch_that_no_elections_lead_to_is_not_believed(is_observer: bool) -> None:
    world = LeaderWorld(epochs=Epochs(7, 7))
    liar = world.learner(2, is_observer=is_observer)
    liar.info(7 + MAX_LEAP + 1)
    assert liar.is_closed()
    assert world.leader.epoch == -1
    world.learner(2).info(7 + MAX_LEAP)
    assert world.leader.epoch == 7 + MAX_LEAP + 1


def test_a_leader_that_has_accepted_the_last_epoch_ends_at_once() -> None:
    world = LeaderWorld(epochs=Epochs(MAX_EPOCH, 1))
    assert world.over()


ORDER = [
    packets.encode_learner_info(2, 0, 0),
    packets.encode_ack_epoch(0, 0),
    packets.encode_bare(packets.ACK, make(1, 0)),
]


@pytest.mark.parametrize("done", range(3))
@pytest.mark.parametrize("kind", range(packets.FIRST_TYPE, packets.LAST_TYPE + 1))
def test_a_packet_that_its_phase_does_not_know_ends_this_link_only(done: int, kind: int) -> None:
    allowed = (
        {packets.FOLLOWERINFO, packets.OBSERVERINFO},
        {packets.ACKEPOCH},
        {packets.ACK, packets.PING},
    )[done]
    if kind in allowed:
        return
    world = LeaderWorld()
    learner = world.learner(2)
    for data in ORDER[:done]:
        learner.send(data)
    other = world.learner(3)
    learner.send(packets.encode_packet(kind, 0, bytes(40)))
    assert learner.is_closed()
    assert not other.is_closed()
    assert not world.over()
    assert [each[0] for each in world.leader.learners()] == []


def test_nothing_is_expected_while_a_learner_waits_for_the_epoch() -> None:
    world = LeaderWorld()
    learner = world.learner(9)
    learner.info()
    learner.ack_epoch()
    assert learner.is_closed()


def test_bytes_that_are_no_packet_end_the_link() -> None:
    world = LeaderWorld()
    learner = world.learner(2)
    learner.send(b"\x16\x03\x01\x00\x01")
    assert learner.is_closed()


def test_of_too_many_links_that_say_nothing_the_oldest_ends() -> None:
    """So they cannot keep a learner out, which says at once who it is."""
    world = LeaderWorld(membership(5))
    strangers = [world.learner(9) for _ in range(STRANGERS)]
    strangers[0].sid = 2
    strangers[0].info()
    strangers.append(world.learner(9))
    assert not any(stranger.is_closed() for stranger in strangers)
    mate = world.learner(3)
    assert [stranger.is_closed() for stranger in strangers[:3]] == [False, True, False]
    mate.info()
    assert mate.fresh() == ["LEADERINFO 0x100000000 epoch=1"]
    assert not any(stranger.is_closed() for stranger in strangers[2:])


def test_a_link_that_says_nothing_ends_after_init_limit() -> None:
    world = LeaderWorld()
    mate = world.joined(2)
    silent = world.learner(3)
    slow = world.learner(3)
    slow.info()
    world.beat(2 * INIT_TICKS, mate)
    assert not silent.is_closed()
    assert not slow.is_closed()
    world.beat(1, mate)
    assert silent.is_closed()
    assert slow.is_closed()


# --- a voter that can never follow ------------------------------------------------------


def test_a_leader_outranked_by_a_voter_accepts_its_epoch_and_steps_down() -> None:
    world = LeaderWorld()
    world.joined(2)
    assert world.is_serving()
    world.is_disk_held = True
    voter = world.learner(3)
    voter.info(accepted=5)
    assert not world.over()
    assert world.saved[-1] == (ACCEPTED, 5)
    world.answer()
    assert world.over()
    assert world.member.epochs.accepted == 5
    again = LeaderWorld(epochs=world.member.epochs)
    again.learner(2).info(accepted=1)
    assert again.leader.epoch == 6


@pytest.mark.parametrize("moment", ["epoch", "current"])
def test_an_outranked_leader_steps_down_after_what_it_is_storing(moment: str) -> None:
    world = LeaderWorld()
    first = world.learner(2)
    world.is_disk_held = moment == "epoch"
    first.info()
    if moment == "current":
        world.is_disk_held = True
        first.ack_epoch()
    world.learner(3).info(accepted=5)
    assert (ACCEPTED, 5) not in world.saved
    world.answer()
    assert not world.over()
    assert world.saved[-1] == (ACCEPTED, 5)
    world.answer()
    assert world.over()


def test_an_outranked_leader_does_not_become_established() -> None:
    world = LeaderWorld()
    first = world.learner(2)
    first.info()
    world.is_disk_held = True
    world.learner(3).info(accepted=5)
    first.ack_epoch()
    assert (CURRENT, 1) not in world.saved
    world.answer()
    assert world.over()


def test_a_voter_with_the_last_epoch_of_all_is_refused() -> None:
    world = LeaderWorld()
    world.joined(2)
    voter = world.learner(3)
    voter.info(accepted=MAX_EPOCH)
    assert voter.is_closed()
    assert (ACCEPTED, MAX_EPOCH) not in world.saved


def test_a_leader_does_not_step_down_for_an_epoch_that_no_elections_lead_to() -> None:
    world = LeaderWorld()
    world.joined(2)
    voter = world.learner(3)
    voter.info(accepted=world.leader.epoch + MAX_LEAP + 1)
    assert voter.is_closed()
    assert not world.over()
    voter = world.learner(3)
    voter.info(accepted=world.leader.epoch + MAX_LEAP)
    assert world.over()


@pytest.mark.parametrize(("sid", "is_observer"), [(4, True), (9, False)])
def test_who_has_no_vote_and_a_later_epoch_is_refused(sid: int, is_observer: bool) -> None:
    world = LeaderWorld(membership(3, 1))
    world.joined(2)
    learner = world.learner(sid, is_observer=is_observer)
    learner.info(accepted=5)
    assert learner.is_closed()
    assert not world.over()


def test_the_same_epoch_is_no_later_one() -> None:
    world = LeaderWorld()
    world.joined(2)
    again = world.learner(3)
    again.info(accepted=1)
    assert again.fresh() == ["LEADERINFO 0x100000000 epoch=1"]


# --- the end ----------------------------------------------------------------------------


def test_stop_closes_the_port_and_every_link() -> None:
    world = LeaderWorld()
    learner = world.joined(2)
    stranger = world.learner(3)
    world.leader.stop()
    world.leader.stop()
    assert not world.is_serving()
    world.settle()
    assert isinstance(world.commands[-1], StopListening)
    assert sum(isinstance(each, StopListening) for each in world.commands) == 1
    assert learner.is_closed()
    assert stranger.is_closed()
    assert world.leader.link_accepted("late") is None


def test_what_comes_after_the_end_is_ignored() -> None:
    world = LeaderWorld()
    learner = world.learner(2)
    world.is_disk_held = True
    learner.info()
    active = LeaderWorld()
    follower = active.joined(2)
    follower.create("/a")
    active.leader.over = world.leader.over = "a test says so"
    follower.ack(make(1, 1))
    assert "COMMIT 0x100000001" not in follower.got
    world.answer()
    learner.ack_epoch()
    world.beat()
    world.leader.log_read(77, None)
    assert learner.got == []
    world.leader.stop()


def test_ephemerals_of_dead_sessions_go_before_anybody_is_synchronized() -> None:
    database = database_of([new_session(make(1, 1), 5), create(make(1, 2), "/keep")])
    header = TxnHeader(0x78, 1, make(1, 3), 0, OpCode.CREATE)
    database.tree.apply(header, CreateTxn("/dead", b"", OPEN, True, -1))
    database.tree.last_zxid = make(1, 3)
    world = LeaderWorld(database=database, epochs=Epochs(1, 1))
    assert "/dead" not in database.tree.nodes
    assert "/keep" in database.tree.nodes
    assert isinstance(world.commands[1], TakeSnapshot)


# --- the counting alone -----------------------------------------------------------------


def test_a_tally_asks_the_verifier_and_remembers() -> None:
    tally = AckTally([QuorumHierarchical((1, 2, 3, 4, 5), groups={1: (1, 2, 3), 2: (4,), 3: (5,)})])
    bits = [tally.bit(sid) for sid in (1, 2, 3, 4, 5)]
    assert tally.bit(9) == 0
    for _ in range(2):
        assert not tally.is_quorum(bits[0] | bits[1] | bits[2])
        assert not tally.is_quorum(bits[0] | bits[3])
        assert tally.is_quorum(bits[0] | bits[1] | bits[3])
        assert tally.is_quorum(bits[3] | bits[4])


def test_a_tally_of_two_configurations_needs_a_quorum_of_each() -> None:
    tally = AckTally([QuorumMaj((1, 2, 3)), QuorumMaj((3, 4, 5))])
    assert not tally.is_quorum(tally.bit(1) | tally.bit(2) | tally.bit(3))
    assert tally.is_quorum(tally.bit(1) | tally.bit(3) | tally.bit(4))


def test_the_candidate_never_goes_down() -> None:
    epoch = NewEpoch(AckTally([QuorumMaj((1, 2, 3))]))
    epoch.add(1, 1, 4)
    epoch.add(2, 2, 1)
    assert (epoch.candidate, epoch.is_settled) == (5, True)


def test_an_ack_ahead_is_told_by_name() -> None:
    acks = EpochAcks(AckTally([QuorumMaj((1, 2, 3))]), 1, make(1, 1))
    with pytest.raises(QuorumProtocolError, match="server 2 is ahead"):
        acks.add(2, 2, 1, make(1, 2))
    assert not acks.acked
