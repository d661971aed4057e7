"""One server: the state that its connections and its role share.

Pure. ZooKeeper: ZooKeeperServer.
"""

from __future__ import annotations

import logging
from random import Random
from typing import TYPE_CHECKING, Final

from pyzk.auth.access import Access
from pyzk.auth.provider import AuthId
from pyzk.auth.registry import ProviderRegistry
from pyzk.clock import Clock
from pyzk.config.server import ServerConfig
from pyzk.constants import EventType, OpCode
from pyzk.data.acl import OPEN_ACL_ID
from pyzk.data.database import Database
from pyzk.data.name_set import KeptLists
from pyzk.data.node import KeptStats
from pyzk.data.tree import DataTree
from pyzk.int64 import hex_id
from pyzk.jute.archive import INT_BYTES
from pyzk.metrics import Metrics
from pyzk.outsiders import about
from pyzk.server.audit import Audit
from pyzk.server.authentication import identify
from pyzk.server.connection import Connection
from pyzk.server.frequent import Tops
from pyzk.server.host import Host
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
from pyzk.server.request_throttle import RequestThrottle
from pyzk.server.screening import Screen
from pyzk.server.session_queues import SessionQueues
from pyzk.server.sessions import LearnerSessions, Session, SessionTracker, first_session_id
from pyzk.server.throttle import ConnectionThrottle

if TYPE_CHECKING:
    from pyzk.auth.sasl.logins import ClientLogins
    from pyzk.server.arrival import Arrival
    from pyzk.server.role import Role

log = logging.getLogger(__name__)

STANDALONE_SERVER_ID: Final = 1
_COUNTER: Final = (1 << 56) - 1
_SHOWN_SESSIONS: Final = 10


