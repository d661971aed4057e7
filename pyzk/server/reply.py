"""Replies as bytes: the header, and the body of each write.

Pure. ZooKeeper: FinalRequestProcessor, its second half.
This is the one place where the outcome of a transaction becomes what a client reads.
"""

from __future__ import annotations

from typing import Final

from pyzk.constants import ErrorCode, OpCode, Xid
from pyzk.data.tree import Applied
from pyzk.jute.archive import encode_string
from pyzk.jute.packing import pack_ibi, pack_ibii, pack_iiqi, pack_iiqiii, pack_iiqis

HEADER_BYTES: Final = 16
LONG_BYTES: Final = 1 << 12
"""A body that is longer is copied once, and a shorter one packed with what is around it."""
MULTI_END: Final = pack_ibi(-1, True, -1)
_SYNC_CONNECTED: Final = 3
"""The state in watch events; a server sends only this one."""


def encode_reply(xid: int, zxid: int, body: bytes, err: int = ErrorCode.OK) -> bytes:
    """Return the frame of a reply that has a body."""
    size = HEADER_BYTES + len(body)
    if size > LONG_BYTES:
        return pack_iiqi(size, xid, zxid, err) + body
    return pack_iiqis(size, xid, zxid, err, body)


def encode_head(xid: int, zxid: int, length: int) -> bytes:
    """Return what stands in front of a body of so many bytes."""
    return pack_iiqi(HEADER_BYTES + length, xid, zxid, ErrorCode.OK)


def encode_error(xid: int, zxid: int, err: int) -> bytes:
    """Return the frame of a reply that is only a header; ``err`` may be 0."""
    return pack_iiqi(HEADER_BYTES, xid, zxid, err)


def encode_event(event_type: int, path: str, zxid: int) -> bytes:
    """Return the frame of a watch event."""
    text = encode_string(path)
    length = HEADER_BYTES + 8 + len(text)
    return pack_iiqiii(length, Xid.NOTIFICATION, zxid, 0, event_type, _SYNC_CONNECTED) + text


def _body(applied: Applied) -> bytes:
    """Return what a client is told of a write that has succeeded."""
    kind = applied.type
    if kind in (OpCode.SET_DATA, OpCode.SET_ACL, OpCode.RECONFIG):
        return applied.stat
    if kind == OpCode.CREATE:
        return encode_string(applied.path)
    if kind in (OpCode.CREATE2, OpCode.CREATE_CONTAINER, OpCode.CREATE_TTL):
        return encode_string(applied.path) + applied.stat
    assert kind in (OpCode.DELETE, OpCode.CHECK, OpCode.CLOSE_SESSION), kind
    return b""


def encode_applied(xid: int, zxid: int, applied: Applied) -> bytes:
    """Return the reply to a write whose transaction has been applied."""
    if applied.results is not None:
        return encode_reply(xid, zxid, encode_results(applied.results))
    if applied.err:
        return encode_error(xid, zxid, applied.err)
    return encode_reply(xid, zxid, _body(applied))


def encode_results(results: list[Applied]) -> bytes:
    """Return the body of a MultiResponse."""
    parts = []
    for result in results:
        kind = result.type
        if kind == OpCode.ERROR or result.err:
            parts.append(encode_error_result(result.err))
        else:
            if kind in (OpCode.CREATE_CONTAINER, OpCode.CREATE_TTL):
                kind = OpCode.CREATE2
            parts.append(encode_result(kind, _body(result)))
    parts.append(MULTI_END)
    return b"".join(parts)


def encode_error_result(err: int) -> bytes:
    """Return the entry of a MultiResponse for an operation that failed, or was not tried (0)."""
    return pack_ibii(OpCode.ERROR, False, err, err)


def encode_result(kind: int, body: bytes) -> bytes:
    """Return the entry of a MultiResponse for an operation that succeeded."""
    return pack_ibi(kind, False, ErrorCode.OK) + body


def says_moved(applied: Applied) -> bool:
    """Tell whether the session has moved: no client is shown that error, not even in a multi."""
    moved = ErrorCode.SESSION_MOVED
    results = applied.results
    return applied.err == moved or (
        results is not None and any(result.err == moved for result in results)
    )
