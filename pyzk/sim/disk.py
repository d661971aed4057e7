"""The disk of one machine: persistence's real code over directories that lose what was not synced.

Pure. Answers to `runtime.storage` and `runtime.disk`: one queue for the log and for commands, in
order, snapshots beside it. An operation begins (its bytes are written), takes its time, and ends
(they are synced, and only then the peer is told). A crash may come in between, or, as
``steps_to_crash`` counts, before any operation on a directory. Every other machine writes records
when the time is over, by the durable write of production.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final, Protocol

from pyzk.data.database import Database, FrozenDatabase
from pyzk.errors import StorageError
from pyzk.persistence import purge
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.filenames import snapshots
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.member_files import MemberFiles
from pyzk.persistence.recovery import RecoveryOptions, recover
from pyzk.persistence.snapshot import SnapshotWriter
from pyzk.quorum.commands import (
    Reload,
    SaveConfig,
    SaveEpoch,
    StorageCommand,
    StoreDatabase,
    TruncateLog,
)
from pyzk.quorum.epochs import CURRENT, Epochs, load_epochs
from pyzk.quorum.storage_commands import StorageAnswers, carry_out, freeze, save_config
from pyzk.quorum.unsaved_configs import UnsavedConfigs
from pyzk.sim.config_files import MachineFiles
from pyzk.sim.options import Options

PREALLOCATE_BYTES: Final = 8192
NODES_PER_STEP: Final = 4
RETAINED_SNAPSHOTS: Final = 3
SLOW_SYNC: Final = 100
MAX_SYNC_US: Final = 8_000_000
REPLACING: Final = (Reload, StoreDatabase, TruncateLog)
"""The commands that no log and no snapshot survives as it is."""


class PowerCut(Exception):
    """A crash before an operation of the disk."""


class Answers(StorageAnswers, Protocol):
    """The machine, as its disk sees it; each answer is an input of the peer."""

    def log_synced(self, zxid: int) -> None: ...

    def replaced(self, zxid: int) -> None:
        """Takes the news that the disk now has a received database and no other."""
        ...

    def disk_failed(self, error: StorageError) -> None:
        """Stops the program."""
        ...

    def disk_crashed(self) -> None:
        """Crashes the machine, as was planned."""
        ...

    def note(self, text: str) -> None:
        """Writes a line to the verbose trace."""
        ...


class Append:
    """An entry of the queue: records for the log, in order."""

    __slots__ = ("records", "zxid")

    def __init__(self, records: list[bytes], zxid: int) -> None:
        self.records = records
        self.zxid = zxid


class Roll:
    """An entry of the queue: the next record begins another file."""


class SaveAgain:
    """An entry of the queue: a configuration that could not be saved is tried again."""

    __slots__ = ("command",)

    def __init__(self, command: SaveConfig) -> None:
        self.command = command


class Order:
    """In the queue: a command, and the database that it wants stored, as it was when the command
    was given."""

    __slots__ = ("command", "frozen")

    def __init__(self, command: StorageCommand) -> None:
        self.command = command
        self.frozen = freeze(command)


Operation = Append | Roll | Order | SaveAgain
Later = Callable[[int, Callable[[], object]], None]
"""Calls a function after a time in us, unless the machine has crashed meanwhile."""


class Pause:
    """A call that is planned, and can be cancelled."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action
        self._is_over = False

    def cancel(self) -> None:
        self._is_over = True

    def end(self) -> None:
        """Makes the call, unless it is cancelled."""
        if not self._is_over:
            self._action()


class SnapshotJob:
    """A snapshot that is being written, beside everything else."""

    __slots__ = ("frozen", "writer")

    def __init__(self, frozen: FrozenDatabase) -> None:
        self.frozen = frozen
        self.writer: SnapshotWriter | None = None


