"""Transactions as bytes: a header, a record that its type names, maybe a digest.

Pure. Answers to SerializeUtils and Request.serialize: the same bytes are the payload of a log
record and of a PROPOSAL.
"""

from __future__ import annotations

from typing import Final

from pyzk.constants import OpCode
from pyzk.data.pending import PendingNode
from pyzk.errors import JuteError, Truncated
from pyzk.int64 import MASK64
from pyzk.jute.packing import pack_qiqqis, pack_qiqqisiu
from pyzk.jute.records import (
    CheckVersionTxn,
    CloseSessionTxn,
    CreateContainerTxn,
    CreateSessionTxn,
    CreateTTLTxn,
    CreateTxn,
    CreateTxnV0,
    DeleteTxn,
    ErrorTxn,
    MultiTxn,
    SetACLTxn,
    SetDataTxn,
    TxnDigest,
    TxnHeader,
)

Body = (
    CreateTxn
    | CreateTTLTxn
    | CreateContainerTxn
    | DeleteTxn
    | SetDataTxn
    | SetACLTxn
    | CheckVersionTxn
    | CreateSessionTxn
    | CloseSessionTxn
    | ErrorTxn
)
"""The record of a transaction that is not a multi."""

_DIGEST_BYTES: Final = 12
AROUND_BODY_BYTES: Final = 32 + _DIGEST_BYTES
"""The bytes that a payload has beside the record: the header, and the digest behind it."""
DIGEST_VERSION: Final = 2

_BODIES: Final[dict[int, type[Body]]] = {
    OpCode.CREATE: CreateTxn,
    OpCode.CREATE2: CreateTxn,
    OpCode.CREATE_TTL: CreateTTLTxn,
    OpCode.CREATE_CONTAINER: CreateContainerTxn,
    OpCode.DELETE: DeleteTxn,
    OpCode.DELETE_CONTAINER: DeleteTxn,
    OpCode.SET_DATA: SetDataTxn,
    OpCode.RECONFIG: SetDataTxn,
    OpCode.SET_ACL: SetACLTxn,
    OpCode.CHECK: CheckVersionTxn,
    OpCode.CREATE_SESSION: CreateSessionTxn,
    OpCode.ERROR: ErrorTxn,
}


class SubTxn:
    """One operation inside a multi, decoded."""

    __slots__ = ("body", "foretold", "type")

    def __init__(self, type: int, body: Body, foretold: PendingNode | None = None) -> None:
        self.type = type
        self.body = body
        self.foretold = foretold
        """What `DataTree.apply` takes under that name for this operation."""


class LoggedTxn:
    """One whole transaction. ``body`` is a list for a multi, None where the type has no record."""

    __slots__ = ("body", "digest", "header")

    def __init__(
        self,
        header: TxnHeader,
        body: Body | list[SubTxn] | None,
        digest: int | None = None,
    ) -> None:
        self.header = header
        self.body = body
        self.digest = digest
        """The tree digest after this transaction, modulo 2^64; None when it carries none."""


def encode_txn(header: TxnHeader, body: bytes, digest: int | None) -> bytes:
    """Return the payload of a transaction whose record is already encoded."""
    if digest is None:
        return pack_qiqqis(
            header.client_id, header.cxid, header.zxid, header.time, header.type, body
        )
    return pack_qiqqisiu(
        header.client_id,
        header.cxid,
        header.zxid,
        header.time,
        header.type,
        body,
        DIGEST_VERSION,
        digest,
    )


def decode_txn(payload: bytes) -> LoggedTxn:
    """Decode a payload. Raises JuteError when it is none."""
    end = len(payload)
    header, offset = TxnHeader.decode(payload, 0, end)
    kind = header.type
    body: Body | list[SubTxn] | None
    if kind == OpCode.MULTI:
        multi, offset = MultiTxn.decode(payload, offset, end)
        body = [SubTxn(txn.type, decode_body(txn.type, txn.data)) for txn in multi.txns]
    elif kind == OpCode.CLOSE_SESSION:
        body, offset = _decode_close_session(payload, offset, end)
    else:
        body, offset = _decode_body(kind, payload, offset, end)
    digest = None
    if end - offset >= _DIGEST_BYTES:
        record, offset = TxnDigest.decode(payload, offset, end)
        if record.version == DIGEST_VERSION:
            digest = record.tree_digest & MASK64
    return LoggedTxn(header, body, digest)


def decode_body(kind: int, data: bytes) -> Body:
    """Decode the record of an operation inside a multi."""
    return _decode_body(kind, data, 0, len(data))[0]


def _decode_body(kind: int, buffer: bytes, offset: int, end: int) -> tuple[Body, int]:
    record = _BODIES.get(kind)
    if record is None:
        raise JuteError(f"transaction of unknown type {kind}")
    if kind != OpCode.CREATE:
        return record.decode(buffer, offset, end)
    try:
        return CreateTxn.decode(buffer, offset, end)
    except Truncated:
        # Logs older than 3.4 have no parentCVersion; -1 says "one more than there is".
        old, offset = CreateTxnV0.decode(buffer, offset, end)
        return CreateTxn(old.path, old.data, old.acl, old.ephemeral, -1), offset


def _decode_close_session(
    buffer: bytes, offset: int, end: int
) -> tuple[CloseSessionTxn | None, int]:
    """Decode closeSession.

    The paths may be absent (before 3.6, or switched off), with or without a digest behind. A server
    without the paths but with digests writes a bare digest, whose first int reads like a count:
    believe in paths only if they end where the payload or the digest does.
    """
    if offset == end:
        return None, offset
    try:
        body, behind = CloseSessionTxn.decode(buffer, offset, end)
    except JuteError:
        return None, offset
    if end - behind in (0, _DIGEST_BYTES):
        return body, behind
    return None, offset
