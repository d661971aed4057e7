"""TLS between a socket and the protocol above it: a client's, or that of another member.

Shell. To the transport below a `TlsLink` is a protocol, to the protocol above it is the transport;
that one is made when the handshake is over. What it writes is encrypted at once, so that all that
waits for the socket waits in one place, and the limits of the protocol above hold for it. Where a
port takes plaintext beside TLS, the first byte tells the two apart: no plaintext of ZooKeeper
begins with that of a handshake, for it would be the length of a frame of 369 MB, or the type of a
packet that does not exist. Then this link steps aside, and such a connection costs nothing more.
docs/decisions/0032 says why this is not the TLS of the event loop.

ZooKeeper: UnifiedServerSocket, and NettyServerCnxnFactory with its DualModeSslHandler
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from pyzk.outsiders import about
from pyzk.runtime.addresses import peer_of, place
from pyzk.runtime.client_port import LAST_BYTES_TIMEOUT_S
from pyzk.runtime.network import reason_of
from pyzk.runtime.tls import TlsPeerError, peer_chain
from pyzk.runtime.tls_door import HANDSHAKE_TIMEOUT_S
from pyzk.server.garbage import describe_bytes

if TYPE_CHECKING:
    from pyzk.runtime.seams import Timer
    from pyzk.runtime.tls_door import Door

log = logging.getLogger(__name__)

RECORD_BYTES: Final = 1 << 14
"""The most plaintext of one record. No buffer of OpenSSL gets more at once, for none ever shrinks.
"""
LEAST_READ_BYTES: Final = 1 << 10
"""The least that OpenSSL is asked for, or a record that came a byte at a time would be read so."""
HANDSHAKE_BYTES: Final = 1 << 18
"""The most that the other side may send before its handshake is over."""
UNREAD_ANSWERS_BYTES: Final = 1 << 22
"""With more than this unread by the other side, it may not cause answers of TLS itself."""

_HANDSHAKE_RECORD: Final = 0x16


class TlsLink:
    """One connection, before, in and after its handshake: the methods of asyncio.Protocol for the
    transport below, and those of asyncio.Transport for the protocol above."""

    __slots__ = (
        "_dialed",
        "_door",
        "_frame_head",
        "_frame_rest",
        "_incoming",
        "_inner",
        "_is_choked",
        "_is_closing",
        "_is_refused",
        "_make",
        "_outgoing",
        "_ready",
        "_rest",
        "_shaken_bytes",
        "_timer",
        "_tls",
        "_transport",
        "certificates",
        "cipher",
        "host",
        "port",
    )

    def __init__(
        self,
        door: Door,
        make: Callable[[], asyncio.Protocol],
        dialed: str | None = None,
        ready: asyncio.Future[None] | None = None,
    ) -> None:
        """``make`` makes the protocol above. ``dialed`` is the host that this side has dialed;
        ``ready`` then gets the end of the handshake, or an OSError."""
        self._door = door
        self._make: Callable[[], asyncio.Protocol] | None = make
        self._dialed = dialed
        self._ready = ready
        self._transport: asyncio.Transport | None = None
        self._inner: asyncio.Protocol | None = None
        """The protocol above; None before the handshake is over, and after the end."""
        self._tls: ssl.SSLObject | None = None
        """None before the first byte has come, and after the end."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._timer: Timer | None = None
        self._shaken_bytes = 0
        self._rest: list[bytes] | None = None
        """What has come behind the handshake, while the other side is being checked."""
        self._frame_head = b""
        self._frame_rest = 0
        """What has been written of the length of a frame, and how much of a frame has not been."""
        self._is_choked = False
        self._is_closing = False
        self._is_refused = False
        """Whether the other side has been told no, and may still read that."""
        self.host = ""
        self.port = 0
        self.certificates: tuple[bytes, ...] = ()
        """What the other side has shown: DER, its own first."""
        self.cipher = ""

    def itself(self) -> asyncio.Protocol:
        """Return the link as the loop wants it."""
        return cast("asyncio.Protocol", self)

    # --- called by the transport below: the handshake ---------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        taken = cast("asyncio.Transport", transport)
        self._transport = taken
        self.host, self.port = peer_of(transport)
        door = self._door
        if self._dialed is not None:
            self._limit(HANDSHAKE_TIMEOUT_S)
            if self._begin(door.contexts.client()):
                self._shake(b"")
            return
        sock = transport.get_extra_info("socket")
        if not door.admits(self.host, -1 if sock is None else sock.fileno()):
            self._drop()
            return
        self._limit(door.detection_timeout_s or HANDSHAKE_TIMEOUT_S)
        door.handshakes.begin(self)

    def _limit(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._door.call_later(seconds, self._late)

    def _late(self) -> None:
        self._timer = None
        door = self._door
        if self._is_closing:
            self._drop()
        elif self._tls is None and door.takes_plain and door.detection_timeout_s is not None:
            self._step_aside(b"")
        else:
            self.turn_away("it takes too long")

    def _begin(self, context: ssl.SSLContext) -> bool:
        is_server = self._dialed is None
        try:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=is_server)
        except ssl.SSLError as error:
            self.turn_away(_reason(error))
            return False
        return True

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._decrypt(data)
        elif self._is_closing or not data:
            self._shaken_bytes += len(data)
            if self._shaken_bytes > HANDSHAKE_BYTES:
                self._drop()
        elif self._rest is not None:
            self._rest.append(data)  # one piece may have been read before the pause
        elif self._tls is not None:
            self._shake(data)
        elif data[0] != _HANDSHAKE_RECORD:
            self._step_aside(data)
        else:
            door = self._door
            if door.detection_timeout_s is not None:
                self._limit(HANDSHAKE_TIMEOUT_S)
            if self._begin(door.contexts.server()):
                self._shake(data)

    def _step_aside(self, data: bytes) -> None:
        """Give a connection that is plaintext to the protocol above, or end it."""
        door = self._door
        transport, make = self._transport, self._make
        assert transport is not None, self
        assert make is not None, self
        if not door.takes_plain:
            what = describe_bytes(data[:64])
            self.turn_away(f"{what}: this port takes TLS only")
            return
        self._over()
        if door.tells_plain:
            log.info(
                "%s talks plaintext on the %s",
                place(self.host, self.port),
                door.name,
                extra=about(self.host),
            )
        self._transport = None
        inner = make()
        transport.set_protocol(inner)
        inner.connection_made(transport)
        if data and not transport.is_closing():
            inner.data_received(data)

    def _shake(self, data: bytes) -> None:
        """Go on with the handshake, as far as it can with these bytes."""
        tls = self._tls
        assert tls is not None, self
        offset = 0
        while True:
            self._incoming.write(data[offset : offset + RECORD_BYTES])
            offset += RECORD_BYTES
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if offset < len(data):
                    continue
                self._send()
                self._shaken_bytes += len(data)
                if self._shaken_bytes > HANDSHAKE_BYTES:
                    self.turn_away(f"more than {HANDSHAKE_BYTES} bytes")
                return
            except ssl.SSLError as error:
                self._send()
                self._refuse(_reason(error))
                return
        self._send()
        self._established(tls, data[offset:])

    def _established(self, tls: ssl.SSLObject, rest: bytes) -> None:
        """Check the other side and give the connection to the protocol above; ``rest`` came behind
        the handshake."""
        self.certificates = peer_chain(tls)
        cipher = tls.cipher()
        self.cipher = "" if cipher is None else cipher[0]
        contexts = self._door.contexts
        is_server = self._dialed is not None
        check = partial(
            contexts.check_peer, self.certificates, self._dialed or "", self.host, is_server
        )
        if not self.certificates:
            self._open(rest)
            return
        if contexts.may_wait:
            self._rest = [rest]
            self._pause()
            self._door.checks.begin(check, self._checked)
            return
        try:
            check()
        except TlsPeerError as error:
            self._refuse(str(error))
        else:
            self._open(rest)

    def _pause(self) -> None:
        assert self._transport is not None, self
        self._transport.pause_reading()

    def _checked(self, failure: Exception | None) -> None:
        """Take the answer to whether this is who it has to be."""
        rest, self._rest = self._rest, None
        if self._is_closing or rest is None or self._transport is None:
            return
        if failure is not None:
            if not isinstance(failure, TlsPeerError):
                log.error("a certificate cannot be checked", exc_info=failure)
            self._transport.resume_reading()
            self._refuse(str(failure))
            return
        self._transport.resume_reading()
        self._open(b"".join(rest))

    def _open(self, rest: bytes) -> None:
        self._over()
        ready, self._ready = self._ready, None
        make = self._make
        assert make is not None, self
        self._inner = make()
        self._inner.connection_made(cast("asyncio.Transport", self))
        if ready is not None and not ready.done():
            ready.set_result(None)
        if self._is_choked and self._inner is not None:
            self._inner.pause_writing()
        if not self.is_closing():
            self._decrypt(rest)

    def _over(self) -> None:
        """Note that the handshake is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._door.handshakes.end(self)

    def turn_away(self, reason: str, *, is_failure: bool = True) -> None:
        """End a handshake that fails, or has failed and is still being told so."""
        if self._is_refused:
            self._over()
            self._drop()
        elif not self._is_closing:
            self._over()
            self._failed(reason, is_failure)
            self._close_below()

    def _refuse(self, reason: str) -> None:
        """End a handshake by an alert, and give the other side a short time to read it.

        It may have written behind its handshake. A socket that is closed with that unread is reset:
        the alert is lost then, and the C client ends by SIGPIPE as it writes on. Until the end this
        counts as a handshake, so that the limit of those holds for it.
        """
        transport = self._transport
        if self._is_closing:
            return
        if self._dialed is not None or transport is None or transport.is_closing():
            self.turn_away(reason)
            return
        self._is_closing = self._is_refused = True
        self._failed(reason)
        self._limit(LAST_BYTES_TIMEOUT_S)
        transport.write_eof()

    def _failed(self, reason: str, is_failure: bool = True) -> None:
        """Tell whoever wants to know that there is no TLS."""
        if self._dialed is None:
            self._warn("no TLS", reason)
            if is_failure:
                self._door.failed()
        ready, self._ready = self._ready, None
        if ready is not None and not ready.done():
            ready.set_exception(ConnectionError(f"TLS: {reason}"))

    def _warn(self, what: str, reason: str) -> None:
        log.warning(
            "closing %s: %s on the %s: %s",
            place(self.host, self.port),
            what,
            self._door.name,
            reason,
            extra=about(self.host),
        )

    def _drop(self) -> None:
        self._is_closing = True
        if self._transport is not None:
            self._transport.abort()

    # --- called by the transport below: afterwards ------------------------------------

    def _decrypt(self, data: bytes) -> None:
        """Give the protocol above what these bytes hold."""
        tls, incoming = self._tls, self._incoming
        assert tls is not None, self
        chunks: list[bytes] = []
        is_over = False
        failure: ssl.SSLError | None = None
        # OpenSSL allocates as much as is asked for, and plaintext is shorter than its record.
        most = min(max(len(data), LEAST_READ_BYTES), RECORD_BYTES)
        offset = 0
        while True:
            incoming.write(data[offset : offset + RECORD_BYTES])
            offset += RECORD_BYTES
            try:
                while True:
                    chunk = tls.read(most)
                    if not chunk:
                        is_over = True
                        break
                    chunks.append(chunk)
                    if not incoming.pending and (len(chunk) < most or not tls.pending()):
                        break
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                failure = error
            if offset >= len(data) or is_over or failure is not None:
                break
        if self._outgoing.pending:
            self._answer()
        inner = self._inner
        if chunks and inner is not None:
            inner.data_received(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        if failure is not None:
            self._broken(_reason(failure))
        elif is_over and self._inner is not None and not self._is_closing:
            self._inner.eof_received()
            self.close()

    def _answer(self) -> None:
        """Send what TLS itself has to say to what was read."""
        self._send()
        transport = self._transport
        if transport is not None and transport.get_write_buffer_size() > UNREAD_ANSWERS_BYTES:
            self._broken("it does not read the answers that it causes")

    def _broken(self, reason: str) -> None:
        if not self._is_closing:
            self._warn("broken TLS", reason)
            self._close_below()

    def eof_received(self) -> bool:
        if self._inner is not None and not self._is_closing:
            self._inner.eof_received()
            self.close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._over()
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.connection_lost(exc)
        elif not self._is_closing and self._tls is not None:
            self._failed(reason_of(exc))
        self._is_closing = True
        self._transport = None
        self._tls = None
        self._make = None

    def pause_writing(self) -> None:
        self._is_choked = True
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._is_choked = False
        if self._inner is not None:
            self._inner.resume_writing()

    # --- called by the protocol above ---------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypts bytes and writes them."""
        tls, transport = self._tls, self._transport
        if self._is_closing or tls is None or transport is None or not data:
            return
        frames_apart = self._door.frames_apart
        try:
            if len(data) <= RECORD_BYTES and (not frames_apart or self._is_frame(data)):
                tls.write(data)
                encrypted = self._outgoing.read()
            else:
                encrypted = self._in_records(tls, memoryview(data), frames_apart)
        except ssl.SSLError as error:
            self._broken(_reason(error))
            return
        transport.write(encrypted)

    def _in_records(self, tls: ssl.SSLObject, view: memoryview, frames_apart: bool) -> bytes:
        """Return bytes as records, of which each ends with a frame if those are to be apart."""
        outgoing = self._outgoing
        size = len(view)
        pieces: list[bytes] = []
        sent = 0
        end = 0
        while sent < size:
            if sent == end:
                end = self._frame_end(view, sent) if frames_apart else size
            sent += tls.write(view[sent : min(end, sent + RECORD_BYTES)])
            if sent == size or outgoing.pending >= RECORD_BYTES:
                pieces.append(outgoing.read())
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def writelines(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        """Encrypts bytes in several pieces and writes them."""
        self.write(b"".join(pieces))

    def _is_frame(self, data: bytes | bytearray | memoryview) -> bool:
        """Return whether these bytes are one frame, whole."""
        return (
            not self._frame_rest
            and not self._frame_head
            and int.from_bytes(data[:4], "big") + 4 == len(data)
        )

    def _frame_end(self, view: memoryview, start: int) -> int:
        """Return where the frame ends that begins or goes on here, at most the end of all."""
        size = len(view)
        if not self._frame_rest:
            missing = 4 - len(self._frame_head)
            head = self._frame_head + bytes(view[start : start + missing])
            if len(head) < 4:
                self._frame_head = head
                return size
            self._frame_head = b""
            self._frame_rest = missing + int.from_bytes(head, "big")
        end = min(start + self._frame_rest, size)
        self._frame_rest -= end - start
        return end

    def _send(self) -> None:
        """Write what TLS has for the other side."""
        transport = self._transport
        if transport is not None and self._outgoing.pending:
            transport.write(self._outgoing.read())

    def close(self) -> None:
        """Says that this is the end, and closes when all has left."""
        if self._is_closing:
            return
        tls = self._tls
        if tls is not None and self._inner is not None:
            with contextlib.suppress(ssl.SSLError):  # which says that nothing has answered yet
                tls.unwrap()
            self._send()
        self._is_closing = True
        if self._transport is not None:
            self._transport.close()

    def _close_below(self) -> None:
        """Close the socket; the last words of TLS may leave for a short time."""
        self._is_closing = True
        transport = self._transport
        if transport is not None:
            transport.close()
            if transport.get_write_buffer_size():
                self._limit(LAST_BYTES_TIMEOUT_S)

    def abort(self) -> None:
        """Drops the connection at once."""
        self._drop()

    def is_closing(self) -> bool:
        """Tells whether the connection has ended or is about to."""
        return self._is_closing or self._transport is None or self._transport.is_closing()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Returns what the transport knows, or this link itself as "tls"."""
        if name == "tls":
            return self
        transport = self._transport
        return default if transport is None else transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """Returns how many encrypted bytes wait for the socket."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Says how many bytes may wait before the protocol above hears of it."""
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """Leaves what comes where it is."""
        if not self.is_closing() and self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Takes what comes."""
        if not self.is_closing() and self._transport is not None:
            self._transport.resume_reading()

    def is_reading(self) -> bool:
        """Tells whether what comes is taken."""
        return self._transport is not None and self._transport.is_reading()


def _reason(error: ssl.SSLError) -> str:
    """Return what has gone wrong, for the log."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused ({error.verify_message})"
    return (error.reason or str(error)).replace("_", " ").lower()
