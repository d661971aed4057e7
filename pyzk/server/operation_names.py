"""The operations of clients: what they are called, and which paths they name.

Pure. ZooKeeper: Request.op2String.
"""

from __future__ import annotations

from typing import Final

from pyzk.constants import OpCode
from pyzk.errors import JuteError
from pyzk.jute.archive import decode_string
from pyzk.jute.records import PathWatchRequest
from pyzk.server.multi import decode_reads, decode_writes

NAMES: Final[dict[int, str]] = {
    OpCode.CREATE: "create",
    OpCode.DELETE: "delete",
    OpCode.EXISTS: "exists",
    OpCode.GET_DATA: "getData",
    OpCode.SET_DATA: "setData",
    OpCode.GET_ACL: "getACL",
    OpCode.SET_ACL: "setACL",
    OpCode.GET_CHILDREN: "getChildren",
    OpCode.SYNC: "sync",
    OpCode.PING: "ping",
    OpCode.GET_CHILDREN2: "getChildren2",
    OpCode.MULTI: "multi",
    OpCode.CREATE2: "create2",
    OpCode.RECONFIG: "reconfig",
    OpCode.CHECK_WATCHES: "checkWatches",
    OpCode.REMOVE_WATCHES: "removeWatches",
    OpCode.CREATE_CONTAINER: "createContainer",
    OpCode.DELETE_CONTAINER: "deleteContainer",
    OpCode.CREATE_TTL: "createTTL",
    OpCode.MULTI_READ: "multiRead",
    OpCode.AUTH: "auth",
    OpCode.SET_WATCHES: "setWatches",
    OpCode.SASL: "sasl",
    OpCode.GET_EPHEMERALS: "getEphemerals",
    OpCode.GET_ALL_CHILDREN_NUMBER: "getAllChildrenNumber",
    OpCode.SET_WATCHES2: "setWatches2",
    OpCode.ADD_WATCH: "addWatch",
    OpCode.WHO_AM_I: "whoAmI",
    OpCode.CLOSE_SESSION: "closeSession",
}
"""Opcode -> the name under which the operation is counted and logged."""

WITHOUT_PATH: Final = frozenset(
    {
        OpCode.PING,
        OpCode.RECONFIG,
        OpCode.AUTH,
        OpCode.SET_WATCHES,
        OpCode.SET_WATCHES2,
        OpCode.SASL,
        OpCode.WHO_AM_I,
        OpCode.CLOSE_SESSION,
    }
)
"""The operations that name no path, or a client's many watches."""


def paths_of(opcode: int, buffer: bytes, offset: int, end: int) -> list[str]:
    """Return the paths that the record of an operation names, which stands between ``offset`` and
    ``end``: most begin with the only one. What cannot be read names none."""
    if opcode in WITHOUT_PATH:
        return []
    try:
        if opcode == OpCode.MULTI:
            return [record.path or "" for _, record in decode_writes(buffer, offset, end)]
        if opcode == OpCode.MULTI_READ:
            reads: list[tuple[int, PathWatchRequest]] = decode_reads(buffer, offset, end)
            return [record.path or "" for _, record in reads]
        path, _ = decode_string(buffer, offset, end)
    except JuteError:
        return []
    return [] if path is None else [path]
