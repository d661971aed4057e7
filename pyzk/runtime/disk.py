"""The disk thread, which makes the log durable, and the snapshot thread beside it.

Shell. The event loop hands batches of records to the disk thread, which writes and syncs whatever
has come together while its previous sync ran (group commit without a knob) and posts the last zxid
back. So the loop waits for no disk, but for one whose syncs are short: a small batch for which the
thread would only be woken may be committed by the loop itself (`DiskThread.commit_here`). Snapshots
go to a second thread, or a long one would hold up the log.

A failure of the log is final: it is posted once, and nothing that comes later is ever reported as
synced. A failure of a snapshot costs that snapshot only.

The hand-over is a `queue.SimpleQueue`: of the four ways measured it was as fast as any (about
70 us there and back on the machine of docs/on-disk.md, nearly all of it the two wake-ups).

ZooKeeper: SyncRequestProcessor, FileTxnLog.commit, DatadirCleanupManager.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Final, TypeVar

from pyzk.data.database import FrozenDatabase
from pyzk.errors import StorageError
from pyzk.metrics import Metrics
from pyzk.persistence import purge
from pyzk.persistence.directory import Directory
from pyzk.persistence.filenames import snapshot_name
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.snapshot import NODES_PER_READ, SnapshotWriter
from pyzk.runtime.sync_times import SyncTimes

log = logging.getLogger(__name__)

MAX_BATCH_BYTES: Final = 8 << 20
"""The size at which a batch is synced, however much more is waiting."""

MAX_REST_S: Final = 0.01
"""The longest pause of the snapshot thread between two pieces; on a slow disk, writing is pause
enough."""

_Result = TypeVar("_Result")
Post = Callable[[Callable[[], None]], object]
"""Runs a function on the event loop: `runtime.mailbox`."""


class _Roll:
    """An order in the queue: begin a new file with the next record."""


class _Close:
    """An order in the queue: sync and end."""


class _Work:
    """An order in the queue: do this when all that was appended before is durable."""

    __slots__ = ("answer", "work")

    def __init__(self, work: Callable[[], _Result], answer: Callable[[_Result], None]) -> None:
        self.work = work
        self.answer = answer

    def run(self) -> Callable[[], None]:
        """Do the work; return the call that tells the loop."""
        return partial(self.answer, self.work())


_Item = tuple[list[bytes], int, float] | _Roll | _Work | _Close
"""Among others, records: framed, the last zxid, and when the loop has handed them over."""


class DiskThread:
    """Owns the log. `append` returns at once; ``on_synced(zxid)`` is called when the record is
    durable."""

    def __init__(
        self,
        writer: LogWriter,
        *,
        post: Post,
        on_synced: Callable[[int], None],
        on_error: Callable[[StorageError], None],
        metrics: Metrics,
        warning_threshold_ms: int = 1000,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``metrics`` is where syncs are counted, ``now`` tells the seconds of a clock that never
        goes back."""
        self._metrics = metrics
        self._writer = writer
        self._post = post
        self._on_synced = on_synced
        self._on_error = on_error
        self._warning_threshold_ms = warning_threshold_ms
        self._now = now
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._handed = 0
        """How many items the loop has put into the queue."""
        self._finished = 0
        """How many of them the thread has finished, and posted the answers. While both numbers are
        equal the thread waits, and the writer is the loop's."""
        self._sync_times = SyncTimes()
        self._busy_since_s = 0.0
        """When the thread has begun what it is doing; 0 while it waits."""
        self._abandoned = False
        self._worker = threading.Thread(target=self._run, name="disk", daemon=True)

    def start(self) -> None:
        self._worker.start()

    def append(self, records: list[bytes], last_zxid: int) -> None:
        """Take framed records in zxid order; the list belongs to the disk thread from now on."""
        self._metrics.sync_processor_request_queued += len(records)
        self._hand((records, last_zxid, self._now()))

    @property
    def is_idle(self) -> bool:
        """Whether the thread has done all that it was given, and posted the answers."""
        return self._finished == self._handed

    @property
    def busy_ms(self) -> int:
        """For how long the thread has been at the sync, or other work, that is under way; 0 if it
        is at none. A disk that hangs shows here, and nowhere else."""
        since_s = self._busy_since_s
        return int((self._now() - since_s) * 1000) if since_s else 0

    def commit_here(self, records: list[bytes], within_s: float) -> bool:
        """Write and sync records on the thread of the caller, the loop, if that should take less
        than ``within_s`` seconds: this thread has nothing to do, the last syncs were short, and the
        file is ready. Return whether the records are durable; if not, nothing was written.

        The caller has taken every answer that was posted. Raises StorageError, after which nothing
        is ever reported as synced.
        """
        start = self._now()
        if (
            not self.is_idle
            or not self._sync_times.are_shorter(within_s, start)
            or not self._writer.is_ready_for(sum(map(len, records)))
        ):
            return False
        self._writer.commit(records)
        end = self._now()
        self._sync_times.note_of_loop(end - start, end)
        self._metrics.sync_processor_request_queued += len(records)
        self._count([(len(records), 0.0)], end - start)
        self._warn((end - start) * 1000)
        return True

    def roll(self) -> None:
        """Begin a new log file with the next record."""
        self._hand(_ROLL)

    def run(self, work: Callable[[], _Result], answer: Callable[[_Result], None]) -> None:
        """Do some work on this thread, after everything that was appended; ``answer`` is called on
        the loop with what it returned.

        A StorageError ends the log as one of its own does.
        """
        self._hand(_Work(work, answer))

    def close(self) -> None:
        """Write and sync what was appended, then end the thread. Blocks until that is done."""
        if self._worker.ident is not None:
            self._hand(_CLOSE)
            self._worker.join()

    def abandon(self) -> None:
        """End as a killed process would: forget what is still in the queue. This is for tests."""
        self._abandoned = True
        self.close()

    def _hand(self, item: _Item) -> None:
        self._handed += 1
        self._queue.put(item)

    # --- on the disk thread -------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._serve()
            if not self._abandoned:
                self._writer.close()
        except StorageError as error:
            self._fail(error)
        except Exception as bug:  # it must end service too, not leave clients waiting
            log.exception("the disk thread failed")
            self._fail(StorageError(f"the disk thread failed: {bug!r}", path="log"))
        if self._abandoned:
            self._writer.abandon()

    def _fail(self, error: StorageError) -> None:
        self._post(partial(self._on_error, error))
        # The file is only released: a broken writer never syncs again.
        self._writer.abandon()

    def _serve(self) -> None:
        get, get_nowait = self._queue.get, self._queue.get_nowait
        while True:
            item = get()
            records: list[bytes] = []
            handed: list[tuple[int, float]] = []
            zxid = size = 0
            count = 1
            while isinstance(item, tuple):
                more, zxid, at = item
                handed.append((len(more), at))
                if records:
                    records.extend(more)
                else:
                    records = more
                size += sum(map(len, more))
                if size >= MAX_BATCH_BYTES:
                    break
                try:
                    item = get_nowait()
                except queue.Empty:
                    break
                count += 1
            if self._abandoned:
                return
            if records:
                self._commit(records, zxid, handed)
            if item is _ROLL:
                self._writer.roll()
            elif isinstance(item, _Work):
                self._busy_since_s = self._now()
                call = item.run()
                self._busy_since_s = 0.0
                if not self._abandoned:
                    self._post(call)
            elif item is _CLOSE:
                return
            self._finished += count

    def _commit(self, records: list[bytes], zxid: int, handed: list[tuple[int, float]]) -> None:
        start = self._busy_since_s = self._now()
        self._writer.commit(records)
        self._busy_since_s = 0.0
        took_s = self._now() - start
        if self._abandoned:
            return
        self._post(partial(self._synced, zxid, handed, start, took_s))
        self._sync_times.note(took_s)
        self._warn(took_s * 1000)

    # --- on the event loop ------------------------------------------------------------

    def _synced(
        self, zxid: int, handed: list[tuple[int, float]], start: float, took_s: float
    ) -> None:
        self._on_synced(zxid)
        waits = [(count, start - at) for count, at in handed]
        self._count(waits, took_s)

    def _count(self, waits: list[tuple[int, float]], took_s: float) -> None:
        """Note a sync: ``waits`` says of how many records how long they had waited for it, in
        seconds."""
        took_ms = took_s * 1000
        metrics = self._metrics
        metrics.fsynctime.add(int(took_ms))
        metrics.sync_processor_queue_flush_time_ms.add(int(took_ms))
        metrics.sync_processor_batch_size.add(sum(count for count, _ in waits))
        for count, waited_s in waits:
            waited_ms = waited_s * 1000
            metrics.sync_processor_queue_time_ms.add_many(int(waited_ms), count)
            both_ms = int(waited_ms + took_ms)
            metrics.sync_processor_queue_and_flush_time_ms.add_many(both_ms, count)
        if took_ms > self._warning_threshold_ms:
            metrics.fsync_threshold_exceed_count += 1

    def _warn(self, took_ms: float) -> None:
        """Log a sync that took long; on the thread that has done it."""
        if took_ms > self._warning_threshold_ms:
            log.warning(
                "fsync of the transaction log took %d ms; every write waits for it."
                " Is the disk shared or slow?",
                took_ms,
            )


