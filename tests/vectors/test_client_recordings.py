"""Every recorded exchange with Apache ZooKeeper 3.9.3, replayed in process.

Pure inputs and a virtual clock: recorded pauses take no time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance import in_process, known_differences, recording, replay
from conformance.recording import Recording

PATHS = sorted(replay.RECORDINGS.glob("*.jsonl.gz"))


def _name(path: Path) -> str:
    return path.name.removesuffix(".jsonl.gz")


def _run(loaded: Recording) -> replay.Outcome:
    config = in_process.configured(loaded.config, loaded.properties)
    return replay.replay(loaded, in_process.PeerTarget(config))


@pytest.mark.parametrize("path", PATHS, ids=_name)
def test_every_answer_is_the_original_s(path: Path) -> None:
    loaded = recording.load(path)
    outcome = _run(loaded)
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert not outcome.mismatches, "\n".join(map(str, outcome.mismatches))
    assert outcome.compared > 0


def test_the_recordings_are_all_there() -> None:
    assert len(PATHS) == 51


def test_known_differences_name_recorded_lines() -> None:
    names = {_name(path) for path in PATHS}
    for difference in known_differences.KNOWN:
        loaded = recording.load(replay.RECORDINGS / f"{difference.recording}.jsonl.gz")
        assert difference.first <= difference.last <= loaded.lines[-1].number
        assert difference.reason
    assert set(known_differences.SKIPPED) <= names
