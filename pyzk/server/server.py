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
from pyzk.config import ServerConfig
from pyzk.constants import EventType, OpCode
from pyzk.data.acl import OPEN_ACL_ID
from pyzk.data.database import Database
from pyzk.data.tree import Applied, DataTree
from pyzk.metrics import Metrics
from pyzk.server.connection import STALL_THROTTLED, Connection
from pyzk.server.outbox import Outbox
from pyzk.server.request import QueuedRead, Request
from pyzk.server.sessions import Session, SessionTracker, first_session_id
from pyzk.server.throttle import ConnectionThrottle, LargeRequests, RejectedConnections

if TYPE_CHECKING:
    from pyzk.server.role import Role

log = logging.getLogger(__name__)

STANDALONE_SERVER_ID: Final = 1
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
        self.sessions = SessionTracker(
            config.tick_time_ms, first_session_id(STANDALONE_SERVER_ID, clock.now_ms)
        )
        self.connections: dict[Connection, None] = {}
        self.connections_by_host: dict[str, int] = {}
        self.throttle = ConnectionThrottle(config, clock, rng)
        self.rejected = RejectedConnections(clock, self.metrics)
        self.handshakes: dict[Connection, int] = {}
        """Connections without a session yet -> when (monotonic ms) they are closed for it."""
        self.throttled: dict[Connection, None] = {}
        """Connections that wait until fewer requests are on the way."""
        self.outstanding = 0
        """Requests of clients on the way."""
        self._update_ms: list[int] = []
        self._response_sizes: list[int] = []
        self.outstanding_limit = config.global_outstanding_limit
        self.large = LargeRequests(config, self.metrics)
        self.role: Role
        self.started_wall_ms = clock.wall_ms
        self.started_ms = clock.now_ms
        self.trace_mask = 306
        self.client_address: tuple[str, int] = (config.client_port_address or "", 0)
        """Where clients connect, "" for any address; the driver writes it."""
        self.is_serving = True
        """False once the end has begun."""
        self.server_id = 0
        """myid; 0 for a server that stands alone."""
        self.directory_sizes: Callable[[], tuple[int, int]] = lambda: (0, 0)
        """Bytes of snapshots and of logs; the driver replaces it."""
        self.file_descriptors: Callable[[], tuple[int, int]] = lambda: (-1, -1)
        """How many are open, how many may be; the driver replaces it."""
        self.environment: Callable[[], Mapping[str, str]] = dict
        """What ``envi`` shows; the driver replaces it."""
        self.tree.watches.fired = {
            EventType.NODE_CREATED: self.metrics.node_created_watch_count,
            EventType.NODE_DELETED: self.metrics.node_deleted_watch_count,
            EventType.NODE_DATA_CHANGED: self.metrics.node_changed_watch_count,
            EventType.NODE_CHILDREN_CHANGED: self.metrics.node_children_watch_count,
        }
        self._written = self.tree.written = self.metrics.written
        for session_id, timeout_ms in database.sessions.items():
            self.sessions.add(session_id, timeout_ms, clock.now_ms)

    def attach(self, database: Database) -> None:
        """Take another database; nobody is served meanwhile."""
        self.database = database
        self.tree = database.tree

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
            self.rejected.note(host, f"maxClientCnxns={config.max_client_cnxns}")
            return None
        if 0 < config.max_cnxns <= len(self.connections):
            self.rejected.note(host, f"maxCnxns={config.max_cnxns}")
            return None
        connection = Connection(self, host, port)
        self.connections[connection] = None
        self.connections_by_host[host] = from_host + 1
        self.handshakes[connection] = self.clock.now_ms + config.sessionless_cnxn_timeout_ms
        return connection

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
        session = connection.session
        if session is not None and session.connection is connection:
            session.connection = None
        self.tree.watches.remove_watcher(connection)

    def close_idle_handshakes(self) -> None:
        """Close connections that never sent a ConnectRequest."""
        now = self.clock.now_ms
        while self.handshakes:
            connection = next(iter(self.handshakes))
            if self.handshakes[connection] > now:
                return
            self.metrics.sessionless_connections_expired += 1
            connection.refuse("no ConnectRequest in time")

    @property
    def handshake_deadline(self) -> int | None:
        """The monotonic ms at which the oldest handshake is given up."""
        for deadline in self.handshakes.values():
            return deadline
        return None

    # --- sessions -------------------------------------------------------------------

    def expire_sessions(self) -> None:
        """Close the sessions whose time is over."""
        for session in self.sessions.take_expired(self.clock.now_ms):
            self.metrics.stale_sessions_expired += 1
            log.info(
                "session 0x%x expired (timeout %d ms)",
                session.session_id & 0xFFFFFFFFFFFFFFFF,
                session.timeout_ms,
            )
            self.close_session(session)

    def close_session(self, session: Session) -> None:
        """End a session on the server's own account."""
        request = Request(None, session, 0, OpCode.CLOSE_SESSION, None, (), self.clock.now_ms)
        session.queue.append(request)
        self.role.submit(request)

    # --- the end of a request -------------------------------------------------------

    def finish(self, request: Request, applied: Applied) -> None:
        """A transaction has been applied: answer it, then the reads that waited for it."""
        session = request.session
        connection = request.connection
        if request.opcode < 0:
            assert session is not None, request
            self._finish_session(request, session)
        elif connection is not None:
            self._update_ms.append(self.clock.now_ms - request.received_ms)
            self._response_sizes.append(connection.answer(request, applied))
        if session is None:
            return
        queue = session.queue
        if self.large.bytes:
            self.large.end(request.zxid)
        if queue and queue[0] is request:
            queue.popleft()
            if queue:
                self._drain(queue)

    def _finish_session(self, request: Request, session: Session) -> None:
        """createSession lets its connection go on; closeSession ends every connection."""
        connection = request.connection
        if request.opcode == OpCode.CREATE_SESSION:
            if connection is not None:
                connection.session_created()
            return
        self.sessions.remove(session.session_id)
        if connection is not None:
            connection.session_closed(request.cxid)
        if session.connection is not None:
            # Expired: closed without a word, the events of its own ephemerals included.
            session.connection.out.clear()
            session.connection.close()

    def _drain(self, queue: deque[Request | QueuedRead]) -> None:
        while queue:
            head = queue[0]
            if isinstance(head, Request):
                return
            queue.popleft()
            if self.large.bytes:
                self.large.end(head)
            head.connection.finish_read(head)

    def end_batch(self) -> None:
        """After a batch of writes: count them, let connections go on that waited for fewer
        requests to be on the way."""
        if self._update_ms:
            self._count_updates()
        if len(self._written) >= WRITTEN_LIMIT:
            self.metrics.count_written()
        while self.throttled and self.outstanding <= self.outstanding_limit:
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
