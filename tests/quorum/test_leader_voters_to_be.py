"""Who cannot be elected yet has nothing that a quorum of those lacks that can."""

from __future__ import annotations

import attrs

from pyzk.constants import OpCode
from pyzk.quorum.epochs import Epochs
from pyzk.zxid import make
from tests.quorum.leader_world import LeaderWorld, Learner, membership
from tests.quorum.reconfig_world import ReconfigWorld, line, numbered, reconfig
from tests.transactions import database_of, new_session


def kinds(learner: Learner) -> list[str]:
    """What has come since this was asked last: the packet, and the zxid within its epoch."""
    found = []
    for text in learner.fresh():
        kind, *rest = text.split()
        found.append(f"{kind} {int(rest[0], 16) & 0xFFFF}" if rest else kind)
    return found


# --- a change -------------------------------------------------------------------------


def test_a_voter_to_be_hears_of_the_change_when_a_quorum_in_force_has_it() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    four, five = (world.joined(sid, accepted=1) for sid in (4, 5))
    for learner in (two, three, four, five):
        learner.fresh()
    reconfig(three, f"{line(4)},{line(5)}", "2,3")
    two.create("/behind")
    assert kinds(three) == ["PROPOSAL 1", "PROPOSAL 2"]
    assert kinds(four) == kinds(five) == []
    two.ack(make(2, 1))
    assert kinds(four) == kinds(five) == ["PROPOSAL 1"]
    three.ack(make(2, 1), make(2, 2))
    assert kinds(four) == kinds(five) == ["PROPOSAL 2"]


def test_the_disk_of_a_leader_that_votes_alone_is_such_a_quorum() -> None:
    """It would find nobody who follows it, if it were killed with less than they have."""
    world = ReconfigWorld(numbered(membership(1), 5))
    two, three = (world.joined(sid, accepted=1) for sid in (2, 3))
    for learner in (two, three):
        learner.fresh()
    world.is_disk_held = True
    reconfig(two, f"{line(2)},{line(3)}")
    two.create("/behind")
    assert kinds(two) == kinds(three) == []
    world.sync()
    assert kinds(two) == kinds(three) == ["PROPOSAL 1", "PROPOSAL 2"]


def test_what_was_proposed_ahead_of_the_change_is_not_kept_back() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    four = world.joined(4, accepted=1)
    four.fresh()
    world.is_disk_held = True
    two.create("/before")
    reconfig(two, line(4))
    assert kinds(four) == ["PROPOSAL 1"]
    two.ack(make(2, 1))
    three.ack(make(2, 1))
    assert kinds(four) == ["COMMIT 1"]


def test_the_news_that_the_change_is_in_force_stands_ahead_of_what_was_kept_back() -> None:
    """Who has a write that no quorum of the configuration before has knows that it is over."""
    world = ReconfigWorld()
    two, _ = world.with_learners(2, 3)
    four, five = (world.joined(sid, accepted=1) for sid in (4, 5))
    for learner in (two, four, five):
        learner.fresh()
    reconfig(two, f"{line(4)},{line(5)}", "2,3")
    two.create("/behind")
    two.ack(make(2, 1))
    assert kinds(four) == ["PROPOSAL 1"]
    four.ack(make(2, 1))
    assert kinds(four) == ["COMMITANDACTIVATE 1", "PROPOSAL 2"]
    assert kinds(two) == ["PROPOSAL 1", "PROPOSAL 2", "COMMITANDACTIVATE 1"]
    four.create("/later")
    assert kinds(four) == kinds(two) == ["PROPOSAL 3"], "nobody waits any more"
    four.ack_all()
    assert kinds(four) == kinds(two) == ["COMMIT 2", "COMMIT 3"]


def test_what_one_acknowledgement_commits_comes_in_order() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    four = world.joined(4, accepted=1)
    four.fresh()
    two.create("/before")
    reconfig(two, None, "3")
    two.create("/behind")
    two.fresh()
    four.request(OpCode.SYNC, b"")
    two.ack_all()
    assert kinds(four) == ["PROPOSAL 1", "PROPOSAL 2", "PROPOSAL 3", *kinds(two), "SYNC 0"]
    assert not three.is_closed()


def test_a_sync_of_a_voter_to_be_stands_behind_the_commits() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    four, _ = (world.joined(sid, accepted=1) for sid in (4, 5))
    four.fresh()
    two.create("/before")
    reconfig(two, f"{line(4)},{line(5)}", "2,3")
    two.create("/behind")
    four.request(OpCode.SYNC, b"")
    two.ack(make(2, 1), make(2, 2))
    three.ack(make(2, 1), make(2, 2), make(2, 3))
    assert kinds(four) == ["PROPOSAL 1", "COMMIT 1", "PROPOSAL 2", "PROPOSAL 3"]
    four.ack(make(2, 2))
    assert kinds(four) == ["COMMITANDACTIVATE 2"]
    four.ack(make(2, 3))
    assert kinds(four) == ["COMMIT 3", "SYNC 0"]


