"""Proposals that wait for those ahead of them, and then go together."""

from __future__ import annotations

from pyzk.quorum.member import MAX_HELD
from pyzk.zxid import make
from tests.quorum.leader_world import LeaderWorld, Learner
from tests.quorum.test_leader_broadcast import applied, committed, established, own_create


def busy(joined: int = 2) -> tuple[LeaderWorld, list[Learner]]:
    """A leader whose first proposal is under way, and which was asked for two more."""
    world, learners = established(joined=joined)
    world.member.max_held = MAX_HELD
    world.is_disk_held = True
    for path in ("/a", "/b", "/c"):
        own_create(world, path)
    return world, learners


def test_what_is_asked_meanwhile_is_neither_logged_nor_sent() -> None:
    world, learners = busy()
    assert world.log == [make(2, 1)]
    for learner in learners:
        assert learner.fresh() == ["PROPOSAL 0x200000001 create /a"]


def test_it_goes_in_one_piece_behind_the_commit() -> None:
    world, (second, third) = busy()
    before = len(third.raw)
    second.ack(make(2, 1))
    third.ack(make(2, 1))
    assert applied(world) == ["/a"]
    assert world.log == [make(2, number) for number in (1, 2, 3)]
    assert len(third.raw) == before + 1
    assert third.fresh()[1:] == [
        *committed(1),
        "PROPOSAL 0x200000002 create /b",
        "PROPOSAL 0x200000003 create /c",
    ]


def test_only_so_many_wait() -> None:
    world, (second, _) = busy()
    for number in range(MAX_HELD - 3):
        own_create(world, f"/more{number}")
    assert world.log == [make(2, 1)]
    own_create(world, "/one-too-many")
    assert world.log[-1] == make(2, MAX_HELD + 1)
    assert len(second.fresh()) == MAX_HELD + 1


def test_a_learner_that_joins_gets_them_once() -> None:
    world, (second,) = busy(joined=1)
    third = world.learner(3)
    third.info(accepted=1)
    third.ack_epoch(make(1, 1), 1)
    third.ack_new_leader()
    assert third.fresh()[-1] == "UPTODATE"
    second.ack(make(2, 1))
    third.ack(make(2, 1))
    said = [each for each in third.got if each.startswith("PROPOSAL")]
    assert said == [
        "PROPOSAL 0x200000001 create /a",
        "PROPOSAL 0x200000002 create /b",
        "PROPOSAL 0x200000003 create /c",
    ]


def test_what_was_never_logged_is_not_left_to_be_applied() -> None:
    world, _ = busy()
    world.leader.stop()
    assert [zxid for zxid, _ in world.leader.unapplied] == [make(2, 1)]


def test_nobody_may_acknowledge_what_waits() -> None:
    _, (second, third) = busy()
    second.ack(make(2, 2))
    assert second.is_closed()
    assert not third.is_closed()
