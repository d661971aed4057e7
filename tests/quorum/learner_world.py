"""A learner without sockets, files or time: a member, its role, and a disk that answers when told.

`did` is a transcript: what the learner sent ("> ACK 0x100000000"), what it gave to the log and what
it ordered ("log 0x100000001", "save currentEpoch 1"), and what the disk has answered ("disk ...").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyzk.config.ensemble import EnsembleConfig
from pyzk.config.members import Membership, QuorumServer, ServerAddress
from pyzk.config.server import ServerConfig
from pyzk.data.database import Database
from pyzk.data.serialize import encode_nodes, encode_tables
from pyzk.data.snapshot_view import Frozen
from pyzk.data.txn import decode_txn
from pyzk.jute.records import QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.commands import (
    DialElection,
    DialLeader,
    ListenForClients,
    ListenForElections,
    SaveConfig,
    SaveEpoch,
    StorageCommand,
    StoreDatabase,
    TruncateLog,
)
from pyzk.quorum.epochs import Epochs
from pyzk.quorum.follower import Follower
from pyzk.quorum.link import QuorumLink
from pyzk.quorum.observer import Observer
from pyzk.quorum.snapshot_stream import END
from pyzk.quorum.stream import QuorumStream
from pyzk.quorum.vote import Vote
from pyzk.server.outbox import Outgoing
from pyzk.zxid import format_zxid
from tests.quorum.one_role import OneRoleWorld
from tests.transactions import create, database_of

LEADER = 3
TICK_MS = 1000
INIT_MS = 10 * TICK_MS
SYNC_MS = 5 * TICK_MS


# --- what a leader sends ----------------------------------------------------------------


def proposal(payload: bytes) -> bytes:
    return packets.encode_packet(packets.PROPOSAL, decode_txn(payload).header.zxid, payload)


def inform(payload: bytes) -> bytes:
    return packets.encode_packet(packets.INFORM, decode_txn(payload).header.zxid, payload)


def commit(zxid: int) -> bytes:
    return packets.encode_bare(packets.COMMIT, zxid)


def both(payload: bytes) -> bytes:
    """Return PROPOSAL and COMMIT."""
    return proposal(payload) + commit(decode_txn(payload).header.zxid)


def diff(zxid: int) -> bytes:
    return packets.encode_bare(packets.DIFF, zxid)


def trunc(zxid: int) -> bytes:
    return packets.encode_bare(packets.TRUNC, zxid)


def ping(zxid: int) -> bytes:
    return packets.encode_bare(packets.PING, zxid)


def snap(database: Database, zxid: int | None = None) -> bytes:
    """Return SNAP and the snapshot of a database."""
    tree = database.tree
    frozen = database.freeze()
    nodes: list[Frozen] = []
    while some := frozen.nodes.read(64):
        nodes += some
    frozen.close()
    return b"".join(
        (
            packets.encode_bare(packets.SNAP, tree.last_zxid if zxid is None else zxid),
            encode_tables(database.sessions.items(), tree.acls.items()),
            encode_nodes(nodes),
            END,
        )
    )


NEW_CONFIG = b"server.1=a:1:2:participant\nversion=0"
UPTODATE = packets.UPTODATE_PACKET
SYNC = packets.encode_bare(packets.SYNC, 0)


def leader_info(epoch: int = 1) -> bytes:
    return packets.encode_leader_info(epoch)


def new_leader(epoch: int = 1) -> bytes:
    return packets.encode_new_leader(epoch, NEW_CONFIG)


# --- the world ----------------------------------------------------------------------------


def membership(version: int = 0) -> Membership:
    return Membership(
        tuple(
            QuorumServer(sid, (ServerAddress(f"host{sid}", 2888, 3888),), is_observer=sid == 4)
            for sid in (1, 2, LEADER, 4)
        ),
        version,
    )


class LearnerWorld(OneRoleWorld):
    """A learner of server 3, and everything around it."""

    def __init__(
        self,
        history: Sequence[bytes] = (),
        *,
        sid: int = 0,
        leader: int = LEADER,
        epochs: tuple[int, int] = (0, 0),
        is_observer: bool = False,
        database: Database | None = None,
        version: int = 0,
        config: ServerConfig | None = None,
        **settings: Any,
    ) -> None:
        ensemble = EnsembleConfig(
            my_sid=sid or (4 if is_observer else 1),
            membership=membership(version),
            is_observer=is_observer,
            client_port=2181,
            tick_time_ms=TICK_MS,
            init_limit_ticks=INIT_MS // TICK_MS,
            sync_limit_ticks=SYNC_MS // TICK_MS,
            **settings,
        )
        self.leader_sid = leader
        kind = Observer if is_observer else Follower
        super().__init__(
            config or ServerConfig(),
            ensemble,
            database or database_of(history),
            Epochs(*epochs),
            lambda member: kind(member, leader),
        )
        self.elections.election.current_vote = Vote(leader, 0, 1, 0)
        self.did: list[str] = []
        self.disk: list[bytes] = list(history)
        """Payloads of the log on disk."""
        self.base_zxid = 0 if database is None else database.last_zxid
        """Where that log begins."""
        self.orders: list[StorageCommand] = []
        """What the disk has not answered."""
        self.dials: list[DialLeader] = []
        self.received = b""
        """What the leader has got, whole."""
        self._stream = QuorumStream()

    def become(self, *, is_observer: bool) -> None:
        """Begin another role."""
        kind = Observer if is_observer else Follower
        self.life.role = kind(self.member, self.leader_sid)

    @property
    def role(self) -> Follower | Observer:
        role = self.life.role
        assert isinstance(role, Follower | Observer), role
        return role

    @property
    def link(self) -> QuorumLink:
        return self.role.link

    def due(self) -> int | None:
        return self.role.deadline

    # --- inputs ---

    def dial(self) -> DialLeader:
        """Start the role; return its first DialLeader."""
        self.role.start()
        self.settle()
        return self.dials.pop()

    def reach(self) -> None:
        """Start the role; the connection is there at once."""
        dial = self.dial()
        dial.link.owner.link_up(dial.link)
        self.settle()

    def hear(self, *sent: bytes) -> None:
        """The leader's bytes arrive, in one piece; the disk stays as slow as it is."""
        self.link.receive(b"".join(sent))
        self.settle()

    def answer(self) -> None:
        """The disk does one thing: first the log, then the orders."""
        member = self.member
        if self.unsynced:
            payloads, self.unsynced = self.unsynced, []
            self.disk += payloads
            zxid = decode_txn(payloads[-1]).header.zxid
            self.did.append(f"disk log {format_zxid(zxid)}")
            self.peer.log_synced(zxid)
        else:
            command = self.orders.pop(0)
            self.did.append(f"disk {_name(command)}")
            member.answered(command.ticket)
            if isinstance(command, TruncateLog):
                self.role.restored(command.ticket, self.truncate(command.zxid))
            else:
                if isinstance(command, StoreDatabase):
                    self.disk = []
                    self.base_zxid = command.database.last_zxid
                self.role.stored(command.ticket)
        self.settle()

    def sync(self) -> None:
        """The disk does everything there is to do."""
        while self.unsynced or self.orders:
            self.answer()

    def truncate(self, zxid: int) -> Database:
        """Cut the log; return what is left."""
        self.disk = [each for each in self.disk if decode_txn(each).header.zxid <= zxid]
        return database_of(self.disk, min(zxid, self.base_zxid))

    # --- outputs ---

    def append(self, records: list[bytes], last_zxid: int) -> None:
        for record in records:
            payload = record[12:-1]
            self.unsynced.append(payload)
            self.did.append(f"log {format_zxid(decode_txn(payload).header.zxid)}")

    def send(self, link: Outgoing) -> None:
        assert isinstance(link, QuorumLink), link
        while data := link.take():
            self.received += data
            self._note(data)

    def dial_leader(self, command: DialLeader) -> None:
        self.dials.append(command)

    def dial_election(self, command: DialElection) -> None:
        self.did.append(f"dial election {command.sid}")

    def listen_for_elections(self, command: ListenForElections) -> None:
        self.did.append(f"listen for elections at {command.server}")

    def listen_for_clients(self, command: ListenForClients) -> None:
        self.did.append(f"listen for clients at {command.host}:{command.port}")

    def order(self, command: StorageCommand) -> None:
        self.orders.append(command)
        self.did.append(_name(command))

    def _note(self, data: bytes) -> None:
        for item in self._stream.feed(data):
            assert isinstance(item, QuorumPacket)
            self.did.append(f"> {packets.describe(item)}")

    def take(self) -> list[str]:
        """Return the transcript since the last call."""
        did, self.did = self.did, []
        return did

    @property
    def acks(self) -> list[int]:
        """Zxids of all ACKs so far."""
        stream = QuorumStream()
        return [
            item.zxid
            for item in stream.feed(self.received)
            if isinstance(item, QuorumPacket) and item.type == packets.ACK
        ]

    @property
    def database(self) -> Database:
        return self.member.database

    @property
    def committed(self) -> list[int]:
        """Zxids in the committed log."""
        assert self.database.committed is not None
        return list(self.database.committed.zxids)

    def is_serving(self) -> bool:
        return self.server.is_serving

    def is_whole(self) -> bool:
        return self.member.is_database_whole

    def paths(self) -> list[str]:
        """Return the znodes, the ones that every tree has left out."""
        return [
            path
            for path in self.database.tree.nodes
            if path != "/" and not path.startswith("/zookeeper")
        ]

    # --- from one state to the next ---

    def discover(self, epoch: int = 1) -> None:
        """Up to ACKEPOCH."""
        self.reach()
        self.hear(leader_info(epoch))
        self.sync()

    def serve(self, epoch: int = 1) -> None:
        """Up to UPTODATE: there was nothing to synchronize."""
        self.discover(epoch)
        self.hear(diff(self.database.last_zxid), new_leader(epoch))
        self.sync()
        self.hear(UPTODATE)
        self.sync()
        assert self.role.over is None, self.role.over
        self.did.clear()


