"""One client connection: bytes in, frames, replies out.

Pure. Answers to NIOServerCnxn and ZooKeeperServer's processConnectRequest and processPacket.
Theory of operation:

    HANDSHAKE   four-letter word, or a ConnectRequest
    ATTACHING   a new session is on its way through the log, or the leader is asked about an old
                one (`handshake`); frames that came early wait
    OPEN        reads are answered at once, writes are submitted, reads behind the session's own
                writes wait in the session's queue
    CLOSED      nothing more is read; what is in ``out`` is still written

A connection stops taking frames while it is *stalled*: it attaches, too many requests are on the
way (globalOutstandingLimit) or too many of their bytes (`marks`), or the client does not read its
replies. Nothing waits for itself: no frame is needed to free bytes, and while there are too many of
them pings, reads and the ends of sessions are still served. The driver is told by ``is_stalled``
and stops reading the socket. Misbehaviour never raises: it closes this connection.

Long because the way of a frame in and that of its reply out share the stalls, which must not be
told twice.
"""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Final

from pyzk.auth.ip import peer_address
from pyzk.auth.provider import AuthId
from pyzk.constants import MAX_IDENTITIES, MAX_IDENTITIES_BYTES, ErrorCode, OpCode
from pyzk.data.acl import OPEN_ACL_ID
from pyzk.data.tree import Applied
from pyzk.errors import JuteError, KeeperError
from pyzk.int64 import hex_id
from pyzk.jute.archive import NULL, encode_string, unpack_int
from pyzk.jute.records import AuthPacket, SASLToken
from pyzk.outsiders import about
from pyzk.server import fourletter, handshake
from pyzk.server.connection_state import (
    ATTACHING,
    CLOSED,
    HANDSHAKE,
    OPEN,
    STALL_ATTACHING,
    STALL_CHOKED,
    STALL_THROTTLED,
)
from pyzk.server.connection_stats import ConnectionStats
from pyzk.server.garbage import describe_bytes
from pyzk.server.operations import TAGS, WriteDecoder
from pyzk.server.reads import sync, unreadable
from pyzk.server.reply import encode_applied, encode_error, encode_event, encode_reply, says_moved
from pyzk.server.request import QueuedRead, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyzk.server.server import Server
    from pyzk.server.sessions import Session

log = logging.getLogger(__name__)

__all__ = [
    "ATTACHING",
    "CLOSED",
    "HANDSHAKE",
    "OPEN",
    "STALL_ATTACHING",
    "STALL_CHOKED",
    "STALL_THROTTLED",
    "Connection",
]

ANSWER_BYTES: Final = 1 << 13
"""Of the answer to a four-letter word: beyond it the other clients have their turn."""
OUT_HIGH_BYTES: Final = 1 << 20
"""Replies of one client that wait for the socket; beyond it no more of its frames are served."""

SHORT_BYTES: Final = 1 << 10
"""So long a read may be that waits behind a write although too many bytes are on the way."""
PIECE_BYTES: Final = 1 << 16
"""So much may be missing of a frame that is awaited although too many bytes are on the way."""

_unpack_frame: Final = struct.Struct(">iii").unpack_from
_UNORDERED: Final = frozenset({OpCode.AUTH, OpCode.SASL})
"""Answered at once, and no sign of life of the session."""
_READ_PERM: Final = 1


