"""A write from the console: what a client would send for it, and what is answered.

Pure. A write is a client's request: a session of its own, the visitor's credentials, one operation,
and the end of the session. It goes the way of every write, so the leader checks it against the ACLs
and the audit log names who has done it. This is both sides of such a conversation: `Conversation`
takes the bytes that the server sends and returns those to send next.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping
from typing import Final, Protocol

from pyzk.admin.console import Json, View, error_name
from pyzk.constants import CreateMode, OpCode, Perms, Xid
from pyzk.data.paths import validate_path
from pyzk.errors import BadArguments, JuteError
from pyzk.int64 import hex_id
from pyzk.jute.packing import pack_int, unpack_int
from pyzk.jute.records import (
    ACL,
    AuthPacket,
    ConnectRequest,
    ConnectResponse,
    CreateRequest,
    DeleteRequest,
    SetACLRequest,
    SetDataRequest,
)

SESSION_MS: Final = 10_000
_XID: Final = 1
_head: Final = struct.Struct(">ii").pack
_HEAD_BYTES: Final = 16
_OPEN: Final = [ACL(Perms.ALL, "world", "anyone")]
_MODES: Final = {
    "persistent": CreateMode.PERSISTENT,
    "persistentSequential": CreateMode.PERSISTENT_SEQUENTIAL,
    "container": CreateMode.CONTAINER,
}
"""What the console creates. (An ephemeral would go with the session of the write.)"""
_PERMS: Final = {
    "c": Perms.CREATE,
    "d": Perms.DELETE,
    "r": Perms.READ,
    "w": Perms.WRITE,
    "a": Perms.ADMIN,
}


class _Record(Protocol):
    def encode(self) -> bytes: ...


class Operation:
    """One operation as it is on the wire."""

    __slots__ = ("body", "name", "opcode", "path")

    def __init__(self, name: str, opcode: int, path: str, record: _Record) -> None:
        self.name = name
        self.opcode = opcode
        self.path = path
        self.body = record.encode()


def operation(asked: Mapping[str, Json]) -> Operation:
    """Return the operation that the page asks for: ``operation`` is create, delete, setData or
    setAcl. Raises BadArguments for what makes no sense; the rest is judged by the server."""
    name = asked.get("operation")
    path = asked.get("path")
    if not isinstance(path, str):
        raise BadArguments("path must be text")
    validate_path(path)
    version = asked.get("version", -1)
    if not isinstance(version, int) or not -1 <= version < 1 << 31:
        raise BadArguments("version must be a number of 31 bits, or -1 for any")
    if name == "delete":
        return Operation(name, OpCode.DELETE, path, DeleteRequest(path, version))
    if name == "setData":
        return Operation(name, OpCode.SET_DATA, path, SetDataRequest(path, _data(asked), version))
    if name == "setAcl":
        record = SetACLRequest(path, _acl(asked.get("acl")), version)
        return Operation(name, OpCode.SET_ACL, path, record)
    if name != "create":
        raise BadArguments("operation must be create, delete, setData or setAcl")
    mode = _MODES.get(str(asked.get("mode", "persistent")))
    if mode is None:
        raise BadArguments(f"mode must be one of {', '.join(_MODES)}")
    acl = _OPEN if asked.get("acl") is None else _acl(asked.get("acl"))
    opcode = OpCode.CREATE_CONTAINER if mode == CreateMode.CONTAINER else OpCode.CREATE
    return Operation(name, opcode, path, CreateRequest(path, _data(asked), acl, mode))


def _data(asked: Mapping[str, Json]) -> bytes:
    text = asked.get("base64", "")
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        raise BadArguments("base64 must be data in base64") from None


def _acl(asked: Json) -> list[ACL]:
    if not isinstance(asked, list) or not asked:
        raise BadArguments("acl must be a list with at least one entry")
    entries = []
    for each in asked:
        if not isinstance(each, dict):
            raise BadArguments("an entry of acl must be an object")
        scheme, acl_id, perms = each.get("scheme"), each.get("id"), each.get("perms")
        if not isinstance(scheme, str) or not isinstance(acl_id, str) or not isinstance(perms, str):
            raise BadArguments("an entry of acl must have scheme, id and perms as text")
        if not perms or not set(perms) <= _PERMS.keys():
            raise BadArguments("perms must be some of cdrwa")
        bits = 0
        for letter in perms:
            bits |= _PERMS[letter]
        entries.append(ACL(bits, scheme, acl_id))
    return entries


class Outcome:
    """How a write has ended."""

    __slots__ = ("error", "is_known", "path", "zxid")

    def __init__(self, error: str = "", path: str = "", zxid: int = 0, *, known: bool) -> None:
        self.error = error
        """The server's name of the error, or a reason; empty if all is well."""
        self.path = path
        """The path of the znode, with its number if it has got one."""
        self.zxid = zxid
        self.is_known = known
        """Whether the write has certainly been done, or certainly not."""

    def view(self) -> View:
        """Return the outcome as the page is told."""
        if self.error:
            return {"error": self.error, "known": self.is_known}
        return {"path": self.path, "zxid": hex_id(self.zxid)}


