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
from pyzk.server.snapshot_trigger import SnapshotTrigger

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.server import Server


SPOT_CHECK_MASK: Final = 63
"""One transaction in so many has its digests computed again when it is applied. The others take
those that their preparation computed (scripts/bench: a tenth of a write); replay and followers
compute all of them."""


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
            applied = database.apply_txn(request, request.body, request.digest, foretold)
            server.finish(request, applied)
        self.prep.changes.applied(zxid)
        server.end_batch()
