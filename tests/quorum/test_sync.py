"""The decision how to synchronize a learner: the original's table, and where it loses data.

Zxids are written (epoch, counter); a plain number is one of epoch 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyzk.quorum import packets
from pyzk.quorum.packets import DIFF, SNAP, TRUNC
from pyzk.quorum.sync import (
    READ_LOG,
    LeaderView,
    LogOnDisk,
    SyncOptions,
    SyncPlan,
    first_hole,
    is_affordable,
    is_next,
    plan_sync,
)
from pyzk.zxid import make
from tests.quorum.links import links

Z = int | tuple[int, int]


def z(value: Z) -> int:
    return make(1, value) if isinstance(value, int) else make(*value)


def zs(values: Sequence[Z]) -> list[int]:
    return [z(value) for value in values]


def plan(
    peer: Z,
    committed: Sequence[Z],
    last: Z,
    *,
    disk: Sequence[Z] | None = None,
    complete_after: Z = (0, 0),
    options: SyncOptions | None = None,
) -> SyncPlan:
    """Plan with what is on disk from the learner's zxid on, as a leader would read it."""
    log = None
    if disk is not None:
        log = LogOnDisk(z(complete_after), [zxid for zxid in zs(disk) if zxid >= z(peer)])
    return plan_sync(z(peer), LeaderView(z(last), zs(committed), log), options or SyncOptions())


def outcome(chosen: SyncPlan) -> tuple[int, int, list[int]]:
    return chosen.kind, chosen.zxid, [*chosen.from_disk, *chosen.from_committed]


# --- row by row -----------------------------------------------------------------------

LOG = [3, 4, 5, 6]
TWO_EPOCHS = [3, 4, (2, 1), (2, 2)]


@pytest.mark.parametrize(
    ("peer", "committed", "last", "kind", "zxid", "sent"),
    [
        # the learner has what was applied last
        (6, LOG, 6, DIFF, 6, []),
        ((2, 0), LOG, (2, 0), DIFF, (2, 0), []),
        ((0, 0), [], (0, 0), DIFF, (0, 0), []),
        (6, [], 6, DIFF, 6, []),
        # beyond what was committed here, the epoch's own or not
        (8, LOG, 6, TRUNC, 6, []),
        (8, LOG, (2, 0), TRUNC, 6, []),
        ((5, 1), LOG, 6, TRUNC, 6, []),
        ((5, 1), [(4, 99), (4, 100)], (6, 0), TRUNC, (4, 100), []),
        (8, [], 6, TRUNC, 6, []),
        # a (N, 0) is never truncated
        ((2, 0), LOG, 6, SNAP, 6, []),
        ((2, 0), LOG, (3, 0), SNAP, (3, 0), []),
        # in the committed log
        (3, LOG, 6, DIFF, 6, [4, 5, 6]),
        (5, LOG, 6, DIFF, 6, [6]),
        (6, LOG, (2, 0), DIFF, 6, []),
        (4, TWO_EPOCHS, (2, 2), DIFF, (2, 2), [(2, 1), (2, 2)]),
        ((2, 1), TWO_EPOCHS, (2, 2), DIFF, (2, 2), [(2, 2)]),
        ((2, 0), TWO_EPOCHS, (2, 2), DIFF, (2, 2), [(2, 1), (2, 2)]),
        ((1, 0), [(1, 1), (1, 2)], (2, 0), DIFF, (1, 2), [1, 2]),
        ((2, 0), [(1, 1), (1, 2)], (2, 0), DIFF, (2, 0), []),
        ((2, 0), [1, 2, (4, 1)], (4, 1), DIFF, (4, 1), [(4, 1)]),
        # in its range, with a tail that nobody else has
        (7, TWO_EPOCHS, (2, 2), SNAP, (2, 2), []),
        ((3, 1), [1, (2, 1), (2, 2), (4, 1)], (4, 1), SNAP, (4, 1), []),
        # right before it: nothing can be between
        (2, LOG, 6, DIFF, 6, LOG),
        # older, and no log on disk to be used
        (1, LOG, 6, SNAP, 6, []),
        ((0, 9), [1, 2], 2, SNAP, 2, []),
        (1, [], 6, SNAP, 6, []),
        # nothing at all, or a new database that may not be taken for one (-1)
        ((0, 0), LOG, 6, SNAP, 6, []),
        ((0, 0), [1, 2], 2, SNAP, 2, []),
        ((0, 0), [(0, 1), (0, 2)], (0, 2), SNAP, (0, 2), []),
        ((-1, 0xFFFFFFFF), LOG, 6, SNAP, 6, []),
        ((0, 0), [], (1, 0), SNAP, (1, 0), []),
    ],
)
def test_the_table(peer: Z, committed: list[Z], last: Z, kind: int, zxid: Z, sent: list[Z]) -> None:
    chosen = plan(peer, committed, last)
    assert outcome(chosen) == (kind, z(zxid), zs(sent))
    assert chosen.reason
    # What is proposed next is forwarded from where the plan ends.
    assert chosen.forward_after == (zs(sent)[-1] if sent else chosen.zxid)


