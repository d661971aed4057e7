"""The network between the members of a test ensemble: in memory, and under the test's control.

Shell. Stands in for TCP on the quorum and election ports (`pyzk.runtime.seams.MemberNetwork`). Each
member has an endpoint; all of them share one `MemoryNetwork`, which knows who may reach whom.

    write  -> the other side's inbox -> its data_received, one turn of the loop later

A connection behaves as a socket does: what was written before ``close`` still arrives, ``abort``
loses it; a slow reader makes the writer pause. A paused member still gets connections and bytes, as
from its kernel: they wait at its gate. A partition either cuts the connections between its sides,
and new ones are refused at once, as when a network reports that a host is unreachable; or it is
silent, as when packets are lost: connections stay, and what was sent waits until the partition is
healed, as TCP would send it again.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, cast

from pyzk.testing.seams.gate import Gate

HIGH_WATER: Final = 64 * 1024
LOW_WATER: Final = 16 * 1024
_FIRST_PORT: Final = 49152
"""The first port number that a connecting side gets; it means nothing."""

Make = Callable[[], asyncio.Protocol]


class MemoryNetwork:
    """All members' endpoints, the connections between them, and the partitions."""

    def __init__(self) -> None:
        self.endpoints: dict[int, MemoryEndpoint] = {}
        self.listeners: dict[int, MemoryListener] = {}
        """Port -> its listener; each port belongs to one member."""
        self.transports: dict[MemoryTransport, None] = {}
        """Both ends of every open connection."""
        self._blocked: dict[tuple[int, int], bool] = {}
        """(from, to) of what is blocked -> whether silently."""
        self._waiting: list[asyncio.Future[None]] = []
        """Attempts to connect through a silent partition."""
        self.ports = itertools.count(_FIRST_PORT)

    def endpoint(self, sid: int, gate: Gate, observe: Callable[[], None]) -> MemoryEndpoint:
        """Return a member's endpoint; ``observe`` is called after each of its inputs."""
        endpoint = self.endpoints[sid] = MemoryEndpoint(self, sid, gate, observe)
        return endpoint

    # --- partitions -----------------------------------------------------------------

    def separate(self, one: Iterable[int], others: Iterable[int], *, silent: bool) -> None:
        """Let nothing pass between two sides, in both directions."""
        others = list(others)
        for a in one:
            for b in others:
                self._blocked[a, b] = self._blocked[b, a] = silent
        if not silent:
            for transport in list(self.transports):
                if self.is_blocked(transport.sid, transport.other_sid):
                    transport.reset()

    def heal(self) -> None:
        """Let everything pass again; what waited goes on."""
        self._blocked.clear()
        for transport in list(self.transports):
            transport.wake()
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def is_blocked(self, one: int, other: int) -> bool:
        """Whether nothing passes from one to the other."""
        return (one, other) in self._blocked

    @property
    def partitions(self) -> list[tuple[int, int]]:
        """The pairs, each once, between which nothing passes."""
        return sorted({(min(pair), max(pair)) for pair in self._blocked})

    async def reach(self, one: int, other: int) -> None:
        """Return when a connection may be made. Raises OSError."""
        while (silent := self._blocked.get((one, other))) is not None:
            if not silent:
                raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            finally:
                if future in self._waiting:
                    self._waiting.remove(future)

    def leave(self, sid: int) -> None:
        """Remove everything of a member that has ended."""
        for port, listener in list(self.listeners.items()):
            if listener.endpoint.sid == sid:
                del self.listeners[port]
        for transport in list(self.transports):
            if transport.sid == sid:
                transport.abort()


class MemoryEndpoint:
    """The network of one member: a `pyzk.runtime.seams.MemberNetwork`."""

    def __init__(
        self, network: MemoryNetwork, sid: int, gate: Gate, observe: Callable[[], None]
    ) -> None:
        self.network = network
        self.sid = sid
        self.gate = gate
        self.observe = observe

    async def connect(self, make: Make, host: str, port: int) -> None:
        """Connect to a member's port. Raises OSError."""
        del host
        network = self.network
        await asyncio.sleep(0)
        listener = network.listeners.get(port)
        if listener is not None:
            await network.reach(self.sid, listener.endpoint.sid)
            listener = network.listeners.get(port)
        if listener is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        here = MemoryTransport(self, listener.endpoint.sid, ("127.0.0.1", port))
        there = MemoryTransport(listener.endpoint, self.sid, ("127.0.0.1", next(network.ports)))
        here.other, there.other = there, here
        here.meet(make())
        there.meet(listener.make())

    async def listen(self, make: Make, host: str | None, port: int) -> MemoryListener:
        """Take connections to a port. Raises OSError."""
        del host
        if port in self.network.listeners:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        listener = self.network.listeners[port] = MemoryListener(self, make, port)
        return listener

    async def check(self, host: str) -> None:
        """Do nothing: every name is known."""


