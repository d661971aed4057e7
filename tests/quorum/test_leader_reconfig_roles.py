"""Who leads after a change; learners that come meanwhile; what a new leader completes."""

from __future__ import annotations

from typing import Any

import pytest

from pyzk.config.members import config_text, parse_membership
from pyzk.constants import OpCode
from pyzk.data.paths import CONFIG
from pyzk.quorum import packets
from pyzk.quorum.commands import ListenForLearners, SaveConfig, SaveEpoch
from pyzk.zxid import make
from tests.quorum.leader_world import SYNC_TICKS, LeaderWorld, Learner, membership
from tests.quorum.reconfig_world import ReconfigWorld, line, numbered, reconfig

# --- who leads then -------------------------------------------------------------------


def committed(world: ReconfigWorld, asker: Learner, *acks: Learner, **request: Any) -> int:
    """Ask for a change, and have it acknowledged; returns who leads then."""
    reconfig(asker, **request)
    zxid = world.leader.last_proposed
    for learner in acks:
        learner.ack(zxid)
    assert world.leader.last_committed >= zxid
    for packet in asker.packets:
        if packet.type == packets.COMMITANDACTIVATE and packet.zxid == zxid:
            return packets.designated_leader(packet)
    raise AssertionError(asker.got)


def test_a_leader_that_stays_where_it_is_goes_on() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    moved = line(1).replace(":2011:", ":3011:").replace(":2012", ":3012")
    assert committed(world, two, two, three, joining=moved) == 1
    two.create("/x")
    two.ack_all()
    assert world.leader.last_committed == world.leader.last_proposed


def test_a_name_of_the_same_address_is_no_move() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    named = line(1).replace("127.0.0.1", "LOCALHOST")
    assert committed(world, two, two, three, joining=named) == 1


def test_a_leader_that_moves_and_has_nobody_to_replace_it_listens_where_it_is_now() -> None:
    """Its learners would dial the new address for ever."""
    world = ReconfigWorld(
        numbered(membership(1, observers=1), 5), config={"standalone_enabled": False}
    )
    (two,) = world.with_learners(observers=(2,))
    reconfig(two, joining=line(1, port=4000))
    world.settle()
    assert world.leader.last_committed == world.leader.last_proposed
    listens = [each for each in world.commands if isinstance(each, ListenForLearners)]
    assert [each.server.addresses[0].quorum_port for each in listens] == [2010, 4000]
    assert not world.over()


@pytest.mark.parametrize(
    "request_",
    [
        {"leaving": "1"},
        {"joining": line(1, "observer")},
        {"joining": line(1, port=4000)},
    ],
    ids=["removes itself", "becomes an observer", "moves"],
)
def test_a_leader_that_is_replaced_commits_nothing_more(request_: dict[str, str]) -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    assert committed(world, two, two, three, **request_) == 2
    zxid = world.leader.last_committed
    two.create("/x")
    assert world.leader.last_proposed == zxid, "nothing is proposed"
    two.fresh()
    two.request(OpCode.SYNC, b"")
    assert two.fresh() == ["SYNC 0x0"], "everything proposed is committed"
    world.beat(1, two, three)
    assert not world.over()
    assert two.got[-1].startswith("PING")
    late = world.learner(4)
    late.info(accepted=1)
    assert late.is_closed()
    two.link.lost("it follows server 2")
    three.link.lost("it follows server 2")
    world.beat(2)
    assert world.over() == "it has lost its quorum"


def test_what_is_proposed_behind_is_not_committed_by_a_leader_that_is_replaced() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    reconfig(two, leaving="1")
    change = world.leader.last_proposed
    two.create("/behind")
    two.request(OpCode.SYNC, b"")
    two.fresh()
    three.ack(change, change + 1)
    two.ack(change, change + 1)
    assert world.leader.last_committed == change
    assert [text.split()[0] for text in two.fresh()] == ["COMMITANDACTIVATE"], "and no SYNC"
    world.leader.stop()
    assert [zxid for zxid, _ in world.leader.unapplied] == [change + 1]


def test_a_leader_that_is_replaced_ends_though_learners_stay() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    committed(world, two, two, three, joining=line(1, port=4000))
    world.beat(2 * SYNC_TICKS - 1, two, three)
    assert not world.over()
    world.beat(2, two, three)
    assert world.over() == "another server was made the leader"


