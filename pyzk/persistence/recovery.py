"""From two directories to a database: the newest snapshot that is whole, then every later txn.

Pure. What a power failure can leave is repaired without a word to the operator but a note: stale
``*.tmp`` files, a torn record at the end of the last log, a log whose header was never written.
What it cannot leave stops the server, because going on would lose acknowledged txns: a damaged
record, a gap of zxids, a missing log, snapshots none of which can be read, or an unreadable newest
snapshot that claims more than the rest can rebuild. Java goes on in some of these cases, silently;
docs/on-disk.md has the list.

Before this returns, every file that was relied on is synced: after the death of a process (not of
the machine) its last writes may exist in the page cache only, and the server is about to answer
from them.

ZooKeeper: FileTxnSnapLog.restore, FileTxnLog.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from pyzk.constants import MAX_TXN_BYTES
from pyzk.data.committed_log import CommittedLog
from pyzk.data.database import Database
from pyzk.data.tree import DataTree
from pyzk.errors import Corrupt, StorageError
from pyzk.persistence import filenames, newest_log, txnlog
from pyzk.persistence.directory import Directory, join, remove_all
from pyzk.persistence.filenames import ACCEPTED_EPOCH, CURRENT_EPOCH, TEMPORARY, NamedZxid
from pyzk.persistence.replacement import complete_replacement
from pyzk.persistence.replay import Replay, compare_digest, sync_file
from pyzk.persistence.snapshot import LoadedSnapshot, read_snapshot, write_snapshot
from pyzk.persistence.soundness import check_acls, check_owners, check_zxid
from pyzk.zxid import counter_of, format_zxid

if TYPE_CHECKING:
    from pyzk.config.server import ServerConfig

log = logging.getLogger(__name__)

MAX_CANDIDATES = 100
"""Older snapshots than this many are not tried, as in Java."""
_OWNERS_REMEDY: Final = (
    "set zookeeper.extendedTypesEnabled or zookeeper.emulate353TTLNodes again if it was set before:"
    " without it TTL znodes look like that, and would be deleted; or restore a snapshot from a"
    " backup"
)
_SUFFIXES: Final = {"": "", "gz": ".gz", "snappy": ".snappy"}


class RecoveryOptions(NamedTuple):
    """The settings that loading depends on."""

    digests: bool = True
    """The value of zookeeper.digest.enabled."""
    extended_types: bool = False
    """The value of zookeeper.extendedTypesEnabled."""
    emulate_353: bool = False
    """The value of zookeeper.emulate353TTLNodes."""
    trust_empty_snapshot: bool = False
    """The value of zookeeper.snapshot.trust.empty: logs without any snapshot are all there ever
    was."""
    autocreate: bool = True
    """Whether an empty directory is a new database. It is for a lone server, unless
    zookeeper.db.autocreate is false; a member asks the others first (docs/decisions/0027)."""
    initialize: bool = False
    """Whether an ``initialize`` file was found, or ``--initialize`` was given: this once, an empty
    directory is a new database."""
    is_foreign: bool = False
    """Whether no pyzk has used these files before."""
    jute_limit_bytes: int = MAX_TXN_BYTES
    """The sum of jute.maxbuffer and its extra size; what is longer is loaded all the same, and
    mentioned."""
    snapshot_suffix: str = ""
    """What the names of new snapshots end with: "", ".gz" or ".snappy"."""
    last_zxid_section: bool = True
    """The value of zookeeper.serializeLastProcessedZxid.enabled."""
    committed_log_count: int = 0
    """The value of zookeeper.commitLogCount on a member of an ensemble; 0: nothing is collected."""

    @classmethod
    def of(cls, config: ServerConfig) -> RecoveryOptions:
        """Return what a configuration says of loading."""
        return cls(
            digests=config.digest_enabled,
            extended_types=config.extended_types_enabled,
            emulate_353=config.emulate_353_ttl_nodes,
            trust_empty_snapshot=config.snapshot_trust_empty,
            autocreate=config.db_autocreate and config.ensemble is None,
            initialize=config.initialize,
            jute_limit_bytes=config.max_txn_bytes,
            snapshot_suffix=_SUFFIXES[config.snapshot_compression],
            last_zxid_section=config.serialize_last_processed_zxid,
            committed_log_count=0 if config.ensemble is None else config.commit_log_count,
        )

    def new_tree(self) -> DataTree:
        return DataTree(
            extended_types=self.extended_types,
            emulate_353=self.emulate_353,
            digests=self.digests,
        )

    def new_database(self) -> Database:
        """Return an empty database."""
        database = Database(self.new_tree())
        self.prepare(database)
        return database

    def prepare(self, database: Database) -> None:
        """Make the database keep the transactions that are applied to it, if that is wanted."""
        if self.committed_log_count > 0:
            database.committed = CommittedLog(self.committed_log_count)


class Recovered(NamedTuple):
    """A loaded database and how it came about."""

    database: Database
    snapshot_name: str | None
    """The zxid of the snapshot; None if there is no snapshot."""
    snapshot_zxid: int
    last_zxid: int
    """The last zxid; -1: the directory is empty and may not be taken for a new database."""
    replayed: int
    """The number of transactions that were applied on top of the snapshot."""
    notes: list[str]
    """What was repaired or skipped, one sentence each, for the log of the start."""
    is_new: bool = False
    """Whether the directory was empty, so that a database was begun."""


def recover(
    snap_directory: Directory,
    log_directory: Directory,
    options: RecoveryOptions,
    has_snapshot: Callable[[], None] | None = None,
) -> Recovered:
    """Load the database; ``has_snapshot`` is called when the snapshot is loaded and the log is
    next. Raises `StorageError` if it cannot be known to be complete."""
    check_directories(snap_directory, log_directory)
    return _Recovery(snap_directory, log_directory, options, None, has_snapshot).run()


def recover_until(
    snap_directory: Directory, log_directory: Directory, options: RecoveryOptions, zxid: int
) -> Recovered:
    """Load the database as it was at ``zxid``, or at the last transaction before; change nothing.

    Raises `StorageError` if that cannot be done.
    """
    return _Recovery(snap_directory, log_directory, options, zxid).run()


def check_directories(snap_directory: Directory, log_directory: Directory) -> None:
    """Refuse snapshots in a separate log directory and logs in a separate snapshot directory."""
    if snap_directory is log_directory or snap_directory.path == log_directory.path:
        return
    remedy = "check that dataDir and dataLogDir are not swapped, or move the file"
    for directory, prefix, message in (
        (log_directory, "snapshot.", "a snapshot in the directory of the logs"),
        (snap_directory, "log.", "a log in the directory of the snapshots"),
    ):
        for name in directory.names():
            if name.startswith(prefix):
                raise StorageError(message, path=join(directory, name), remedy=remedy)


class _Recovery:
    def __init__(
        self,
        snap_directory: Directory,
        log_directory: Directory,
        options: RecoveryOptions,
        until: int | None = None,
        has_snapshot: Callable[[], None] | None = None,
    ) -> None:
        self.snap_directory = snap_directory
        self.log_directory = log_directory
        self.options = options
        self.until = until
        """The last zxid to load, with no file changed; None: everything is loaded."""
        self.has_snapshot = has_snapshot
        self.notes: list[str] = []
        self.unreadable: list[tuple[NamedZxid, StorageError]] = []

    def run(self) -> Recovered:
        if self.until is None:
            for note in complete_replacement(self.snap_directory, self.log_directory):
                self.note(note)
            self._remove_temporaries()
            self._remove_headerless_log()
            newest_log.check(self.snap_directory, self.log_directory)
        snapshot = self._newest_snapshot()
        if snapshot is None:
            if self._has_records():
                return self._from_logs_alone()
            return self._new_database()
        if self.has_snapshot is not None:
            self.has_snapshot()
        named, loaded = snapshot
        self._note_lonely(named)
        database = loaded.database
        self.options.prepare(database)
        database.log_complete_after = named.zxid
        if loaded.digest_zxid > named.zxid:
            database.fuzzy_until = loaded.digest_zxid
        elif loaded.digest_zxid == named.zxid:
            compare_digest(loaded, self.notes)
        replay = Replay(self.log_directory, database, loaded, self.until, self.notes)
        replay.run()
        self._check_claims(database.last_zxid)
        self._check_state(database)
        self._note_longest(max(loaded.longest, replay.longest))
        if self.until is None:
            sync_file(self.snap_directory, named.name)
            self.snap_directory.sync()
        return Recovered(
            database, named.name, named.zxid, database.last_zxid, replay.applied, self.notes
        )

    def note(self, text: str) -> None:
        self.notes.append(text)

    def _remove_temporaries(self) -> None:
        """Remove the files of a writer that died. They must go before anything is loaded: Java
        loads a complete ``snapshot.7.tmp`` as a snapshot."""
        directories = [self.snap_directory]
        if self.log_directory is not self.snap_directory:
            directories.append(self.log_directory)
        for directory in directories:
            stale = [name for name in directory.names() if name.endswith(TEMPORARY)]
            for name in remove_all(directory, stale):
                self.note(f"{join(directory, name)}: removed, an unfinished file")

    def _remove_headerless_log(self) -> None:
        """Remove the newest log if its writer died before the header was written: it never had a
        record."""
        logs = filenames.logs(self.log_directory.names())
        if not logs:
            return
        name = logs[-1].name
        size = self.log_directory.size(name)
        if size >= txnlog.HEADER_BYTES:
            return
        if txnlog.HEADER.startswith(self.log_directory.read(name, 0, size)):
            self.log_directory.remove(name)
            self.log_directory.sync()
            self.note(f"{join(self.log_directory, name)}: removed, it has {size} bytes, no header")

    def _newest_snapshot(self) -> tuple[NamedZxid, LoadedSnapshot] | None:
        """Return the newest snapshot that can be read; None if there is no snapshot at all."""
        found = filenames.snapshots(self.snap_directory.names())
        if self.until is not None:
            found = [named for named in found if named.zxid <= self.until]
        candidates = found[: -MAX_CANDIDATES - 1 : -1]
        for named in candidates:
            try:
                loaded = read_snapshot(
                    self.snap_directory, named.name, named.zxid, self.options.new_tree()
                )
            except Corrupt as error:
                log.warning("snapshot is not usable: %s", error)
                self.note(str(error))
                self.unreadable.append((named, error))
            else:
                if self.until is None or loaded.digest_zxid <= self.until:
                    return named, loaded
        if not candidates:
            return None
        if not self.unreadable:
            assert self.until is not None, candidates
            raise StorageError(
                f"no snapshot without effects behind zxid {format_zxid(self.until)}",
                path=self.snap_directory.path,
            )
        newest = self.unreadable[0][1]
        raise Corrupt(
            f"none of {len(candidates)} snapshots can be read; the newest: {newest}",
            path=self.snap_directory.path,
            remedy="restore a snapshot from a backup",
        )

    def _has_records(self) -> bool:
        return any(
            txnlog.first_zxid(self.log_directory, name) is not None
            for _, name in filenames.logs(self.log_directory.names())
        )

    def _from_logs_alone(self) -> Recovered:
        if not self.options.trust_empty_snapshot:
            raise StorageError(
                "there are logs but no snapshot to begin with",
                path=self.log_directory.path,
                remedy="restore a snapshot; or, if the logs are known to be complete from the"
                " first transaction on, start with zookeeper.snapshot.trust.empty=true",
            )
        database = self.options.new_database()
        replay = Replay(self.log_directory, database, None, self.until, self.notes)
        replay.run()
        self._check_state(database)
        self._note_longest(replay.longest)
        self.note("there is no snapshot: the database was built from the logs alone")
        return Recovered(database, None, 0, database.last_zxid, replay.applied, self.notes)

    def _new_database(self) -> Recovered:
        """Write the first snapshot into an empty directory, so that logs have something to
        follow."""
        database = self.options.new_database()
        if self.until is not None:
            raise StorageError("there is no snapshot", path=self.snap_directory.path)
        if not (self.options.autocreate or self.options.initialize):
            database.tree.last_zxid = -1
            return Recovered(database, None, -1, -1, 0, self.notes)
        self._check_unused()
        name = write_snapshot(
            self.snap_directory,
            database.freeze(),
            suffix=self.options.snapshot_suffix,
            last_zxid_section=self.options.last_zxid_section,
        )
        return Recovered(database, name, 0, 0, 0, self.notes, is_new=True)

    def _check_claims(self, last_zxid: int) -> None:
        """Refuse if a snapshot that cannot be read says there was more than was rebuilt."""
        for named, error in self.unreadable:
            if named.zxid > last_zxid:
                raise Corrupt(
                    f"{error}; without it the transactions after {format_zxid(last_zxid)}, up to"
                    f" {format_zxid(named.zxid)} at least, would be lost",
                    path=join(self.snap_directory, named.name),
                    remedy="restore the snapshot, or remove it to give those transactions up",
                )

    def _check_state(self, database: Database) -> None:
        """Refuse what cannot be served, or could not be read back later."""
        path = self.snap_directory.path
        remedy = "restore a snapshot from a backup"
        check_acls(database.tree, path, remedy)
        if self.until is None:
            check_owners(database.tree, path, _OWNERS_REMEDY)
            check_zxid(database, path, remedy)

    def _note_lonely(self, snapshot: NamedZxid) -> None:
        """Note a snapshot without any log: it may be a restored backup, or one that a leader has
        sent."""
        if self.until is not None or filenames.logs(self.log_directory.names()):
            return
        # Without a transaction the first snapshots of epochs are all there is; had this server
        # begun a log since, `newest_log` would have missed it.
        snapshots = filenames.snapshots(self.snap_directory.names())
        if self.options.is_foreign or any(counter_of(each.zxid) > 0 for each in snapshots):
            self.note(
                f"there is no log in {self.log_directory.path}: what is loaded ends with the"
                f" snapshot, at zxid {format_zxid(snapshot.zxid)}. That is right for a restored"
                " backup; but if the logs were kept elsewhere (dataLogDir), stop this server and"
                " name that directory, or their transactions are lost"
            )

    def _check_unused(self) -> None:
        """Refuse to begin a new database where a member has been before: without its data it would
        take part in elections as if it had never acknowledged anything."""
        names = self.snap_directory.names()
        epochs = [name for name in (ACCEPTED_EPOCH, CURRENT_EPOCH) if name in names]
        if epochs and not self.options.initialize:
            raise StorageError(
                f"there is {' and '.join(epochs)}, but neither a snapshot nor a log: the data that"
                " this member had is gone",
                path=self.snap_directory.path,
                remedy="are dataDir and dataLogDir still what they were, and mounted? Restore the"
                " data; or, while a quorum of the other members has its data, remove these files,"
                " too, and this member gets everything from the others",
            )

    def _note_longest(self, longest: int) -> None:
        limit = self.options.jute_limit_bytes
        if longest > limit:
            self.note(
                f"a transaction or the data of a znode has {longest} bytes, jute.maxbuffer and its"
                f" extra size allow {limit}: it is loaded all the same, but ZooKeeper would not"
                " start on these files, and clients of the same jute.maxbuffer cannot read that"
                " znode; was -Djute.maxbuffer larger before?"
            )
