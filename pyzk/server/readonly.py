"""The role of a member that finds no leader and serves reads meanwhile (readonlymode.enabled).

Pure. ZooKeeper: ReadOnlyZooKeeperServer, ReadOnlyRequestProcessor.
Only clients whose ConnectRequest says that reads are enough for them are taken. New sessions can
only be local ones. Writes are refused where requests are read (`operations.READ_ONLY_READS`), so
none comes here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.server.request import Request

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.server import Server


class ReadOnly:
    """Role: serves reads of what was known when the leader was lost."""

    mode = "read-only"

    def __init__(self, server: Server) -> None:
        self._server = server

    def submit(self, request: Request) -> None:
        """Raises AssertionError: it is never called, for the read-only tables have no write."""
        raise AssertionError(request)

    def log_synced(self, zxid: int) -> None:
        """Does nothing: nobody waits for what was logged before."""

    def revalidate(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        """Rejects the session: only a leader knows whether a session lives that is not local."""
        self._server.revalidated(connection, session_id, timeout_ms, False)

    def gauges(self) -> dict[str, int]:
        """Returns no gauges: ``mntr`` shows nothing that only this role has."""
        return {}
