"""What occurs most often among very many things, in bounded memory: paths, addresses of clients.

Pure. ZooKeeper: PathStats, which keeps every path of an hour. Here the rarest give way: when there
are twice as many as are kept, only the most frequent stay, and what comes anew begins with the
number of the greatest that went. So no number is too small, and none is too great by more than that
(Metwally, Agrawal, El Abbadi: "Efficient computation of frequent and top-k elements", 2005).
"""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING, Final

from pyzk.server.operation_names import WITHOUT_PATH, paths_of

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.operations import ReadHandler, WriteDecoder
    from pyzk.server.server import Server

KEPT_FOR_EACH: Final = 10
"""For each one that is told so many are kept: the numbers of the greatest are all the closer."""
MAX_PATH_CHARS: Final = 256
"""A longer path is cut: a client may send paths of a megabyte."""


class Frequent:
    """Counts things by name, the rarest only by chance."""

    def __init__(self, told: int) -> None:
        """``told`` is how many of the most frequent are asked for later."""
        self.told: int = told
        self.error: int = 0
        """By so much a number may be too great."""
        self._kept: int = told * KEPT_FOR_EACH
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, name: str, count: int = 1) -> None:
        """Count a thing ``count`` times."""
        counts = self._counts
        known = counts.get(name)
        if known is None:
            if len(counts) >= 2 * self._kept:
                self._prune()
            known = self.error
        self._counts[name] = known + count

    def _prune(self) -> None:
        ordered = nlargest(self._kept + 1, self._counts.items(), key=_count_of)
        self.error = ordered.pop()[1]
        self._counts = dict(ordered)

    def most(self, more: dict[str, int] | None = None) -> list[tuple[str, int]]:
        """Return (name, number) of the most frequent, the first first; ``more`` is added for this
        once."""
        counts = self._counts
        if more:
            counts = dict(counts)
            for name, count in more.items():
                counts[name] = counts.get(name, self.error) + count
        return nlargest(self.told, counts.items(), key=_count_of)


def _count_of(item: tuple[str, int]) -> int:
    return item[1]


class Tops:
    """What one server counts in this way."""

    def __init__(self, paths: int, clients: int) -> None:
        """``paths`` and ``clients`` are how many of each are told; 0 counts none."""
        self.paths: TopPaths | None = TopPaths(paths) if paths else None
        self.clients: Frequent | None = Frequent(clients) if clients else None
        """The requests of the clients that have gone, by address; those of the others are with
        their connections."""


class TopPaths:
    """Counts the paths of requests: stands in front of what reads and decodes them, where it is
    switched on, and nowhere else."""

    def __init__(self, told: int) -> None:
        self.counted: Frequent = Frequent(told)

    def of_reads(self, reads: dict[int, ReadHandler]) -> dict[int, ReadHandler]:
        """Return the same reads, which are counted when they are answered."""
        return {
            opcode: handler if opcode in WITHOUT_PATH else self._read(opcode, handler)
            for opcode, handler in reads.items()
        }

    def of_writes(self, writes: dict[int, WriteDecoder]) -> dict[int, WriteDecoder]:
        """Return the same writes, which are counted when they come."""
        return {
            opcode: decoder if opcode in WITHOUT_PATH else self._write(opcode, decoder)
            for opcode, decoder in writes.items()
        }

    def _read(self, opcode: int, handler: ReadHandler) -> ReadHandler:
        def counted(
            server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
        ) -> bytes:
            self._count(opcode, buffer, offset, end)
            return handler(server, connection, xid, buffer, offset, end)

        return counted

    def _write(self, opcode: int, decoder: WriteDecoder) -> WriteDecoder:
        def counted(buffer: bytes, offset: int, end: int) -> object:
            self._count(opcode, buffer, offset, end)
            return decoder(buffer, offset, end)

        return counted

    def _count(self, opcode: int, buffer: bytes, offset: int, end: int) -> None:
        for path in paths_of(opcode, buffer, offset, end):
            self.counted.add(path[:MAX_PATH_CHARS])
