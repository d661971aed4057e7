"""The log writer: files, preallocation, rolling, and its one-way failure."""

from __future__ import annotations

import pytest

from pyzk.errors import Corrupt, StorageError
from pyzk.persistence.directory import DirectoryFile, MemoryDirectory
from pyzk.persistence.logwriter import LogWriter, check_room
from pyzk.persistence.txnlog import HEADER_BYTES, LogScan, frame_record, payload_zxid
from tests.persistence.disks import create_payload, framed, put, workload

PAYLOADS = workload(9)
RECORDS = framed(PAYLOADS)


def zxids(directory: MemoryDirectory, name: str) -> list[int]:
    return [payload_zxid(payload) for _, payload in LogScan(directory, name)]


def test_file_is_named_by_its_first_zxid_and_made_at_the_first_append() -> None:
    directory = MemoryDirectory()
    writer = LogWriter(directory, preallocate_bytes=0)
    writer.sync()
    assert directory.names() == []
    writer.append([])
    assert directory.names() == []
    writer.append(framed([create_payload(0x1F, "/a")]))
    assert directory.names() == ["log.1f"]
    assert writer.name == "log.1f"


def test_preallocated_size_is_java_s() -> None:
    directory = MemoryDirectory()
    writer = LogWriter(directory, preallocate_bytes=65536)
    writer.append(RECORDS)
    assert directory.size("log.1") == 65536 + 16
    assert zxids(directory, "log.1") == list(range(1, 10))
    big = [frame_record(create_payload(10, "/big", bytes(65536 * 3)))]
    writer.append(big)
    writer.append(framed([create_payload(11, "/c")]))
    assert zxids(directory, "log.1") == list(range(1, 12))
    assert directory.size("log.1") >= writer.file_bytes + 4096


class CountingFile:
    """A file that notes how long each write is."""

    def __init__(self, file: DirectoryFile, writes: list[int]) -> None:
        self.file = file
        self.writes = writes

    def write_at(self, data: bytes, offset: int) -> None:
        self.writes.append(len(data))
        self.file.write_at(data, offset)

    def write_durably(self, data: bytes, offset: int) -> None:
        self.writes.append(len(data))
        self.file.write_durably(data, offset)

    def sync(self) -> None:
        self.file.sync()

    def truncate(self, size: int) -> None:
        self.file.truncate(size)

    def close(self) -> None:
        self.file.close()


class CountingDirectory(MemoryDirectory):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[int] = []

    def create(self, name: str) -> DirectoryFile:
        return CountingFile(super().create(name), self.writes)


def operations(directory: MemoryDirectory) -> list[str]:
    """Has the directory note what is done to it, from now on."""
    done: list[str] = []
    directory.before = lambda operation, name: done.append(f"{operation} {name}".strip())
    return done


def test_committed_records_are_durable_with_one_sync_each() -> None:
    directory = MemoryDirectory()
    writer = LogWriter(directory, preallocate_bytes=65536)
    writer.commit(RECORDS[:2])
    done = operations(directory)
    writer.commit(RECORDS[2:3])
    writer.commit(RECORDS[3:5])
    writer.commit([])
    assert done == ["write log.1", "sync log.1"] * 2
    directory.crash()
    assert zxids(directory, "log.1") == [1, 2, 3, 4, 5]
    assert directory.size("log.1") == 65536 + 16, "the preallocated size is durable, too"


def test_a_commit_makes_durable_what_was_appended_before_it() -> None:
    directory = MemoryDirectory()
    writer = LogWriter(directory, preallocate_bytes=0)
    writer.append(RECORDS[:2])
    writer.commit(RECORDS[2:4])
    directory.crash()
    assert zxids(directory, "log.1") == [1, 2, 3, 4]


def test_a_commit_without_force_sync_syncs_nothing() -> None:
    directory = MemoryDirectory()
    done = operations(directory)
    writer = LogWriter(directory, preallocate_bytes=65536, force_sync=False)
    writer.commit(RECORDS[:2])
    writer.commit(RECORDS[2:4])
    assert not [each for each in done if each.startswith("sync")]
    assert zxids(directory, "log.1") == [1, 2, 3, 4]


def test_a_commit_that_outgrows_the_limit_ends_the_file() -> None:
    directory = MemoryDirectory()
    writer = LogWriter(directory, preallocate_bytes=0, size_limit_bytes=HEADER_BYTES + 1)
    writer.commit(RECORDS[:1])
    writer.commit(RECORDS[1:2])
    assert directory.names() == ["log.1", "log.2"]


@pytest.mark.parametrize("failing", ["write", "sync"])
def test_a_commit_that_fails_breaks_the_writer(failing: str) -> None:
    directory = MemoryDirectory()
    writer = LogWriter(directory, preallocate_bytes=65536)
    writer.commit(RECORDS[:1])

    def fail(operation: str, name: str) -> None:
        if operation == failing:
            raise StorageError("the disk failed", path=name)

    directory.before = fail
    with pytest.raises(StorageError, match="the disk failed"):
        writer.commit(RECORDS[1:2])
    directory.before = lambda _operation, _name: None
    with pytest.raises(StorageError, match="the disk failed"):
        writer.commit(RECORDS[2:3])


