"""One history, of which every server delivers a prefix.

Pure. The invariants of the Zab specification are five sides of one fact here. A zxid is given once,
by the one leader of its epoch, behind exactly one other; so each zxid stands for a whole history.

    same zxid, same bytes      Integrity, TotalOrder: what is logged is what some leader broadcast
    same zxid, same past       LocalPrimaryOrder, GlobalPrimaryOrder, PrimaryIntegrity
    delivered on one chain     PrefixConsistency, Agreement
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from pyzk.persistence.txnlog import payload_zxid
from pyzk.sim.checkers import Violation
from pyzk.zxid import counter_of, epoch_of, format_zxid, make

_FRAME_HEAD = 12


def payload_of(record: bytes) -> bytes:
    """Return the payload in a framed record."""
    return record[_FRAME_HEAD:-1]


class Chain:
    """All transactions that were logged anywhere, and those that are committed."""

    def __init__(self, committed: Callable[[int, bytes], None]) -> None:
        """``committed`` is told each transaction that becomes part of the history."""
        self.payloads: dict[int, bytes] = {}
        self.first_past: dict[int, int] = {}
        """Epoch -> the zxid that its first transaction follows."""
        self.bases: dict[int, int] = {}
        """Epoch -> the last zxid of the history that its leader began with, which is what (epoch,
        0) stands for."""
        self.committed: list[int] = [0]
        self.index: dict[int, int] = {0: 0}
        self._committed = committed

    @property
    def tip(self) -> int:
        """The zxid of the last transaction that is committed."""
        return self.committed[-1]

    def tip_before(self, epoch: int) -> int:
        """Return the last zxid that is committed and of an earlier epoch."""
        return self.committed[bisect_left(self.committed, make(epoch, 0)) - 1]

    def resolve(self, zxid: int) -> int:
        """Return the zxid of the last transaction of a server whose tree has this zxid."""
        while zxid and not counter_of(zxid):
            base = self.bases.get(epoch_of(zxid))
            if base is None:
                raise Violation("integrity", f"nobody ever led the epoch of {format_zxid(zxid)}")
            zxid = base
        return zxid

    def past(self, zxid: int) -> int:
        """Return the zxid that a transaction follows."""
        if counter_of(zxid) > 1:
            return zxid - 1
        past = self.first_past.get(epoch_of(zxid))
        if past is None:
            raise Violation("integrity", f"{format_zxid(zxid)} is delivered, nobody logged it")
        return past

    def contains(self, tip: int, zxid: int) -> bool:
        """Tell whether ``zxid`` is in the history that ends with ``tip``; both are resolved."""
        epoch = epoch_of(zxid)
        while epoch_of(tip) > epoch:
            tip = self.past(make(epoch_of(tip), 1))
        return epoch_of(tip) == epoch and zxid <= tip

    def logged(self, who: str, last: int, records: list[bytes]) -> int:
        """Take framed records that a server logs behind ``last``; return its new last zxid."""
        for record in records:
            payload = payload_of(record)
            zxid = payload_zxid(payload)
            known = self.payloads.setdefault(zxid, payload)
            if known != payload:
                raise Violation(
                    "total order",
                    f"{who} logs {format_zxid(zxid)} as {payload!r}, it was {known!r}",
                )
            past = self.resolve(last)
            if counter_of(zxid) == 1:
                expected = self.first_past.setdefault(epoch_of(zxid), past)
            else:
                expected = self.past(zxid)
            if past != expected:
                raise Violation(
                    "primary order",
                    f"{who} logs {format_zxid(zxid)} behind {format_zxid(past)},"
                    f" it belongs behind {format_zxid(expected)}",
                )
            last = zxid
        return last

    def delivered(self, who: str, zxid: int) -> None:
        """Check the state that a server shows its clients, that at ``zxid`` (resolved)."""
        if zxid in self.index:
            return
        found = []
        at = zxid
        while at not in self.index:
            found.append(at)
            at = self.past(at)
        if at != self.tip:
            raise Violation(
                "prefix consistency",
                f"{who} delivers {format_zxid(found[-1])} behind {format_zxid(at)};"
                f" committed there was {format_zxid(self.committed[self.index[at] + 1])}",
            )
        for each in reversed(found):
            payload = self.payloads.get(each)
            if payload is None:
                raise Violation("integrity", f"{who} delivers {format_zxid(each)}, never logged")
            self.index[each] = len(self.committed)
            self.committed.append(each)
            self._committed(each, payload)
