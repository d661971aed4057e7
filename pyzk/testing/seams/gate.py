"""The gate in front of a paused server: every input waits here until the server goes on.

Shell. A server under SIGSTOP keeps its sockets, its kernel goes on taking connections and bytes,
and its clock jumps when it is continued. Here the loop goes on and the server's inputs (bytes,
lost sockets, answers of the disk, timers) are kept, in order, until the gate opens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Gate:
    """Open, or closed with the inputs that have come since."""

    __slots__ = ("_waiting", "is_closed")

    def __init__(self) -> None:
        self.is_closed = False
        self._waiting: deque[Callable[[], None]] = deque()

    def add(self, call: Callable[[], None]) -> None:
        """Keep a call for when the gate opens."""
        self._waiting.append(call)

    def open(self) -> None:
        """Make the calls that have waited; one of them may close the gate again."""
        self.is_closed = False
        while self._waiting and not self.is_closed:
            self._waiting.popleft()()

    def clear(self) -> None:
        """Open, and forget what has waited."""
        self.is_closed = False
        self._waiting.clear()
