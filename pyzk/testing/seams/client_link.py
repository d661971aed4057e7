"""One client's socket, with the test in between.

Shell. `ClientLink` stands between asyncio and production's `ClientProtocol`, `Outlet` between that
and the transport. Without faults both pass on what they get; the link only keeps count of where a
frame begins, so that a fault may come into force at any moment.

    delay        The frame and all that follow it on this connection are held: a slow network.
    fail         The frame is replaced by a sync with the same xid, which the server answers in its
                 turn, behind the session's writes; the answer is then replaced by the error.
    no_response  From the answer on nothing leaves the server on this connection, as a stream cannot
                 lose a part of itself. With executed=False nothing reaches the server from the
                 request on.
    delay event  The event and all that follow it are held on their way out.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, cast

from pyzk.constants import OpCode, Xid
from pyzk.int64 import hex_id
from pyzk.jute.packing import unpack_int, unpack_long
from pyzk.runtime.client_port import ClientProtocol
from pyzk.runtime.seams import Timer
from pyzk.server.reply import encode_error
from pyzk.testing.seams.faults import CONNECT, DELAY, EVENT, FAIL, NO_PATH, SILENCE, operation_name

if TYPE_CHECKING:
    from pyzk.config.server import ServerConfig
    from pyzk.server.connection import Connection
    from pyzk.testing.seams.faults import Fault, FaultTable
    from pyzk.testing.seams.gate import Gate
    from pyzk.testing.seams.timing import FixtureTime

_unpack_head: Final = struct.Struct(">ii").unpack_from
_unpack_reply: Final = struct.Struct(">iiq").unpack_from
_pack_sync: Final = struct.Struct(">iiii").pack

_CONNECT_SESSION: Final = 20
"""Offset of the session id in a framed ConnectRequest: 4 + 4 + 8 + 4."""
_HANDSHAKE: Final = 0
"""Stands for the xid of a handshake, which has none; requests count from 1."""


class LinkedServer(Protocol):
    """What a link asks of the test server that its client has come to; `Engine` answers."""

    config: ServerConfig
    gate: Gate
    time: FixtureTime
    faults: FaultTable
    life: int
    links: dict[ClientLink, None]

    def observe(self) -> None:
        """The server has been given something."""

    def note(self, text: str) -> None:
        """Keep an event for reports."""

    def heard(self, link: ClientLink, data: bytes) -> None:
        """Keep what a client sent for reports."""

    def fired(self, fault: Fault, link: ClientLink, opcode: int, path: str | None) -> None:
        """Keep for reports that a fault has hit."""


class ClientLink(asyncio.Protocol):
    """A client's socket as asyncio sees it: the way in."""

    def __init__(self, engine: LinkedServer, inner: ClientProtocol, life: int) -> None:
        """The link belongs to the server of this ``life`` of the engine."""
        self.engine = engine
        self._life = life
        self.address = "?"
        self.session_id = 0
        """The last session id that was seen on this connection."""
        self.opened_in = os.environ.get("PYTEST_CURRENT_TEST")
        self.bytes_heard = 0
        self.outlet: Outlet | None = None
        """None before the socket is open, and after it is closed."""
        self._inner = inner
        self.has_met = False
        """Whether the first frame, the handshake, has passed."""
        self._is_raw = False
        """Whether the bytes are no frames, but a four-letter word or garbage."""
        self._left = 0
        """How many bytes are still to come of a frame whose beginning has passed."""
        self._head = b""
        """The bytes of a length that has come in part."""
        self._part = b""
        """The beginning of a frame that is to be looked at as a whole."""
        self._held: deque[bytes] = deque()
        """Frames that are held; the first is the one that a fault delays."""
        self._timer: Timer | None = None
        self._is_deaf = False
        """Whether nothing reaches the server any more."""
        self._is_lost = False

    @property
    def connection(self) -> Connection | None:
        """The server's side; None before the server knows of it, and after its end."""
        return self._inner.connection

    @property
    def is_busy(self) -> bool:
        """Whether something is held on its way in or out."""
        outlet = self.outlet
        return bool(self._held) or (outlet is not None and outlet.is_busy)

    # --- called by the loop ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._life != self.engine.life:
            # The server has ended since the loop accepted the connection.
            cast("asyncio.Transport", transport).abort()
            return
        self.outlet = Outlet(self, cast("asyncio.Transport", transport))
        peer = transport.get_extra_info("peername") or ("unknown", 0)
        self.address = f"{peer[0]}:{peer[1]}"
        self._meet()

    def _meet(self) -> None:
        engine = self.engine
        if engine.gate.is_closed:
            if self.outlet is not None:
                engine.links[self] = None
                self.outlet.hold_reading(True)
            engine.gate.add(self._meet)
            engine.observe()
            return
        if self.outlet is None:
            return
        if engine.faults.rejects:
            engine.note(f"{self.address} rejected")
            engine.links.pop(self, None)
            self.outlet.abort()
            return
        engine.links[self] = None
        engine.note(f"{self.address} connected")
        self._inner.connection_made(self.outlet)
        engine.observe()

    def data_received(self, data: bytes) -> None:
        engine = self.engine
        if engine.gate.is_closed:
            engine.gate.add(partial(self.data_received, data))
            return
        engine.heard(self, data)
        self.bytes_heard += len(data)
        if self._is_deaf:
            return
        if self._is_raw or not (engine.faults.is_active or self._held or self._part):
            self._follow(data)
            self._give(data)
        else:
            self._look(data)
        connection = self._inner.connection
        if connection is not None and connection.session_id != self.session_id:
            self.session_id = connection.session_id
            engine.note(f"{self.address} has session {hex_id(self.session_id)}")
        engine.observe()

    def _give(self, data: bytes) -> None:
        """Give the server bytes, and have it take them now: what comes of it is looked at next."""
        self._inner.data_received(data)
        self._inner.settle()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        outlet, self.outlet = self.outlet, None
        self._is_lost = True
        if outlet is not None:
            outlet.lost()
        self._lose()

    def _lose(self) -> None:
        engine = self.engine
        if engine.gate.is_closed:
            engine.gate.add(self._lose)
            return
        if self._held:
            # What the client sent before it left still arrives when its delay is over.
            engine.observe()
            return
        if self in engine.links:
            del engine.links[self]
            engine.note(f"{self.address} disconnected")
        self._inner.connection_lost(None)
        engine.observe()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self.engine.gate.is_closed:
            self.engine.gate.add(self.resume_writing)
            return
        self._inner.resume_writing()
        self.engine.observe()

    # --- called by the engine -------------------------------------------------------

    def cut(self) -> None:
        """Cut the connection; what is held on it is lost."""
        self.forget()
        if self.outlet is not None:
            self.outlet.abort()
        elif self._is_lost and self in self.engine.links:
            # The client has left; the link remained for what it held.
            self._lose()

    def forget(self) -> None:
        """Drop the frames that are held."""
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- where frames begin ---------------------------------------------------------

    def _follow(self, data: bytes) -> None:
        """Keep count of where frames begin in bytes that pass."""
        if self._is_raw:
            return
        size = len(data)
        offset = 0
        if not self._left and not self._head:
            if size >= 4 and unpack_int(data)[0] + 4 == size:
                self.has_met = True
                return
        elif self._left:
            offset = min(self._left, size)
            self._left -= offset
            if self._left:
                return
        while offset < size:
            head = self._head + data[offset : offset + 4 - len(self._head)]
            offset += len(head) - len(self._head)
            if len(head) < 4:
                self._head = head
                return
            self._head = b""
            (length,) = unpack_int(head)
            if not self._is_frame(length):
                return
            self.has_met = True
            offset += length
        self._left = offset - size

    def _is_frame(self, length: int) -> bool:
        self._is_raw = not 0 <= length <= self.engine.config.jute_max_buffer
        return not self._is_raw

    def _look(self, data: bytes) -> None:
        """Look at each frame before it passes; one that has passed in part passes whole."""
        if self._left or self._head:
            data = self._finish(data)
        data = self._part + data
        self._part = b""
        offset = 0
        size = len(data)
        while size - offset >= 4:
            (length,) = unpack_int(data, offset)
            if not self._is_frame(length):
                self._give(data[offset:])
                return
            if size - offset < 4 + length:
                break
            self._arrive(data[offset : offset + 4 + length])
            offset += 4 + length
        self._part = data[offset:]

    def _finish(self, data: bytes) -> bytes:
        """Let the rest of a frame pass; return what follows it."""
        missing = self._left
        if self._head:
            head = self._head + data[: 4 - len(self._head)]
            missing = 4 - len(self._head)
            if len(head) == 4:
                missing += unpack_int(head)[0]
        rest, data = data[:missing], data[missing:]
        self._follow(rest)
        self._give(rest)
        return data

    # --- what becomes of a frame ----------------------------------------------------

    def _arrive(self, frame: bytes) -> None:
        if self._held:
            self._held.append(frame)
        elif not self._is_deaf and not self._hold(frame):
            self._pass(frame)

    def _hold(self, frame: bytes) -> bool:
        """Tell whether the frame is delayed; if it is, hold it."""
        opcode, _, session_id, path = self._read(frame)
        fault = self.engine.faults.match((DELAY,), opcode, session_id, path)
        if fault is None:
            return False
        self.engine.fired(fault, self, opcode, path)
        self._held.appendleft(frame)
        self._timer = self.engine.time.schedule(fault.seconds, self._let_go)
        return True

    def _let_go(self) -> None:
        """End the delay of the first held frame."""
        self._timer = None
        self._pass(self._held.popleft())
        while self._held and not self._is_deaf:
            frame = self._held.popleft()
            if self._hold(frame):
                break
            self._pass(frame)
        if self._is_deaf:
            self._held.clear()
        if self._is_lost and not self._held:
            self._lose()
        self.engine.observe()

    def _pass(self, frame: bytes) -> None:
        """Give the server a frame, or what a fault makes of it."""
        opcode, xid, session_id, path = self._read(frame)
        self.has_met = True
        fault = self.engine.faults.match((FAIL, SILENCE), opcode, session_id, path)
        if fault is None:
            # Several requests may have one xid: pings do.
            self._expect(xid, 0)
        else:
            self.engine.fired(fault, self, opcode, path)
            if fault.kind == FAIL:
                frame = _pack_sync(12, xid, OpCode.SYNC, -1)
                self._expect(xid, fault.error)
            elif fault.executed:
                self._expect(xid, None)
            else:
                self._is_deaf = True
                return
        self._give(frame)

    def _expect(self, xid: int, error: int | None) -> None:
        if self.outlet is not None:
            self.outlet.expected.setdefault(xid, deque()).append(error)

    def _read(self, frame: bytes) -> tuple[int, int, int, str | None]:
        """Return opcode, xid, session id and path of a frame."""
        if not self.has_met:
            session_id = 0
            if len(frame) >= 4 + _CONNECT_SESSION + 4:
                (session_id,) = unpack_long(frame, _CONNECT_SESSION)
            return CONNECT, _HANDSHAKE, session_id, None
        if len(frame) < 12:
            return 0, 0, self.session_id, None
        xid, opcode = _unpack_head(frame, 4)
        return opcode, xid, self.session_id, read_path(opcode, frame, 12)


