"""What a peer wants done: lists by kind, which `quorum.driver` carries out.

Pure. No entry of an outbox depends on another one: what needs the disk is produced when the disk
has answered. A crash may fall between any two entries.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from pyzk.errors import SaslError
from pyzk.outsiders import about

if TYPE_CHECKING:
    from pyzk.auth.sasl.gssapi import StepWorld
    from pyzk.auth.sasl.mechanism import Mechanism
    from pyzk.server.connection import Connection

log = logging.getLogger(__name__)

Stepped = Callable[[bytes | None, str], None]
"""Takes the next token of an exchange, None if there is none to send, and the reason of a failure,
"" if there is none."""


class Command:
    """A rare order to the world; `quorum.commands` has those of a member of an ensemble."""

    __slots__ = ()


class TakeSnapshot(Command):
    """Roll the log and write a snapshot of the present state."""

    __slots__ = ()


class SaslStep(Command):
    """Take one step of a SASL exchange away from the loop, because it may block."""

    __slots__ = ("_answer", "_failure", "_stepped", "_token", "mechanism", "world")

    def __init__(
        self, world: StepWorld, mechanism: Mechanism, token: bytes, stepped: Stepped
    ) -> None:
        self.world: StepWorld = world
        self.mechanism: Mechanism = mechanism
        self._token: bytes = token
        self._stepped: Stepped = stepped
        self._answer: bytes | None = None
        self._failure: str = ""

    def start(self) -> None:
        """Has the world do it."""
        self.world.run(self)

    def take(self) -> None:
        """Takes the step; nothing else of the core is touched."""
        try:
            self._answer = self.mechanism.step(self._token)
        except SaslError as error:
            self._failure = str(error) or "no reason is known"
        except Exception as bug:
            # A library has met what it did not expect. The thread, and who waits, must go on.
            self._failure = f"the step has failed: {type(bug).__name__}"
            log.exception("a step of a SASL login has failed", extra=about("a login"))

    def finish(self) -> None:
        """Tells whoever waits what has come of it."""
        self._stepped(self._answer, self._failure)


class Outgoing:
    """A link that has bytes to write or is to be closed: `quorum.link.QuorumLink`."""

    __slots__ = ("is_dirty",)

    def __init__(self) -> None:
        self.is_dirty: bool = False
        """Whether this link is in the outbox; the driver sets it to False when it takes it out."""


class Outbox:
    """Everything a peer has produced since the driver last looked."""

    __slots__ = ("commands", "dirty", "is_unfinished", "links", "log", "log_zxid", "told")

    def __init__(self) -> None:
        self.log: list[bytes] = []
        """Framed log records in zxid order: one append, one sync, then ``log_synced``."""
        self.log_zxid = 0
        """The zxid of the last record in ``log``."""
        self.dirty: list[Connection] = []
        """Connections of clients that have bytes to write or are to be closed."""
        self.told: deque[Connection] = deque()
        """Connections that have watch events to write, and that nobody waits for. One whose
        ``is_told`` is False has been written to meanwhile."""
        self.is_unfinished: bool = False
        """Whether the peer has stopped in the middle of its work, for others to have their turn;
        `Peer.go_on` goes on with it."""
        self.links: list[Outgoing] = []
        """Links to other members that have bytes to write or are to be closed."""
        self.commands: list[Command] = []
        """Rare orders, carried out in this order and behind every record in ``log``; only what
        saves a configuration goes ahead of the records."""

    def take_log(self) -> list[bytes]:
        """Returns the records and forgets them."""
        taken, self.log = self.log, []
        return taken

    def take_dirty(self) -> list[Connection]:
        """Returns the connections and forgets them."""
        taken, self.dirty = self.dirty, []
        return taken

    def take_links(self) -> list[Outgoing]:
        """Returns the links and forgets them."""
        taken, self.links = self.links, []
        return taken

    def take_commands(self) -> list[Command]:
        """Returns the commands and forgets them."""
        taken, self.commands = self.commands, []
        return taken