_CONNECTING: Final = 0
_PROVING: Final = 1
_ASKING: Final = 2
_ENDING: Final = 3


class Conversation:
    """What a client says for one write, step by step."""

    def __init__(self, wanted: Operation, credentials: str) -> None:
        """``credentials`` are user:password."""
        self._operation = wanted
        self._credentials = credentials
        self._step = _CONNECTING
        self._buffer = b""
        self.outcome: Outcome | None = None
        """How the write has ended; None before that is known."""

    def begin(self) -> bytes:
        """Return the first bytes to send."""
        request = ConnectRequest(0, 0, SESSION_MS, 0, bytes(16), False)
        return _frame(request.encode())

    def received(self, data: bytes) -> bytes:
        """Take bytes of the server; return what is to be sent now, which may be nothing."""
        self._buffer += data
        sent = b""
        while len(self._buffer) >= 4:
            (length,) = unpack_int(self._buffer, 0)
            if len(self._buffer) < 4 + length:
                break
            body, self._buffer = self._buffer[4 : 4 + length], self._buffer[4 + length :]
            sent += self._take(body)
        return sent

    def ended(self, reason: str) -> Outcome:
        """Return how the write has ended, now that the server says nothing more."""
        if self.outcome is not None:
            return self.outcome
        # Before the request is sent nothing can have come of it.
        return Outcome(reason, known=self._step < _ASKING)

    def _take(self, body: bytes) -> bytes:
        try:
            return self._answer(body)
        except JuteError as error:
            self.outcome = Outcome(f"unreadable answer: {error}", known=self._step < _ASKING)
            return b""

    def _answer(self, body: bytes) -> bytes:
        if self._step == _CONNECTING:
            response, _ = ConnectResponse.decode(body, 0, len(body))
            if not response.session_id:
                self.outcome = Outcome("the server gives no session", known=True)
                return b""
            self._step = _PROVING
            packet = AuthPacket(0, "digest", self._credentials.encode("utf-8", "replace"))
            return _request(Xid.AUTH, OpCode.AUTH, packet.encode())
        xid = unpack_int(body, 0)[0]
        err = unpack_int(body, 12)[0]
        if self._step == _PROVING and xid == Xid.AUTH:
            if err:
                self.outcome = Outcome("AUTH_FAILED", known=True)
                return b""
            self._step = _ASKING
            return _request(_XID, self._operation.opcode, self._operation.body)
        if self._step == _ASKING and xid == _XID:
            self._step = _ENDING
            self.outcome = self._outcome(body, err)
            return _request(_XID + 1, OpCode.CLOSE_SESSION, b"")
        return b""

    def _outcome(self, body: bytes, err: int) -> Outcome:
        if err:
            return Outcome(error_name(err), known=True)
        path = self._operation.path
        if self._operation.name == "create":
            (length,) = unpack_int(body, _HEAD_BYTES)
            path = body[_HEAD_BYTES + 4 : _HEAD_BYTES + 4 + length].decode("utf-8", "replace")
        return Outcome(path=path, zxid=int.from_bytes(body[4:12], "big", signed=True), known=True)


def _frame(body: bytes) -> bytes:
    return pack_int(len(body)) + body


def _request(xid: int, opcode: int, body: bytes) -> bytes:
    return _frame(_head(xid, opcode) + body)
