"""The disk thread and the snapshot thread, driven by a loop of our own: no waiting, no sleeping."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest

from pyzk.data.txn import decode_txn
from pyzk.errors import StorageError
from pyzk.metrics import Metrics
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.recovery import RecoveryOptions, recover
from pyzk.persistence.snapshot import write_snapshot
from pyzk.runtime.disk import DiskThread, SnapshotThread
from pyzk.runtime.sync_times import LONGEST_SYNC_S, SHORT_SYNC_S
from tests.persistence.disks import contents, create_payload, framed, workload
from tests.transactions import database_of

RECORDS = framed(workload(30))


class Loop:
    """What is posted, and a way to run it in the thread of the test."""

    def __init__(self) -> None:
        self.posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.synced: list[int] = []
        self.errors: list[StorageError] = []
        self.metrics = Metrics()

    def run_until(self, done: Callable[[], object]) -> None:
        while not done():
            self.posted.get(timeout=20)()

    def run_posted(self) -> None:
        while not self.posted.empty():
            self.posted.get()()


class Clock:
    """A clock that goes on by ``step`` whenever it is read: so long each sync takes."""

    def __init__(self) -> None:
        self.time = 0.0
        self.step = 0.0

    def __call__(self) -> float:
        self.time += self.step
        return self.time


def disk_thread(
    directory: MemoryDirectory,
    loop: Loop,
    threshold_ms: int = 1000,
    clock: Callable[[], float] = lambda: 0.0,
) -> DiskThread:
    disk = DiskThread(
        LogWriter(directory),
        post=loop.posted.put,
        on_synced=loop.synced.append,
        on_error=loop.errors.append,
        metrics=loop.metrics,
        warning_threshold_ms=threshold_ms,
        now=clock,
    )
    disk.start()
    return disk


def written(disk: DiskThread, loop: Loop, zxid: int) -> None:
    """Has the thread write all records up to ``zxid``, and waits until it has nothing to do."""
    disk.append(RECORDS[:zxid], zxid)
    loop.run_until(lambda: loop.synced == [zxid])
    wait_for(disk)


def wait_for(disk: DiskThread) -> None:
    while not disk.is_idle:
        pass


def last_zxid(directory: MemoryDirectory) -> int:
    write_snapshot(directory, database_of([]).freeze())
    return recover(directory, directory, RecoveryOptions()).last_zxid


def test_records_are_durable_when_synced_is_told() -> None:
    directory, loop = MemoryDirectory(), Loop()
    disk = disk_thread(directory, loop)
    disk.append(RECORDS[:3], 3)
    loop.run_until(lambda: loop.synced)
    assert loop.synced == [3]
    disk.abandon()
    directory.crash()
    assert last_zxid(directory) == 3
    assert loop.metrics.fsynctime.count == 1


def test_what_arrives_during_a_sync_shares_the_next_one() -> None:
    directory, loop = MemoryDirectory(), Loop()
    first_write, go_on = threading.Event(), threading.Event()

    def hold(operation: str, name: str) -> None:
        if operation == "write":
            first_write.set()
            assert go_on.wait(20)

    directory.before = hold
    disk = disk_thread(directory, loop)
    disk.append(RECORDS[:1], 1)
    assert first_write.wait(20)
    for zxid in range(2, 11):
        disk.append([RECORDS[zxid - 1]], zxid)
    go_on.set()
    disk.close()
    loop.run_posted()
    assert loop.synced == [1, 10]
    assert loop.metrics.fsynctime.count == 2


def test_close_syncs_what_was_appended() -> None:
    directory, loop = MemoryDirectory(), Loop()
    disk = disk_thread(directory, loop)
    for zxid in range(1, 31):
        disk.append([RECORDS[zxid - 1]], zxid)
    disk.close()
    loop.run_posted()
    assert loop.synced[-1] == 30
    directory.crash()
    assert last_zxid(directory) == 30
    # Closing a thread that never began is nothing.
    DiskThread(
        LogWriter(directory),
        post=loop.posted.put,
        on_synced=loop.synced.append,
        on_error=loop.errors.append,
        metrics=loop.metrics,
    ).close()


def test_roll_begins_a_new_file() -> None:
    directory, loop = MemoryDirectory(), Loop()
    disk = disk_thread(directory, loop)
    disk.append(RECORDS[:3], 3)
    disk.roll()
    disk.append(RECORDS[3:5], 5)
    loop.run_until(lambda: loop.synced and loop.synced[-1] == 5)
    disk.close()
    assert directory.names() == ["log.1", "log.4"]


@pytest.mark.parametrize("failing", ["create", "write", "sync"])
def test_failure_is_told_once_and_nothing_is_synced_after_it(failing: str) -> None:
    directory, loop = MemoryDirectory(), Loop()
    disk = disk_thread(directory, loop)
    disk.append(RECORDS[:2], 2)
    loop.run_until(lambda: loop.synced)

    def fail(operation: str, name: str) -> None:
        if operation == failing:
            raise StorageError("the disk failed", path=name)

    disk.roll()
    directory.before = fail
    disk.append(RECORDS[2:3], 3)
    loop.run_until(lambda: loop.errors)
    directory.before = lambda _operation, _name: None
    disk.append(RECORDS[3:], 30)
    disk.close()
    loop.run_posted()
    assert loop.synced == [2]
    assert [str(error).startswith("log.3: the disk failed") for error in loop.errors] == [True]


def test_bug_in_the_thread_ends_service_too() -> None:
    loop = Loop()
    disk = disk_thread(MemoryDirectory(), loop)
    disk.append([b"too short for a zxid"], 1)
    loop.run_until(lambda: loop.errors)
    assert "disk thread failed" in str(loop.errors[0])
    disk.close()


def test_slow_sync_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop()
    disk = disk_thread(MemoryDirectory(), loop, threshold_ms=-1)
    disk.append(RECORDS[:1], 1)
    disk.close()
    loop.run_posted()
    assert loop.metrics.fsync_threshold_exceed_count == 1
    assert "every write waits for it" in caplog.text
    assert loop.metrics.fsynctime.count == 1


def test_waits_and_batches_are_counted() -> None:
    loop, clock = Loop(), Clock()
    disk = disk_thread(MemoryDirectory(), loop, clock=clock)
    clock.step = 0.25
    disk.append(RECORDS[:2], 2)
    disk.close()
    loop.run_posted()
    metrics = loop.metrics
    assert metrics.sync_processor_request_queued == metrics.sync_processor_batch_size.sum == 2
    assert metrics.sync_processor_batch_size.count == 1
    assert (metrics.fsynctime.count, metrics.fsynctime.sum) == (1, 250)
    flush = metrics.sync_processor_queue_flush_time_ms
    wait, both = (
        metrics.sync_processor_queue_time_ms,
        metrics.sync_processor_queue_and_flush_time_ms,
    )
    assert (flush.count, flush.sum) == (1, 250)
    assert (wait.count, wait.sum) == (2, 500)
    assert (both.count, both.sum) == (2, 1000)


def test_abandoned_thread_tells_nothing_more() -> None:
    directory, loop = MemoryDirectory(), Loop()
    disk = disk_thread(directory, loop)
    disk.abandon()
    disk.append(RECORDS[:1], 1)
    assert loop.posted.empty()
    assert directory.names() == []


def test_the_loop_writes_into_a_file_that_is_ready_and_no_thread_is_woken() -> None:
    directory, loop = MemoryDirectory(), Loop()
    disk = disk_thread(directory, loop)
    assert not disk.commit_here([RECORDS[0]], SHORT_SYNC_S), (
        "there is no file yet, and the disk is unknown"
    )
    written(disk, loop, 2)
    assert disk.commit_here([RECORDS[2]], SHORT_SYNC_S)
    assert disk.commit_here([RECORDS[3]], SHORT_SYNC_S)
    assert loop.posted.empty()
    assert loop.metrics.fsynctime.count == 3
    disk.abandon()
    directory.crash()
    assert last_zxid(directory) == 4


def test_the_loop_writes_nothing_while_the_thread_has_work() -> None:
    directory, loop = MemoryDirectory(), Loop()
    disk = disk_thread(directory, loop)
    written(disk, loop, 2)
    writing, go_on = threading.Event(), threading.Event()

    def hold(operation: str, name: str) -> None:
        writing.set()
        assert go_on.wait(20)

    directory.before = hold
    disk.append(RECORDS[2:3], 3)
    assert writing.wait(20)
    assert not disk.commit_here([RECORDS[3]], SHORT_SYNC_S)
    go_on.set()
    disk.append(RECORDS[3:4], 4)
    loop.run_until(lambda: loop.synced[-1] == 4)
    wait_for(disk)
    assert disk.commit_here([RECORDS[4]], SHORT_SYNC_S)
    disk.close()
    assert last_zxid(directory) == 5


def test_the_loop_leaves_a_new_file_and_new_blocks_to_the_thread() -> None:
    directory, loop = MemoryDirectory(), Loop()
    disk = disk_thread(directory, loop)
    written(disk, loop, 2)
    size = directory.size("log.1")
    assert not disk.commit_here([RECORDS[2] + bytes(70_000)], SHORT_SYNC_S)
    disk.roll()
    wait_for(disk)
    assert not disk.commit_here([RECORDS[2]], SHORT_SYNC_S)
    disk.close()
    assert (directory.names(), directory.size("log.1")) == (["log.1"], size)


def test_the_loop_leaves_a_slow_disk_to_the_thread() -> None:
    directory, loop, clock = MemoryDirectory(), Loop(), Clock()
    disk = disk_thread(directory, loop, clock=clock)
    written(disk, loop, 2)
    clock.step = 10 * LONGEST_SYNC_S
    assert disk.commit_here([RECORDS[2]], SHORT_SYNC_S), "nobody knew before"
    clock.step = 0.0
    assert not disk.commit_here([RECORDS[3]], SHORT_SYNC_S)
    disk.append(RECORDS[3:4], 4)
    loop.run_until(lambda: loop.synced[-1] == 4)
    wait_for(disk)
    clock.time += 99 * LONGEST_SYNC_S
    assert not disk.commit_here([RECORDS[4]], SHORT_SYNC_S)
    clock.time += 2 * LONGEST_SYNC_S
    assert disk.commit_here([RECORDS[4]], SHORT_SYNC_S)
    disk.close()


def test_failure_on_the_loop_is_final() -> None:
    directory, loop = MemoryDirectory(), Loop()
    disk = disk_thread(directory, loop)
    written(disk, loop, 2)

    def fail(operation: str, name: str) -> None:
        raise StorageError("the disk failed", path=name)

    directory.before = fail
    with pytest.raises(StorageError, match="the disk failed"):
        disk.commit_here([RECORDS[2]], SHORT_SYNC_S)
    directory.before = lambda _operation, _name: None
    with pytest.raises(StorageError, match="the disk failed"):
        disk.commit_here([RECORDS[3]], SHORT_SYNC_S)
    disk.append(RECORDS[3:4], 4)
    disk.close()
    loop.run_posted()
    assert loop.synced == [2]


def snapshot_thread(directory: MemoryDirectory, loop: Loop, suffix: str = "") -> SnapshotThread:
    thread = SnapshotThread(directory, directory, post=loop.posted.put, suffix=suffix)
    thread.start()
    return thread


@pytest.mark.parametrize("suffix", ["", ".gz", ".snappy"])
def test_snapshot_while_transactions_go_on(suffix: str) -> None:
    directory, loop = MemoryDirectory(), Loop()
    payloads = workload(1500)
    database = database_of(payloads)
    before = contents(database)
    thread = snapshot_thread(directory, loop, suffix)
    done: list[str] = []
    thread.take(database.freeze(), done.append, loop.errors.append)
    busy = [thread.busy]
    zxid = 1501
    while not done:
        loop.posted.get(timeout=20)()
        if zxid < 1600:
            database.replay(decode_txn(create_payload(zxid, f"/later{zxid}")))
            zxid += 1
    busy.append(thread.busy)
    assert busy == [True, False]
    assert done == [f"snapshot.5dc{suffix}"]
    thread.close()
    directory.crash()
    recovered = recover(directory, directory, RecoveryOptions())
    assert contents(recovered.database) == before


def test_full_disk_costs_the_snapshot_only() -> None:
    directory, loop = MemoryDirectory(), Loop()
    database = database_of(workload(1000))
    thread = snapshot_thread(directory, loop)

    for failing in ("create", "write", "sync", "rename"):

        def fail(operation: str, name: str, failing: str = failing) -> None:
            if operation == failing:
                raise StorageError("no space left", path=name)

        directory.before = fail
        thread.take(database.freeze(), lambda _: None, loop.errors.append)
        loop.run_until(lambda: loop.errors)
        assert "no space left" in str(loop.errors.pop())
        assert not thread.busy
        assert directory.names() == []
    directory.before = lambda _operation, _name: None
    done: list[str] = []
    thread.take(database.freeze(), done.append, loop.errors.append)
    loop.run_until(lambda: done)
    thread.close()


def test_closing_gives_a_snapshot_up() -> None:
    directory, loop = MemoryDirectory(), Loop()
    database = database_of(workload(2000))
    thread = snapshot_thread(directory, loop)
    done: list[str] = []
    thread.take(database.freeze(), done.append, loop.errors.append)
    thread.close()
    loop.run_posted()
    assert (done, loop.errors, directory.names()) == ([], [], [])
    database.freeze().close()


def test_bug_in_a_snapshot_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    directory, loop = MemoryDirectory(), Loop()
    thread = snapshot_thread(directory, loop)
    monkeypatch.setattr("pyzk.persistence.directory._MemoryFile.sync", lambda _: 1 // 0)
    thread.take(database_of(workload(5)).freeze(), lambda _: None, loop.errors.append)
    loop.run_until(lambda: loop.errors)
    assert "ZeroDivisionError" in str(loop.errors[0])
    assert directory.names() == []
    thread.close()


def test_purge_beside_the_loop() -> None:
    directory, loop = MemoryDirectory(), Loop()
    for count in (0, 5, 10, 15, 20):
        write_snapshot(directory, database_of(workload(count)).freeze())
    thread = snapshot_thread(directory, loop)
    removed: list[list[str]] = []
    thread.purge(3, removed.append, loop.errors.append)
    loop.run_until(lambda: removed)
    assert removed == [["snapshot.0", "snapshot.5"]]

    def fail(operation: str, name: str) -> None:
        raise StorageError("cannot remove", path=name)

    write_snapshot(directory, database_of(workload(25)).freeze())
    directory.before = fail
    thread.purge(3, removed.append, loop.errors.append)
    loop.run_until(lambda: loop.errors)
    thread.close()


def test_a_disk_that_hangs_shows_for_how_long() -> None:
    directory, loop, clock = MemoryDirectory(), Loop(), Clock()
    in_write, go_on = threading.Event(), threading.Event()

    def hold(operation: str, name: str) -> None:
        if operation == "write":
            in_write.set()
            assert go_on.wait(20)

    directory.before = hold
    clock.time = 10.0
    disk = disk_thread(directory, loop, clock=clock)
    assert disk.busy_ms == 0
    disk.append(RECORDS[:1], 1)
    assert in_write.wait(20)
    clock.time = 16.5
    assert disk.busy_ms == 6500
    go_on.set()
    loop.run_until(lambda: loop.synced == [1])
    wait_for(disk)
    assert disk.busy_ms == 0

    in_work, go_on_too = threading.Event(), threading.Event()

    def work() -> None:
        in_work.set()
        assert go_on_too.wait(20)

    answered: list[None] = []
    disk.run(work, answered.append)
    assert in_work.wait(20)
    clock.time += 2
    assert disk.busy_ms == 2000
    go_on_too.set()
    loop.run_until(lambda: answered)
    wait_for(disk)
    assert disk.busy_ms == 0
    disk.close()
