"""The bytes behind a SNAP packet, made piece by piece as the learner takes them.

Pure. ZooKeeper: ZKDatabase.serializeSnapshot. `quorum.snapshot_load` reads it.

Where this differs from ZooKeeper, on purpose: a snapshot is of one moment, that of the SNAP
packet's zxid (`data.snapshot_view`). ZooKeeper's is fuzzy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pyzk.data.database import FrozenDatabase
from pyzk.data.serialize import encode_nodes, encode_tables
from pyzk.quorum.snapshot_stream import END

PIECE_BYTES: Final = 1 << 16
"""The least bytes of a piece, but of the last."""
PIECE_ZNODES: Final = 16
"""The znodes that are encoded at a time: each may have a mebibyte."""


class SnapshotChunks:
    """The bytes behind a SNAP packet, made when they are taken."""

    def __init__(self, frozen: FrozenDatabase) -> None:
        self._frozen: FrozenDatabase = frozen
        self._has_begun: bool = False
        self._taken: int = 0
        self._seen: int = 0
        self.is_exhausted: bool = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Returns the next piece."""
        if self.is_exhausted:
            raise StopIteration
        frozen = self._frozen
        self._taken += 1
        out: list[bytes] = []
        size = 0
        if not self._has_begun:
            self._has_begun = True
            out.append(encode_tables(frozen.sessions, frozen.acls))
        while size < PIECE_BYTES:
            nodes = frozen.nodes.read(PIECE_ZNODES)
            if not nodes:
                out.append(END)
                self.close()
                break
            piece = encode_nodes(nodes)
            out.append(piece)
            size += len(piece)
        return b"".join(out)

    def has_progressed(self) -> bool:
        """Tells whether a piece was taken since this was asked last."""
        taken, self._seen = self._seen, self._taken
        return taken != self._seen

    def close(self) -> None:
        """Lets the tree change without saving old znodes; the link must be gone, too."""
        self.is_exhausted = True
        self._frozen.close()
