"""Directories, databases and transactions for the tests of persistence."""

from __future__ import annotations

import tarfile
from pathlib import Path

from pyzk.constants import OpCode
from pyzk.data.database import Database
from pyzk.data.tree import DataTree
from pyzk.data.txn import decode_txn, encode_txn
from pyzk.jute.records import ACL, CreateSessionTxn, CreateTxn, SetDataTxn, TxnHeader
from pyzk.persistence.directory import Directory, MemoryDirectory
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.snapshot import write_snapshot
from pyzk.persistence.txnlog import frame_record

SESSION = 0x0100000000000000
READ_ONLY = [ACL(1, "world", "anyone")]


def put(directory: Directory, name: str, data: bytes) -> None:
    """Make a durable file."""
    file = directory.create(name)
    file.write_at(data, 0)
    file.sync()
    file.close()
    directory.sync()


def get(directory: Directory, name: str) -> bytes:
    return directory.read(name, 0, directory.size(name))


def flip(directory: Directory, name: str, offset: int, mask: int = 0xFF) -> None:
    data = bytearray(get(directory, name))
    data[offset] ^= mask
    put(directory, name, bytes(data))


def unpack(archive: Path) -> tuple[MemoryDirectory, MemoryDirectory]:
    """Return the snapshot and the log directory of a recorded data directory."""
    found: dict[str, MemoryDirectory] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None:
                parent, _, name = member.name.rpartition("/")
                put(found.setdefault(parent, MemoryDirectory(parent)), name, content.read())
    if "data/version-2" in found or "dataLog/version-2" in found:
        return (
            found.get("data/version-2", MemoryDirectory("data/version-2")),
            found.get("dataLog/version-2", MemoryDirectory("dataLog/version-2")),
        )
    directory = found.get("version-2", MemoryDirectory("version-2"))
    return directory, directory


def session_payload(zxid: int, timeout_ms: int = 30000) -> bytes:
    header = TxnHeader(SESSION, 0, zxid, 1700000000000, OpCode.CREATE_SESSION)
    return encode_txn(header, CreateSessionTxn(timeout_ms).encode(), None)


def create_payload(
    zxid: int, path: str, data: bytes | None = b"x", ephemeral: bool = False
) -> bytes:
    header = TxnHeader(SESSION, zxid & 0x7FFF, zxid, 1700000000000 + zxid, OpCode.CREATE)
    return encode_txn(header, CreateTxn(path, data, READ_ONLY, ephemeral, -1).encode(), None)


def set_payload(zxid: int, path: str, data: bytes, version: int) -> bytes:
    header = TxnHeader(SESSION, zxid & 0x7FFF, zxid, 1700000000000 + zxid, OpCode.SET_DATA)
    return encode_txn(header, SetDataTxn(path, data, version).encode(), None)


def workload(count: int, first: int = 1) -> list[bytes]:
    """Return payloads of consecutive zxids: a session, then creates."""
    payloads = []
    for zxid in range(first, first + count):
        if zxid == 1:
            payloads.append(session_payload(zxid))
        else:
            size = 1500 if zxid % 7 == 0 else zxid % 50
            payloads.append(create_payload(zxid, f"/n{zxid}", b"d" * size))
    return payloads


def framed(payloads: list[bytes]) -> list[bytes]:
    return [frame_record(payload) for payload in payloads]


def database_of(payloads: list[bytes]) -> Database:
    database = Database(DataTree())
    for payload in payloads:
        database.replay(decode_txn(payload))
    return database


def seed(directory: Directory, payloads: list[bytes], snapshot_at: int = 0) -> None:
    """Write snapshot.0, the log, and a snapshot after ``snapshot_at`` payloads."""
    write_snapshot(directory, database_of([]).freeze())
    if snapshot_at:
        write_snapshot(directory, database_of(payloads[:snapshot_at]).freeze())
    writer = LogWriter(directory, preallocate_bytes=4096)
    writer.append(framed(payloads))
    writer.close()


def contents(database: Database) -> dict[str, tuple[object, ...]]:
    """Return everything a tree holds, comparable."""
    tree = database.tree
    return {
        path: (node.data, tree.acls.get(node.acl_id), node.encode_persisted(), node.encode_stat())
        for path, node in tree.nodes.items()
    }
