"""Whom an observer connects with: observer masters in turn, or the leader."""

from __future__ import annotations

from random import Random
from typing import Any

import attrs
import pytest

from pyzk.quorum.commands import DialLeader
from pyzk.quorum.learner_dial import LATER_TRIES, SOON_TRIES
from pyzk.quorum.learner_masters import LearnerMasters
from pyzk.quorum.vote import Vote
from pyzk.zxid import make
from tests.quorum.learner_world import INIT_MS, UPTODATE, LearnerWorld, diff, new_leader
from tests.quorum.learner_world import leader_info as info_of

PORT = 2191
FOLLOWERS = 2
"""How many voters there are beside the leader."""
DELAY_MS = 100
"""leaderConnectDelayDuringRetryMs."""


def observer(**settings: Any) -> LearnerWorld:
    return LearnerWorld(is_observer=True, observer_master_port=PORT, **settings)


def dialed(world: LearnerWorld) -> DialLeader:
    """Return the one order to dial that there is."""
    (dial,) = world.dials
    world.dials.clear()
    return dial


def refuse(world: LearnerWorld, dial: DialLeader) -> None:
    """The connection is refused; what is due at once is done."""
    dial.link.lost("refused")
    world.settle()
    world.advance(0)


def over(world: LearnerWorld) -> str:
    return world.role.over or ""


def host(dial: DialLeader) -> str:
    return dial.addresses[0][0]


# --- the order of the masters ---------------------------------------------------------------------


def test_masters_have_their_turn_in_a_drawn_order_again_and_again() -> None:
    masters = LearnerMasters(Random(5))
    masters.look((1, 2, 3, 4, 5))
    first = [masters.take(0, 0) for _ in range(5)]
    assert sorted(first) == [1, 2, 3, 4, 5]
    assert [masters.take(0, 0) for _ in range(5)] == first
    orders = set()
    for seed in range(50):
        masters = LearnerMasters(Random(seed))
        masters.look((1, 2, 3))
        orders.add(tuple(masters.take(0, 0) for _ in range(3)))
    assert len(orders) == 6


def test_a_round_is_over_when_all_but_the_leader_had_their_turn() -> None:
    for seed in range(20):
        masters = LearnerMasters(Random(seed))
        masters.look((1, 2, 3))
        assert masters.count(2) == 2
        found = []
        while not masters.is_round_over(2):
            found.append(masters.take(2, 0))
        assert sorted(found) == [1, 3]
        assert masters.take(2, 0) == found[0]


def test_another_leader_leaves_others_in_the_same_order() -> None:
    masters = LearnerMasters(Random(1))
    masters.look((1, 2, 3))
    order = [masters.take(0, 0) for _ in range(3)]
    assert masters.take(order[0], 0) == order[1]
    assert masters.take(order[2], 0) == order[0]


def test_other_voters_begin_a_new_round_and_the_same_do_not() -> None:
    masters = LearnerMasters(Random(1))
    masters.look((1, 2))
    first = masters.take(0, 0)
    masters.look((1, 2))
    assert masters.take(0, 0) != first
    assert masters.is_round_over(0)
    masters.look((1, 2, 3))
    assert sorted(masters.take(0, 0) for _ in range(3)) == [1, 2, 3]


def test_a_leader_alone_is_nobody_to_take() -> None:
    masters = LearnerMasters(Random(1))
    masters.look((3,))
    assert masters.count(3) == 0
    assert masters.is_round_over(3)
    with pytest.raises(AssertionError):
        masters.take(3, 0)


# --- the dial -----------------------------------------------------------------------------------


def test_an_observer_dials_a_voter_at_the_port_of_the_masters() -> None:
    world = observer()
    dial = world.dial()
    sid = world.role.link.name.split()[1].rstrip(",")
    assert dial.addresses == ((f"host{sid}", PORT),)
    assert sid in ("1", "2")
    assert dial.timeout_ms == INIT_MS // FOLLOWERS


def test_a_follower_dials_the_leader_whatever_the_port() -> None:
    world = LearnerWorld(observer_master_port=PORT)
    assert world.dial().addresses == (("host3", 2888),)


def test_the_next_master_is_tried_at_once_and_a_round_later_after_a_while() -> None:
    world = observer()
    began = world.clock.now_ms
    dial = world.dial()
    seen: list[tuple[str, int]] = []
    for _ in range(2 * FOLLOWERS):
        seen.append((host(dial), world.clock.now_ms - began))
        refuse(world, dial)
        if not world.dials:
            world.advance(DELAY_MS - 1)
            assert not world.dials
            world.advance(1)
        dial = dialed(world)
    hosts = [name for name, _ in seen]
    assert sorted(hosts[:2]) == ["host1", "host2"]
    assert hosts[2:] == hosts[:2]
    assert [at for _, at in seen] == [0, 0, DELAY_MS, DELAY_MS]


