"""What a member asks of its role, beside what its server asks of it.

Pure. The roles are leader, follower and observer; each lives from one election to the next.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from pyzk.server.role import Role

if TYPE_CHECKING:
    from pyzk.data.database import Database

Unapplied = deque[tuple[int, bytes]]
"""(zxid, payload) of transactions that are logged and not applied, in order."""


class MemberRole(Role, Protocol):
    """A role in an ensemble. Inputs never raise for what another member sent."""

    over: str | None
    """Why the role has ended. The peer asks after each input, and begins an election then."""
    unapplied: Unapplied
    """The transactions that the peer applies when the role has ended and its log is durable: memory
    and log must be the same before an election (ZOOKEEPER-2845)."""

    def start(self) -> None:
        """Begins."""
        ...

    def stop(self) -> None:
        """Ends: closes the links and stops serving clients. What comes later is ignored."""
        ...

    def wake(self) -> None:
        """The deadline has passed, or half a tick has."""
        ...

    def flush(self) -> None:
        """Sends and answers, at the end of an input, what has been collected meanwhile."""
        ...

    @property
    def deadline(self) -> int | None:
        """The monotonic ms at which ``wake`` is wanted."""
        ...

    def looking(self, sid: int) -> None:
        """The server ``sid``, a voter, looks for a leader."""
        ...

    def stored(self, ticket: int) -> None:
        """A command with this ticket is durable."""
        ...

    def restored(self, ticket: int, database: Database) -> None:
        """A TruncateLog or Reload is done; ``database`` is what the disk has."""
        ...

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        """A ReadLog is done; ``records`` is None if a snapshot is cheaper."""
        ...
