"""Peers on production's driver, whose disk, time and sockets a test has in its hands.

`World` is a lone server. `tests.quorum.leader_world` and `learner_world` put one role of a member
without elections on `Driven`, `tests.server.members` servers in roles that do little, and
`tests.transcripts.stage` whole members. ``Client`` speaks whole frames and decodes nothing it is
not asked to.
"""

from __future__ import annotations

import struct
from random import Random
from typing import Protocol

from pyzk.clock import Clock
from pyzk.config.server import ServerConfig
from pyzk.data.database import Database
from pyzk.data.tree import DataTree
from pyzk.data.txn import LoggedTxn, decode_txn
from pyzk.jute.records import ConnectResponse
from pyzk.quorum.contract import MemberEffects
from pyzk.quorum.driver import Driver
from pyzk.quorum.peer import Peer
from pyzk.quorum.standalone import standalone_peer
from pyzk.server.arrival import Arrival
from pyzk.server.connection import CLOSED, Connection
from tests.frames import Record, Reply, Requests, connect_frame, decode_welcome

START_MS = 1_000_000
WALL_MS = 1_700_000_000_000


class TakesReplies(Protocol):
    """A client of a test, which is the shell of its connection."""

    def take(self, connection: Connection) -> None:
        """Takes what the connection has for the socket."""
        ...


class Driven:
    """One peer on production's driver; what it orders from the world is noted here."""

    def __init__(self, peer: Peer, member: MemberEffects | None = None) -> None:
        self.peer = peer
        self.clock: Clock = peer.clock
        self.server = peer.server
        self.driver = Driver(peer, self, member)
        self.unsynced: list[bytes] = []
        """The framed records that are not durable yet."""
        self.log_zxid = 0
        """The zxid of the last record that was appended."""
        self.woken_at_ms = 0
        self.snapshots_wanted = 0
        self._is_turn_due = False
        self._port = 40000

    # --- effects

    def append(self, records: list[bytes], last_zxid: int) -> None:
        self.unsynced += records
        self.log_zxid = last_zxid

    def take_snapshot(self, database: Database) -> None:
        self.snapshots_wanted += 1

    def write(self, connection: Connection) -> None:
        client: TakesReplies = connection.shell  # type: ignore[assignment]  # what a test put there
        client.take(connection)

    def end_turn_soon(self) -> None:
        self._is_turn_due = True

    def wake_at(self, at_ms: int) -> None:
        self.woken_at_ms = at_ms

    # --- inputs

    def flush(self) -> None:
        """Has everything carried out that the inputs have led to."""
        self.driver.flush()
        while self._is_turn_due:
            self._is_turn_due = False
            self.driver.end_turn()

    def settle(self) -> None:
        """Has everything carried out. Worlds whose disk answers by itself override this."""
        self.flush()

    def pass_time(self, now_ms: int) -> None:
        """Sets both clocks without a wake."""
        self.clock.wall_ms += now_ms - self.clock.now_ms
        self.clock.now_ms = now_ms

    def advance(self, milliseconds: int) -> None:
        """Lets time pass, and wakes the peer whenever it has asked for it."""
        self.flush()
        end = self.clock.now_ms + milliseconds
        while self.woken_at_ms <= end:
            self.pass_time(max(self.woken_at_ms, self.clock.now_ms))
            self.wake()
        self.pass_time(end)

    def jump(self, milliseconds: int) -> None:
        """Lets time pass while the whole server stands still; then wakes it."""
        self.pass_time(self.clock.now_ms + milliseconds)
        self.wake()

    def wake(self) -> None:
        """Wakes the peer now."""
        self.driver.wake()
        self.settle()

    # --- clients

    def open(self, host: str = "127.0.0.1") -> Client:
        """Opens a connection without handshake."""
        self._port += 1
        connection = self.peer.accept(Arrival(host, self._port))
        assert connection is not None, "refused"
        return Client(self, connection)

    def connect(
        self,
        host: str = "127.0.0.1",
        *,
        timeout_ms: int = 10_000,
        read_only: bool | None = False,
    ) -> Client:
        """Opens a connection and asks for a session."""
        client = self.open(host)
        client.handshake(timeout_ms=timeout_ms, read_only=read_only)
        return client


