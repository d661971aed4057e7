"""A follower: logs what the leader proposes, acknowledges it, applies what is committed.

Pure. ZooKeeper: Follower, FollowerZooKeeperServer and SendAckRequestProcessor. An ACK is sent when
the log says that the record is durable, ahead of the requests that are queued on the link; a
COMMIT is applied at once, for a quorum's disks have it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pyzk.constants import OpCode
from pyzk.jute.records import QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.learner import Learner
from pyzk.quorum.learner_phases import BROADCAST

if TYPE_CHECKING:
    from pyzk.quorum.link import QuorumLink
    from pyzk.quorum.member import Member


class Follower(Learner):
    """Role: votes on what the leader proposes."""

    def __init__(self, member: Member, leader_sid: int) -> None:
        super().__init__(member, leader_sid, "follower", is_observer=False)
        self._unacknowledged: deque[int] = deque()
        """Zxids of proposals that the log has been given."""

    def packet(self, link: QuorumLink, packet: QuorumPacket) -> None:
        """Takes a packet of the leader. Raises QuorumProtocolError if its time has not come."""
        take = FOLLOWER_PACKETS.get(packet.type) if self.phase == BROADCAST else None
        if take is not None:
            take(self, packet)
        else:
            super().packet(link, packet)

    def stop(self) -> None:
        """Closes the link and serves no longer; what is logged and not applied is left to the
        peer."""
        if self.phase == BROADCAST:
            # What waits for UPTODATE was never logged.
            for zxid, payload, _ in self.sync.uncommitted.queue:
                self.unapplied.append((zxid, payload))
        super().stop()

    def log_synced(self, zxid: int) -> None:
        """Acknowledges what is durable now."""
        super().log_synced(zxid)
        waiting = self._unacknowledged
        if not waiting or waiting[0] > zxid:
            return
        ack = packets.encode_bare
        acks: list[bytes] = []
        while waiting and waiting[0] <= zxid:
            acks.append(ack(packets.ACK, waiting.popleft()))
        self.link.send_ahead(b"".join(acks))

    def _begin_logging(self, zxid: int, payload: bytes) -> None:
        super()._begin_logging(zxid, payload)
        self._unacknowledged.append(zxid)

    def _on_proposal(self, packet: QuorumPacket) -> None:
        """Logs the proposal; its ACK is sent when the log is durable."""
        zxid = packet.zxid
        payload = packets.txn_payload(packet)
        uncommitted = self.sync.uncommitted
        txn = uncommitted.read(zxid, payload)
        if txn.header.type == OpCode.RECONFIG:
            self.sync.see(txn)
        uncommitted.queue.append((zxid, payload, txn))
        self.member.log_txn(zxid, payload)
        self._unacknowledged.append(zxid)
        self.member.server.metrics.learner_proposal_received_count += 1

    def _on_commit(self, packet: QuorumPacket) -> None:
        """Applies the oldest proposal, which the packet must name."""
        queue = self.sync.uncommitted.queue
        if not queue or queue[0][0] != packet.zxid:
            raise self.sync.uncommitted.unknown_commit(packet.zxid)
        _, payload, txn = queue.popleft()
        self._apply(payload, txn)
        self.member.server.metrics.learner_commit_received_count += 1
        self._hold_if_long()

    def _on_commit_and_activate(self, packet: QuorumPacket) -> None:
        """Puts the new configuration in force, and does what COMMIT does."""
        leader = packets.designated_leader(packet)
        queue = self.sync.uncommitted.queue
        if not queue or queue[0][0] != packet.zxid:
            raise self.sync.uncommitted.unknown_commit(packet.zxid)
        self._activate(queue[0][2], leader)
        self._on_commit(packet)


FOLLOWER_PACKETS: Final[dict[int, Callable[[Follower, QuorumPacket], None]]] = {
    packets.PROPOSAL: Follower._on_proposal,
    packets.COMMIT: Follower._on_commit,
    packets.COMMITANDACTIVATE: Follower._on_commit_and_activate,
    packets.PING: Follower._on_ping,
    packets.SYNC: Follower._on_sync,
    packets.REVALIDATE: Follower._on_revalidate,
}
"""What takes which packet in BROADCAST; the phase stays."""
