"""What a member of an ensemble orders from its driver beside bytes and log records.

Pure. A command with a ticket touches the disk and is answered: ``Peer.stored(ticket)``,
``Peer.restored(ticket, database)`` or ``Peer.log_read(ticket, ...)``, after everything it did is
durable. A failure is a StorageError and stops the server. Commands are carried out in order, and
behind every log record that was handed out before; until the answer has come the core hands out no
further log record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.server.outbox import Command

if TYPE_CHECKING:
    from pyzk.data.database import Database
    from pyzk.quorum.link import QuorumLink


class DialLeader(Command):
    """Open one connection: try the addresses in turn, names looked up anew, within the time.

    Answered by ``Peer.link_up(link)`` or ``Peer.link_down(link)``.
    """

    __slots__ = ("addresses", "link", "timeout_ms")

    def __init__(
        self, link: QuorumLink, addresses: tuple[tuple[str, int], ...], timeout_ms: int
    ) -> None:
        self.link: QuorumLink = link
        self.addresses: tuple[tuple[str, int], ...] = addresses
        self.timeout_ms: int = timeout_ms


class ListenForLearners(Command):
    """Open the quorum port; each connection comes as ``Peer.link_accepted``. While the port cannot
    be had the driver says so, ``Peer.listen_failed``, and tries again until StopListening."""

    __slots__ = ()


class StopListening(Command):
    """Close the quorum port."""

    __slots__ = ()


class StorageCommand(Command):
    """One that is answered when it is durable."""

    __slots__ = ("ticket",)

    def __init__(self, ticket: int) -> None:
        self.ticket: int = ticket


class SaveEpoch(StorageCommand):
    """Write one of the two epoch files (`quorum.epochs`: ACCEPTED or CURRENT). Answer: stored."""

    __slots__ = ("epoch", "name")

    def __init__(self, ticket: int, name: str, epoch: int) -> None:
        self.ticket: int = ticket
        self.name: str = name
        self.epoch: int = epoch


class TruncateLog(StorageCommand):
    """Cut the log behind ``zxid`` and remove snapshots that are newer; then load what is left.
    Answer: restored. The database may end before ``zxid`` if the log never had that record."""

    __slots__ = ("zxid",)

    def __init__(self, ticket: int, zxid: int) -> None:
        self.ticket: int = ticket
        self.zxid: int = zxid


class Reload(StorageCommand):
    """Load the database from disk again: the one in memory is in doubt. Answer: restored."""

    __slots__ = ()


class StoreDatabase(StorageCommand):
    """Make the disk hold this database and nothing beyond it: cut the log behind its last zxid,
    remove newer snapshots, then write it as a snapshot. Answer: stored."""

    __slots__ = ("database",)

    def __init__(self, ticket: int, database: Database) -> None:
        self.ticket: int = ticket
        self.database: Database = database


class ReadLog(StorageCommand):
    """Read the records from ``after`` on (that one, if it is there, included) up to ``until``,
    for a DIFF from disk. Answer: log_read with (zxid, payload) pairs in order, or None if that is
    dearer than a snapshot (`sync.is_affordable`)."""

    __slots__ = ("after", "until")

    def __init__(self, ticket: int, after: int, until: int) -> None:
        self.ticket: int = ticket
        self.after: int = after
        self.until: int = until