def owned_paths(tree: DataTree) -> dict[int, list[str]]:
    """Return the ephemerals of the sessions that have any, in order of creation."""
    return {owner: list(owned) for owner, owned in tree.ephemerals.items() if owned}


class World(Driven):
    """A lone server; its disk answers at once, or when told."""

    def __init__(
        self, config: ServerConfig | None = None, database: Database | None = None
    ) -> None:
        self.config = config or ServerConfig()
        if database is None:
            database = Database(
                DataTree(
                    extended_types=self.config.extended_types_enabled,
                    digests=self.config.digest_enabled,
                )
            )
        self.database = database
        self.tree = database.tree
        clock = Clock(START_MS, WALL_MS)
        super().__init__(standalone_peer(self.config, database, clock, Random(7)))
        self.log: list[LoggedTxn] = []
        """Everything that was handed to the disk, decoded from its bytes."""
        self.records: list[bytes] = []
        """The framed records, as they were handed to the disk."""
        self.is_disk_held = False
        self.driver.start()

    def append(self, records: list[bytes], last_zxid: int) -> None:
        super().append(records, last_zxid)
        self.records += records
        self.log += [decode_txn(record[12:-1]) for record in records]

    def settle(self) -> None:
        """Let the disk answer unless it is held, and the sockets take everything."""
        self.flush()
        while self.unsynced and not self.is_disk_held:
            self.unsynced = []
            self.peer.log_synced(self.log_zxid)
            self.flush()

    def sync(self) -> None:
        """The disk answers now, once."""
        held, self.is_disk_held = self.is_disk_held, False
        self.settle()
        self.is_disk_held = held


class Client(Requests):
    """A client at the level of frames."""

    def __init__(self, world: Driven, connection: Connection) -> None:
        connection.shell = self
        self._world = world
        self.connection = connection
        self.received = b""
        self.is_closed = False
        """The server has closed the connection."""
        self.session_id = 0
        self.password = bytes(16)
        self.timeout_ms = 0

    @property
    def world(self) -> World:
        """The standalone server that it is a client of."""
        assert isinstance(self._world, World), self._world
        return self._world

    def take(self, connection: Connection) -> None:
        """What the driver does with a dirty connection."""
        self.received += b"".join(connection.out)
        connection.out.clear()
        if connection.state == CLOSED:
            self.is_closed = True

    def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self.connection.receive(data)
        self._world.settle()

    def handshake(
        self,
        session_id: int = 0,
        password: bytes = bytes(16),
        *,
        timeout_ms: int = 10_000,
        last_zxid_seen: int = 0,
        read_only: bool | None = False,
    ) -> ConnectResponse | None:
        """Send a ConnectRequest; return the response, None if there is none (yet)."""
        self.send(
            connect_frame(
                session_id,
                password,
                timeout_ms=timeout_ms,
                last_zxid_seen=last_zxid_seen,
                read_only=read_only,
            )
        )
        return self.connect_response()

    def connect_response(self) -> ConnectResponse | None:
        frames = self.frames()
        if not frames:
            return None
        response = decode_welcome(frames[0])
        self.session_id = response.session_id
        self.password = response.password or b""
        self.timeout_ms = response.timeout_ms
        return response

    def frames(self) -> list[bytes]:
        """Return the payloads that have come since the last call."""
        out = []
        data, self.received = self.received, b""
        while len(data) >= 4:
            (length,) = struct.unpack_from(">i", data)
            assert len(data) >= 4 + length, "the server sends whole frames"
            out.append(data[4 : 4 + length])
            data = data[4 + length :]
        assert not data
        return out

    def replies(self) -> list[Reply]:
        """Return the replies and events that have come since the last call."""
        return [Reply.of(data) for data in self.frames()]

    def xids(self) -> list[int]:
        """Returns the xids of the replies that have come since the last call."""
        return [reply.xid for reply in self.replies()]

    def call(self, opcode: int, record: Record | bytes = b"", xid: int | None = None) -> Reply:
        """Send a request; return its reply, which must be all that comes."""
        self.submit(opcode, record, xid)
        replies = self.replies()
        assert len(replies) == 1, replies
        return replies[0]
