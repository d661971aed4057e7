"""The client protocol as tests speak it: frames, requests and replies, and who sends them."""

from __future__ import annotations

import asyncio
import ssl
import struct
from typing import Protocol, Self

import attrs

from pyzk.constants import CreateMode, OpCode, Xid
from pyzk.jute.records import (
    ACL,
    AddWatchRequest,
    ConnectRequest,
    ConnectResponse,
    CreateRequest,
    DeleteRequest,
    MultiHeader,
    PathWatchRequest,
    SetDataRequest,
    WatcherEvent,
)

OPEN = [ACL(31, "world", "anyone")]


class Record(Protocol):
    def encode(self) -> bytes: ...


@attrs.frozen
class Reply:
    """One frame from the server: a reply, or an event when xid is -1."""

    xid: int
    zxid: int
    err: int
    body: bytes

    @classmethod
    def of(cls, payload: bytes) -> Reply:
        """Reads the payload of a frame."""
        xid, zxid, err = struct.unpack_from(">iqi", payload)
        return cls(xid, zxid, err, payload[16:])

    @property
    def event(self) -> tuple[int, str]:
        """(type, path) of a watch event."""
        assert self.xid == Xid.NOTIFICATION, self
        event, _ = WatcherEvent.decode(self.body, 0, len(self.body))
        return event.type, event.path


def frame(payload: bytes) -> bytes:
    return struct.pack(">i", len(payload)) + payload


def encode_request(xid: int, opcode: int, record: Record | bytes = b"") -> bytes:
    body = record if isinstance(record, bytes) else record.encode()
    return frame(struct.pack(">ii", xid, opcode) + body)


def connect_frame(
    session_id: int = 0,
    password: bytes | None = bytes(16),
    *,
    timeout_ms: int = 10_000,
    last_zxid_seen: int = 0,
    read_only: bool | None = False,
) -> bytes:
    """Returns a handshake, whole."""
    return frame(
        ConnectRequest(0, last_zxid_seen, timeout_ms, session_id, password, read_only).encode()
    )


def decode_welcome(payload: bytes) -> ConnectResponse:
    """Reads the answer to a handshake."""
    return ConnectResponse.decode(payload, 0, len(payload))[0]


def create_request(
    path: str | None = "/a", data: bytes | None = b"", flags: int = 0
) -> CreateRequest:
    return CreateRequest(path, data, OPEN, flags)


def multi(*operations: tuple[int, Record]) -> bytes:
    """Returns the body of a multi."""
    parts = [MultiHeader(kind, False, -1).encode() + record.encode() for kind, record in operations]
    return b"".join(parts) + MultiHeader(-1, True, -1).encode()


class Requests:
    """A client that waits for each reply: what it can ask in a word."""

    _xid = 0

    def send(self, data: bytes) -> None:
        """Sends raw bytes."""
        raise NotImplementedError

    def submit(self, opcode: int, record: Record | bytes = b"", xid: int | None = None) -> int:
        """Sends a request without looking for its reply; returns its xid."""
        if xid is None:
            self._xid += 1
            xid = self._xid
        self.send(encode_request(xid, opcode, record))
        return xid

    def call(self, opcode: int, record: Record | bytes = b"", xid: int | None = None) -> Reply:
        """Sends a request; returns its reply, which must be the next that comes."""
        raise NotImplementedError

    def create(
        self,
        path: str,
        data: bytes | None = b"",
        flags: int = CreateMode.PERSISTENT,
        acl: list[ACL] | None = None,
    ) -> Reply:
        return self.call(OpCode.CREATE, CreateRequest(path, data, acl or OPEN, flags))

    def set_data(self, path: str, data: bytes | None, version: int = -1) -> Reply:
        return self.call(OpCode.SET_DATA, SetDataRequest(path, data, version))

    def delete(self, path: str, version: int = -1) -> Reply:
        return self.call(OpCode.DELETE, DeleteRequest(path, version))

    def get_data(self, path: str, watch: bool = False) -> Reply:
        return self.call(OpCode.GET_DATA, PathWatchRequest(path, watch))

    def exists(self, path: str, watch: bool = False) -> Reply:
        return self.call(OpCode.EXISTS, PathWatchRequest(path, watch))

    def get_children(self, path: str, watch: bool = False) -> Reply:
        return self.call(OpCode.GET_CHILDREN, PathWatchRequest(path, watch))

    def add_watch(self, path: str, mode: int) -> Reply:
        return self.call(OpCode.ADD_WATCH, AddWatchRequest(path, mode))

    def ping(self) -> Reply:
        return self.call(OpCode.PING, xid=Xid.PING)


class StreamClient:
    """A client over an asyncio stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.session_id = 0

    @classmethod
    async def dial(cls, host: str, port: int, tls: ssl.SSLContext | None = None) -> Self:
        """Opens a connection without handshake, but for that of TLS."""
        return cls(*await asyncio.open_connection(host, port, ssl=tls))

    @classmethod
    async def connect(
        cls, host: str, port: int, timeout_ms: int = 30_000, tls: ssl.SSLContext | None = None
    ) -> Self:
        """Opens a connection and makes a session."""
        client = await cls.dial(host, port, tls)
        try:
            await client.handshake(timeout_ms=timeout_ms)
        except asyncio.IncompleteReadError:
            client.writer.close()
            raise
        return client

    async def handshake(
        self, session_id: int = 0, password: bytes = bytes(16), timeout_ms: int = 30_000
    ) -> ConnectResponse:
        self.writer.write(connect_frame(session_id, password, timeout_ms=timeout_ms))
        response = decode_welcome(await self.read())
        self.session_id = response.session_id
        return response

    async def read(self) -> bytes:
        """Returns the payload of the next frame."""
        (length,) = struct.unpack(">i", await self.reader.readexactly(4))
        return await self.reader.readexactly(length)

    def submit(self, opcode: int, record: Record | bytes = b"", xid: int = 1) -> None:
        self.writer.write(encode_request(xid, opcode, record))

    async def reply(self) -> Reply:
        return Reply.of(await self.read())

    async def call(self, opcode: int, record: Record | bytes = b"", xid: int = 1) -> Reply:
        self.submit(opcode, record, xid)
        return await self.reply()

    async def create(self, path: str, flags: int = 0) -> int:
        """Returns the error of the reply."""
        return (await self.call(OpCode.CREATE, create_request(path, flags=flags))).err

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()
