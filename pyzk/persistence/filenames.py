"""Names of log and snapshot files, their order, and which of them recovery needs.

Pure. A name carries the zxid in lower-case hexadecimal without padding: the first record of a log,
the last txn fully contained in a snapshot. ZooKeeper: Util, PurgeTxnLog.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

VERSION_DIRECTORY: Final = "version-2"
TEMPORARY: Final = ".tmp"
INITIALIZE_NAME: Final = "initialize"
"""The file in dataDir that says that an empty data directory is that of a new server."""
ACCEPTED_EPOCH: Final = "acceptedEpoch"
CURRENT_EPOCH: Final = "currentEpoch"

_LOG: Final = re.compile(r"log\.([0-9a-fA-F]{1,16})\Z")
_SNAPSHOT: Final = re.compile(r"snapshot\.([0-9a-fA-F]{1,16})(|\.gz|\.snappy)\Z")


class NamedZxid(NamedTuple):
    """A file and the zxid in its name. Files sort by zxid."""

    zxid: int
    name: str


def log_name(zxid: int) -> str:
    """Return the name of the log whose first record is ``zxid``."""
    return f"log.{zxid:x}"


def snapshot_name(zxid: int, suffix: str = "") -> str:
    """Return the name of a snapshot; ``suffix`` is one of "", ".gz", ".snappy"."""
    return f"snapshot.{zxid:x}{suffix}"


def logs(names: Iterable[str]) -> list[NamedZxid]:
    """Return the log files, oldest first."""
    return _matching(_LOG, names)


def snapshots(names: Iterable[str]) -> list[NamedZxid]:
    """Return the snapshot files, oldest first; never a ``*.tmp`` (Java would load one)."""
    return _matching(_SNAPSHOT, names)


def _matching(pattern: re.Pattern[str], names: Iterable[str]) -> list[NamedZxid]:
    found = []
    for name in names:
        match = pattern.match(name)
        # A zxid with the top bit set cannot be read by Java either: not one of ours.
        if match is not None and (zxid := int(match[1], 16)) < 1 << 63:
            found.append(NamedZxid(zxid, name))
    return sorted(found)


def logs_from(names: Iterable[str], zxid: int) -> list[NamedZxid]:
    """Return the logs that may hold a txn after ``zxid``, oldest first.

    That is the newest log with a name of ``zxid`` or less, and everything newer.
    """
    ordered = logs(names)
    older = sum(log.zxid <= zxid for log in ordered)
    return ordered[max(older - 1, 0) :]
