"""Takes back the end of a history, or all of it, in one step that a crash cannot halve.

Pure. A leader tells a learner to give up transactions that were never committed (TRUNC), or sends
its whole state (SNAP). Both touch several files, and recovery must not find some of the old beside
some of the new: a snapshot that still has what the log has lost would bring it back
(ZOOKEEPER-4837), a log that goes on behind a snapshot of another history would be replayed on it.
So the steps are written down first:

    1. a snapshot that has come is written under a name that nobody loads
    2. the file ``replacement`` tells what is to be done; with its name in the directory it is done
    3. logs are removed, newest first; one is cut; the snapshot gets its name; others are removed
    4. ``replacement`` is removed

A crash before step 2 is durable leaves the old history. After a later crash the next recovery does
what is left of step 3 before it looks at anything; each part of it may be done twice. Whoever asked
is answered when step 4 is durable.

Java knows nothing of that file: between a crash here and the next start of this server, the
directory should not be given to it.

ZooKeeper: FileTxnLog.truncate, FileTxnSnapLog.truncateLog; they remove no snapshot.
"""

from __future__ import annotations

import re
from contextlib import closing
from typing import Final, NamedTuple

from pyzk.data.database import FrozenDatabase
from pyzk.errors import Corrupt, StorageError
from pyzk.persistence import filenames, newest_log, txnlog
from pyzk.persistence.directory import Directory, join, remove_all, save
from pyzk.persistence.snapshot import SnapshotWriter, add_nodes
from pyzk.persistence.txnlog import LogScan
from pyzk.zxid import format_zxid

PLAN_NAME: Final = "replacement"
RECEIVED_PREFIX: Final = "received."
"""The prefix of a snapshot that is not in force yet: received.snapshot.7."""

_END_OF_PLAN: Final = "end"
_CUT: Final = re.compile(r"cut (log\.[0-9a-fA-F]{1,16}) ([0-9]{1,19})")
_REMOVE: Final = re.compile(r"remove (log\.[0-9a-fA-F]{1,16}|snapshot\.[0-9a-fA-F.a-z]{1,32})")
_INSTALL: Final = re.compile(r"install (snapshot\.[0-9a-f]{1,16}(?:|\.gz|\.snappy))")


class Replacement(NamedTuple):
    """What is to be done to the files."""

    zxid: int
    """The last zxid of the history that will be left, for messages."""
    logs: tuple[str, ...] = ()
    """The logs that will be removed, newest first."""
    cuts: tuple[tuple[str, int], ...] = ()
    """The logs that will be cut, and the offset at which each will end."""
    install: str | None = None
    """The name that the received snapshot gets."""
    snapshots: tuple[str, ...] = ()
    """The snapshots that will be removed, newest first."""

    @property
    def is_empty(self) -> bool:
        return not (self.logs or self.cuts or self.install or self.snapshots)

    def text(self) -> str:
        """Return the content of the file ``replacement``."""
        lines = [f"end at zxid {format_zxid(self.zxid)}"]
        lines += [f"remove {name}" for name in (*self.logs, *self.snapshots)]
        lines += [f"cut {name} {offset}" for name, offset in self.cuts]
        if self.install is not None:
            lines.append(f"install {self.install}")
        return "\n".join([*lines, _END_OF_PLAN, ""])


# --- planning -------------------------------------------------------------------------


def plan_truncation(
    snap_directory: Directory, log_directory: Directory, zxid: int, base: str | None
) -> Replacement:
    """Plan to remove everything after ``zxid``; ``base`` is the newest snapshot that is left.

    A snapshot that could not be read, or that has effects of later transactions than its name says,
    is newer than that, and is removed, too.
    """
    snapshots = filenames.snapshots(snap_directory.names())
    kept = next((named.zxid for named in snapshots if named.name == base), -1)
    newer = [named.name for named in snapshots if named.zxid > kept]
    whole: list[str] = []
    cuts: list[tuple[str, int]] = []
    for named in filenames.logs_from(log_directory.names(), max(kept, 0)):
        if named.zxid > zxid:
            whole.append(named.name)
            continue
        offset = _end_before(log_directory, named.name, zxid)
        if offset is not None:
            cuts.append((named.name, offset))
    return Replacement(zxid, tuple(reversed(whole)), tuple(cuts), None, tuple(reversed(newer)))


def _end_before(directory: Directory, name: str, zxid: int) -> int | None:
    """Return the offset of a log's first record after ``zxid``; None if it has none."""
    for offset, payload in LogScan(directory, name):
        if txnlog.payload_zxid(payload) > zxid:
            return offset
    return None


def receive(
    snap_directory: Directory,
    log_directory: Directory,
    frozen: FrozenDatabase,
    *,
    suffix: str = "",
    last_zxid_section: bool = True,
) -> Replacement:
    """Write a snapshot that has come from a leader; return the plan that leaves nothing but it.

    Older logs are removed as well: nobody knows whether they lead to the snapshot without a hole,
    and falling back to them would lead to another history. Does not close the view.
    """
    received = Received(
        snap_directory, log_directory, frozen, suffix=suffix, last_zxid_section=last_zxid_section
    )
    received.write()
    return received.finish(frozen.zxid)


