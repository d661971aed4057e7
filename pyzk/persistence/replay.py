"""Applies what the logs have beyond a snapshot: in order, without a gap, each transaction once.

Pure. A start waits for each record, of which there may be very many, so this is compiled.

ZooKeeper: FileTxnSnapLog.fastForwardFromEdits.
"""

from __future__ import annotations

from contextlib import closing

from pyzk.data.database import Database
from pyzk.data.txn import decode_txn
from pyzk.errors import Corrupt, JuteError
from pyzk.persistence import filenames, txnlog
from pyzk.persistence.directory import Directory
from pyzk.persistence.filenames import NamedZxid
from pyzk.persistence.snapshot import LoadedSnapshot
from pyzk.persistence.txnlog import Ending, LogScan
from pyzk.zxid import follows, format_zxid


class Replay:
    """Applies what the logs have beyond the database, in order and without a gap."""

    def __init__(
        self,
        directory: Directory,
        database: Database,
        snapshot: LoadedSnapshot | None,
        until: int | None,
        notes: list[str],
    ) -> None:
        self.applied = 0
        self.longest = 0
        """The length of the longest transaction."""
        self._directory = directory
        self._database = database
        self._snapshot = snapshot
        self._until = until
        """The last zxid to apply, with no file changed; None: everything is applied."""
        self._notes = notes
        self._trusted = database.last_zxid
        self._repeated = 0

    def run(self) -> None:
        directory = self._directory
        start = self._database.last_zxid
        files = filenames.logs_from(directory.names(), start)
        until = self._until
        for index, named in enumerate(files):
            if until is None or named.zxid <= until:
                self._replay_file(named, is_last=index == len(files) - 1)
        if files and until is None:
            directory.sync()
        if self._repeated:
            self._notes.append(f"{self._repeated} records came twice and were skipped")
        fuzzy = self._database.fuzzy_until
        if fuzzy > self._database.last_zxid:
            raise Corrupt(
                f"the snapshot has effects up to zxid {format_zxid(fuzzy)},"
                f" the logs end at {format_zxid(self._database.last_zxid)}",
                path=directory.path,
                remedy="restore the missing log, or remove the snapshot to use an older one",
            )

    def _replay_file(self, named: NamedZxid, *, is_last: bool) -> None:
        name = named.name
        is_first = True
        until = self._until
        scan = LogScan(self._directory, name)
        for offset, payload in scan:
            zxid = txnlog.payload_zxid(payload)
            if is_first and zxid != named.zxid:
                raise Corrupt(
                    f"the log begins with zxid {format_zxid(zxid)}, which is not in its name",
                    path=scan.path,
                    offset=offset,
                    remedy="give the file its name back: log. and that zxid in hexadecimal",
                )
            is_first = False
            if until is not None and zxid > until:
                return
            last = self._database.last_zxid
            if zxid <= last:
                self._repeated += zxid > self._trusted
                continue
            if not follows(last, zxid):
                raise Corrupt(
                    f"a gap: zxid {format_zxid(zxid)} follows {format_zxid(last)}",
                    path=scan.path,
                    offset=offset,
                    remedy="restore the missing log or a newer snapshot; going on would lose"
                    " transactions",
                )
            self._apply(scan.path, offset, payload)
        if scan.ending is Ending.TORN:
            what = "the torn end of the log is left out" if is_last else "the log has a torn end"
            self._notes.append(f"{scan.path}: {what}, at offset {scan.offset}: {scan.detail}")
        if until is None:
            sync_file(self._directory, name)

    def _apply(self, path: str, offset: int, payload: bytes) -> None:
        database = self._database
        try:
            txn = decode_txn(payload)
            database.replay(txn, payload)
        except (JuteError, ValueError, LookupError) as error:
            raise Corrupt(
                f"a record that cannot be applied ({error})",
                path=path,
                offset=offset,
                remedy="restore this file from a backup",
            ) from error
        self.applied += 1
        self.longest = max(self.longest, len(payload))
        snapshot = self._snapshot
        if snapshot is not None and txn.header.zxid == snapshot.digest_zxid:
            compare_digest(snapshot, self._notes)


def compare_digest(loaded: LoadedSnapshot, notes: list[str]) -> None:
    """Compare the digest that a snapshot names with the tree's, now that the tree is as old."""
    tree = loaded.database.tree
    if tree.digests and loaded.digest_zxid and loaded.digest != tree.digest:
        loaded.database.digest_mismatches += 1
        notes.append(
            f"tree digest differs at zxid {format_zxid(loaded.digest_zxid)}:"
            f" the snapshot says {loaded.digest}, the tree has {tree.digest}"
        )


def sync_file(directory: Directory, name: str) -> None:
    """Make durable what a process that died may have left in the page cache only."""
    with closing(directory.open(name)) as file:
        file.sync()
