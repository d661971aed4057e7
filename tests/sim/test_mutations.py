"""Injected mistakes are found, each within a bounded number of seeds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pyzk.data.committed_log import CommittedLog
from pyzk.quorum import sync
from pyzk.quorum.leader import Leader
from pyzk.quorum.learner_handler import LearnerHandler
from pyzk.quorum.lifecycle import MemberLife
from pyzk.quorum.proposals import AckTally
from pyzk.server.sessions import Session, SessionTracker
from pyzk.sim.disk import SimDisk
from pyzk.sim.machine import Machine
from pyzk.sim.run import simulate
from tests.sim import mutations

SEEDS = 60


def first_found(
    make_disk: type[SimDisk] = SimDisk, make_machine: type[Machine] = Machine, start: int = 1
) -> tuple[int, str]:
    for seed in range(start, start + SEEDS):
        result = simulate(seed, is_static=True, make_disk=make_disk, make_machine=make_machine)
        if result.violation:
            return seed, result.violation.split(":")[0]
    return 0, ""


@pytest.mark.parametrize(
    ("mutant", "start"),
    [
        (mutations.AckBeforeSync, 1),
        (mutations.EpochBeforeData, 1),
        (mutations.SkippedTruncation, 79),
        (mutations.SnapshotNotStored, 1),
        (mutations.EpochNotSaved, 1),
        (mutations.LostRecord, 1),
    ],
)
def test_a_mistake_of_the_disk_is_found(mutant: type[SimDisk], start: int) -> None:
    assert first_found(make_disk=mutant, start=start)[0], "not found"


@pytest.mark.parametrize("mutant", [mutations.LostEvents, mutations.LateEvents])
def test_a_watch_event_that_comes_late_or_never_is_found(mutant: type[Machine]) -> None:
    assert first_found(make_machine=mutant)[1] == "watches"


# --- mistakes of the core: its classes are patched, so they must be the source's ---------


def lost_fast_forward(life: MemberLife) -> None:
    """Memory lacks what the log has when a member votes (ZOOKEEPER-2845)."""
    life._unapplied.clear()


_true_commit = Leader._commit


def eager_commit(leader: Leader) -> None:
    """What has a quorum is committed, whatever is ahead of it."""
    for zxid, proposal in list(leader._outstanding.items()):
        if leader._tally.is_quorum(proposal.acks) and zxid % 2:
            leader.last_committed = zxid - 1
    _true_commit(leader)


def any_ack_will_do(tally: AckTally, acks: int) -> bool:
    return acks != 0


def forgetful_append(log: CommittedLog, zxid: int, payload: bytes) -> None:
    """The committed log has holes (ZOOKEEPER-4925)."""
    if zxid % 3:
        log.zxids.append(zxid)
        log.payloads.append(payload)


def impatient_hold_up(handler: LearnerHandler) -> None:
    """A learner that lets too much wait is dropped, although it is only behind."""
    handler.link.fail("too much waits for it")


_true_touch = SessionTracker.touch


def stingy_touch(tracker: SessionTracker, session: Session, now_ms: int) -> None:
    """Sessions expire before their time."""
    _true_touch(tracker, session, now_ms - session.timeout_ms // 2)


def no_doubt(_what: str, _history: Sequence[int], _last: int) -> str:
    return ""


@pytest.mark.source
@pytest.mark.parametrize(
    "patches",
    [
        [(MemberLife, "_fast_forward", lost_fast_forward)],
        [(AckTally, "is_quorum", any_ack_will_do)],
        [(CommittedLog, "append", forgetful_append), (sync, "_doubt", no_doubt)],
        pytest.param([(Leader, "_commit", eager_commit)], marks=pytest.mark.slow),
    ],
    ids=["lost fast-forward", "no quorum", "hole in the committed log", "out of order"],
)
def test_a_mistake_of_the_core_is_found(
    patches: list[tuple[object, str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name, mistake in patches:
        monkeypatch.setattr(owner, name, mistake)
    assert first_found()[0], "not found"


@pytest.mark.source
def test_who_drops_a_learner_that_is_only_behind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LearnerHandler, "_hold_up", impatient_hold_up)
    assert first_found(start=30)[1] == "calm"


@pytest.mark.source
def test_who_lets_sessions_expire_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SessionTracker, "touch", stingy_touch)
    assert first_found()[1] == "sessions"
