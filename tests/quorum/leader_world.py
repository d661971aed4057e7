"""A leader without sockets, files or time, and learners that a test speaks for.

The disk answers at once, or when told (``hold``, ``answer``); the clock moves when told.
``Learner`` sends encoded packets through the link and decodes every byte that comes back.
"""

from __future__ import annotations

from typing import Any

from pyzk.config.ensemble import EnsembleConfig
from pyzk.config.members import Membership, parse_membership
from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.data.database import Database
from pyzk.data.txn import decode_txn
from pyzk.jute.records import Id, QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.commands import (
    ListenForLearners,
    ReadLog,
    SaveEpoch,
    StopListening,
    StorageCommand,
)
from pyzk.quorum.epochs import Epochs
from pyzk.quorum.leader import Leader
from pyzk.quorum.link import QuorumLink
from pyzk.quorum.packets import ForwardedRequest, describe
from pyzk.quorum.snapshot_stream import SnapshotPart
from pyzk.quorum.stream import QuorumStream
from pyzk.server.marks import Marks
from pyzk.server.outbox import Command, Outgoing, TakeSnapshot
from pyzk.zxid import make
from tests.frames import create_request
from tests.quorum.one_role import OneRoleWorld
from tests.transactions import SESSION, database_of

TICK_MS = 100
INIT_TICKS = 10
SYNC_TICKS = 5


def membership(voters: int = 3, observers: int = 0) -> Membership:
    lines = []
    for sid in range(1, voters + observers + 1):
        kind = "participant" if sid <= voters else "observer"
        port = 2000 + 10 * sid
        lines.append(f"server.{sid}=127.0.0.1:{port}:{port + 1}:{kind};0.0.0.0:{port + 2}")
    return parse_membership("\n".join([*lines, "version=0"]).encode())


class LeaderWorld(OneRoleWorld):
    """One leader, its disk and its clock."""

    def __init__(
        self,
        members: Membership | None = None,
        *,
        sid: int = 1,
        epochs: Epochs | None = None,
        database: Database | None = None,
        config: dict[str, Any] | None = None,
        marks: Marks | None = None,
        **settings: Any,
    ) -> None:
        times = {"tick_time_ms": TICK_MS, "init_limit_ticks": INIT_TICKS}
        times["sync_limit_ticks"] = SYNC_TICKS
        self.ensemble = EnsembleConfig(
            my_sid=sid,
            membership=members or membership(),
            is_observer=False,
            client_port=2181,
            **{**times, **settings},
        )
        server_config = ServerConfig(tick_time_ms=TICK_MS, ensemble=self.ensemble, **(config or {}))
        self.database = database or database_of([])
        super().__init__(
            server_config, self.ensemble, self.database, epochs or Epochs(0, 0), Leader, marks
        )
        self.log: list[int] = []
        """Zxids that were handed to the disk."""
        self.commands: list[Command] = []
        """Every command there ever was."""
        self.is_disk_held = False
        self._unanswered: list[StorageCommand] = []
        self.disk: list[tuple[int, bytes]] | None = None
        """What a ReadLog finds."""
        self.driver.start()
        self.settle()

    # --- effects

    def append(self, records: list[bytes], last_zxid: int) -> None:
        super().append(records, last_zxid)
        self.log += [decode_txn(record[12:-1]).header.zxid for record in records]

    def take_snapshot(self, database: Database) -> None:
        self.commands.append(TakeSnapshot())

    def order(self, command: StorageCommand) -> None:
        self.commands.append(command)
        self._unanswered.append(command)

    def send(self, link: Outgoing) -> None:
        assert isinstance(link, QuorumLink), link
        learner = link.shell
        assert isinstance(learner, Learner)
        learner.take()

    def listen_for_learners(self, command: ListenForLearners) -> None:
        self.commands.append(command)

    def stop_listening(self) -> None:
        self.commands.append(StopListening())

    # --- the disk

    def settle(self) -> None:
        """Everything that was produced goes where it belongs, until nothing is left."""
        self.flush()
        while not self.is_disk_held and (self._unanswered or self.unsynced):
            self.answer()

    def answer(self) -> None:
        """The disk answers now."""
        commands, self._unanswered = self._unanswered, []
        if self.unsynced:
            self.unsynced = []
            self.peer.log_synced(self.log_zxid)
            self.flush()
        for command in commands:
            self.member.answered(command.ticket)
            if isinstance(command, ReadLog):
                self.leader.log_read(command.ticket, self.disk)
            else:
                self.leader.stored(command.ticket)
            self.flush()

    def sync(self) -> None:
        """The disk answers until it has nothing more to do."""
        self.is_disk_held = False
        self.settle()
        self.is_disk_held = True

    @property
    def leader(self) -> Leader:
        role = self.life.role
        assert isinstance(role, Leader), role
        return role

    def is_serving(self) -> bool:
        return self.server.is_serving

    def over(self) -> str:
        """Why the role has ended; nothing if it has not."""
        return self.leader.over or ""

    @property
    def saved(self) -> list[tuple[str, int]]:
        """The epochs that the disk was told to write."""
        return [(each.name, each.epoch) for each in self.commands if isinstance(each, SaveEpoch)]

    def beat(self, times: int = 1, *alive: Learner) -> None:
        """Let half ticks pass, in each of which these learners answer the PING."""
        for _ in range(times):
            for learner in alive:
                learner.send(packets.encode_ping_reply(0, {}))
            self.clock.now_ms += TICK_MS // 2
            self.clock.wall_ms += TICK_MS // 2
            self.leader.wake()
            self.settle()

    def learner(self, sid: int, *, is_observer: bool = False) -> Learner:
        """Connect a learner that has said nothing yet."""
        name = f"server-{sid}"
        link = self.leader.link_accepted(name)
        assert link is not None, "refused"
        return Learner(self, link, sid, is_observer)

    def joined(self, sid: int, *, is_observer: bool = False, accepted: int = 0) -> Learner:
        """Connect a learner with nothing, and bring it to UPTODATE or the wait for it."""
        learner = self.learner(sid, is_observer=is_observer)
        learner.info(accepted)
        learner.ack_epoch()
        learner.ack_new_leader()
        return learner


