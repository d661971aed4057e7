"""The last transactions that were committed, as bytes: what brings a learner up to date.

Pure. Answers to ZKDatabase.committedLog. Every member has them, for it may become leader. Every
applied transaction enters, also those that came during a synchronization (ZOOKEEPER-4925); what
replaces the database empties it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

MAX_BYTES: Final = 1 << 26
"""The most bytes of transactions that are kept, however few they are; the original has no such
limit."""


class CommittedLog:
    """Holds the newest ``limit`` transactions, in order: zxid and payload."""

    __slots__ = ("_bytes", "limit", "payloads", "zxids")

    def __init__(self, limit: int) -> None:
        self.limit: int = limit
        self.zxids: deque[int] = deque()
        self.payloads: deque[bytes] = deque()
        self._bytes: int = 0

    def append(self, zxid: int, payload: bytes) -> None:
        """Add the next transaction; the oldest ones leave when there are too many."""
        self.zxids.append(zxid)
        self.payloads.append(payload)
        self._bytes += len(payload)
        while len(self.zxids) > self.limit or self._bytes > MAX_BYTES:
            self.zxids.popleft()
            self._bytes -= len(self.payloads.popleft())
            if not self.zxids:
                break

    def clear(self) -> None:
        """Forget every transaction, because the database is another one."""
        self.zxids.clear()
        self.payloads.clear()
        self._bytes = 0

    def payload(self, zxid: int) -> bytes:
        """Return the bytes of a transaction that the log has. Raises KeyError."""
        for position, each in enumerate(self.zxids):
            if each == zxid:
                return self.payloads[position]
        raise KeyError(zxid)
