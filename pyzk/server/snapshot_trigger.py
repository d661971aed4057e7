"""Says when a snapshot is due.

Pure.

ZooKeeper: SyncRequestProcessor.shouldSnapshot
"""

from __future__ import annotations

from random import Random
from typing import Final

LARGE_TREE_ZNODES: Final = 100_000
"""With more znodes than this, snapCount transactions alone make no snapshot due (see
SnapshotTrigger)."""
ZNODES_A_RECORD: Final = 4
"""The most znodes of a large tree that are written into snapshots for each record."""


class SnapshotTrigger:
    """Says after which record a snapshot is due: at random between half the limit and all of it,
    so that the members of an ensemble do not all write one at the same time.

    A snapshot holds the whole tree, so of a large tree it is due only after a quarter as many
    records as there are znodes: it may cost each write four znodes, and a start replays at most a
    quarter as many records as it loads znodes. The original writes half a million znodes for every
    75,000 records; here that was a fifth of the time (scripts/bench). The limit in bytes holds all
    the same.
    """

    def __init__(self, snap_count: int, snap_bytes: int, rng: Random) -> None:
        self._snap_count = snap_count
        self._snap_bytes = snap_bytes
        self._rng = rng
        self._count = 0
        """Records since the last snapshot was due."""
        self._draw()

    def _draw(self) -> None:
        self._count = 0
        half = self._snap_count // 2
        self._due_count = half + (self._rng.randrange(half) if half > 0 else 0) + 1
        half = self._snap_bytes // 2
        self._bytes_left = half + (self._rng.randrange(half) if half > 0 else 0)

    def logged(self, record_bytes: int, znode_count: int) -> bool:
        """Count one record; tell whether a snapshot is due now."""
        count = self._count = self._count + 1
        self._bytes_left -= record_bytes
        if self._bytes_left > 0 or self._snap_bytes <= 0:
            if count < self._due_count:
                return False
            if znode_count > LARGE_TREE_ZNODES and ZNODES_A_RECORD * count < znode_count:
                return False
        self._draw()
        return True
