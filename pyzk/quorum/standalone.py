"""A server that stands alone: its life and its role in one.

Pure. A write is prepared and its record handed to the disk; it is applied and answered only after
the disk has said that the record is durable.

ZooKeeper: ZooKeeperServer with its Prep-, Sync- and FinalRequestProcessor
"""

from __future__ import annotations

import logging
from random import Random
from typing import TYPE_CHECKING, Final

from pyzk.data.database import Database
from pyzk.persistence.txnlog import frame_record
from pyzk.quorum.peer import Peer
from pyzk.server.outbox import Outbox, TakeSnapshot
from pyzk.server.piece import Piece
from pyzk.server.prep import Prep
from pyzk.server.request import Request
from pyzk.server.server import Server
from pyzk.server.snapshot_trigger import SnapshotTrigger

if TYPE_CHECKING:
    from pyzk.clock import Clock
    from pyzk.config.server import ServerConfig
    from pyzk.server.connection import Connection

log = logging.getLogger(__name__)

SPOT_CHECK_MASK: Final = 63
"""One transaction in 64 (zxid & 63 == 0) has its digests computed again when it is applied. The
others take the digests that their preparation computed (scripts/bench: a tenth of a write); replay
and followers compute every digest."""


def standalone_peer(config: ServerConfig, database: Database, clock: Clock, rng: Random) -> Peer:
    """Returns the peer of a server that stands alone, not started yet."""
    server = Server(config, database, clock, Outbox(), rng)
    return Peer(server, Standalone(server, rng))


class Standalone:
    """Proposes every write to itself; its own disk commits it."""

    mode = "standalone"
    moves_deadline = False

    def __init__(self, server: Server, rng: Random) -> None:
        self._server = server
        self._outbox = server.outbox
        self.prep: Prep
        self._proposed: list[Request] = []
        """The writes that are not applied yet, in order."""
        self._piece = Piece(server)
        self._durable_zxid = 0
        self._trigger = SnapshotTrigger(
            server.config.snap_count, server.config.snap_size_limit_kb * 1024, rng
        )

    def start(self) -> None:
        """Begins to serve, after it has removed the ephemerals of sessions that did not survive."""
        server = self._server
        dead = server.database.kill_dead_sessions()
        if dead:
            log.info("removed %d ephemeral znodes of sessions that are gone", dead)
            # No transaction says so: a later start must find it in a snapshot.
            self._outbox.commands.append(TakeSnapshot())
        server.begin(self, server.tracked_sessions())
        self.prep = Prep(server)

    def begin_restore(self) -> int:
        """Serves nobody until `restored` brings another database; returns the last zxid that was
        given to a write. Writes that are not answered yet never will be."""
        self._server.end()
        self._outbox.take_log()
        self._proposed.clear()
        return self.prep.next_zxid - 1

    def restored(self, database: Database) -> None:
        """Serves another database, which is on the disk as it is."""
        server = self._server
        server.attach(database)
        self._durable_zxid = database.last_zxid
        server.begin(self, server.tracked_sessions())
        self.prep = Prep(server)

    def flush(self) -> None:
        """Does nothing: what an input leads to is in the outbox at once."""

    def wake(self) -> None:
        """Does nothing: a lone server waits for nobody."""

    @property
    def deadline(self) -> int | None:
        """None: a lone server waits for no time."""
        return None

    @property
    def status(self) -> tuple[str, int | None]:
        """The mode, which never changes."""
        return self.mode, None

    def gauges(self) -> dict[str, int]:
        """Returns no gauges: these are the gauges that only members of an ensemble have."""
        return {}

    def submit(self, request: Request) -> None:
        """Prepares a write and hands its record to the disk."""
        record = frame_record(self.prep.prepare(request))
        outbox = self._outbox
        outbox.log.append(record)
        outbox.log_zxid = request.zxid
        self._proposed.append(request)
        if self._trigger.logged(len(record), len(self._server.tree.nodes)):
            outbox.commands.append(TakeSnapshot())

    def revalidate(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        """Revalidates the session here: a lone server has every session."""
        self._server.revalidate_here(connection, session_id, timeout_ms)

    def log_synced(self, zxid: int) -> None:
        """Applies, in order, the transactions that are durable now, and answers them."""
        self._durable_zxid = zxid
        self.go_on()

    def go_on(self) -> None:
        """Applies the next piece of what is durable."""
        server = self._server
        proposed = self._proposed
        database = server.database
        queues = server.queues
        durable_zxid = self._durable_zxid
        piece = self._piece
        piece.begin()
        count = 0
        for request in proposed:
            if request.zxid > durable_zxid:
                break
            if piece.is_over():
                break
            count += 1
            foretold = request.foretold if request.zxid & SPOT_CHECK_MASK else None
            applied = database.commit(request, request.body, request.digest, b"", foretold)
            queues.finish(request, applied)
        del proposed[:count]
        self.prep.changes.applied(database.last_zxid)
        server.metrics.prep_processor_request_queued += count
        queues.end_batch()
