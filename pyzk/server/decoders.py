"""The two most frequent writes, create and setData, from their bytes to those of the transaction.

Pure. The decoders read a record in one straight line, into the object that becomes the record of
the transaction, and keep the bytes of its first fields: that record begins with the same bytes, so
most writes are never encoded again. (scripts/bench: create took 24 us before and 12 us after,
setData 11.5 and 7, other savings included.) What is out of the ordinary, a null above all, is read
into the record of the request.
"""

from __future__ import annotations

from typing import Final

from pyzk.compiling import mypyc_attr
from pyzk.constants import CONTAINER_OWNER, OpCode
from pyzk.data.acl import OPEN_ACL, OPEN_LIST
from pyzk.data.tree import ttl_owner
from pyzk.data.txn import Body
from pyzk.jute.archive import encode_string
from pyzk.jute.packing import pack_int, pack_sbi, pack_si, unpack_int
from pyzk.jute.records import (
    ACL,
    CreateContainerTxn,
    CreateRequest,
    CreateTTLRequest,
    CreateTTLTxn,
    CreateTxn,
    SetDataRequest,
    SetDataTxn,
)

Prepared = tuple[Body, bytes]
"""The record of a transaction, and its bytes."""

OPEN_BYTES: Final = pack_int(1) + pack_int(31) + encode_string("world") + encode_string("anyone")
_OPEN_LENGTH: Final = len(OPEN_BYTES)


@mypyc_attr(acyclic=True)
class RawSetData(SetDataTxn):
    """A setData, and the record of its transaction. Until it is prepared, ``version`` is the one
    that the client expects, and ``raw`` the bytes of path and data."""

    __slots__ = ("raw",)

    def __init__(self, path: str, data: bytes, version: int, raw: bytes) -> None:
        # super().__init__ is not called: the hot path saves the call.
        self.path = path
        self.data = data
        self.version = version
        self.raw = raw


@mypyc_attr(acyclic=True)
class RawCreate(CreateTxn):
    """A create with the open ACL list, and the record of its transaction. Until it is prepared,
    ``raw`` has the bytes of path, data and list, and what the flags decide is not known."""

    __slots__ = ("flags", "raw")

    def __init__(self, path: str, data: bytes, flags: int, raw: bytes) -> None:
        # super().__init__ is not called: the hot path saves the call.
        self.path = path
        self.data = data
        self.acl = OPEN_LIST
        self.ephemeral = False
        self.parent_cversion = 0
        self.flags = flags
        self.raw = raw


SetData = SetDataRequest | RawSetData
Create = CreateRequest | RawCreate


def decode_set_data(buffer: bytes, offset: int, end: int) -> SetData:
    """Decode a setData. Raises JuteError."""
    return read_set_data(buffer, offset, end)[0]


def decode_create(buffer: bytes, offset: int, end: int) -> Create:
    """Decode a create. Raises JuteError."""
    return read_create(buffer, offset, end)[0]


def read_set_data(buffer: bytes, offset: int, end: int) -> tuple[SetData, int]:
    """Decode a setData; return it and the offset behind it. Raises JuteError."""
    start = offset + 4
    if start <= end:
        (length,) = unpack_int(buffer, offset)
        stop = start + length
        if length >= 0 and stop + 4 <= end:
            (length,) = unpack_int(buffer, stop)
            data_stop = stop + 4 + length
            if length >= 0 and data_stop + 4 <= end:
                try:
                    path = buffer[start:stop].decode("ascii")
                except UnicodeDecodeError:
                    return SetDataRequest.decode(buffer, offset, end)
                (version,) = unpack_int(buffer, data_stop)
                data = buffer[stop + 4 : data_stop]
                raw = buffer[offset:data_stop]
                return RawSetData(path, data, version, raw), data_stop + 4
    return SetDataRequest.decode(buffer, offset, end)


def read_create(buffer: bytes, offset: int, end: int) -> tuple[Create, int]:
    """Decode a create; return it and the offset behind it. Raises JuteError."""
    start = offset + 4
    if start <= end:
        (length,) = unpack_int(buffer, offset)
        stop = start + length
        if length >= 0 and stop + 4 <= end:
            (length,) = unpack_int(buffer, stop)
            data_stop = stop + 4 + length
            acl_stop = data_stop + _OPEN_LENGTH
            if length >= 0 and acl_stop + 4 <= end and buffer[data_stop:acl_stop] == OPEN_BYTES:
                try:
                    path = buffer[start:stop].decode("ascii")
                except UnicodeDecodeError:
                    return CreateRequest.decode(buffer, offset, end)
                (flags,) = unpack_int(buffer, acl_stop)
                data = buffer[stop + 4 : data_stop]
                raw = buffer[offset:acl_stop]
                return RawCreate(path, data, flags, raw), acl_stop + 4
    return CreateRequest.decode(buffer, offset, end)


def set_data_body(record: SetData, path: str, version: int) -> Prepared:
    """Return the record of a setData's transaction."""
    if isinstance(record, RawSetData):
        encoded = pack_si(record.raw, version)
        record.version = version
        record.raw = b""  # which may be long
        return record, encoded
    return encoded_body(SetDataTxn(path, record.data, version))


def create_body(
    kind: int,
    path: str,
    data: bytes | None,
    acl: tuple[ACL, ...],
    is_ephemeral: bool,
    record: Create | CreateTTLRequest,
    cversion: int,
    session_id: int,
) -> tuple[Prepared, int]:
    """Return the record of a create, and the ephemeralOwner of the new znode."""
    entries = OPEN_LIST if acl is OPEN_ACL else list(acl)
    if kind == OpCode.CREATE_CONTAINER:
        return encoded_body(CreateContainerTxn(path, data, entries, cversion)), CONTAINER_OWNER
    if kind == OpCode.CREATE_TTL:
        assert isinstance(record, CreateTTLRequest), record
        ttl = record.ttl
        return encoded_body(CreateTTLTxn(path, data, entries, cversion, ttl)), ttl_owner(ttl)
    owner = session_id if is_ephemeral else 0
    if isinstance(record, RawCreate) and path is record.path:
        encoded = pack_sbi(record.raw, is_ephemeral, cversion)
        record.ephemeral = is_ephemeral
        record.parent_cversion = cversion
        record.raw = b""  # which may be long
        return (record, encoded), owner
    return encoded_body(CreateTxn(path, data, entries, is_ephemeral, cversion)), owner


def encoded_body(body: Body) -> Prepared:
    """Return a record and its bytes."""
    return body, body.encode()
