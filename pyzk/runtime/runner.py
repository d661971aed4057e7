"""Drives one peer: sets the clock, feeds what comes, drains the outbox, arms the timer.

Shell. The only place where the pure core meets sockets, disk and time. Answers to QuorumPeerMain
and ZooKeeperServerMain. A core call that raises has left the state in doubt: the server stops at
once, with the last inputs in its log. So does a storage error.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from pyzk.clock import Clock
from pyzk.config.server import ServerConfig
from pyzk.data.database import Database
from pyzk.exit_codes import ExitCode
from pyzk.quorum.peer import Peer
from pyzk.runtime.client_port import ClientProtocol
from pyzk.runtime.environment import (
    describe_environment,
    file_descriptors,
    first_reserved_descriptor,
)
from pyzk.runtime.listening import DEFAULT_BACKLOG, open_sockets
from pyzk.runtime.seams import Seams, ServerStorage, Timer
from pyzk.runtime.unread import Unread
from pyzk.server.connection import Connection
from pyzk.server.outbox import Command, TakeSnapshot

if TYPE_CHECKING:
    from pyzk.runtime.member_ports import MemberPorts

log = logging.getLogger(__name__)

RECENT_INPUTS: Final = 200
"""Inputs that are kept for the log of a broken invariant."""
_SHOWN_BYTES: Final = 48
MAX_GATHERING_TURNS: Final = 8
"""Turns of the loop after which the log is written although writes keep coming."""


class PeerRunner:
    """One server process, or one server among others in a test."""

    def __init__(self, config: ServerConfig, seams: Seams | None = None) -> None:
        self.config = config
        self.clock = Clock()
        self.unread = Unread()
        self.first_reserved_descriptor = first_reserved_descriptor()
        """The sockets of clients have lower ones."""
        self.peer: Peer
        seams = seams or Seams()
        self._storage: ServerStorage = seams.storage or file_storage(config)
        self._time = seams.time
        self._listeners = seams.listeners
        self._wrap = seams.wrap
        self._network = seams.network
        self._member: MemberPorts | None = None
        """What a member of an ensemble has beside a lone server."""
        self._loop: asyncio.AbstractEventLoop
        self._servers: list[asyncio.Server] = []
        self._timer: Timer | None = None
        self._timer_ms = 0
        """When it goes off."""
        self._is_log_flush_due = False
        self._gathered = 0
        """Records that were waiting when the loop last looked whether more had come."""
        self._turns = 0
        """Turns of the loop for which they have waited."""
        self._is_closing = False
        self._recent: deque[tuple[int | str, object]] = deque(maxlen=RECENT_INPUTS)
        self._stopped: asyncio.Future[int]
        self.client_address: tuple[str, int] = ("", 0)
        """Where clients connect; known once ``start`` has returned."""
        self.failure: BaseException | None = None
        """What stopped the server, if it was no request."""

    async def start(self) -> None:
        """Load the database, take the role, open the client port.

        Raises StorageError, ConfigError, OSError when the port cannot be had, or
        ElectionPortError.
        """
        self._loop = asyncio.get_running_loop()
        self._stopped = self._loop.create_future()
        sockets = self._open_client_port()
        try:
            database = self._storage.open()
            self._read_clock()
            self._make_peer(database)
            self._describe()
            self._storage.start(self._loop, self._log_synced, self._storage_failed)
            if self._member is not None:
                await self._member.listen()
                self._read_clock()
            self.peer.start()
            commands = self.peer.outbox.commands
            if self._storage.wants_snapshot and not commands:
                commands.append(TakeSnapshot())
            self._flush()
        except BaseException:
            for sock in sockets:
                sock.close()
            if self._member is not None:
                self._member.abort()
            self._storage.release()
            raise
        for sock in sockets:
            self._servers.append(
                # It calls listen() again, with a backlog of its own if it is given none.
                await self._loop.create_server(
                    self._make_protocol, sock=sock, backlog=self._backlog
                )
            )
        self._arm_timer()

    def _make_peer(self, database: Database) -> None:
        config = self.config
        ensemble = config.ensemble
        if ensemble is None:
            self.peer = Peer(config, database, self.clock, random.Random())
            return
        from pyzk.runtime.member_ports import MemberPorts  # a lone server has no use for it

        epochs = self._storage.epochs
        assert epochs is not None, "storage of a member was opened"
        self.peer = Peer(
            config, database, self.clock, random.Random(), ensemble=ensemble, epochs=epochs
        )
        self._member = MemberPorts(self, self.peer, ensemble, self._storage, self._network)

    @property
    def role(self) -> str:
        """What it is, in words; empty while a member does not serve."""
        return "standalone" if self._member is None else self._member.role

    def when_serving(self, call: Callable[[], None]) -> None:
        """Call once clients are served: at once, or when a member has found its place."""
        if self.role:
            call()
        else:
            assert self._member is not None
            self._member.when_serving = call

    @property
    def _backlog(self) -> int:
        backlog = self.config.client_port_listen_backlog
        return backlog if backlog > 0 else DEFAULT_BACKLOG

    def _open_client_port(self) -> list[socket.socket]:
        config = self.config
        if config.client_port is None:
            return []
        sockets = list(self._listeners or ()) or open_sockets(
            config.client_port_address, config.client_port, self._backlog
        )
        host, port = sockets[0].getsockname()[:2]
        self.client_address = (host, port)
        return sockets

    def _make_protocol(self) -> asyncio.Protocol:
        protocol = ClientProtocol(self)
        return self._wrap(protocol) if self._wrap else cast("asyncio.Protocol", protocol)

    def _describe(self) -> None:
        server = self.peer.server
        server.client_address = self.client_address
        server.storage_report = self._storage.report
        server.environment = describe_environment
        server.file_descriptors = file_descriptors
        self._storage.metrics = server.metrics

    # --- inputs ---------------------------------------------------------------------

    def _read_clock(self) -> None:
        if self._time is not None:
            self._time.read(self.clock)
            return
        self.clock.now_ms = time.monotonic_ns() // 1_000_000
        self.clock.wall_ms = time.time_ns() // 1_000_000

    def accept(self, host: str, port: int, descriptor: int) -> Connection | None:
        """A client has connected; None refuses it."""
        self._read_clock()
        if descriptor >= self.first_reserved_descriptor:
            # The system gives the lowest one that is free: so many are open. The rest is for logs
            # and snapshots, for the server would stop if it could not open one.
            limit = f"the process has {descriptor} open files (ulimit -n)"
            self.peer.server.rejected(host, limit)
            return None
        return self.peer.accept(host, port)

    def feed(self, connection: Connection, data: bytes) -> None:
        """Bytes have come from a client."""
        if self._is_closing:
            return
        self._read_clock()
        self._recent.append((connection.port, data[:_SHOWN_BYTES]))
        try:
            connection.receive(data)
        except Exception as error:
            self._break(error)
            return
        self._flush()

    def resume(self, connection: Connection, reason: int) -> None:
        """A reason for a connection to stall is gone."""
        if self._is_closing:
            return
        self._read_clock()
        self._recent.append((connection.port, "resume"))
        try:
            connection.resume(reason)
        except Exception as error:
            self._break(error)
            return
        self._flush()

    def resume_soon(self, connection: Connection, reason: int) -> None:
        """Resume in the next turn of the loop, so that other connections get theirs."""
        self._loop.call_soon(self.resume, connection, reason)

    def lost(self, connection: Connection) -> None:
        """The socket of a connection is gone."""
        self._recent.append((connection.port, "lost"))
        connection.closed()
        self._flush()

    def _log_synced(self, zxid: int) -> None:
        self._read_clock()
        self._recent.append(("log_synced", zxid))
        try:
            self.peer.log_synced(zxid)
        except Exception as error:
            self._break(error)
            return
        self._flush()

    def _wake(self) -> None:
        self._read_clock()
        self._recent.append(("wake", self.clock.now_ms))
        try:
            self.peer.wake()
        except Exception as error:
            self._break(error)
            return
        self._flush()
        self._arm_timer()

    def _arm_timer(self) -> None:
        self._timer_ms = deadline = self.peer.deadline
        wait_ms = max(0, deadline - self.clock.now_ms)
        self._timer = self.call_later(wait_ms / 1000, self._wake)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call back after this many seconds of this server's time."""
        call_later = self._loop.call_later if self._time is None else self._time.call_later
        return call_later(seconds, callback)

    def take_in(self, source: str, what: object, call: Callable[[], object]) -> None:
        """An input of a member: from another one, or an answer of its disk."""
        if self._is_closing:
            return
        self._read_clock()
        self._recent.append((source, what[:_SHOWN_BYTES] if isinstance(what, bytes) else what))
        try:
            call()
        except Exception as error:
            self._break(error)
            return
        self._flush()

    def guard(self, call: Callable[[], None]) -> None:
        """Do something that takes from the core what it has to send."""
        try:
            call()
        except Exception as error:
            self._break(error)

    def perform(self, order: Callable[[], None]) -> None:
        """Do something to the peer that is none of its inputs: an operator's order, say."""
        self._read_clock()
        self._recent.append(("order", ""))
        try:
            order()
        except Exception as error:
            self._break(error)
            return
        self._flush()

    # --- outputs --------------------------------------------------------------------

    def _flush(self) -> None:
        """Carry out what the core wants. The log waits until the clients have nothing more to
        say, so that their writes share one sync."""
        if self._member is not None:
            try:
                self.peer.flush()
            except Exception as error:
                self._break(error)
                return
        outbox = self.peer.outbox
        if outbox.dirty:
            for connection in outbox.take_dirty():
                connection.is_dirty = False
                protocol = connection.shell
                if isinstance(protocol, ClientProtocol):
                    protocol.flush(connection)
                else:
                    connection.out.clear()
        if outbox.commands and not self._is_closing:
            self._flush_log()
            for command in outbox.take_commands():
                self._perform(command)
        if self._member is not None:
            if not self._is_log_flush_due:
                self._is_log_flush_due = True
                self._loop.call_soon(self._end_turn, self._member)
        elif outbox.log and not self._is_log_flush_due:
            self._is_log_flush_due = True
            self._loop.call_soon(self._gather)

    def _perform(self, command: Command) -> None:
        if isinstance(command, TakeSnapshot):
            self._storage.take_snapshot(self.peer.server.database)
        else:
            assert self._member is not None, command
            self._member.perform(command)

    def _end_turn(self, member: MemberPorts) -> None:
        """Hand out what the inputs of a whole turn of the loop have led to: one write for each
        link, one batch for the disk. The links and the disk work at the same time.

        Each write of its own would wake every other member (scripts/bench, set 50x1).
        """
        self._is_log_flush_due = False
        if self._is_closing:
            return
        try:
            member.drain()
        except Exception as error:
            self._break(error)
            return
        # Last: its thread would only wake to wait for the interpreter.
        self._flush_log()
        if self._timer is not None and self.peer.deadline < self._timer_ms:
            self._timer.cancel()
            self._arm_timer()

    def _gather(self) -> None:
        """Hand the log to the disk, unless writes have come in the turn of the loop since this
        was last asked: then look again after the next turn.

        The clients that have just been answered send their next writes at about the same time. A
        sync for the first of them would only make the others wait for a second one (scripts/bench,
        set 50x1: 33 -> 39 thousand a second). A lone write waits for one look at the sockets.
        """
        count = len(self.peer.outbox.log)
        if count > self._gathered and self._turns < MAX_GATHERING_TURNS:
            self._gathered = count
            self._turns += 1
            self._loop.call_soon(self._gather)
        else:
            self._flush_log()

    def _flush_log(self) -> None:
        self._is_log_flush_due = False
        self._gathered = self._turns = 0
        outbox = self.peer.outbox
        if outbox.log and not self._is_closing:
            self._storage.append(outbox.take_log(), outbox.log_zxid)

    # --- the end --------------------------------------------------------------------

    def request_stop(self) -> None:
        """Ask for a clean end; ``serve_until_stopped`` returns 0."""
        self._end(0)

    async def serve_until_stopped(self) -> int:
        """Serve; return the exit code when the server has ended and released everything."""
        code = await self._stopped
        await self.close()
        return code

    async def close(self) -> None:
        """Close the port, the connections and the storage; what was logged is synced."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._storage.stop_timers()
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        peer_server = self.peer.server
        peer_server.is_serving = False
        if self.failure is None:
            self._flush_log()
        # From here on nothing more is taken; what was, is synced and answered.
        self._is_closing = True
        protocols = [connection.shell for connection in peer_server.connections]
        if self._storage.blocks:
            await asyncio.get_running_loop().run_in_executor(None, self._storage.close)
        else:
            self._storage.close()
        await asyncio.sleep(0)  # the answers to what was synced last
        for protocol in protocols:
            if isinstance(protocol, ClientProtocol):
                protocol.close()
        if self._member is not None:
            self._member.close()
        await asyncio.sleep(0)

    def kill(self) -> None:
        """End as a process that is killed: no goodbye, and what is not durable is lost."""
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._storage.stop_timers()
        self._drop_everything()
        self._servers = []
        self._storage.abandon()

    def _end(self, code: int) -> None:
        if not self._stopped.done():
            self._stopped.set_result(code)

    def fail(self, error: Exception) -> None:
        """Something that nobody expected has gone wrong in a part of the driver."""
        self._break(error)

    def _break(self, error: Exception) -> None:
        """A broken invariant: never answer from this state again."""
        self.failure = error
        log.critical("internal error, the server stops: %s", error, exc_info=error)
        for source, what in self._recent:
            log.error("last inputs: %s %r", source, what)
        self._drop_everything()
        self._end(ExitCode.UNEXPECTED_ERROR)

    def _storage_failed(self, error: BaseException) -> None:
        """The log is not durable: no request may be answered any more."""
        self.failure = error
        log.critical("storage failed, the server stops: %s", error)
        self._drop_everything()
        self._end(ExitCode.UNEXPECTED_ERROR)

    def _drop_everything(self) -> None:
        if self._member is not None:
            self._member.abort()
        for server in self._servers:
            server.close()
        for connection in list(self.peer.server.connections):
            protocol = connection.shell
            if isinstance(protocol, ClientProtocol):
                protocol.abort()


def file_storage(config: ServerConfig) -> ServerStorage:
    """Return the machine's own disk as storage."""
    # Test servers in memory have no use for it, and their start-up is measured.
    from pyzk.runtime.storage import Storage

    return Storage(config)