def test_who_comes_while_a_change_is_under_way_gets_as_much_as_the_others() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    four, _ = (world.joined(sid, accepted=1) for sid in (4, 5))
    reconfig(two, f"{line(4)},{line(5)}", "2,3")
    two.create("/behind")
    two.ack(make(2, 1))
    four.link.lost("gone")
    again = world.late(4)
    again.ack_new_leader()
    assert kinds(again)[-3:] == ["NEWLEADER 0", "UPTODATE", "PROPOSAL 1"]
    three.ack(make(2, 1), make(2, 2))
    assert kinds(again) == ["PROPOSAL 2"]
    again.ack(make(2, 1))
    assert kinds(again) == ["COMMITANDACTIVATE 1"]


def test_who_goes_while_a_change_is_under_way_is_sent_nothing_more() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    four = world.joined(4, accepted=1)
    reconfig(two, line(4), "3")
    four.link.lost("gone")
    four.fresh()
    two.ack_all()
    three.ack_all()
    assert four.fresh() == []
    assert world.leader.last_committed == make(2, 1)


def test_a_voter_without_a_weight_cannot_be_elected_either() -> None:
    groups = ((1, (1, 2, 3)),)
    members = attrs.evolve(membership(), version=5, groups=groups, weights=((3, 0),))
    world = ReconfigWorld(members)
    two, three = world.with_learners(2, 3)
    for learner in (two, three):
        learner.fresh()
    text = "\n".join([line(1), line(2), line(3), "group.1=1:2:3", "weight.3=1"])
    reconfig(two, members=text)
    assert kinds(two) == ["PROPOSAL 1"]
    assert kinds(three) == []
    two.ack(make(2, 1))
    assert kinds(three) == ["PROPOSAL 1", "COMMITANDACTIVATE 1"]


# --- a new leader ---------------------------------------------------------------------


def completing() -> tuple[LeaderWorld, list[Learner]]:
    """Return a leader that finds a change which adds servers 4 and 5, and learners that follow it
    and have not been synchronized; its own disk has the epoch."""
    present = numbered(membership(3), 5)
    database = database_of([new_session(make(1, 1))])
    world = LeaderWorld(
        present,
        database=database,
        epochs=Epochs(1, 1),
        last_seen=numbered(membership(5), 6),
        reconfig_enabled=True,
    )
    learners = [world.learner(sid) for sid in (2, 4, 5)]
    for learner in learners:
        learner.info(accepted=1)
    for learner in learners:
        learner.ack_epoch(make(1, 1), 1)
    return world, learners


def test_a_new_leader_synchronizes_first_who_can_be_elected() -> None:
    """Else a voter-to-be could be the first to acknowledge the epoch, or the only one with a write;
    if this leader then dies for good, it follows nobody who can be elected."""
    world, (two, four, five) = completing()
    assert kinds(two) == ["LEADERINFO 0", "DIFF 1", "NEWLEADER 0"]
    assert kinds(four) == kinds(five) == ["LEADERINFO 0"]
    two.ack_new_leader()
    assert kinds(four) == kinds(five) == ["DIFF 1", "NEWLEADER 0"]
    assert not world.is_serving()
    four.ack_new_leader()
    assert world.is_serving()
    six = world.learner(6)
    six.info(accepted=1)
    six.ack_epoch(make(1, 1), 1)
    assert kinds(six)[-1] == "NEWLEADER 0", "nobody waits for an established leader"


def test_who_has_gone_while_it_waited_is_not_synchronized() -> None:
    world, (two, four, five) = completing()
    four.link.lost("gone")
    two.ack_new_leader()
    assert kinds(four) == ["LEADERINFO 0"]
    assert kinds(five)[-1] == "NEWLEADER 0"
    assert not world.over()


def test_who_comes_late_to_a_new_leader_waits_too() -> None:
    world, (two, *_) = completing()
    six = world.learner(6, is_observer=True)
    six.info(accepted=1)
    six.ack_epoch(make(1, 1), 1)
    assert kinds(six) == ["LEADERINFO 0"]
    two.ack_new_leader()
    assert kinds(six) == ["DIFF 1", "NEWLEADER 0"]


def test_nobody_waits_where_the_configuration_never_changes() -> None:
    world = LeaderWorld(membership(3, 1), epochs=Epochs(1, 1))
    learners = [world.learner(2), world.learner(4, is_observer=True)]
    for learner in learners:
        learner.info(accepted=1)
    for learner in learners:
        learner.ack_epoch(0, 1)
    assert [kinds(each)[-1] for each in learners] == ["NEWLEADER 0"] * 2
