"""Clients of a transcript: requests as bytes into a connection, replies as lines."""

from __future__ import annotations

import struct
from collections.abc import Callable

from pyzk.constants import CreateMode, ErrorCode, EventType, OpCode, Xid
from pyzk.jute.records import (
    ConnectResponse,
    CreateRequest,
    DeleteRequest,
    ErrorResponse,
    GetChildrenResponse,
    GetDataResponse,
    MultiHeader,
    PathRequest,
    PathResponse,
    PathWatchRequest,
    ReconfigRequest,
    SetDataRequest,
    StatResponse,
    WatcherEvent,
)
from pyzk.server.connection import CLOSED, Connection
from pyzk.zxid import format_zxid
from tests.frames import OPEN, connect_frame, encode_request, multi

_EVENTS = {
    value: name.lower().replace("_", " ")
    for name, value in vars(EventType).items()
    if isinstance(value, int)
}
_MODES = {
    "persistent": CreateMode.PERSISTENT,
    "ephemeral": CreateMode.EPHEMERAL,
    "sequential": CreateMode.PERSISTENT_SEQUENTIAL,
}


def _create(path: str, *words: str) -> tuple[int, CreateRequest]:
    mode = CreateMode.PERSISTENT
    data = b""
    for word in words:
        if word in _MODES:
            mode = _MODES[word]
        else:
            data = word.encode()
    return OpCode.CREATE, CreateRequest(path, data, OPEN, mode)


def _set(path: str, data: str, version: str = "-1") -> tuple[int, SetDataRequest]:
    return OpCode.SET_DATA, SetDataRequest(path, data.encode(), int(version))


def _delete(path: str, version: str = "-1") -> tuple[int, DeleteRequest]:
    return OpCode.DELETE, DeleteRequest(path, int(version))


def _reconfig(leaving: str) -> tuple[int, ReconfigRequest]:
    return OpCode.RECONFIG, ReconfigRequest(None, leaving, None, -1)


_Write = CreateRequest | SetDataRequest | DeleteRequest | ReconfigRequest
_WRITES: dict[str, Callable[..., tuple[int, _Write]]] = {
    "create": _create,
    "set": _set,
    "delete": _delete,
    "reconfig": _reconfig,
}


def encode(words: list[str]) -> tuple[int, bytes]:
    """Return the type and the body of a request that was written as words."""
    verb, *rest = words
    if verb in _WRITES:
        kind, record = _WRITES[verb](*rest)
        return kind, record.encode()
    if verb == "multi":
        parts = [[*part.split(":")] for part in rest]
        return OpCode.MULTI, multi(*(_WRITES[name](*args) for name, *args in parts))
    if verb == "get":
        return OpCode.GET_DATA, PathWatchRequest(rest[0], "watch" in rest).encode()
    if verb == "exists":
        return OpCode.EXISTS, PathWatchRequest(rest[0], "watch" in rest).encode()
    if verb == "children":
        return OpCode.GET_CHILDREN, PathWatchRequest(rest[0], "watch" in rest).encode()
    if verb == "sync":
        return OpCode.SYNC, PathRequest(rest[0]).encode()
    if verb == "close":
        return OpCode.CLOSE_SESSION, b""
    raise ValueError(f"a client knows no {verb!r}")


class Client:
    """One client; it keeps its session over connections."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sid = 0
        self.connection: Connection | None = None
        self.session_id = 0
        self.password = bytes(16)
        self._xid = 0
        self.is_attached = False
        """The server has answered the handshake."""
        self._asked: dict[int, tuple[int, str]] = {}

    def attach(self, sid: int, connection: Connection, timeout_ms: int) -> bytes:
        """Begin on a new connection; return the handshake."""
        connection.shell = self
        self.sid = sid
        self.connection = connection
        self.is_attached = False
        self._asked.clear()
        return connect_frame(self.session_id, self.password, timeout_ms=timeout_ms)

    def request(self, words: list[str]) -> bytes:
        """Return the bytes of a request; its reply will be known by its number."""
        if words == ["ping"]:
            return encode_request(Xid.PING, OpCode.PING)
        kind, body = encode(words)
        self._xid += 1
        self._asked[self._xid] = kind, words[0]
        return encode_request(self._xid, kind, body)

    def take(self) -> list[str]:
        """Read what the server has written; return it as lines."""
        connection = self.connection
        assert connection is not None, self.name
        data = b"".join(connection.out)
        connection.out.clear()
        lines = []
        offset = 0
        while offset < len(data):
            (length,) = struct.unpack_from(">i", data, offset)
            lines.append(self._read(data[offset + 4 : offset + 4 + length]))
            offset += 4 + length
        if connection.state == CLOSED:
            self.connection = None
            lines.append("closed")
        return [f"{self.sid}->{self.name} {line}" for line in lines]

    def _read(self, payload: bytes) -> str:
        if not self.is_attached:
            self.is_attached = True
            response, _ = ConnectResponse.decode(payload, 0, len(payload))
            if not response.session_id:
                return "session expired"
            self.session_id = response.session_id
            self.password = response.password or b""
            return f"session 0x{response.session_id & (1 << 64) - 1:x}, {response.timeout_ms} ms"
        xid, zxid, error = struct.unpack_from(">iqi", payload)
        body = payload[16:]
        if xid == Xid.NOTIFICATION:
            event, _ = WatcherEvent.decode(body, 0, len(body))
            return f"event: {_EVENTS[event.type]} {event.path}"
        if xid == Xid.PING:
            return "ping"
        kind, verb = self._asked.pop(xid)
        head = f"#{xid} {verb}: "
        tail = f" at {format_zxid(zxid)}"
        return head + (_result(kind, body) if not error else ErrorCode.NAMES[error]) + tail


def _result(kind: int, body: bytes) -> str:
    if kind in (OpCode.CREATE, OpCode.SYNC):
        return PathResponse.decode(body, 0, len(body))[0].path or ""
    if kind == OpCode.GET_DATA:
        data = GetDataResponse.decode(body, 0, len(body))[0].data or b""
        return repr(data.decode())
    if kind == OpCode.MULTI:
        return _multi_results(body)
    if kind == OpCode.GET_CHILDREN:
        return (
            " ".join(sorted(GetChildrenResponse.decode(body, 0, len(body))[0].children)) or "none"
        )
    return "ok"


def _multi_results(body: bytes) -> str:
    words: list[str] = []
    offset, end = 0, len(body)
    while True:
        header, offset = MultiHeader.decode(body, offset, end)
        if header.done:
            return ", ".join(words)
        if header.type == OpCode.ERROR:
            result, offset = ErrorResponse.decode(body, offset, end)
            words.append(ErrorCode.NAMES[result.err])
        elif header.type == OpCode.CREATE:
            created, offset = PathResponse.decode(body, offset, end)
            words.append(created.path or "")
        else:
            if header.type == OpCode.SET_DATA:
                _, offset = StatResponse.decode(body, offset, end)
            words.append("ok")
