"""One connection of HTTP, and how many there may be.

Shell. It stands between its socket, or the TLS of that, and aiohttp, and notes how long the other
side is silent or slow. ZooKeeper: the idle timeout of Jetty's ServerConnector
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from pyzk.outsiders import about
from pyzk.runtime.addresses import peer_of, place

if TYPE_CHECKING:
    from aiohttp import StreamReader

    from pyzk.runtime.http_fault import QuietHandler

log = logging.getLogger(__name__)

MOST_CONNECTIONS: Final = 200
"""The most connections of one port."""
_OWN_ANSWER_S: Final = 1.0
"""A page that itself gives up a body that does not come has so long to say so."""
BROKEN_BODY: Final = "the body of its request is broken"
_LOOKS_PER_TIMEOUT: Final = 4
_MOST_S: Final = 1.0
"""The seconds between two looks at all connections, at most."""
_TAKEN_WITHIN_S: Final = 0.1
"""In so many seconds a request that has come is taken."""


class HttpConnection(asyncio.Protocol):
    """Passes on what its socket has for aiohttp, and notes when that was."""

    def __init__(self, connections: Connections, inner: QuietHandler) -> None:
        self._connections = connections
        self.inner = inner
        self.transport: asyncio.Transport | None = None
        self.host = ""
        self.port = 0
        self.is_tls = False
        self.is_half_closed = False
        """Whether the other side sends nothing more, but may read."""
        self._body: StreamReader | None = None
        """The body of the request that is being answered; None if there is none."""
        self._has_begun = False
        """Whether something has come since the last request was answered."""
        self.since = 0.0
        """When it began to wait: for a request, for the rest of one, or for its answer to be read.
        """
        self._unsent = 0
        self.is_dropped = False

    # --- called by the socket, or its TLS -----------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        taken = cast("asyncio.Transport", transport)
        self.host, self.port = peer_of(transport)
        self.is_tls = transport.get_extra_info("tls") is not None
        if not self._connections.takes(self, taken):
            taken.abort()
            return
        self.transport = taken
        self.since = self._connections.now()
        self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.transport is None:
            return
        if self.awaits_body:
            self.since = self._connections.now()
        elif not self._has_begun and not self.is_busy:
            self._has_begun = True
            self.since = self._connections.now()
        self.inner.data_received(data)
        self._end_if_broken()

    def _end_if_broken(self) -> None:
        """Closes the connection if the body of its request can never come whole: something that is
        no part of it is there already, and aiohttp lets whoever reads the body wait."""
        if self.awaits_body and self.inner.has_more and not self.is_dropped:
            self._connections.drop(self, BROKEN_BODY)

    def eof_received(self) -> bool:
        if self.transport is None:
            return False
        self.is_half_closed = True
        self.inner.eof_received()
        if self._body is not None:
            return self._body.is_eof()  # otherwise the rest of it never comes
        if self._has_begun:
            # A whole request is taken in the next turns of the loop, half of one never.
            asyncio.get_running_loop().call_later(_TAKEN_WITHIN_S, self._end_of_requests)
        return self._has_begun

    def _end_of_requests(self) -> None:
        if not self.is_busy and self.transport is not None:
            self.transport.close()

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.transport is not None:
            self.transport = None
            self._connections.lost(self)
            self.inner.connection_lost(exc)

    # --- called by the port ---------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self._body is not None

    @property
    def awaits_body(self) -> bool:
        """Whether a request is being answered whose body is not here whole."""
        return self._body is not None and not self._body.is_eof()

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for a request, or for the rest of one."""
        return not self.is_busy or self.awaits_body

    def request_begins(self, body: StreamReader) -> None:
        """Note that a request has come whole, but for its body."""
        self._body = body
        self._has_begun = False
        self.since = self._connections.now()
        self._end_if_broken()

    def request_ends(self) -> None:
        """Note that a request is answered."""
        self._body = None
        self.since = self._connections.now()

    def look(self, now: float, idle_timeout_s: float) -> str | None:
        """Return why this connection is to be closed now; None if it is not."""
        transport = self.transport
        if transport is None:
            return None
        if self.awaits_body:
            if not transport.is_reading():
                self.since = now  # it sends faster than the server can take
            is_late = now - self.since >= idle_timeout_s + _OWN_ANSWER_S
            return "the body of its request does not come" if is_late else None
        unsent = transport.get_write_buffer_size()
        if unsent != self._unsent or (self.is_busy and not unsent):
            # It reads; or it waits for the server, which is not its fault.
            self._unsent = unsent
            if self.is_busy:
                self.since = now
        if now - self.since < idle_timeout_s:
            return None
        if self.is_busy:
            return "it does not read its answer"
        return "its request does not come whole" if self._has_begun else ""

    def drop(self) -> None:
        """Close the connection at once."""
        self.is_dropped = True
        if self.transport is not None:
            self.transport.abort()


