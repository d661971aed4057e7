"""Connections between hosts: they keep order, and nothing else can be relied on.

Pure. Like TCP as the two programs see it:

- what was sent arrives whole and in order, in pieces of any size, or up to some byte only;
- a side learns of the end with the last byte, or late, or never;
- a blocked direction holds what is sent: it arrives when the block ends, if both sides still live;
- a killed process's system says goodbye for it; a machine without power says nothing, and when it
  is back it answers whoever goes on sending with a reset;
- a connection takes only so many bytes ahead of its reader, and carries only so many a second;
- who does not read for a while finds everything there when it does again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final, NamedTuple, Protocol

from pyzk.sim.options import Options
from pyzk.sim.trace import Trace

CARRIED_MS: Final = 50
"""The milliseconds after which a slow line delivers what it has carried of a long piece."""
SYN_RETRY_US: Final = 300_000
MAX_LATENCY_US: Final = 3_000_000
GIVE_UP_US: Final = 5_000_000
"""The longest time until a side that writes into a broken connection learns of it."""
CLIENT: Final = "client"
QUORUM: Final = "quorum"
OBSERVERS: Final = "observers"
ELECTION: Final = "election"
FIN: Final = b"FIN"
"""Says in a pipe that the sender has closed; compared by identity."""
RST: Final = b"RST"
"""Says in a pipe that the connection is broken; compared by identity."""


class Door(NamedTuple):
    """Where a program listens: a port at one name of its machine."""

    kind: str
    """What comes there: clients, learners, observers of a follower, or votes."""
    host: str
    port: int


class Host(Protocol):
    """What a connection ends at: a machine with one program, or a client."""

    key: int
    """The key of the host, different for each; that of a member is its sid."""
    life: int
    """Counts the starts of the program."""
    is_powered: bool
    is_up: bool
    """Whether the program runs, paused or not."""
    slowness: int
    """How many times slower than usual its network is."""

    def input(self, action: Callable[..., object], *arguments: object) -> None:
        """Lets the program take an input, now or when it is no longer paused."""
        ...

    def accepts(self, door: Door) -> bool:
        """Tells whether the program listens there."""
        ...

    def accepted(self, door: Door, socket: Socket) -> None:
        """Takes a connection that has come."""
        ...


class Owner(Protocol):
    """The program's side of a socket."""

    def received(self, socket: Socket, data: bytes) -> None: ...

    def ended(self, socket: Socket, reason: str) -> None:
        """Takes the news that the other side has closed or the connection is broken, unless this
        side has closed."""
        ...

    def writable(self, socket: Socket) -> None:
        """Takes the news that the socket has room again."""
        ...


class Scheduler(Protocol):
    """The world, as the network needs it."""

    now_us: int
    trace: Trace

    def at(self, time_us: int, action: Callable[[], object]) -> None: ...


class Socket:
    """One end of a connection."""

    __slots__ = (
        "host",
        "is_closed",
        "is_full",
        "is_paused",
        "kind",
        "life",
        "outgoing",
        "owner",
        "peer",
    )

    def __init__(self, host: Host, kind: str) -> None:
        self.host = host
        self.kind = kind
        """The kind of the door through which the connection was made."""
        self.life = host.life
        self.owner: Owner | None = None
        self.peer: Socket
        self.outgoing: Pipe
        self.is_closed = False
        self.is_full = False
        self.is_paused = False
        """Whether the program does not read for now."""

    @property
    def name(self) -> str:
        """The host at the other side."""
        return f"h{self.peer.host.key}"

    @property
    def room(self) -> int:
        """How many bytes the socket takes at present."""
        return self.outgoing.network.options.socket_bytes - self.outgoing.in_flight

    def send(self, data: bytes) -> None:
        """Write, even if there is no room."""
        if not self.is_closed:
            self.outgoing.push(data)

    def pause_reading(self, is_paused: bool) -> None:
        """Stop reading what comes, or go on with it."""
        if is_paused != self.is_paused:
            self.is_paused = is_paused
            pipe = self.peer.outgoing
            if not is_paused and not pipe.is_scheduled:
                pipe.schedule(pipe.network.world.now_us)

    def close(self) -> None:
        """Close; what was written is still sent."""
        if not self.is_closed:
            self.is_closed = True
            self.outgoing.push(FIN)
            self.outgoing.network.forget(self)

    def is_alive(self) -> bool:
        """Tell whether the program that opened the socket still has it."""
        return not self.is_closed and self.host.is_up and self.host.life == self.life