_ROLL: Final = _Roll()
_CLOSE: Final = _Close()


class SnapshotJob:
    """Writes one snapshot."""

    __slots__ = ("frozen", "on_done", "on_failed", "over")

    def __init__(
        self,
        frozen: FrozenDatabase,
        on_done: Callable[[str], None],
        on_failed: Callable[[StorageError], None],
    ) -> None:
        self.frozen = frozen
        self.on_done = on_done
        self.on_failed = on_failed
        self.over = False


class SnapshotThread:
    """Writes snapshots and purges old files, one thing at a time, beside the event loop."""

    def __init__(
        self,
        snap_directory: Directory,
        log_directory: Directory,
        *,
        post: Post,
        suffix: str = "",
        last_zxid_section: bool = True,
        files_lock: AbstractContextManager[object] | None = None,
    ) -> None:
        """``files_lock`` is held while files appear or go, also in other processes."""
        self._snap_directory = snap_directory
        self._log_directory = log_directory
        self._post = post
        self._suffix = suffix
        self._last_zxid_section = last_zxid_section
        self._queue: queue.SimpleQueue[Callable[[], bool]] = queue.SimpleQueue()
        self._job: SnapshotJob | None = None
        self.files_lock = threading.Lock() if files_lock is None else files_lock
        """The lock that is held while files appear or go: by this thread, and by whoever replaces
        the history."""
        self._worker = threading.Thread(target=self._run, name="snapshot", daemon=True)

    def start(self) -> None:
        self._worker.start()

    # --- on the event loop --------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a snapshot is being written; another must not begin before it ends."""
        return self._job is not None

    def take(
        self,
        frozen: FrozenDatabase,
        on_done: Callable[[str], None],
        on_failed: Callable[[StorageError], None],
    ) -> None:
        """Write a snapshot; one of the callbacks gets its file name or why there is none.

        The frozen view is this thread's from now on: it is closed when the snapshot ends.
        """
        assert self._job is None, "a snapshot is already being written"
        job = self._job = SnapshotJob(frozen, on_done, on_failed)
        self._queue.put(partial(self._write, job))

    def purge(
        self,
        retain_count: int,
        on_done: Callable[[list[str]], None],
        on_failed: Callable[[StorageError], None],
    ) -> None:
        """Remove what only older snapshots than the newest ``retain_count`` need."""
        self._queue.put(partial(self._purge, retain_count, on_done, on_failed))

    def cancel(self) -> None:
        """Give up the snapshot that is being written, if there is one.

        It may have its name already. Whoever takes the lock after this call will see it then, or it
        never gets one.
        """
        job = self._job
        if job is not None:
            self._end(job)

    def close(self) -> None:
        """End the thread; a snapshot that is being written is given up and its file removed."""
        self.cancel()
        if self._worker.ident is not None:
            self._queue.put(_stop)
            self._worker.join()

    def _end(self, job: SnapshotJob) -> None:
        if not job.over:
            job.over = True
            job.frozen.close()
            self._job = None

    def _done(self, job: SnapshotJob, name: str) -> None:
        if not job.over:
            self._end(job)
            job.on_done(name)

    def _failed(self, job: SnapshotJob, error: StorageError) -> None:
        if not job.over:
            self._end(job)
            job.on_failed(error)

    # --- on the snapshot thread ---------------------------------------------------------

    def _run(self) -> None:
        get = self._queue.get
        while get()():
            pass

    def _write(self, job: SnapshotJob) -> bool:
        writer: SnapshotWriter | None = None
        try:
            writer = SnapshotWriter(
                self._snap_directory,
                job.frozen,
                suffix=self._suffix,
                last_zxid_section=self._last_zxid_section,
            )
            while nodes := job.frozen.nodes.read(NODES_PER_READ):
                if job.over:
                    break
                begun = time.perf_counter()
                writer.add(nodes)
                # As long a rest as the work: clients notice the snapshot half as much, and it is
                # in no hurry.
                time.sleep(min(time.perf_counter() - begun, MAX_REST_S))
            with self.files_lock:
                if job.over:  # the view was closed, and what was read last may be newer than it
                    _abort(writer)
                    return True
                name = writer.commit()
        except StorageError as error:
            self._give_up(job, writer, error)
        except Exception as bug:  # it costs the snapshot, not the thread
            log.exception("a snapshot failed")
            path = snapshot_name(job.frozen.zxid, self._suffix)
            self._give_up(job, writer, StorageError(f"a bug: {bug!r}", path=path))
        else:
            self._post(partial(self._done, job, name))
        return True

    def _give_up(
        self, job: SnapshotJob, writer: SnapshotWriter | None, error: StorageError
    ) -> None:
        if writer is not None:
            _abort(writer)
        self._post(partial(self._failed, job, error))

    def _purge(
        self,
        retain_count: int,
        on_done: Callable[[list[str]], None],
        on_failed: Callable[[StorageError], None],
    ) -> bool:
        try:
            with self.files_lock:
                removed = purge.purge(self._snap_directory, self._log_directory, retain_count)
        except StorageError as error:
            self._post(partial(on_failed, error))
        else:
            self._post(partial(on_done, removed))
        return True


def _abort(writer: SnapshotWriter) -> None:
    try:
        writer.abort()
    except StorageError as error:
        # It is a *.tmp, which nobody loads; the next start removes it.
        log.warning("%s", error)


def _stop() -> bool:
    return False