def test_who_has_acknowledged_most_is_to_lead() -> None:
    world = ReconfigWorld(numbered(membership(5), 5))
    two, three, four, five = world.with_learners(2, 3, 4, 5)
    reconfig(two, leaving="1")
    change = world.leader.last_proposed
    for path in ("/a", "/b"):
        two.create(path)
    five.ack(change, change + 1, change + 2)
    four.ack(change, change + 1)
    two.ack(change + 2)
    three.ack(change)
    assert world.leader.last_committed == change
    leads = [
        packets.designated_leader(packet)
        for packet in two.packets
        if packet.type == packets.COMMITANDACTIVATE
    ]
    assert leads == [5]


def test_who_has_not_acknowledged_the_change_is_not_to_lead() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    four = world.joined(4, accepted=1)
    assert committed(world, two, three, four, joining=line(4), leaving="1") == 3


# --- learners that come meanwhile -----------------------------------------------------


def test_a_learner_that_comes_meanwhile_is_told_of_the_change_behind_uptodate() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    two.create("/before")
    reconfig(two, None, "3")
    two.create("/behind")
    three.link.lost("gone")
    again = world.late(3)
    change = make(2, 2)
    said = [text.split()[0] for text in again.fresh()]
    assert said == ["LEADERINFO", "DIFF", "PROPOSAL", "NEWLEADER"]
    new_leader = [p for p in again.packets if p.type == packets.NEWLEADER][-1]
    assert parse_membership(new_leader.data or b"").version == 5, "what is in force"
    again.ack(make(2, 1))
    assert world.leader.last_committed == make(2, 1)
    again.ack_new_leader()
    said = [text.split()[0] for text in again.fresh()]
    assert said == ["UPTODATE", "PROPOSAL", "PROPOSAL", "COMMIT"]
    again.ack(change)
    two.ack(change)
    assert world.leader.last_committed == change


def test_a_learner_that_comes_later_is_told_what_is_in_force() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    committed(world, two, two, three, joining=line(4, "observer"))
    late = world.late(4)
    new_leader = [p for p in late.packets if p.type == packets.NEWLEADER][-1]
    assert new_leader.data == config_text(world.member.membership).encode()


def test_a_learner_with_the_configuration_that_was_seen_last_is_taken() -> None:
    world = ReconfigWorld(last_seen=numbered(membership(4), 9))
    two = world.learner(2)
    two.info(accepted=1, version=9)
    assert not two.is_closed()
    three = world.learner(3)
    three.info(accepted=1, version=10)
    assert three.is_closed()


# --- a new leader ---------------------------------------------------------------------


def test_the_first_configuration_gets_the_version_of_the_epoch() -> None:
    world = ReconfigWorld(membership())
    two, _ = world.with_learners(2, 3)
    version = make(2, 0)
    saves = [type(each) for each in world.commands if isinstance(each, (SaveEpoch, SaveConfig))]
    assert saves == [SaveEpoch, SaveConfig, SaveEpoch, SaveConfig]
    assert world.saved_configs == [(version, False), (version, True)]
    assert world.member.membership == numbered(membership(), version)
    new_leader = [p for p in two.packets if p.type == packets.NEWLEADER][-1]
    assert new_leader.data == config_text(numbered(membership(), version)).encode()
    node = world.server.tree.nodes[CONFIG]
    assert (node.data, node.mzxid) == (new_leader.data, version)


def test_without_reconfiguration_the_version_stays_0() -> None:
    world = LeaderWorld()
    two = world.joined(2)
    assert world.is_serving()
    assert world.member.membership.version == 0
    new_leader = [p for p in two.packets if p.type == packets.NEWLEADER][-1]
    assert new_leader.data == config_text(membership()).encode()
    assert not [each for each in world.commands if isinstance(each, SaveConfig)]


def unfinished(next_text: str, **settings: Any) -> ReconfigWorld:
    """A new leader that has seen a change which is not in force."""
    return ReconfigWorld(last_seen=parse_membership(next_text.encode()), **settings)


