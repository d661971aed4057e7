"""Directories, databases and transactions for the tests of persistence."""

from __future__ import annotations

import tarfile
from pathlib import Path

from pyzk.data.database import Database
from pyzk.jute.records import ACL
from pyzk.persistence.directory import Directory, MemoryDirectory
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.snapshot import write_snapshot
from pyzk.persistence.txnlog import frame_record
from tests.transactions import create, database_of, new_session

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


def create_payload(
    zxid: int, path: str, data: bytes | None = b"x", *, is_ephemeral: bool = False
) -> bytes:
    """Returns a create with an ACL that a snapshot has to list."""
    return create(zxid, path, data, acl=READ_ONLY, is_ephemeral=is_ephemeral)


def workload(count: int, first: int = 1) -> list[bytes]:
    """Return payloads of consecutive zxids: a session, then creates."""
    payloads = []
    for zxid in range(first, first + count):
        if zxid == 1:
            payloads.append(new_session(zxid))
        else:
            size = 1500 if zxid % 7 == 0 else zxid % 50
            payloads.append(create_payload(zxid, f"/n{zxid}", b"d" * size))
    return payloads


def framed(payloads: list[bytes]) -> list[bytes]:
    return [frame_record(payload) for payload in payloads]


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
