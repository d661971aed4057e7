"""A view of the tree at one moment, read piece by piece while transactions go on.

Pure. The original writes fuzzy snapshots (some of it older, some newer); this view is exact. It
holds the znodes as they are now, and the tree changes none of them while the view is open: it puts
a changed copy in the place of one, once, and changes the copy from then on. So the view can be read
by another thread, and costs the event loop nothing for a znode that does not change. Several views
may be open, for the disk and for each learner that is sent a snapshot: a view has the znodes whose
``mark`` is below its generation, and a copy is marked with the generation of the newest open view.
The usage that quotas count is not covered: a start counts it anew.
"""

from __future__ import annotations

from collections.abc import Callable

from pyzk.data.node import DataNode

Frozen = tuple[str, bytes | None, int, bytes]
"""A znode in a view: path, data, ACL id, the 60 bytes of StatPersisted."""


class SnapshotView:
    """Holds the znodes of one moment, parents first; ``close`` must be called in the end."""

    def __init__(
        self, nodes: dict[str, DataNode], generation: int, thaw: Callable[[SnapshotView], None]
    ) -> None:
        self.generation = generation
        self.total = len(nodes)
        """Return how many znodes the view has."""
        # Reversed, so that what has been read can be let go at the end, piece by piece.
        self._paths = list(nodes)
        self._nodes = list(nodes.values())
        self._paths.reverse()
        self._nodes.reverse()
        self._thaw: Callable[[SnapshotView], None] | None = thaw

    def read(self, limit: int) -> list[Frozen]:
        """Return the next znodes, at most ``limit``; an empty list when all have been read, or the
        view is closed. Any one thread may do this."""
        if self._thaw is None:
            return []
        paths = self._paths[-limit:]
        nodes = self._nodes[-limit:]
        del self._paths[-limit:]
        del self._nodes[-limit:]
        out: list[Frozen] = []
        for index in range(len(paths) - 1, -1, -1):
            node = nodes[index]
            out.append((paths[index], node.data, node.acl_id, node.encode_persisted()))
        return out

    def close(self) -> None:
        """End the view: the tree need not leave znodes to it any more."""
        if self._thaw is not None:
            thaw, self._thaw = self._thaw, None
            thaw(self)
