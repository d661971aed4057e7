"""A learner's way to its leader, and through a DIFF: what it sends and stores, in which order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pyzk.constants import OpCode
from pyzk.jute.records import ErrorTxn
from pyzk.quorum import learner_dial, learner_phases, packets
from pyzk.zxid import make
from tests.quorum.learner_world import (
    INIT_MS,
    SYNC_MS,
    TICK_MS,
    UPTODATE,
    LearnerWorld,
    both,
    broadcast,
    choosing,
    commit,
    diff,
    discovery,
    leader_info,
    new_leader,
    ping,
    proposal,
    ready,
    snap,
    storing,
    syncing,
    truncating,
)
from tests.transactions import create, txn

E1 = make(1, 0)
E2 = make(2, 0)


# --- connecting ---------------------------------------------------------------------------


def test_the_leaders_quorum_addresses_are_dialed() -> None:
    world = LearnerWorld()
    dial = world.dial()
    assert dial.addresses == (("host3", 2888),)
    assert dial.timeout_ms == INIT_MS


def test_the_limit_for_connecting_is_its_own_if_there_is_one() -> None:
    assert LearnerWorld(connect_to_learner_master_limit_ticks=3).dial().timeout_ms == 3 * TICK_MS


def test_who_is_not_in_the_configuration_is_not_dialed() -> None:
    world = LearnerWorld(leader=9)
    world.role.start()
    world.settle()
    assert world.dials == []
    assert world.role.over == "server 9 is not in the configuration"


def test_a_leader_that_refuses_is_dialed_again_soon_then_later_then_left() -> None:
    world = LearnerWorld()
    began = world.clock.now_ms
    dial = world.dial()
    at: list[int] = []
    while True:
        dial.link.lost("connection refused")
        if world.role.over is not None:
            break
        next_ms = world.due()
        assert next_ms is not None
        at.append(next_ms - began)
        world.advance(next_ms - world.clock.now_ms)
        dial = world.dials.pop()
    soon = [learner_dial.SOON_MS * (i + 1) for i in range(learner_dial.SOON_TRIES)]
    assert at == soon + [soon[-1] + 100 * (i + 1) for i in range(learner_dial.LATER_TRIES)]
    assert world.role.over == (
        "server 3, the leader, cannot be reached after 16 tries: connection refused"
    )
    assert world.due() is None


def test_retries_are_no_slower_than_the_configured_delay() -> None:
    world = LearnerWorld(leader_connect_delay_ms=5)
    dial = world.dial()
    dial.link.lost("connection refused")
    assert world.due() == world.clock.now_ms + 5


def test_a_delay_of_nothing_is_a_millisecond() -> None:
    world = LearnerWorld(leader_connect_delay_ms=0)
    world.dial().link.lost("connection refused")
    assert world.due() == world.clock.now_ms + 1


def test_each_try_has_its_own_link_and_what_is_left_of_the_time() -> None:
    world = LearnerWorld()
    first = world.dial()
    world.clock.now_ms += 300
    first.link.lost("no route")
    world.advance(learner_dial.SOON_MS)
    second = world.dials.pop()
    assert second.link is world.link is not first.link
    assert second.timeout_ms == INIT_MS - 300 - learner_dial.SOON_MS


def test_a_dial_that_never_ends_ends_with_the_limit() -> None:
    world = LearnerWorld()
    world.dial()
    world.advance(INIT_MS - 1)
    assert not world.role.is_over
    world.advance(1)
    assert world.role.over == "server 3, the leader, cannot be reached in time"


def test_there_is_no_retry_behind_the_limit() -> None:
    world = LearnerWorld()
    dial = world.dial()
    world.clock.now_ms += INIT_MS - learner_dial.SOON_MS
    dial.link.lost("timeout")
    assert world.role.over is not None


def test_a_late_answer_to_an_old_dial_is_nothing() -> None:
    world = LearnerWorld()
    first = world.dial()
    first.link.lost("refused")
    world.advance(learner_dial.SOON_MS)
    world.role.link_up(first.link)
    world.settle()
    assert world.take() == []
    world.role.link_down(first.link, "refused")
    assert world.due() == world.clock.now_ms + INIT_MS - learner_dial.SOON_MS


def test_a_connection_that_is_taken_and_ends_at_once_was_refused() -> None:
    world = LearnerWorld()
    world.reach()
    first = world.link
    world.clock.now_ms += learner_dial.MOMENT_MS
    first.lost("the other side closed the connection")
    assert world.role.over is None
    assert world.due() == world.clock.now_ms + learner_dial.SOON_MS
    world.advance(learner_dial.SOON_MS)
    second = world.dials.pop()
    assert second.link is not first
    world.role.link_up(second.link)
    world.settle()
    assert "> FOLLOWERINFO" in world.take()[-1]


def test_refusals_through_a_proxy_end_like_others() -> None:
    world = LearnerWorld()
    dial = world.dial()
    for _ in range(learner_dial.SOON_TRIES + learner_dial.LATER_TRIES):
        world.role.link_up(dial.link)
        dial.link.lost("the other side closed the connection")
        next_ms = world.due()
        assert next_ms is not None
        world.advance(next_ms - world.clock.now_ms)
        dial = world.dials.pop()
    world.role.link_up(dial.link)
    dial.link.lost("the other side closed the connection")
    assert world.role.over is not None


def test_a_link_that_breaks_is_the_end_of_the_role() -> None:
    world = LearnerWorld()
    world.reach()
    world.clock.now_ms += learner_dial.MOMENT_MS + 1
    world.link.lost("connection reset")
    assert world.role.over == ("the link with server 3, the leader, has ended: connection reset")


# --- discovery ----------------------------------------------------------------------------


def test_a_follower_says_who_it_is_when_it_is_connected() -> None:
    world = LearnerWorld(epochs=(4, 3), version=0x100000005)
    world.reach()
    assert world.take() == ["> FOLLOWERINFO 0x400000000 sid=1 accepted=4 config=100000005"]


def test_nothing_is_answered_before_the_accepted_epoch_is_durable() -> None:
    world = LearnerWorld([create(make(1, 1))], epochs=(1, 1))
    world.reach()
    world.take()
    world.hear(leader_info(2))
    assert world.take() == ["save acceptedEpoch 2"]
    world.answer()
    assert world.take() == ["disk save acceptedEpoch 2", "> ACKEPOCH 0x100000001 current=1"]
    assert world.member.epochs.accepted == 2


def test_an_epoch_that_was_accepted_before_is_not_counted_again_nor_saved() -> None:
    world = LearnerWorld(epochs=(2, 1))
    world.reach()
    world.take()
    world.hear(leader_info(2))
    assert world.take() == ["> ACKEPOCH 0x0 not counted"]


def test_a_leader_of_an_older_epoch_is_left() -> None:
    world = LearnerWorld(epochs=(3, 1))
    world.reach()
    world.hear(leader_info(2))
    assert world.role.over is not None
    assert "epoch 3 was accepted before" in world.role.over
    assert world.link.is_closed


def test_the_leader_may_say_nothing_while_the_epoch_is_being_stored() -> None:
    world = LearnerWorld()
    world.reach()
    world.hear(leader_info(1), diff(0))
    assert world.role.over is not None
    assert "DIFF 0x0 in the phase 'accepting the epoch'" in world.role.over


def test_an_answer_of_the_disk_after_the_end_changes_nothing() -> None:
    world = LearnerWorld()
    world.reach()
    world.hear(leader_info(1))
    world.link.lost("reset")
    world.take()
    world.sync()
    assert world.take() == ["disk save acceptedEpoch 1"]
    assert world.role.phase == learner_phases.ACCEPTING


P1 = create(E1 + 1)


# --- DIFF ----------------------------------------------------------------------------------


def test_diff_is_logged_and_durable_then_the_epoch_then_the_ack() -> None:
    world = LearnerWorld([create(E1 + 1)], epochs=(1, 1))
    world.discover(2)
    world.take()
    world.hear(diff(E1 + 3), both(create(E1 + 2)), both(create(E1 + 3)), new_leader(2))
    assert world.take() == ["log 0x100000002", "log 0x100000003"]
    world.answer()
    assert world.take() == ["disk log 0x100000003", "save currentEpoch 2"]
    assert world.database.last_zxid == E1 + 3
    assert world.member.epochs.current == 1
    world.answer()
    assert world.take() == ["disk save currentEpoch 2", "> ACK 0x200000000"]
    assert world.member.epochs.current == 2
    world.hear(UPTODATE)
    assert world.take() == ["> ACK 0x200000000"]
    assert world.committed == [E1 + 1, E1 + 2, E1 + 3]
    assert world.paths() == ["/n100000001", "/n100000002", "/n100000003"]


def test_a_diff_that_is_durable_before_newleader_waits_for_nothing_more() -> None:
    world = LearnerWorld()
    world.discover()
    world.hear(diff(E1 + 1), both(create(E1 + 1)))
    world.sync()
    world.take()
    world.hear(new_leader())
    assert world.take() == ["save currentEpoch 1"]


def test_half_a_diff_on_disk_is_not_enough() -> None:
    world = LearnerWorld()
    world.discover()
    world.hear(diff(E1 + 2), both(create(E1 + 1)))
    world.take()
    first, world.unsynced = world.unsynced, []
    world.hear(both(create(E1 + 2)), new_leader())
    second, world.unsynced = world.unsynced, first
    world.answer()
    assert world.take() == ["log 0x100000002", "disk log 0x100000001"]
    world.unsynced = second
    world.answer()
    assert world.take() == ["disk log 0x100000002", "save currentEpoch 1"]


def test_the_zxid_of_diff_is_not_ours() -> None:
    world = LearnerWorld([create(E1 + 1)], epochs=(1, 1))
    world.discover(2)
    world.hear(diff(E1 + 9))
    assert world.database.last_zxid == E1 + 1
    world.link.lost("reset")
    world.role.stop()
    assert world.database.last_zxid == E1 + 1


def test_between_ackepoch_and_the_ack_of_newleader_nothing_is_sent() -> None:
    world = LearnerWorld()
    world.discover()
    world.take()
    world.hear(diff(E1 + 1), ping(E1 + 1), both(create(E1 + 1)), ping(E1 + 1))
    world.hear(proposal(create(E1 + 2)), new_leader(), ping(E1 + 2))
    world.sync()
    world.hear(ping(E1 + 2), ping(E1 + 2))
    assert [line for line in world.take() if line[0] == ">"] == ["> ACK 0x100000000"]


def test_uncommitted_proposals_wait_for_uptodate_unlogged_and_unacknowledged() -> None:
    world = LearnerWorld()
    world.discover()
    world.hear(diff(0), proposal(create(E1 + 1)), new_leader(), proposal(create(E1 + 2)))
    world.sync()
    world.hear(proposal(create(E1 + 3)))
    world.sync()
    assert world.disk == []
    assert world.acks == [E1]
    world.take()
    world.hear(UPTODATE)
    assert world.take() == [
        "> ACK 0x100000000",
        "log 0x100000001",
        "log 0x100000002",
        "log 0x100000003",
    ]
    world.answer()
    assert world.take() == [
        "disk log 0x100000003",
        "> ACK 0x100000001",
        "> ACK 0x100000002",
        "> ACK 0x100000003",
    ]
    assert world.paths() == []
    world.hear(commit(E1 + 1))
    assert world.paths() == ["/n100000001"]


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_commit_between_newleader_and_uptodate_finds_its_proposal(is_stored: bool) -> None:
    world = LearnerWorld()
    world.discover()
    world.hear(diff(0), proposal(create(E1 + 1)), new_leader())
    if is_stored:
        world.sync()
    world.hear(commit(E1 + 1), both(create(E1 + 2)), proposal(create(E1 + 3)))
    world.sync()
    assert world.paths() == []
    world.hear(UPTODATE)
    assert world.paths() == ["/n100000001", "/n100000002"]
    assert world.committed == [E1 + 1, E1 + 2]
    world.sync()
    assert world.acks == [E1, E1, E1 + 1, E1 + 2, E1 + 3]
    world.hear(commit(E1 + 3))
    assert world.committed == [E1 + 1, E1 + 2, E1 + 3]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (commit(E1 + 1), "COMMIT 0x100000001, but there is no proposal"),
        (
            proposal(create(E1 + 1)) + proposal(create(E1 + 2)) + commit(E1 + 2),
            "COMMIT 0x100000002, but 0x100000001 is the oldest proposal",
        ),
        (both(create(E1 + 1)) + commit(E1 + 1), "COMMIT 0x100000001, but there is no proposal"),
    ],
)
@pytest.mark.parametrize("phase", [syncing, truncating, storing, ready, broadcast])
def test_a_commit_without_its_proposal_ends_the_link(
    phase: Callable[[LearnerWorld], None], sent: bytes, said: str
) -> None:
    world = LearnerWorld([create(1)])
    phase(world)
    world.hear(sent)
    assert world.role.over is not None
    assert said in world.role.over


@pytest.mark.parametrize("phase", [syncing, truncating, storing, ready, broadcast])
def test_a_hole_inside_an_epoch_ends_the_link(phase: Callable[[LearnerWorld], None]) -> None:
    world = LearnerWorld([create(1)])
    phase(world)
    world.hear(proposal(create(E1 + 1)), proposal(create(E1 + 3)))
    assert world.role.over is not None
    assert "0x100000003 does not follow 0x100000001" in world.role.over


@pytest.mark.parametrize("again", [E1 + 1, E1 + 2])
def test_a_zxid_that_does_not_grow_ends_the_link(again: int) -> None:
    world = LearnerWorld()
    world.serve()
    world.hear(proposal(create(E1 + 1)), proposal(create(E1 + 2)), proposal(create(again)))
    assert world.role.over is not None


def test_what_follows_a_diff_continues_what_is_here() -> None:
    world = LearnerWorld([create(E1 + 1)], epochs=(1, 1))
    world.discover(2)
    world.hear(diff(E1 + 9), proposal(create(E1 + 3)))
    assert world.role.over is not None
    assert "0x100000003 does not follow 0x100000001" in world.role.over


def test_an_epoch_begins_with_one() -> None:
    """What is logged behind a hole is what recovery refuses."""
    world = LearnerWorld([create(E1 + 1)], epochs=(1, 1))
    world.discover(3)
    world.hear(diff(E2 + 2), both(create(E2 + 1)), both(create(E2 + 2)))
    assert world.role.over is None
    assert world.committed == [E1 + 1, E2 + 1, E2 + 2]
    world = LearnerWorld([create(E1 + 1)], epochs=(1, 1))
    world.discover(3)
    world.hear(diff(E2 + 7), both(create(E2 + 7)), both(create(E2 + 8)))
    assert world.role.over is not None
    assert "0x200000007 comes first of its epoch, after 0x100000001" in world.role.over
    assert world.member.needs_snapshot
    assert world.committed == [E1 + 1]


def test_a_failed_request_is_a_transaction_like_any_other() -> None:
    world = LearnerWorld()
    world.discover()
    world.hear(diff(E1 + 1), both(txn(E1 + 1, OpCode.ERROR, ErrorTxn(-110))), new_leader())
    world.sync()
    assert world.database.last_zxid == E1 + 1
    assert world.committed == [E1 + 1]
    assert world.member.logged_zxid == E1 + 1


@pytest.mark.parametrize("phase", [syncing, broadcast])
@pytest.mark.parametrize(
    "payload",
    [txn(E1 + 1, 99, ErrorTxn(0)), create(E1 + 1)[:40]],
    ids=["unknown type", "cut"],
)
def test_a_transaction_that_cannot_be_read_ends_the_link_and_is_not_logged(
    phase: Callable[[LearnerWorld], None], payload: bytes
) -> None:
    world = LearnerWorld()
    phase(world)
    world.take()
    world.hear(packets.encode_packet(packets.PROPOSAL, E1 + 1, payload))
    assert world.role.over is not None
    assert "0x100000001 cannot be read" in world.role.over
    assert world.take() == []


def test_a_record_is_logged_as_it_came() -> None:
    payload = create(E1 + 1, "/a") + b"\0\0\0\2" + bytes(8)
    world = LearnerWorld()
    world.discover()
    world.hear(diff(E1 + 1), both(payload), new_leader())
    world.sync()
    assert world.disk == [payload]
    assert world.database.committed is not None
    assert list(world.database.committed.payloads) == [payload]


def test_newleader_is_of_the_epoch_that_was_accepted() -> None:
    world = LearnerWorld()
    world.discover(2)
    world.hear(diff(0), new_leader(1))
    assert world.role.over is not None
    assert "but the epoch is 2" in world.role.over
    assert world.orders == []


@pytest.mark.parametrize("data", [b"", b"\n"])
def test_newleader_may_have_no_configuration(data: bytes) -> None:
    world = LearnerWorld()
    world.discover()
    world.hear(diff(0), packets.encode_new_leader(1, data))
    world.sync()
    world.hear(UPTODATE)
    assert world.is_serving()


def test_proposals_that_wait_have_a_limit() -> None:
    for count, is_over in ((3, False), (4, True)):
        world = LearnerWorld()
        world.role.sync.uncommitted.limit_bytes = 3 * len(P1)
        world.discover()
        # What is committed waits no longer.
        world.hear(diff(0), *(both(create(E1 + n)) for n in range(1, 5)))
        world.hear(*(proposal(create(E1 + 5 + n)) for n in range(count)))
        assert (world.role.over is not None) == is_over


# --- time -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "limit_ms"),
    [
        *((phase, INIT_MS) for phase in (discovery, choosing, syncing)),
        *((phase, SYNC_MS) for phase in (ready, broadcast)),
    ],
)
def test_until_newleader_is_acknowledged_the_leader_may_be_silent_for_init_limit_then_sync_limit(
    phase: Callable[[LearnerWorld], None], limit_ms: int
) -> None:
    world = LearnerWorld()
    phase(world)
    world.advance(limit_ms - 1)
    assert not world.role.is_over
    world.advance(1)
    assert world.role.over == f"server 3, the leader, has been silent for {limit_ms} ms"
    assert world.link.is_closed


def test_every_packet_is_a_sign_of_life() -> None:
    world = LearnerWorld()
    broadcast(world)
    for _ in range(4):
        world.advance(SYNC_MS - 1)
        world.hear(ping(0))
    assert world.role.over is None


def test_a_slow_disk_is_not_the_leaders_silence() -> None:
    world = LearnerWorld()
    world.reach()
    world.hear(leader_info())
    assert world.due() is None
    world.clock.now_ms += 10 * INIT_MS
    world.role.wake()
    world.answer()
    assert world.due() == world.clock.now_ms + INIT_MS
    world.hear(diff(0), both(create(E1 + 1)), new_leader())
    for _ in range(2):  # the log, currentEpoch
        assert world.due() is None
        world.clock.now_ms += 10 * INIT_MS
        world.role.wake()
        world.answer()
    assert world.role.over is None
    assert world.acks == [E1]
    assert world.due() == world.clock.now_ms + SYNC_MS


# --- the end --------------------------------------------------------------------------------


def test_what_was_not_logged_is_not_left_to_be_applied() -> None:
    world = LearnerWorld()
    ready(world)
    world.hear(proposal(create(E1 + 1)), commit(E1 + 1), proposal(create(E1 + 2)))
    world.link.lost("reset")
    world.role.stop()
    assert list(world.role.unapplied) == []
    assert world.database.last_zxid == 0
    assert world.disk == []


def test_a_role_that_was_stopped_asks_for_nothing_more() -> None:
    world = LearnerWorld()
    world.reach()
    world.hear(leader_info())
    world.role.stop()
    world.sync()
    world.role.link_down(world.link, "closed")
    world.role.wake()
    assert world.due() is None
    assert world.role.over is None
    assert world.link.is_closed
    assert world.acks == []


def test_a_learner_reads_no_log_for_anybody() -> None:
    world = LearnerWorld()
    broadcast(world)
    world.role.log_read(77, None)
    assert world.role.over is None


def test_a_snapshot_cannot_come_without_snap() -> None:
    world = LearnerWorld()
    syncing(world)
    world.hear(snap(world.database))
    assert world.role.over is not None
    assert "SNAP 0x0 in the phase 'synchronization'" in world.role.over
