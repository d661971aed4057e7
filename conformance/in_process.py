"""This project's server without a process: the peer, driven by hand, with a clock of its own.

Shell.

It is the world that the core sees: what the real one does with sockets, disk and time is done here
by method calls, so that a recorded pause of seconds takes none, and nothing is a race.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from conformance.replay import Pipe
from pyzk.clock import Clock
from pyzk.config.server import Property, ServerConfig, parse_config
from pyzk.data.database import Database
from pyzk.persistence.recovery import RecoveryOptions
from pyzk.quorum.peer import Peer
from pyzk.server.connection import CLOSED, STALL_CHOKED, Connection

START_WALL_MS = 1_700_000_000_000


def configured(config: Mapping[str, str], properties: Mapping[str, str]) -> ServerConfig:
    """The configuration that a zoo.cfg with these lines and these -D options would give."""
    lines = {"dataDir": "unused", "clientPort": "0", **config}
    text = "".join(f"{key}={value}\n" for key, value in lines.items())
    system = [Property(key, value, f"-D{key}") for key, value in properties.items()]
    return parse_config(text.encode(), system)


class PeerTarget:
    """A fresh peer; its log is durable as soon as it is written."""

    def __init__(self, config: ServerConfig) -> None:
        self.clock = Clock(1_000_000, START_WALL_MS)
        options = RecoveryOptions(extended_types=config.extended_types_enabled)
        database = Database(options.new_tree())
        self.peer = Peer(config, database, self.clock, Random(1))
        self.pipes: dict[Connection, PeerPipe] = {}
        self.ports = 40000
        self.peer.start()
        self.settle()

    def open(self) -> Pipe:
        """A new connection from the loopback address."""
        self.ports += 1
        pipe = PeerPipe(self)
        connection = self.peer.accept("127.0.0.1", self.ports)
        if connection is None:
            pipe.eof = True
        else:
            pipe.connection = connection
            self.pipes[connection] = pipe
        return pipe

    def sleep(self, seconds: float) -> None:
        """Lets the peer's time pass, waking it when it wants to be woken."""
        until = self.clock.now_ms + round(seconds * 1000)
        while self.clock.now_ms < until:
            due = max(self.clock.now_ms + 1, min(until, self.peer.deadline))
            self.clock.wall_ms += due - self.clock.now_ms
            self.clock.now_ms = due
            self.peer.wake()
            self.settle()

    def settle(self) -> None:
        """Carries out everything the peer wants until it wants nothing more."""
        outbox = self.peer.outbox
        while outbox.log or outbox.dirty or outbox.commands:
            outbox.take_commands()
            for connection in outbox.take_dirty():
                connection.is_dirty = False
                self._flush(connection)
            if outbox.take_log():
                self.peer.log_synced(outbox.log_zxid)

    def _flush(self, connection: Connection) -> None:
        pipe = self.pipes.get(connection)
        if pipe is not None:
            pipe.received += b"".join(connection.out)
            pipe.eof = pipe.eof or connection.state == CLOSED
        connection.out.clear()
        if connection.stalled & STALL_CHOKED:
            connection.resume(STALL_CHOKED)


class PeerPipe:
    """A client's end of a connection to the peer."""

    def __init__(self, target: PeerTarget) -> None:
        self.target = target
        self.connection: Connection | None = None
        self.received = b""
        self.eof = False

    def send(self, data: bytes) -> None:
        """Bytes reach the peer at once."""
        if self.connection is not None and not self.eof:
            self.connection.receive(data)
            self.target.settle()

    def frame(self, timeout: float) -> bytes | None:
        """The next frame; when none is there yet, time passes."""
        if self._size() is None and not self.eof:
            self.target.sleep(timeout)
        size = self._size()
        if size is None:
            return None
        whole, self.received = self.received[:size], self.received[size:]
        return whole

    def _size(self) -> int | None:
        size = 4 + int.from_bytes(self.received[:4], "big", signed=True)
        return size if 4 <= len(self.received) >= size >= 4 else None

    def close(self) -> None:
        """The client closes the connection."""
        if self.connection is not None and not self.eof:
            self.eof = True
            self.connection.closed()
            self.target.settle()
