"""The role of a member that finds no leader and serves reads meanwhile (readonlymode.enabled).

Pure. Answers to ReadOnlyZooKeeperServer and ReadOnlyRequestProcessor. Only clients that said in
their ConnectRequest that they would read are taken. Sessions can only be local ones; what a client
wants written is refused where its requests are read (`operations.READ_ONLY_READS`), so nothing ever
comes here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.server.request import Request

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.server import Server


class ReadOnly:
    """Role: reads, of what was known when the leader was lost."""

    mode = "read-only"

    def __init__(self, server: Server) -> None:
        self._server = server

    def submit(self, request: Request) -> None:
        """Never called: the read-only tables have no write."""
        raise AssertionError(request)

    def log_synced(self, zxid: int) -> None:
        """What was logged before is durable: nobody waits for it here."""

    def revalidate(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        """Whether a session lives that is not local, nobody here can say."""
        self._server.revalidated(connection, session_id, timeout_ms, False)

    def gauges(self) -> dict[str, int]:
        """What ``mntr`` shows of this role."""
        return {}
