"""Storage of a test server: a log in memory, and a valve in front of any log.

Shell. `MemoryStorage` keeps the framed records that production would write to a file. When the
server starts again, they are put into files of a `MemoryDirectory`, which production's recovery
reads. So a restart recovers as in production, and a write costs no more than appending to a list.

`Valve` stands in front of it, or of production's `Storage` if there is a directory. While the
server is paused it holds back the answers of the disk; while the disk is stalled nothing reaches
the disk, and a kill loses it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pyzk.config.server import ServerConfig
from pyzk.data.database import Database, FrozenDatabase
from pyzk.metrics import Metrics
from pyzk.persistence import filenames, newest_log
from pyzk.persistence.directory import Directory, MemoryDirectory
from pyzk.persistence.filenames import snapshot_name
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.member_files import MemberFiles
from pyzk.persistence.recovery import RecoveryOptions
from pyzk.persistence.report import StorageReport
from pyzk.persistence.snapshot import write_snapshot
from pyzk.persistence.txnlog import LogScan, frame_record, framed_zxid
from pyzk.quorum.epochs import Epochs, load_epochs
from pyzk.runtime.seams import ServerStorage, SnapshotAnswer, WrittenSnapshot
from pyzk.testing.seams.gate import Gate

if TYPE_CHECKING:
    from pyzk.persistence.config_files import ConfigFiles, Saved
    from pyzk.persistence.replacement import Received
    from pyzk.quorum.commands import StorageCommand
    from pyzk.quorum.storage_commands import Outcome

    OnDone = Callable[[Outcome], None]

OnSynced = Callable[[int], None]
OnError = Callable[[BaseException], None]


class MemoryStorage:
    """A log in memory. A record is durable one turn of the loop after it was appended."""

    blocks = False

    def __init__(self, config: ServerConfig) -> None:
        self.metrics = Metrics()
        self.wants_snapshot = False
        self.epochs: Epochs | None = None
        """The epochs of a member of an ensemble, known after `open`."""
        self.saved_configs: Saved | None = None
        """The configurations of the ensemble that were saved before, known after `open`."""
        self._config_files = MemoryDirectory("memory configurations")
        self._config = config
        self._options = RecoveryOptions.of(config)._replace(snapshot_suffix="")
        self._epoch_files = MemoryDirectory("memory epochs")
        self._complete_after = 0
        self._snapshots: MemoryDirectory | None = None
        """The last snapshot; None stands for an empty tree at ``_first_zxid``."""
        self._received: MemoryDirectory | None = None
        """The snapshot that is to replace what is here."""
        self._first_zxid = 0
        self._records: list[bytes] = []
        """Framed records after the snapshot; those before ``_synced`` survive a kill."""
        self._synced = 0
        self._zxid = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_synced: OnSynced
        self._is_sync_due = False

    # --- opening --------------------------------------------------------------------

    def open(self) -> Database:
        """Return the database that the durable records make."""
        if self._snapshots is None and not self._records:
            database = empty_database(self._config, self._first_zxid)
        else:
            database = self._files().reload()
        self._complete_after = database.log_complete_after
        ensemble = self._config.ensemble
        if ensemble is not None:
            self.epochs, _ = load_epochs(self._epoch_files, database.last_zxid)
            self.saved_configs = self._configs().begin(ensemble.membership)
        return database

    def _configs(self) -> ConfigFiles:
        """Return the files of the configurations of a member."""
        from pyzk.persistence.config_files import ConfigFiles  # a lone server starts sooner without

        ensemble = self._config.ensemble
        assert ensemble is not None
        return ConfigFiles(self._config_files, "zoo.cfg", ensemble.my_sid, has_static=False)

    def _files(self) -> MemberFiles:
        """Return files with the same snapshot and records."""
        snapshots = self._snapshots
        if snapshots is None:
            snapshots = MemoryDirectory("memory")
            write_snapshot(snapshots, empty_database(self._config, self._first_zxid).freeze())
        logs = MemoryDirectory("memory log")
        if self._records:
            writer = LogWriter(logs, preallocate_bytes=0)
            writer.append(self._records)
            writer.close()
        return MemberFiles(snapshots, logs, self._options)

    def start(
        self, loop: asyncio.AbstractEventLoop, on_synced: OnSynced, on_error: OnError
    ) -> None:
        """Begin to take records."""
        self._loop = loop
        self._on_synced = on_synced

    # --- while serving --------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no record waits for the end of the turn in which all become durable."""
        return not self._is_sync_due

    def append(self, records: list[bytes], last_zxid: int) -> None:
        """Take framed records in zxid order."""
        self._records += records
        self._zxid = last_zxid
        if not self._is_sync_due and self._loop is not None:
            self._is_sync_due = True
            self._loop.call_soon(self._sync)

    def commit_here(self, records: list[bytes], within_s: float) -> bool:
        """Return False: no record is durable in the turn in which it comes."""
        return False

    def _sync(self) -> None:
        if self._is_sync_due and self._loop is not None:
            self._is_sync_due = False
            self._synced = len(self._records)
            self._on_synced(self._zxid)

    def take_snapshot(self, database: Database) -> None:
        """Replace the records that are applied by a snapshot of the tree."""
        frozen = database.freeze()
        directory = MemoryDirectory("memory")
        write_snapshot(directory, frozen)
        self.metrics.snapshottime.add(0)
        self._snapshots = directory
        # Records that are not applied yet are not in the snapshot.
        applied = frozen.zxid
        kept = [record for record in self._records if framed_zxid(record) > applied]
        self._synced -= len(self._records) - len(kept)
        self._records = kept

    def write_snapshot(self, database: Database, answer: SnapshotAnswer) -> None:
        """Take a snapshot, and answer in the next turn of the loop."""
        self.take_snapshot(database)
        directory = self._snapshots
        assert directory is not None, "it was written just now"
        if self._loop is not None:
            written = WrittenSnapshot(directory, snapshot_name(database.last_zxid))
            self._loop.call_soon(answer, written)

    # --- another database -------------------------------------------------------------

    @property
    def upload_directory(self) -> Directory:
        """Return a directory of its own for what comes."""
        return MemoryDirectory("memory upload")

    def receive(self, frozen: FrozenDatabase) -> Received:
        """Begin the file of a database that is to replace what is here."""
        from pyzk.persistence.replacement import Received  # a server starts sooner without

        self._received = MemoryDirectory("memory")
        return Received(self._received, MemoryDirectory("memory log"), frozen)

    def install(self, received: Received, zxid: int, answer: Callable[[], None]) -> None:
        """Replace everything by a database that was received; then answer."""
        if self._loop is not None:
            self._loop.call_soon(self._install, received, zxid, answer)

    def _install(self, received: Received, zxid: int, answer: Callable[[], None]) -> None:
        self._sync()
        if self._loop is None:
            return
        received.install(zxid)
        self._take_received()
        self._complete_after = zxid
        answer()

    def _take_received(self) -> None:
        """Replace snapshot and records by the snapshot that was received."""
        self._snapshots = self._received
        self._records = []
        self._synced = 0

    # --- commands of a member -------------------------------------------------------

    def perform(self, command: StorageCommand, answer: OnDone) -> None:
        """Carry out a command of a member after everything that was appended; then answer."""
        if self._loop is not None:
            self._loop.call_soon(self._perform, command, answer)

    def _perform(self, command: StorageCommand, answer: OnDone) -> None:
        # A server that stands alone starts sooner without.
        from pyzk.quorum.commands import InstallDatabase, SaveConfig, SaveEpoch
        from pyzk.quorum.storage_commands import carry_out, freeze

        self._sync()
        if self._loop is None:
            return
        ensemble = self._config.ensemble
        assert ensemble is not None
        if isinstance(command, SaveEpoch):
            files = MemberFiles(self._epoch_files, self._epoch_files, self._options)
        elif isinstance(command, SaveConfig):
            files = MemberFiles(
                self._epoch_files, self._epoch_files, self._options, self._configs()
            )
        else:
            files = self._files()
        frozen = freeze(command)
        outcome = carry_out(
            command, files, frozen, self._complete_after, ensemble.snapshot_size_factor
        )
        if frozen is not None:
            frozen.close()
        if isinstance(command, InstallDatabase):
            self._take_received()
        elif outcome.complete_after is not None:
            self._take(files)
        if outcome.complete_after is not None:
            self._complete_after = outcome.complete_after
        answer(outcome)

    def _take(self, files: MemberFiles) -> None:
        """Replace snapshot and records by those of these files."""
        assert isinstance(files.snapshots, MemoryDirectory)
        self._snapshots = files.snapshots
        self._records = [
            frame_record(payload)
            for _, name in filenames.logs(files.logs.names())
            for _, payload in LogScan(files.logs, name)
        ]
        self._synced = len(self._records)

    def report(self) -> StorageReport:
        """Return what the four-letter words show of the storage."""
        snapshots = self._snapshots
        size = 0 if snapshots is None else sum(map(snapshots.size, snapshots.names()))
        return StorageReport(size, sum(map(len, self._records)))

    def sync_wait_ms(self) -> int:
        """Return 0: nothing waits for memory."""
        return 0

    # --- the end --------------------------------------------------------------------

    def stop_timers(self) -> None:
        """Do nothing: there are no timers."""

    def close(self) -> None:
        """End; everything that was appended is durable."""
        if self._is_sync_due:
            self._sync()
        self._loop = None

    def abandon(self) -> None:
        """End as under SIGKILL; records that are not synced are lost."""
        self._loop = None
        self._is_sync_due = False
        del self._records[self._synced :]

    def release(self) -> None:
        """Do nothing: there is no lock."""

    def reset(self, zxid: int) -> None:
        """Become the storage of an empty tree whose last transaction was ``zxid``."""
        assert self._loop is None, "in use"
        self._snapshots = None
        self._records = []
        self._synced = 0
        self._first_zxid = zxid
        self._epoch_files = MemoryDirectory("memory epochs")
        self._config_files = MemoryDirectory("memory configurations")