class Connection:
    """What a server knows of one TCP connection. Also a Watcher: events go to ``out``."""

    __slots__ = (
        "_answer",
        "_held",
        "_missing",
        "auth_ids",
        "host",
        "is_dirty",
        "is_old_client",
        "is_stale",
        "out",
        "outstanding",
        "parked_bytes",
        "port",
        "server",
        "session",
        "session_id",
        "shell",
        "stalled",
        "state",
        "stats",
        "timeout_ms",
    )

    def __init__(self, server: Server, host: str, port: int) -> None:
        self.server = server
        self.host = host
        self.port = port
        self.auth_ids: tuple[AuthId, ...] = (AuthId("ip", peer_address(host)),)
        self.session: Session | None = None
        self.session_id = 0
        self.timeout_ms = 0
        self.state = HANDSHAKE
        self.stats = ConnectionStats(server.clock)
        self.out: list[bytes] = []
        self.is_dirty = False
        """In the outbox already."""
        self.stalled = 0
        """The reasons (STALL_ bits) to serve no further frames for now."""
        self.shell: object = None
        """What the driver keeps with this connection, its socket say."""
        self.outstanding = 0
        """Requests on the way: writes, and reads behind them."""
        self.parked_bytes = 0
        """Of reads that wait for this client to take the replies before them."""
        self._held: list[bytes] = []
        self._answer: Iterator[bytes] | None = None
        """The rest of the answer to a four-letter word."""
        self._missing = 1
        """How many bytes must come before it makes sense to look at ``_held`` again."""
        self.is_old_client = False
        """Its ConnectRequest had no readOnly, so the answer has none either."""
        self.is_stale = False
        """Its session has moved to another member; on the leader only."""

    # --- input ----------------------------------------------------------------------

    @property
    def is_stalled(self) -> bool:
        """Whether the driver should stop reading the socket."""
        return self.stalled != 0

    @property
    def is_answering(self) -> bool:
        """Whether more is to come of the answer to a four-letter word."""
        return self._answer is not None

    def receive(self, data: bytes) -> None:
        """Take the next bytes of the client."""
        if self.state == CLOSED:
            return
        held = self._held
        if held or self.stalled:
            held.append(data)
            self._missing -= len(data)
            if self._missing > 0 or self.stalled:
                return
            data = b"".join(held)
            self._held = []
        self._scan(data)
        if self.out and not self.is_dirty:
            self.mark_dirty()

    def resume(self, reason: int) -> None:
        """A reason to stall is gone: go on, if it was the last, with the frames that came
        meanwhile."""
        if not self.stalled & reason or self.state == CLOSED:
            return
        self.stalled &= ~reason
        if reason == STALL_CHOKED and self.session is not None:
            self.server.touch(self)  # it has taken replies, and its PINGs may be behind more
            self.server.go_on(self.session)
        if self.stalled:
            return
        self.mark_dirty()
        if self._answer is not None:
            self._go_on_answering(self._answer)
        elif self._held:
            data = b"".join(self._held)
            self._held = []
            self._scan(data)

    def _scan(self, data: bytes) -> None:
        """Serve every whole frame; keep the rest."""
        offset = 0
        end = len(data)
        missing = 1
        while offset < end:
            if self.state == OPEN and not self.stalled:
                offset = self._serve(data, offset, end, self.server.large.plain_limit)
            if self.state == CLOSED:
                return
            left = end - offset
            if self.stalled:
                missing = 0
                break
            if left < 4:
                missing = 4 - left
                break
            (length,) = unpack_int(data, offset)
            if self.state == HANDSHAKE and fourletter.is_word(data[offset : offset + 4]):
                missing = self._four_letter_word(data, offset, left)
                if missing <= 0:
                    return
                break
            if not self._is_good_length(length, data, offset):
                return
            missing = length + 4 - left
            if missing > 0:
                if missing > PIECE_BYTES and self.state == OPEN and self.server.is_full:
                    self._throttle()
                break
            if self.state == HANDSHAKE:
                self.stats.received(1)
                self.server.metrics.packets_received += 1
                handshake.connect(self, data, offset + 4, offset + 4 + length)
                offset += 4 + length
            else:
                offset = self._serve_large(data, offset, length)
            missing = 1
        if offset < end:
            self._held.append(data[offset:] if offset else data)
        self._missing = missing

    def _is_good_length(self, length: int, data: bytes, offset: int) -> bool:
        """Close the connection for a length that no frame has."""
        least = 8 if self.state == OPEN else 0
        if least <= length <= self.server.config.jute_max_buffer:
            if self.state != OPEN or self.server.large.has_room(length):
                return True
            self.refuse(f"request of {length} bytes beside other large ones (largeRequestMaxBytes)")
            return False
        self.server.metrics.bytes_received_count += 4
        if self.state == OPEN:
            self.refuse(
                f"frame of {length} bytes (jute.maxbuffer is {self.server.config.jute_max_buffer})"
            )
        else:
            self.refuse(f"{describe_bytes(data[offset : offset + 64])} on the client port")
        return False

    def _serve_large(self, data: bytes, offset: int, length: int) -> int:
        """Serve one frame of which not too many may be on the way, unless it has to wait; return
        the offset behind what was served."""
        assert length > self.server.large.plain_limit, length
        before = self.outstanding
        end = offset + 4 + length
        end = self._serve(data, offset, end, length)
        session = self.session
        if self.outstanding > before and session is not None:
            self.server.large.begin(session.queue[-1], length)
        return end

    def _serve(self, data: bytes, offset: int, end: int, limit: int) -> int:
        """Serve the whole frames of at most ``limit`` bytes from ``offset`` on; return the offset
        behind the last one."""
        server = self.server
        session = self.session
        assert session is not None
        tree, queue, out = server.tree, session.queue, self.out
        is_full = server.is_full
        is_guarded = server.is_guarded or self.is_stale
        reads, writes = server.reads, server.writes
        count = unordered = replied = size = largest = xid = opcode = 0
        smallest = limit_bytes = OUT_HIGH_BYTES
        while end - offset >= 12:
            length, xid_, opcode_ = _unpack_frame(data, offset)
            body_end = offset + 4 + length
            if length < 8 or length > limit or body_end > end:
                break
            xid, opcode = xid_, opcode_
            if is_full and self._must_wait(opcode, length):
                break
            count += 1
            handler = reads.get(opcode)
            if handler is None or queue or is_guarded or session.is_closing:
                decoder = writes.get(opcode)
                if decoder is None or is_guarded or session.is_closing:
                    unordered += opcode in _UNORDERED
                    limit_bytes -= self._dispatch(xid, opcode, data[offset + 12 : body_end])
                else:
                    self._write(session, decoder, xid, opcode, data, offset + 12, body_end)
                offset = body_end
                if self.state != OPEN or self.stalled or size > limit_bytes:
                    break
                continue
            try:
                reply = handler(server, self, xid, data, offset + 12, body_end)
            except KeeperError as error:
                reply = encode_error(xid, tree.last_zxid, error.code)
            except JuteError:
                reply = encode_error(xid, tree.last_zxid, ErrorCode.MARSHALLING_ERROR)
            out.append(reply)
            offset = body_end
            replied += 1
            length = len(reply)
            size += length
            if length < smallest:
                smallest = length
            if length > largest:
                largest = length
            if size > limit_bytes:
                break
        if size > limit_bytes:
            self.stall(STALL_CHOKED)
        if count:
            if count > unordered:
                server.sessions.touch(session, server.clock.now_ms)
            server.metrics.packets_received += count
            self.stats.served(count, replied, xid, TAGS.get(opcode, "NA"), tree.last_zxid)
            if replied:
                server.count_replies(replied, size, smallest, largest)
        return offset

    def _dispatch(self, xid: int, opcode: int, body: bytes) -> int:
        """Serve a frame that is no plain read: a write, or something that must wait or end. Return
        the length of the reply if it was a read that is answered."""
        if opcode == OpCode.AUTH:
            self._authenticate(xid, body)
            return 0
        if opcode == OpCode.SASL:
            self._sasl(xid, body)
            return 0
        server = self.server
        session = self.session
        assert session is not None
        if server.access.is_refused(self.auth_ids):
            self.send(encode_error(xid, 0, ErrorCode.SESSION_CLOSED_REQUIRE_SASL_AUTH))
            self.refuse("no authentication of a scheme that enforce.auth.schemes names")
            return 0
        if session.is_closing:
            return 0  # dropped without a reply, as the original does
        if self.is_stale:
            self.refuse("its session has moved to another server")
            return 0
        handler = server.reads.get(opcode)
        if handler is not None:
            read = QueuedRead(self, handler, xid, opcode, body, server.clock.now_ms)
            return self._wait(session, read)
        decoder = server.writes.get(opcode)
        if decoder is None:
            self.send(encode_error(xid, -1, ErrorCode.UNIMPLEMENTED))
            self.refuse(f"unknown operation {opcode}")
            return 0
        self._write(session, decoder, xid, opcode, body, 0, len(body))
        return 0

    def _write(
        self,
        session: Session,
        decoder: WriteDecoder,
        xid: int,
        opcode: int,
        buffer: bytes,
        offset: int,
        end: int,
    ) -> None:
        try:
            record = decoder(buffer, offset, end)
        except JuteError:
            now_ms = self.server.clock.now_ms
            self._wait(session, QueuedRead(self, unreadable, xid, opcode, b"", now_ms))
            return
        self.submit(session, xid, opcode, record, end - offset)

    def _wait(self, session: Session, read: QueuedRead) -> int:
        """Queue a read behind the session's writes, or answer it if there are none; return the
        length of the reply."""
        if not session.queue:
            return self._answer_read(read)
        session.queue.append(read)
        self._count_in(read.xid, read.size)
        return 0

    def submit(
        self, session: Session, xid: int, opcode: int, record: object, size: int = 0
    ) -> None:
        """Hand a write to the role; ``size`` is what counts as on the way."""
        server = self.server
        request = Request(
            self, session, xid, opcode, record, self.auth_ids, server.clock.now_ms, size
        )
        self._count_in(xid, size)
        if opcode < 0 or session.is_local:
            server.submit(request, session)
            return
        session.queue.append(request)
        server.role.submit(request)

    def _count_in(self, xid: int, size: int) -> None:
        server = self.server
        self.outstanding += 1
        server.outstanding += 1
        server.outstanding_bytes += size
        if server.outstanding > server.outstanding_limit and xid > 0:
            self._throttle()

    def _throttle(self) -> None:
        """Serve no further frames until less is on the way."""
        self.stall(STALL_THROTTLED)
        self.server.throttled[self] = None

    def _must_wait(self, opcode: int, length: int) -> bool:
        """Stall if a frame would add to the bytes on the way, which are too many; tell whether it
        would. What begins or ends a session is short, and is not held up."""
        session = self.session
        if opcode <= 0 or session is None or session.is_closing:
            return False
        if opcode in self.server.writes or (length > SHORT_BYTES and session.queue):
            self._throttle()
            return True
        return False

    def stall(self, reason: int) -> None:
        """Serve no further frames until ``resume`` with the same reason.

        The driver stalls with STALL_CHOKED while the client does not read, and resumes; the core
        stalls with it after OUT_HIGH_BYTES of replies, the driver resumes when they are written.
        """
        self.stalled |= reason
        self.mark_dirty()

    # --- other than requests --------------------------------------------------------

    def _four_letter_word(self, data: bytes, offset: int, left: int) -> int:
        """Answer a four-letter word; return how many bytes are missing for it."""
        word = data[offset : offset + 4]
        needed = fourletter.needs(self.server, word)
        missing = 4 + needed - left
        if missing > 0:
            return missing
        self.stats.received(1)
        self.server.metrics.packets_received += 1
        argument = data[offset + 4 : offset + 4 + needed]
        self._answer = fourletter.answer(self.server, word, argument, self)
        self._go_on_answering(self._answer)
        return 0

    def _go_on_answering(self, answer: Iterator[bytes]) -> None:
        """Send the next pieces of the answer to a four-letter word, and close after the last; or
        stall, so that the driver resumes when others have had their turn and the client reads."""
        size = 0
        for piece in answer:
            self.send(piece)
            size += len(piece)
            if size >= ANSWER_BYTES:
                self.stall(STALL_CHOKED)
                return
        self.close()

    def _authenticate(self, xid: int, body: bytes) -> None:
        """Answered at once, out of order; any failure is -115 and the end of the connection."""
        try:
            packet, _ = AuthPacket.decode(body, 0, len(body))
        except JuteError as error:
            self.refuse(f"unreadable auth packet ({error})")
            return
        provider = self.server.registry.get(packet.scheme)
        ids = None if provider is None else provider.authenticate(self.host, packet.auth)
        if ids is None:
            self.send(encode_error(xid, 0, ErrorCode.AUTH_FAILED))
            self.refuse(f"authentication failed, scheme {packet.scheme!r}")
            return
        all_ids = tuple(dict.fromkeys(self.auth_ids + ids))
        size = sum(
            len(encode_string(each.scheme)) + len(encode_string(each.id)) for each in all_ids
        )
        if len(all_ids) > MAX_IDENTITIES or size > MAX_IDENTITIES_BYTES:
            # They go with each request to a leader, who takes no more of them.
            self.send(encode_error(xid, 0, ErrorCode.AUTH_FAILED))
            self.refuse(f"{len(all_ids)} identities of {size} bytes are too many")
            return
        self.auth_ids = all_ids
        self.send(encode_error(xid, 0, ErrorCode.OK))

    def _sasl(self, xid: int, body: bytes) -> None:
        """No SASL is configured: a null token says so, the connection stays."""
        try:
            token, _ = SASLToken.decode(body, 0, len(body))
        except JuteError as error:
            self.refuse(f"unreadable SASL packet ({error})")
            return
        if token.token is None:
            self.refuse("SASL packet without token")
            return
        self.send(encode_reply(xid, 0, NULL))

    # --- output ---------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Queue a frame, and this connection for the driver."""
        if self.state != CLOSED:
            self.out.append(data)
            if not self.is_dirty:
                self.mark_dirty()

    def mark_dirty(self) -> None:
        """Tell the driver to look: something to write, to pause or to close."""
        if not self.is_dirty:
            self.is_dirty = True
            self.server.outbox.dirty.append(self)

    def send_event(self, event_type: int, path: str, zxid: int) -> None:
        """Send a watch event."""
        self.send(encode_event(event_type, path, zxid))

    def deliver(self, event_type: int, path: str, zxid: int, acl_id: int) -> None:
        """Send a watch event if the client may read the znode (or, of children, the parent)."""
        if acl_id == OPEN_ACL_ID or self.server.permits(acl_id, _READ_PERM, self.auth_ids):
            self.send(encode_event(event_type, path, zxid))

    def reset_stats(self) -> None:
        """Forget the numbers (``crst``)."""
        self.stats.reset()

    def answer(self, request: Request, applied: Applied) -> int:
        """Answer a write whose transaction has been applied; return the length of the reply."""
        server = self.server
        self.outstanding -= 1
        server.outstanding -= 1
        server.outstanding_bytes -= request.size
        if self.state == CLOSED:
            return 0
        zxid = server.tree.last_zxid
        if applied.err or applied.results is not None:
            if says_moved(applied):
                self.refuse("its session has moved to another server")
                return 0
            if applied.err and request.refusal:
                applied = Applied(applied.type, request.refusal)
        reply = encode_applied(request.cxid, zxid, applied)
        self.out.append(reply)
        if not self.is_dirty:
            self.mark_dirty()
        self.stats.answered(zxid, server.clock.now_ms - request.received_ms)
        return len(reply)

    def session_created(self, err: int) -> None:
        """The session is in the database: say so, and go on with frames that came early."""
        self.count_out(0)  # no client has sent this request
        if self.state != ATTACHING:
            return
        if err:
            self.refuse(f"its session could not be made ({ErrorCode.NAMES.get(err, err)})")
        else:
            handshake.open_session(self)

    def session_closed(self, request: Request) -> None:
        """The session is gone on the client's request: say so, and close."""
        self.count_out(request.size)
        self.send(encode_error(request.cxid, self.server.tree.last_zxid, ErrorCode.OK))
        self.close()

    def count_out(self, size: int) -> None:
        """One request fewer is on the way, which had ``size`` bytes."""
        self.outstanding -= 1
        self.server.outstanding -= 1
        self.server.outstanding_bytes -= size

    def park(self, read: QueuedRead) -> None:
        """A read is on the way no more: it waits for the client alone, and holds up nobody else."""
        if not read.is_parked:
            self.count_out(read.size)
            read.is_parked = True
            self.parked_bytes += read.size

    def read_over(self, read: QueuedRead) -> None:
        """A read that has waited is answered, or never will be."""
        if read.is_parked:
            self.parked_bytes -= read.size
        else:
            self.count_out(read.size)

    def finish_read(self, read: QueuedRead) -> int:
        """Answer a read whose session's earlier writes have all been applied; return the length of
        the reply."""
        self.read_over(read)
        return 0 if self.state == CLOSED else self._answer_read(read)

    def finish_sync(self, request: Request) -> None:
        """On a learner: what was committed when the leader saw the request has been applied."""
        self.count_out(request.size)
        if self.state != CLOSED:
            body = request.record
            assert isinstance(body, bytes), body
            self._answer_read(
                QueuedRead(self, sync, request.cxid, OpCode.SYNC, body, request.received_ms)
            )

    def _answer_read(self, read: QueuedRead) -> int:
        server = self.server
        zxid = server.tree.last_zxid
        try:
            reply = read.handler(server, self, read.xid, read.body, 0, len(read.body))
        except KeeperError as error:
            reply = encode_error(read.xid, zxid, error.code)
        except JuteError:
            reply = encode_error(read.xid, zxid, ErrorCode.MARSHALLING_ERROR)
        self.send(reply)
        latency_ms = server.clock.now_ms - read.received_ms
        self.stats.answered(zxid, latency_ms)
        server.count_read(latency_ms, len(reply))
        return len(reply)

    # --- the end --------------------------------------------------------------------

    def refuse(self, reason: str) -> None:
        """Close, with one log line that says what the client did."""
        log.warning("closing %s: %s", self, reason, extra=about(self.host))
        self.close()

    def close(self) -> None:
        """Take no more input; the driver writes what is queued and closes the socket."""
        if self.state == CLOSED:
            return
        self.state = CLOSED
        self._held = []
        self._answer = None
        self.server.forget(self)
        self.mark_dirty()

    def closed(self) -> None:
        """The socket is gone."""
        self.out.clear()
        self.close()

    def __str__(self) -> str:
        text = f"/{self.host}:{self.port}"
        return f"{text} session {hex_id(self.session_id)}" if self.session_id else text
