"""Replies as bytes: the header, and the body of each write.

Pure. ZooKeeper: FinalRequestProcessor, its second half.
This is the one place where the outcome of a transaction becomes what a client reads.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from pyzk.constants import ErrorCode, OpCode, Xid
from pyzk.data.tree import Applied
from pyzk.jute.archive import encode_string

_pack_header: Final = struct.Struct(">iiqi").pack
_pack_event: Final = struct.Struct(">iiqiii").pack
_pack_result: Final = struct.Struct(">i?i").pack
_pack_error_result: Final = struct.Struct(">i?ii").pack

HEADER_BYTES: Final = 16
MULTI_END: Final = struct.pack(">i?i", -1, True, -1)
_SYNC_CONNECTED: Final = 3
"""The state in watch events; a server sends only this one."""


def encode_reply(xid: int, zxid: int, body: bytes, err: int = ErrorCode.OK) -> bytes:
    """Return the frame of a reply that has a body."""
    return _pack_header(HEADER_BYTES + len(body), xid, zxid, err) + body


def encode_head(xid: int, zxid: int, length: int) -> bytes:
    """Return what stands in front of a body of so many bytes."""
    return _pack_header(HEADER_BYTES + length, xid, zxid, ErrorCode.OK)


def encode_error(xid: int, zxid: int, err: int) -> bytes:
    """Return the frame of a reply that is only a header; ``err`` may be 0."""
    return _pack_header(HEADER_BYTES, xid, zxid, err)


def encode_event(event_type: int, path: str, zxid: int) -> bytes:
    """Return the frame of a watch event."""
    text = encode_string(path)
    return (
        _pack_event(
            HEADER_BYTES + 8 + len(text),
            Xid.NOTIFICATION,
            zxid,
            0,
            event_type,
            _SYNC_CONNECTED,
        )
        + text
    )


def _path(applied: Applied) -> bytes:
    return encode_string(applied.path)


def _path_and_stat(applied: Applied) -> bytes:
    return encode_string(applied.path) + applied.stat


def _stat(applied: Applied) -> bytes:
    return applied.stat


def _nothing(applied: Applied) -> bytes:
    return b""


_BODIES: Final[dict[int, Callable[[Applied], bytes]]] = {
    OpCode.CREATE: _path,
    OpCode.CREATE2: _path_and_stat,
    OpCode.CREATE_CONTAINER: _path_and_stat,
    OpCode.CREATE_TTL: _path_and_stat,
    OpCode.DELETE: _nothing,
    OpCode.SET_DATA: _stat,
    OpCode.SET_ACL: _stat,
    OpCode.CHECK: _nothing,
    OpCode.CLOSE_SESSION: _nothing,
}

_RESULT_TYPES: Final = {OpCode.CREATE_CONTAINER: OpCode.CREATE2, OpCode.CREATE_TTL: OpCode.CREATE2}
"""Type of an operation in a multi -> type of its result, where they differ."""


def encode_applied(xid: int, zxid: int, applied: Applied) -> bytes:
    """Return the reply to a write whose transaction has been applied."""
    if applied.results is not None:
        return encode_reply(xid, zxid, encode_results(applied.results))
    if applied.err:
        return encode_error(xid, zxid, applied.err)
    return encode_reply(xid, zxid, _BODIES[applied.type](applied))


def encode_results(results: list[Applied]) -> bytes:
    """Return the body of a MultiResponse."""
    parts = []
    for result in results:
        kind = result.type
        if kind == OpCode.ERROR or result.err:
            parts.append(encode_error_result(result.err))
        else:
            parts.append(_pack_result(_RESULT_TYPES.get(kind, kind), False, ErrorCode.OK))
            parts.append(_BODIES[kind](result))
    parts.append(MULTI_END)
    return b"".join(parts)


def encode_error_result(err: int) -> bytes:
    """Return the entry of a MultiResponse for an operation that failed, or was not tried (0)."""
    return _pack_error_result(OpCode.ERROR, False, err, err)


def encode_result(kind: int, body: bytes) -> bytes:
    """Return the entry of a MultiResponse for an operation that succeeded."""
    return _pack_result(kind, False, ErrorCode.OK) + body


def says_moved(applied: Applied) -> bool:
    """Tell whether the session has moved: no client is shown that error, not even in a multi."""
    moved = ErrorCode.SESSION_MOVED
    results = applied.results
    return applied.err == moved or (
        results is not None and any(result.err == moved for result in results)
    )
