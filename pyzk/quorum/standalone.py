"""The role of a server that is alone: prepare, log, apply.

Pure. Answers to ZooKeeperServer with its Prep-, Sync- and FinalRequestProcessor.
A transaction is applied, and answered, only after the disk has said that its record is durable.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import TYPE_CHECKING, Final

from pyzk.persistence.txnlog import frame_record
from pyzk.server.outbox import TakeSnapshot
from pyzk.server.prep import Prep
from pyzk.server.request import Request

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.server import Server


SPOT_CHECK_MASK: Final = 63
"""One transaction in so many has its digests computed again when it is applied. The others take
those that their preparation computed (scripts/bench: a tenth of a write); replay and followers
compute all of them."""

LARGE_TREE_ZNODES: Final = 100_000
"""A larger tree is not written as a snapshot after snapCount transactions already."""


class Standalone:
    """Role: every write is proposed to oneself and committed by one's own disk."""

    mode = "standalone"

    def __init__(self, server: Server, rng: Random) -> None:
        self._server = server
        self._outbox = server.outbox
        server.begin(self, server.tracked_sessions())
        self.prep = Prep(server)
        self._proposed: deque[Request] = deque()
        self._trigger = SnapshotTrigger(
            server.config.snap_count, server.config.snap_size_limit_kb * 1024, rng
        )

    def gauges(self) -> dict[str, int]:
        """Nothing that only an ensemble has."""
        return {}

    def submit(self, request: Request) -> None:
        """Prepare a write and hand its record to the disk."""
        record = frame_record(self.prep.prepare(request))
        outbox = self._outbox
        outbox.log.append(record)
        outbox.log_zxid = request.zxid
        self._proposed.append(request)
        if self._trigger.logged(len(record), len(self._server.tree.nodes)):
            outbox.commands.append(TakeSnapshot())

    def revalidate(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        """All sessions are here."""
        self._server.revalidate_here(connection, session_id, timeout_ms)

    def log_synced(self, zxid: int) -> None:
        """Apply, in order, what is durable now, and answer it."""
        proposed = self._proposed
        server = self._server
        database = server.database
        while proposed and proposed[0].zxid <= zxid:
            request = proposed.popleft()
            foretold = request.foretold if request.zxid & SPOT_CHECK_MASK else None
            applied = database.commit(request, request.body, request.digest, b"", foretold)
            server.finish(request, applied)
        self.prep.changes.applied(zxid)
        server.end_batch()


class SnapshotTrigger:
    """Says after which record a snapshot is due: at random between half the limit and all of it,
    so that the members of an ensemble do not all write one at the same time.

    A snapshot holds the whole tree, so of a large tree it is due only after half as many records as
    there are znodes: it may cost each write two znodes, and a start replays at most half as many
    records as it loads znodes. The original writes half a million znodes for every 75,000 records;
    here that was a fifth of the time (scripts/bench). The limit in bytes holds all the same.
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
            if znode_count > LARGE_TREE_ZNODES and 2 * count < znode_count:
                return False
        self._draw()
        return True