class Outlet(asyncio.Transport):
    """The way out: what `ClientProtocol` takes for its transport."""

    def __init__(self, link: ClientLink, transport: asyncio.Transport) -> None:
        super().__init__()
        self.expected: dict[int, deque[int | None]] = {}
        """Xid -> what becomes of the answers to the requests on the way, in order: an error code
        replaces the answer, 0 lets it pass, None begins the silence."""
        self._link = link
        self._engine = link.engine
        self._transport = transport
        self._has_answered = False
        self._is_silent = False
        self._held: list[bytes] = []
        self._timer: Timer | None = None
        self._is_closing = False
        """Whether to close the socket when what is held has been written."""
        self._is_reading_held = False
        self._wants_pause = False

    @property
    def is_busy(self) -> bool:
        """Whether something is held."""
        return self._timer is not None

    @property
    def socket_number(self) -> int:
        """The file descriptor; -1 after it is closed."""
        sock = self._transport.get_extra_info("socket")
        number: int = sock.fileno() if sock is not None else -1
        return number

    # --- called by ClientProtocol ---------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_silent:
            return
        if self.expected or self._timer is not None or self._engine.faults.is_active:
            self._look(bytes(data))
        else:
            self._has_answered = True
            self._transport.write(data)

    def close(self) -> None:
        if self._timer is not None:
            self._is_closing = True
        else:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._is_closing or self._transport.is_closing()

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size() + sum(map(len, self._held))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        self._wants_pause = True
        self._adjust_reading()

    def resume_reading(self) -> None:
        self._wants_pause = False
        self._adjust_reading()

    # --- called by the link and the engine ------------------------------------------

    def hold_reading(self, is_held: bool) -> None:
        """Read nothing, whatever the server wants, or let the server decide again."""
        self._is_reading_held = is_held
        self._adjust_reading()

    def _adjust_reading(self) -> None:
        if self._transport.is_closing():
            return
        wants = not (self._wants_pause or self._is_reading_held)
        if wants != self._transport.is_reading():
            if wants:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def lost(self) -> None:
        """The socket is gone."""
        self._is_silent = True
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- what becomes of a frame ----------------------------------------------------

    def _look(self, data: bytes) -> None:
        """Look at each frame. The server writes whole frames, except to four-letter words."""
        offset = 0
        size = len(data)
        out: list[bytes] = []
        while size - offset >= 4 and not self._is_silent:
            (length,) = unpack_int(data, offset)
            end = offset + 4 + length
            if length < 0 or end > size:
                break
            frame = self._change(data[offset:end])
            offset = end
            if frame is not None:
                self._emit(frame, out)
        if not self._is_silent and offset < size:
            self._emit(data[offset:], out)
        if out:
            self._transport.write(b"".join(out))

    def _emit(self, frame: bytes, out: list[bytes]) -> None:
        if self._timer is not None:
            self._held.append(frame)
        else:
            out.append(frame)

    def _change(self, frame: bytes) -> bytes | None:
        """Return the frame to send; None to send nothing."""
        if not self._has_answered:
            self._has_answered = True
            xid, zxid = _HANDSHAKE, 0
        elif len(frame) < 20:
            return frame
        else:
            _, xid, zxid = _unpack_reply(frame)
        if xid == Xid.NOTIFICATION:
            self._delay_event(frame)
            return frame
        errors = self.expected.get(xid)
        if errors is None:
            return frame
        error = errors.popleft()
        if not errors:
            del self.expected[xid]
        if error is None:
            self._is_silent = True
            return None
        return encode_error(xid, zxid, error) if error else frame

    def _delay_event(self, frame: bytes) -> None:
        if self._timer is not None:
            return
        path = read_path(EVENT, frame, 28)
        faults = self._engine.faults
        fault = faults.match((DELAY,), EVENT, self._link.session_id, path)
        if fault is not None:
            self._engine.fired(fault, self._link, EVENT, path)
            self._timer = self._engine.time.schedule(fault.seconds, self._let_go)

    def _let_go(self) -> None:
        self._timer = None
        held, self._held = self._held, []
        out = held[:1]
        for frame in held[1:]:
            # Behind an event that was held may be one that is to be held from now on.
            if len(frame) >= 20 and _is_event(frame):
                self._delay_event(frame)
            self._emit(frame, out)
        if out and not self._transport.is_closing():
            self._transport.write(b"".join(out))
        if self._is_closing and self._timer is None:
            self._transport.close()
        self._engine.observe()


def _is_event(frame: bytes) -> bool:
    xid: int = _unpack_reply(frame)[1]
    return xid == Xid.NOTIFICATION


def read_path(opcode: int, frame: bytes, offset: int) -> str | None:
    """Return the path that most requests begin with; None if there is none to read."""
    if opcode in NO_PATH or len(frame) < offset + 4:
        return None
    (length,) = unpack_int(frame, offset)
    if length < 0:
        return None
    return frame[offset + 4 : offset + 4 + length].decode("utf-8", "replace")


def describe_chunk(data: bytes, is_first: bool) -> str:
    """Return what a chunk from a client begins with, for reports."""
    if is_first or len(data) < 12:
        return "handshake" if len(data) >= 28 else repr(data[:12])
    _, opcode = _unpack_head(data, 4)
    path = read_path(opcode, data, 12)
    return operation_name(opcode) + (f" {path}" if path else "")