class Connections:
    """All connections of one port.

    One too many costs the host that has the most of them: the one that waits longest for a
    request or for the rest of one, or else the one that has just come. So a host that opens
    thousands keeps nobody out, nor does it keep its own health checks out by what it leaves open.
    """

    def __init__(
        self,
        name: str,
        idle_timeout_s: float | None,
        admits: Callable[[int], bool],
        came_plain: Callable[[], None] | None = None,
    ) -> None:
        """``idle_timeout_s`` is None for no limit. ``admits`` is asked whether a connection may
        have this descriptor. ``came_plain`` is called for each connection that comes without
        TLS."""
        self._name = name
        self._idle_timeout_s = idle_timeout_s
        self._admits = admits
        self._came_plain = came_plain
        self._limit = MOST_CONNECTIONS
        self._all: dict[QuietHandler, HttpConnection] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._all)

    @property
    def busy_count(self) -> int:
        """How many of them are being answered."""
        return sum(each.is_busy for each in self._all.values())

    def now(self) -> float:
        """Return the seconds of the loop's clock."""
        return asyncio.get_running_loop().time()

    def of(self, handler: object) -> HttpConnection:
        """Return the connection that a handler of aiohttp has. Raises ConnectionError if it is
        gone."""
        try:
            return self._all[cast("QuietHandler", handler)]
        except KeyError:
            raise ConnectionResetError("the connection is gone") from None

    def start(self) -> None:
        """Look at all connections now and then, from now on."""
        timeout_s = self._idle_timeout_s
        if timeout_s is not None:
            pause_s = min(timeout_s / _LOOKS_PER_TIMEOUT, _MOST_S)
            self._timer = asyncio.get_running_loop().call_later(pause_s, self._look)

    def _look(self) -> None:
        timeout_s, now = self._idle_timeout_s, self.now()
        assert timeout_s is not None
        for each in list(self._all.values()):
            reason = each.look(now, timeout_s)
            if reason is not None:
                self.drop(each, reason)
        self.start()

    def drop(self, connection: HttpConnection, reason: str) -> None:
        """Close a connection at once, and say why in the log if there is a reason to give."""
        if reason:
            log.info(
                "closing %s on the %s: %s",
                place(connection.host, connection.port),
                self._name,
                reason,
                extra=about(connection.host),
            )
        connection.drop()

    def takes(self, connection: HttpConnection, transport: asyncio.Transport) -> bool:
        """Take a connection that has been made; False refuses it."""
        sock = transport.get_extra_info("socket")
        if self._is_over or not self._admits(-1 if sock is None else sock.fileno()):
            return False
        if self._came_plain is not None and not connection.is_tls:
            self._came_plain()
        self._all[connection.inner] = connection
        if len(self._all) <= self._limit:
            return True
        victim = self._victim()
        if victim is connection:
            del self._all[connection.inner]
            log.info(
                "closing %s on the %s: %d others are there",
                place(connection.host, connection.port),
                self._name,
                self._limit,
                extra=about(connection.host),
            )
            return False
        self.drop(victim, f"{self._limit} others are there")
        return True

    def _victim(self) -> HttpConnection:
        by_host: dict[str, list[HttpConnection]] = {}
        for each in self._all.values():
            by_host.setdefault(each.host, []).append(each)
        # The newest one of the busiest host, if all requests of that host are whole.
        busiest = max(by_host.values(), key=len)
        waiting = [each for each in busiest[:-1] if each.is_waiting and not each.is_dropped]
        return min(waiting, key=lambda each: each.since, default=busiest[-1])

    def lost(self, connection: HttpConnection) -> None:
        """Forget a connection that is gone."""
        self._all.pop(connection.inner, None)

    def abort(self) -> None:
        """Drop all connections, and take no more."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        for each in list(self._all.values()):
            each.drop()
