"""A follower: logs what the leader proposes, acknowledges it, applies what is committed.

Pure. Answers to Follower, FollowerZooKeeperServer and SendAckRequestProcessor. An ACK is sent when
the log says that the record is durable, ahead of requests of clients that wait for the line; a
COMMIT is applied at once, for a quorum's disks have it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pyzk.quorum import packets
from pyzk.quorum.learner import BROADCAST, Handlers
from pyzk.quorum.learner_sync import SyncedLearner

if TYPE_CHECKING:
    from pyzk.jute.records import QuorumPacket
    from pyzk.quorum.member import Member


class Follower(SyncedLearner):
    """Role: votes on what the leader proposes."""

    def __init__(self, member: Member, leader_sid: int) -> None:
        super().__init__(member, leader_sid, "follower", is_observer=False)
        self._unacknowledged: deque[int] = deque()
        """Zxids of proposals that the log has been given."""

    def _phases(self) -> dict[int, Handlers]:
        table = super()._phases()
        table[BROADCAST].update(
            {
                packets.PROPOSAL: self._on_proposal,
                packets.COMMIT: self._on_commit,
                packets.COMMITANDACTIVATE: self._on_commit_and_activate,
            }
        )
        return table

    def _voters(self) -> int:
        return len(self.member.membership.voters)

    def log_synced(self, zxid: int) -> None:
        """Acknowledge what is durable now."""
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
        self._log(zxid, payload)
        self._unacknowledged.append(zxid)

    def _on_proposal(self, packet: QuorumPacket) -> None:
        zxid = packet.zxid
        payload = packets.txn_payload(packet)
        self.uncommitted.append((zxid, payload, self._decode(zxid, payload)))
        self.member.log_txn(zxid, payload)
        self._unacknowledged.append(zxid)
        self.member.server.metrics.learner_proposal_received_count += 1

    def _on_commit(self, packet: QuorumPacket) -> None:
        uncommitted = self.uncommitted
        if not uncommitted or uncommitted[0][0] != packet.zxid:
            raise self._unknown_commit(packet.zxid, 0)
        self._apply(uncommitted.popleft())
        self.member.server.metrics.learner_commit_received_count += 1

    def _on_commit_and_activate(self, packet: QuorumPacket) -> None:
        leader = packets.designated_leader(packet)
        uncommitted = self.uncommitted
        head = uncommitted[0] if uncommitted else None
        self._on_commit(packet)
        assert head is not None, packet
        self._activate(head, leader)