@pytest.mark.parametrize("peer", [1, 4, 6, 8, (2, 0)])
def test_a_snapshot_can_be_forced(peer: Z) -> None:
    assert plan(peer, LOG, 6, options=SyncOptions(force_snapshot=True)).kind == SNAP


@pytest.mark.parametrize(
    ("peer", "committed", "last", "disk", "kind", "zxid", "from_disk", "sent"),
    [
        (2, [5, 6], 6, [1, 2, 3, 4, 5, 6], DIFF, 6, [3, 4], [5, 6]),
        (2, [5, 6], 6, [1, 2, 3, 4], DIFF, 6, [3, 4], [5, 6]),
        (2, [4, 5], (2, 0), [2, 3, 4], DIFF, 5, [3], [4, 5]),
        (1, [(2, 1)], (2, 1), [1, 2, (2, 1)], DIFF, (2, 1), [2], [(2, 1)]),
        (2, [(2, 2)], (2, 2), [2, (2, 1)], DIFF, (2, 2), [(2, 1)], [(2, 2)]),
        # the committed log was cleared, or holds nothing yet
        (2, [], 4, [2, 3, 4], SNAP, 4, [], []),
        # gaps, within or where the two logs meet (2418), or with no end
        (2, [6, 7], 7, [1, 2, 3, 4], SNAP, 7, [], []),
        (2, [6, 7], 7, [1, 2, 4, 5, 6], SNAP, 7, [], []),
        (2, [6, 7], 7, [1, 2], SNAP, 7, [], []),
        (2, [6, 7], 7, [], SNAP, 7, [], []),
        # the tail of a deposed leader; the original says SNAP, too
        ((3, 1), [(4, 1)], (4, 1), [1, (2, 1), (2, 2), (4, 1)], SNAP, (4, 1), [], []),
        (9, [(2, 3), (2, 4)], (2, 4), [1, 2, (2, 1), (2, 2), (2, 3)], SNAP, (2, 4), [], []),
        # a (N, 0) with its epoch on disk
        ((2, 0), [(2, 2)], (2, 2), [1, (2, 1), (2, 2)], DIFF, (2, 2), [(2, 1)], [(2, 2)]),
    ],
)
def test_the_log_on_disk_fills_what_the_committed_log_lacks(
    peer: Z,
    committed: list[Z],
    last: Z,
    disk: list[Z],
    kind: int,
    zxid: Z,
    from_disk: list[Z],
    sent: list[Z],
) -> None:
    chosen = plan(peer, committed, last, disk=disk)
    assert (chosen.kind, chosen.zxid) == (kind, z(zxid))
    assert list(chosen.from_disk) == zs(from_disk)
    assert list(chosen.from_committed) == zs(sent)


def test_the_log_is_read_only_when_it_is_needed_and_may_help() -> None:
    unread = LogOnDisk(z(2))
    view = LeaderView(z(9), zs([8, 9]), unread)
    wanted = plan_sync(z(3), view, SyncOptions())
    assert (wanted.kind, wanted.zxid) == (READ_LOG, z(3))
    assert repr(wanted).startswith("SyncPlan(READ_LOG 0x100000003, [], ")
    assert plan_sync(z(1), view, SyncOptions()).kind == SNAP
    assert plan_sync(z(8), view, SyncOptions()).kind == DIFF
    assert plan_sync(z(3), view, SyncOptions(use_log=False)).kind == SNAP
    assert plan_sync(z(3), LeaderView(z(9), zs([8, 9])), SyncOptions()).kind == SNAP


def test_a_learner_at_the_snapshot_s_zxid_needs_no_record_of_it() -> None:
    chosen = plan(2, [5, 6], 6, disk=[3, 4, 5], complete_after=2)
    assert (chosen.kind, list(chosen.from_disk)) == (DIFF, zs([3, 4]))
    assert plan((1, 0), [(3, 1)], (3, 1), disk=[(2, 1), (3, 1)], complete_after=(1, 0)).kind == DIFF
    assert plan(2, [6, 7], 7, disk=[4, 5], complete_after=2).kind == SNAP