class Valve:
    """Stands between a runner and its storage, and holds back what a test wants held back."""

    def __init__(self, inner: ServerStorage, gate: Gate, observe: Callable[[], None]) -> None:
        self._inner = inner
        self._gate = gate
        self._observe = observe
        self.is_stalled = False
        self._held: list[Callable[[], None]] = []
        self._unanswered = 0
        self._on_synced: OnSynced
        self.unsynced_zxid = 0
        """The last zxid that was given to the disk; ``synced_zxid`` follows it."""
        self.synced_zxid = 0

    @property
    def is_quiet(self) -> bool:
        """Whether the disk has answered everything."""
        return self.synced_zxid >= self.unsynced_zxid and not self._unanswered

    def stall(self, is_stalled: bool) -> None:
        """Let nothing reach the disk from now on, or everything that has waited."""
        self.is_stalled = is_stalled
        if not is_stalled:
            held, self._held = self._held, []
            for call in held:
                call()

    # --- ServerStorage --------------------------------------------------------------

    @property
    def metrics(self) -> Metrics:
        return self._inner.metrics

    @metrics.setter
    def metrics(self, metrics: Metrics) -> None:
        self._inner.metrics = metrics

    @property
    def wants_snapshot(self) -> bool:
        return self._inner.wants_snapshot

    @property
    def epochs(self) -> Epochs | None:
        return self._inner.epochs

    @property
    def saved_configs(self) -> Saved | None:
        return self._inner.saved_configs

    @property
    def blocks(self) -> bool:
        return self._inner.blocks

    def open(self) -> Database:
        return self._inner.open()

    def start(
        self, loop: asyncio.AbstractEventLoop, on_synced: OnSynced, on_error: OnError
    ) -> None:
        def failed(error: BaseException) -> None:
            on_error(error)
            self._observe()

        self._on_synced = on_synced
        self._inner.start(loop, self._synced, failed)

    @property
    def is_idle(self) -> bool:
        return self._inner.is_idle

    def append(self, records: list[bytes], last_zxid: int) -> None:
        self.unsynced_zxid = last_zxid
        self._reach(partial(self._inner.append, records, last_zxid))

    def commit_here(self, records: list[bytes], within_s: float) -> bool:
        return False  # a test may hold back whatever reaches the disk

    def _reach(self, call: Callable[[], None]) -> None:
        """Make a call of the disk, now or when the disk is no longer stalled."""
        if self.is_stalled:
            self._held.append(call)
        else:
            call()

    def _synced(self, zxid: int) -> None:
        if self._gate.is_closed:
            self._gate.add(partial(self._synced, zxid))
            return
        self.synced_zxid = zxid
        self._on_synced(zxid)
        self._observe()

    def perform(self, command: StorageCommand, answer: OnDone) -> None:
        self._unanswered += 1
        self._reach(partial(self._inner.perform, command, partial(self._done, answer)))

    def _done(self, answer: OnDone, outcome: Outcome) -> None:
        """Pass on an answer of the disk, now or when the server is no longer paused."""
        if self._gate.is_closed:
            self._gate.add(partial(self._done, answer, outcome))
            return
        self._unanswered -= 1
        answer(outcome)
        self._observe()

    def take_snapshot(self, database: Database) -> None:
        self._inner.take_snapshot(database)

    def write_snapshot(self, database: Database, answer: SnapshotAnswer) -> None:
        self._inner.write_snapshot(database, answer)

    @property
    def upload_directory(self) -> Directory:
        return self._inner.upload_directory

    def receive(self, frozen: FrozenDatabase) -> Received:
        return self._inner.receive(frozen)

    def install(self, received: Received, zxid: int, answer: Callable[[], None]) -> None:
        self._unanswered += 1
        self._reach(partial(self._inner.install, received, zxid, partial(self._installed, answer)))

    def _installed(self, answer: Callable[[], None]) -> None:
        """Pass on that a database is installed, now or when the server is no longer paused."""
        if self._gate.is_closed:
            self._gate.add(partial(self._installed, answer))
            return
        self._unanswered -= 1
        answer()
        self._observe()

    def report(self) -> StorageReport:
        return self._inner.report()

    def sync_wait_ms(self) -> int:
        return self._inner.sync_wait_ms()

    def stop_timers(self) -> None:
        self._inner.stop_timers()

    def close(self) -> None:
        self.stall(is_stalled=False)
        self._inner.close()

    def abandon(self) -> None:
        self._held = []
        self._inner.abandon()

    def release(self) -> None:
        self._inner.release()


def empty_directories(config: ServerConfig, zxid: int) -> None:
    """Replace what is in the data directories of a server that is down by an empty tree whose last
    transaction was ``zxid``. Raises StorageError."""
    from pyzk.runtime.files import open_data_directories  # start-up is measured

    directories = open_data_directories(
        config.data_dir, config.data_log_dir, autocreate=config.datadir_autocreate
    )
    try:
        for directory in (directories.logs, directories.snapshots):
            for name in directory.names():
                if is_ours(name):
                    directory.remove(name)
        write_snapshot(directories.snapshots, empty_database(config, zxid).freeze())
    finally:
        directories.close()


def empty_database(config: ServerConfig, zxid: int) -> Database:
    """Return the database of a new server."""
    database = RecoveryOptions.of(config).new_database()
    database.log_complete_after = zxid
    database.tree.last_zxid = zxid
    return database


def is_ours(name: str) -> bool:
    """Tell whether a file is a log, a snapshot, or the note of the newest log."""
    return name.startswith(("log.", "snapshot.")) or name == newest_log.NAME
