"""What a runner may be given instead of the machine's own disk, clock and sockets.

Shell. Production gives none of these and gets the real ones. A test gives its own, and everything
else is the code that runs in production: see ``pyzk.testing``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pyzk.clock import Clock
from pyzk.data.database import Database, FrozenDatabase
from pyzk.errors import StorageError
from pyzk.metrics import Metrics
from pyzk.persistence.directory import Directory
from pyzk.persistence.report import StorageReport

if TYPE_CHECKING:
    from pyzk.persistence.config_files import Saved
    from pyzk.persistence.replacement import Received
    from pyzk.quorum.commands import StorageCommand
    from pyzk.quorum.epochs import Epochs
    from pyzk.quorum.storage_commands import Outcome
    from pyzk.runtime.client_port import ClientProtocol


class Timer(Protocol):
    """A call that is planned, and can be cancelled."""

    def cancel(self) -> object: ...


class TimeSource(Protocol):
    """Tells the time, and calls back when it has come."""

    def read(self, clock: Clock) -> None:
        """Writes both readings into the clock."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Calls back on the loop after so many seconds of this time."""
        ...


class MemberInputs(Protocol):
    """What the ports of a member ask of the server that they belong to."""

    def take_in(self, source: str, what: object, call: Callable[[], object]) -> None:
        """Gives the peer an input, and carries out what comes of it. ``source`` and ``what`` are
        for the log of a broken invariant."""
        ...

    def guard(self, call: Callable[[], None]) -> None:
        """Calls something that takes from the peer what it has to send."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Calls back after so many seconds of this server's time."""
        ...

    def fail(self, error: Exception) -> None:
        """Stops the server: something that nobody expected has gone wrong."""
        ...

    def take_clients_at(self, host: str, port: int) -> None:
        """Takes clients at another address from now on."""
        ...


class WrittenSnapshot(NamedTuple):
    """A snapshot that is on the disk."""

    directory: Directory
    name: str


SnapshotAnswer = Callable[[WrittenSnapshot | StorageError], None]
"""Takes a snapshot that was asked for, or why there is none."""


class ServerStorage(Protocol):
    """Makes transactions durable; `pyzk.runtime.storage.Storage` is the real one."""

    metrics: Metrics

    @property
    def wants_snapshot(self) -> bool: ...
    @property
    def epochs(self) -> Epochs | None:
        """The epochs of a member, once its storage is open; None for a lone server."""
        ...

    @property
    def saved_configs(self) -> Saved | None:
        """The configurations of the ensemble that the storage of a member without a zoo.cfg has,
        once it is open."""
        ...

    @property
    def blocks(self) -> bool:
        """Whether ``close`` waits for a disk, so that it must not run on the loop."""
        ...

    def open(self) -> Database: ...
    def start(
        self,
        loop: asyncio.AbstractEventLoop,
        on_synced: Callable[[int], None],
        on_error: Callable[[BaseException], None],
    ) -> None: ...
    @property
    def is_idle(self) -> bool:
        """Whether the disk has nothing to do: it would begin with what it is given now at once."""
        ...

    def append(self, records: list[bytes], last_zxid: int) -> None: ...
    def commit_here(self, records: list[bytes], within_s: float) -> bool:
        """Makes records durable before it returns, if that should take less than ``within_s``
        seconds. Returns whether they are; if not, nothing was done. Raises StorageError."""
        ...

    def take_snapshot(self, database: Database) -> None: ...
    def write_snapshot(self, database: Database, answer: SnapshotAnswer) -> None:
        """Writes a snapshot of the present state, or of a moment soon; then answers, on the
        loop."""
        ...

    @property
    def upload_directory(self) -> Directory:
        """Where a snapshot is put while it comes, under a name that no start loads."""
        ...

    def receive(self, frozen: FrozenDatabase) -> Received:
        """Begins the file of a database that is to replace what is here; any thread may do so.
        Raises StorageError."""
        ...

    def install(self, received: Received, zxid: int, answer: Callable[[], None]) -> None:
        """Replaces everything by a database that was received, behind all that was appended; then
        answers, on the loop. Until then nothing may be appended."""
        ...

    def perform(self, command: StorageCommand, answer: Callable[[Outcome], None]) -> None:
        """Does what a member wants done, behind everything that was appended; then answers, on the
        loop."""
        ...

    def report(self) -> StorageReport: ...
    def sync_wait_ms(self) -> int:
        """Returns for how long the disk has been at the sync of the log that is under way, in ms;
        0 if none is."""
        ...

    def stop_timers(self) -> None: ...
    def close(self) -> None: ...
    def abandon(self) -> None: ...
    def release(self) -> None: ...


class Listener(Protocol):
    """Something that takes connections."""

    def close(self) -> None: ...


class MemberNetwork(Protocol):
    """Connects the members with each other; `pyzk.runtime.network.TcpNetwork` is the real one."""

    async def connect(self, make: Callable[[], asyncio.Protocol], host: str, port: int) -> None:
        """Opens a connection. Raises OSError; is cancelled if it takes too long."""
        ...

    async def listen(
        self, make: Callable[[], asyncio.Protocol], host: str | None, port: int
    ) -> Listener:
        """Takes connections; at all addresses if ``host`` is None. Raises OSError."""
        ...

    async def check(self, host: str) -> None:
        """Raises OSError if no host has this name."""
        ...


class Seams(NamedTuple):
    """The replacements; None stands for the machine's own."""

    storage: ServerStorage | None = None
    time: TimeSource | None = None
    listeners: Sequence[socket.socket] | None = None
    """Sockets that listen already at the client port; the runner closes them when it ends."""
    wrap: Callable[[ClientProtocol], asyncio.Protocol] | None = None
    """Puts something between a socket, or its TLS, and the protocol that serves it."""
    wrap_tls: Callable[[asyncio.Protocol], asyncio.Protocol] | None = None
    """Puts something between a client's socket and its TLS."""
    network: MemberNetwork | None = None
    """The network between this server and the other members of its ensemble."""
    secure_listeners: Sequence[socket.socket] | None = None
    """Sockets that listen already at secureClientPort; the runner closes them when it ends."""
    admin_listeners: Sequence[socket.socket] | None = None
    """Sockets that listen already at the port of the admin server."""
