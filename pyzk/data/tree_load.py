"""Fills a tree with the znodes of a snapshot, from a file or from a leader.

Pure. Answers to DataTree.deserialize. There may be millions of znodes, and a start waits for each:
most stand behind a sibling, whose parent is at hand then, and what only needs to be known in the
end is settled there. What a snapshot must be is checked here for both of its forms: a right
checksum says only that the bytes are those that were written.
"""

from __future__ import annotations

from pyzk.data.acl import MAX_ACL_ID, OPEN_ACL_ID
from pyzk.data.node import DataNode, compute_digest
from pyzk.data.paths import ROOT
from pyzk.data.tree import DataTree


class TreeLoad:
    """Takes the znodes of a snapshot, parents first; ``finish`` makes the tree whole."""

    __slots__ = ("_data_bytes", "_digest", "_parent", "_path_chars", "_prefix", "_tree")

    def __init__(self, tree: DataTree) -> None:
        tree.clear()
        self._tree = tree
        self._prefix = ""
        """What the paths of the last znode and its siblings begin with, up to the last slash."""
        self._parent: DataNode | None = None
        self._path_chars = 0
        self._data_bytes = 0
        self._digest = 0

    def add(
        self,
        path: str,
        data: bytes | None,
        acl_id: int,
        czxid: int,
        mzxid: int,
        ctime: int,
        mtime: int,
        version: int,
        cversion: int,
        aversion: int,
        ephemeral_owner: int,
        pzxid: int,
    ) -> None:
        """Take the next znode. Raises ValueError if it does not continue the tree."""
        tree = self._tree
        nodes = tree.nodes
        slash = path.rfind("/") + 1
        if path != ROOT:
            parent = self._parent
            if slash != len(self._prefix) or not path.startswith(self._prefix):
                self._prefix = path[:slash]
                if slash == 0 or slash == 2:  # no slash; "//name"
                    parent = self._parent = None
                else:
                    parent = self._parent = nodes.get(path[: slash - 1] or ROOT)
            if parent is None or slash == len(path):
                raise ValueError(f"node {path!r} comes before its parent")
            parent.add_child(path, slash)
        if not -MAX_ACL_ID <= acl_id <= MAX_ACL_ID:
            raise ValueError(f"node {path!r} has the ACL list number {acl_id}")
        node = DataNode(
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
        before = len(nodes)
        nodes[path] = node
        if len(nodes) == before:
            raise ValueError(f"node {path!r} comes twice")
        if acl_id != OPEN_ACL_ID:
            tree.acls.add_usage(acl_id)
        if ephemeral_owner:
            tree.note_owner(path, node)
        self._path_chars += len(path)
        if data is not None:
            self._data_bytes += len(data)
        if tree.digests:
            digest = node.digest = compute_digest(path, node)
            self._digest += digest

    def finish(self) -> None:
        """Settle what only the whole tree tells. Raises ValueError if it is none."""
        tree = self._tree
        if ROOT not in tree.nodes:
            raise ValueError("the snapshot has no root")
        tree.digest = self._digest
        tree.data_size = self._path_chars + self._data_bytes
        tree.finish_load()
