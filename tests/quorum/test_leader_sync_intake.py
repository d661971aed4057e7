"""Bytes that wait for a learner while it is synchronized."""

from __future__ import annotations

from pyzk.data.txn import decode_txn
from pyzk.server.marks import Marks
from pyzk.zxid import make
from tests.quorum.leader_world import INIT_TICKS
from tests.quorum.test_leader_sync import (
    NEWLEADER,
    begun,
    big_database,
    established,
    history,
    leading,
)
from tests.transactions import database_of

MARKS = Marks(queue_bytes=1000)


def test_what_is_held_back_holds_up_the_writes() -> None:
    """For initLimit at most: the others are a quorum."""
    world, active, joining = established(marks=MARKS)
    for number in range(30):
        active.create(f"/x{number}")
        active.ack_all()
    assert 5 < world.leader.last_proposed - make(2, 0) < 20
    world.beat(2 * INIT_TICKS, active, joining)
    assert not joining.is_closed()
    world.beat(1, active, joining)
    assert joining.is_closed()
    for _ in range(30):
        active.ack_all()
    assert world.leader.last_committed == make(2, 30)
    assert not world.over()


def test_a_long_history_leaves_room_for_what_is_on_its_way() -> None:
    """Else a learner that lacks much would hold up the writes of all."""
    world = leading(database_of(history(100)), marks=MARKS)
    active = begun(world, 2, make(1, 100))
    active.ack_new_leader()
    active.create("/on/its/way")
    world.is_disk_held = True
    active.create("/later")
    assert world.leader.last_proposed > world.leader.last_committed
    joining = begun(world, 3, make(1, 2))
    assert not world.server.queues.is_held
    assert NEWLEADER in joining.got


def test_a_snapshot_gives_room_for_what_comes_meanwhile() -> None:
    world = leading(big_database(), marks=MARKS)
    active = begun(world, 2, make(1, 103))
    active.ack_new_leader()
    joining = begun(world, 3, 0)
    for number in range(100):
        active.create(f"/x{number}")
        active.ack(make(2, number + 1))
    assert not joining.is_closed()
    joining.ack_new_leader()
    assert joining.got[-1] == f"COMMIT {make(2, 100):#x}"
    assert decode_txn(joining.packets[-2].data or b"").header.zxid == make(2, 100)


def test_that_room_is_taken_back_with_what_has_waited() -> None:
    world = leading(big_database(), marks=MARKS)
    active = begun(world, 2, make(1, 103))
    active.ack_new_leader()
    joining = begun(world, 3, 0)
    joining.ack_new_leader()
    world.beat(1, active, joining)
    joining.reads = False
    for number in range(30):
        active.create(f"/x{number}")
        active.ack_all()
    assert world.server.queues.is_held
    assert joining.link.queued_bytes < 2 * 1000


def test_a_long_history_on_a_slow_line_is_not_the_learners_silence() -> None:
    world = leading(database_of(history(300)))
    active = begun(world, 2, make(1, 300))
    active.ack_new_leader()
    joining = world.learner(3)
    joining.info(accepted=1)
    joining.reads = False
    joining.ack_epoch(make(1, 2), 1)
    for _ in range(3 * INIT_TICKS):
        joining.reads = True
        joining.take(limit=1, pieces=1)
        joining.reads = False
        world.beat(1, active)
    assert not joining.is_closed()
    world.beat(2 * INIT_TICKS, active)
    assert not joining.is_closed()
    world.beat(1, active)
    assert joining.is_closed()
