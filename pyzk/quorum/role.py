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
        """Begins the role."""
        ...

    def stop(self) -> None:
        """Ends the role: closes the links and stops serving clients. Later inputs are ignored."""
        ...

    def go_on(self) -> None:
        """Does the next piece of what it has left unfinished, as it said in the outbox."""
        ...

    def wake(self) -> None:
        """Does what is due; called at the deadline, and each half tick."""
        ...

    def flush(self) -> None:
        """Sends and answers, at the end of an input, what has been collected meanwhile."""
        ...

    @property
    def deadline(self) -> int | None:
        """The monotonic ms at which ``wake`` is wanted."""
        ...

    def looking(self, sid: int) -> None:
        """Takes the news that the server ``sid``, a voter, looks for a leader."""
        ...

    def stored(self, ticket: int) -> None:
        """Takes the news that what the command with this ticket did is durable."""
        ...

    def restored(self, ticket: int, database: Database) -> None:
        """Takes the database that the disk has after a TruncateLog or Reload."""
        ...

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        """Takes the records that a ReadLog asked for, None if a snapshot is cheaper."""
        ...
