"""A client at the level of frames over a blocking socket, for the tests of the fixture."""

from __future__ import annotations

import socket
import struct
from typing import Self

from pyzk.constants import CreateMode, OpCode
from pyzk.jute.records import CreateTTLRequest
from pyzk.testing.core.controls import Controls
from tests.conftest import TIMEOUT_FACTOR
from tests.frames import (
    OPEN,
    Record,
    Reply,
    Requests,
    connect_frame,
    create_request,
    decode_welcome,
)

PATIENCE_S = 20.0 * TIMEOUT_FACTOR


class RawClient(Requests):
    """One session, or the attempt at one."""

    def __init__(
        self,
        server: Controls,
        *,
        timeout_ms: int = 10_000,
        session: RawClient | None = None,
        greet: bool = True,
    ) -> None:
        self.sock = socket.create_connection((server.host, server.port), PATIENCE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host, port = self.sock.getsockname()[:2]
        self.address = f"{host}:{port}"
        self.session_id: int = session.session_id if session else 0
        self.password: bytes = session.password if session else bytes(16)
        self.timeout_ms = timeout_ms
        if greet:
            self.greet()
            self.welcome()

    def greet(self) -> None:
        self.send(connect_frame(self.session_id, self.password, timeout_ms=self.timeout_ms))

    def welcome(self) -> int:
        """Read the ConnectResponse; return the session id, 0 for a session that is over."""
        response = decode_welcome(self.read())
        self.session_id = response.session_id
        self.password = response.password or b""
        self.timeout_ms = response.timeout_ms
        return self.session_id

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read(self) -> bytes:
        (length,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def is_cut(self) -> bool:
        """Wait for the end of the connection; False if something else comes."""
        try:
            return not self.sock.recv(1)
        except ConnectionError:
            return True

    def is_quiet(self) -> bool:
        """Whether nothing has come (now) and the connection is there."""
        self.sock.setblocking(False)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        finally:
            self.sock.settimeout(PATIENCE_S)
        return False

    def reply(self) -> Reply:
        return Reply.of(self.read())

    def call(self, opcode: int, record: Record | bytes = b"", xid: int | None = None) -> Reply:
        xid = self.submit(opcode, record, xid)
        reply = self.reply()
        assert reply.xid == xid, reply
        return reply

    def create_container(self, path: str) -> Reply:
        record = create_request(path, flags=CreateMode.CONTAINER)
        return self.call(OpCode.CREATE_CONTAINER, record)

    def create_ttl(self, path: str, ttl_ms: int) -> Reply:
        flags = CreateMode.PERSISTENT_WITH_TTL
        return self.call(OpCode.CREATE_TTL, CreateTTLRequest(path, b"", OPEN, flags, ttl_ms))

    def end(self) -> None:
        """End the session and the connection."""
        self.call(OpCode.CLOSE_SESSION)
        self.close()

    def close(self) -> None:
        """End the connection only."""
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
