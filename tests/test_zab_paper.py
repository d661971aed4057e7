"""The properties of Zab, each with the rule it checks, on ensembles under random schedules.

The rules are those of Junqueira, Reed and Serafini, "Zab: High-performance broadcast for
primary-backup systems" (DSN 2011), sections III and IV, told shortly; p, q are processes, a primary
is the leader of an epoch, and to deliver is to apply as a member that is established in an epoch.
The simulator (`pyzk.sim`) checks them again, with more faults and at every step.
"""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest

from pyzk.zxid import counter_of, epoch_of
from tests.transcripts.schedule import Schedule, history_of

SEEDS = 10
STEPS = 1500


@pytest.fixture(scope="module", params=range(SEEDS))
def run(request: pytest.FixtureRequest) -> Schedule:
    """One schedule, played to its end."""
    seed: int = request.param
    logging.disable(logging.CRITICAL)  # links break all the time
    try:
        schedule = Schedule(seed)
        schedule.play(STEPS)
    finally:
        logging.disable(logging.NOTSET)
    return schedule


def test_integrity(run: Schedule) -> None:
    """If some process delivers a transaction, then some process has broadcast it."""
    assert run.is_unique
    for zxid, path in run.longest:
        sid, created = run.origins[zxid]
        assert created == path
        # Nobody but the primary of its epoch has.
        assert run.leaders[epoch_of(zxid)] == {sid}


def test_total_order_and_agreement(run: Schedule) -> None:
    """If p delivers a before b, then any process that delivers b delivers a before it. If p
    delivers a and q delivers b, then p delivers b or q delivers a. So of any two sequences that
    were delivered one is a prefix of the other."""
    assert run.is_prefix


def test_local_primary_order(run: Schedule) -> None:
    """If a primary broadcasts a before b, then a process that delivers b delivers a before it."""
    for epoch, broadcast in run.broadcast.items():
        delivered = [txn for txn in run.longest if epoch_of(txn[0]) == epoch]
        assert delivered == broadcast[: len(delivered)]


def test_global_primary_order(run: Schedule) -> None:
    """If a is broadcast by a primary and b by a later one, a process that delivers both delivers a
    before b."""
    for actor in run.stage.actors.values():
        committed = actor.life.member.database.committed
        assert committed is not None
        zxids = list(committed.zxids)
        assert zxids == sorted(set(zxids))


def test_primary_integrity(run: Schedule) -> None:
    """If a primary broadcasts b, and some process delivers a of an earlier primary, then that
    primary delivers a before it broadcasts b."""
    for epoch in run.broadcast:
        if epoch in run.begun:
            before = [txn for txn in run.longest if epoch_of(txn[0]) < epoch]
            assert run.begun[epoch] == before


def test_an_epoch_has_one_primary(run: Schedule) -> None:
    """A process becomes primary of an epoch when a quorum has accepted it, and accepts no other
    primary of that epoch."""
    assert all(len(sids) == 1 for sids in run.leaders.values())


def test_zxids_of_a_primary_are_consecutive(run: Schedule) -> None:
    """The primary of epoch e gives its transactions the zxids (e, 1), (e, 2), and so on."""
    for actor in run.stage.actors.values():
        committed = actor.life.member.database.committed
        assert committed is not None
        zxids = list(committed.zxids)
        for before, zxid in pairwise(zxids):
            assert zxid == before + 1 or (
                epoch_of(zxid) > epoch_of(before) and counter_of(zxid) == 1
            )


def test_what_was_answered_is_delivered(run: Schedule) -> None:
    """A write that a client was told of is delivered by all in the end."""
    assert set(run.answered) <= set(run.longest)


def test_progress(run: Schedule) -> None:
    """With a quorum that is connected and runs, what is broadcast is delivered; in the end all
    serve the same."""
    assert run.longest
    for actor in run.stage.actors.values():
        assert actor.life.member.server.is_running
        assert history_of(actor) == run.longest
