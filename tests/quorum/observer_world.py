"""A follower that observers follow: the leader is a script, and a test speaks for the observers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyzk.jute.records import Id, QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.commands import ListenForObservers, ReadLog, StorageCommand
from pyzk.quorum.follower import Follower
from pyzk.quorum.link import QuorumLink
from pyzk.quorum.observer_master import ObserverMaster
from pyzk.quorum.packets import ForwardedRequest, describe
from pyzk.quorum.snapshot_stream import SnapshotPart
from pyzk.quorum.stream import QuorumStream
from pyzk.server.outbox import Outgoing
from pyzk.zxid import make
from tests.quorum.learner_world import UPTODATE, LearnerWorld, diff, new_leader
from tests.transactions import SESSION

PORT = 2191


class MasterWorld(LearnerWorld):
    """Server 1, which follows server 3 and takes observers."""

    def __init__(self, history: Sequence[bytes] = (), **settings: Any) -> None:
        super().__init__(history, **{"observer_master_port": PORT, **settings})
        self.ports: list[tuple[str, int]] = []
        """The places at which observers are taken."""
        self.records: list[tuple[int, bytes]] | None = None
        """What a ReadLog finds."""
        self.leader_reads = True
        """Whether the leader takes what is sent."""

    @property
    def follower(self) -> Follower:
        role = self.role
        assert isinstance(role, Follower), role
        return role

    @property
    def master(self) -> ObserverMaster:
        master = self.follower.observers
        assert master is not None, "it takes no observers"
        return master

    def begin(self, *sent: bytes, epoch: int = 1) -> None:
        """Become a follower that serves; ``sent`` comes ahead of UPTODATE."""
        self.discover(epoch)
        self.hear(diff(self.database.last_zxid), new_leader(epoch))
        self.sync()
        self.hear(*sent, UPTODATE)
        self.sync()
        assert self.role.over is None, self.role.over
        self.did.clear()

    def end(self, reason: str = "reset") -> None:
        """The link with the leader breaks."""
        self.link.lost(reason)
        self.role.stop()
        self.settle()

    # --- effects

    def listen_for_observers(self, command: ListenForObservers) -> None:
        self.ports = [(each.host, command.port) for each in command.server.addresses]

    def stop_listening_for_observers(self) -> None:
        self.ports = []

    def order(self, command: StorageCommand) -> None:
        if isinstance(command, ReadLog):
            self.orders.append(command)
        else:
            super().order(command)

    def answer_log(self) -> None:
        """The disk has read what an observer needs."""
        command = self.orders.pop(0)
        assert isinstance(command, ReadLog), command
        self.member.answered(command.ticket)
        self.role.log_read(command.ticket, self.records)
        self.settle()

    def send(self, link: Outgoing) -> None:
        assert isinstance(link, QuorumLink), link
        observer = link.shell
        if isinstance(observer, Puppet):
            observer.take()
        elif self.leader_reads:
            super().send(link)

    # --- observers

    def observer(self, sid: int = 4) -> Puppet:
        """Connect an observer that has said nothing yet."""
        link = self.follower.observer_accepted(f"host{sid}:40000")
        assert link is not None, "refused"
        return Puppet(self, link, sid)

    def joined(self, sid: int = 4, zxid: int = 0) -> Puppet:
        """Connect an observer that ends at ``zxid``, and bring it to UPTODATE."""
        observer = self.observer(sid)
        observer.info()
        observer.ack_epoch(zxid)
        observer.ack(make(self.follower.epoch, 0))
        assert observer.fresh()[-1] == "UPTODATE", observer.got
        observer.ack(make(self.follower.epoch, 0))
        return observer

    def beat(self, *alive: Puppet, times: int = 1) -> None:
        """Let half ticks pass, in each of which the leader and these observers are heard."""
        for _ in range(times):
            for observer in alive:
                observer.send(packets.encode_ping_reply(0, {}))
            self.hear(packets.encode_bare(packets.PING, 0))
            self.pass_time(self.clock.now_ms + self.member.tick_ms // 2)
            self.wake()


class Puppet:
    """What a test sends in an observer's name, and what has come for it."""

    def __init__(self, world: MasterWorld, link: QuorumLink, sid: int) -> None:
        self.world = world
        self.link = link
        link.shell = self
        self.sid = sid
        self.packets: list[QuorumPacket] = []
        self.parts: list[SnapshotPart] = []
        self.reads = True
        """Whether it takes what is sent."""
        self._stream = QuorumStream()
        self._seen = 0

    def take(self) -> None:
        """Read what is queued."""
        while self.reads and (data := self.link.take()):
            for item in self._stream.feed(data):
                if isinstance(item, QuorumPacket):
                    self.packets.append(item)
                else:
                    self.parts.append(item)

    def send(self, *data: bytes) -> None:
        """Say something, in one piece."""
        self.link.receive(b"".join(data))
        self.world.settle()

    def is_closed(self) -> bool:
        return self.link.is_closed

    def is_paused(self) -> bool:
        return self.link.is_paused

    @property
    def got(self) -> list[str]:
        return [describe(packet) for packet in self.packets]

    def fresh(self) -> list[str]:
        """Return what has come since this was asked last, PINGs left out."""
        new = self.packets[self._seen :]
        self._seen = len(self.packets)
        return [describe(packet) for packet in new if packet.type != packets.PING]

    def info(self, accepted: int = 1, version: int = 0, *, is_observer: bool = True) -> None:
        self.send(packets.encode_learner_info(self.sid, accepted, version, is_observer=is_observer))

    def ack_epoch(self, zxid: int = 0, current: int = packets.NOT_COUNTED) -> None:
        self.send(packets.encode_ack_epoch(zxid, current))

    def ack(self, zxid: int) -> None:
        self.send(packets.encode_bare(packets.ACK, zxid))

    def request(self, kind: int, body: bytes, session: int = SESSION, cxid: int = 1) -> None:
        ids = [Id("ip", "127.0.0.1")]
        self.send(packets.encode_request(ForwardedRequest(session, cxid, kind, body, ids)))

    def revalidate(self, session: int = SESSION, timeout_ms: int = 6000) -> None:
        self.send(packets.encode_revalidate(session, timeout_ms))

    def pings(self, touched: dict[int, int]) -> None:
        self.send(packets.encode_ping_reply(0, touched))
