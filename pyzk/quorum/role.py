"""What a member's role answers to, beside what its server asks of it.

Pure. Leader, follower and observer; each lives from the end of one election to the next.
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
    """Why the role has ended; the peer looks after each input, and looks for a leader then."""
    unapplied: Unapplied
    """What the peer applies when the role has ended and its log is durable: memory and log must
    be the same before an election (ZOOKEEPER-2845)."""

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> None:
        """End: close the links, stop to serve clients. What comes later is ignored."""
        ...

    def wake(self) -> None:
        """The deadline has passed, or half a tick."""
        ...

    def flush(self) -> None:
        """An input has been taken in whole: send and answer what was collected meanwhile."""
        ...

    @property
    def deadline(self) -> int | None:
        """The monotonic ms at which ``wake`` is wanted."""
        ...

    def looking(self, sid: int) -> None:
        """A voter looks for a leader: one that this role leads, or that it should be led by."""
        ...

    def stored(self, ticket: int) -> None:
        """A command with this ticket is durable."""
        ...

    def restored(self, ticket: int, database: Database) -> None:
        """A TruncateLog or Reload is done; this is what the disk has."""
        ...

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        """A ReadLog is done; None: a snapshot is cheaper."""
        ...
