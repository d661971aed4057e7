"""The trace of a run: a line for each event, and a hash of everything.

Pure. Changes of state are always traced; packets, deliveries and storage only with ``is_verbose``.
The hash covers every byte that was delivered, and when, whether or not there is a line for it: two
runs of one seed must have the same hash. docs/simulator.md explains the columns.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from typing import Final

KEPT_LINES: Final = 200


class Trace:
    """The lines, and the running hash."""

    def __init__(self, is_verbose: bool = False, write: Callable[[str], object] | None = None):
        self.is_verbose = is_verbose
        self.write = write
        """Takes each line as it comes; with None only the last lines are kept."""
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.hash = 0
        self.count = 0

    def line(self, time_us: int, who: str, text: str) -> None:
        """Note a change of state."""
        line = f"{time_us // 1000:6}.{time_us % 1000:03} {who:<34} {text}"
        self.count += 1
        self.hash = zlib.crc32(line.encode("utf-8"), self.hash)
        self.lines.append(line)
        if self.write is not None:
            self.write(line)

    def add(self, time_us: int, data: bytes) -> None:
        """Take bytes that were delivered into the hash."""
        self.hash = zlib.crc32(data, self.hash ^ time_us & 0xFFFFFFFF)
