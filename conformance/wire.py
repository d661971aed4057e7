"""Bytes of client requests and replies, written independently of the server's own codec.

Pure.

A checker that shared its codec with the server could not see a mistake in it, so this is a second,
small implementation: builders for request bodies, and a decoder of replies into plain dictionaries
with which differences are shown and unordered lists are compared.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

OPS: Final[dict[str, int]] = {
    "notification": 0,
    "create": 1,
    "delete": 2,
    "exists": 3,
    "getData": 4,
    "setData": 5,
    "getACL": 6,
    "setACL": 7,
    "getChildren": 8,
    "sync": 9,
    "ping": 11,
    "getChildren2": 12,
    "check": 13,
    "multi": 14,
    "create2": 15,
    "reconfig": 16,
    "checkWatches": 17,
    "removeWatches": 18,
    "createContainer": 19,
    "deleteContainer": 20,
    "createTTL": 21,
    "multiRead": 22,
    "auth": 100,
    "setWatches": 101,
    "sasl": 102,
    "getEphemerals": 103,
    "getAllChildrenNumber": 104,
    "setWatches2": 105,
    "addWatch": 106,
    "whoAmI": 107,
    "createSession": -10,
    "closeSession": -11,
}
OP_NAMES: Final[dict[int, str]] = {code: name for name, code in OPS.items()}

Decoded = dict[str, object]


class Acl(NamedTuple):
    """One entry of an access control list."""

    perms: int
    scheme: str | None
    id: str | None


OPEN: Final[tuple[Acl, ...]] = (Acl(31, "world", "anyone"),)


class WireError(Exception):
    """Bytes that are not the record they should be."""


# ----- writing


def i32(value: int) -> bytes:
    """A signed 32 bit integer."""
    return struct.pack(">i", value)


def i64(value: int) -> bytes:
    """A signed 64 bit integer, given signed or unsigned."""
    return struct.pack(">Q", value & 0xFFFFFFFFFFFFFFFF)


def flag(value: bool) -> bytes:
    """A boolean."""
    return b"\x01" if value else b"\x00"


def buffer(value: bytes | None) -> bytes:
    """A byte string with its length, -1 for none."""
    return i32(-1) if value is None else i32(len(value)) + value


def string(value: str | None) -> bytes:
    """A text with its length, -1 for none."""
    return buffer(None if value is None else value.encode("utf-8", "surrogatepass"))


def strings(values: list[str] | None) -> bytes:
    """A vector of texts, -1 for none."""
    if values is None:
        return i32(-1)
    return i32(len(values)) + b"".join(string(value) for value in values)


def acl_list(acl: tuple[Acl, ...] | None) -> bytes:
    """A vector of access control entries."""
    if acl is None:
        return i32(-1)
    return i32(len(acl)) + b"".join(i32(a.perms) + string(a.scheme) + string(a.id) for a in acl)


def frame(payload: bytes) -> bytes:
    """The payload with its length before it."""
    return i32(len(payload)) + payload


def connect(
    timeout_ms: int = 10000,
    session: int = 0,
    password: bytes = bytes(16),
    last_zxid: int = 0,
    read_only: bool | None = False,
) -> bytes:
    """The first payload of a connection; read_only None leaves that byte out."""
    tail = b"" if read_only is None else flag(read_only)
    return i32(0) + i64(last_zxid) + i32(timeout_ms) + i64(session) + buffer(password) + tail


def request(xid: int, op: int, body: bytes = b"") -> bytes:
    """The payload of an ordinary request."""
    return i32(xid) + i32(op) + body


def create(
    path: str | None,
    data: bytes | None = b"",
    acl: tuple[Acl, ...] | None = OPEN,
    flags: int = 0,
) -> bytes:
    """Body of create, create2 and createContainer."""
    return string(path) + buffer(data) + acl_list(acl) + i32(flags)


def create_ttl(
    path: str | None,
    data: bytes | None,
    acl: tuple[Acl, ...] | None,
    flags: int,
    ttl: int,
) -> bytes:
    """Body of createTTL."""
    return create(path, data, acl, flags) + i64(ttl)


def path_version(path: str | None, version: int = -1) -> bytes:
    """Body of delete and check."""
    return string(path) + i32(version)


def path_watch(path: str | None, watch: bool = False) -> bytes:
    """Body of exists, getData, getChildren and getChildren2."""
    return string(path) + flag(watch)


def set_data(path: str | None, data: bytes | None, version: int = -1) -> bytes:
    """Body of setData."""
    return string(path) + buffer(data) + i32(version)


def set_acl(path: str | None, acl: tuple[Acl, ...] | None, version: int = -1) -> bytes:
    """Body of setACL."""
    return string(path) + acl_list(acl) + i32(version)


def reconfig(
    joining: str | None, leaving: str | None, members: str | None, version: int = -1
) -> bytes:
    """Body of reconfig: who comes and who goes, or who is a member from now on."""
    return string(joining) + string(leaving) + string(members) + i64(version)


def auth(scheme: str | None, token: bytes | None) -> bytes:
    """Body of an auth packet."""
    return i32(0) + string(scheme) + buffer(token)


def set_watches(relative_zxid: int, *lists: list[str] | None) -> bytes:
    """Body of setWatches (three lists) and setWatches2 (five)."""
    return i64(relative_zxid) + b"".join(strings(values) for values in lists)


def multi(operations: list[tuple[int, bytes]]) -> bytes:
    """Body of multi and multiRead."""
    parts = [i32(op) + flag(False) + i32(-1) + body for op, body in operations]
    return b"".join(parts) + i32(-1) + flag(True) + i32(-1)


# ----- reading


class Reader:
    """Reads primitives from a payload."""

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self.data = data
        self.offset = offset

    def take(self, count: int) -> bytes:
        """Reads exactly so many bytes."""
        if count < 0 or self.offset + count > len(self.data):
            raise WireError(f"wanted {count} bytes at {self.offset} of {len(self.data)}")
        part = self.data[self.offset : self.offset + count]
        self.offset += count
        return part

    def i32(self) -> int:
        """Reads a signed 32 bit integer."""
        return int.from_bytes(self.take(4), "big", signed=True)

    def i64(self) -> int:
        """Reads a signed 64 bit integer."""
        return int.from_bytes(self.take(8), "big", signed=True)

    def hex64(self) -> str:
        """Reads a 64 bit number as hexadecimal text, as the recordings write it."""
        return hex(int.from_bytes(self.take(8), "big"))

    def flag(self) -> bool:
        """Reads a boolean."""
        return self.take(1) != b"\x00"

    def buffer(self) -> bytes | None:
        """Reads a byte string or none."""
        count = self.i32()
        return None if count == -1 else self.take(count)

    def hex(self) -> str | None:
        """Reads a byte string as hexadecimal text."""
        value = self.buffer()
        return None if value is None else value.hex()

    def string(self) -> str | None:
        """Reads a text or none."""
        value = self.buffer()
        return None if value is None else value.decode("utf-8", "backslashreplace")

    def strings(self) -> list[str | None] | None:
        """Reads a vector of texts or none."""
        count = self.i32()
        return None if count == -1 else [self.string() for _ in range(count)]

    def acl(self) -> list[Decoded] | None:
        """Reads a vector of access control entries or none."""
        count = self.i32()
        if count == -1:
            return None
        return [
            {"perms": self.i32(), "scheme": self.string(), "id": self.string()}
            for _ in range(count)
        ]

    def stat(self) -> Decoded:
        """Reads the statistics of a node."""
        return {
            "czxid": self.hex64(),
            "mzxid": self.hex64(),
            "ctime": self.i64(),
            "mtime": self.i64(),
            "version": self.i32(),
            "cversion": self.i32(),
            "aversion": self.i32(),
            "ephemeralOwner": self.hex64(),
            "dataLength": self.i32(),
            "numChildren": self.i32(),
            "pzxid": self.hex64(),
        }


def decode_connect(payload: bytes) -> Decoded:
    """Returns the answer to a connect request, decoded."""
    reader = Reader(payload)
    decoded: Decoded = {
        "kind": "connectResponse",
        "protocolVersion": reader.i32(),
        "timeOut": reader.i32(),
        "sessionId": reader.hex64(),
        "passwd": reader.hex(),
    }
    if reader.offset < len(payload):
        decoded["readOnly"] = reader.flag()
    return _finish(decoded, reader)


def decode_reply(payload: bytes, op: int | None) -> Decoded:
    """Returns a reply to a request of the given kind, or a watch event, decoded."""
    reader = Reader(payload)
    xid = reader.i32()
    decoded: Decoded = {
        "kind": "event" if xid == -1 else "reply",
        "xid": xid,
        "zxid": reader.hex64(),
        "err": reader.i32(),
    }
    if xid == -1 and reader.offset < len(payload):
        decoded["body"] = {
            "type": reader.i32(),
            "state": reader.i32(),
            "path": reader.string(),
        }
        return _finish(decoded, reader)
    if reader.offset < len(payload) and op is not None:
        decoded["op"] = OP_NAMES.get(op, op)
        decoded["body"] = _body(reader, op)
    return _finish(decoded, reader)


def _finish(decoded: Decoded, reader: Reader) -> Decoded:
    if reader.offset < len(reader.data):
        decoded["trailing"] = reader.data[reader.offset :].hex()
    return decoded


def _body(reader: Reader, op: int) -> object:
    name = OP_NAMES.get(op, "")
    if name in ("create", "sync"):
        return {"path": reader.string()}
    if name in ("create2", "createContainer", "createTTL"):
        return {"path": reader.string(), "stat": reader.stat()}
    if name in ("exists", "setData", "setACL"):
        return {"stat": reader.stat()}
    if name in ("getData", "reconfig"):
        return {"data": reader.hex(), "stat": reader.stat()}
    if name == "getACL":
        return {"acl": reader.acl(), "stat": reader.stat()}
    if name == "getChildren":
        return {"children": reader.strings()}
    if name == "getChildren2":
        return {"children": reader.strings(), "stat": reader.stat()}
    if name == "getEphemerals":
        return {"ephemerals": reader.strings()}
    if name == "getAllChildrenNumber":
        return {"totalNumber": reader.i32()}
    if name == "addWatch":
        return {"err": reader.i32()}
    if name == "sasl":
        return {"token": reader.hex()}
    if name == "whoAmI":
        count = reader.i32()
        return {
            "clientInfo": [
                {"authScheme": reader.string(), "user": reader.string()} for _ in range(count)
            ]
        }
    if name in ("multi", "multiRead"):
        return {"results": _results(reader)}
    return {}


def _results(reader: Reader) -> list[Decoded]:
    results: list[Decoded] = []
    while True:
        op, done, err = reader.i32(), reader.flag(), reader.i32()
        if done:
            return results
        result: Decoded = {"op": OP_NAMES.get(op, op), "err": err}
        if op == -1:
            result["code"] = reader.i32()
        elif OP_NAMES.get(op) not in ("delete", "check"):
            result["body"] = _body(reader, op)
        results.append(result)


UNORDERED: Final[frozenset[str]] = frozenset({"clientInfo"})
"""The lists that stand in the order of a set of the original whose elements are not strings."""


def without_order(value: object, lists: frozenset[str] = UNORDERED, key: str = "") -> object:
    """Returns the decoded frame with the lists of these names sorted."""
    if isinstance(value, dict):
        return {name: without_order(item, lists, name) for name, item in value.items()}
    if isinstance(value, list):
        items = [without_order(item, lists) for item in value]
        return sorted(items, key=str) if key in lists else items
    return value
