"""A znode as it will be when the proposals under way have been applied.

Pure. ZooKeeper: ChangeRecord. Whoever prepares a transaction makes these, later requests are
checked against them, and the tree believes their digests when it applies the transaction.
"""

from __future__ import annotations

from pyzk.data.acl import AclList
from pyzk.data.node import DataNode


class PendingNode(DataNode):
    """A znode as it will be after a proposal; or a mark that it will be gone."""

    __slots__ = (
        "acl",
        "child_count",
        "created",
        "exists",
        "is_create",
        "is_fresh",
        "parent",
        "path",
        "zxid",
    )

    def __init__(
        self,
        path: str,
        zxid: int,
        data: bytes | None,
        acl_id: int,
        czxid: int = 0,
        mzxid: int = 0,
        ctime: int = 0,
        mtime: int = 0,
        version: int = 0,
        cversion: int = 0,
        aversion: int = 0,
        ephemeral_owner: int = 0,
        pzxid: int = 0,
        acl: AclList | None = None,
    ) -> None:
        super().__init__(
            data,
            acl_id,
            czxid,
            mzxid,
            ctime,
            mtime,
            version,
            cversion,
            aversion,
            ephemeral_owner,
            pzxid,
        )
        self.path = path
        self.zxid = zxid
        """The transaction that makes this state."""
        self.acl = acl
        """The ACL list; None for the open one. The tree may have no number for it yet, or no
        longer."""
        self.child_count = 0
        self.created = 0
        """How many children were created so far, wrapped like an int of Java; ``cversion`` counts
        the same, but never falls."""
        self.exists = True
        self.is_create = False
        """Whether a create made this state, and not a later change of the same znode."""
        self.is_fresh = False
        """Whether the digest is still that of the state before, which this one replaces: it is
        computed once, when the whole transaction is prepared."""
        self.parent: PendingNode | None = None
        """For a znode that is created or deleted: the state of its parent after that."""


def state_after(
    node: DataNode, path: str, zxid: int, acl: AclList | None, child_count: int, created: int
) -> PendingNode:
    """Return a copy of a znode for transaction ``zxid`` to alter."""
    pending = PendingNode(
        path,
        zxid,
        node.data,
        node.acl_id,
        node.czxid,
        node.mzxid,
        node.ctime,
        node.mtime,
        node.version,
        node.cversion,
        node.aversion,
        node.ephemeral_owner,
        node.pzxid,
        acl,
    )
    pending.digest = node.digest
    pending.child_count = child_count
    pending.created = created
    return pending
