"""Clients at the level of frames: they make sessions, ask, watch, lose connections and come back.

Pure. Each connects to a member at random. What a client is told goes to `checkers.replies` at once.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Final, Protocol

from pyzk.constants import OpCode, Xid
from pyzk.int64 import hex_id
from pyzk.jute.packing import unpack_int
from pyzk.jute.records import (
    AuthPacket,
    ConnectRequest,
    ConnectResponse,
    SetWatches,
    WatcherEvent,
)
from pyzk.sim.checkers.replies import ReplyChecker
from pyzk.sim.history import Operation, SessionRecord
from pyzk.sim.network import Door, Host, Socket
from pyzk.sim.settings import SUPER_USER
from pyzk.sim.surroundings import Surroundings
from pyzk.sim.workload import Asked, Workload

FIRST_KEY: Final = 101
NO_PASSWORD: Final = bytes(16)
READ_ONLY_US: Final = 3_000_000
"""The longest time until a client looks for another server than one that has no leader."""
_unpack_reply: Final = struct.Struct(">iqi").unpack_from
_pack_head: Final = struct.Struct(">iii").pack


class ClientWorld(Surroundings, Protocol):
    """What a client asks of the world."""

    client_targets: list[int]
    """The members that clients may connect to now."""

    @property
    def machines(self) -> Mapping[int, Host]: ...

    def client_door(self, sid: int) -> Door:
        """Returns where a client looks for server ``sid``."""
        ...


class Requests(Protocol):
    """What a client asks for."""

    sequential: list[str]
    """Sequential znodes that the client has created and may delete."""

    def next(self) -> Asked:
        """Returns the next request."""
        ...

    def proof(self) -> Asked:
        """Returns a write that cannot fail: its answer proves that the client is served."""
        ...


class SimClient:
    """One client, which is a host of its own."""

    def __init__(
        self,
        world: ClientWorld,
        index: int,
        rng: Random,
        replies: ReplyChecker,
        workload: Requests | None = None,
    ) -> None:
        options = world.options
        self.world = world
        self.replies = replies
        self.index = index
        self.key = FIRST_KEY + index
        self.rng = rng
        self.life = 1
        self.is_powered = True
        self.is_up = True
        self.slowness = 1
        self.workload: Requests = workload or Workload(index, options, rng)
        self.left = options.operations
        """How many requests are still to be sent."""
        self.think_ms = options.think_ms
        """The longest time between two requests."""
        self.is_super = False
        """Whether the client says that it is the super user."""
        self.is_content_with_reads = False
        """Whether the client takes a server that has no leader."""
        self.session: SessionRecord | None = None
        self.socket: Socket | None = None
        self.is_attached = False
        """Whether the ConnectResponse has come on this socket."""
        self.pending: deque[Operation] = deque()
        self.target = 0
        self.is_done = False
        """Whether the proof, its last write, was answered."""
        self.wants_proof = False
        self.answered = 0
        self._password = NO_PASSWORD
        self._timeout_ms = options.session_timeout_ms
        self._received = b""
        self._xid = 0
        self._heard_us = 0
        self._sent_us = 0
        self._asked_us = 0
        self._is_silent = False
        self._is_thinking = False
        self._ticket = 0
        """The number of the present connection or attempt; calls of an earlier one do nothing."""

    # --- host -----------------------------------------------------------------------

    def input(self, action: Callable[..., object], *arguments: object) -> None:
        action(*arguments)

    def accepts(self, door: Door) -> bool:
        return False

    def accepted(self, door: Door, socket: Socket) -> None:
        raise AssertionError("nobody connects to a client")

    def describe(self) -> str:
        """Return who this is and where it is connected, for the trace."""
        return f"c{self.index} at h{self.target}" if self.socket is not None else f"c{self.index}"

    # --- connecting -----------------------------------------------------------------

    def _after(self, delay_us: int, action: Callable[[], object]) -> None:
        """Call ``action`` later, if this connection or attempt still lasts."""
        ticket = self._ticket

        def act() -> None:
            if self._ticket == ticket:
                action()

        self.world.at(self.world.now_us + delay_us, act)

    def start(self) -> None:
        """Connect after a short while."""
        self._after(self.rng.randrange(1, 300_000), self._connect)

    def _connect(self) -> None:
        world = self.world
        self.target = self.rng.choice(world.client_targets)
        self._heard_us = world.now_us
        dialed = partial(self._dialed, self._ticket)
        door = world.client_door(self.target)
        world.network.dial(self, world.machines[self.target], door, 1_000_000, dialed)

    def _dialed(self, ticket: int, socket: Socket | None) -> None:
        if ticket != self._ticket or socket is None:
            if socket is not None:
                socket.close()
            else:
                self._again("cannot connect")
            return
        session = self.session
        self.socket = socket
        socket.owner = self
        self._received = b""
        self._heard_us = self._asked_us = self.world.now_us
        request = ConnectRequest(
            0,
            session.last_zxid if session else 0,
            self._timeout_ms,
            session.session_id if session else 0,
            self._password,
            self.is_content_with_reads,
        ).encode()
        socket.send(struct.pack(">i", len(request)) + request)
        self._after(self._patience_us, self._look)

    @property
    def _patience_us(self) -> int:
        return self._timeout_ms * 667

    def _look(self) -> None:
        """Ping, or leave a server that is silent; look again later."""
        now = self.world.now_us
        if now - self._heard_us >= self._patience_us:
            self._leave("the server is silent")
            return
        is_idle = now - self._sent_us >= self._patience_us // 2
        if is_idle and self.is_attached and not self._is_silent:
            self._send(Operation(self.index, self._session_id, Xid.PING, OpCode.PING, ""), b"")
        self._after(self._patience_us // 4 + 1000, self._look)

    def _leave(self, why: str) -> None:
        socket = self.socket
        if socket is not None:
            socket.close()
        self._again(why)

    def _again(self, why: str) -> None:
        """Forget the connection, and what was asked on it; connect to another server."""
        if self.world.trace.is_verbose:
            self.world.detail(self, f"{why}; {len(self.pending)} requests without an answer")
        self.pending.clear()
        self.socket = None
        self.is_attached = False
        self._is_silent = self._is_thinking = False
        self._ticket += 1
        self._after(self.rng.randrange(1000, 300_000), self._connect)

    @property
    def _session_id(self) -> int:
        return self.session.session_id if self.session is not None else 0

    @property
    def _shown(self) -> str:
        return f"session {hex_id(self._session_id)}"

    # --- owner of a socket ----------------------------------------------------------

    def writable(self, socket: Socket) -> None:
        pass

    def ended(self, socket: Socket, reason: str) -> None:
        if socket is self.socket:
            self._again(reason)

    def received(self, socket: Socket, data: bytes) -> None:
        if socket is not self.socket:
            return
        self._heard_us = self.world.now_us
        buffer = self._received + data if self._received else data
        offset = 0
        end = len(buffer)
        while end - offset >= 4:
            (length,) = unpack_int(buffer, offset)
            if end - offset < 4 + length:
                break
            frame = buffer[offset + 4 : offset + 4 + length]
            offset += 4 + length
            if self.is_attached:
                self._reply(frame)
            else:
                self._attached(frame)
            if self.socket is not socket:
                return
        self._received = buffer[offset:]

    def _attached(self, frame: bytes) -> None:
        response, _ = ConnectResponse.decode(frame, 0, len(frame))
        session = self.session
        if response.session_id == 0:
            self.world.say(self, f"{self._shown} has expired")
            if session is not None:
                self.replies.expired(session)
            self.session = None
            self._password = NO_PASSWORD
            self._leave("expired")
            return
        self.is_attached = True
        self._timeout_ms = response.timeout_ms
        is_read_only = bool(response.read_only)
        if session is None:
            session = self.session = SessionRecord(
                self.index, response.session_id, is_read_only=is_read_only
            )
            self._password = response.password or NO_PASSWORD
            self.world.say(self, f"{self._shown} at h{self.target}{' r/o' * is_read_only}")
        else:
            self.world.detail(self, f"moved to h{self.target}")
        session.timeout_ms = response.timeout_ms
        self.replies.granted(session, self.target, self._asked_us)
        if is_read_only:
            self._after(self.rng.randrange(READ_ONLY_US), partial(self._leave, "it is read-only"))
        if self.is_super:
            self._send(
                Operation(self.index, session.session_id, Xid.AUTH, OpCode.AUTH, ""),
                AuthPacket(0, "digest", SUPER_USER.encode()).encode(),
            )
        if session.watches:
            self._set_watches(session)
        self._think()

    def _set_watches(self, session: SessionRecord) -> None:
        lists: dict[int, list[str | None]] = {1: [], 2: [], 3: []}
        for kind, path in session.watches:
            lists[kind].append(path)
        record = SetWatches(session.last_zxid, lists[1], lists[2], lists[3])
        operation = Operation(
            self.index, session.session_id, Xid.SET_WATCHES, OpCode.SET_WATCHES, ""
        )
        self._send(operation, record.encode())

    # --- asking ---------------------------------------------------------------------

    def _send(self, operation: Operation, body: bytes) -> None:
        socket = self.socket
        assert socket is not None
        self.replies.asked(operation)
        self.pending.append(operation)
        operation.sent_us = self._sent_us = self.world.now_us
        socket.send(_pack_head(8 + len(body), operation.xid, operation.opcode) + body)

    def _think(self) -> None:
        """Send the next request after a while, unless that is planned already."""
        if self._is_thinking:
            return
        self._is_thinking = True
        self._after(self.rng.randrange(1, self.think_ms * 1000), self._ask)

    def _ask(self) -> None:
        """Send the next request, if there is one and not too many are under way."""
        self._is_thinking = False
        if not self.is_attached or self._is_silent:
            return
        options, rng = self.world.options, self.rng
        if len(self.pending) >= options.pipeline:
            return  # the next answer plans the next request
        if self.wants_proof:
            if not self.pending and not self.is_done:
                self._submit(*self.workload.proof())
            return
        if self.left <= 0:
            return
        self.left -= 1
        if rng.random() < options.silences:
            self._is_silent = True
            self._after(self._timeout_ms * rng.choice((500, 1500, 3000)), self._speak)
            return
        if rng.random() < options.closes:
            assert self.session is not None
            self.session.is_closing = True
            self._submit(OpCode.CLOSE_SESSION, "", b"", False)
            return
        self._submit(*self.workload.next())
        self._think()

    def _speak(self) -> None:
        self._is_silent = False
        self._think()

    def _submit(self, opcode: int, path: str, body: bytes, sets_watch: bool) -> None:
        self._xid += 1
        operation = Operation(self.index, self._session_id, self._xid, opcode, path, sets_watch)
        operation.body = body
        self._send(operation, body)

    def prove(self) -> None:
        """Send only one more request, a write that must succeed. An administrator, who thinks for
        long, tries it again as often as others: an answer may take longer than its patience."""
        self.think_ms = min(self.think_ms, self.world.options.think_ms)
        self.left = 0
        self.wants_proof = True
        self._is_silent = False
        if self.is_attached:
            self._think()

    # --- being told -----------------------------------------------------------------

    def _reply(self, frame: bytes) -> None:
        xid, zxid, error = _unpack_reply(frame, 0)
        replies = self.replies
        session = self.session
        assert session is not None
        if xid == Xid.NOTIFICATION:
            event, _ = WatcherEvent.decode(frame, 16, len(frame))
            replies.fired(session, event.type, event.path)
            return
        operation = self.pending.popleft() if self.pending else None
        replies.answered(session, operation, xid, zxid, error, frame[16:])
        self._think()
        if operation is None or xid <= 0:
            return
        self.answered += 1
        if operation.opcode == OpCode.CLOSE_SESSION:
            replies.closed(session)
            self.world.say(self, f"{self._shown} closed")
            self.session = None
            self._password = NO_PASSWORD
            self._leave("closed")
            return
        if self.wants_proof and error == 0 and operation.opcode == OpCode.SET_DATA:
            self.is_done = self.is_done or operation.path == "/"
        created = replies.created_path(operation, error, frame[16:])
        if created is not None:
            self.workload.sequential.append(created)
