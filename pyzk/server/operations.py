"""What an opcode is: a write with its record's decoder, a read with its handler, or nothing.

Pure. ZooKeeper: Request.isValid, RequestRecord.
A learner has tables of its own, and so has a read-only server; `Server.begin` chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pyzk.constants import CreateMode, OpCode
from pyzk.errors import JuteError, NotReadOnly
from pyzk.jute.records import (
    CreateRequest,
    CreateTTLRequest,
    DeleteContainerRequest,
    DeleteRequest,
    ReconfigRequest,
    SetACLRequest,
)
from pyzk.server.decoders import RawCreate, decode_create, decode_set_data
from pyzk.server.multi import NullAcl, decode_writes
from pyzk.server.reads import READS, ReadHandler

__all__ = [
    "CREATE_DECODER",
    "LEARNER_READS",
    "LEARNER_WRITES",
    "READS",
    "READ_ONLY_READS",
    "READ_ONLY_WRITES",
    "SET_DATA_DECODER",
    "WRITES",
    "ReadHandler",
    "WriteDecoder",
    "makes_ephemeral",
]

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.request import Request
    from pyzk.server.server import Server

WriteDecoder = Callable[[bytes, int, int], object]


def _decode_multi(buffer: bytes, offset: int, end: int) -> object:
    """Return the operations; None for an unreadable multi, which, unlike other unreadable writes,
    becomes an error transaction."""
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
"""Opcode of a request that becomes a transaction -> decoder of its record."""

SET_DATA_DECODER: Final[WriteDecoder] = WRITES[OpCode.SET_DATA]
CREATE_DECODER: Final[WriteDecoder] = WRITES[OpCode.CREATE]
"""The two decoders that are known by name where every write passes."""


def makes_ephemeral(request: Request) -> bool:
    """Tell whether a write, decoded or still in bytes, is to make an ephemeral. Only two opcodes of
    create can, alone or in a multi; what is unreadable makes none."""
    opcode = request.opcode
    if opcode not in (OpCode.CREATE, OpCode.CREATE2, OpCode.MULTI):
        return False
    record = request.record
    if isinstance(record, bytes):
        try:
            record = WRITES[opcode](record, 0, len(record))
        except JuteError:
            return False  # the leader says so
    creates = [(opcode, record)] if opcode != OpCode.MULTI else record
    if not isinstance(creates, list):
        return False  # an unreadable multi
    return any(
        kind in (OpCode.CREATE, OpCode.CREATE2)
        and isinstance(create, (CreateRequest, RawCreate))
        and create.flags in CreateMode.EPHEMERALS
        for kind, create in creates
    )


def _raw(buffer: bytes, offset: int, end: int) -> object:
    """Return the record undecoded: only the leader looks into a write."""
    return buffer[offset:end]


def _nothing(_buffer: bytes, _offset: int, _end: int) -> object:
    return None


LEARNER_WRITES: Final[dict[int, WriteDecoder]] = {
    **dict.fromkeys(WRITES, _raw),
    OpCode.SYNC: _raw,
    OpCode.CLOSE_SESSION: _nothing,
}
"""Opcode of a request that a learner forwards to the leader -> what is forwarded."""

LEARNER_READS: Final[dict[int, ReadHandler]] = {
    opcode: handler for opcode, handler in READS.items() if opcode != OpCode.SYNC
}

READ_ONLY_WRITES: Final[dict[int, WriteDecoder]] = {OpCode.CLOSE_SESSION: _nothing}
"""The only write of a read-only server: the end of a local session, which is no transaction."""


def _not_read_only(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    raise NotReadOnly


READ_ONLY_READS: Final[dict[int, ReadHandler]] = {
    **READS,
    **dict.fromkeys(
        [opcode for opcode in LEARNER_WRITES if opcode not in READ_ONLY_WRITES], _not_read_only
    ),
}
"""On a read-only server every write is answered like a read: with an error."""
