"""The throttle of requests: no more than so many are under way, the others wait in one line.

Pure. ZooKeeper: RequestThrottler.
With ``request_throttle_max_requests`` a request that finds as many under way waits, and so does
every later one, whoever sends it. When something has been answered the longest waiting go on, in
the order in which they came. A request whose client is gone meanwhile is *stale*, or, if that is
asked for, one that has waited longer than its session's timeout. A stale one can be dropped; then
its connection is closed, and what it has behind it is dropped, too, for no request may overtake
another one of its session. A request that has waited longer than ``throttled_op_wait_time`` is
answered with THROTTLEDOP in its turn, and not carried out.

What waits counts like what is under way for globalOutstandingLimit and the bytes (`marks`): so the
line is bounded, and clients that fill it are not read.

Where this differs from ZooKeeper, on purpose: a ping does not wait, nor does the begin of a session
(connection_throttle_tokens is for that), and a session whose requests wait has been heard of. There
a long line makes sessions expire whose clients live.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pyzk.constants import ErrorCode, OpCode
from pyzk.server.connection import CLOSED, OUT_HIGH_BYTES, STALL_CHOKED
from pyzk.server.reply import encode_error
from pyzk.server.request import QueuedRead, WaitingRequest

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.server import Server


class RequestThrottle:
    """The line of one server's clients."""

    def __init__(self, server: Server) -> None:
        config = server.config
        self.waiting: deque[WaitingRequest] = deque()
        self._server = server
        self._limit = config.request_throttle_max_requests
        self._drops_stale = config.request_throttle_drop_stale
        self._checks_connection = config.request_stale_connection_check
        self._checks_latency = config.request_stale_latency_check
        self._patience_ms = config.throttled_op_wait_time_ms
        self._counts: dict[Connection, int] = {}
        """Connection -> how many of its requests wait."""
        self._invalid: set[Connection] = set()
        """Connections of which a request was dropped, and more wait."""

    @property
    def _is_full(self) -> bool:
        return self._server.queues.outstanding - len(self.waiting) >= self._limit

    def holds(self, connection: Connection, xid: int, opcode: int, body: bytes) -> bool:
        """Let a request wait, if it has to."""
        if opcode == OpCode.PING:
            return False
        server = self._server
        if not self.waiting:
            if not self._is_full:
                server.metrics.request_throttle_queue_time_ms.add(0)
                return False
            server.metrics.request_throttle_wait_count += 1
        waiting = WaitingRequest(connection, xid, opcode, body, server.clock.now_ms)
        self.waiting.append(waiting)
        self._counts[connection] = self._counts.get(connection, 0) + 1
        queues = server.queues
        queues.count_in(connection, xid, waiting.size)
        if queues.outstanding > queues.outstanding_limit:
            queues.throttle(connection)  # whatever its xid: nothing else bounds the line
        return True

    def go_on(self) -> None:
        """Let those go on whose turn it is, and drop what is stale."""
        answered: dict[Connection, int] = {}
        while self.waiting:
            head = self.waiting[0]
            connection = head.connection
            is_stale = self._is_stale(head)
            if connection in self._invalid:
                self._leave(head)
            elif is_stale and self._drops_stale:
                self._server.metrics.stale_requests_dropped += 1
                self._invalid.add(connection)
                self._leave(head)
                if connection.state != CLOSED:
                    connection.refuse("its request has waited longer than its session's timeout")
            elif self._is_full:
                self._server.metrics.request_throttle_wait_count += 1
                return
            else:
                large_bytes = head.large_bytes
                self._leave(head)
                self._server.metrics.stale_requests += is_stale
                size = self._serve(head, large_bytes)
                if size:
                    answered[connection] = answered.get(connection, 0) + size
                    if answered[connection] > OUT_HIGH_BYTES:
                        connection.stall(STALL_CHOKED)

    def clear(self) -> None:
        """Forget the line: the role has ended, and nothing is under way."""
        self.waiting.clear()
        self._counts.clear()
        self._invalid.clear()

    def _is_stale(self, waiting: WaitingRequest) -> bool:
        """Tell whether nobody waits for the answer; the end of a session is never stale."""
        if waiting.opcode == OpCode.CLOSE_SESSION:
            return False
        connection = waiting.connection
        if self._checks_connection and connection.state == CLOSED:
            return True
        waited_ms = self._server.clock.now_ms - waiting.received_ms
        return self._checks_latency and waited_ms > connection.timeout_ms

    def _leave(self, head: WaitingRequest) -> None:
        """Take the first out of the line."""
        queues = self._server.queues
        self.waiting.popleft()
        connection = head.connection
        queues.large.end(head)
        queues.count_out(connection, head.size)
        left = self._counts[connection] - 1
        if left:
            self._counts[connection] = left
        else:
            del self._counts[connection]
            self._invalid.discard(connection)

    def _serve(self, head: WaitingRequest, large_bytes: int) -> int:
        """Serve a request that has waited. Return the length of the reply if it was a read that is
        answered, else 0."""
        server, connection, session = self._server, head.connection, head.connection.session
        now_ms = server.clock.now_ms
        waited_ms = now_ms - head.received_ms
        server.metrics.request_throttle_queue_time_ms.add(waited_ms)
        if session is None or not session.is_tracked:
            return 0  # it is over, and a leader's answer to a learner would find nobody
        if connection.state == CLOSED and head.opcode in server.reads:
            return 0
        before = connection.outstanding
        if head.opcode not in server.reads:
            server.queues.answer_parked(session)
        if not 0 < self._patience_ms < waited_ms or head.opcode == OpCode.CLOSE_SESSION:
            size = connection.serve_now(head.xid, head.opcode, head.body)
        else:
            server.metrics.throttled_ops += 1
            if session.is_closing:
                return 0
            late = QueuedRead(connection, _late, head.xid, b"", now_ms)
            size = connection.wait(session, late)
        if large_bytes and connection.outstanding > before:
            server.queues.began_large(session, large_bytes)
        return size


def _late(
    server: Server, connection: Connection, xid: int, buffer: bytes, offset: int, end: int
) -> bytes:
    """Answer a request that has waited too long."""
    return encode_error(xid, server.tree.last_zxid, ErrorCode.THROTTLED_OP)
