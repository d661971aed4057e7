"""How long the syncs of a disk take, and whether the event loop may wait for one itself.

Shell. A write costs two wake-ups of threads if the disk thread syncs it: on a fast disk nearly as
much as the sync (docs/decisions/0029). The loop may sync a small batch itself while syncs are
short. One that took n milliseconds turns that off for n times as long as it took: a disk that
stalls for 0.1 s holds up the loop every 10 s at most, one that stalls for a second every ten
minutes.

ZooKeeper has no such choice: its SyncRequestProcessor is a thread.
"""

from __future__ import annotations

from typing import Final

SHORT_SYNC_S: Final = 0.0005
"""The longest sync that the loop waits for behind a lone write: about as long as it is busy with
the requests of a turn when some dozens of clients send them."""
LONGEST_SYNC_S: Final = 0.001
"""The longest sync that the loop waits for at all."""
MAX_PAUSE_S: Final = 600.0


class SyncTimes:
    """Notes each sync of one disk, and judges by it."""

    __slots__ = ("_not_before_s", "_takes_s")

    def __init__(self) -> None:
        self._takes_s = SHORT_SYNC_S
        """How long a sync takes, as far as that is known: no longer than any since the loop has
        waited for one itself."""
        self._not_before_s = 0.0
        """The time up to which the loop waits for no sync."""

    def are_shorter(self, limit_s: float, now_s: float) -> bool:
        """Tells whether the loop may wait for the next sync, which should take less than
        ``limit_s`` seconds."""
        return self._takes_s < min(limit_s, LONGEST_SYNC_S) and now_s >= self._not_before_s

    def note(self, took_s: float) -> None:
        """Notes a sync of the disk thread, which took no longer than ``took_s``: behind it the
        thread has waited for the interpreter, which a busy loop keeps for longer than a sync."""
        self._takes_s = min(self._takes_s, took_s)

    def note_of_loop(self, took_s: float, now_s: float) -> None:
        """Notes a sync for which the loop has waited, and which has just ended."""
        self._takes_s = took_s
        if took_s >= LONGEST_SYNC_S:
            self._not_before_s = now_s + min(took_s * took_s / LONGEST_SYNC_S, MAX_PAUSE_S)