def test_an_unfinished_change_needs_both_quorums_at_each_step() -> None:
    text = "\n".join([line(1), line(4), line(5), "version=9"])
    world = unfinished(text)
    two = world.learner(2)
    four = world.learner(4)
    two.info(accepted=1)
    assert world.leader.epoch < 0
    four.info(accepted=1)
    assert world.leader.epoch == 2
    two.ack_epoch(make(1, 1), 1)
    assert world.saved[-1] == ("acceptedEpoch", 2)
    four.ack_epoch(make(1, 1), 1)
    assert world.saved[-1] == ("currentEpoch", 2)
    new_leader = [p for p in two.packets if p.type == packets.NEWLEADER][-1]
    assert parse_membership(new_leader.data or b"").version == 9
    two.ack_new_leader()
    assert not world.is_serving()
    assert world.member.membership.version == 5
    four.ack_new_leader()
    assert world.is_serving()
    assert world.member.membership.version == 9
    assert not world.member.configs.is_under_way
    assert world.saved_configs == [(9, True)]
    for learner in (two, four):
        assert learner.fresh()[-1] == "UPTODATE"
    two.create("/x")
    four.ack_all()
    assert world.leader.last_committed == world.leader.last_proposed


def test_an_observer_that_an_unfinished_change_promotes_counts_for_its_new_leader() -> None:
    """Server 1 completes a change to voters 1, 4 and 5: 4 observes until that is in force."""
    world = unfinished("\n".join([line(1), line(4), line(5), "version=9"]))
    two, four = world.learner(2), world.learner(4, is_observer=True)
    for learner in (two, four):
        learner.info(accepted=1)
    assert world.leader.epoch == 2
    for learner in (two, four):
        learner.ack_epoch(make(1, 1), 1)
    assert world.saved[-1] == ("currentEpoch", 2)
    two.ack_new_leader()
    assert not world.is_serving()
    four.ack_new_leader()
    assert world.is_serving()
    assert world.member.membership.version == 9


def test_an_observer_that_was_promoted_counts_for_no_proposal_until_it_follows() -> None:
    world = unfinished("\n".join([line(1), line(4), line(5), "version=9"]))
    two, four = world.learner(2), world.learner(4, is_observer=True)
    for learner in (two, four):
        learner.info(accepted=1)
    for learner in (two, four):
        learner.ack_epoch(make(1, 1), 1)
    for learner in (two, four):
        learner.ack_new_leader()
    two.create("/x")
    four.ack_all()
    assert world.leader.last_committed < world.leader.last_proposed
    five = world.joined(5, accepted=1)
    five.ack_all()
    assert world.leader.last_committed == world.leader.last_proposed


def test_an_observer_that_votes_in_force_or_nowhere_counts_for_nothing() -> None:
    world = unfinished("\n".join([line(1), line(2), line(4), "version=9"]))
    for sid in (2, 3, 5):
        world.learner(sid, is_observer=True).info(accepted=1)
    assert world.leader.epoch < 0
    world.learner(4, is_observer=True).info(accepted=1)
    assert world.leader.epoch < 0, "2 of 3 in force are 1 and one that says it is a participant"
    world.learner(3).info(accepted=1)
    assert world.leader.epoch == 2


def test_who_is_ahead_in_the_next_configuration_stops_a_leader_that_is_not() -> None:
    world = unfinished("\n".join([line(1), line(4), line(5), "version=9"]))
    two, four = world.learner(2), world.learner(4)
    for learner in (two, four):
        learner.info(accepted=1)
    two.ack_epoch(make(1, 1), 1)
    four.ack_epoch(make(1, 2), 1)
    assert four.is_closed()
    assert world.saved[-1] == ("acceptedEpoch", 2)


def test_who_is_promoted_may_have_heard_of_an_epoch_that_nobody_else_has_left() -> None:
    """The leader of epoch 2 had 4 acknowledge it first, and lost its disk. Only voters in force can
    lead, and the change cannot be completed without 4."""
    world = unfinished("\n".join([line(1), line(4), line(5), "version=9"]))
    two, four = world.learner(2), world.learner(4, is_observer=True)
    two.info(accepted=1)
    four.info(accepted=2)
    two.ack_epoch(make(1, 1), 1)
    four.ack_epoch(make(1, 1), 2)
    for learner in (two, four):
        learner.ack_new_leader()
    assert world.is_serving()
    assert world.member.membership.version == 9


def test_a_leader_that_an_unfinished_change_removes_leads_no_longer() -> None:
    world = unfinished("\n".join([line(2), line(3), "version=9"]))
    two, three = world.with_learners(2, 3)
    assert world.is_serving()
    two.create("/x")
    assert world.leader.last_proposed == make(2, 0)
    assert world.member.membership.version == 9
    world.beat(2 * SYNC_TICKS + 1, two, three)
    assert world.over() == "another server was made the leader"
