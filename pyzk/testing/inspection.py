"""What a test sees of the server: sessions, watches, the tree.

Shell. Plain values, made on the server's loop, that any thread may keep.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class SessionInfo:
    """One session."""

    session_id: int
    timeout: float
    """Seconds, as negotiated."""
    address: str | None
    """``host:port`` of the client; None: not connected now."""
    ephemerals: tuple[str, ...]
    opened_in: str | None
    """The test (PYTEST_CURRENT_TEST) in which its connection was opened."""

    def __str__(self) -> str:
        where = self.address or "not connected"
        text = f"session 0x{self.session_id & 0xFFFFFFFFFFFFFFFF:x} ({where})"
        if self.ephemerals:
            text += f", ephemerals {' '.join(self.ephemerals)}"
        return text


@attrs.frozen
class WatchInfo:
    """One watch."""

    path: str
    kind: str
    """``data`` (set by exists too), ``children``, ``persistent`` or ``recursive``."""
    session_id: int


@attrs.frozen
class LeakedClient:
    """A client that was connected when the server was stopped or reset."""

    address: str
    session_id: int
    opened_in: str | None
    """The test (PYTEST_CURRENT_TEST) in which it connected."""

    def __str__(self) -> str:
        text = self.address
        if self.session_id:
            text += f", session 0x{self.session_id & 0xFFFFFFFFFFFFFFFF:x}"
        return text + (f", connected in {self.opened_in}" if self.opened_in else "")
