"""One connection of the election port.

Pure. `quorum.election_links` owns all of them and decides which survives.

ZooKeeper: QuorumCnxManager.SendWorker and RecvWorker
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk.quorum.election_messages import FrameScanner, InitialMessage

if TYPE_CHECKING:
    from pyzk.quorum.authentication import Exchange


class LinkState:
    """Where a link is in its life."""

    GREETING: Final = 0
    """The link was accepted, and its initial message is not complete."""
    UP: Final = 1
    CLOSED: Final = 2
    LOGGING_IN: Final = 3
    """The two servers prove to each other who they are."""


class ElectionLink:
    """One connection of the election port, compared by identity."""

    __slots__ = (
        "deadline",
        "exchange",
        "greeting",
        "initial",
        "is_busy",
        "name",
        "scanner",
        "shell",
        "sid",
        "silent_until",
        "state",
    )

    def __init__(self, name: str, state: int, sid: int | None) -> None:
        self.name: str = name
        """Where the connection comes from or goes to, for the log."""
        self.state: int = state
        self.sid: int | None = sid
        """The id of the server at the other end; None before its initial message."""
        self.greeting: bytes = b""
        """The bytes of an initial message that is not complete."""
        self.initial: InitialMessage | None = None
        """The initial message of who has connected, while his login is awaited."""
        self.exchange: Exchange | None = None
        """The authentication that follows it; None if there is none."""
        self.scanner: FrameScanner = FrameScanner()
        self.deadline: int = 0
        """The monotonic ms by which the other end must have said who it is."""
        self.silent_until: int = 0
        """The monotonic ms at which somebody who need not log in, and says nothing, is taken for
        one who does not."""
        self.is_busy: bool = False
        """Whether a message was given to the shell and ``written`` has not been called yet."""
        self.shell: object = None
        """What the shell keeps here for itself: its socket."""
