"""The order of requests: what is answered before what, and what counts as under way.

Pure. ZooKeeper: CommitProcessor, RequestThrottler, ZooKeeperServer.shouldThrottle.
Each session has a queue: its writes in the order in which they came, each with the reads that came
behind it. A write goes to the role at once and leaves the queue when its transaction has been
applied; then it is answered, and after it the reads that waited for it. A learner recognizes the
transaction that its leader has made of a request by session and cxid: the request is the oldest in
that session's queue.

A client's request is *under way* from its place in the queue to its answer. With too many requests
under way (globalOutstandingLimit), or too many of their bytes (`marks`), connections are throttled:
they serve no further frames until ``end_batch`` finds less. Only this module writes these numbers,
also those of a single connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk.clock import Clock
from pyzk.config.server import ServerConfig
from pyzk.constants import ErrorCode, OpCode
from pyzk.data.tree import Applied
from pyzk.jute.archive import INT_BYTES
from pyzk.jute.records import CreateSessionTxn, TxnHeader
from pyzk.metrics import Metrics
from pyzk.server.connection import (
    CLOSED,
    OUT_HIGH_BYTES,
    STALL_CHOKED,
    STALL_THROTTLED,
    Connection,
)
from pyzk.server.operations import makes_ephemeral
from pyzk.server.request import QueuedRead, Request, WaitingRequest
from pyzk.server.sessions import Session, SessionTracker
from pyzk.server.slow_requests import SlowRequests

if TYPE_CHECKING:
    from pyzk.server.audit import Audit
    from pyzk.server.request_throttle import RequestThrottle
    from pyzk.server.role import Role

Queue = list[Request | QueuedRead]

OWN_REQUESTS: Final = 1000
"""So many requests of a connection may be under way beyond globalOutstandingLimit if their xids do
not count for it: more than any client library has, and short enough a queue to take from its head.
"""


class SessionQueues:
    """What one server's clients have under way, and in which order it is answered."""

    def __init__(
        self, config: ServerConfig, clock: Clock, metrics: Metrics, sessions: SessionTracker
    ) -> None:
        self.outstanding: int = 0
        """Requests of clients under way."""
        self.outstanding_bytes: int = 0
        """The bytes of those requests."""
        self.outstanding_limit: int = config.global_outstanding_limit
        """With more requests under way than this, a client that adds one is throttled."""
        self.intake_bytes: int = 0
        """With more bytes under way than this, no further writes are taken."""
        self.is_held: bool = False
        """Whether no further writes are taken, because the role has too much to hand on; the role
        writes it."""
        self.throttled: dict[Connection, None] = {}
        """Connections that wait until less is under way, the longest waiting first."""
        self.large: LargeRequests = LargeRequests(config, metrics)
        self.audit: Audit | None = None
        """What is told how writes end; None if there is no audit log."""
        self.line: RequestThrottle | None = None
        """The requests that wait until less is under way; None if there is no limit to them."""
        self.slow: SlowRequests = SlowRequests(clock, config.slow_request_ms)
        """What says which requests took long."""
        self._clock: Clock = clock
        self._metrics: Metrics = metrics
        self._may_upgrade: bool = config.local_sessions_upgrading_enabled
        self._sessions: SessionTracker = sessions
        self._role: Role
        # What the metrics are told of the transactions and the writes of a batch, when it ends.
        self._made_ms: int = 0
        self._made_count: int = 0
        """How many transactions in a row were made at that time and are not counted yet."""
        self._applied_count: int = 0
        """How many transactions this batch has applied."""
        self._latency_ms: int = 0
        self._latency_count: int = 0
        """How many writes in a row had that latency and are not counted yet."""
        self._response_bytes: int = 0
        self._smallest_response: int = 0
        self._largest_response: int = -1
        """The lengths of the replies; -1 if there was none."""

    def begin(
        self, role: Role, sessions: SessionTracker, outstanding_limit: int, intake_bytes: int
    ) -> None:
        """Hand writes to this role from now on."""
        self._role = role
        self._sessions = sessions
        self.outstanding_limit = outstanding_limit
        self.intake_bytes = intake_bytes

    def end(self, sessions: SessionTracker) -> None:
        """Forget what is under way: the role has ended, and every connection is closed."""
        self._sessions = sessions
        self.outstanding = self.outstanding_bytes = self._made_count = self._applied_count = 0
        self.is_held = False
        self.large.clear()
        if self.audit is not None:
            self.audit.clear()
        if self.line is not None:
            self.line.clear()

    # --- requests come --------------------------------------------------------------

    def submit(self, request: Request, session: Session) -> None:
        """Take a write, or the begin or the end of a session, from a client or from the server
        itself."""
        connection = request.connection
        if connection is not None:
            self.count_in(connection, request.cxid, request.size)
        queue = session.queue
        if request.opcode == OpCode.CLOSE_SESSION:
            self._sessions.mark_closing(session.session_id)
            if session.is_local:
                queue.append(request)
                self._drain(queue)
                return
        elif session.is_local:
            upgrade = self.upgrade(request)
            if upgrade is not None:
                queue.append(upgrade)
                self._role.submit(upgrade)
        queue.append(request)
        self._role.submit(request)

    def upgrade(self, request: Request) -> Request | None:
        """Return the createSession that has to be submitted before this request of a local session,
        None if none has. If upgrading is not allowed, the request is marked as refused."""
        session = request.session
        if session is None or not session.is_local or not makes_ephemeral(request):
            return None
        if not self._may_upgrade:
            request.refusal = ErrorCode.EPHEMERAL_ON_LOCAL_SESSION
            return None
        self._sessions.make_global(session)
        body = CreateSessionTxn(session.timeout_ms)
        now_ms = self._clock.now_ms
        upgrade = Request(None, session, 0, OpCode.CREATE_SESSION, body, (), now_ms)
        upgrade.owner = request.owner
        return upgrade

    def wait(self, read: QueuedRead, session: Session) -> None:
        """Let a read wait for the writes of its session."""
        session.queue.append(read)
        self.count_in(read.connection, read.xid, read.size)
        if read.connection.stalled & STALL_CHOKED:
            self._park(session.queue)

    def count_in(self, connection: Connection, xid: int, size: int) -> None:
        """Note that a request of ``size`` bytes is under way, or waits in line."""
        connection.outstanding += 1
        self.outstanding += 1
        self.outstanding_bytes += size
        if self.outstanding > self.outstanding_limit and (
            xid > 0 or connection.outstanding > OWN_REQUESTS
        ):
            self.throttle(connection)

    def throttle(self, connection: Connection) -> None:
        """Have a connection serve no further frames until less is under way."""
        if connection.state == CLOSED:
            return
        connection.stall(STALL_THROTTLED)
        self.throttled[connection] = None

    @property
    def is_full(self) -> bool:
        """Whether so many bytes are under way that no further writes are taken."""
        return self.outstanding_bytes > self.intake_bytes or self.is_held

    # --- transactions are applied ---------------------------------------------------

    def finish(self, request: Request, applied: Applied) -> None:
        """Answer a request whose transaction has been applied, and the reads behind it."""
        if self.audit is not None:
            self.audit.finished(request, applied)
        made_ms = request.time  # on a learner the request has none: ``committed`` has counted it
        if made_ms:
            if made_ms != self._made_ms:
                self._count_made(made_ms)
            self._made_count += 1
        connection = request.connection
        if connection is not None:
            # Not count_out: the hot path saves the call.
            connection.outstanding -= 1
            self.outstanding -= 1
            self.outstanding_bytes -= request.size
        if request.opcode < 0:
            self._finish_session(request, applied.err)
        elif connection is not None:
            self._note_update(request, connection.answer(request, applied))
        session = request.session
        if session is not None:
            self._leave(request, session.queue)

    def committed(self, header: TxnHeader, applied: Applied) -> None:
        """On a learner: a transaction has been applied. If a client of this server asked for it,
        its request is the oldest of that session, and is finished."""
        if header.time != self._made_ms:
            self._count_made(header.time)
        self._made_count += 1
        session = self._sessions.sessions.get(header.client_id)
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
        """On a learner: the leader has answered this request with SYNC."""
        connection = request.connection
        session = request.session
        assert connection is not None, request
        assert session is not None, request
        queue = session.queue
        if queue and queue[0] is request:  # else its session is over
            self.count_out(connection, request.size)
            connection.answer_sync(request)
            self._leave(request, queue)

    def end_batch(self) -> None:
        """After a batch of writes: count them, and let requests and throttled connections go on if
        less is under way."""
        if self._latency_count:
            self._count_updates()
        if self._made_count:
            self._count_applied()
        if self.line is not None:
            self.line.go_on()
        while self.throttled and self.outstanding <= self.outstanding_limit and not self.is_full:
            connection = next(iter(self.throttled))
            del self.throttled[connection]
            connection.resume(STALL_THROTTLED)

    # --- clients read, and leave ----------------------------------------------------

    def go_on(self, session: Session) -> None:
        """Answer parked reads: the client has taken the replies before them."""
        if session.queue and isinstance(session.queue[0], QueuedRead):
            self._drain(session.queue)
            self.end_batch()

    def forget(self, connection: Connection) -> None:
        """Let nothing wait for a connection that is closed."""
        self.throttled.pop(connection, None)
        if connection.session is not None:
            self._drain(connection.session.queue)

    # --- inside a queue -------------------------------------------------------------

    def count_out(self, connection: Connection, size: int) -> None:
        """Note that a request of ``size`` bytes is no longer under way."""
        connection.outstanding -= 1
        self.outstanding -= 1
        self.outstanding_bytes -= size

    def _leave(self, request: Request, queue: Queue) -> None:
        if request.large_bytes:
            self.large.end(request)
        if queue and queue[0] is request:
            queue.pop(0)
            if queue:
                self._drain(queue)

    def _finish_session(self, request: Request, err: int) -> None:
        """Let the connection go on whose session has begun; close the one whose session is over."""
        connection = request.connection
        if request.opcode == OpCode.CREATE_SESSION:
            if connection is not None and connection.handshake is not None:
                connection.handshake.created(err)
            return
        if connection is not None:
            connection.session_closed(request.cxid)
        self._end_session(request.client_id)

    def _end_session(self, session_id: int) -> None:
        session = self._sessions.remove(session_id)
        if session is not None and session.connection is not None:
            # Expired: closed without a word, the events of its own ephemerals included.
            session.connection.closed()

    def _drain(self, queue: Queue) -> None:
        """Answer the reads at the head of a queue, but no more than a client may leave unread: the
        rest is parked, unless a write is behind it, which must not wait for that."""
        size = 0
        while queue:
            head = queue[0]
            if isinstance(head, Request):
                session = head.session
                if head.opcode == OpCode.CLOSE_SESSION and session is not None and session.is_local:
                    queue.pop(0)
                    self.finish(head, Applied(head.opcode))
                return
            connection = head.connection
            is_closed = connection.state == CLOSED
            if size > OUT_HIGH_BYTES and not is_closed:
                if self._park(queue):
                    connection.stall(STALL_CHOKED)
                    return
                size = 0
            size += self._answer_reads(queue, OUT_HIGH_BYTES - size)

    def _answer_reads(self, queue: Queue, room: int) -> int:
        """Answer reads at the head of a queue, one at least, until the replies have more bytes than
        ``room``; return how many they have. (No read touches the queue. To take them out one by one
        would cost the square of their number.)"""
        count = size = 0
        for head in queue:
            if isinstance(head, Request) or (count and size > room):
                break
            count += 1
            if head.large_bytes:
                self.large.end(head)
            self._count_out_read(head)
            if head.connection.state != CLOSED:
                size += head.connection.answer_read(head)
        del queue[:count]
        self._metrics.reads_after_write_in_session_queue.add(count)
        return size

    def answer_parked(self, session: Session) -> None:
        """Answer parked reads although their client does not take replies: a write of the session
        comes behind them, and must not wait for that."""
        queue = session.queue
        while queue and isinstance(queue[0], QueuedRead):
            self._answer_reads(queue, OUT_HIGH_BYTES)

    def _park(self, queue: Queue) -> bool:
        """Let reads wait for their client to take replies, which may take any time: they no longer
        count as under way, so they hold up nobody else. Return False, and do nothing, if a write is
        among them."""
        if any(isinstance(each, Request) for each in queue):
            return False
        for each in queue:
            assert isinstance(each, QueuedRead), each
            self.large.end(each)
            if not each.is_parked:
                self.count_out(each.connection, each.size)
                each.is_parked = True
                each.connection.parked_bytes += each.size
        return True

    def began_large(self, session: Session, length: int) -> None:
        """Note that the newest request of this session is a large one."""
        line = self.line
        newest = line.waiting[-1] if line is not None and line.waiting else session.queue[-1]
        self.large.begin(newest, length)

    def _count_out_read(self, read: QueuedRead) -> None:
        """Note that a read in a queue is answered, or never will be."""
        if read.is_parked:
            read.connection.parked_bytes -= read.size
        else:
            self.count_out(read.connection, read.size)

    def _abandon(self, queue: Queue) -> None:
        """Forget what is queued in a session that is over; nobody is told."""
        for request in queue:
            self.large.end(request)
            if isinstance(request, QueuedRead):
                self._count_out_read(request)
                continue
            if self.audit is not None:
                self.audit.abandoned(request)
            if request.connection is not None:
                self.count_out(request.connection, request.size)
        queue.clear()

    def _note_update(self, request: Request, size: int) -> None:
        """Note that a write was answered with ``size`` bytes."""
        latency_ms = self._clock.now_ms - request.received_ms
        if latency_ms != self._latency_ms:
            self._count_latencies()
            self._latency_ms = latency_ms
            if latency_ms >= self.slow.threshold_ms:
                self.slow.saw_write(request, latency_ms)
        self._latency_count += 1
        self._response_bytes += size
        if self._largest_response < 0:
            self._smallest_response = self._largest_response = size
        elif size < self._smallest_response:
            self._smallest_response = size
        elif size > self._largest_response:
            self._largest_response = size

    def _count_latencies(self) -> None:
        """Tell the metrics of the last writes in a row that had one latency."""
        metrics = self._metrics
        if self._latency_ms >= self.slow.threshold_ms:
            metrics.slow_requests += self._latency_count
        metrics.latency.add_many(self._latency_ms, self._latency_count)
        metrics.updatelatency.add_many(self._latency_ms, self._latency_count)
        self._response_bytes -= self._latency_count * INT_BYTES
        self._latency_count = 0

    def _count_made(self, made_ms: int) -> None:
        """Tell the metrics of the last transactions in a row that were made at one time; the next
        one was made at another."""
        count, self._made_count = self._made_count, 0
        took_ms = self._clock.wall_ms - self._made_ms
        self._made_ms = made_ms
        if not count:
            return
        self._applied_count += count
        if took_ms < 0:
            return  # the clock of the leader is ahead of this one
        metrics = self._metrics
        metrics.propagation_latency.add_many(took_ms, count)
        # What a quorum has is applied at once, and so is what a learner hears of.
        if self._role.mode == "leader":
            metrics.quorum_ack_latency.add_many(took_ms, count)
        elif self._role.mode != "standalone":
            metrics.commit_propagation_latency.add_many(took_ms, count)

    def _count_applied(self) -> None:
        """Tell the metrics of the transactions of a batch."""
        self._count_made(self._made_ms)
        count, self._applied_count = self._applied_count, 0
        if self._role.mode != "standalone":
            self._metrics.request_commit_queued += count
            self._metrics.write_commit_proc_issued.add(count)

    def _count_updates(self) -> None:
        """Tell the metrics of the writes of a batch."""
        self._count_latencies()
        metrics = self._metrics
        metrics.response_bytes += self._response_bytes
        if self._smallest_response != self._largest_response:
            metrics.count_response(self._smallest_response - INT_BYTES)
        metrics.count_response(self._largest_response - INT_BYTES)
        self._response_bytes = 0
        self._largest_response = -1


class LargeRequests:
    """Counts the bytes of the requests under way that are longer than ``largeRequestThreshold``:
    together they may have ``largeRequestMaxBytes``."""

    def __init__(self, config: ServerConfig, metrics: Metrics) -> None:
        threshold = config.large_request_threshold
        longest = config.jute_max_buffer
        self.plain_limit = min(longest, threshold) if threshold >= 0 else longest
        """The length of the longest frame that is no large request."""
        self.bytes = 0
        self._max_bytes = config.large_request_max_bytes
        self._metrics = metrics

    def has_room(self, length: int) -> bool:
        """Tell whether a request of this length may be added to those under way."""
        if length <= self.plain_limit or self.bytes + length <= self._max_bytes:
            return True
        self._metrics.large_requests_rejected += 1
        return False

    def begin(self, request: Request | QueuedRead | WaitingRequest, length: int) -> None:
        """Note that a large request is under way."""
        request.large_bytes = length
        self.bytes += length

    def clear(self) -> None:
        """Note that nothing is under way."""
        self.bytes = 0

    def end(self, request: Request | QueuedRead | WaitingRequest) -> None:
        """Note that a request, large or not, is answered or never will be."""
        self.bytes -= request.large_bytes
        request.large_bytes = 0
