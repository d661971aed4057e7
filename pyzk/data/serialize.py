"""A database as bytes: what a snapshot file and the stream behind SNAP have in common.

Pure. ZooKeeper: SerializeUtils, ReferenceCountedACLCache.serialize, DataTree.serialize.
"""

from __future__ import annotations

from collections.abc import Iterable

from pyzk.data.paths import ROOT
from pyzk.data.snapshot_view import Frozen
from pyzk.jute.archive import encode_buffer, encode_string
from pyzk.jute.packing import pack_int, pack_long, pack_long_int
from pyzk.jute.records import ACL


def encode_tables(
    sessions: Iterable[tuple[int, int]], acls: Iterable[tuple[int, tuple[ACL, ...]]]
) -> bytes:
    """Returns what stands before the nodes: the sessions with their timeouts, the ACL lists with
    their numbers."""
    table = [pack_long_int(session, timeout) for session, timeout in sessions]
    lists = [
        pack_long(acl_id) + pack_int(len(acl)) + b"".join([entry.encode() for entry in acl])
        for acl_id, acl in acls
    ]
    return b"".join((pack_int(len(table)), *table, pack_int(len(lists)), *lists))


def encode_nodes(nodes: Iterable[Frozen]) -> bytes:
    """Returns some nodes; parents must come before their children."""
    out: list[bytes] = []
    for path, data, acl_id, persisted in nodes:
        out.append(encode_string("" if path == ROOT else path))
        out.append(encode_buffer(data))
        out.append(pack_long(acl_id))
        out.append(persisted)
    return b"".join(out)