class Pipe:
    """One direction of a connection."""

    __slots__ = (
        "in_flight",
        "is_dead",
        "is_given_up",
        "is_scheduled",
        "last_us",
        "network",
        "queue",
        "stalled_until",
        "target",
        "writer",
    )

    def __init__(self, network: SimNetwork, writer: Socket, target: Socket) -> None:
        self.network = network
        self.writer = writer
        self.target = target
        self.queue: deque[tuple[int, bytes]] = deque()
        self.in_flight = 0
        self.last_us = 0
        self.stalled_until = 0
        self.is_scheduled = False
        self.is_dead = False
        """Whether everything that is written from now on is lost."""
        self.is_given_up = False

    def push(self, data: bytes) -> None:
        network = self.network
        if self.is_dead:
            if not self.is_given_up and data is not FIN:
                self.is_given_up = True
                delay = network.rng.randint(SYN_RETRY_US, GIVE_UP_US)
                network.world.at(network.world.now_us + delay, self._give_up)
            return
        at = network.world.now_us + network.latency_us(self.writer.host, self.target.host)
        if at < self.last_us:
            at = self.last_us
        rate = network.options.line_bytes_ms
        if rate:
            # A slow line brings the beginning of a long piece long before its end.
            most = rate * CARRIED_MS
            while len(data) > most:
                at += CARRIED_MS * 1000
                self._carry(data[:most], at)
                data = data[most:]
            at += len(data) * 1000 // rate
        self._carry(data, at)

    def _carry(self, data: bytes, at: int) -> None:
        self.last_us = at
        self.queue.append((at, data))
        self.in_flight += len(data)
        if not self.is_scheduled:
            self.schedule(at)

    def _give_up(self) -> None:
        """End the connection at the writer: nothing that it sends is acknowledged."""
        writer = self.writer
        if writer.is_alive():
            writer.host.input(_end, writer, "connection timed out")

    def schedule(self, at: int) -> None:
        self.is_scheduled = True
        self.network.world.at(at, self.pump)

    def pump(self) -> None:
        """Deliver what is due."""
        self.is_scheduled = False
        network = self.network
        now = network.world.now_us
        if network.is_blocked(self.writer.host.key, self.target.host.key, self.writer.kind):
            network.parked[self] = None
            return
        if now < self.stalled_until:
            self.schedule(self.stalled_until)
            return
        queue = self.queue
        while queue and queue[0][0] <= now and not self.target.is_paused:
            _, data = queue.popleft()
            self.in_flight -= len(data)
            self._deliver(data)
        if queue and not self.is_scheduled and not self.target.is_paused:
            self.schedule(queue[0][0])
        writer = self.writer
        if writer.is_full and writer.room > 0 and writer.is_alive():
            writer.is_full = False
            network.world.at(
                now + network.latency_us(self.target.host, writer.host),
                partial(_is_writable, writer),
            )

    def _deliver(self, data: bytes) -> None:
        target = self.target
        network = self.network
        if not target.is_alive():
            if data is FIN or data is RST:
                return
            if target.host.is_powered:
                network.reset(self.writer)
            else:
                network.poked[self.writer] = None
            return
        if data is FIN:
            target.host.input(_end, target, "closed by the other side")
            return
        if data is RST:
            target.host.input(_end, target, "connection reset")
            return
        network.world.trace.add(network.world.now_us, data)
        rng = network.rng
        if network.options.pieces and len(data) > 1 and rng.random() < network.options.pieces:
            cut = rng.randrange(1, len(data))
            if rng.random() < 0.3:
                cut = 1
            target.host.input(_receive, target, data[:cut])
            data = data[cut:]
        target.host.input(_receive, target, data)

    def cut_short(self, rng: Random) -> None:
        """Lose what is on the way after some byte, and everything that is written later."""
        self.is_dead = True
        queue = self.queue
        keep = rng.randint(0, self.in_flight) if rng.random() < 0.7 else self.in_flight
        kept: deque[tuple[int, bytes]] = deque()
        for at, data in queue:
            if keep <= 0 or data is FIN or data is RST:
                break
            kept.append((at, data[:keep]))
            keep -= len(data)
        self.queue = kept
        self.in_flight = sum(len(data) for _, data in kept)

    def say_last(self, mark: bytes, delay_us: int) -> None:
        """Tell the reader, after what is on the way, that the connection has ended."""
        at = max(self.last_us, self.network.world.now_us + delay_us)
        self.last_us = at
        self.queue.append((at, mark))
        self.in_flight += len(mark)
        if not self.is_scheduled:
            self.schedule(self.queue[0][0])


