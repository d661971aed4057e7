"""Starts in which what was acknowledged would not be there: refused, or told."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable

import pytest

from pyzk.errors import StorageError
from pyzk.persistence import newest_log
from pyzk.persistence.directory import Directory, MemoryDirectory
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.purge import purge
from pyzk.persistence.recovery import Recovered, RecoveryOptions, recover
from pyzk.persistence.snapshot import write_snapshot
from tests.persistence.disks import framed, get, put, workload
from tests.transactions import database_of

PAYLOADS = workload(30)
OPTIONS = RecoveryOptions()


class KilledError(Exception):
    """The process has died."""


def lives(operation: str, name: str) -> None:
    """Let everything happen."""


def dies_at(operation: str, number: int) -> Callable[[str, str], None]:
    """Return what kills the process ahead of so many of an operation, of any if it is empty."""
    left = itertools.count(1 - number)

    def before(happening: str, name: str) -> None:
        if operation in ("", happening) and next(left) >= 0:
            raise KilledError

    return before


class Disk:
    """Snapshots and logs apart; three logs, of which each was begun by another process."""

    def __init__(self) -> None:
        self.snapshots = MemoryDirectory("data/version-2")
        self.logs = MemoryDirectory("datalog/version-2")
        self.load()
        for start in (0, 10, 20):
            self.write(PAYLOADS[start : start + 10])

    def write(self, payloads: list[bytes]) -> None:
        writer = LogWriter(self.logs, preallocate_bytes=4096, snap_directory=self.snapshots)
        writer.append(framed(payloads))
        writer.close()

    def snapshot(self, zxid: int) -> None:
        write_snapshot(self.snapshots, database_of(PAYLOADS[:zxid]).freeze())

    def load(self, logs: Directory | None = None, options: RecoveryOptions = OPTIONS) -> Recovered:
        return recover(self.snapshots, logs or self.logs, options)


def test_each_log_is_noted_before_its_first_record() -> None:
    disk = Disk()
    assert get(disk.snapshots, newest_log.NAME) == b"datalog/version-2/log.15\n"
    disk.snapshots.crash()
    assert get(disk.snapshots, newest_log.NAME) == b"datalog/version-2/log.15\n"
    assert disk.load().last_zxid == 30


@pytest.mark.parametrize("zxid", [0, 12, 30])
def test_snapshots_alone_are_refused_if_a_log_was_begun(zxid: int) -> None:
    """dataLogDir was taken out of zoo.cfg, or is an empty mount point."""
    disk = Disk()
    disk.snapshot(zxid)
    before = disk.snapshots.names()
    for logs in (disk.snapshots, MemoryDirectory("elsewhere")):
        with pytest.raises(StorageError) as caught:
            disk.load(logs)
        message = str(caught.value)
        assert message.startswith(f"{logs.path}: log.15 is missing, the newest log")
        assert "written as datalog/version-2/log.15: without it" in message
        assert message.endswith("remove data/version-2/newestLog")
    assert disk.snapshots.names() == before
    assert disk.load().last_zxid == 30


def test_a_log_directory_of_former_times_is_refused() -> None:
    disk = Disk()
    disk.snapshot(25)
    former = MemoryDirectory("former")
    for name in ("log.1", "log.b"):
        put(former, name, get(disk.logs, name))
    with pytest.raises(StorageError, match=r"log\.15 is missing"):
        disk.load(former)


def test_a_noted_log_that_has_no_record_yet_is_never_missing() -> None:
    """It is begun once more by the next process, which may die at each step."""
    for step in range(1, 12):
        disk = Disk()
        writer = LogWriter(disk.logs, preallocate_bytes=4096, snap_directory=disk.snapshots)
        disk.logs.before = dies_at("write", 2)
        with pytest.raises(KilledError):
            writer.append(framed(workload(1, first=31)))
        disk.logs.crash()
        assert get(disk.snapshots, newest_log.NAME) == b"datalog/version-2/log.1f\n"
        assert disk.load().last_zxid == 30
        disk.logs.before = dies_at("", step)
        try:
            disk.write(workload(1, first=31))
        except KilledError:
            # What the process has written is there, synced or not.
            disk.logs.before = lives
            assert disk.load().last_zxid in (30, 31), step
        else:
            assert step > 5
            return
    raise AssertionError("it never lived")


def test_removing_the_note_gives_the_transactions_up() -> None:
    disk = Disk()
    disk.snapshots.remove(newest_log.NAME)
    recovered = disk.load(MemoryDirectory("elsewhere"))
    assert recovered.last_zxid == 0


def test_a_note_that_is_older_than_the_logs_says_nothing() -> None:
    """Another server has used the directory meanwhile, or the note could not be written."""
    disk = Disk()
    put(disk.snapshots, newest_log.NAME, b"datalog/version-2/log.b\n")
    for name in ("log.1", "log.b"):
        disk.logs.remove(name)
    disk.snapshot(20)
    assert disk.load().last_zxid == 30


@pytest.mark.parametrize("note", [b"", b"\xff\xfe", b"log.\n", b"log.15 and more"])
def test_a_note_that_nobody_wrote_says_nothing(note: bytes) -> None:
    disk = Disk()
    put(disk.snapshots, newest_log.NAME, note)
    assert disk.load(MemoryDirectory("elsewhere")).last_zxid == 0


def test_purging_keeps_the_log_that_is_noted() -> None:
    disk = Disk()
    for zxid in (28, 29, 30):
        disk.snapshot(zxid)
    purge(disk.snapshots, disk.logs, 3)
    assert disk.logs.names() == ["log.15"]
    assert disk.load().last_zxid == 30


def test_a_full_disk_of_snapshots_costs_the_note_only(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()

    def full(operation: str, name: str) -> None:
        if operation == "write":
            raise StorageError("no space", path=name)

    disk.snapshots.before = full
    with caplog.at_level(logging.WARNING):
        disk.write([workload(1, first=31)[0]])
    assert "could not be noted" in caplog.text
    assert get(disk.snapshots, newest_log.NAME) == b"datalog/version-2/log.15\n"
    disk.snapshots.crash()
    assert disk.load().last_zxid == 31


def test_a_lonely_snapshot_is_told() -> None:
    """Without a note nobody can know: a restored backup has none either."""
    directory = MemoryDirectory()
    write_snapshot(directory, database_of(PAYLOADS[:12]).freeze())
    (note,) = recover(directory, directory, OPTIONS).notes
    assert "there is no log in memory" in note
    assert "(dataLogDir)" in note


def test_a_server_that_was_never_written_to_says_nothing_but_the_first_time() -> None:
    directory = MemoryDirectory()
    recover(directory, directory, OPTIONS._replace(is_foreign=True))
    assert recover(directory, directory, OPTIONS).notes == []
    (note,) = recover(directory, directory, OPTIONS._replace(is_foreign=True)).notes
    assert "there is no log" in note


@pytest.mark.parametrize(
    ("zxids", "is_told"),
    [([0, 0x100000000, 0x200000000], False), ([0x100000003, 0x200000000], True)],
)
def test_a_member_is_told_only_if_there_was_a_transaction(zxids: list[int], is_told: bool) -> None:
    """Each epoch of an ensemble begins with a snapshot, also if nobody has written yet."""
    directory = MemoryDirectory()
    for zxid in zxids:
        database = database_of([])
        database.tree.last_zxid = zxid
        write_snapshot(directory, database.freeze())
    assert bool(recover(directory, directory, OPTIONS).notes) == is_told
    assert recover(directory, directory, OPTIONS._replace(is_foreign=True)).notes


@pytest.mark.parametrize("names", [["acceptedEpoch"], ["acceptedEpoch", "currentEpoch"]])
def test_no_new_database_where_a_member_has_been(names: list[str]) -> None:
    directory = MemoryDirectory()
    for name in names:
        put(directory, name, b"3")
    with pytest.raises(StorageError, match=f"{' and '.join(names)}, but neither a snapshot"):
        recover(directory, directory, OPTIONS)
    assert directory.names() == names
    assert recover(directory, directory, OPTIONS._replace(initialize=True)).is_new


def test_no_new_database_where_a_log_was_begun() -> None:
    directory = MemoryDirectory()
    put(directory, newest_log.NAME, b"datalog/version-2/log.15\n")
    with pytest.raises(StorageError, match=r"log\.15 is missing"):
        recover(directory, MemoryDirectory("empty"), OPTIONS)
