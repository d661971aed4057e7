"""How far and how near members are: the round trip of a PING, and the zxid that it names."""

from __future__ import annotations

import pytest

from pyzk.quorum import packets
from pyzk.quorum.follower import Follower
from pyzk.quorum.learner_handler import LearnerHandler
from pyzk.quorum.observer import Observer
from pyzk.quorum.round_trip import PINGS
from pyzk.zxid import make
from tests.quorum.leader_world import TICK_MS, LeaderWorld, Learner
from tests.quorum.learner_world import LearnerWorld, ping

HALF_TICK_MS = TICK_MS // 2
E1 = make(1, 0)


def established() -> tuple[LeaderWorld, Learner, LearnerHandler]:
    world = LeaderWorld()
    learner = world.joined(2)
    world.settle()
    assert world.is_serving()
    (handler,) = world.leader.handlers
    return world, learner, handler


def beat(world: LeaderWorld) -> None:
    """A half tick passes, and the learner is pinged."""
    world.beat()


def test_the_round_trip_is_unknown_before_the_first_answer() -> None:
    world, _, handler = established()
    beat(world)
    assert handler.round_trip.ms == -1


def test_the_round_trip_is_the_time_from_a_ping_to_its_answer() -> None:
    world, learner, handler = established()
    beat(world)
    world.clock.now_ms += 7
    learner.send(packets.encode_ping_reply(world.leader.last_proposed, {}))
    assert handler.round_trip.ms == 7


def test_a_round_trip_longer_than_the_pause_between_pings_is_measured_whole() -> None:
    world, learner, handler = established()
    zxid = world.leader.last_proposed
    beat(world)
    beat(world)
    beat(world)
    for _ in range(3):
        learner.send(packets.encode_ping_reply(zxid, {}))
        assert handler.round_trip.ms == 2 * HALF_TICK_MS
        beat(world)


def test_an_answer_that_nobody_asked_for_is_no_measure() -> None:
    world, learner, handler = established()
    beat(world)
    world.clock.now_ms += 5
    learner.send(packets.encode_ping_reply(make(1, 99), {}))
    assert handler.round_trip.ms == -1
    world.clock.now_ms += 5
    learner.send(packets.encode_ping_reply(world.leader.last_proposed, {}))
    assert handler.round_trip.ms == 10
    learner.send(packets.encode_ping_reply(world.leader.last_proposed, {}))
    assert handler.round_trip.ms == 10


def test_a_ping_that_has_overtaken_uptodate_is_not_waited_for() -> None:
    world, learner, handler = established()
    beat(world)  # the learner does not take part yet, and does not answer
    learner.ack_new_leader()  # as it does at UPTODATE
    beat(world)
    world.clock.now_ms += 3
    learner.send(packets.encode_ping_reply(world.leader.last_proposed, {}))
    assert handler.round_trip.ms == 3


def test_of_a_learner_that_answers_nothing_not_every_ping_is_kept() -> None:
    _, _, handler = established()
    for _ in range(2 * PINGS):
        handler.ping(packets.encode_bare(packets.PING, 0))
    assert len(handler.round_trip._sent) == PINGS


@pytest.mark.parametrize("is_observer", [False, True])
def test_a_learner_knows_how_far_its_leader_was_at_the_last_ping(is_observer: bool) -> None:
    world = LearnerWorld(is_observer=is_observer)
    world.serve()
    role = world.role
    assert isinstance(role, Follower | Observer)
    assert role.pulse.zxid == -1
    world.clock.now_ms += 100
    world.hear(ping(E1 + 7))
    assert (role.pulse.zxid, role.pulse.heard_ms) == (E1 + 7, world.clock.now_ms)
    assert "> PING 0x100000007 sessions=0" in world.take()
