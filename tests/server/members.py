"""A few servers in ensemble roles that do as little as a role can: enough for the request path.

The leader prepares and keeps; ``Ensemble.commit`` applies everywhere at once, as if a quorum had
answered. What a learner forwards goes through its bytes. Nothing is elected, logged or lost here.
"""

from __future__ import annotations

from collections import deque
from random import Random

from pyzk.clock import Clock
from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.data.database import Database
from pyzk.data.tree import DataTree
from pyzk.data.txn import LoggedTxn, decode_txn
from pyzk.jute.records import QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.forwarding import decode_forward, encode_forward
from pyzk.quorum.peer import Peer
from pyzk.quorum.stream import QuorumStream
from pyzk.server.connection import Connection
from pyzk.server.outbox import Outbox
from pyzk.server.prep import Prep
from pyzk.server.readonly import ReadOnly
from pyzk.server.request import Request
from pyzk.server.server import Server
from pyzk.zxid import make
from tests.world import START_MS, WALL_MS, Client, Driven

EPOCH = 3


class NoLife:
    """The life of a server whose role a test puts in."""

    moves_deadline = False
    deadline = None
    status = "looking", None

    def start(self) -> None: ...

    def go_on(self) -> None: ...

    def flush(self) -> None: ...

    def log_synced(self, zxid: int) -> None: ...

    def wake(self) -> None: ...


class Member(Driven):
    """One server, its clients and nothing else; the role is put in by who makes it."""

    def __init__(self, sid: int, clock: Clock, config: ServerConfig) -> None:
        self.database = Database(DataTree())
        self.database.tree.last_zxid = make(EPOCH, 0)
        server = Server(config, self.database, clock, Outbox(), Random(sid))
        server.server_id = sid
        super().__init__(Peer(server, NoLife()))

    def resume(self, other: Client, *, read_only: bool | None = False) -> Client:
        """Open a connection and ask for the session of another client."""
        client = self.open()
        client.handshake(session_id=other.session_id, password=other.password, read_only=read_only)
        return client


class FakeLeader:
    """Prepares, and keeps what it would propose."""

    mode = "leader"

    def __init__(self, server: Server, voters: int = 0) -> None:
        self.server = server
        server.begin(self, server.tracked_sessions(), voters)
        self.prep = Prep(server)
        self.proposed: deque[tuple[Request, bytes]] = deque()

    def submit(self, request: Request) -> None:
        self.proposed.append((request, self.prep.prepare(request)))

    def revalidate(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        self.server.revalidate_here(connection, session_id, timeout_ms)

    def gauges(self) -> dict[str, int]:
        return {}

    def log_synced(self, zxid: int) -> None: ...


class FakeLearner:
    """Keeps what it would send to the leader."""

    def __init__(self, server: Server, mode: str = "follower", voters: int = 0) -> None:
        self.mode = mode
        self.server = server
        self.sessions = server.learner_sessions()
        self.sent: list[Request] = []
        self.asked: list[tuple[Connection, int, int]] = []
        """REVALIDATEs: connection, session, timeout."""
        server.begin(self, self.sessions, voters)

    def submit(self, request: Request) -> None:
        self.sent.append(request)

    def revalidate(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        self.asked.append((connection, session_id, timeout_ms))

    def gauges(self) -> dict[str, int]:
        return {}

    def log_synced(self, zxid: int) -> None: ...


def as_packet(data: bytes) -> QuorumPacket:
    """The one packet that these bytes are."""
    (item,) = QuorumStream().feed(data)
    assert isinstance(item, QuorumPacket), item
    return item


class Learner(Member):
    def __init__(self, sid: int, clock: Clock, config: ServerConfig, mode: str) -> None:
        super().__init__(sid, clock, config)
        self.role = FakeLearner(self.server, mode)


class Ensemble:
    """A leader (server 1), a follower (2) and an observer (3)."""

    def __init__(self, config: ServerConfig | None = None) -> None:
        self.config = config or ServerConfig()
        self.clock = Clock(START_MS, WALL_MS)
        self.leader = Member(1, self.clock, self.config)
        self.leader_role = FakeLeader(self.leader.server)
        self.follower = Learner(2, self.clock, self.config, "follower")
        self.observer = Learner(3, self.clock, self.config, "observer")
        self.learners = (self.follower, self.observer)
        self.log: list[LoggedTxn] = []
        """What was proposed, decoded from its bytes."""
        self._syncs: deque[tuple[int, Learner, Request]] = deque()

    @property
    def members(self) -> tuple[Member, ...]:
        return (self.leader, *self.learners)

    def forward(self) -> None:
        """Bring the leader what the learners have sent, and bring the answers about sessions."""
        server = self.leader.server
        for learner in self.learners:
            role = learner.role
            sent, role.sent = role.sent, []
            for request in sent:
                if request.opcode == OpCode.SYNC:
                    self._syncs.append((self.leader_role.prep.next_zxid - 1, learner, request))
                    continue
                packet = as_packet(encode_forward(request))
                forwarded = packets.forwarded_request(packet)
                self.leader_role.submit(decode_forward(learner, forwarded, self.clock.now_ms))
            asked, role.asked = role.asked, []
            for connection, session_id, timeout_ms in asked:
                is_valid = server.revalidate_for(learner, session_id, timeout_ms)
                learner.server.revalidated(connection, session_id, timeout_ms, is_valid)

    def commit(self, count: int = -1) -> None:
        """Apply what is proposed everywhere, all or so many, and answer syncs in between."""
        self.forward()
        proposed = self.leader_role.proposed
        self._finish_syncs()
        while proposed and count:
            count -= 1
            request, payload = proposed.popleft()
            txn = decode_txn(payload)
            self.log.append(txn)
            database = self.leader.database
            applied = database.commit(request, request.body, request.digest, b"", request.foretold)
            self.leader.server.queues.finish(request, applied)
            self.leader_role.prep.changes.applied(request.zxid)
            for learner in self.learners:
                txn = decode_txn(payload)
                learner.server.queues.committed(txn.header, learner.database.replay(txn))
            self._finish_syncs()
        for member in self.members:
            member.server.queues.end_batch()
            member.settle()

    def _finish_syncs(self) -> None:
        """A sync is over when all is committed that was proposed when the leader saw it."""
        while self._syncs and self._syncs[0][0] <= self.leader.database.last_zxid:
            _, learner, request = self._syncs.popleft()
            learner.server.queues.finish_sync(request)

    def connect(self, member: Member, timeout_ms: int = 10_000) -> Client:
        """Make a session through this member."""
        client = member.open()
        client.handshake(timeout_ms=timeout_ms)
        self.commit()
        assert client.session_id or client.connect_response() is not None
        return client

    def move(self, client: Client, member: Member) -> Client:
        """Have another connection, to this member, take over a session."""
        again = member.resume(client)
        self.commit()
        if not again.session_id:
            again.connect_response()
        return again

    def advance(self, milliseconds: int) -> None:
        """Let time pass; every member expires what it is to expire, at the end."""
        self.clock.now_ms += milliseconds
        self.clock.wall_ms += milliseconds
        for member in self.members:
            member.server.expire_sessions()
            member.settle()


def read_only_member(config: ServerConfig) -> Member:
    """A server that has found no leader."""
    member = Member(2, Clock(START_MS, WALL_MS), config)
    member.server.begin(ReadOnly(member.server), member.server.learner_sessions())
    return member