def _name(command: StorageCommand) -> str:
    if isinstance(command, SaveEpoch):
        return f"save {command.name} {command.epoch}"
    if isinstance(command, SaveConfig):
        kind = "active" if command.is_active else "proposed"
        return f"save {kind} config {command.membership.version:x}"
    if isinstance(command, TruncateLog):
        return f"truncate {format_zxid(command.zxid)}"
    assert isinstance(command, StoreDatabase), command
    return f"store {format_zxid(command.database.last_zxid)}"


# --- a learner in each phase --------------------------------------------------------------


def discovery(world: LearnerWorld) -> None:
    world.reach()


def accepting(world: LearnerWorld) -> None:
    world.reach()
    world.hear(leader_info())


def choosing(world: LearnerWorld) -> None:
    world.discover()


def syncing(world: LearnerWorld) -> None:
    world.discover()
    world.hear(diff(0))


def truncating(world: LearnerWorld) -> None:
    """Of a learner that has something."""
    world.discover()
    world.hear(trunc(0))


def storing(world: LearnerWorld) -> None:
    """Brings a learner whose log ends at 1 into STORING."""
    world.discover()
    world.hear(diff(0), both(create(2)), new_leader())


def saving(world: LearnerWorld) -> None:
    storing(world)
    world.answer()


def ready(world: LearnerWorld) -> None:
    world.discover()
    world.hear(diff(0), new_leader())
    world.sync()


def broadcast(world: LearnerWorld) -> None:
    world.serve()
