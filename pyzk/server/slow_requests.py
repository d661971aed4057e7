"""Requests that took long: each is counted, and some are logged.

Pure. ZooKeeper has no such thing; its operators look for slow requests in the logs of clients.
The time is that from the turn of the loop in which a request came to that of its reply: it has the
disk, the quorum and the line of requests, and not what one turn takes.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pyzk.int64 import hex_id
from pyzk.outsiders import about
from pyzk.server.operation_names import NAMES, paths_of

if TYPE_CHECKING:
    from pyzk.clock import Clock
    from pyzk.server.connection import Connection
    from pyzk.server.request import QueuedRead, Request

log = logging.getLogger(__name__)

NEVER_MS: Final = 1 << 62
"""The threshold where no request is slow."""
LINE_INTERVAL_MS: Final = 1000
"""The time between two lines of the log."""
SHOWN_CHARS: Final = 200
SHOWN_PATHS: Final = 3


class SlowRequests:
    """Says what was slow, a line a second at most."""

    def __init__(self, clock: Clock, threshold_ms: int) -> None:
        """``threshold_ms`` is the time from which on a request is slow; 0 means that none is."""
        self.threshold_ms: int = threshold_ms or NEVER_MS
        self._clock: Clock = clock
        self._next_line_ms: int = 0
        self._unsaid: int = 0
        """How many were seen since the last line and not logged."""

    def saw_write(self, request: Request, latency_ms: int) -> None:
        """Take a slow write, which has been answered."""
        self._saw(request.connection, request.opcode, _paths(request), latency_ms)

    def saw_read(self, read: QueuedRead, latency_ms: int) -> None:
        """Take a slow read, which has been answered."""
        reads = read.connection.server.reads
        opcode = next((each for each in reads if reads[each] is read.handler), 0)
        paths = paths_of(opcode, read.body, 0, len(read.body))
        self._saw(read.connection, opcode, paths, latency_ms)

    def _saw(
        self, connection: Connection | None, opcode: int, paths: list[str], latency_ms: int
    ) -> None:
        now_ms = self._clock.now_ms
        if now_ms < self._next_line_ms:
            self._unsaid += 1
            return
        self._next_line_ms = now_ms + LINE_INTERVAL_MS
        came = datetime.fromtimestamp((self._clock.wall_ms - latency_ms) / 1000, UTC)
        session_id = 0 if connection is None else connection.session_id
        host = "" if connection is None else connection.host
        log.warning(
            "slow request: %s %s of session %s (/%s), which came at %s, took %d ms%s",
            NAMES.get(opcode, opcode),
            _shown(paths),
            hex_id(session_id),
            host,
            came.strftime("%H:%M:%S.%f")[:-3] + " UTC",
            latency_ms,
            f"; {self._unsaid} others since the last such line" if self._unsaid else "",
            extra=about(host),
        )
        self._unsaid = 0


def _paths(request: Request) -> list[str]:
    """Return the paths of a write: of its transaction, or of its bytes where the leader made that
    elsewhere."""
    record = request.record
    if isinstance(record, bytes):
        return paths_of(request.opcode, record, 0, len(record))
    body = request.body
    bodies = [each.body for each in body] if isinstance(body, list) else [body]
    return [path for each in bodies if isinstance(path := getattr(each, "path", None), str)]


def _shown(paths: list[str]) -> str:
    if not paths:
        return "(no path)"
    shown = ", ".join(f"{path[:SHOWN_CHARS]!r}" for path in paths[:SHOWN_PATHS])
    left = len(paths) - SHOWN_PATHS
    return f"{shown} and {left} more" if left > 0 else shown
