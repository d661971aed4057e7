"""Epochs: numbers that only grow, and one leader for each.

Pure.
"""

from __future__ import annotations

from pyzk.quorum.epochs import Epochs
from pyzk.sim.checkers import Violation
from pyzk.sim.checkers.chain import Chain
from pyzk.zxid import epoch_of, format_zxid


class EpochChecker:
    """The epochs that each server has promised, and the leaders of all epochs."""

    def __init__(self, chain: Chain) -> None:
        self.leaders: dict[int, tuple[int, int]] = {}
        """Epoch -> (sid, life) of the leader that was established in it."""
        self._chain = chain
        self._accepted: dict[int, int] = {}
        self._current: dict[int, int] = {}

    def seen(self, sid: int, epochs: Epochs, last_zxid: int) -> None:
        """Checks the epochs that a server has in memory or, at a start, on its disk."""
        accepted, current = epochs.accepted, epochs.current
        if accepted < current:
            raise Violation("epochs", f"h{sid}: accepted {accepted}, current {current}")
        if current < epoch_of(last_zxid) and accepted < epoch_of(last_zxid):
            raise Violation("epochs", f"h{sid}: {epochs} with {format_zxid(last_zxid)} applied")
        if accepted < self._accepted.get(sid, 0):
            raise Violation("epochs", f"h{sid}: accepted {accepted} after {self._accepted[sid]}")
        if current < self._current.get(sid, 0):
            raise Violation("epochs", f"h{sid}: current {current} after {self._current[sid]}")
        self._accepted[sid] = accepted
        self._current[sid] = current

    def current(self, sid: int) -> int:
        """Returns the epoch in which a server was when it was looked at last."""
        return self._current.get(sid, 0)

    def forget(self, sid: int) -> None:
        """Forgets what a server has promised that has lost its disk."""
        self._accepted.pop(sid, None)
        self._current.pop(sid, None)

    def established(self, sid: int, life: int, epoch: int, base: int) -> None:
        """Checks a leader that begins to serve in a new epoch, with a history up to ``base``."""
        known = self.leaders.setdefault(epoch, (sid, life))
        if known != (sid, life):
            raise Violation("leadership", f"h{sid} leads epoch {epoch}, h{known[0]} did already")
        # Acks that come late may establish it when its followers have gone on to a later epoch.
        earlier = self._chain.tip_before(epoch)
        if not self._chain.contains(base, earlier):
            raise Violation(
                "leader completeness",
                f"h{sid} leads epoch {epoch} with {format_zxid(base)},"
                f" {format_zxid(earlier)} is committed",
            )
