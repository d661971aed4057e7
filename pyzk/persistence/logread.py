"""Reads a stretch of the transaction log, for a learner that is far behind.

Pure. Answers to FileTxnSnapLog.readTxnLog and ZKDatabase.getProposalsFromTxnLog. It may run while
the log is being written, as long as what is wanted is in the files already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pyzk.persistence import filenames, txnlog
from pyzk.persistence.directory import Directory
from pyzk.persistence.txnlog import LogScan

MAX_BYTES: Final = 1 << 28
"""The most bytes that are held in memory for one learner, however large the snapshot is."""


def read_log(
    snap_directory: Directory,
    log_directory: Directory,
    after: int,
    until: int,
    is_affordable: Callable[[int, int], bool],
    *,
    max_bytes: int = MAX_BYTES,
) -> list[tuple[int, bytes]] | None:
    """Return (zxid, payload) of the records from ``after`` to ``until``, both included; None if a
    snapshot is cheaper, or if the files do not reach back so far.

    ``is_affordable`` is given the bytes of all log files but the first, and of the newest snapshot.
    What was purged may have held records after ``after``, and their numbers cannot tell, because
    the first of an epoch may follow any of the epoch before. Raises `StorageError` where a file is
    damaged, or was purged while it was read.
    """
    files = filenames.logs_from(log_directory.names(), after)
    if not files or files[0].zxid > after + 1:
        return None
    further_bytes = sum(log_directory.size(named.name) for named in files[1:])
    snapshots = filenames.snapshots(snap_directory.names())
    snapshot_bytes = snap_directory.size(snapshots[-1].name) if snapshots else 0
    if not is_affordable(further_bytes, snapshot_bytes):
        return None
    records: list[tuple[int, bytes]] = []
    size = 0
    for named in files:
        if named.zxid > until:
            break
        for _, payload in LogScan(log_directory, named.name):
            zxid = txnlog.payload_zxid(payload)
            if zxid > until:
                break
            if zxid >= after:
                size += len(payload)
                if size > max_bytes:
                    return None
                records.append((zxid, payload))
    return records
