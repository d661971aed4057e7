"""A view of the tree at one moment, read piece by piece while transactions go on.

Pure. The original writes fuzzy snapshots (some of it older, some newer); this view is exact: a
change to a znode that has not been read yet first saves what it was. The price is one test of
``mark`` for each change while a snapshot is being taken.
"""

from __future__ import annotations

from collections.abc import Callable

from pyzk.data.node import DataNode

Frozen = tuple[str, bytes | None, int, bytes]
"""path, data, ACL id, the 60 bytes of StatPersisted."""


class SnapshotView:
    """The znodes of one moment, parents first; ``close`` must be called in the end."""

    def __init__(
        self, nodes: dict[str, DataNode], generation: int, thaw: Callable[[], None]
    ) -> None:
        self.generation = generation
        self._nodes = nodes
        self._paths = list(nodes)
        self._next = 0
        self._saved: dict[str, Frozen] = {}
        self._thaw: Callable[[], None] | None = thaw

    @property
    def total(self) -> int:
        """How many znodes the view has."""
        return len(self._paths)

    def save(self, path: str, node: DataNode) -> None:
        """Keep what a znode is before it changes. Called by the tree."""
        self._saved[path] = (path, node.data, node.acl_id, node.encode_persisted())
        node.mark = self.generation

    def read(self, limit: int) -> list[Frozen]:
        """Return the next znodes, at most ``limit``; an empty list when all have been read."""
        assert self._thaw is not None, "the view is closed"
        stop = self._next + limit
        paths = self._paths[self._next : stop]
        self._next = stop
        out: list[Frozen] = []
        saved = self._saved
        nodes = self._nodes
        generation = self.generation
        for path in paths:
            frozen = saved.pop(path, None) if saved else None
            if frozen is None:
                node = nodes[path]
                frozen = (path, node.data, node.acl_id, node.encode_persisted())
                node.mark = generation
            out.append(frozen)
        return out

    def close(self) -> None:
        """End the view; the tree stops saving for it."""
        if self._thaw is not None:
            self._thaw()
            self._thaw = None
            self._saved.clear()
            self._paths.clear()
