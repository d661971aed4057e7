"""How long the proposals of a leader take to be on disk, here and at its learners.

Pure. ZooKeeper: Leader.processAck and AckRequestProcessor, with Request.logLatency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.quorum.txn_times import TxnTimes

if TYPE_CHECKING:
    from pyzk.quorum.member import Member
    from pyzk.quorum.proposals import Proposal
    from pyzk.server.server import Server


class LeaderLatencies:
    """Notes how long proposals take to be durable, for the metrics of their leader."""

    def __init__(self, member: Member, own_bit: int) -> None:
        self._server: Server = member.server
        self._own_bit: int = own_bit
        self._frequency: int = member.ensemble.ack_logging_frequency

    def synced(self, outstanding: dict[int, Proposal], first: int, last: int) -> None:
        """Counts proposals as acknowledged by the leader, whose own disk has them now."""
        server, bit = self._server, self._own_bit
        now_ms = server.clock.wall_ms
        times = TxnTimes()
        for zxid in range(first, last + 1):
            proposal = outstanding[zxid]
            proposal.acks |= bit
            times.add(proposal.request.time)
        times.take(last + 1 - first, now_ms, server.metrics.proposal_ack_creation_latency)

    def acked(self, sid: int, proposal: Proposal, bit: int) -> None:
        """Counts a proposal as acknowledged by a learner; one in so many is timed."""
        proposal.acks |= bit
        request = proposal.request
        if self._frequency > 0 and request.zxid % self._frequency == 0:
            took_ms = self._server.clock.wall_ms - request.time
            if took_ms >= 0:
                self._server.metrics.count_ack(sid, took_ms)
