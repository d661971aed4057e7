"""Decides which snapshots and logs are no longer needed, and removes them.

Pure. The newest snapshots that look whole are kept, and every log that a restart from the oldest of
them needs. Without a whole snapshot nothing is removed. ZooKeeper: PurgeTxnLog,
DatadirCleanupManager.
"""

from __future__ import annotations

from typing import Final

from pyzk.persistence import filenames
from pyzk.persistence.directory import Directory, remove_all
from pyzk.persistence.snapshot import looks_complete

MIN_RETAIN_COUNT: Final = 3


def choose(
    snap_directory: Directory, log_directory: Directory, retain_count: int
) -> tuple[list[str], list[str]]:
    """Return the snapshots and the logs that are not needed, oldest first."""
    snapshots = filenames.snapshots(snap_directory.names())
    whole = [each for each in snapshots if looks_complete(snap_directory, each.name)]
    if not whole:
        return [], []
    oldest = whole[-max(retain_count, MIN_RETAIN_COUNT) :][0].zxid
    names = log_directory.names()
    needed = set(filenames.logs_from(names, oldest))
    return (
        [each.name for each in snapshots if each.zxid < oldest],
        [log.name for log in filenames.logs(names) if log.zxid < oldest and log not in needed],
    )


def purge(snap_directory: Directory, log_directory: Directory, retain_count: int) -> list[str]:
    """Remove what `choose` names; return the names.

    Logs go first: without them an old snapshot is of no use, so a crash in between leaves nothing
    that looks usable and is not needed.
    """
    old_snapshots, old_logs = choose(snap_directory, log_directory, retain_count)
    return remove_all(log_directory, old_logs) + remove_all(snap_directory, old_snapshots)
