"""An observer: INFORM, no vote, perhaps no log."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.quorum import packets
from pyzk.zxid import make
from tests.quorum.learner_world import (
    SYNC_MS,
    TICK_MS,
    UPTODATE,
    LearnerWorld,
    both,
    commit,
    diff,
    inform,
    new_leader,
    ping,
    proposal,
    snap,
)
from tests.transactions import create, database_of

E1 = make(1, 0)


def inform_and_activate(payload: bytes, zxid: int) -> bytes:
    return packets.encode_inform_and_activate(zxid, 3, payload)


def serving(sync_enabled: bool = True) -> LearnerWorld:
    world = LearnerWorld(is_observer=True, sync_enabled=sync_enabled)
    world.serve()
    return world


def test_an_observer_says_that_it_is_one() -> None:
    world = LearnerWorld(is_observer=True, epochs=(2, 2))
    world.reach()
    assert world.take() == ["> OBSERVERINFO 0x200000000 sid=4 accepted=2 config=0"]
    assert world.role.mode == "observer"
    assert world.role.gauges() == {"observer_master_id": 3}


def test_inform_is_logged_and_applied_and_not_acknowledged() -> None:
    world = serving()
    world.hear(inform(create(E1 + 1, "/a")), inform_and_activate(create(E1 + 2, "/b"), E1 + 2))
    assert world.take() == ["log 0x100000001", "log 0x100000002"]
    assert world.paths() == ["/a", "/b"]
    assert world.committed == [E1 + 1, E1 + 2]
    world.sync()
    assert world.take() == ["disk log 0x100000002"]


def test_there_is_no_hole_in_what_an_observer_hears() -> None:
    world = serving()
    world.hear(inform(create(E1 + 1)), inform(create(E1 + 3)))
    assert world.role.over is not None
    assert "0x100000003 does not follow 0x100000001" in world.role.over


def test_what_is_meant_for_those_who_vote_is_ignored() -> None:
    world = serving()
    world.hear(both(create(E1 + 1)), packets.encode_commit_and_activate(E1 + 1, 3))
    assert world.role.over is None
    assert world.take() == []
    assert world.paths() == []


def test_during_synchronization_both_forms_are_taken_and_are_durable_before_the_ack() -> None:
    world = LearnerWorld(is_observer=True)
    world.discover()
    world.take()
    world.hear(
        diff(E1 + 3),
        both(create(E1 + 1)),
        inform(create(E1 + 2)),
        inform_and_activate(create(E1 + 3), E1 + 3),
        new_leader(),
    )
    assert world.take() == ["log 0x100000001", "log 0x100000002", "log 0x100000003"]
    world.sync()
    assert world.take() == [
        "disk log 0x100000003",
        "save currentEpoch 1",
        "disk save currentEpoch 1",
        "> ACK 0x100000000",
    ]
    assert world.committed == [E1 + 1, E1 + 2, E1 + 3]


def test_what_an_observer_hears_before_uptodate_waits_for_it() -> None:
    world = LearnerWorld(is_observer=True)
    world.discover()
    world.hear(diff(0), new_leader(), inform(create(E1 + 1)))
    world.sync()
    world.hear(inform(create(E1 + 2)))
    assert world.committed == []
    world.take()
    world.hear(UPTODATE)
    assert world.take() == ["> ACK 0x100000000", "log 0x100000001", "log 0x100000002"]
    assert world.committed == [E1 + 1, E1 + 2]
    world.sync()
    assert world.acks == [E1, E1]


def test_a_proposal_whose_commit_an_observer_would_not_hear_ends_the_link() -> None:
    world = LearnerWorld(is_observer=True)
    world.discover()
    world.hear(diff(0), new_leader(), proposal(create(E1 + 1)))
    world.sync()
    world.hear(UPTODATE)
    assert world.role.over is not None
    assert "0x100000001 was not committed before UPTODATE" in world.role.over


def test_nothing_is_left_to_be_applied() -> None:
    world = serving()
    world.hear(inform(create(E1 + 1)))
    world.link.lost("reset")
    world.role.stop()
    assert list(world.role.unapplied) == []
    assert world.database.last_zxid == E1 + 1


def test_a_ping_is_answered() -> None:
    world = serving()
    world.hear(ping(E1))
    assert world.take() == ["> PING 0x100000000 sessions=0"]


def test_the_limit_of_requests_is_its_own() -> None:
    assert serving().server.queues.outstanding_limit == ServerConfig().global_outstanding_limit


@pytest.mark.parametrize("is_synchronizing", [False, True])
def test_without_a_log_the_database_knows_that_it_is_not_there(is_synchronizing: bool) -> None:
    if is_synchronizing:
        world = LearnerWorld(is_observer=True, sync_enabled=False)
        world.discover()
        world.hear(diff(E1 + 1), both(create(E1 + 1)), new_leader())
        world.sync()
        assert world.acks == [E1]
    else:
        world = serving(sync_enabled=False)
        world.hear(inform(create(E1 + 1)))
    assert world.disk == []
    assert world.unsynced == []
    assert world.committed == [E1 + 1]
    assert world.database.log_complete_after == E1 + 1
    assert world.member.logged_zxid == 0


def test_without_a_log_a_snapshot_is_stored_all_the_same() -> None:
    world = LearnerWorld(is_observer=True, sync_enabled=False)
    world.discover()
    world.take()
    world.hear(snap(database_of([create(E1 + 1)])), new_leader())
    assert world.take() == ["store 0x100000001"]


def test_a_commit_without_its_proposal_ends_the_link_during_synchronization() -> None:
    world = LearnerWorld(is_observer=True)
    world.discover()
    world.hear(diff(0), commit(E1 + 1))
    assert world.role.over is not None


def test_an_observer_may_bear_a_silent_leader_for_another_time_than_followers() -> None:
    for is_observer, limit_ms in ((True, 2 * SYNC_MS), (False, SYNC_MS)):
        ticks = 2 * SYNC_MS // TICK_MS
        world = LearnerWorld(is_observer=is_observer, observer_sync_limit_ticks=ticks)
        world.serve()
        world.advance(limit_ms - 1)
        assert world.role.over is None
        world.advance(1)
        assert world.role.over is not None