class Learner:
    """What a test sends in a learner's name, and what has come for it."""

    def __init__(self, world: LeaderWorld, link: QuorumLink, sid: int, is_observer: bool) -> None:
        self.world = world
        self.link = link
        link.shell = self
        self.sid = sid
        self.is_observer = is_observer
        self.packets: list[QuorumPacket] = []
        self.parts: list[SnapshotPart] = []
        self.raw: list[bytes] = []
        self._seen = 0
        self._stream = QuorumStream()
        self.reads = True
        """It takes what is sent."""

    def take(self, limit: int = 1 << 18, pieces: int = 1 << 30) -> None:
        """Read what is queued."""
        while self.reads and pieces:
            data = self.link.take(limit)
            if not data:
                return
            pieces -= 1
            self.raw.append(data)
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

    @property
    def got(self) -> list[str]:
        """What has come, in words."""
        return [describe(packet) for packet in self.packets]

    def fresh(self) -> list[str]:
        """What has come since this was asked last, PINGs left out."""
        new = self.packets[self._seen :]
        self._seen = len(self.packets)
        return [describe(packet) for packet in new if packet.type != packets.PING]

    # --- what a learner says --------------------------------------------------------

    def info(self, accepted: int = 0, version: int = 0) -> None:
        self.send(
            packets.encode_learner_info(self.sid, accepted, version, is_observer=self.is_observer)
        )

    def ack_epoch(self, zxid: int = 0, current: int = 0) -> None:
        self.send(packets.encode_ack_epoch(zxid, current))

    def ack(self, *zxids: int) -> None:
        self.send(*[packets.encode_bare(packets.ACK, zxid) for zxid in zxids])

    def ack_all(self) -> None:
        """Acknowledge everything that is proposed and not committed."""
        leader = self.world.leader
        self.ack(*range(leader.last_committed + 1, leader.last_proposed + 1))

    def ack_new_leader(self) -> None:
        self.ack(make(self.world.leader.epoch, 0))

    def request(self, kind: int, body: bytes, session: int = SESSION, cxid: int = 1) -> None:
        ids = [Id("ip", "127.0.0.1")]
        self.send(packets.encode_request(ForwardedRequest(session, cxid, kind, body, ids)))

    def create(self, path: str, session: int = SESSION, data: bytes = b"") -> None:
        self.request(OpCode.CREATE, create_request(path, data).encode(), session)
