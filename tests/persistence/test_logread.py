"""A stretch of the log for a learner: what is in it, and when a snapshot is cheaper."""

from __future__ import annotations

import pytest

from pyzk.errors import Corrupt
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.logread import read_log
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.member_files import MemberFiles
from pyzk.persistence.recovery import RecoveryOptions
from pyzk.persistence.snapshot import write_snapshot
from tests.persistence.disks import flip, framed, workload
from tests.transactions import database_of

PAYLOADS = workload(30)


def directory(preallocate_bytes: int = 0) -> MemoryDirectory:
    """Logs that begin at 1, 0xb and 0x15, and a snapshot."""
    made = MemoryDirectory()
    write_snapshot(made, database_of(PAYLOADS).freeze())
    for start in (0, 10, 20):
        writer = LogWriter(made, preallocate_bytes=preallocate_bytes)
        writer.append(framed(PAYLOADS[start : start + 10]))
        writer.close()
    return made


def always(_further: int, _snapshot: int) -> bool:
    return True


def zxids(records: list[tuple[int, bytes]] | None) -> list[int]:
    assert records is not None
    return [zxid for zxid, _ in records]


@pytest.mark.parametrize(("after", "until"), [(1, 30), (10, 11), (5, 25), (30, 30), (0, 3)])
def test_both_ends_are_included(after: int, until: int) -> None:
    records = read_log(made := directory(), made, after, until, always)
    assert zxids(records) == list(range(max(after, 1), until + 1))
    assert records is not None
    assert all(payload == PAYLOADS[zxid - 1] for zxid, payload in records)


def test_a_log_whose_beginning_was_purged_is_not_read_from_before_it() -> None:
    made = directory()
    made.remove("log.1")
    assert zxids(read_log(made, made, 10, 20, always)) == list(range(11, 21))
    assert read_log(made, made, 9, 20, always) is None
    for name in ("log.b", "log.15"):
        made.remove(name)
    assert read_log(made, made, 30, 30, always) is None


def test_padding_ends_a_file_and_not_the_log() -> None:
    made = directory(preallocate_bytes=1 << 20)
    assert zxids(read_log(made, made, 8, 22, always)) == list(range(8, 23))


def test_the_price_is_the_files_behind_the_first_beside_the_newest_snapshot() -> None:
    made = directory()
    asked = []

    def is_affordable(further: int, snapshot: int) -> bool:
        asked.append((further, snapshot))
        return False

    assert read_log(made, made, 5, 30, is_affordable) is None
    assert read_log(made, made, 25, 30, is_affordable) is None
    further = made.size("log.b") + made.size("log.15")
    snapshot = made.size("snapshot.1e")
    assert asked == [(further, snapshot), (0, snapshot)]


def test_more_than_memory_shall_hold_is_not_read() -> None:
    made = directory()
    size = sum(map(len, PAYLOADS[9:20]))
    assert read_log(made, made, 10, 20, always, max_bytes=size - 1) is None
    assert zxids(read_log(made, made, 10, 20, always, max_bytes=size)) == list(range(10, 21))


def test_a_damaged_log_is_no_reason_to_stop_a_leader(caplog: pytest.LogCaptureFixture) -> None:
    made = directory()
    flip(made, "log.b", 40)
    with pytest.raises(Corrupt):
        read_log(made, made, 5, 30, always)
    files = MemberFiles(made, made, RecoveryOptions())
    assert files.read_log(5, 30, always) is None
    assert "a snapshot is sent instead" in caplog.text
