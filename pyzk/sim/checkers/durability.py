"""What is committed is on the disks of a quorum, from that moment and for ever.

Pure. Only what no crash can take counts as on a disk. So an acknowledgement that was given too
early shows at once, not only when the power fails at the right moment.
"""

from __future__ import annotations

from collections.abc import Callable

from pyzk.quorum.verifier import QuorumVerifier
from pyzk.sim.checkers import Violation
from pyzk.sim.checkers.chain import Chain
from pyzk.zxid import format_zxid


class DurabilityChecker:
    """What the disks of the voters hold."""

    def __init__(
        self, chain: Chain, verifier: QuorumVerifier, durable: dict[int, Callable[[], int]]
    ) -> None:
        """``durable`` returns for each voter the last zxid that survives on its disk."""
        self.voters = tuple(durable)
        self._chain = chain
        self._verifier = verifier
        self._durable = durable

    def holders(self, zxid: int) -> list[int]:
        """Returns the voters whose disks have a transaction."""
        chain = self._chain
        ends = {sid: chain.resolve(last()) for sid, last in self._durable.items()}
        return [sid for sid, end in ends.items() if chain.contains(end, zxid)]

    def committed(self, zxid: int) -> None:
        """Checks a transaction that has become part of the history."""
        holders = self.holders(zxid)
        if not self._verifier.has_quorum(holders):
            raise Violation(
                "durability", f"{format_zxid(zxid)} is delivered, on disk only at {holders}"
            )

    def disk_changed(self, sid: int) -> None:
        """Checks a disk that has lost the end of its log, or has been read by a start."""
        tip = self._chain.tip
        holders = self.holders(tip)
        if not self._verifier.has_quorum(holders):
            raise Violation(
                "durability", f"{format_zxid(tip)} was committed, h{sid} leaves it to {holders}"
            )