def _accept(socket: Socket, door: Door) -> None:
    if socket.is_alive():
        socket.host.accepted(door, socket)


def _receive(socket: Socket, data: bytes) -> None:
    if socket.is_alive() and socket.owner is not None:
        socket.owner.received(socket, data)


def _end(socket: Socket, reason: str) -> None:
    if socket.is_alive():
        socket.is_closed = True
        socket.outgoing.is_dead = True
        socket.outgoing.network.forget(socket)
        if socket.owner is not None:
            socket.owner.ended(socket, reason)


def _is_writable(socket: Socket) -> None:
    if socket.is_alive():
        socket.host.input(_writable, socket)


def _writable(socket: Socket) -> None:
    if socket.is_alive() and socket.owner is not None:
        socket.owner.writable(socket)


class SimNetwork:
    """All connections, and their faults."""

    def __init__(self, world: Scheduler, options: Options, rng: Random) -> None:
        self.world = world
        self.options = options
        self.rng = rng
        self.sockets: dict[Socket, None] = {}
        """The sockets that their own side has open."""
        self.blocked: dict[tuple[int, int], None] = {}
        """The directions in which nothing passes, as (from, to)."""
        self.blocked_kinds: dict[tuple[int, int, str], None] = {}
        """Where connections of one kind do not pass, as (from, to, kind of door)."""
        self.parked: dict[Pipe, None] = {}
        """Pipes that wait for a block to end."""
        self.poked: dict[Socket, None] = {}
        """Sockets that have sent to a machine without power."""

    def latency_us(self, source: Host, target: Host) -> int:
        options = self.options
        rng = self.rng
        base = options.latency_us
        if source.slowness > 1 or target.slowness > 1:
            base *= max(source.slowness, target.slowness)
        if options.spikes and rng.random() < options.spikes:
            base *= 50
        return min(int(base * (0.2 + 1.6 * rng.random())), MAX_LATENCY_US) + 1

    # --- connecting -----------------------------------------------------------------

    def dial(
        self,
        source: Host,
        target: Host,
        door: Door,
        timeout_us: int,
        done: Callable[[Socket | None], None],
    ) -> None:
        """Connect; ``done`` is an input of the source with the socket, or None."""
        give_up_us = self.world.now_us + timeout_us
        self._syn(source, source.life, target, door, give_up_us, done)

    def _syn(
        self,
        source: Host,
        life: int,
        target: Host,
        door: Door,
        give_up_us: int,
        done: Callable[[Socket | None], None],
    ) -> None:
        there_us = self.latency_us(source, target)

        def arrive() -> None:
            now = self.world.now_us
            back_us = self.latency_us(target, source)
            is_cut = (
                self.is_blocked(source.key, target.key, door.kind)
                or self.is_blocked(target.key, source.key, door.kind)
                or not target.is_powered
            )
            if is_cut:
                if now + SYN_RETRY_US < give_up_us:
                    self.world.at(
                        now + SYN_RETRY_US,
                        partial(self._syn, source, life, target, door, give_up_us, done),
                    )
                else:
                    self._answer(source, life, give_up_us, done, None)
                return
            if not target.is_up or not target.accepts(door):
                self._answer(source, life, now + back_us, done, None)
                return
            near, far = self._open(source, life, target, door.kind)
            self._answer(source, life, now + back_us, done, near)
            target.input(_accept, far, door)

        self.world.at(self.world.now_us + there_us, arrive)

    def _open(self, source: Host, life: int, target: Host, kind: str) -> tuple[Socket, Socket]:
        near, far = Socket(source, kind), Socket(target, kind)
        near.life = life
        near.peer, far.peer = far, near
        near.outgoing, far.outgoing = Pipe(self, near, far), Pipe(self, far, near)
        self.sockets[near] = self.sockets[far] = None
        return near, far

    def _answer(
        self,
        source: Host,
        life: int,
        at_us: int,
        done: Callable[[Socket | None], None],
        socket: Socket | None,
    ) -> None:
        if socket is not None:
            # Nothing is read at the near side before it knows that it is connected.
            back = socket.peer.outgoing
            back.last_us = max(back.last_us, at_us)

        def answer() -> None:
            if source.life == life and source.is_up:
                source.input(done, socket)

        self.world.at(max(at_us, self.world.now_us), answer)

    # --- ends -----------------------------------------------------------------------

    def forget(self, socket: Socket) -> None:
        self.sockets.pop(socket, None)

    def reset(self, socket: Socket) -> None:
        """Tell a socket that the machine at the other side does not know the connection."""
        if socket.is_alive():
            socket.outgoing.is_dead = True
            socket.peer.outgoing.say_last(RST, self.latency_us(socket.peer.host, socket.host))

    def cut(self, socket: Socket) -> None:
        """Break a connection; each side notices soon, late or never."""
        for side in (socket, socket.peer):
            side.outgoing.cut_short(self.rng)
        for side in (socket, socket.peer):
            if self.rng.random() < 0.8:
                side.outgoing.say_last(RST, self.rng.choice((0, 1000, 20_000, 500_000)))

    def killed(self, host: Host) -> None:
        """Close what the program of a host had open, which is gone, as its system does."""
        for socket in [each for each in self.sockets if each.host is host]:
            self.forget(socket)
            if self.rng.random() < 0.5:
                socket.outgoing.cut_short(self.rng)
            socket.outgoing.is_dead = True
            socket.outgoing.say_last(FIN, 0)

    def lost_power(self, host: Host) -> None:
        """Close what a host had open without a word: it has no power."""
        for socket in [each for each in self.sockets if each.host is host]:
            self.forget(socket)
            socket.outgoing.cut_short(self.rng)

    def powered(self, host: Host) -> None:
        """Reset the connections whose other side has sent to a host while it had no power."""
        for socket in [each for each in self.poked if each.peer.host is host]:
            del self.poked[socket]
            if socket.is_alive():
                self.reset(socket)

    # --- faults ---------------------------------------------------------------------

    def is_blocked(self, source: int, target: int, kind: str) -> bool:
        """Tell whether nothing of a connection of this kind passes in this direction."""
        if self.blocked and (source, target) in self.blocked:
            return True
        return bool(self.blocked_kinds) and (source, target, kind) in self.blocked_kinds

    def block(self, source: int, target: int) -> None:
        self.blocked[source, target] = None

    def unblock(self, source: int, target: int) -> None:
        self.blocked.pop((source, target), None)
        self._unpark()

    def block_kind(self, source: int, target: int, kind: str) -> None:
        """Let no connections of one kind pass between two hosts."""
        self.blocked_kinds[source, target, kind] = self.blocked_kinds[target, source, kind] = None

    def unblock_kind(self, source: int, target: int, kind: str) -> None:
        """Let connections of one kind pass again."""
        self.blocked_kinds.pop((source, target, kind), None)
        self.blocked_kinds.pop((target, source, kind), None)
        self._unpark()

    def unblock_all(self) -> None:
        self.blocked.clear()
        self.blocked_kinds.clear()
        self._unpark()

    def _unpark(self) -> None:
        """Let what a block has held back go on, when the senders try again."""
        for pipe in list(self.parked):
            writer, target = pipe.writer, pipe.target
            if not self.is_blocked(writer.host.key, target.host.key, writer.kind):
                del self.parked[pipe]
                if not pipe.is_scheduled:
                    delay = self.rng.randint(0, SYN_RETRY_US)
                    pipe.schedule(self.world.now_us + delay)

    def stall(self, socket: Socket, time_us: int) -> None:
        """Hold what a socket sends for a while."""
        socket.outgoing.stalled_until = self.world.now_us + time_us
