"""What is committed is on the disks of a quorum, from that moment and for ever.

Pure. The quorum is one of the configuration that is in force then; a change of the configuration
needs one of the next, too, and what stays on the disks is asked of the newest only. Only what no
crash can take counts as on a disk. So an acknowledgement that was given too early shows at once,
not only when the power fails at the right moment.
"""

from __future__ import annotations

from collections.abc import Callable

from pyzk.sim.checkers import Violation
from pyzk.sim.checkers.chain import Chain
from pyzk.sim.checkers.configs import ConfigChecker
from pyzk.zxid import format_zxid


class DurabilityChecker:
    """What the disks of all machines hold."""

    def __init__(
        self, chain: Chain, configs: ConfigChecker, durable: dict[int, Callable[[], int]]
    ) -> None:
        """``durable`` returns for each machine the last zxid that survives on its disk."""
        self.lost: dict[int, None] = {}
        """The voters that have lost their data and have not been synchronized again: until then
        they do not vote, so that every quorum is one of the others."""
        self._chain = chain
        self._configs = configs
        self._durable = durable

    def holders(self, zxid: int) -> list[int]:
        """Returns the machines whose disks have a transaction."""
        chain = self._chain
        ends = {sid: chain.resolve(last()) for sid, last in self._durable.items()}
        return [sid for sid, end in ends.items() if sid in self.lost or chain.contains(end, zxid)]

    def committed(self, zxid: int) -> None:
        """Checks a transaction that has become part of the history."""
        holders = self.holders(zxid)
        for verifier in self._configs.verifiers_for(zxid):
            if not verifier.has_quorum(holders):
                raise Violation(
                    "durability",
                    f"{format_zxid(zxid)} is delivered, on disk only at {holders};"
                    f" no quorum of version {verifier.version:x}",
                )

    def disk_changed(self, sid: int) -> None:
        """Checks a disk that has lost the end of its log, or has been read by a start."""
        tip = self._chain.tip
        holders = self.holders(tip)
        if not self._configs.verifiers[-1].has_quorum(holders):
            raise Violation(
                "durability", f"{format_zxid(tip)} was committed, h{sid} leaves it to {holders}"
            )
