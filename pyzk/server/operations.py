"""What an opcode is: a write with its record's decoder, a read with its handler, or nothing.

Pure. Answers to Request.isValid and RequestRecord.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pyzk.constants import OpCode
from pyzk.errors import JuteError
from pyzk.jute.records import (
    CreateRequest,
    CreateTTLRequest,
    DeleteContainerRequest,
    DeleteRequest,
    ReconfigRequest,
    SetACLRequest,
)
from pyzk.server.decoders import decode_create, decode_set_data
from pyzk.server.multi import NullAcl, decode_writes
from pyzk.server.reads import READS, ReadHandler

__all__ = ["READS", "TAGS", "WRITES", "ReadHandler"]

WriteDecoder = Callable[[bytes, int, int], object]


def _decode_multi(buffer: bytes, offset: int, end: int) -> object:
    """None for an unreadable multi: unlike other unreadable writes it becomes an error
    transaction."""
    try:
        return decode_writes(buffer, offset, end)
    except NullAcl:
        raise
    except JuteError:
        return None


def _decode_delete_container(buffer: bytes, offset: int, end: int) -> object:
    record, _ = DeleteContainerRequest.decode(buffer, offset, end)
    if record.path is None:
        raise JuteError("null path")
    return str(record.path, "utf-8", "replace")


WRITES: Final[dict[int, WriteDecoder]] = {
    OpCode.CREATE: decode_create,
    OpCode.CREATE2: decode_create,
    OpCode.CREATE_CONTAINER: lambda b, o, e: CreateRequest.decode(b, o, e)[0],
    OpCode.CREATE_TTL: lambda b, o, e: CreateTTLRequest.decode(b, o, e)[0],
    OpCode.DELETE: lambda b, o, e: DeleteRequest.decode(b, o, e)[0],
    OpCode.DELETE_CONTAINER: _decode_delete_container,
    OpCode.SET_DATA: decode_set_data,
    OpCode.SET_ACL: lambda b, o, e: SetACLRequest.decode(b, o, e)[0],
    OpCode.MULTI: _decode_multi,
    OpCode.RECONFIG: lambda b, o, e: ReconfigRequest.decode(b, o, e)[0],
    OpCode.CLOSE_SESSION: lambda _b, _o, _e: None,
}
"""Requests that become a transaction."""

TAGS: Final = {
    OpCode.PING: "PING",
    OpCode.CREATE_SESSION: "SESS",
    OpCode.CLOSE_SESSION: "CLOS",
    OpCode.CREATE: "CREA",
    OpCode.CREATE2: "CREA",
    OpCode.CREATE_CONTAINER: "CREA",
    OpCode.CREATE_TTL: "CREA",
    OpCode.DELETE: "DELE",
    OpCode.DELETE_CONTAINER: "DELE",
    OpCode.SET_DATA: "SETD",
    OpCode.SET_ACL: "SETA",
    OpCode.MULTI: "MULT",
    OpCode.MULTI_READ: "MLTR",
    OpCode.RECONFIG: "RECO",
    OpCode.SYNC: "SYNC",
    OpCode.CHECK: "CHEC",
    OpCode.EXISTS: "EXIS",
    OpCode.GET_DATA: "GETD",
    OpCode.GET_ACL: "GETA",
    OpCode.GET_CHILDREN: "GETC",
    OpCode.GET_CHILDREN2: "GETC",
    OpCode.GET_ALL_CHILDREN_NUMBER: "GETACN",
    OpCode.GET_EPHEMERALS: "GETE",
    OpCode.SET_WATCHES: "SETW",
    OpCode.SET_WATCHES2: "STW2",
    OpCode.ADD_WATCH: "ADDW",
    OpCode.CHECK_WATCHES: "CHKW",
    OpCode.REMOVE_WATCHES: "REMW",
    OpCode.WHO_AM_I: "HOMI",
}
"""The last operation of a connection, as ``cons`` shows it."""
