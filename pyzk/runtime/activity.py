"""Which clients are active: what the event loop waits for depends on whom it would hold up.

Shell. A loop that waits for the disk (docs/decisions/0029, 0047), or looks at its sockets again and
again instead of sleeping (0045), does that for one client; with another one that is active it has
something better to do. A client counts as active if it has sent something of late: connections that
are silent, or only ping, are the usual case.

ZooKeeper has nothing like it: each of its stages is a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyzk.server.connection import Connection

LONE_INPUTS: Final = 4
"""A client that has sent the last so many inputs is taken for the only one that is active."""


class Activity:
    """Notes who has been heard, and whether something was logged behind it."""

    __slots__ = ("_client", "_in_a_row", "has_heard", "has_logged")

    def __init__(self) -> None:
        self._client: Connection | None = None
        """The client that was heard last."""
        self._in_a_row: int = 0
        """How many inputs have come from it since that of another one."""
        self.has_heard: bool = False
        """Whether a client was heard since something was logged."""
        self.has_logged: bool = False
        """Whether something was logged since a client was heard."""

    def hear(self, client: Connection) -> None:
        """Notes an input of a client."""
        if client is not self._client:
            self._client = client
            self._in_a_row = 0
        self._in_a_row += 1
        self.has_heard = True
        self.has_logged = False

    def forget(self, client: Connection) -> None:
        """Notes that a client is gone."""
        if client is self._client:
            self._client = None

    def log(self) -> None:
        """Notes that something was logged."""
        self.has_heard = False
        self.has_logged = True

    @property
    def is_of_one(self) -> bool:
        """Whether nobody but one client is known to be active."""
        return self._in_a_row >= LONE_INPUTS
