"""An observer: applies what has been committed, and has no vote.

Pure. Answers to Observer and ObserverZooKeeperServer. INFORM is PROPOSAL and COMMIT in one; it is
logged, unless syncEnabled=false says that this observer gets everything anew when it starts, and
nobody waits for an ACK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.quorum import packets
from pyzk.quorum.learner import BROADCAST, Handlers
from pyzk.quorum.learner_sync import Proposal, SyncedLearner

if TYPE_CHECKING:
    from pyzk.jute.records import QuorumPacket
    from pyzk.quorum.member import Member


class Observer(SyncedLearner):
    """Role: hears of what is committed."""

    def __init__(self, member: Member, leader_sid: int) -> None:
        super().__init__(member, leader_sid, "observer", is_observer=True)
        self._has_log: bool = member.ensemble.sync_enabled

    def _phases(self) -> dict[int, Handlers]:
        table = super()._phases()
        table[BROADCAST].update(
            {
                packets.INFORM: self._on_inform,
                packets.INFORMANDACTIVATE: self._on_inform_and_activate,
                packets.PROPOSAL: self._on_nothing,
                packets.COMMIT: self._on_nothing,
                packets.COMMITANDACTIVATE: self._on_nothing,
            }
        )
        return table

    def _transactions(self) -> Handlers:
        return {
            **super()._transactions(),
            packets.INFORM: self._on_inform_in_sync,
            packets.INFORMANDACTIVATE: self._on_inform_and_activate_in_sync,
        }

    def gauges(self) -> dict[str, int]:
        """Whom it hears from."""
        return {"observer_master_id": self.leader_sid}

    def _log(self, zxid: int, payload: bytes) -> None:
        member = self.member
        if self._has_log:
            member.log_txn(zxid, payload)
        else:
            member.database.log_complete_after = zxid

    def _on_inform(self, packet: QuorumPacket) -> None:
        self._inform(packet.zxid, packets.txn_payload(packet))

    def _on_inform_and_activate(self, packet: QuorumPacket) -> None:
        leader, payload = packets.inform_and_activate(packet)
        self._activate(self._inform(packet.zxid, payload), leader)

    def _inform(self, zxid: int, payload: bytes) -> Proposal:
        proposal = zxid, payload, self._decode(zxid, payload)
        self._log(zxid, payload)
        self._apply(proposal)
        self.member.server.metrics.learner_commit_received_count += 1
        return proposal

    def _on_nothing(self, packet: QuorumPacket) -> None:
        """What is meant for those who vote."""
