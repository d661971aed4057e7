"""A follower: logs what the leader proposes, acknowledges it, applies what is committed.

Pure. ZooKeeper: Follower, FollowerZooKeeperServer and SendAckRequestProcessor. An ACK is sent when
the log says that the record is durable, ahead of the requests that are queued on the link; a
COMMIT is applied at once, for a quorum's disks have it. From UPTODATE on it takes observers, if
observerMasterPort is set (`observer_master`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pyzk.constants import OpCode
from pyzk.jute.records import QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.forwarding import encode_too_late
from pyzk.quorum.leader_pulse import LeaderPulse
from pyzk.quorum.learner import Learner
from pyzk.quorum.learner_phases import BROADCAST
from pyzk.quorum.observer_master import ObserverMaster
from pyzk.quorum.txn_times import TxnTimes

if TYPE_CHECKING:
    from pyzk.quorum.link import QuorumLink
    from pyzk.quorum.member import Member
    from pyzk.server.request import Request


class Follower(Learner):
    """Role: votes on what the leader proposes."""

    def __init__(self, member: Member, leader_sid: int) -> None:
        super().__init__(member, leader_sid, "follower", is_observer=False)
        self._unacknowledged: deque[int] = deque()
        """Zxids of proposals that the log has been given."""
        self._made: TxnTimes = TxnTimes()
        """When those were made."""
        self.observers: ObserverMaster | None = None
        """The observers that follow this server, while it serves; None if it takes none."""
        self.pulse: LeaderPulse = LeaderPulse()

    def packet(self, link: QuorumLink, packet: QuorumPacket) -> None:
        """Takes a packet of the leader. Raises QuorumProtocolError if its time has not come."""
        take = FOLLOWER_PACKETS.get(packet.type) if self.phase == BROADCAST else None
        if take is not None:
            take(self, packet)
        else:
            super().packet(link, packet)
            if self.phase == BROADCAST and not self.is_over:
                self._take_observers()

    def _take_observers(self) -> None:
        """Opens the port for observers, if there is to be one: UPTODATE has come."""
        member = self.member
        sessions = self._sessions
        assert sessions is not None, self.phase
        if member.ensemble.observer_master_port:
            master = ObserverMaster(member, self.epoch, self.link, self.asked, sessions)
            self.observers = master
            master.start()

    def observer_accepted(self, name: str) -> QuorumLink | None:
        """Returns the link with an observer that has connected; None if none is taken."""
        master = self.observers
        return None if master is None or master.over is not None else master.accept(name)

    def stop(self) -> None:
        """Closes the links and serves no longer; what is logged and not applied is left to the
        peer."""
        master, self.observers = self.observers, None
        if master is not None:
            master.stop()
        if self.phase == BROADCAST:
            # What waits for UPTODATE was never logged.
            for zxid, payload, _ in self.sync.uncommitted.queue:
                self.unapplied.append((zxid, payload))
        super().stop()

    # --- the observers that follow ----------------------------------------------------

    def flush(self) -> None:
        """Lets clients and observers go on after an input."""
        master = self.observers
        if master is not None:
            master.flush()
        super().flush()

    def wake(self) -> None:
        """Looks at the clock, for the leader and for observers."""
        master = self.observers
        if master is not None:
            master.wake()
        super().wake()

    @property
    def deadline(self) -> int | None:
        """The monotonic ms at which something is due, with the leader or with observers."""
        due = self._leader_deadline()
        master = self.observers
        if master is None:
            return due
        return master.deadline if due is None or master.deadline < due else due

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        """Takes the records that an observer needs from the log."""
        master = self.observers
        if master is not None:
            master.log_read(ticket, records)

    def gauges(self) -> dict[str, int]:
        """Returns what mntr shows of a follower: something if it takes observers."""
        master = self.observers
        return super().gauges() if master is None else master.gauges()

    def submit(self, request: Request) -> None:
        """Sends a write, or a sync, to the leader, unless its session has written at an observer
        since."""
        places = self.asked.places
        if places is not None and places.refuses(
            request.opcode, request.client_id, self.member.server
        ):
            self.link.send(encode_too_late(request.client_id, request.cxid))
        else:
            super().submit(request)

    # --- what the leader proposes and commits -----------------------------------------

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
        server = self.member.server
        latency = server.metrics.proposal_ack_creation_latency
        self._made.take(len(acks), server.clock.wall_ms, latency)
        self.link.send_ahead(b"".join(acks))

    def _begin_logging(self, zxid: int, payload: bytes) -> None:
        super()._begin_logging(zxid, payload)
        self._unacknowledged.append(zxid)
        self._made.add(self.member.clock.wall_ms)

    def _on_ping(self, packet: QuorumPacket) -> None:
        """Notes how far the leader is, and answers."""
        self.pulse.heard(packet.zxid, self.member.clock)
        super()._on_ping(packet)

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
        made_ms = txn.header.time
        self._made.add(made_ms)
        server = self.member.server
        metrics = server.metrics
        metrics.learner_proposal_received_count += 1
        took_ms = server.clock.wall_ms - made_ms
        if took_ms >= 0:
            metrics.proposal_latency.add(took_ms)

    def _on_commit(self, packet: QuorumPacket) -> None:
        """Applies the oldest proposal, which the packet must name."""
        zxid = packet.zxid
        queue = self.sync.uncommitted.queue
        if not queue or queue[0][0] != zxid:
            raise self.sync.uncommitted.unknown_commit(zxid)
        _, payload, txn = queue.popleft()
        self._apply(payload, txn)
        self.member.server.metrics.learner_commit_received_count += 1
        master = self.observers
        if master is not None:
            master.committed(zxid, payload)
        self._hold_if_long()

    def _on_commit_and_activate(self, packet: QuorumPacket) -> None:
        """Puts the new configuration in force, and does what COMMIT does."""
        leader = packets.designated_leader(packet)
        zxid = packet.zxid
        queue = self.sync.uncommitted.queue
        if not queue or queue[0][0] != zxid:
            raise self.sync.uncommitted.unknown_commit(zxid)
        _, payload, txn = queue.popleft()
        self._activate(txn, leader)
        self._apply(payload, txn)
        self.member.server.metrics.learner_commit_received_count += 1
        master = self.observers
        if master is not None:
            master.activated(zxid, leader, payload)
        self._hold_if_long()


FOLLOWER_PACKETS: Final[dict[int, Callable[[Follower, QuorumPacket], None]]] = {
    packets.PROPOSAL: Follower._on_proposal,
    packets.COMMIT: Follower._on_commit,
    packets.COMMITANDACTIVATE: Follower._on_commit_and_activate,
    packets.PING: Follower._on_ping,
    packets.SYNC: Follower._on_sync,
    packets.REVALIDATE: Follower._on_revalidate,
}
"""What takes which packet in BROADCAST; the phase stays."""
