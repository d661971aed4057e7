"""Learners that have a later configuration than the leader: who is taken, and what remains."""

from __future__ import annotations

import attrs

from pyzk.config.members import config_text
from pyzk.quorum.election_messages import Notification
from pyzk.quorum.vote import PeerState
from tests.quorum.leader_world import LeaderWorld, membership


def refused(world: LeaderWorld, sid: int, version: int) -> bool:
    learner = world.learner(sid)
    learner.info(version=version)
    return learner.is_closed()


def test_a_learner_with_a_newer_configuration_is_refused() -> None:
    world = LeaderWorld()
    assert refused(world, 2, 1)
    assert not refused(world, 2, 0)


def later(voters: int, version: int = 5, host: str = "127.0.0.1") -> bytes:
    """A text of a later configuration."""
    text = config_text(attrs.evolve(membership(voters), version=version))
    return text.replace("127.0.0.1", host).encode()


def told(world: LeaderWorld, text: bytes) -> None:
    """Another server has told its configuration in a notification."""
    world.elections.election.notified(
        2, Notification(PeerState.LOOKING, 1, 0, 1, 0, config=text).encode()
    )


def test_a_learner_whose_later_configuration_has_the_same_voters_is_taken() -> None:
    world = LeaderWorld()
    told(world, later(3, host="localhost"))
    assert not refused(world, 2, 5)
    assert world.leader.epoch == 1
    assert not world.member.stands_aside
    assert refused(world, 3, 6)


def test_a_learner_whose_later_configuration_has_other_voters_is_refused() -> None:
    world = LeaderWorld()
    told(world, later(4))
    assert refused(world, 2, 5)
    assert not world.over(), "the third server may be a quorum with this one"
    assert world.member.stands_aside
    world.joined(3)
    assert world.is_serving()
    assert not world.member.stands_aside


def test_a_learner_that_was_refused_once_and_is_taken_now_counts_again() -> None:
    world = LeaderWorld(membership(5))
    for sid in (2, 3):
        world.learner(sid).info(version=5)
    world.learner(3).info()
    world.learner(4).info(version=5)
    assert not world.over(), "1, 3 and 5 would be a quorum"
    world.learner(5).info(version=5)
    assert world.over()


def test_a_leader_that_a_quorum_cannot_follow_ends_and_does_not_stand() -> None:
    world = LeaderWorld()
    for sid in (2, 3):
        learner = world.learner(sid)
        learner.info(version=5)
        assert learner.is_closed()
    assert world.over() == "a quorum has a later version of the configuration"
    assert world.member.stands_aside


def test_an_established_leader_stays_what_it_is_when_it_refuses_one() -> None:
    world = LeaderWorld()
    world.joined(3)
    assert refused(world, 2, 5)
    assert world.is_serving()
    assert not world.over()
    assert not world.member.stands_aside
