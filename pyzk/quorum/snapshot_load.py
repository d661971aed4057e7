"""A database built from the parts of a snapshot as they come behind SNAP.

Pure. ZooKeeper: ZKDatabase.deserializeSnapshot. It is built beside the one in use, which stays
whole until the new one is on disk: a link that breaks half-way costs nothing (ZOOKEEPER-3642).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pyzk.data.committed_log import CommittedLog
from pyzk.data.database import Database
from pyzk.data.tree import DataTree
from pyzk.data.tree_load import TreeLoad
from pyzk.errors import QuorumProtocolError

if TYPE_CHECKING:
    from pyzk.config.server import ServerConfig
    from pyzk.quorum.snapshot_stream import SnapshotPart

_unpack_stat: Final = struct.Struct(">qqqqiiiqq").unpack
_FUZZY: Final = 1 << 62
"""The zxid up to which no digest is compared, while the end of the snapshot is not known."""


class SnapshotLoad:
    """Takes the parts of a snapshot in order; the last one makes ``database`` ready."""

    def __init__(self, config: ServerConfig, zxid: int) -> None:
        tree = DataTree(
            extended_types=config.extended_types_enabled,
            emulate_353=config.emulate_353_ttl_nodes,
            digests=config.digest_enabled,
        )
        self._nodes: TreeLoad = TreeLoad(tree)
        self.zxid: int = zxid
        """The zxid of the SNAP packet: every transaction up to it is in the snapshot."""
        self.database: Database = Database(tree, {})
        self.database.fuzzy_until = _FUZZY
        self.database.committed = CommittedLog(config.commit_log_count)

    def add(self, part: SnapshotPart) -> None:
        """Takes the next part. Raises QuorumProtocolError if the znodes are not a tree."""
        database = self.database
        tree = database.tree
        for session_id, timeout_ms in part.sessions:
            database.sessions[session_id] = timeout_ms
        try:
            for acl_id, acl in part.acls:
                tree.acls.load(acl_id, acl)
            for path, data, acl_id, stat in part.nodes:
                self._nodes.add(path, data, acl_id, *_unpack_stat(stat))
            if part.is_last:
                self._nodes.finish()
                tree.last_zxid = self.zxid
        except ValueError as error:
            raise QuorumProtocolError(f"the snapshot is no tree: {error}") from None

    def finish(self) -> None:
        """Notes that everything has been applied of which the snapshot may have effects.

        A leader that serves puts into the snapshot what it applies meanwhile, and it has sent the
        COMMIT of each ahead of NEWLEADER.
        """
        database = self.database
        database.fuzzy_until = database.last_zxid
        unknown = database.tree.acls.unknown()
        if unknown:
            raise QuorumProtocolError(f"the snapshot lacks the ACL list {unknown[0]} it refers to")