def test_zeros_are_written_ahead_of_some_batches_and_never_beyond_the_file() -> None:
    directory = CountingDirectory()
    writer = LogWriter(directory, preallocate_bytes=1 << 20)
    batch = framed([create_payload(1, "/a", bytes(5000))])
    length = len(batch[0])
    for _ in range(300):
        writer.append(batch)
        writer.sync()
    sizes = [size for size in directory.writes if size >= length]
    assert max(sizes) == 21 * length
    assert sizes.count(length) > 270
    assert directory.size("log.1") == (2 << 20) + 16  # as Java makes it
    scan = LogScan(directory, "log.1")
    assert len(list(scan)) == 300
    assert not any(directory.read("log.1", writer.file_bytes, 2 << 20))


def test_without_preallocation_no_zeros_are_written() -> None:
    directory = CountingDirectory()
    writer = LogWriter(directory, preallocate_bytes=0)
    writer.append(RECORDS)
    assert directory.writes == [HEADER_BYTES, sum(map(len, RECORDS))]


def test_without_preallocation_the_file_ends_with_its_records() -> None:
    directory = MemoryDirectory()
    writer = LogWriter(directory, preallocate_bytes=-1)
    writer.append(RECORDS)
    assert directory.size("log.1") == HEADER_BYTES + sum(map(len, RECORDS)) == writer.file_bytes


def test_synced_records_survive_and_others_do_not() -> None:
    directory = MemoryDirectory()
    writer = LogWriter(directory)
    writer.append(RECORDS[:3])
    writer.sync()
    writer.append(RECORDS[3:])
    assert directory.crash() > 0
    assert zxids(directory, "log.1") == [1, 2, 3]


def test_roll_syncs_and_begins_another_file() -> None:
    directory = MemoryDirectory()
    writer = LogWriter(directory, preallocate_bytes=4096)
    writer.append(RECORDS[:3])
    writer.roll()
    assert writer.file_bytes == 0
    writer.append(RECORDS[3:])
    writer.sync()
    directory.crash()
    assert zxids(directory, "log.1") == [1, 2, 3]
    assert zxids(directory, "log.4") == [4, 5, 6, 7, 8, 9]


def test_size_limit_rolls_after_a_sync() -> None:
    directory = MemoryDirectory()
    writer = LogWriter(directory, preallocate_bytes=0, size_limit_bytes=200)
    for record in RECORDS:
        writer.append([record])
        writer.sync()
    assert len(directory.names()) > 2
    found = [zxid for name in directory.names() for zxid in zxids(directory, name)]
    assert found == list(range(1, 10))


def test_log_with_records_is_never_overwritten() -> None:
    directory = MemoryDirectory()
    first = LogWriter(directory, preallocate_bytes=0)
    first.append(RECORDS[:2])
    first.close()
    with pytest.raises(Corrupt, match="in the way"):
        LogWriter(directory).append(RECORDS[:1])
    assert zxids(directory, "log.1") == [1, 2]


def test_log_without_a_whole_record_is_replaced() -> None:
    directory = MemoryDirectory()
    put(directory, "log.1", b"ZKLG\0\0\0\2" + bytes(8) + RECORDS[0][:-1])
    writer = LogWriter(directory, preallocate_bytes=0)
    writer.append(RECORDS)
    writer.close()
    assert zxids(directory, "log.1") == list(range(1, 10))


@pytest.mark.parametrize("operation", ["create", "write", "sync"])
def test_failure_is_final(operation: str) -> None:
    directory = MemoryDirectory()
    writer = LogWriter(directory)
    if operation == "sync":
        writer.append(RECORDS[:1])
        writer.sync()
        writer.append(RECORDS[1:2])

    def fail(what: str, name: str) -> None:
        if what == operation:
            raise StorageError("cannot " + what, path=name)

    directory.before = fail
    with pytest.raises(StorageError, match="cannot"):
        if operation == "sync":
            writer.sync()
        else:
            writer.append(RECORDS[:1])
    directory.before = lambda _what, _name: None
    # The disk would say yes now; the writer must not ask it.
    for attempt in (writer.sync, writer.roll, lambda: writer.append(RECORDS[2:3])):
        with pytest.raises(StorageError, match="cannot"):
            attempt()
    writer.close()


def test_force_sync_off_never_syncs() -> None:
    directory = MemoryDirectory()
    calls: list[str] = []
    directory.before = lambda what, _name: calls.append(what)
    writer = LogWriter(directory, force_sync=False)
    writer.append(RECORDS)
    writer.sync()
    writer.close()
    assert "sync" not in calls


def test_abandoned_writer_writes_nothing_more() -> None:
    directory = MemoryDirectory()
    writer = LogWriter(directory)
    writer.append(RECORDS[:1])
    writer.abandon()
    with pytest.raises(StorageError, match="abandoned"):
        writer.append(RECORDS[1:2])


def test_room_for_a_log_is_looked_for_without_a_trace() -> None:
    directory = MemoryDirectory()
    check_room(directory, 1 << 20)
    assert directory.names() == []


@pytest.mark.parametrize("failing", ["create", "write", "sync"])
def test_no_room_for_a_log_is_refused_without_a_trace(failing: str) -> None:
    directory = MemoryDirectory("d")

    def full(operation: str, name: str) -> None:
        if operation == failing:
            raise StorageError("no space", path=name)

    directory.before = full
    with pytest.raises(StorageError, match=r"probe\.tmp: no space"):
        check_room(directory, 1 << 20)
    assert directory.names() == []
