"""What a server's role answers to.

Pure. `Standalone` here, `ReadOnly` beside it; leader, follower and observer are in `pyzk.quorum`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pyzk.server.request import Request

if TYPE_CHECKING:
    from pyzk.server.connection import Connection


class Role(Protocol):
    """Carries writes from the request to the commit."""

    @property
    def mode(self) -> str:
        """The name that ``srvr`` shows, as ``standalone``, ``leader``, ``follower``."""
        ...

    def gauges(self) -> dict[str, int]:
        """What ``mntr`` shows of the role (`fourletter_view.HasMode`)."""
        ...

    def submit(self, request: Request) -> None:
        """Take a write (on learners also sync); its reply comes when its transaction has been
        applied."""
        ...

    def log_synced(self, zxid: int) -> None:
        """The log is durable up to ``zxid``."""
        ...

    def revalidate(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        """A client has come back with a session and its password: find out whether it lives, and
        tell ``Server.revalidated``."""
        ...
