"""How much a server applies before others have their turn.

Pure. ZooKeeper has no counterpart: there, other threads serve other clients meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyzk.server.server import Server


class Piece:
    """What one input may have applied before others have their turn."""

    __slots__ = ("_limit", "_server")

    def __init__(self, server: Server) -> None:
        self._server = server
        self._limit = 0

    def begin(self) -> None:
        """Begin another piece."""
        server = self._server
        self._limit = server.tree.watches.work + server.marks.piece_work

    def is_over(self) -> bool:
        """Tell whether others have to have their turn. Then `Peer.go_on` is called for the rest."""
        server = self._server
        if server.tree.watches.work <= self._limit:
            return False
        server.outbox.is_unfinished = True
        return True
