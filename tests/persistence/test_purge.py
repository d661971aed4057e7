"""File names, and which files may go."""

from __future__ import annotations

import pytest

from pyzk.persistence import filenames
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.purge import choose, purge
from pyzk.persistence.recovery import RecoveryOptions, recover
from pyzk.persistence.snapshot import write_snapshot
from tests.persistence.disks import framed, put, workload
from tests.transactions import database_of


def test_names() -> None:
    assert filenames.log_name(0x10000001F) == "log.10000001f"
    assert filenames.snapshot_name(0, ".gz") == "snapshot.0.gz"
    names = [
        "snapshot.a",
        "snapshot.2.gz",
        "snapshot.100.snappy",
        "snapshot.7.tmp",
        "snapshot.8.gz.tmp",
        "snapshot.ffffffffffffffff",
        "snapshot.x",
        "snapshot.5.bz2",
        "log.b",
        "log.2",
        "log.2.tmp",
        "logs",
        "myid",
    ]
    assert [name for _, name in filenames.snapshots(names)] == [
        "snapshot.2.gz",
        "snapshot.a",
        "snapshot.100.snappy",
    ]
    assert filenames.logs(names) == [(2, "log.2"), (11, "log.b")]


@pytest.mark.parametrize(
    ("zxid", "needed"),
    [(0, "1 5 9"), (1, "1 5 9"), (4, "1 5 9"), (5, "5 9"), (8, "5 9"), (100, "9")],
)
def test_logs_from(zxid: int, needed: str) -> None:
    names = ["log.1", "log.5", "log.9"]
    assert [log.name for log in filenames.logs_from(names, zxid)] == [
        f"log.{n}" for n in needed.split()
    ]


def build() -> MemoryDirectory:
    """Return a directory with snapshots at 0, 10, ..., 60 and logs that roll beside them."""
    directory = MemoryDirectory()
    payloads = workload(65)
    writer = LogWriter(directory, preallocate_bytes=0)
    write_snapshot(directory, database_of([]).freeze())
    for start in range(0, 65, 5):
        writer.append(framed(payloads[start : start + 5]))
        writer.sync()
        if start % 10 == 5:
            writer.roll()
            write_snapshot(directory, database_of(payloads[: start + 5]).freeze())
    writer.close()
    return directory


def test_purge_keeps_what_a_restart_from_the_oldest_kept_snapshot_needs() -> None:
    directory = build()
    before = recover(directory, directory, RecoveryOptions()).last_zxid
    removed = purge(directory, directory, 3)
    # Snapshots 40, 50, 60 stay (hexadecimal), and of the logs before 40 the newest.
    assert directory.names() == [
        "log.1f",
        "log.29",
        "log.33",
        "log.3d",
        "snapshot.28",
        "snapshot.32",
        "snapshot.3c",
    ]
    assert "log.1" in removed
    for _ in range(2):
        # Each snapshot in turn is enough, however few newer ones can be read.
        assert recover(directory, directory, RecoveryOptions()).last_zxid == before
        directory.remove(filenames.snapshots(directory.names())[-1].name)
    directory.crash()
    assert "log.1" not in directory.names()


def test_fewer_than_three_are_never_kept() -> None:
    directory = build()
    purge(directory, directory, 1)
    assert len(filenames.snapshots(directory.names())) == 3


def test_incomplete_snapshots_do_not_count() -> None:
    directory = build()
    for name in ("snapshot.61", "snapshot.62", "snapshot.63"):
        put(directory, name, b"ZKSN and no more")
    purge(directory, directory, 3)
    assert "snapshot.28" in directory.names()


def test_nothing_goes_without_a_whole_snapshot() -> None:
    directory = MemoryDirectory()
    put(directory, "snapshot.9", b"")
    put(directory, "log.1", b"")
    assert choose(directory, directory, 3) == ([], [])
    assert purge(directory, directory, 3) == []