class SimDisk:
    """The files of a machine, and the operations on them that are under way."""

    def __init__(self, sid: int, options: Options, rng: Random) -> None:
        self.sid = sid
        self.options = options
        self.rng = rng
        self.answers: Answers
        self.later: Later
        self.slowness = 1
        self.steps_to_crash = 0
        """How many operations of the directories remain until a crash; 0 if none is planned."""
        self.is_failing = False
        """Whether every operation fails."""
        self.durable_zxid = 0
        """The zxid of the last record that no crash can take."""
        self._suffix = f".{options.compression}" if options.compression else ""
        self._writes_durably = bool((options.seed ^ sid) & 1)
        self._recovery = RecoveryOptions(
            digests=options.digest_enabled,
            committed_log_count=options.commit_log_count,
            snapshot_suffix=self._suffix,
            autocreate=not options.doubts,
        )
        self.is_new = False
        """Whether the file `initialize` is there: an empty directory never had any data."""
        self._complete_after = 0
        self.config = MachineFiles(sid, options)
        self._forget()
        self.wipe()

    def wipe(self) -> None:
        """Lose the data directory."""
        self.snapshots = MemoryDirectory(f"h{self.sid}/data")
        is_separate = self.options.separate_log_directory
        self.logs = MemoryDirectory(f"h{self.sid}/log") if is_separate else self.snapshots
        self.durable_zxid = 0
        self.config.unsaved = {}

    @property
    def has_data(self) -> bool:
        """Whether a start finds a database, or makes one; a member that has none does not vote."""
        return self.is_new or bool(snapshots(self.snapshots.names()))

    @property
    def history(self) -> tuple[int, int]:
        """The current epoch and the last zxid that no crash can take: who is ahead of whom."""
        directory = self.snapshots
        current = int(directory.read(CURRENT, 0, 16)) if CURRENT in directory.names() else 0
        return current, self.durable_zxid

    @property
    def is_idle(self) -> bool:
        """Whether all is done that a program has ordered."""
        return not self._is_busy

    def _forget(self) -> None:
        """Forget what a program has in memory."""
        self._queue: deque[Operation] = deque()
        self._is_busy = False
        self._job: SnapshotJob | None = None
        self._writer: LogWriter

    # --- life -----------------------------------------------------------------------

    def open(self) -> tuple[Database, Epochs, list[str], bool]:
        """Load the files as a start does. Return the database, the epochs, notes, and whether a
        snapshot is wanted. Raises StorageError, PowerCut."""
        self._forget()
        self._arm()
        if self.options.reconfig:
            with contextlib.suppress(StorageError):  # the server logs it, and serves on
                self.config.saved.back_up()
        options = self._recovery._replace(initialize=self.is_new)
        recovered = recover(self.snapshots, self.logs, options)
        self.is_new = False
        epochs, notes = load_epochs(self.snapshots, recovered.last_zxid)
        self._writer = LogWriter(
            self.logs,
            preallocate_bytes=PREALLOCATE_BYTES,
            size_limit_bytes=self.options.log_size_limit_kb * 1024,
            snap_directory=self.snapshots,
        )
        self._files = MemberFiles(self.snapshots, self.logs, self._recovery, self.config.saved)
        self._unsaved = UnsavedConfigs(self._call_later, self._save_again)
        self.durable_zxid = max(0, recovered.database.last_zxid)
        self.config.log_read(self.durable_zxid)
        self._complete_after = recovered.database.log_complete_after
        is_wanted = recovered.replayed > self.options.snap_count // 2
        return recovered.database, epochs, recovered.notes + notes, is_wanted

    def crash(self, is_power_lost: bool) -> int:
        """Drop what is under way; return how many written bytes were lost."""
        self._forget()
        self.steps_to_crash = 0
        lost = 0
        for directory in self._directories:
            directory.before = _nothing
            if is_power_lost:
                lost += directory.crash(self.rng if self.rng.random() < 0.7 else None)
        return lost

    def _arm(self) -> None:
        for directory in self._directories:
            directory.before = self._before
        if self.options.reconfig:
            self.config.directory.before = self._before_config

    @property
    def _directories(self) -> tuple[MemoryDirectory, ...]:
        found = [self.snapshots, self.logs]
        if self.options.reconfig:
            found.append(self.config.directory)
        return tuple(dict.fromkeys(found))

    def _before(self, operation: str, name: str) -> None:
        if self.is_failing:
            raise StorageError(f"injected failure of {operation}", path=f"h{self.sid}/{name}")
        if self.steps_to_crash:
            self.steps_to_crash -= 1
            if not self.steps_to_crash:
                raise PowerCut(f"{operation} {name}")

    def _before_config(self, operation: str, name: str) -> None:
        if self.config.is_read_only:
            raise StorageError(f"{operation}: not permitted", path=f"h{self.sid}/conf/{name}")
        self._before(operation, name)

    # --- orders ---------------------------------------------------------------------

    def append(self, records: list[bytes], zxid: int) -> None:
        """Make framed records durable; the answer is ``log_synced(zxid)``."""
        self._push(Append(records, zxid))

    def command(self, command: StorageCommand) -> None:
        """Carry out a command behind everything that was ordered before."""
        if isinstance(command, REPLACING):
            # The snapshot would be of a history that is to be replaced.
            if not self._guard(self._end_job):
                return
        if isinstance(command, SaveConfig):
            self._unsaved.ordered(command)
        self._push(Order(command))

    def _call_later(self, pause_s: float, action: Callable[[], object]) -> Pause:
        pause = Pause(action)
        self.later(int(pause_s * 1e6), pause.end)
        return pause

    def _save_again(self, command: SaveConfig) -> None:
        self._push(SaveAgain(command))

    def take_snapshot(self, database: Database) -> None:
        """Roll the log, and write a snapshot of this moment unless one is being written."""
        self._push(Roll())
        if self._job is None:
            self._job = SnapshotJob(database.freeze())
            self._wait(partial(self._snapshot_step, self._job))

    def purge(self) -> None:
        """Remove old snapshots, and the logs that only they need."""
        self._guard(self._purge)

    def _purge(self) -> None:
        for name in purge.purge(self.snapshots, self.logs, RETAINED_SNAPSHOTS):
            self.answers.note(f"purged {name}")

    # --- the queue ------------------------------------------------------------------

    def _push(self, operation: Operation) -> None:
        self._queue.append(operation)
        if not self._is_busy:
            self._begin()

    def _begin(self) -> None:
        self._is_busy = True
        operation = self._queue.popleft()
        if isinstance(operation, Append):
            while self._queue and isinstance(following := self._queue[0], Append):
                self._queue.popleft()
                operation = Append(operation.records + following.records, following.zxid)
            # Not at once: the call that ordered it returns first.
            self.later(0, partial(self._guard, partial(self._write, operation)))
        else:
            self._wait(partial(self._guard, partial(self._carry_out, operation)))

    def _end(self) -> None:
        self._is_busy = False
        if self._queue:
            self._begin()

    def _wait(self, action: Callable[[], object]) -> None:
        options, rng = self.options, self.rng
        base = options.sync_us * self.slowness
        if options.slow_syncs and rng.random() < options.slow_syncs:
            base *= SLOW_SYNC
        self.later(min(int(base * (0.3 + 1.4 * rng.random())), MAX_SYNC_US), action)

    def _guard(self, action: Callable[[], object]) -> bool:
        """Do something to the directories; tell whether the program survives it."""
        try:
            action()
            return True
        except PowerCut as cut:
            self.answers.note(f"crash before {cut}")
            self.answers.disk_crashed()
        except StorageError as error:
            self.answers.disk_failed(error)
        return False

    # --- the log --------------------------------------------------------------------

    def _write(self, operation: Append) -> None:
        if not self._writes_durably:
            self._writer.append(operation.records)
        self._wait(partial(self._guard, partial(self._sync, operation)))

    def _sync(self, operation: Append) -> None:
        if self._writes_durably:
            self._writer.commit(operation.records)
        else:
            self._writer.sync()
        self.durable_zxid = operation.zxid
        self.answers.log_synced(operation.zxid)
        self._end()

    # --- commands -------------------------------------------------------------------

    def _carry_out(self, operation: Operation) -> None:
        if isinstance(operation, Order):
            self._perform(operation)
        elif isinstance(operation, SaveAgain):
            self._tried(operation.command, save_config(self.config.saved, operation.command))
        else:
            self._writer.roll()
        self._end()

    def _perform(self, order: Order) -> None:
        command, frozen = order.command, order.frozen
        if isinstance(command, SaveConfig):
            what = "in force" if command.is_active else "proposed"
            self.answers.note(f"configuration {command.membership.version:x} saved as {what}")
        if isinstance(command, SaveEpoch):
            self.answers.note(f"{command.name} {command.epoch} saved")
        if isinstance(command, REPLACING):
            self._writer.roll()
        try:
            outcome = carry_out(
                command,
                self._files,
                frozen,
                self._complete_after,
                self.options.snapshot_size_factor,
            )
        finally:
            if frozen is not None:
                frozen.close()
        if isinstance(command, SaveConfig):
            self._tried(command, outcome.failure)
        if outcome.complete_after is not None:
            self.durable_zxid = max(0, outcome.last_zxid)
            self._complete_after = outcome.complete_after
        if isinstance(command, TruncateLog):
            self.answers.note(f"truncated to 0x{outcome.last_zxid:x}")
        elif frozen is not None:
            self.answers.replaced(frozen.zxid)
        outcome.tell(self.answers)

    def _tried(self, command: SaveConfig, failure: StorageError | None) -> None:
        """Takes what has come of saving a configuration. If its directory alone cannot be written
        the program goes on; if the disk fails it ends, a little sooner than in production."""
        if failure is not None and not self.config.is_read_only:
            raise failure
        self.config.tried(command.membership, is_saved=failure is None)
        self._unsaved.tried(command, failure)
        if failure is not None:
            self.answers.note(f"configuration {command.membership.version:x} cannot be saved")

    # --- snapshots ------------------------------------------------------------------

    def _end_job(self) -> None:
        """Give up the snapshot that is being written, as its history is to be changed."""
        job, self._job = self._job, None
        if job is not None:
            job.frozen.close()
            if job.writer is not None:
                with contextlib.suppress(StorageError):
                    job.writer.abort()

    def _snapshot_step(self, job: SnapshotJob) -> None:
        if job is not self._job:
            return
        try:
            self._snapshot(job)
        except PowerCut as cut:
            self.answers.note(f"crash before {cut}")
            self.answers.disk_crashed()
        except StorageError as error:
            self.answers.note(f"no snapshot: {error}")
            self._end_job()

    def _snapshot(self, job: SnapshotJob) -> None:
        if job.writer is None:
            job.writer = SnapshotWriter(self.snapshots, job.frozen, suffix=self._suffix)
        nodes = job.frozen.nodes.read(NODES_PER_STEP)
        if nodes:
            job.writer.add(nodes)
            self._wait(partial(self._snapshot_step, job))
            return
        job.frozen.close()
        name = job.writer.commit()
        self._job = None
        self.answers.note(f"wrote {name}")
        if self.options.purges and self.rng.random() < 0.5:
            self._purge()


def _nothing(operation: str, name: str) -> None:
    """Let the operation happen."""
