"""What will be true when the proposals under way have been committed.

Pure. ZooKeeper: ZooKeeperServer.outstandingChanges.
The newest pending state of a path hides that in the tree; it is forgotten when its transaction has
been applied. A multi that fails takes its changes back.
"""

from __future__ import annotations

from pyzk.data.java_order import FIRST_CAPACITY, HashTable
from pyzk.data.name_set import NameSet
from pyzk.data.pending import PendingNode
from pyzk.metrics import Metrics


class OutstandingChanges:
    """The pending znodes by path, and the order in which they were made."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics: Metrics = metrics
        self._counted: int = 0
        """How many of the states in ``made`` are in the metrics."""
        self.nodes: dict[str, PendingNode] = {}
        self.owned: dict[int, dict[str, int]] = {}
        """Session id -> path of an ephemeral that is not in the tree yet -> its pending creates."""
        self.made: list[PendingNode] = []
        """The states in the order of the proposals; empty when the tree has all of them. (A list:
        calls of a deque's methods are slow in the compiled form.)"""
        self._hidden: list[PendingNode | None] | None = None
        """In a multi: what was pending before each of its states."""

    def put(self, node: PendingNode) -> None:
        """Make ``node`` the newest state of its path."""
        path = node.path
        if self._hidden is not None:
            self._hidden.append(self.nodes.get(path))
        self.nodes[path] = node
        self.made.append(node)

    def begin(self) -> None:
        """Begin a multi: the changes from here on can be rolled back."""
        self._hidden = []

    def keep(self) -> None:
        """End a multi, and keep its changes."""
        self._hidden = None

    def rollback(self) -> None:
        """End a multi, and take its changes back: what was pending before is newest again."""
        hidden = self._hidden
        assert hidden is not None, "rollback without begin"
        while hidden:
            before = hidden.pop()
            node = self.made.pop()
            self._disown(node)
            if before is None:
                del self.nodes[node.path]
            else:
                self.nodes[node.path] = before
        self._hidden = None

    def own(self, session_id: int, path: str) -> None:
        """Note that a pending create makes an ephemeral for this session."""
        owned = self.owned.setdefault(session_id, {})
        owned[path] = owned.get(path, 0) + 1

    def ephemerals_of(self, session_id: int, owned: NameSet | None) -> list[str]:
        """Return the ephemerals of a session in the order in which the original deletes them: it
        clones ``owned``, those in the tree, and goes through the pending changes. Of none or one
        there is only one order."""
        if session_id not in self.owned and (owned is None or len(owned.names) < 2):
            return [] if owned is None else list(owned.names)
        table = HashTable(FIRST_CAPACITY) if owned is None else owned.clone()
        if table.is_plain and session_id not in self.owned:
            return table.names()  # pending changes only take names out
        names = set(() if owned is None else owned.names)
        for node in self.made:
            path = node.path
            if path in names:
                if not node.exists:
                    names.remove(path)
                    table.remove(path)
            elif node.exists and node.ephemeral_owner == session_id:
                names.add(path)
                table.extend([path])
        return table.names()

    def _disown(self, node: PendingNode) -> None:
        """Note that a pending create is in the tree now, or was taken back."""
        path = node.path
        owned = self.owned.get(node.ephemeral_owner)
        if not node.is_create or owned is None or path not in owned:
            return
        owned[path] -= 1
        if not owned[path]:
            del owned[path]
            if not owned:
                del self.owned[node.ephemeral_owner]

    def applied(self, zxid: int) -> None:
        """Forget the changes up to ``zxid``: the tree has them now."""
        made = self.made
        nodes = self.nodes
        count = 0
        for node in made:
            if node.zxid > zxid:
                break
            count += 1
            if nodes.get(node.path) is node:
                del nodes[node.path]
            if node.is_create and node.ephemeral_owner:
                self._disown(node)
        del made[:count]
        self._metrics.outstanding_changes_removed += count
        self._metrics.outstanding_changes_queued += count + len(made) - self._counted
        self._counted = len(made)