def test_between_rounds_an_observer_waits_for_a_random_time() -> None:
    waits = set()
    for seed in range(30):
        world = observer(observer_reconnect_delay_ms=5000)
        world.member.rng.seed(seed)
        dial = world.dial()
        refuse(world, dial)
        refuse(world, dialed(world))
        due = world.due()
        assert due is not None
        waits.add((due - world.clock.now_ms) // 1000)
        assert world.role.over is None
    assert waits == {0, 1, 2, 3, 4}


def refuse_for_good(world: LearnerWorld) -> list[tuple[str, int]]:
    """Everybody refuses until the role ends; return who was dialed, and when."""
    began = world.clock.now_ms
    dial = world.dial()
    tried = []
    while True:
        tried.append((host(dial), world.clock.now_ms - began))
        refuse(world, dial)
        while not over(world) and not world.dials:
            due = world.due()
            assert due is not None
            world.pass_time(due)
            world.wake()
        if over(world):
            return tried
        dial = dialed(world)


def test_masters_that_refuse_have_half_of_the_time_and_the_leader_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A leader that has no quorum without this observer, which it promotes, waits no longer than
    initLimit."""
    world = observer()
    tried = refuse_for_good(world)
    masters = [at for name, at in tried if name != "host3"]
    leader = [at for name, at in tried if name == "host3"]
    assert len(masters) + len(leader) == len(tried)
    assert max(masters) <= INIT_MS // 2 <= min(leader) <= INIT_MS // 2 + DELAY_MS
    assert len(leader) == SOON_TRIES + LATER_TRIES + 1
    assert over(world).startswith("server 3, the leader, cannot be reached after")
    assert "no voter but the leader takes observers at port 2191" in caplog.text


def test_an_observer_that_waits_for_long_gives_up_and_says_what_may_be_wrong() -> None:
    world = observer(observer_reconnect_delay_ms=100 * INIT_MS)
    tried = refuse_for_good(world)
    assert [name for name, _ in tried] != ["host3"]
    assert "no observer master can be reached at port 2191 after" in over(world)


def elected(world: LearnerWorld, round_: int) -> None:
    """The leader was elected in this round, as far as this server has heard."""
    world.elections.election.current_vote = Vote(3, 0, round_, 1)


@pytest.mark.parametrize(("round_", "is_same"), [(7, True), (8, False)])
def test_when_the_last_master_of_a_leader_is_gone_the_leader_is_followed_at_once(
    round_: int, is_same: bool
) -> None:
    """A quorum follows it since the same election, so nobody is about to open the port."""
    world = observer()
    elected(world, 7)
    world.serve()
    world.dials.clear()
    world.role.stop()
    world.become(is_observer=True)
    elected(world, round_)
    tried = [each for each in refuse_for_good(world) if each[1] == 0]
    hosts = [name for name, _ in tried]
    if is_same:
        assert sorted(hosts[:2]) == ["host1", "host2"]
        assert hosts[2:] == ["host3"] * len(hosts[2:])
        assert len(hosts) > 2
    else:
        assert len(hosts) == 1, "the other one had its turn in this round"
        assert hosts != ["host3"]


def test_an_observer_that_is_to_vote_goes_to_the_leader() -> None:
    """Masters open their port when the leader serves, and it may not before it has this vote."""
    world = observer()
    configs = world.member.configs
    members = configs.committed.members
    promoted = tuple(attrs.evolve(each, is_observer=False) for each in members)
    configs.is_enabled = True
    configs.see(attrs.evolve(configs.committed, members=promoted, version=9))
    assert world.dial().addresses == (("host3", 2888),)
    assert world.role.link.name == "server 3, the leader"


def again(world: LearnerWorld) -> DialLeader:
    """The role has ended, another one begins; return its first order to dial."""
    world.role.stop()
    world.become(is_observer=True)
    world.role.start()
    world.settle()
    if not world.dials:
        due = world.due()
        assert due is not None
        world.pass_time(due)
        world.wake()
    return dialed(world)


@pytest.mark.parametrize("delay_ms", [0, 100 * INIT_MS])
def test_when_no_master_can_be_followed_in_time_the_leader_is_asked_once(delay_ms: int) -> None:
    world = observer(observer_reconnect_delay_ms=delay_ms)
    dial = world.dial()
    for _ in range(FOLLOWERS):  # whether it refuses or says nothing
        dial.link.owner.link_up(dial.link)
        assert host(dial) in ("host1", "host2")
        world.pass_time(world.clock.now_ms + INIT_MS // FOLLOWERS)
        dial = again(world)
    assert host(dial) == "host3"
    assert host(again(world)) in ("host1", "host2")


def test_who_has_followed_a_master_has_patience_with_the_masters_again() -> None:
    world = observer()
    for _ in range(3):
        world.serve()
        world.pass_time(world.clock.now_ms + INIT_MS)
        world.dials.clear()
        assert host(again(world)) in ("host1", "host2")


def test_a_wait_before_the_first_try_does_not_use_up_the_time_to_connect() -> None:
    world = observer(observer_reconnect_delay_ms=100 * INIT_MS)
    for _ in range(FOLLOWERS):
        world.dial()
        world.role.stop()
        world.become(is_observer=True)
    world.role.start()
    world.settle()
    due = world.due()
    assert due is not None
    assert due > world.clock.now_ms + INIT_MS
    world.pass_time(due)
    world.wake()
    assert dialed(world).timeout_ms == INIT_MS // FOLLOWERS
    assert world.role.over is None


def test_the_next_role_goes_on_with_the_next_master() -> None:
    world = observer()
    first = host(world.dial())
    world.role.stop()
    world.become(is_observer=True)
    second = host(world.dial())
    assert {first, second} == {"host1", "host2"}
    world.role.stop()
    world.become(is_observer=True)
    assert host(world.dial()) == first


def test_the_master_is_shown_and_the_leader_stays_known() -> None:
    world = observer()
    dial = world.dial()
    dial.link.owner.link_up(dial.link)
    world.hear(info_of())
    world.sync()
    world.hear(diff(0), new_leader())
    world.sync()
    world.hear(UPTODATE)
    sid = int(host(dial).removeprefix("host"))
    assert world.role.gauges() == {"observer_master_id": sid}
    assert world.role.leader_sid == 3
    world.link.lost("reset")
    assert world.role.over == (f"the link with server {sid}, an observer master, has ended: reset")


def test_a_master_that_closes_at_once_is_like_one_that_refuses() -> None:
    world = observer()
    dial = world.dial()
    dial.link.owner.link_up(dial.link)
    world.settle()
    refuse(world, dial)
    assert world.role.over is None
    assert host(dialed(world)) != host(dial)


def test_a_leader_that_is_the_only_voter_is_followed_itself() -> None:
    world = observer()
    configs = world.member.configs
    configs.committed = attrs.evolve(
        configs.committed,
        members=tuple(each for each in configs.committed.members if each.sid in (3, 4)),
    )
    assert world.dial().addresses == (("host3", 2888),)
    world.link.lost("refused")
    world.settle()
    world.advance(DELAY_MS)
    assert dialed(world).addresses == (("host3", 2888),)
    assert world.role.sync.source_sid == 3


# --- without masters ----------------------------------------------------------------------------


def test_without_the_port_an_observer_dials_the_leader_at_once() -> None:
    world = LearnerWorld(is_observer=True)
    dial = world.dial()
    assert dial.addresses == (("host3", 2888),)
    assert dial.link.name == "server 3, the leader"


def test_without_the_port_an_observer_may_wait_before_it_dials_the_leader() -> None:
    waits = set()
    for seed in range(30):
        world = LearnerWorld(is_observer=True, observer_reconnect_delay_ms=5000)
        world.member.rng.seed(seed)
        world.role.start()
        world.settle()
        due = world.due()
        assert due is not None
        waits.add((due - world.clock.now_ms) // 1000)
    assert waits == {0, 1, 2, 3, 4}


def test_without_the_port_refusals_are_borne_as_a_follower_bears_them() -> None:
    world = LearnerWorld(is_observer=True)
    tries = 0
    dial = world.dial()
    while world.role.over is None:
        tries += 1
        dial.link.lost("refused")
        world.settle()
        world.advance(DELAY_MS)
        if world.dials:
            dial = dialed(world)
    assert tries == SOON_TRIES + LATER_TRIES + 1


def test_epochs_come_from_the_master() -> None:
    world = observer(epochs=(3, 3))
    world.reach()
    world.hear(info_of(2))
    assert world.role.over is not None
    assert world.member.epochs.accepted == 3
    assert make(2, 0) not in world.acks
