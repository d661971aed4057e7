"""The operations inside multi and multiRead.

Pure. ZooKeeper: MultiOperationRecord.
"""

from __future__ import annotations

from typing import Final

from pyzk.constants import CreateMode, OpCode
from pyzk.errors import JuteError, Truncated
from pyzk.jute.packing import unpack_ibi
from pyzk.jute.records import (
    CheckVersionRequest,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    MultiHeader,
    PathWatchRequest,
)
from pyzk.server.decoders import Create, RawCreate, SetData, read_create, read_set_data

WriteRecord = Create | CreateTTLRequest | DeleteRequest | SetData | CheckVersionRequest
MultiOp = tuple[int, WriteRecord]
ReadOp = tuple[int, PathWatchRequest]

_HEADER_BYTES: Final = 9
_READS: Final = frozenset({OpCode.GET_DATA, OpCode.GET_CHILDREN})


class WrongOperation(JuteError):
    """A multiRead that consists of writes: it is readable, but must not be done."""


class NullAcl(JuteError):
    """A create without ACL vector in a multi: it is unreadable, and takes no zxid."""


def decode_writes(buffer: bytes, offset: int, end: int) -> list[MultiOp]:
    """Return the operations of a multi. Raises JuteError for bytes that are no multi."""
    operations: list[MultiOp] = []
    while True:
        if offset + _HEADER_BYTES > end:
            raise Truncated(f"MultiHeader at {offset}")
        kind, done, _ = unpack_ibi(buffer, offset)
        offset += _HEADER_BYTES
        if done:
            return operations
        record, offset = _read(kind, buffer, offset, end)
        operations.append((_operation(kind, record), record))


def _read(kind: int, buffer: bytes, offset: int, end: int) -> tuple[WriteRecord, int]:
    """Decode the record of an operation; return it and the offset behind it. Raises JuteError."""
    if kind in (OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER):
        return read_create(buffer, offset, end)
    if kind == OpCode.SET_DATA:
        return read_set_data(buffer, offset, end)
    if kind == OpCode.DELETE:
        return DeleteRequest.decode(buffer, offset, end)
    if kind == OpCode.CHECK:
        return CheckVersionRequest.decode(buffer, offset, end)
    if kind == OpCode.CREATE_TTL:
        return CreateTTLRequest.decode(buffer, offset, end)
    raise JuteError(f"operation {kind} in a multi")


def _operation(kind: int, record: WriteRecord) -> int:
    """Return the opcode of an operation: of a create the flags decide, not the header."""
    if isinstance(record, CreateTTLRequest):
        if record.flags == CreateMode.CONTAINER:
            return OpCode.CREATE_CONTAINER
        if record.flags in CreateMode.WITH_TTL or record.flags not in CreateMode.ALL:
            return OpCode.CREATE_TTL
        return OpCode.CREATE
    if not isinstance(record, (CreateRequest, RawCreate)):
        return kind
    # The order is the original's: it decides whether a zxid is taken.
    if record.flags not in CreateMode.ALL:
        raise JuteError(f"create flags {record.flags} in a multi")
    if record.acl is None:
        raise NullAcl("no ACL vector in a multi")
    if record.flags in CreateMode.WITH_TTL:
        raise JuteError("a TTL create without TTL in a multi")
    return OpCode.CREATE_CONTAINER if record.flags == CreateMode.CONTAINER else kind


def decode_reads(buffer: bytes, offset: int, end: int) -> list[ReadOp]:
    """Return the operations of a multiRead. Raises WrongOperation if they are writes, JuteError for
    bytes that are neither."""
    operations: list[ReadOp] = []
    begin = offset
    while True:
        header, offset = MultiHeader.decode(buffer, offset, end)
        if header.done:
            return operations
        if header.type not in _READS:
            if not operations:
                decode_writes(buffer, begin, end)
                raise WrongOperation("a multiRead of writes")
            raise JuteError(f"operation {header.type} in a multiRead")
        record, offset = PathWatchRequest.decode(buffer, offset, end)
        operations.append((header.type, record))