class Server:
    """What one server knows, whatever its role: database, sessions, connections, rules, metrics."""

    def __init__(
        self, config: ServerConfig, database: Database, clock: Clock, outbox: Outbox, rng: Random
    ) -> None:
        self.config = config
        self.database = database
        self.tree: DataTree = database.tree
        self.clock = clock
        self.outbox = outbox
        self.metrics = Metrics(is_member=config.ensemble is not None)
        self.registry = ProviderRegistry.from_config(config, self.metrics, self._data_of)
        self.access = Access(config, self.registry)
        self.logins: ClientLogins | None = _logins(config, rng)
        """What clients log in at with SASL; None if they cannot."""
        self.is_guarded = bool(self.access.enforced_schemes)
        """Whether every frame is looked at: authentication is enforced, or it may have to wait."""
        self.sessions = SessionTracker(config.tick_time_ms, 0)
        self.connections: dict[Connection, None] = {}
        self.connections_by_host: dict[str, int] = {}
        """Address -> how many connections to the client port come from there."""
        self.secure_by_host: dict[str, int] = {}
        """Address -> how many connections to secureClientPort come from there. As in the original,
        maxClientCnxns and maxCnxns are the limits of each of the two ports."""
        self.secure_count = 0
        """How many connections to secureClientPort there are."""
        self.throttle = ConnectionThrottle(config, clock, rng)
        self.handshakes: dict[Connection, int] = {}
        """Connection that has not sent its ConnectRequest -> when (monotonic ms) it is closed."""
        self.attaching: dict[int, Connection] = {}
        """Session id -> the connection that waits to hear whether that session still lives."""
        self.marks = Marks()
        self.lists = KeptLists(self.metrics)
        self.stats = KeptStats(database.tree.nodes)
        self.queues = SessionQueues(config, clock, self.metrics, self.sessions)
        self.role: Role
        self.reads: dict[int, ReadHandler] = READS
        self.writes: dict[int, WriteDecoder] = WRITES
        self.screened_writes: dict[int, WriteDecoder] = {}
        """The writes that `screen` looks at before they are submitted; ``writes`` has the rest."""
        self.audit = self.queues.audit = Audit(self) if config.audit_enable else None
        self.screen = Screen(self, self.audit)
        self.tops: Tops = Tops(config.metrics_top_paths, config.metrics_top_clients)
        self.is_member = False
        """Whether this is a member of an ensemble."""
        self.is_read_only = False
        """Whether this member has found no leader, and serves reads meanwhile."""
        self.has_local_sessions = False
        """Whether new sessions are known to this member only."""
        self.started_ms = self._unavailable_since_ms = clock.now_ms
        self.trace_mask = 306
        """The trace mask, set by stmk and shown by gtmk; nothing else looks at it."""
        self.host: Host = Host((config.client_port_address or "", 0))
        self.is_running = False
        """Whether a role has begun and not ended."""
        self.is_serving = False
        """Whether the role takes clients, and the server is not about to stop."""
        self.server_id = 0
        """The id that `myid` gives; a lone server has 0, and makes session ids as server 1 does."""
        self._watch_tree()
        if config.request_throttle_max_requests > 0:
            self._throttle_requests()

    def _throttle_requests(self) -> None:
        """Have requests wait in one line beyond the limit that the configuration has."""
        self.queues.line = RequestThrottle(self)
        self.is_guarded = True

    def _watch_tree(self) -> None:
        """Have the tree count for the metrics."""
        self.tree.watches.fired = {
            EventType.NODE_CREATED: self.metrics.node_created_watch_count,
            EventType.NODE_DELETED: self.metrics.node_deleted_watch_count,
            EventType.NODE_DATA_CHANGED: self.metrics.node_changed_watch_count,
            EventType.NODE_CHILDREN_CHANGED: self.metrics.node_children_watch_count,
        }
        self.tree.watches.metrics = self.metrics
        self.tree.written = self.metrics.written
        self.database.metrics = self.metrics
        self.metrics.digest_mismatches_count += self.database.digest_mismatches
        if self.audit is not None:
            self.tree.on_ephemeral_deleted = self.audit.ephemeral_deleted

    # --- from role to role ----------------------------------------------------------

    def attach(self, database: Database) -> None:
        """Take another database. No role may be running."""
        assert not self.is_running, "another database while a role is running"
        self.lists = KeptLists(self.metrics)
        self.stats = KeptStats(database.tree.nodes)
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
        """Serve clients in this role. The limits of requests and bytes under way are shared by all
        servers that vote: a leader and a follower say how many those are. A leader can be
        configured to take no clients (leaderServes)."""
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
        self.writes, self.screened_writes = self.screen.split(self.writes)
        if self.tops.paths is not None:
            self.reads = self.tops.paths.of_reads(self.reads)
            self.writes = self.tops.paths.of_writes(self.writes)
            self.screened_writes = self.tops.paths.of_writes(self.screened_writes)
        sharers = voters - 1 if voters > 2 else 1
        self.queues.begin(
            role,
            sessions,
            config.global_outstanding_limit // sharers,
            self.marks.intake_bytes // sharers,
        )
        self.is_running = True
        self.is_serving = takes_clients
        if self.is_member and not self.is_read_only:
            took_ms = self.clock.now_ms - self._unavailable_since_ms
            self.metrics.unavailable_time.add(took_ms)
            if mode == "leader":
                self.metrics.leader_unavailable_time.add(took_ms)

    def end(self) -> None:
        """Serve nobody until the next role begins: close every connection, leave requests under way
        without an answer, forget all sessions and what waits in them."""
        if self.is_running and not self.is_read_only:
            self._unavailable_since_ms = self.clock.now_ms
        self.is_running = self.is_serving = False
        for connection in list(self.connections):
            connection.close()
        assert not self.attaching, self.attaching
        self.sessions = SessionTracker(self.config.tick_time_ms, self.sessions.next_id)
        self.queues.end(self.sessions)

    def tracked_sessions(self) -> SessionTracker:
        """Return the sessions of the database, each with its full timeout: a leader begins so."""
        now_ms = self.clock.now_ms
        tracker = SessionTracker(self.config.tick_time_ms, self.next_session_id())
        for session_id, timeout_ms in self.database.sessions.items():
            tracker.add(session_id, timeout_ms, now_ms)
        return tracker

    def learner_sessions(self) -> LearnerSessions:
        """Return the sessions that a learner, or a server without a leader, begins with: none."""
        return LearnerSessions(self.config.tick_time_ms, self.next_session_id())

    def next_session_id(self) -> int:
        """Return the id that new sessions are numbered from; no earlier role of this server has
        used it.

        The original begins with the time since the machine was started. After a restart of the
        machine it may give an id again whose session still lives elsewhere in the ensemble.
        """
        if not self.server_id and self.config.ensemble is None:
            return first_session_id(STANDALONE_SERVER_ID, self.clock.now_ms)
        fresh = first_session_id(self.server_id, self.clock.wall_ms)
        last = self.sessions.next_id
        is_own = (last ^ fresh) >> 56 == 0
        return last if is_own and last & _COUNTER > fresh & _COUNTER else fresh

    # --- rules ----------------------------------------------------------------------

    def _data_of(self, path: str) -> bytes | None:
        """Return the data of a znode; None if it has none, or there is none."""
        node = self.tree.nodes.get(path)
        return None if node is None else node.data

    def permits(self, acl_id: int, perms: int, auth_ids: tuple[AuthId, ...]) -> bool:
        """Tell whether a stored ACL list gives one of these permissions to one of these ids."""
        return acl_id == OPEN_ACL_ID or self.access.allows(
            self.tree.acls.get(acl_id), perms, auth_ids
        )

    # --- connections ----------------------------------------------------------------

    def accept(self, arrival: Arrival) -> Connection | None:
        """Take a new client, or None when maxClientCnxns or maxCnxns is reached, or its certificate
        is no identity."""
        host = arrival.host
        if self.is_full_for(host, arrival.is_on_secure_port):
            return None
        connection = Connection(self, arrival)
        reason = identify(connection)
        if reason:
            log.warning("a client of /%s is not taken: %s", host, reason, extra=about(host))
            self.metrics.auth_failed_count += 1
            return None
        by_host = self.connections_by_host
        if arrival.is_on_secure_port:
            by_host = self.secure_by_host
            self.secure_count += 1
        by_host[host] = by_host.get(host, 0) + 1
        self.connections[connection] = None
        self.handshakes[connection] = self.clock.now_ms + self.config.sessionless_cnxn_timeout_ms
        if self.config.client_tls is not None and not arrival.is_secure:
            if host.startswith("127.") or host == "::1":
                self.metrics.non_mtls_local_conn_count += 1
            else:
                self.metrics.non_mtls_remote_conn_count += 1
        return connection

    def is_full_for(self, host: str, is_on_secure_port: bool) -> bool:
        """Tell whether maxClientCnxns or maxCnxns keeps a client of this host out, and note it."""
        config = self.config
        by_host, count = self.connections_by_host, len(self.connections) - self.secure_count
        if is_on_secure_port:
            by_host, count = self.secure_by_host, self.secure_count
        if 0 < config.max_client_cnxns <= by_host.get(host, 0):
            self.rejected(host, f"maxClientCnxns={config.max_client_cnxns}")
            return True
        if 0 < config.max_cnxns <= count:
            self.rejected(host, f"maxCnxns={config.max_cnxns}")
            return True
        return False

    def rejected(self, host: str, limit: str) -> None:
        """Note that a connection from ``host`` was not taken, because of ``limit``."""
        self.metrics.connection_rejected += 1
        log.warning("too many connections from /%s: %s", host, limit, extra=about(host))

    def forget(self, connection: Connection) -> None:
        """Forget a connection that is closed, and its watches; its session stays."""
        self.connections.pop(connection, None)
        by_host = self.connections_by_host
        if connection.is_on_secure_port:
            by_host = self.secure_by_host
            self.secure_count -= 1
        left = by_host.get(connection.host, 0) - 1
        if left > 0:
            by_host[connection.host] = left
        else:
            by_host.pop(connection.host, None)
        if self.tops.clients is not None:
            self.tops.clients.add(connection.host, connection.stats.packets_received)
        self.handshakes.pop(connection, None)
        if self.attaching.get(connection.session_id) is connection:
            del self.attaching[connection.session_id]
        session = connection.session
        if session is not None and session.connection is connection:
            session.connection = None
        self.queues.forget(connection)
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
        """Close the sessions whose time is over, but not too many at once: the deadline stays in
        the past until all are closed."""
        expired = self.sessions.expire(self.clock.now_ms)
        if expired:
            self._note_expired(expired)
        for session in self.sessions.take_expired(self.marks.ended_at_once):
            self.close_session(session)

    def _note_expired(self, expired: list[Session]) -> None:
        self.metrics.stale_sessions_expired += len(expired)
        # One line for all: anybody can leave any number of sessions behind.
        log.info(
            "expired sessions: %s%s",
            ", ".join(
                f"{hex_id(session.session_id)} (timeout {session.timeout_ms} ms)"
                for session in expired[:_SHOWN_SESSIONS]
            ),
            f" and {len(expired) - _SHOWN_SESSIONS} more" if len(expired) > _SHOWN_SESSIONS else "",
        )

    def touch_throttled(self) -> None:
        """Keep the sessions of throttled connections alive: as long as these are not read, their
        clients cannot give a sign of life."""
        for connection in self.queues.throttled:
            self.touch(connection)

    def touch(self, connection: Connection) -> None:
        """Give the session of a connection its full timeout again: its client is alive."""
        session = connection.session
        if session is not None and not connection.is_stale:
            self.sessions.touch(session, self.clock.now_ms)

    def close_session(self, session: Session) -> None:
        """Submit the end of a session that no client has asked for."""
        request = Request(None, session, 0, OpCode.CLOSE_SESSION, None, (), self.clock.now_ms)
        self.queues.submit(request, session)

    def touch_session(self, session_id: int, timeout_ms: int) -> None:
        """On the leader: note that a learner has had a sign of life of this session."""
        session = self.sessions.sessions.get(session_id)
        if session is not None and not session.is_closing:
            session.timeout_ms = timeout_ms
            self.sessions.touch(session, self.clock.now_ms)

    def close_connection_of(self, session_id: int) -> None:
        """Close the connection to this server that has this session, or waits for it."""
        session = self.sessions.sessions.get(session_id)
        if session is not None and session.connection is not None:
            session.connection.close()
        waiting = self.attaching.get(session_id)
        if waiting is not None:
            waiting.close()

    def revalidate(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        """Ask whether the session that a client has come back with still lives; the answer comes to
        ``revalidated``."""
        self.attaching[session_id] = connection
        session = self.sessions.sessions.get(session_id)
        if session is not None and session.is_local:
            self.revalidated(connection, session_id, timeout_ms, not session.is_closing)
        else:
            self.role.revalidate(connection, session_id, timeout_ms)

    def revalidate_for(self, origin: object, session_id: int, timeout_ms: int) -> bool:
        """On the leader: tell whether the session that a client has brought to a learner,
        ``origin``, still lives. If it does, it belongs to that learner from now on; requests that
        still come through another server find that it has moved."""
        self.metrics.revalidate_count += 1
        session = self._living(session_id)
        if session is None or session.is_local:
            return False
        self.touch_session(session_id, timeout_ms)
        session.move(origin)
        self.session_moved(session_id)
        return True

    def session_moved(self, session_id: int) -> None:
        """Serve nothing more of a session here: a learner's client has it now."""
        session = self.sessions.sessions.get(session_id)
        if session is not None and session.connection is not None:
            session.connection.session_moved()

    def revalidate_here(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        """On a server that tracks all sessions: tell whether the session that a client has come
        back with still lives."""
        session = self._living(session_id)
        if session is not None:
            session.move(self)
        self.revalidated(connection, session_id, timeout_ms, session is not None)

    def _living(self, session_id: int) -> Session | None:
        session = self.sessions.sessions.get(session_id)
        return None if session is None or session.is_closing else session

    def revalidated(
        self, connection: Connection, session_id: int, timeout_ms: int, is_valid: bool
    ) -> None:
        """Let a connection go on that has waited to hear whether its session lives."""
        if self.attaching.get(session_id) is not connection:
            return  # it was closed meanwhile
        del self.attaching[session_id]
        assert connection.handshake is not None, connection
        if is_valid:
            session = self.sessions.add(session_id, timeout_ms, self.clock.now_ms)
            connection.handshake.resumed(session)
        else:
            connection.handshake.rejected(session_id)

    # --- numbers --------------------------------------------------------------------

    @property
    def outstanding(self) -> int:
        """How many requests of clients are under way."""
        return self.queues.outstanding

    def count_replies(self, count: int, size: int, smallest: int, largest: int) -> None:
        """Note reads that were answered within one chunk of their client, so in no time."""
        metrics = self.metrics
        metrics.latency.add_many(0, count)
        metrics.readlatency.add_many(0, count)
        metrics.response_bytes += size - count * INT_BYTES
        if smallest != largest:
            metrics.count_response(smallest - INT_BYTES)
        metrics.count_response(largest - INT_BYTES)

    def count_read(self, read: QueuedRead, latency_ms: int, size: int) -> None:
        """Note a read that waited behind a write."""
        metrics = self.metrics
        slow = self.queues.slow
        if latency_ms >= slow.threshold_ms:
            metrics.slow_requests += 1
            slow.saw_read(read, latency_ms)
        metrics.latency.add(latency_ms)
        metrics.readlatency.add(latency_ms)
        metrics.response_bytes += size - INT_BYTES
        metrics.count_response(size - INT_BYTES)


def _logins(config: ServerConfig, rng: Random) -> ClientLogins | None:
    """Return what clients log in at with SASL. Raises ConfigError for rules that are none."""
    sasl = config.sasl
    if sasl is None or sasl.login is None:
        return None
    from pyzk.auth.sasl import logins  # most have none, and start sooner

    return logins.ClientLogins(sasl, sasl.login, rng)
