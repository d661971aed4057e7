"""What will be true when the proposals on the way commit.

Pure. Answers to ZooKeeperServer.outstandingChanges. The newest pending state of each path covers
the tree; it goes when its transaction has been applied. A multi that fails takes its changes back.
"""

from __future__ import annotations

from collections import deque

from pyzk.data.java_order import FIRST_CAPACITY, HashTable
from pyzk.data.name_set import NameSet
from pyzk.data.node import DataNode
from pyzk.jute.records import ACL


class PendingNode(DataNode):
    """A znode as it will be after a proposal, or the fact that it will be gone."""

    __slots__ = ("acl", "child_count", "created", "exists", "is_create", "zxid")

    acl: tuple[ACL, ...] | None
    """The list, None for the open one: its number may not exist yet, or not any more."""
    child_count: int
    created: int
    """Children created so far, wrapped; ``cversion`` is the same, but stays at its greatest."""
    exists: bool
    is_create: bool
    """Made by a create, and no copy that a later change made of it."""
    zxid: int


class OutstandingChanges:
    """The pending znodes by path, and the order in which they were made."""

    def __init__(self) -> None:
        self.nodes: dict[str, PendingNode] = {}
        self.owned: dict[int, dict[str, int]] = {}
        """Session id -> ephemerals it has created that are not in the tree yet -> how often."""
        self.made: deque[tuple[str, PendingNode]] = deque()
        """(path, state) in the order of the proposals; empty when the tree has everything."""
        self._undo: list[tuple[str, PendingNode | None]] | None = None

    def put(self, path: str, node: PendingNode) -> None:
        """Make ``node`` the newest state of ``path``."""
        if self._undo is not None:
            self._undo.append((path, self.nodes.get(path)))
        self.nodes[path] = node
        self.made.append((path, node))

    def begin(self) -> None:
        """From here on the changes can be rolled back (a multi begins)."""
        self._undo = []

    def keep(self) -> None:
        """The changes since ``begin`` stand."""
        self._undo = None

    def rollback(self) -> None:
        """Take back the changes since ``begin``: what was pending before is newest again."""
        assert self._undo is not None, "rollback without begin"
        for path, before in reversed(self._undo):
            _, node = self.made.pop()
            self._disown(path, node)
            if before is None:
                del self.nodes[path]
            else:
                self.nodes[path] = before
        self._undo = None

    def own(self, session_id: int, path: str) -> None:
        """Note that a pending create makes an ephemeral of this session."""
        owned = self.owned.setdefault(session_id, {})
        owned[path] = owned.get(path, 0) + 1

    def ephemerals_of(self, session_id: int, owned: NameSet | None) -> list[str]:
        """Return the ephemerals of a session in the order in which the original deletes them: it
        has a clone of ``owned``, those in the tree, go through the changes on the way."""
        table = HashTable(FIRST_CAPACITY) if owned is None else owned.clone()
        if table.is_plain and session_id not in self.owned:
            return table.names()  # what is on the way only takes names out
        names = set(() if owned is None else owned.names)
        for path, node in self.made:
            if path in names:
                if not node.exists:
                    names.remove(path)
                    table.remove(path)
            elif node.exists and node.ephemeral_owner == session_id:
                names.add(path)
                table.extend([path])
        return table.names()

    def _disown(self, path: str, node: PendingNode) -> None:
        """A pending create is in the tree, or taken back."""
        owned = self.owned.get(node.ephemeral_owner)
        if not node.is_create or owned is None or path not in owned:
            return
        owned[path] -= 1
        if not owned[path]:
            del owned[path]
            if not owned:
                del self.owned[node.ephemeral_owner]

    def applied(self, zxid: int) -> None:
        """Forget what the tree now has: every change up to ``zxid``."""
        made = self.made
        nodes = self.nodes
        while made and made[0][1].zxid <= zxid:
            path, node = made.popleft()
            if nodes.get(path) is node:
                del nodes[path]
            if node.is_create and node.ephemeral_owner:
                self._disown(path, node)
