"""Everything that one server has on disk: directories, recovery, the log, snapshots, purging.

Shell. Puts the pieces of ``persistence`` and ``runtime.disk`` together as the configuration says.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from pyzk.config.server import ServerConfig
from pyzk.data.database import Database, FrozenDatabase
from pyzk.errors import MissingLogError, StorageError
from pyzk.int64 import hex_digits
from pyzk.metrics import Metrics
from pyzk.persistence import filenames
from pyzk.persistence.config_files import ConfigFiles, Saved
from pyzk.persistence.directory import Directory
from pyzk.persistence.filenames import VERSION_DIRECTORY
from pyzk.persistence.logwriter import ROOM_BYTES, LogWriter, check_room
from pyzk.persistence.member_files import MemberFiles
from pyzk.persistence.recovery import RecoveryOptions, recover
from pyzk.persistence.replacement import Received
from pyzk.persistence.report import StorageReport
from pyzk.quorum.commands import ReadLog, SaveConfig, SaveEpoch, StorageCommand
from pyzk.quorum.epochs import Epochs, load_epochs
from pyzk.quorum.storage_commands import Outcome, carry_out, freeze, save_config
from pyzk.quorum.unsaved_configs import UnsavedConfigs
from pyzk.runtime.disk import DiskThread, SnapshotThread
from pyzk.runtime.files import (
    ConfigDirectory,
    DataDirectories,
    FilesLock,
    full_disk_error,
    open_data_directories,
)
from pyzk.runtime.mailbox import Mailbox
from pyzk.runtime.seams import SnapshotAnswer, WrittenSnapshot
from pyzk.zxid import format_zxid

if TYPE_CHECKING:
    from pyzk.config.ensemble import EnsembleConfig

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_HOUR_S: Final = 3600.0
CONFIG_NAME: Final = "zoo.cfg"
"""The name with which the files of the configurations begin where no zoo.cfg was given."""
EPOCH_ROOM_BYTES: Final = 4096
"""The bytes that must be free for the files beside the snapshots."""


class Storage:
    """The disk side of one server, from opening to closing."""

    def __init__(self, config: ServerConfig) -> None:
        self.metrics = Metrics()
        """Where snapshots and syncs are counted; the runner puts the server's metrics here."""
        self.wants_snapshot = False
        """Whether so much was replayed at the start that a snapshot is due for the next one."""
        self.blocks = True
        """True: ``close`` waits for the disk, so it must not run on the loop."""
        self.epochs: Epochs | None = None
        """The epochs of a member of an ensemble, once the storage is open."""
        self.saved_configs: Saved | None = None
        """The configurations that a member without a zoo.cfg, or beside one that is never written,
        has in its files, once the storage is open; others were given theirs."""
        self._configs: ConfigFiles | None = None
        self._unsaved: UnsavedConfigs | None = None
        self._config = config
        self._options = RecoveryOptions.of(config)
        self._complete_after = 0
        """The zxid after which the log is known to be whole."""
        self._directories: DataDirectories
        self._disk: DiskThread | None = None
        self._snapshots: SnapshotThread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._mailbox: Mailbox | None = None
        self._start_times: StartTimes | None = None
        self._purge_timer: asyncio.TimerHandle | None = None
        self._snapshot_begun = 0.0
        self._asked: list[SnapshotAnswer] = []
        """Who wants to hear of the next snapshot that begins."""
        self._listeners: list[SnapshotAnswer] = []
        """Who wants to hear of the snapshot that is being written."""
        self._due: Database | None = None
        """The database of which a snapshot is due when the one that is being written ends."""

    # --- opening --------------------------------------------------------------------

    def open(self) -> Database:
        """Lock the directories and load the database. Raises StorageError."""
        collects = gc.isenabled()
        gc.disable()  # it would look again and again at a tree that only grows
        try:
            return self._open()
        except MissingLogError as error:
            raise _told_where(error) from None
        except StorageError as error:
            if full := _told_full(error, self._config):
                raise full from error.__cause__
            raise
        finally:
            if collects:
                gc.enable()

    def _open(self) -> Database:
        config = self._config
        self._directories = directories = open_data_directories(
            config.data_dir, config.data_log_dir, autocreate=config.datadir_autocreate
        )
        begun = time.monotonic()
        loaded: list[float] = []
        options = self._options._replace(
            initialize=directories.initialize or config.initialize,
            is_foreign=directories.is_foreign,
        )
        recovered = recover(
            directories.snapshots,
            directories.logs,
            options,
            lambda: loaded.append(time.monotonic()),
        )
        self._start_times = StartTimes(begun, loaded, time.monotonic(), recovered.replayed)
        for note in recovered.notes:
            log.warning("recovery: %s", note)
        if config.initialize and not recovered.is_new:
            log.info("--initialize changes nothing: there are data in %s", config.data_dir)
        if config.ensemble is not None:
            self._load_epochs(recovered.last_zxid)
            self._open_configs(config.ensemble)
        elif recovered.last_zxid < 0:
            raise StorageError(
                "the data directory is empty and db.autocreate is false",
                path=config.data_dir,
                remedy="restore the data, or make a file named initialize there to begin anew",
            )
        self._check_room()
        directories.initialized()
        self._complete_after = recovered.database.log_complete_after
        if recovered.is_new:
            log.info("created a new database in %s", config.data_dir)
            return recovered.database
        if recovered.last_zxid < 0:
            log.info("there are no data in %s", config.data_dir)
            return recovered.database
        log.info(
            "loaded %s: %d znodes, %d sessions, last zxid %s (snapshot %s, %d transactions"
            " replayed) in %d ms",
            config.data_dir,
            recovered.database.tree.node_count,
            len(recovered.database.sessions),
            format_zxid(recovered.last_zxid),
            format_zxid(recovered.snapshot_zxid),
            recovered.replayed,
            (time.monotonic() - begun) * 1000,
        )
        self.wants_snapshot = recovered.replayed > config.snap_count // 2
        return recovered.database

    def _check_room(self) -> None:
        """Refuse to serve what could not be logged. Raises StorageError."""
        config = self._config
        snapshots, logs = self._directories.snapshots, self._directories.logs
        check_room(logs, config.pre_alloc_size_kb * 1024)
        if snapshots is logs:
            return
        try:
            check_room(snapshots, room_bytes=EPOCH_ROOM_BYTES)
        except StorageError as error:
            if config.ensemble is not None:  # it could take part in no election
                raise
            need = f"a snapshot needs more than {EPOCH_ROOM_BYTES >> 10} KiB"
            told = full_disk_error(error, config.data_dir, need) or error
            log.error("no snapshot can be written, the logs will grow: %s", told)

    def _load_epochs(self, last_zxid: int) -> None:
        self.epochs, notes = load_epochs(self._directories.snapshots, last_zxid)
        for note in notes:
            log.warning("recovery: %s", note)

    def _open_configs(self, ensemble: EnsembleConfig) -> None:
        """Find the files of the configurations. A zoo.cfg that will be written is copied first."""
        sid, path = ensemble.my_sid, ensemble.config_file
        kept = ConfigFiles(self._directories.snapshots, CONFIG_NAME, sid, has_static=False)
        if ensemble.keeps_files:
            self._configs = kept
            if ensemble.reconfig_enabled:
                self._resume_configs(kept, ensemble)
            return
        assert path is not None, ensemble
        if kept.has_saved:
            log.warning(
                "the configurations of the ensemble in %s do not count, because"
                " pyzk.configInDataDir is not true any more: what %s says counts",
                os.path.join(self._config.data_dir, VERSION_DIRECTORY),
                path,
            )
        folder, name = os.path.split(path)
        self._configs = ConfigFiles(ConfigDirectory(folder, name), name, sid)
        if ensemble.reconfig_enabled and ensemble.dynamic_file is None:
            try:
                self._configs.back_up()
            except StorageError as error:
                log.error(
                    "%s cannot be copied before it is written: %s. This server serves on; perhaps"
                    " later configurations of the ensemble cannot be saved either",
                    path,
                    error,
                )

    def _resume_configs(self, kept: ConfigFiles, ensemble: EnsembleConfig) -> None:
        """Read the configurations that this member has saved beside its data."""
        if ensemble.config_file is None:
            self.saved_configs = kept.begin(ensemble.membership)
            return
        self.saved_configs, is_other = kept.resume(ensemble.membership)
        newest = self.saved_configs.newest
        if newest is None or newest.version <= ensemble.membership.version:
            return
        where = os.path.join(self._config.data_dir, VERSION_DIRECTORY)
        version = hex_digits(newest.version)
        if is_other:
            log.warning(
                "the server lines of %s are others than at the first start, and do not count: this"
                " server goes on in version %s of the ensemble, which is in %s",
                ensemble.config_file,
                version,
                where,
            )
        else:
            log.info("this server goes on in version %s of the ensemble, in %s", version, where)

    def start(
        self,
        loop: asyncio.AbstractEventLoop,
        on_synced: Callable[[int], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """Start the threads; both callbacks run on the loop."""
        config = self._config
        self._loop = loop
        if self._start_times is not None:
            self._start_times.count(self.metrics)
        self._unsaved = UnsavedConfigs(loop.call_later, self._save_again)
        self._mailbox = Mailbox(loop)
        post = self._mailbox.post
        self._disk = DiskThread(
            LogWriter(
                self._directories.logs,
                preallocate_bytes=config.pre_alloc_size_kb * 1024,
                size_limit_bytes=max(0, config.txn_log_size_limit_kb) * 1024,
                force_sync=config.force_sync,
                snap_directory=self._directories.snapshots,
            ),
            post=post,
            on_synced=on_synced,
            on_error=on_error,
            metrics=self.metrics,
            warning_threshold_ms=config.fsync_warning_threshold_ms,
        )
        self._snapshots = SnapshotThread(
            self._directories.snapshots,
            self._directories.logs,
            post=post,
            suffix=self._options.snapshot_suffix,
            last_zxid_section=config.serialize_last_processed_zxid,
            files_lock=FilesLock(os.path.join(config.data_dir, VERSION_DIRECTORY)),
        )
        self._disk.start()
        self._snapshots.start()
        if config.autopurge_purge_interval_hours > 0:
            self._purge()

    # --- while serving --------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether the disk thread has done all that it was given."""
        return self._disk is not None and self._disk.is_idle

    def append(self, records: list[bytes], last_zxid: int) -> None:
        """Hand framed records to the disk thread."""
        assert self._disk is not None
        self._disk.append(records, last_zxid)

    def commit_here(self, records: list[bytes], within_s: float) -> bool:
        """Make framed records durable on the loop, if that should take less than ``within_s``
        seconds. Return whether they are; if not, nothing was done. Raises StorageError."""
        assert self._disk is not None
        assert self._mailbox is not None
        return self.is_idle and self._mailbox.is_empty and self._disk.commit_here(records, within_s)

    def take_snapshot(self, database: Database) -> None:
        """Roll the log and begin a snapshot of this moment; while one is being written, when that
        ends: else as many transactions again would have to come before the next."""
        assert self._disk is not None
        assert self._snapshots is not None
        self._disk.roll()
        if self._snapshots.busy:
            log.info("the last snapshot is still being written, the next one follows it")
            self._due = database
            return
        self._due = None
        self._listeners, self._asked = self._asked, []
        self._snapshot_begun = time.monotonic()
        self._snapshots.take(database.freeze(), self._snapshot_done, self._snapshot_failed)

    def write_snapshot(self, database: Database, answer: SnapshotAnswer) -> None:
        """Have a snapshot written that is asked for by name, and say when it is there."""
        self._asked.append(answer)
        self.take_snapshot(database)

    def _answer(self, written: WrittenSnapshot | StorageError) -> None:
        """Tell those that wait for the snapshot that has ended."""
        listeners, self._listeners = self._listeners, []
        for each in listeners:
            each(written)

    def _give_up_snapshots(self, error: StorageError) -> None:
        """Take no snapshot that is under way or due, and tell those that wait for it."""
        self._due = None
        self._listeners += self._asked
        self._asked = []
        self._answer(error)

    def _snapshot_done(self, name: str) -> None:
        took_ms = int((time.monotonic() - self._snapshot_begun) * 1000)
        self.metrics.snapshottime.add(took_ms)
        log.info("wrote %s in %d ms", name, took_ms)
        self._answer(WrittenSnapshot(self._directories.snapshots, name))
        if self._due is not None:
            self.take_snapshot(self._due)

    def _snapshot_failed(self, error: StorageError) -> None:
        """Go on after a snapshot that failed: the log has everything, and the next snapshot may
        succeed."""
        self.metrics.snapshot_error_count += 1
        log.error(
            "no snapshot was written; the server goes on, and tries it again later: %s", error
        )
        self._give_up_snapshots(error)

    # --- another database -------------------------------------------------------------

    @property
    def upload_directory(self) -> Directory:
        """Return where a snapshot is put while it comes."""
        return self._directories.snapshots

    def receive(self, frozen: FrozenDatabase) -> Received:
        """Begin the file of a database that is to replace what is here."""
        return Received(
            self._directories.snapshots,
            self._directories.logs,
            frozen,
            suffix=self._options.snapshot_suffix,
            last_zxid_section=self._config.serialize_last_processed_zxid,
        )

    def install(self, received: Received, zxid: int, answer: Callable[[], None]) -> None:
        """Replace everything by a database that was received, then answer."""
        disk, snapshots = self._disk, self._snapshots
        assert disk is not None
        assert snapshots is not None

        def installed(_: None) -> None:
            self._complete_after = zxid
            answer()

        # Nobody else touches the files meanwhile; the next record begins a new log.
        snapshots.cancel()
        self._give_up_snapshots(_replaced(self._directories.snapshots))
        disk.roll()
        disk.run(partial(_locked, snapshots.files_lock, partial(received.install, zxid)), installed)

    # --- commands of a member -------------------------------------------------------

    def perform(self, command: StorageCommand, answer: Callable[[Outcome], None]) -> None:
        """Do what a member wants done, after everything that was appended; then answer."""
        disk, snapshots = self._disk, self._snapshots
        assert disk is not None
        assert snapshots is not None
        ensemble = self._config.ensemble
        assert ensemble is not None
        frozen = freeze(command)
        directories = self._directories
        work = partial(
            carry_out,
            command,
            MemberFiles(directories.snapshots, directories.logs, self._options, self._configs),
            frozen,
            self._complete_after,
            ensemble.snapshot_size_factor,
        )
        done = partial(self._done, answer, frozen)
        if isinstance(command, SaveConfig):
            assert self._unsaved is not None
            self._unsaved.ordered(command)
            disk.run(work, partial(self._tried_to_save, command, done))
        elif isinstance(command, SaveEpoch):
            disk.run(work, done)
        elif isinstance(command, ReadLog):
            # Not on the disk thread: everybody's writes would wait for one learner's old ones.
            disk.run(_nothing, partial(self._work_aside, work, done))
        else:
            # Nobody else touches the files meanwhile; the next record begins a new log.
            snapshots.cancel()
            self._give_up_snapshots(_replaced(directories.snapshots))
            disk.roll()
            disk.run(partial(_locked, snapshots.files_lock, work), done)

    def _done(
        self, answer: Callable[[Outcome], None], frozen: FrozenDatabase | None, outcome: Outcome
    ) -> None:
        if frozen is not None:
            frozen.close()
        if outcome.complete_after is not None:
            self._complete_after = outcome.complete_after
        answer(outcome)

    def _save_again(self, command: SaveConfig) -> None:
        disk, configs = self._disk, self._configs
        if disk is not None and configs is not None:
            disk.run(partial(save_config, configs, command), partial(self._tried, command))

    def _tried_to_save(
        self, command: SaveConfig, done: Callable[[Outcome], None], outcome: Outcome
    ) -> None:
        self._tried(command, outcome.failure)
        done(outcome)

    def _tried(self, command: SaveConfig, failure: StorageError | None) -> None:
        unsaved = self._unsaved
        assert unsaved is not None
        unsaved.tried(command, failure)
        self.metrics.unsaved_configs = len(unsaved)

    def _work_aside(
        self, work: Callable[[], Outcome], done: Callable[[Outcome], None], _: object
    ) -> None:
        def worked(future: asyncio.Future[Outcome]) -> None:
            if not future.cancelled() and self._disk is not None:
                done(future.result())

        self._loop.run_in_executor(None, work).add_done_callback(worked)

    # --- old files, numbers ---------------------------------------------------------

    def _purge(self) -> None:
        assert self._snapshots is not None
        config = self._config
        self._snapshots.purge(config.autopurge_snap_retain_count, self._purged, self._purge_failed)
        self._purge_timer = self._loop.call_later(
            config.autopurge_purge_interval_hours * _HOUR_S, self._purge
        )

    def _purged(self, names: list[str]) -> None:
        if names:
            log.info("purged %d old files: %s", len(names), ", ".join(names))

    def _purge_failed(self, error: StorageError) -> None:
        log.error("old files were not purged: %s", error)

    def report(self) -> StorageReport:
        """Return what the four-letter words and the admin server show of the storage."""
        directories = self._directories
        return StorageReport(
            _total_size(directories.snapshots),
            _total_size(directories.logs),
            *_newest_snapshot(directories.snapshots),
        )

    def sync_wait_ms(self) -> int:
        """Return for how long the disk has been at the sync of the log that is under way."""
        return 0 if self._disk is None else self._disk.busy_ms

    # --- the end --------------------------------------------------------------------

    def stop_timers(self) -> None:
        """Cancel what is planned on the loop."""
        self._give_up_snapshots(StorageError("the server stops", path=self._config.data_dir))
        if self._unsaved is not None:
            self._unsaved.stop()
        if self._purge_timer is not None:
            self._purge_timer.cancel()
            self._purge_timer = None

    def close(self) -> None:
        """Sync what was appended, end the threads, unlock. Blocks; safe to call twice."""
        snapshots, self._snapshots = self._snapshots, None
        if snapshots is not None:
            snapshots.close()
        disk, self._disk = self._disk, None
        if disk is not None:
            disk.close()
        # The threads have ended: nothing more is posted.
        mailbox, self._mailbox = self._mailbox, None
        if mailbox is not None:
            mailbox.close()
        self.release()

    def abandon(self) -> None:
        """End as a killed process would: lose what was appended and is not synced yet."""
        if self._disk is not None:
            self._disk.abandon()
            self._disk = None
        self.close()

    def release(self) -> None:
        """Unlock the directories."""
        if hasattr(self, "_directories"):
            self._directories.close()


class StartTimes:
    """How long it took to load the database."""

    def __init__(self, begun: float, loaded: list[float], end: float, replayed: int) -> None:
        """``loaded`` is when there was a snapshot, empty if there was none; ``replayed`` is how
        many transactions came behind it."""
        self._begun, self._loaded, self._end = begun, loaded, end
        self._replayed = replayed

    def count(self, metrics: Metrics) -> None:
        """Tell the metrics."""
        metrics.dbinittime.add(int((self._end - self._begun) * 1000))
        for loaded in self._loaded:
            metrics.startup_snap_load_time.add(int((loaded - self._begun) * 1000))
            if self._replayed:
                metrics.startup_txns_load_time.add(int((self._end - loaded) * 1000))
                metrics.startup_txns_loaded.add(self._replayed)


def _told_where(error: MissingLogError) -> StorageError:
    """Return the error for a missing log; it says where the log is if it is where it was
    written."""
    if not os.path.isfile(error.written_as):
        return error
    log_root = os.path.dirname(os.path.dirname(error.written_as))
    return StorageError(
        error.message, path=error.path, remedy=f"it is there: set dataLogDir={log_root} again"
    )


def _told_full(error: StorageError, config: ServerConfig) -> StorageError | None:
    """Return the error for a start without room on the disk, None for other errors."""
    log_root = config.data_log_dir or config.data_dir
    if log_root == config.data_dir or error.path.startswith(os.path.join(log_root, "")):
        need = f"a start needs a little more than {ROOM_BYTES >> 20} MiB for the log"
        return full_disk_error(error, log_root, need)
    need = f"a start needs a little more than {EPOCH_ROOM_BYTES >> 10} KiB there"
    return full_disk_error(error, config.data_dir, need)


def _replaced(directory: Directory) -> StorageError:
    """Return why a snapshot is not written to its end."""
    return StorageError("the state is being replaced by another one", path=directory.path)


def _locked(lock: AbstractContextManager[object], work: Callable[[], _Result]) -> _Result:
    with lock:
        return work()


def _nothing() -> None:
    """Do nothing: what was appended before is durable by then, and that is all that is wanted."""


def _total_size(directory: Directory) -> int:
    return sum(map(partial(_size, directory), directory.names()))


def _newest_snapshot(directory: Directory) -> tuple[int, int]:
    """Return the zxid of the newest snapshot, and when it was written, in seconds; -1 for both if
    there is none."""
    for found in reversed(filenames.snapshots(directory.names())):
        try:
            written_s = os.stat(os.path.join(directory.path, found.name)).st_mtime
        except OSError:
            continue  # purged in between
        return found.zxid, int(written_s)
    return -1, -1


def _size(directory: Directory, name: str) -> int:
    try:
        return directory.size(name)
    except StorageError:
        return 0  # purged in between