def test_a_new_epoch_s_begin_is_followed_by_the_next_first_record() -> None:
    assert plan((2, 0), [(4, 2)], (4, 2), disk=[(4, 1)], complete_after=1).kind == DIFF
    assert plan((2, 0), [(4, 3)], (4, 3), disk=[(4, 2)], complete_after=1).kind == SNAP


# --- where the original is known to lose data -----------------------------------------


def test_4925_a_committed_log_with_a_hole_is_not_sent() -> None:
    """The original sends 3 and 6 as if 4 and 5 had never been."""
    chosen = plan(2, [1, 2, 3, 6], 6)
    assert chosen.kind == SNAP
    assert "a hole between 0x100000003 and 0x100000006" in chosen.reason
    assert plan(2, [1, 2, (2, 2)], (2, 2)).kind == SNAP


def test_3526_a_committed_log_that_ends_early_is_no_measure() -> None:
    """The original truncates to 3 and never sends 4 to 9; for 2 it sends 3 only."""
    assert plan(7, [1, 2, 3], 9).kind == SNAP
    assert plan(2, [1, 2, 3], 9).kind == SNAP
    assert plan(2, [1, 2, 9], 3).kind == SNAP
    assert plan(9, [1, 2, 3], 9).kind == DIFF


@pytest.mark.parametrize("first", [(0, 0), (-1, 0xFFFFFFFF)])
def test_4352_a_committed_log_with_a_record_that_is_none(first: Z) -> None:
    """Observers of 3.9.3 remember transactions without their zxid; the original then takes an
    empty learner for one that lacks little."""
    assert plan((0, 0), [first, (0, 1), (0, 2)], (0, 2)).kind == SNAP
    assert plan((0, 1), [first, (0, 1), (0, 2)], (0, 2)).kind == SNAP


def test_2846_a_log_that_a_snapshot_came_between_is_not_whole() -> None:
    """This leader once was at 5, then down, and came back by SNAP at (2, 0): 6 is in no log."""
    disk: list[Z] = [3, 4, 5, (2, 1), (2, 2)]
    chosen = plan(4, [(2, 2)], (2, 2), disk=disk, complete_after=(2, 0))
    assert chosen.kind == SNAP
    assert "whole after 0x200000000 only" in chosen.reason
    # The numbers alone do not tell.
    assert first_hole(zs(disk)) == 0
    assert plan(4, [(2, 2)], (2, 2), disk=disk, complete_after=1).kind == DIFF


def test_2846_a_hole_inside_the_log_on_disk() -> None:
    chosen = plan(2, [8, 9], 9, disk=[2, 3, 6, 7, 8])
    assert chosen.kind == SNAP
    assert "the log has a hole between 0x100000003 and 0x100000006" in chosen.reason


def test_nobody_is_told_to_truncate_to_what_no_log_has() -> None:
    """An original learner would keep its first record behind (2, 0)."""
    assert plan((2, 1), [], (2, 0)).kind == SNAP
    assert plan(1, [], (0, 0)).kind == SNAP


def test_the_original_s_truncation_in_the_middle_needs_a_hole() -> None:
    """Its own tests use logs like 2 3 5 6; there 4 is truncated, though 5 may build on it."""
    assert plan(4, [2, 3, 5, 6], 6).kind == SNAP
    assert plan(4, [6, 7, 8], 9, disk=[2, 3, 5, 6, 7, 8, 9]).kind == SNAP


def test_truncation_can_be_switched_off() -> None:
    """4837: an original learner may load a newer snapshot again after it."""
    chosen = plan(8, LOG, 6, options=SyncOptions(may_truncate=False))
    assert outcome(chosen) == (SNAP, z(6), [])


def test_2355_the_zxid_of_a_diff_says_nothing_that_is_not_sent() -> None:
    """A learner that takes it for its own after a broken link has a hole."""
    chosen = plan(3, LOG, 6)
    assert repr(chosen).startswith("SyncPlan(DIFF 0x100000006, ['0x100000004', ")
    assert list(chosen.from_committed)[-1] == chosen.zxid


# --- any history ----------------------------------------------------------------------

