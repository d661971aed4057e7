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
from pyzk.quorum.driver import Driver
from pyzk.quorum.standalone import standalone_peer
from pyzk.server.arrival import Arrival
from pyzk.server.connection import CLOSED, STALL_CHOKED, Connection

START_WALL_MS = 1_700_000_000_000


def configured(config: Mapping[str, str], properties: Mapping[str, str]) -> ServerConfig:
    """Returns the configuration that a zoo.cfg with these lines and these -D options would give."""
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
        self.peer = standalone_peer(config, database, self.clock, Random(1))
        self.pipes: dict[Connection, PeerPipe] = {}
        self.ports = 40000
        self._driver = Driver(self.peer, self)
        self._is_turn_due = False
        self._synced_zxid = 0
        self._woken_at_ms = 0
        self._driver.start()
        self.settle()

    def open(self) -> Pipe:
        """Opens a new connection from the loopback address."""
        self.ports += 1
        pipe = PeerPipe(self)
        connection = self.peer.accept(Arrival("127.0.0.1", self.ports))
        if connection is None:
            pipe.eof = True
        else:
            pipe.connection = connection
            self.pipes[connection] = pipe
        return pipe

    def sleep(self, seconds: float) -> None:
        """Lets the peer's time pass, and wakes it when it wants to be woken."""
        until = self.clock.now_ms + round(seconds * 1000)
        while self.clock.now_ms < until:
            due = max(self.clock.now_ms + 1, min(until, self._woken_at_ms))
            self.clock.wall_ms += due - self.clock.now_ms
            self.clock.now_ms = due
            self._driver.wake()
            self.settle()

    def settle(self) -> None:
        """Has everything carried out that the peer wants, until it wants nothing more."""
        self._driver.flush()
        while self._is_turn_due or self._synced_zxid:
            if self._is_turn_due:
                self._is_turn_due = False
                self._driver.end_turn()
            if self._synced_zxid:
                zxid, self._synced_zxid = self._synced_zxid, 0
                self.peer.log_synced(zxid)
            self._driver.flush()

    # --- effects: `pyzk.quorum.contract.Effects` --------------------------------------------

    def append(self, records: list[bytes], last_zxid: int) -> None:
        """Makes records durable at once."""
        self._synced_zxid = last_zxid

    def take_snapshot(self, database: Database) -> None:
        """Does nothing: nothing is ever loaded again."""

    def write(self, connection: Connection) -> None:
        """Hands a client what its connection has."""
        pipe = self.pipes.get(connection)
        if pipe is not None:
            pipe.received += b"".join(connection.out)
            pipe.eof = pipe.eof or connection.state == CLOSED
        connection.out.clear()
        if connection.stalled & STALL_CHOKED:
            connection.resume(STALL_CHOKED)
            self._is_turn_due = True

    def end_turn_soon(self) -> None:
        """Ends the turn when everything is settled."""
        self._is_turn_due = True

    def wake_at(self, at_ms: int) -> None:
        """Sets the timer."""
        self._woken_at_ms = at_ms


class PeerPipe:
    """A client's end of a connection to the peer."""

    def __init__(self, target: PeerTarget) -> None:
        self.target = target
        self.connection: Connection | None = None
        self.received = b""
        self.eof = False

    def send(self, data: bytes) -> None:
        """Gives bytes to the peer at once."""
        if self.connection is not None and not self.eof:
            self.connection.receive(data)
            self.target.settle()

    def frame(self, timeout: float) -> bytes | None:
        """Returns the next frame; lets time pass if there is none yet."""
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
        """Closes the connection, as the client."""
        if self.connection is not None and not self.eof:
            self.eof = True
            self.connection.closed()
            self.target.settle()