class MemoryListener:
    """One port of a member that takes connections."""

    def __init__(self, endpoint: MemoryEndpoint, make: Make, port: int) -> None:
        self.endpoint = endpoint
        self.make = make
        self._port = port

    def close(self) -> None:
        """Take no more connections; open ones stay."""
        listeners = self.endpoint.network.listeners
        if listeners.get(self._port) is self:
            del listeners[self._port]


class MemoryTransport(asyncio.Transport):
    """One end of a connection."""

    other: MemoryTransport

    def __init__(
        self, endpoint: MemoryEndpoint, other_sid: int, peer_name: tuple[str, int]
    ) -> None:
        super().__init__({"peername": peer_name})
        self.sid = endpoint.sid
        self.other_sid = other_sid
        self._network = endpoint.network
        self._gate = endpoint.gate
        self._observe = endpoint.observe
        self._loop = asyncio.get_running_loop()
        self._protocol: asyncio.Protocol
        self._inbox: deque[bytes] = deque()
        """The bytes that the other end has written and this one has not read."""
        self._inbox_bytes = 0
        self._is_due = False
        """Whether the loop is asked for a turn."""
        self._is_reading = True
        self._is_choked = False
        """Whether this end was told to pause writing."""
        self._high, self._low = HIGH_WATER, LOW_WATER
        self._is_closing = False
        self._is_ended = False
        """Whether the other end writes nothing more."""
        self._is_lost = False
        """Whether connection_lost was called, or will be."""
        self._network.transports[self] = None

    # --- asyncio.Transport ----------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closing or not data:
            return
        self.other.take(bytes(data))
        if not self._is_choked and self.get_write_buffer_size() > self._high:
            self._is_choked = True
            self._protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return self.other._inbox_bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH_WATER if high is None else high
        self._low = self._high // 4 if low is None else low

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True
        self.wake()

    def is_reading(self) -> bool:
        return self._is_reading

    def is_closing(self) -> bool:
        return self._is_closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give this end to another protocol: TLS steps aside where there is none."""
        self._protocol = cast("asyncio.Protocol", protocol)

    def write_eof(self) -> None:
        """Write nothing more; what was written arrives."""
        if not self._is_closing:
            self.other.end()

    def close(self) -> None:
        """Close this end; what was written arrives."""
        if not self._is_closing:
            self._is_closing = True
            self._forget_input()
            self.other.end()
            self._lose(None)

    def abort(self) -> None:
        """Close both ends at once; what has not arrived is lost."""
        if not self._is_lost:
            self._is_closing = True
            self.other._forget_input()
            self.other.reset_by_peer()
            self._forget_input()
            self._lose(None)

    # --- called by the network and the other end ------------------------------------

    def meet(self, protocol: asyncio.Protocol) -> None:
        """Give this end to the protocol that uses it."""
        self._protocol = protocol
        self._loop.call_soon(self._meet)

    def _meet(self) -> None:
        if self._gate.is_closed:
            self._gate.add(self._meet)
            return
        self._protocol.connection_made(self)
        self.wake()
        self._observe()

    def take(self, data: bytes) -> None:
        """Take bytes that the other end has written."""
        if self._is_closing:
            return
        self._inbox.append(data)
        self._inbox_bytes += len(data)
        self.wake()

    def end(self) -> None:
        """Take notice that the other end writes nothing more."""
        self._is_ended = True
        self.wake()

    def reset(self) -> None:
        """Cut the connection, and tell both ends."""
        for end in (self, self.other):
            end._forget_input()
            end.reset_by_peer()

    def reset_by_peer(self) -> None:
        if not self._is_lost:
            self._is_closing = True
            self._lose(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))

    def wake(self) -> None:
        """Deliver in the next turn of the loop, if there is something to read."""
        if not self._is_due and (self._inbox or self._is_ended):
            self._is_due = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._is_due = False
        if self._is_closing or not self._is_reading:
            return
        if self._gate.is_closed:
            self._is_due = True
            self._gate.add(self._deliver)
            return
        if self._network.is_blocked(self.other_sid, self.sid):
            return  # heal() wakes it
        if self._inbox:
            data = b"".join(self._inbox)
            self._forget_input()
            self._protocol.data_received(data)
            self.other._relieve()
            self._observe()
        elif self._is_ended:
            self._protocol.eof_received()
            self.close()
        if not self._is_closing:
            self.wake()

    def _relieve(self) -> None:
        """Resume writing if the other end has read enough."""
        if self._is_choked and self.get_write_buffer_size() <= self._low:
            self._is_choked = False
            self._loop.call_soon(self._resume_writing)

    def _resume_writing(self) -> None:
        if self._gate.is_closed:
            self._gate.add(self._resume_writing)
        elif not self._is_lost and not self._is_choked:
            self._protocol.resume_writing()
            self._observe()

    def _forget_input(self) -> None:
        self._inbox.clear()
        self._inbox_bytes = 0

    def _lose(self, error: Exception | None) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._network.transports.pop(self, None)
            self._loop.call_soon(self._tell_lost, error)

    def _tell_lost(self, error: Exception | None) -> None:
        if self._gate.is_closed:
            self._gate.add(lambda: self._tell_lost(error))
            return
        self._protocol.connection_lost(error)
        self._observe()
