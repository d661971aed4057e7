"""The commands that a member of an ensemble gives its world: all but bytes and log records.

Pure. A command with a ticket touches the disk and is answered: ``MemberLife.stored(ticket)``,
``MemberLife.restored(ticket, database)`` or ``MemberLife.log_read(ticket, ...)``. The answer comes
when everything that the command did is durable. A failure is a StorageError and stops the server.
Commands are carried out in order, and behind every log record that was handed out before; until the
answer has come the core hands out no further log record. SaveConfig is different in all: it goes
ahead of the records of the same input, which are durable only after it was tried; records may
follow it at once; and a failure does not stop the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.server.outbox import Command

if TYPE_CHECKING:
    from pyzk.config.members import Membership, QuorumServer
    from pyzk.data.database import Database
    from pyzk.persistence.replacement import Received
    from pyzk.quorum.election_link import ElectionLink
    from pyzk.quorum.election_messages import Address
    from pyzk.quorum.link import QuorumLink


class DialLeader(Command):
    """Open one connection to the leader or to an observer master: look the names up anew, try the
    addresses in turn, and give up after ``timeout_ms``.

    The answer is ``MemberLife.link_up(link)`` or ``MemberLife.link_down(link)``.
    """

    __slots__ = ("addresses", "link", "timeout_ms")

    def __init__(
        self, link: QuorumLink, addresses: tuple[tuple[str, int], ...], timeout_ms: int
    ) -> None:
        self.link: QuorumLink = link
        link.host = addresses[0][0]
        self.addresses: tuple[tuple[str, int], ...] = addresses
        self.timeout_ms: int = timeout_ms


class ListenForLearners(Command):
    """Open the quorum port, at the addresses that ``server``, this member, has now.

    Each connection comes as ``MemberLife.link_accepted``. While the port cannot be opened the world
    calls ``MemberLife.listen_failed`` and tries again, until StopListening.
    """

    __slots__ = ("server",)

    def __init__(self, server: QuorumServer) -> None:
        self.server: QuorumServer = server


class StopListening(Command):
    """Close the quorum port."""

    __slots__ = ()


class ListenForObservers(Command):
    """Open the port of an observer master, ``port`` at the addresses of ``server``, this member;
    the one that was open before closes.

    Each connection comes as ``MemberLife.observer_accepted``. The world tries until it succeeds, or
    until StopListeningForObservers.
    """

    __slots__ = ("port", "server")

    def __init__(self, server: QuorumServer, port: int) -> None:
        self.server: QuorumServer = server
        self.port: int = port


class StopListeningForObservers(Command):
    """Close the port of an observer master."""

    __slots__ = ()


class DialElection(Command):
    """Connect to the election port of server ``sid``: look the names up anew, and try the addresses
    in turn, each for ``cnxTimeout``.

    The answer is ``MemberLife.election_dialed(sid)`` or ``MemberLife.election_dial_failed(sid)``.
    """

    __slots__ = ("addresses", "sid")

    def __init__(self, sid: int, addresses: tuple[Address, ...]) -> None:
        self.sid: int = sid
        self.addresses: tuple[Address, ...] = addresses


class SendVote(Command):
    """Write bytes to an election link, in one piece. ``MemberLife.election_written`` follows when
    the bytes have left."""

    __slots__ = ("data", "link")

    def __init__(self, link: ElectionLink, data: bytes) -> None:
        self.link: ElectionLink = link
        self.data: bytes = data


class CloseElection(Command):
    """Close an election link once what was written to it has left. Whatever still comes from it
    changes nothing."""

    __slots__ = ("link",)

    def __init__(self, link: ElectionLink) -> None:
        self.link: ElectionLink = link


class ListenForElections(Command):
    """Close the election port, end all attempts to dial, and open the port at the addresses that
    ``server``, this member, has now. Links that are open stay; CloseElection closes them.

    The world tries until it succeeds.
    """

    __slots__ = ("server",)

    def __init__(self, server: QuorumServer) -> None:
        self.server: QuorumServer = server


class ListenForClients(Command):
    """Close the client port and open it at another address; connections of clients stay.

    The world tries until it succeeds. ZooKeeper: ServerCnxnFactory.reconfigure
    """

    __slots__ = ("host", "port")

    def __init__(self, host: str, port: int) -> None:
        self.host: str = host
        self.port: int = port


class StorageCommand(Command):
    """A command that is answered when what it does is durable."""

    __slots__ = ("ticket",)

    def __init__(self, ticket: int) -> None:
        self.ticket: int = ticket


class SaveEpoch(StorageCommand):
    """Write one of the two epoch files (`quorum.epochs`: ACCEPTED or CURRENT). The answer is
    ``stored``."""

    __slots__ = ("epoch", "name")

    def __init__(self, ticket: int, name: str, epoch: int) -> None:
        self.ticket: int = ticket
        self.name: str = name
        self.epoch: int = epoch


class SaveConfig(StorageCommand):
    """Write a configuration of the ensemble to the files beside zoo.cfg: to ``.dynamic.next`` if it
    is proposed, else to ``.dynamic.<version>``, which zoo.cfg then names.

    The answer is ``stored``, also if the files cannot be written: then the world says so in the log
    and in mntr, and tries again until a later configuration takes its place.
    """

    __slots__ = ("client_address", "is_active", "membership")

    def __init__(
        self,
        ticket: int,
        membership: Membership,
        is_active: bool,
        client_address: tuple[str, int] | None = None,
    ) -> None:
        self.ticket: int = ticket
        self.membership: Membership = membership
        self.is_active: bool = is_active
        self.client_address: tuple[str, int] | None = client_address
        """Where this server takes clients: zoo.cfg says it if the configuration does not."""


class TruncateLog(StorageCommand):
    """Cut the log behind ``zxid`` and remove snapshots that are newer; then load what is left.
    The answer is ``restored``, with a database that ends before ``zxid`` if the log never had that
    record."""

    __slots__ = ("zxid",)

    def __init__(self, ticket: int, zxid: int) -> None:
        self.ticket: int = ticket
        self.zxid: int = zxid


class Reload(StorageCommand):
    """Load the database from disk again: the one in memory is in doubt. The answer is
    ``restored``."""

    __slots__ = ()


class StoreDatabase(StorageCommand):
    """Make the disk hold this database and nothing beyond it: cut the log behind its last zxid,
    remove newer snapshots, then write it as a snapshot. The answer is ``stored``."""

    __slots__ = ("database",)

    def __init__(self, ticket: int, database: Database) -> None:
        self.ticket: int = ticket
        self.database: Database = database


class InstallDatabase(StorageCommand):
    """Put a database in force that was received and written aside, as the state at ``zxid``: older
    snapshots and all logs go. The answer is ``stored``."""

    __slots__ = ("database", "received", "zxid")

    def __init__(self, ticket: int, received: Received, database: Database, zxid: int) -> None:
        self.ticket: int = ticket
        self.received: Received = received
        self.database: Database = database
        self.zxid: int = zxid


class ReadLog(StorageCommand):
    """Read the log records from ``after`` to ``until``, both included, for a DIFF from disk.

    There may be no record ``after``. The answer is ``log_read`` with (zxid, payload) pairs in
    order, or with None if a snapshot is cheaper (`sync.is_affordable`).
    """

    __slots__ = ("after", "until")

    def __init__(self, ticket: int, after: int, until: int) -> None:
        self.ticket: int = ticket
        self.after: int = after
        self.until: int = until