HISTORIES = st.lists(st.integers(0, 4), min_size=1, max_size=5).map(
    lambda counts: [
        make(epoch, counter)
        for epoch, count in enumerate(counts, 1)
        for counter in range(1, count + 1)
    ]
)


@settings(max_examples=150)
@given(HISTORIES, st.data())
def test_what_is_sent_makes_the_learner_equal(history: list[int], data: st.DataObject) -> None:
    """For any prefix of the history and any own tail, whatever part of it is at hand."""
    known = data.draw(st.integers(0, len(history)))
    peer_log = history[:known]
    epoch = (peer_log[-1] >> 32) if peer_log else 0
    tail = data.draw(st.integers(0, 3))
    start = (peer_log[-1] if peer_log else 0) + 1 if epoch else make(1, 1)
    own = [start + index for index in range(tail)]
    if any(zxid in history for zxid in own):
        own = []
    peer_log = [*peer_log, *own]
    low = data.draw(st.integers(0, len(history)))
    whole = data.draw(st.integers(0, low))
    last = history[-1] if history else 0
    if data.draw(st.booleans()):
        last = make((last >> 32) + 1, 0)
    peer = peer_log[-1] if peer_log else 0
    disk = None
    if data.draw(st.booleans()):
        since = history[whole - 1] if whole else 0
        disk = LogOnDisk(since, [zxid for zxid in history if zxid >= max(peer, since + 1)])
    chosen = plan_sync(peer, LeaderView(last, history[low:], disk), SyncOptions())
    if chosen.kind == SNAP:
        return
    if chosen.kind == TRUNC:
        assert chosen.zxid in peer_log
        peer_log = [zxid for zxid in peer_log if zxid <= chosen.zxid]
    assert [*peer_log, *chosen.from_disk, *chosen.from_committed] == history


# --- the parts ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "zxid", "expected"),
    [
        (1, 2, True), (1, 3, False), (2, 1, False), (2, 2, False),
        (1, (2, 1), True), (1, (3, 1), True), (1, (2, 2), False), ((2, 1), 1, False),
        ((2, 0), (2, 1), True), ((2, 0), (2, 2), False), (1, (2, 0), False),
    ],
)  # fmt: skip
def test_what_follows_what(before: Z, zxid: Z, expected: bool) -> None:
    assert is_next(z(before), z(zxid)) is expected


@pytest.mark.parametrize(
    ("further", "snapshot", "factor", "expected"),
    [
        (33, 100, 0.33, True), (34, 100, 0.33, False), (0, 100, 0.33, True),
        (10**9, 0, 0.33, True), (10**9, 100, 0.0, True), (0, 100, -1.0, False),
    ],
)  # fmt: skip
def test_a_long_log_costs_more_than_a_snapshot(
    further: int, snapshot: int, factor: float, expected: bool
) -> None:
    assert is_affordable(further, snapshot, factor) is expected


# --- what real leaders chose ----------------------------------------------------------


def test_real_leaders_chose_the_same() -> None:
    """Every decision that was recorded: the same packet, zxid and records."""
    applied: dict[str, set[int]] = {}
    for link in links():
        recording = link.name.split()[0]
        for frame in link.frames:
            if frame.name in ("COMMIT", "COMMITANDACTIVATE", "INFORM", "INFORMANDACTIVATE"):
                applied.setdefault(recording, set()).add(int(frame.seen["zxid"], 16))
    kinds: list[int] = []
    for link in links():
        view = link.sync
        zxids = sorted(applied.get(link.name.split()[0], ()))
        committed = [zxid for zxid in zxids if view["min"] <= zxid <= view["max"]]
        chosen = plan_sync(view["peer"], LeaderView(view["last"], committed), SyncOptions())
        names = [frame.name for frame in link.sent(by_leader=True)]
        until = names.index("NEWLEADER")
        sent = link.sent(by_leader=True)[1:until]
        assert packets.type_name(chosen.kind) == sent[0].name, link.name
        assert chosen.zxid == int(sent[0].seen["zxid"], 16), link.name
        proposed = [int(frame.seen["zxid"], 16) for frame in sent if frame.name == "PROPOSAL"]
        planned = [*chosen.from_disk, *chosen.from_committed]
        # Behind the plan, what was proposed meanwhile.
        assert proposed[: len(planned)] == planned, link.name
        assert all(zxid > chosen.forward_after for zxid in proposed[len(planned) :])
        kinds.append(chosen.kind)
    assert (kinds.count(DIFF), kinds.count(SNAP), kinds.count(TRUNC)) == (92, 26, 2)
