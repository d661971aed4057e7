"""One client connection: bytes in, frames, replies out.

Pure. ZooKeeper: NIOServerCnxn, ZooKeeperServer.processPacket.
Theory of operation:

    HANDSHAKE   a four-letter word or a ConnectRequest is awaited
    ATTACHING   the session is not open yet (`handshake`); frames that come early wait
    OPEN        reads are answered at once, writes are submitted, and reads behind a write of their
                session wait for it (`session_queues`)
    CLOSED      nothing more is read; what is in ``out`` is still written

A connection serves no frames while it is *stalled*: it is attaching, or too many requests or bytes
are under way, or the client does not read its replies. The driver sees ``is_stalled`` and stops
reading the socket. No stall waits for itself: no frame is needed to free bytes, and while too many
are under way pings, short reads and the ends of sessions are still served. A client that breaks the
protocol raises nothing here: its connection is closed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from pyzk.auth.ip import peer_address
from pyzk.auth.provider import AuthId
from pyzk.constants import ErrorCode, OpCode
from pyzk.data.acl import OPEN_ACL_ID
from pyzk.data.tree import Applied
from pyzk.data.watches import WatchEvent
from pyzk.errors import JuteError, KeeperError
from pyzk.int64 import hex_id
from pyzk.jute.packing import unpack_iii, unpack_int
from pyzk.outsiders import about
from pyzk.server import fourletter
from pyzk.server.authentication import answer_sasl, authenticate
from pyzk.server.connection_stats import ConnectionStats
from pyzk.server.decoders import decode_create, decode_set_data
from pyzk.server.garbage import describe_bytes
from pyzk.server.handshake import Handshake
from pyzk.server.operations import CREATE_DECODER, SET_DATA_DECODER, WriteDecoder
from pyzk.server.reads import sync, unreadable
from pyzk.server.reply import encode_applied, encode_error, encode_event, says_moved
from pyzk.server.request import QueuedRead, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    # Only types go in a circle here. A protocol for what a connection asks of its server would open
    # it, and slow the hot path down: compiled, calls through a protocol are looked up by name.
    from pyzk.auth.sasl.mechanism import Mechanism
    from pyzk.server.arrival import Arrival
    from pyzk.server.server import Server
    from pyzk.server.sessions import Session

log = logging.getLogger(__name__)

HANDSHAKE: Final = 0
ATTACHING: Final = 1
OPEN: Final = 2
CLOSED: Final = 3

STALL_ATTACHING: Final = 1
STALL_THROTTLED: Final = 2
STALL_CHOKED: Final = 4

ANSWER_BYTES: Final = 1 << 13
"""After so much of the answer to a four-letter word other clients have their turn."""
OUT_HIGH_BYTES: Final = 1 << 20
"""With more replies than this waiting for the socket a client has no more of its frames served."""

SHORT_BYTES: Final = 1 << 10
"""A read up to this length may wait behind a write although too many bytes are under way."""
PIECE_BYTES: Final = 1 << 16
"""A frame that lacks no more than this is awaited although too many bytes are under way."""

_UNORDERED: Final = frozenset({OpCode.AUTH, OpCode.SASL})
"""Requests that are answered at once, and that are no sign of life of the session."""
_READ_PERM: Final = 1


class Connection:
    """One TCP connection of a client. It is also a Watcher: events go to ``out``."""

    __slots__ = (
        "_answer",
        "_held",
        "_missing",
        "auth_ids",
        "certificates",
        "handshake",
        "host",
        "is_dirty",
        "is_on_secure_port",
        "is_secure",
        "is_stale",
        "is_told",
        "out",
        "outstanding",
        "parked_bytes",
        "port",
        "sasl",
        "server",
        "session",
        "session_id",
        "shell",
        "stalled",
        "state",
        "stats",
        "timeout_ms",
    )

    def __init__(self, server: Server, arrival: Arrival) -> None:
        self.server = server
        self.host = arrival.host
        self.port = arrival.port
        self.is_secure = arrival.is_secure
        self.is_on_secure_port = arrival.is_on_secure_port
        self.certificates = arrival.certificates
        """What the client has shown in the handshake of TLS: DER, its own first."""
        self.auth_ids: tuple[AuthId, ...] = (AuthId("ip", peer_address(arrival.host)),)
        self.sasl: Mechanism | None = None
        """This side of the client's SASL login; None before its first packet."""
        self.session: Session | None = None
        self.session_id = 0
        self.timeout_ms = 0
        self.state = HANDSHAKE
        self.stats = ConnectionStats(server.clock)
        self.out: list[bytes] = []
        self.is_dirty = False
        """Whether this connection is in the outbox already."""
        self.is_told = False
        """Whether it is among those in the outbox that have an event to write."""
        self.stalled = 0
        """The reasons (STALL_ bits) to serve no frames for now."""
        self.shell: object = None
        """What the driver keeps with this connection, for example its socket."""
        self.outstanding = 0
        """How many of its requests are under way; `SessionQueues` counts them."""
        self.parked_bytes = 0
        """Bytes of the reads that wait for the client to take replies; `SessionQueues` counts."""
        self._held: list[bytes] = []
        self._answer: Iterator[bytes] | None = None
        """The rest of the answer to a four-letter word; None if none is being given."""
        self._missing = 1
        """How many bytes must come before ``_held`` can hold a whole frame."""
        self.is_stale = False
        """Whether the session has moved to another member, which follows this one."""
        # Last: compiled, attributes that are set before ``self`` is handed out cost no checks.
        self.handshake: Handshake | None = Handshake(self)
        """What brings this connection its session; None when that is open, or never will be."""

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
        self.server.metrics.bytes_received_count += len(data)
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

    def stall(self, reason: int) -> None:
        """Serve no further frames until ``resume`` is called with the same reason.

        STALL_CHOKED has two users: the driver stalls while the client does not read; the core
        stalls after OUT_HIGH_BYTES of replies. The driver resumes in both cases.
        """
        self.stalled |= reason
        self.mark_dirty()

    def resume(self, reason: int) -> None:
        """Take back a reason to stall; if it was the last, serve the frames that came meanwhile."""
        if not self.stalled & reason or self.state == CLOSED:
            return
        self.stalled &= ~reason
        if reason == STALL_CHOKED and self.session is not None:
            self.server.touch(self)  # it has taken replies, and its PINGs may be behind more
            self.server.queues.go_on(self.session)
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
                offset = self._serve(data, offset, end, self.server.queues.large.plain_limit)
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
                if missing > PIECE_BYTES and self.state == OPEN and self.server.queues.is_full:
                    self.server.queues.throttle(self)
                break
            if self.state == HANDSHAKE:
                self.stats.received(1)
                self.server.metrics.packets_received += 1
                assert self.handshake is not None, self
                self.handshake.connect(data, offset + 4, offset + 4 + length)
                offset += 4 + length
            else:
                offset = self._serve_large(data, offset, length)
            missing = 1
        if offset < end:
            self._held.append(data[offset:] if offset else data)
        self._missing = missing

    def _is_good_length(self, length: int, data: bytes, offset: int) -> bool:
        """Tell whether a frame may have this length; if not, close the connection."""
        least = 8 if self.state == OPEN else 0
        if least <= length <= self.server.config.jute_max_buffer:
            if self.state != OPEN or self.server.queues.large.has_room(length):
                return True
            self.refuse(
                f"its request of {length} bytes and other large ones under way are too many bytes"
                " (largeRequestMaxBytes)"
            )
            return False
        if self.state == OPEN:
            self.refuse(
                f"its frame has {length} bytes,"
                f" jute.maxbuffer is {self.server.config.jute_max_buffer}"
            )
        else:
            self.refuse(f"{describe_bytes(data[offset : offset + 64])} on the client port")
        return False

    def _serve_large(self, data: bytes, offset: int, length: int) -> int:
        """Serve a frame that is a large request, unless it has to wait; return the offset behind
        what was served."""
        assert length > self.server.queues.large.plain_limit, length
        before = self.outstanding
        end = offset + 4 + length
        end = self._serve(data, offset, end, length)
        session = self.session
        if self.outstanding > before and session is not None:
            self.server.queues.began_large(session, length)
        return end

    def _serve(self, data: bytes, offset: int, end: int, limit: int) -> int:
        """Serve whole frames from ``offset`` on, up to one with more than ``limit`` bytes; return
        the offset behind the last one served."""
        server, session, out = self.server, self.session, self.out
        assert session is not None
        tree, queue = server.tree, session.queue
        is_full, is_guarded = server.queues.is_full, server.is_guarded or self.is_stale
        reads, writes = server.reads, server.writes
        count = counted = unordered = replied = size = largest = xid = opcode = 0
        smallest = limit_bytes = OUT_HIGH_BYTES
        while end - offset >= 12:
            length, xid_, opcode_ = unpack_iii(data, offset)
            body_end = offset + 4 + length
            if length < 8 or length > limit or body_end > end:
                break
            if opcode_ != opcode and count > counted:
                counted += server.metrics.count_operations(opcode, count - counted)
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
                    self.write(session, decoder, xid, opcode, data, offset + 12, body_end)
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
            server.metrics.count_frames(count, opcode, count - counted)
            self.stats.served(count, replied, xid, opcode, tree.last_zxid)
            if replied:
                server.count_replies(replied, size, smallest, largest)
        return offset

    def _dispatch(self, xid: int, opcode: int, body: bytes) -> int:
        """Serve a frame that is no plain read or write, or cannot be treated as one now. Return the
        length of the reply if it was a read that is answered, else 0."""
        if opcode in (OpCode.AUTH, OpCode.SASL):
            take = authenticate if opcode == OpCode.AUTH else answer_sasl
            take(self, xid, body)
            return 0
        server = self.server
        if server.access.is_refused(self.auth_ids):
            self.send(encode_error(xid, 0, ErrorCode.SESSION_CLOSED_REQUIRE_SASL_AUTH))
            self.refuse("the client has not authenticated as enforce.auth.schemes demands")
            return 0
        line = server.queues.line
        if line is not None and line.holds(self, xid, opcode, body):
            return 0
        return self.serve_now(xid, opcode, body)

    def serve_now(self, xid: int, opcode: int, body: bytes) -> int:
        """Serve a request that no line holds; return what `_dispatch` does."""
        server, session = self.server, self.session
        assert session is not None
        if session.is_closing:
            return 0  # without a reply, like the original
        if self.is_stale:
            self.refuse("its session has moved to another server")
            return 0
        handler = server.reads.get(opcode)
        if handler is not None:
            read = QueuedRead(self, handler, xid, body, server.clock.now_ms)
            return self.wait(session, read)
        decoder = server.screened_writes.get(opcode)
        if decoder is not None:
            server.screen.write(self, session, decoder, xid, opcode, body)
            return 0
        decoder = server.writes.get(opcode)
        if decoder is None:
            self.send(encode_error(xid, -1, ErrorCode.UNIMPLEMENTED))
            self.refuse(f"the client asks for an unknown operation, {opcode}")
            return 0
        self.write(session, decoder, xid, opcode, body, 0, len(body))
        return 0

    def write(
        self,
        session: Session,
        decoder: WriteDecoder,
        xid: int,
        opcode: int,
        buffer: bytes,
        offset: int,
        end: int,
    ) -> None:
        """Submit a write, whose record is in ``buffer``."""
        server = self.server
        now_ms = server.clock.now_ms
        record: object
        try:
            # The most frequent two are called by name, which a compiler binds early.
            if decoder is SET_DATA_DECODER:
                record = decode_set_data(buffer, offset, end)
            elif decoder is CREATE_DECODER:
                record = decode_create(buffer, offset, end)
            else:
                record = decoder(buffer, offset, end)
        except JuteError:
            self.wait(session, QueuedRead(self, unreadable, xid, b"", now_ms))
            return
        request = Request(self, session, xid, opcode, record, self.auth_ids, now_ms, end - offset)
        server.queues.submit(request, session)

    def wait(self, session: Session, read: QueuedRead) -> int:
        """Let a read wait for the writes of its session. If there are none, answer it; return the
        length of the reply, or 0."""
        if not session.queue and not self.stalled & STALL_CHOKED:
            return self.answer_read(read)
        self.server.queues.wait(read, session)
        return 0

    def _must_wait(self, opcode: int, length: int) -> bool:
        """Tell whether a frame must wait because too many bytes are under way, and it would add to
        them; if so, stall. What begins or ends a session is short, and does not wait."""
        session = self.session
        if opcode <= 0 or session is None or session.is_closing:
            return False
        server = self.server
        is_write = opcode in server.writes or opcode in server.screened_writes
        if is_write or (length > SHORT_BYTES and session.queue):
            server.queues.throttle(self)
            return True
        return False

    # --- its session ----------------------------------------------------------------

    def attach(self, session: Session) -> None:
        """Serve this session from now on."""
        self.session = session
        self.session_id = session.session_id
        self.timeout_ms = session.timeout_ms
        session.connection = self

    def await_session(self, session_id: int, timeout_ms: int) -> None:
        """Serve no frames until it is known whether the client can have this session."""
        self.session_id = session_id
        self.timeout_ms = timeout_ms
        self.state = ATTACHING
        self.stall(STALL_ATTACHING)

    def open(self) -> None:
        """Take frames for requests from now on, those first that came early."""
        self.handshake = None
        self.state = OPEN
        self.resume(STALL_ATTACHING)

    def session_moved(self) -> None:
        """Serve nothing more: another member has the session now."""
        self.is_stale = True

    # --- other than requests --------------------------------------------------------

    def _four_letter_word(self, data: bytes, offset: int, left: int) -> int:
        """Answer a four-letter word if all of it is here; return how many bytes are missing."""
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
        """Send the next pieces of the answer to a four-letter word. After the last one close, else
        stall: the driver resumes when others have had their turn and the client reads."""
        size = 0
        for piece in answer:
            self.send(piece)
            size += len(piece)
            if size >= ANSWER_BYTES:
                self.stall(STALL_CHOKED)
                return
        self.close()

    # --- output ---------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Queue a frame to be written."""
        if self.state != CLOSED:
            self.out.append(data)
            if not self.is_dirty:
                self.mark_dirty()

    def mark_dirty(self) -> None:
        """Have the driver look at this connection: it may have to write, pause, resume or close."""
        if not self.is_dirty:
            self.is_dirty = True
            self.server.outbox.dirty.append(self)

    def send_missed(self, event_type: int, path: str) -> None:
        """Send the event of a change that the client has missed, with zxid -1."""
        self.send(encode_event(event_type, path, -1))

    def deliver(self, event: WatchEvent) -> None:
        """Send a watch event, if the client may read the znode. The driver writes it after what
        clients wait for, for many may be told at once; a later reply goes out behind it."""
        if self.state == CLOSED:
            return
        acl_id = event.acl_id
        if acl_id != OPEN_ACL_ID and not self.server.permits(acl_id, _READ_PERM, self.auth_ids):
            event.withheld += 1
            return
        frame = event.frame
        if frame is None:
            frame = event.frame = encode_event(event.type, event.path, event.zxid)
        self.out.append(frame)
        if not self.is_told and not self.is_dirty:
            self.is_told = True
            self.server.outbox.told.append(self)

    def answer(self, request: Request, applied: Applied) -> int:
        """Answer a write whose transaction has been applied; return the length of the reply."""
        server = self.server
        if self.state == CLOSED:
            server.metrics.stale_replies += not applied.err
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

    def session_closed(self, xid: int) -> None:
        """Answer the client's closeSession, which has been applied, and close."""
        self.send(encode_error(xid, self.server.tree.last_zxid, ErrorCode.OK))
        self.close()

    def answer_sync(self, request: Request) -> None:
        """On a learner: answer a sync, to which the leader has answered with SYNC."""
        if self.state != CLOSED:
            body = request.record
            assert isinstance(body, bytes), body
            self.answer_read(QueuedRead(self, sync, request.cxid, body, request.received_ms))

    def answer_read(self, read: QueuedRead) -> int:
        """Answer a read that was taken out of its chunk; return the length of the reply."""
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
        server.count_read(read, latency_ms, len(reply))
        return len(reply)

    # --- the end --------------------------------------------------------------------

    def refuse(self, reason: str) -> None:
        """Close, with a log line that says why."""
        log.warning("closing %s: %s", self, reason, extra=about(self.host))
        self.close()

    def close(self) -> None:
        """Take no more input; the driver writes what is queued and closes the socket."""
        if self.state == CLOSED:
            return
        self.state = CLOSED
        self._held = []
        self._answer = None
        self.handshake = None
        self.server.forget(self)
        self.mark_dirty()

    def closed(self) -> None:
        """Close without writing what is queued: the socket is gone, or the session expired."""
        self.out.clear()
        self.close()

    def __str__(self) -> str:
        text = f"/{self.host}:{self.port}"
        return f"{text} session {hex_id(self.session_id)}" if self.session_id else text