class Received:
    """A database that is to replace what a server has: written while that goes on, all but its
    zxid, which is known only when it comes in force."""

    def __init__(
        self,
        snap_directory: Directory,
        log_directory: Directory,
        frozen: FrozenDatabase,
        *,
        suffix: str = "",
        last_zxid_section: bool = True,
    ) -> None:
        """Begin the file. Raises StorageError."""
        remove_received(snap_directory)
        self._snap_directory = snap_directory
        self._log_directory = log_directory
        self._frozen = frozen
        self._writer = SnapshotWriter(
            snap_directory,
            frozen,
            suffix=suffix,
            last_zxid_section=last_zxid_section,
            prefix=RECEIVED_PREFIX,
        )

    def write(self) -> None:
        """Write everything but the end; it is durable when this returns. Raises StorageError, and
        then nothing of it is left."""
        try:
            add_nodes(self._writer, self._frozen)
            self._writer.sync()
        except StorageError:
            self.abort()
            raise

    def finish(self, zxid: int) -> Replacement:
        """Write the end, with the zxid of the state; return the plan that leaves nothing but it.
        Raises StorageError, and then nothing of it is left."""
        try:
            name = self._writer.commit_at(zxid).removeprefix(RECEIVED_PREFIX)
        except StorageError:
            self.abort()
            raise
        snapshots = [each.name for each in filenames.snapshots(self._snap_directory.names())]
        logs = [each.name for each in filenames.logs(self._log_directory.names())]
        others = [each for each in reversed(snapshots) if each != name]
        return Replacement(zxid, tuple(reversed(logs)), (), name, tuple(others))

    def install(self, zxid: int) -> None:
        """Put it in force as the state at ``zxid``; all of it is durable when this returns. Raises
        StorageError; the next start then finds this state or the earlier one, whole."""
        replace(self._snap_directory, self._log_directory, self.finish(zxid))

    def abort(self) -> None:
        """Give up: remove what was written."""
        self._writer.abort()


# --- doing ----------------------------------------------------------------------------


def replace(snap_directory: Directory, log_directory: Directory, plan: Replacement) -> None:
    """Do what was planned; all of it is durable when this returns."""
    if plan.is_empty:
        return
    save(snap_directory, PLAN_NAME, plan.text().encode("ascii"))
    _perform(snap_directory, log_directory, plan)


def complete_replacement(snap_directory: Directory, log_directory: Directory) -> list[str]:
    """Do what a crash has left undone; return a sentence for the log if there was anything."""
    notes = []
    if PLAN_NAME in snap_directory.names():
        plan = _read(snap_directory)
        # A process may have been killed before its name was durable. What is removed of the logs
        # by a plan that a loss of power takes back is missing then.
        snap_directory.sync()
        _perform(snap_directory, log_directory, plan)
        notes.append(
            f"{snap_directory.path}: the server died while it cut its history at zxid"
            f" {format_zxid(plan.zxid)}; done now"
        )
    notes += [
        f"{join(snap_directory, name)}: removed, it had not been put in force"
        for name in remove_received(snap_directory)
    ]
    return notes


def remove_received(directory: Directory) -> list[str]:
    """Remove snapshots that were received and never put in force; return their names."""
    return remove_all(
        directory, [name for name in directory.names() if name.startswith(RECEIVED_PREFIX)]
    )


def _perform(snap_directory: Directory, log_directory: Directory, plan: Replacement) -> None:
    names = log_directory.names()
    if plan.logs:
        newest_log.forget(snap_directory)
    for name in plan.logs:
        if name in names:
            log_directory.remove(name)
    for name, offset in plan.cuts:
        if name in names and log_directory.size(name) > offset:
            with closing(log_directory.open(name)) as file:
                file.truncate(offset)
                file.sync()
    log_directory.sync()
    names = snap_directory.names()
    if plan.install is not None and (received := RECEIVED_PREFIX + plan.install) in names:
        snap_directory.rename(received, plan.install)
        snap_directory.sync()
    for name in plan.snapshots:
        if name in names:
            snap_directory.remove(name)
    snap_directory.sync()
    snap_directory.remove(PLAN_NAME)
    snap_directory.sync()


def _read(directory: Directory) -> Replacement:
    raw = directory.read(PLAN_NAME, 0, directory.size(PLAN_NAME))
    first, *lines = raw.decode("ascii", "replace").split("\n")
    logs: list[str] = []
    snapshots: list[str] = []
    cuts: list[tuple[str, int]] = []
    install: str | None = None
    is_whole = lines[-2:] == [_END_OF_PLAN, ""]
    zxid = 0
    for line in lines[:-2]:
        if match := _REMOVE.fullmatch(line):
            (logs if match[1].startswith("log.") else snapshots).append(match[1])
        elif match := _CUT.fullmatch(line):
            cuts.append((match[1], int(match[2])))
        elif match := _INSTALL.fullmatch(line):
            install = match[1]
        else:
            is_whole = False
    try:
        zxid = int(first.removeprefix("end at zxid "), 16)
    except ValueError:
        is_whole = False
    if not is_whole:
        raise Corrupt(
            "is not what this server writes there",
            path=join(directory, PLAN_NAME),
            remedy="restore the data directory from a backup",
        )
    return Replacement(zxid, tuple(logs), tuple(cuts), install, tuple(snapshots))
