"""The client port: what joins each client's socket to its pure connection.

Shell. There is one protocol object for each socket. The bytes that come go through the runner to
the connection, and the runner has what the connection answers written to the socket.

ZooKeeper: NIOServerCnxnFactory
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final, cast

from pyzk.runtime.addresses import peer_of
from pyzk.server.arrival import Arrival
from pyzk.server.connection import CLOSED, STALL_CHOKED, Connection

if TYPE_CHECKING:
    from pyzk.config.server import ServerConfig
    from pyzk.runtime.unread import Unread

LAST_BYTES_TIMEOUT_S: Final = 2.0
"""How long a client may take to read what is left when its connection is closed."""


class ClientInputs:
    """What the sockets of clients ask of the server that they belong to: `runtime.runner`.

    It is a base class, because calls of a Protocol's methods are slower in the compiled form.
    """

    config: ServerConfig
    unread: Unread

    def admits(self, host: str, descriptor: int, *, is_on_secure_port: bool) -> bool:
        """Tells, before a handshake of TLS, whether a client of this host may be taken."""
        raise NotImplementedError

    def handshake_failed(self) -> None:
        """Takes the news that a handshake of TLS has failed."""
        raise NotImplementedError

    def handshake_exceeded(self) -> None:
        """Takes the news that there were too many handshakes of TLS."""
        raise NotImplementedError

    def accept(self, arrival: Arrival) -> Connection | None:
        """Takes a client that has connected; None refuses it."""
        raise NotImplementedError

    def feed(self, connection: Connection, data: bytes) -> None:
        """Takes bytes of a client."""
        raise NotImplementedError

    def settle(self) -> None:
        """Has the bytes that were fed taken now."""
        raise NotImplementedError

    def resume(self, connection: Connection, reason: int) -> None:
        """Takes the news that a reason for a connection to stall is gone."""
        raise NotImplementedError

    def resume_soon(self, connection: Connection, reason: int) -> None:
        """Resumes in the next turn of the loop, so that other connections have their turn first."""
        raise NotImplementedError

    def lost(self, connection: Connection) -> None:
        """Takes the news that the socket of a connection is gone."""
        raise NotImplementedError


class ClientProtocol:
    """One socket of a client, with the methods of asyncio.Protocol. That class itself as a base
    would keep this one from being compiled."""

    __slots__ = (
        "_connection",
        "_is_choked",
        "_is_on_secure_port",
        "_is_paused",
        "_runner",
        "_transport",
    )

    def __init__(self, runner: ClientInputs, *, is_on_secure_port: bool = False) -> None:
        self._runner = runner
        self._is_on_secure_port = is_on_secure_port
        self._transport: asyncio.Transport | None = None
        self._connection: Connection | None = None
        self._is_paused = False
        self._is_choked = False

    @property
    def connection(self) -> Connection | None:
        """The pure connection; None before the socket is connected, and after it is gone."""
        return self._connection

    # --- called by the loop ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        descriptor = -1 if sock is None else sock.fileno()
        host, port = peer_of(transport)
        tls = transport.get_extra_info("tls")
        connection = self._runner.accept(
            Arrival(
                host,
                port,
                descriptor=descriptor,
                is_secure=tls is not None,
                is_on_secure_port=self._is_on_secure_port,
                certificates=() if tls is None else tls.certificates,
                cipher="" if tls is None else tls.cipher,
            )
        )
        if connection is None:
            # The original, too, accepts and then closes without a byte.
            self._transport.abort()
            return
        if self._runner.config.client_tcp_keep_alive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.shell = self
        self._connection = connection

    def data_received(self, data: bytes) -> None:
        if self._connection is not None:
            self._runner.feed(self._connection, data)

    def eof_received(self) -> bool:
        self.settle()  # what is answered after this is not written any more
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._runner.unread.forget(self)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.shell = None
            if connection.state != CLOSED:
                connection.server.metrics.connection_drop_count += 1
            self._runner.lost(connection)

    def pause_writing(self) -> None:
        self._is_choked = True
        if self._connection is not None:
            self._connection.stall(STALL_CHOKED)

    def resume_writing(self) -> None:
        self._is_choked = False
        self._runner.unread.forget(self)
        if self._connection is not None:
            self._runner.resume(self._connection, STALL_CHOKED)

    # --- called by the runner -------------------------------------------------------

    def flush(self, connection: Connection) -> None:
        """Writes what the connection has; closes, pauses or resumes the socket as it wants."""
        transport = self._transport
        if transport is None:
            connection.out.clear()
            return
        was_choked = self._is_choked
        out = connection.out
        if out:
            count = len(out)
            connection.stats.packets_sent += count
            connection.server.metrics.packets_sent += count
            data = out[0] if count == 1 else b"".join(out)
            out.clear()
            transport.write(data)
            if self._is_choked:
                self._runner.unread.grew(self)
        if connection.state == CLOSED:
            if not transport.is_closing():
                self._close(transport, was_choked)
        elif connection.is_stalled != self._is_paused:
            self._is_paused = not self._is_paused
            if self._is_paused:
                transport.pause_reading()
            else:
                transport.resume_reading()
        if connection.stalled & STALL_CHOKED and not self._is_choked:
            # The core stopped for breath only; the socket has taken everything.
            self._runner.resume_soon(connection, STALL_CHOKED)

    def _close(self, transport: asyncio.Transport, was_choked: bool) -> None:
        """Closes when the last bytes are written. A client that does not read them loses them: in
        the end, or at once if it ``was_choked`` before they were written."""
        if was_choked:
            transport.abort()
            return
        transport.close()
        if transport.get_write_buffer_size():
            # Most often the socket takes it in this turn of the loop.
            asyncio.get_running_loop().call_soon(self._linger, transport)

    def _linger(self, transport: asyncio.Transport) -> None:
        if self._transport is not None:
            self._runner.unread.linger(self)
            asyncio.get_running_loop().call_later(LAST_BYTES_TIMEOUT_S, transport.abort)

    def settle(self) -> None:
        """Has the bytes that have come taken now, and not when the turn ends."""
        self._runner.settle()

    # --- called by the limits -------------------------------------------------------

    @property
    def unread_bytes(self) -> int:
        """How many bytes wait for the socket, those of requests that wait for it included."""
        parked = 0 if self._connection is None else self._connection.parked_bytes
        return parked + (0 if self._transport is None else self._transport.get_write_buffer_size())

    def drop(self, reason: str | None) -> None:
        """Closes the socket at once; ``reason`` says why the connection ends, if it was open."""
        if self._connection is not None and reason is not None:
            self._connection.refuse(reason)
        self.abort()

    def close(self) -> None:
        """Closes the socket, because the server ends."""
        if self._transport is not None and not self._transport.is_closing():
            self._close(self._transport, self._is_choked)

    def abort(self) -> None:
        """Drops the socket at once."""
        if self._transport is not None:
            self._transport.abort()
