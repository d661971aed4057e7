"""Transactions as the log and PROPOSAL hold them, and the databases that they make."""

from __future__ import annotations

from collections.abc import Iterable

from pyzk.constants import OpCode
from pyzk.data.committed_log import CommittedLog
from pyzk.data.database import Database
from pyzk.data.tree import DataTree
from pyzk.data.txn import decode_txn, encode_txn
from pyzk.jute.records import ACL, CreateSessionTxn, CreateTxn, SetDataTxn, TxnHeader
from tests.frames import OPEN, Record
from tests.world import WALL_MS

SESSION = 0x77


def txn(
    zxid: int,
    kind: int,
    record: Record,
    *,
    session: int = SESSION,
    cxid: int = 0,
    digest: int | None = None,
) -> bytes:
    """Returns the payload of a transaction; each has a time of its own."""
    header = TxnHeader(session, cxid, zxid, WALL_MS + (zxid & 0xFFFF), kind)
    return encode_txn(header, record.encode(), digest)


def create(
    zxid: int,
    path: str | None = None,
    data: bytes | None = b"",
    *,
    session: int = SESSION,
    cxid: int = 0,
    acl: list[ACL] = OPEN,
    is_ephemeral: bool = False,
    parent_cversion: int = -1,
) -> bytes:
    """Returns the payload of a create; the path tells the zxid if none is given."""
    record = CreateTxn(path or f"/n{zxid:x}", data, acl, is_ephemeral, parent_cversion)
    return txn(zxid, OpCode.CREATE, record, session=session, cxid=cxid)


def set_data(zxid: int, path: str, data: bytes, version: int = 1, *, cxid: int = 0) -> bytes:
    return txn(zxid, OpCode.SET_DATA, SetDataTxn(path, data, version), cxid=cxid)


def new_session(zxid: int, session: int = SESSION, timeout_ms: int = 6000) -> bytes:
    return txn(zxid, OpCode.CREATE_SESSION, CreateSessionTxn(timeout_ms), session=session)


def database_of(
    payloads: Iterable[bytes],
    last_zxid: int = 0,
    *,
    committed_limit: int = 500,
    extended_types: bool = False,
) -> Database:
    """Returns a database that has applied these, and remembers the last ones of them."""
    database = Database(DataTree(extended_types=extended_types))
    database.committed = CommittedLog(committed_limit)
    database.tree.last_zxid = last_zxid
    for payload in payloads:
        database.replay(decode_txn(payload), payload)
    return database
