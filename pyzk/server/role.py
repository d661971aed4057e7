"""What a server's role answers to.

Pure. Standalone today; leader, follower and observer will be further ones.
"""

from __future__ import annotations

from typing import Protocol

from pyzk.server.request import Request


class Role(Protocol):
    """Carries writes from the request to the commit."""

    @property
    def mode(self) -> str:
        """The name that ``srvr`` shows, as ``standalone``."""
        ...

    def submit(self, request: Request) -> None:
        """Take a write; its reply comes when its transaction has been applied."""
        ...

    def log_synced(self, zxid: int) -> None:
        """The log is durable up to ``zxid``."""
        ...
