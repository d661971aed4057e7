"""One server: the state that its connections and its role share.

Pure. Answers to ZooKeeperServer.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Final

from pyzk.auth.access import Access
from pyzk.auth.provider import AuthId
from pyzk.auth.registry import ProviderRegistry
from pyzk.clock import Clock
from pyzk.config.server import ServerConfig
from pyzk.constants import ErrorCode, EventType, OpCode
from pyzk.data.acl import OPEN_ACL_ID
from pyzk.data.database import Database
from pyzk.data.tree import Applied, DataTree
from pyzk.int64 import hex_id
from pyzk.jute.records import CreateSessionTxn, TxnHeader
from pyzk.metrics import Metrics
from pyzk.outsiders import about
from pyzk.persistence.report import StorageReport
from pyzk.server import handshake
from pyzk.server.connection import (
    CLOSED,
    OUT_HIGH_BYTES,
    STALL_CHOKED,
    STALL_THROTTLED,
    Connection,
)
from pyzk.server.forwarding import (
    ForwardedRequest,
    decode_forward,
    encode_forward,
    makes_ephemeral,
)
from pyzk.server.marks import Marks
from pyzk.server.operations import (
    LEARNER_READS,
    LEARNER_WRITES,
    READ_ONLY_READS,
    READ_ONLY_WRITES,
    READS,
    WRITES,
    ReadHandler,
    WriteDecoder,
)
from pyzk.server.outbox import Outbox
from pyzk.server.request import QueuedRead, Request
from pyzk.server.sessions import LearnerSessions, Session, SessionTracker, first_session_id
from pyzk.server.throttle import ConnectionThrottle, LargeRequests

if TYPE_CHECKING:
    from pyzk.server.role import Role

log = logging.getLogger(__name__)

STANDALONE_SERVER_ID: Final = 1
_COUNTER: Final = (1 << 56) - 1
_SHOWN_SESSIONS: Final = 10
WRITTEN_LIMIT: Final = 1000
"""Writes that wait to be counted for mntr: in thousands it is cheaper than one by one."""


class Server:
    """What one server knows beside its role: database, sessions, connections, rules, numbers."""

    def __init__(
        self, config: ServerConfig, database: Database, clock: Clock, outbox: Outbox, rng: Random
    ) -> None:
        self.config = config
        self.database = database
        self.tree: DataTree = database.tree
        self.clock = clock
        self.outbox = outbox
        self.metrics = Metrics()
        self.registry = ProviderRegistry.from_config(config)
        self.access = Access(config, self.registry)
        self.is_guarded = bool(self.access.enforced_schemes)
        """Whether every frame must be checked for enforced authentication."""
        self.sessions = SessionTracker(config.tick_time_ms, 0)
        self.connections: dict[Connection, None] = {}
        self.connections_by_host: dict[str, int] = {}
        self.throttle = ConnectionThrottle(config, clock, rng)
        self.handshakes: dict[Connection, int] = {}
        """Connections without a session yet -> when (monotonic ms) they are closed for it."""
        self.attaching: dict[int, Connection] = {}
        """Session -> the connection that waits to hear whether it still lives."""
        self.throttled: dict[Connection, None] = {}
        """Connections that wait until fewer requests are on the way."""
        self.outstanding = self.outstanding_bytes = 0
        """Requests of clients on the way, and their bytes."""
        self.marks = Marks()
        self.intake_bytes: int = self.marks.intake_bytes
        """With more on the way than this no further writes are taken."""
        self.is_held = False
        """The role has so much to hand on that no further writes are taken."""
        self._update_ms: list[int] = []
        self._response_sizes: list[int] = []
        self.outstanding_limit: int = config.global_outstanding_limit
        self.large = LargeRequests(config, self.metrics)
        self.role: Role
        self.reads: dict[int, ReadHandler] = READS
        self.writes: dict[int, WriteDecoder] = WRITES
        self.is_member = self.is_read_only = self.has_local_sessions = False
        """Of an ensemble; without a leader; of which new sessions are known to it only."""
        self.started_wall_ms = clock.wall_ms
        self.started_ms = clock.now_ms
        self.trace_mask = 306
        self.client_address: tuple[str, int] = (config.client_port_address or "", 0)
        """Where clients connect, "" for any address; the driver writes it."""
        self.is_running = False
        """Whether a role has begun and not ended."""
        self.is_serving = False
        """Whether that role takes clients, and the server is not about to stop."""
        self.server_id = 0
        """myid; 0 for a server that stands alone."""
        self.storage_report: Callable[[], StorageReport] = StorageReport
        """Asks the storage how it is; the driver replaces it."""
        self.file_descriptors: Callable[[], tuple[int, int]] = lambda: (-1, -1)
        """How many are open, how many may be; the driver replaces it."""
        self.environment: Callable[[], Mapping[str, str]] = dict
        """What ``envi`` shows; the driver replaces it."""
        self._written: list[tuple[str, int]] = self.metrics.written
        self._watch_tree()

    def _watch_tree(self) -> None:
        """Have the tree count for the metrics."""
        self.tree.watches.fired = {
            EventType.NODE_CREATED: self.metrics.node_created_watch_count,
            EventType.NODE_DELETED: self.metrics.node_deleted_watch_count,
            EventType.NODE_DATA_CHANGED: self.metrics.node_changed_watch_count,
            EventType.NODE_CHILDREN_CHANGED: self.metrics.node_children_watch_count,
        }
        self.tree.written = self._written

    # --- from role to role ----------------------------------------------------------

    def attach(self, database: Database) -> None:
        """Take another database; nobody is served meanwhile."""
        assert not self.is_running, "another database below a role"
        self.database = database
        self.tree = database.tree
        self._watch_tree()

    def begin(
        self,
        role: Role,
        sessions: SessionTracker,
        voters: int = 0,
        *,
        takes_clients: bool = True,
    ) -> None:
        """Serve clients in this role. ``voters``, of a leader and a follower: how many vote; the
        limit of requests on the way is for all of them together. A leader may have so much to do
        that it takes no clients (leaderServes)."""
        assert not self.is_running, self.role.mode
        config = self.config
        mode = role.mode
        self.role = role
        self.sessions = sessions
        self.is_member = mode != "standalone"
        self.is_read_only = mode == "read-only"
        self.has_local_sessions = self.is_member and config.local_sessions_enabled
        if self.is_read_only:
            self.reads, self.writes = READ_ONLY_READS, READ_ONLY_WRITES
        elif isinstance(sessions, LearnerSessions):
            self.reads, self.writes = LEARNER_READS, LEARNER_WRITES
        else:
            self.reads, self.writes = READS, WRITES
        sharers = voters - 1 if voters > 2 else 1
        self.outstanding_limit = config.global_outstanding_limit // sharers
        self.intake_bytes = self.marks.intake_bytes // sharers
        self.is_running = True
        self.is_serving = takes_clients

    def end(self) -> None:
        """Serve nobody until the next role begins: close every connection, without an answer to
        what is on the way; forget sessions and what waits in them."""
        self.is_running = self.is_serving = False
        for connection in list(self.connections):
            connection.close()
        assert not self.attaching, self.attaching
        self.sessions = SessionTracker(self.config.tick_time_ms, self.sessions.next_id)
        self.outstanding = self.outstanding_bytes = 0
        self.is_held = False
        self.large.clear()

    def tracked_sessions(self) -> SessionTracker:
        """Return what a leader begins with: every session of the database gets its full timeout."""
        now_ms = self.clock.now_ms
        tracker = SessionTracker(self.config.tick_time_ms, self.next_session_id())
        for session_id, timeout_ms in self.database.sessions.items():
            tracker.add(session_id, timeout_ms, now_ms)
        return tracker

    def next_session_id(self) -> int:
        """Return an id to count up from that no earlier role of this server has given.

        The original counts from the time since the machine was started; after a restart of the
        machine that may give an id again whose session still lives, elsewhere in the ensemble.
        """
        if not self.server_id and self.config.ensemble is None:
            return first_session_id(STANDALONE_SERVER_ID, self.clock.now_ms)
        fresh = first_session_id(self.server_id, self.clock.wall_ms)
        last = self.sessions.next_id
        is_own = (last ^ fresh) >> 56 == 0
        return last if is_own and last & _COUNTER > fresh & _COUNTER else fresh

    # --- rules ----------------------------------------------------------------------

    def permits(self, acl_id: int, perms: int, auth_ids: tuple[AuthId, ...]) -> bool:
        """Tell whether a stored ACL list gives one of these permissions to one of these ids."""
        return acl_id == OPEN_ACL_ID or self.access.allows(
            self.tree.acls.get(acl_id), perms, auth_ids
        )

    def user_name(self, auth_id: AuthId) -> str:
        """Return the name in an identity, as whoAmI shows it."""
        return self.registry.user_name(auth_id)

    # --- connections ----------------------------------------------------------------

    def accept(self, host: str, port: int) -> Connection | None:
        """Take a new client, or None when maxClientCnxns or maxCnxns is reached."""
        config = self.config
        from_host = self.connections_by_host.get(host, 0)
        if 0 < config.max_client_cnxns <= from_host:
            self.rejected(host, f"maxClientCnxns={config.max_client_cnxns}")
            return None
        if 0 < config.max_cnxns <= len(self.connections):
            self.rejected(host, f"maxCnxns={config.max_cnxns}")
            return None
        connection = Connection(self, host, port)
        self.connections[connection] = None
        self.connections_by_host[host] = from_host + 1
        self.handshakes[connection] = self.clock.now_ms + config.sessionless_cnxn_timeout_ms
        return connection

    def rejected(self, host: str, limit: str) -> None:
        """A connection of ``host`` is not taken, because of ``limit``."""
        self.metrics.connection_rejected += 1
        log.warning("too many connections from /%s: %s", host, limit, extra=about(host))

    def forget(self, connection: Connection) -> None:
        """A connection is closed: its watches go, its session stays."""
        self.connections.pop(connection, None)
        left = self.connections_by_host.get(connection.host, 0) - 1
        if left > 0:
            self.connections_by_host[connection.host] = left
        else:
            self.connections_by_host.pop(connection.host, None)
        self.handshakes.pop(connection, None)
        self.throttled.pop(connection, None)
        if self.attaching.get(connection.session_id) is connection:
            del self.attaching[connection.session_id]
        session = connection.session
        if session is not None and session.connection is connection:
            session.connection = None
        if session is not None and session.queue and isinstance(session.queue[0], QueuedRead):
            self._drain(session.queue)
        self.tree.watches.remove_watcher(connection)

    def close_idle_handshakes(self) -> None:
        """Close connections that never sent a ConnectRequest."""
        now = self.clock.now_ms
        while self.handshakes:
            connection = next(iter(self.handshakes))
            if self.handshakes[connection] > now:
                return
            self.metrics.sessionless_connections_expired += 1
            connection.refuse(
                "the answer to its four-letter word was not read in time"
                if connection.is_answering
                else "no ConnectRequest in time"
            )

    @property
    def handshake_deadline(self) -> int | None:
        """The monotonic ms at which the oldest handshake is given up."""
        for deadline in self.handshakes.values():
            return deadline
        return None

    # --- sessions -------------------------------------------------------------------

    def expire_sessions(self) -> None:
        """Close the sessions whose time is over."""
        expired = self.sessions.take_expired(self.clock.now_ms)
        if not expired:
            return
        self.metrics.stale_sessions_expired += len(expired)
        # One line, for anybody may leave any number of sessions behind.
        log.info(
            "expired sessions: %s%s",
            ", ".join(
                f"{hex_id(session.session_id)} (timeout {session.timeout_ms} ms)"
                for session in expired[:_SHOWN_SESSIONS]
            ),
            f" and {len(expired) - _SHOWN_SESSIONS} more" if len(expired) > _SHOWN_SESSIONS else "",
        )
        for session in expired:
            self.close_session(session)

    def touch_throttled(self) -> None:
        """A client that is not read cannot give a sign of life: it must not expire for that."""
        for connection in self.throttled:
            self.touch(connection)

    def touch(self, connection: Connection) -> None:
        """The client of a connection lives."""
        session = connection.session
        if session is not None and not connection.is_stale:
            self.sessions.touch(session, self.clock.now_ms)

    def close_session(self, session: Session) -> None:
        """End a session on the server's own account."""
        request = Request(None, session, 0, OpCode.CLOSE_SESSION, None, (), self.clock.now_ms)
        self.submit(request, session)

    def submit(self, request: Request, session: Session) -> None:
        """Take the begin or the end of a session, or a write of a local one."""
        queue = session.queue
        if request.opcode == OpCode.CLOSE_SESSION:
            self.sessions.mark_closing(session.session_id)
            if session.is_local:
                queue.append(request)
                self._drain(queue)
                return
        elif session.is_local:
            upgrade = self.upgrade(request)
            if upgrade is not None:
                queue.append(upgrade)
                self.role.submit(upgrade)
        queue.append(request)
        self.role.submit(request)

    def upgrade(self, request: Request) -> Request | None:
        """Return the createSession that must be submitted before this request of a local session,
        None if it needs none. Where that is not allowed the request is marked to be refused."""
        session = request.session
        if session is None or not session.is_local or not makes_ephemeral(request):
            return None
        if not self.config.local_sessions_upgrading_enabled:
            request.refusal = ErrorCode.EPHEMERAL_ON_LOCAL_SESSION
            return None
        self.sessions.make_global(session)
        body = CreateSessionTxn(session.timeout_ms)
        now_ms = self.clock.now_ms
        upgrade = Request(None, session, 0, OpCode.CREATE_SESSION, body, (), now_ms)
        upgrade.owner = self
        return upgrade

    def touch_session(self, session_id: int, timeout_ms: int) -> None:
        """On the leader: a learner has heard of this session."""
        session = self.sessions.sessions.get(session_id)
        if session is not None and not session.is_closing:
            session.timeout_ms = timeout_ms
            self.sessions.touch(session, self.clock.now_ms)

    def revalidate_for(self, origin: object, session_id: int, timeout_ms: int) -> bool:
        """On the leader: the client of this session has come to a learner. If it lives it is that
        learner's from now on; what still comes from elsewhere finds that it has moved."""
        self.metrics.revalidate_count += 1
        session = self._living(session_id)
        if session is None or session.is_local:
            return False
        self.touch_session(session_id, timeout_ms)
        session.owner = origin
        if session.connection is not None:
            session.connection.is_stale = True
        return True

    def revalidate_here(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        """Where all sessions are tracked: a client has come back to this server."""
        session = self._living(session_id)
        if session is not None:
            session.owner = self
        self.revalidated(connection, session_id, timeout_ms, session is not None)

    def _living(self, session_id: int) -> Session | None:
        session = self.sessions.sessions.get(session_id)
        return None if session is None or session.is_closing else session

    def revalidated(
        self, connection: Connection, session_id: int, timeout_ms: int, is_valid: bool
    ) -> None:
        """Whether the session lives that this connection has come back with."""
        if self.attaching.get(session_id) is not connection:
            return  # closed meanwhile
        del self.attaching[session_id]
        if not is_valid:
            handshake.reject(connection, session_id)
            return
        session = self.sessions.add(session_id, timeout_ms, self.clock.now_ms)
        handshake.attach(connection, session)
        handshake.open_session(connection)

    # --- a learner's requests -------------------------------------------------------

    def forwarded(self, origin: object, request: ForwardedRequest) -> Request:
        """On the leader: return what a learner has sent, ready to be prepared. No SYNC."""
        return decode_forward(origin, request, self.clock.now_ms)

    def encode_forward(self, request: Request) -> bytes:
        """On a learner: return REQUEST for a request of one's own client."""
        return encode_forward(request)

    def committed(self, header: TxnHeader, applied: Applied) -> None:
        """On a learner: a transaction has been applied. The client's request that it comes from, if
        that is one of ours, is the oldest of its session."""
        session = self.sessions.sessions.get(header.client_id)
        if session is None:
            return
        queue = session.queue
        head = queue[0] if queue else None
        kind = header.type
        if (
            isinstance(head, Request)
            and head.cxid == header.cxid
            and (head.opcode == kind or (kind == OpCode.ERROR and head.opcode != OpCode.SYNC))
        ):
            self.finish(head, applied)
        elif kind == OpCode.CLOSE_SESSION:
            self._end_session(header.client_id)
        if kind == OpCode.CLOSE_SESSION:
            self._abandon(queue)

    def finish_sync(self, request: Request) -> None:
        """On a learner: the leader's SYNC has come for this request."""
        connection = request.connection
        session = request.session
        assert connection is not None, request
        assert session is not None, request
        queue = session.queue
        if queue and queue[0] is request:  # else its session is over
            connection.finish_sync(request)
            self._leave(request, queue)

    def _abandon(self, queue: deque[Request | QueuedRead]) -> None:
        """Nobody will hear of these: their session is over."""
        while queue:
            request = queue.popleft()
            self.large.end(request)
            if isinstance(request, QueuedRead):
                request.connection.read_over(request)
            elif request.connection is not None:
                request.connection.count_out(request.size)

    # --- the end of a request -------------------------------------------------------

    def finish(self, request: Request, applied: Applied) -> None:
        """A transaction has been applied: answer it, then the reads that waited for it."""
        session = request.session
        connection = request.connection
        if request.opcode < 0:
            self._finish_session(request, applied.err)
        elif connection is not None:
            self._update_ms.append(self.clock.now_ms - request.received_ms)
            self._response_sizes.append(connection.answer(request, applied))
        if session is not None:
            self._leave(request, session.queue)

    def _leave(self, request: Request, queue: deque[Request | QueuedRead]) -> None:
        if request.large_bytes:
            self.large.end(request)
        if queue and queue[0] is request:
            queue.popleft()
            if queue:
                self._drain(queue)

    def _finish_session(self, request: Request, err: int) -> None:
        """createSession lets its connection go on; closeSession ends every connection."""
        connection = request.connection
        if request.opcode == OpCode.CREATE_SESSION:
            if connection is not None:
                connection.session_created(err)
            return
        if connection is not None:
            connection.session_closed(request)
        self._end_session(request.client_id)

    def _end_session(self, session_id: int) -> None:
        session = self.sessions.remove(session_id)
        if session is not None and session.connection is not None:
            # Expired: closed without a word, the events of its own ephemerals included.
            session.connection.out.clear()
            session.connection.close()

    def go_on(self, session: Session) -> None:
        """A client has taken the replies that it had to take before more of its reads, which have
        waited for a write, are answered."""
        if session.queue and isinstance(session.queue[0], QueuedRead):
            self._drain(session.queue)
            self.end_batch()

    def _drain(self, queue: deque[Request | QueuedRead]) -> None:
        """Answer the reads whose write is applied: as many as their client may have unread. The
        others stay at the head of the queue, unless a write is behind them, which cannot wait."""
        size = 0
        while queue:
            head = queue[0]
            if isinstance(head, Request):
                session = head.session
                if head.opcode == OpCode.CLOSE_SESSION and session is not None and session.is_local:
                    queue.popleft()
                    self._finish_session(head, ErrorCode.OK)
                return
            if size > OUT_HIGH_BYTES and head.connection.state != CLOSED:
                if self._park(queue):
                    head.connection.stall(STALL_CHOKED)
                    return
                size = 0
            queue.popleft()
            if head.large_bytes:
                self.large.end(head)
            size += head.connection.finish_read(head)

    def _park(self, queue: deque[Request | QueuedRead]) -> bool:
        """Let reads wait for their client, who may take any time: nobody else shall wait for that.
        False if a write is among them."""
        if any(isinstance(each, Request) for each in queue):
            return False
        for each in queue:
            assert isinstance(each, QueuedRead), each
            self.large.end(each)
            each.connection.park(each)
        return True

    @property
    def is_full(self) -> bool:
        """Whether so many bytes are on the way that no further writes are taken."""
        return self.outstanding_bytes > self.intake_bytes or self.is_held

    def end_batch(self) -> None:
        """After a batch of writes: count them, let connections go on that waited for fewer
        requests to be on the way."""
        if self._update_ms:
            self._count_updates()
        if len(self._written) >= WRITTEN_LIMIT:
            self.metrics.count_written()
        while self.throttled and self.outstanding <= self.outstanding_limit and not self.is_full:
            connection = next(iter(self.throttled))
            del self.throttled[connection]
            connection.resume(STALL_THROTTLED)

    # --- numbers --------------------------------------------------------------------

    def count_replies(self, count: int, size: int, smallest: int, largest: int) -> None:
        """Note reads that were answered within one batch, so in no time."""
        metrics = self.metrics
        metrics.latency.add_many(0, count)
        metrics.readlatency.add_many(0, count)
        metrics.response_bytes += size
        metrics.count_response(smallest)
        metrics.count_response(largest)

    def _count_updates(self) -> None:
        """Note the writes of a batch."""
        latencies, self._update_ms = self._update_ms, []
        sizes, self._response_sizes = self._response_sizes, []
        metrics = self.metrics
        metrics.latency.add_all(latencies)
        metrics.updatelatency.add_all(latencies)
        metrics.response_bytes += sum(sizes)
        metrics.count_response(min(sizes))
        metrics.count_response(max(sizes))

    def count_read(self, latency_ms: int, size: int) -> None:
        """Note a read that waited behind a write."""
        metrics = self.metrics
        metrics.latency.add(latency_ms)
        metrics.readlatency.add(latency_ms)
        metrics.response_bytes += size
        metrics.count_response(size)
