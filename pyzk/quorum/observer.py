"""An observer: applies what has been committed, and has no vote.

Pure. ZooKeeper: Observer and ObserverZooKeeperServer. INFORM is PROPOSAL and COMMIT in one; it is
logged, unless syncEnabled=false says that this observer gets everything anew when it starts, and
nobody waits for an ACK. Whom it follows says `observer_dial`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pyzk.data.txn import LoggedTxn
from pyzk.jute.records import QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.leader_pulse import LeaderPulse
from pyzk.quorum.learner import Learner
from pyzk.quorum.learner_phases import BROADCAST
from pyzk.quorum.observer_dial import ObserverDial

if TYPE_CHECKING:
    from pyzk.quorum.link import QuorumLink
    from pyzk.quorum.member import Member


class Observer(Learner):
    """Role: hears of what is committed."""

    def __init__(self, member: Member, leader_sid: int) -> None:
        super().__init__(member, leader_sid, "observer", is_observer=True)
        self._dial = ObserverDial(member, leader_sid)
        self.pulse: LeaderPulse = LeaderPulse()

    def start(self) -> None:
        """Begins to connect with the leader or an observer master, now or a little later."""
        self._dial.begin()
        if self._dial.at_ms is None:
            self._try()

    def packet(self, link: QuorumLink, packet: QuorumPacket) -> None:
        """Takes a packet of the leader. Raises QuorumProtocolError if its time has not come."""
        take = OBSERVER_PACKETS.get(packet.type) if self.phase == BROADCAST else None
        if take is not None:
            take(self, packet)
        else:
            super().packet(link, packet)
            if self.phase == BROADCAST:
                self.member.masters.follows(self.leader_sid, self.member.election_round)

    def gauges(self) -> dict[str, int]:
        """Returns the id of the server that this observer hears from."""
        return {"observer_master_id": self.sync.source_sid}

    def _on_ping(self, packet: QuorumPacket) -> None:
        """Notes how far its master is, and answers."""
        self.pulse.heard(packet.zxid, self.member.clock)
        super()._on_ping(packet)

    def _on_inform(self, packet: QuorumPacket) -> None:
        """Logs and applies the transaction."""
        self._inform(packet.zxid, packets.txn_payload(packet))

    def _on_inform_and_activate(self, packet: QuorumPacket) -> None:
        """Puts the new configuration in force, and does what INFORM does."""
        leader, payload = packets.inform_and_activate(packet)
        txn = self.sync.uncommitted.read(packet.zxid, payload)
        self._activate(txn, leader)
        self._learn(packet.zxid, payload, txn)

    def _inform(self, zxid: int, payload: bytes) -> None:
        self._learn(zxid, payload, self.sync.uncommitted.read(zxid, payload))

    def _learn(self, zxid: int, payload: bytes, txn: LoggedTxn) -> None:
        self.sync.log(zxid, payload)
        self._apply(payload, txn)
        self.member.server.metrics.learner_commit_received_count += 1
        self._hold_if_long()

    def _on_nothing(self, packet: QuorumPacket) -> None:
        """Does nothing: the packet is meant for those who vote."""


OBSERVER_PACKETS: Final[dict[int, Callable[[Observer, QuorumPacket], None]]] = {
    packets.INFORM: Observer._on_inform,
    packets.INFORMANDACTIVATE: Observer._on_inform_and_activate,
    packets.PROPOSAL: Observer._on_nothing,
    packets.COMMIT: Observer._on_nothing,
    packets.COMMITANDACTIVATE: Observer._on_nothing,
    packets.PING: Observer._on_ping,
    packets.SYNC: Observer._on_sync,
    packets.REVALIDATE: Observer._on_revalidate,
}
"""What takes which packet in BROADCAST; the phase stays."""
