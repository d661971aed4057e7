"""The learner's way to BROADCAST: what it sends, stores and applies, and in which order."""

from __future__ import annotations

from pyzk.zxid import make
from tests.quorum.learner_world import (
    UPTODATE,
    LearnerWorld,
    both,
    create,
    diff,
    leader_info,
    new_leader,
)


def test_a_learner_says_who_it_is_when_it_is_connected() -> None:
    world = LearnerWorld(epochs=(4, 3))
    world.connect()
    assert world.take() == ["> FOLLOWERINFO 0x400000000 sid=1 accepted=4 config=0"]


def test_nothing_is_answered_before_the_accepted_epoch_is_durable() -> None:
    world = LearnerWorld([create(make(1, 1))], epochs=(1, 1))
    world.connect()
    world.take()
    world.hear(leader_info(2))
    assert world.take() == ["save acceptedEpoch 2"]
    world.answer()
    assert world.take() == ["disk save acceptedEpoch 2", "> ACKEPOCH 0x100000001 current=1"]


def test_an_epoch_that_was_accepted_before_is_not_counted_again() -> None:
    world = LearnerWorld(epochs=(2, 1))
    world.connect()
    world.take()
    world.hear(leader_info(2))
    assert world.take() == ["> ACKEPOCH 0x0 not counted"]


def test_a_leader_of_an_older_epoch_is_left() -> None:
    world = LearnerWorld(epochs=(3, 1))
    world.connect()
    world.hear(leader_info(2))
    assert world.role.over is not None
    assert "epoch 3 was accepted before" in world.role.over
    assert world.link.is_closed


def test_diff_is_logged_and_durable_then_the_epoch_then_the_ack() -> None:
    world = LearnerWorld([create(make(1, 1))], epochs=(1, 1))
    world.discover(2)
    world.take()
    world.hear(diff(make(1, 3)), both(create(make(1, 2))), both(create(make(1, 3))), new_leader(2))
    assert world.take() == ["log 0x100000002", "log 0x100000003"]
    world.answer()
    assert world.take() == ["disk log 0x100000003", "save currentEpoch 2"]
    assert world.database.last_zxid == make(1, 3)
    world.answer()
    assert world.take() == ["disk save currentEpoch 2", "> ACK 0x200000000"]
    world.hear(UPTODATE)
    assert world.take() == ["> ACK 0x200000000"]
    assert world.committed == [make(1, 1), make(1, 2), make(1, 3)]
