"""A blocking client at the level of frames.

Shell.

It shows every frame as it arrives, replies and watch events alike, and hides nothing: no pings, no
reconnection, no check of xids.  That is what a comparison with another server needs.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from typing import NamedTuple

from conformance import wire

Address = tuple[str, int]


class Frame(NamedTuple):
    """One frame without its length: a reply, or an event (xid -1)."""

    xid: int
    zxid: int
    err: int
    body: bytes
    payload: bytes


class ClosedError(OSError):
    """The server closed the connection, or did not answer in time."""


class Channel:
    """A TCP connection, with TLS or without, read frame by frame."""

    def __init__(
        self,
        address: Address,
        connect_timeout: float = 10.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.socket = socket.create_connection(address, connect_timeout)
        with contextlib.suppress(OSError):  # a server that resets at once has done so by now
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.socket = context.wrap_socket(self.socket)
        self.received = bytearray()
        self.eof = False

    def send(self, data: bytes) -> None:
        """Sends bytes; a broken connection shows when reading."""
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def frame(self, timeout: float) -> bytes | None:
        """Returns the next whole frame with its length, None when none came."""
        end = time.monotonic() + timeout
        while True:
            if len(self.received) >= 4:
                size = int.from_bytes(self.received[:4], "big", signed=True)
                if 0 <= size <= len(self.received) - 4:
                    whole = bytes(self.received[: 4 + size])
                    del self.received[: 4 + size]
                    return whole
            if self.eof:
                return None
            left = end - time.monotonic()
            if left <= 0 and not self._readable(0):
                return None
            if self._readable(max(left, 0)):
                self._read()

    def _readable(self, timeout: float) -> bool:
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        poll = select.poll()  # a run may have more descriptors than select() takes
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def _read(self) -> None:
        patience = self.socket.gettimeout()
        self.socket.settimeout(0)  # what is there may be half a record, or a word of TLS itself
        try:
            data = self.socket.recv(1 << 20)
        except (ssl.SSLWantReadError, BlockingIOError):
            return
        except OSError:
            data = b""
        finally:
            self.socket.settimeout(patience)
        self.eof = not data
        self.received += data

    def close(self) -> None:
        """Closes the TCP connection, without a word to the server."""
        self.eof = True
        self.socket.close()


class Client:
    """A session on one connection."""

    def __init__(
        self, address: Address, timeout: float = 10.0, context: ssl.SSLContext | None = None
    ) -> None:
        self.address = address
        self.timeout = timeout
        self.channel = Channel(address, timeout, context)
        self.events: list[Frame] = []
        self.session = 0
        self.password = bytes(16)
        self.negotiated_ms = 0
        self.last_zxid = 0
        self.xid = 0

    def connect(
        self,
        timeout_ms: int = 10000,
        session: int = 0,
        password: bytes = bytes(16),
        last_zxid: int = 0,
        read_only: bool | None = False,
    ) -> bool:
        """Opens or takes up a session; returns False when the server says that it is expired."""
        payload = wire.connect(timeout_ms, session, password, last_zxid, read_only)
        self.channel.send(wire.frame(payload))
        answer = self.channel.frame(self.timeout)
        if answer is None:
            raise ClosedError("no answer to the connect request")
        reader = wire.Reader(answer, 8)
        self.negotiated_ms = reader.i32()
        self.session = reader.i64()
        self.password = reader.buffer() or b""
        return self.negotiated_ms > 0

    def send(self, op: str, body: bytes = b"", xid: int | None = None) -> int:
        """Sends a request without waiting, and returns its xid."""
        if xid is None:
            self.xid += 1
            xid = self.xid
        self.channel.send(wire.frame(wire.request(xid, wire.OPS[op], body)))
        return xid

    def receive(self, timeout: float | None = None) -> Frame:
        """Returns the next frame, whatever it is."""
        whole = self.channel.frame(self.timeout if timeout is None else timeout)
        if whole is None:
            raise ClosedError("connection closed" if self.channel.eof else "no frame in time")
        reader = wire.Reader(whole, 4)
        result = Frame(reader.i32(), reader.i64(), reader.i32(), whole[20:], whole[4:])
        if result.zxid > 0:
            self.last_zxid = max(self.last_zxid, result.zxid)
        return result

    def call(self, op: str, body: bytes = b"", xid: int | None = None) -> Frame:
        """Sends a request and waits for its reply; events on the way are kept."""
        xid = self.send(op, body, xid)
        while True:
            answer = self.receive()
            if answer.xid == -1 and xid != -1:
                self.events.append(answer)
                continue
            return answer

    def login(self, user_and_password: str) -> Frame:
        """Adds a digest identity."""
        return self.call("auth", wire.auth("digest", user_and_password.encode()), xid=-4)

    def close_session(self) -> None:
        """Ends the session and the connection."""
        with contextlib.suppress(ClosedError):
            self.call("closeSession")
        self.channel.close()


def new_session(address: Address, timeout_ms: int = 10000, timeout: float = 10.0) -> Client:
    """Returns a client with a new session."""
    client = Client(address, timeout)
    if not client.connect(timeout_ms):
        raise ClosedError("the server refused a new session")
    return client


def four_letters(address: Address, word: bytes, timeout: float = 5.0) -> bytes:
    """Returns the whole answer to a four-letter word."""
    with socket.create_connection(address, timeout) as connection:
        connection.sendall(word)
        parts = []
        while True:
            try:
                part = connection.recv(1 << 16)
            except ConnectionError:
                break
            if not part:
                break
            parts.append(part)
    return b"".join(parts)
