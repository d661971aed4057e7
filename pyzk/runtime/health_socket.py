"""A socket of this machine at which `pyzk health` asks a server how it is.

Shell. It needs no admin port, no key of TLS and no place among the connections that maxClientCnxns
allows, so a probe neither fails because a host is full of clients nor takes a client's place
(docs/decisions/0040). It is a Unix socket with an abstract name, made of the address of the client
port: it leaves no file, every process of the same network namespace finds it, and nobody else can.
Only Linux has such names; elsewhere there is none, and `pyzk health` asks at the client port.

Whoever connects sends a request of HTTP, as to the admin port, and gets one answer. ZooKeeper has
nothing of the kind.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from typing import TYPE_CHECKING, Final, Protocol, cast

from pyzk.admin.health import LIVE, READY, judge
from pyzk.runtime.addresses import place
from pyzk.runtime.health_names import name_of
from pyzk.runtime.loop import spawn

if TYPE_CHECKING:
    from pyzk.quorum.peer import Peer

MAX_REQUEST: Final = 4096
MAX_VISITORS: Final = 16
"""The most connections at one time; one more is closed at once."""
PATIENCE_S: Final = 5.0
"""How long a visitor may take to ask and to take the answer."""
LOOK_S: Final = 1.0
"""The seconds between two looks where clients are taken: a reconfiguration may move the port."""

_log = logging.getLogger(__name__)


class Asked(Protocol):
    """The server that is asked: `pyzk.runtime.runner.PeerRunner`."""

    @property
    def peer(self) -> Peer: ...
    @property
    def client_address(self) -> tuple[str, int]: ...
    @property
    def secure_client_address(self) -> tuple[str, int] | None: ...


class HealthSocket:
    """The sockets of one server: one for each of its ports for clients."""

    def __init__(self, server: Asked) -> None:
        self._server = server
        self._listening: dict[tuple[str, int], asyncio.Server] = {}
        self._visitors: set[_Visitor] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._warned: set[tuple[str, int]] = set()
        """The places whose name another process has."""

    async def open(self, *, may_move: bool) -> None:
        """Listen; if it ``may_move``, for ever where the client port is. A name that another
        process has costs a warning."""
        if sys.platform != "linux":
            return
        places = {self._server.client_address, self._server.secure_client_address}
        wanted = {each for each in places if each is not None and each[1]}
        for where in self._listening.keys() - wanted:
            self._listening.pop(where).close()
        for where in wanted - self._listening.keys():
            await self._listen(where)
        if may_move and not self._is_closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        spawn(self.open(may_move=True), "health socket")

    async def _listen(self, where: tuple[str, int]) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(name_of(*where))
            loop = asyncio.get_running_loop()
            server = await loop.create_unix_server(self._visitor, sock=sock)
        except OSError as error:
            sock.close()
            if where in self._warned:
                return
            self._warned.add(where)
            _log.warning(
                "pyzk health asks at the client port, %s: another process has the socket for it"
                " (%s)",
                place(*where),
                error.strerror,
            )
            return
        self._listening[where] = server
        if self._is_closed:  # meanwhile
            self._stop_listening()

    def _visitor(self) -> asyncio.Protocol:
        return _Visitor(self._server.peer, self._visitors)

    def close(self) -> None:
        """Listen no more; whoever is there is dropped."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._stop_listening()
        for visitor in list(self._visitors):
            visitor.drop()

    def _stop_listening(self) -> None:
        for server in self._listening.values():
            server.close()
        self._listening.clear()


class _Visitor(asyncio.Protocol):
    """One connection: a request, an answer, the end."""

    def __init__(self, peer: Peer, visitors: set[_Visitor]) -> None:
        self._peer = peer
        self._visitors = visitors
        self._request = b""
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if len(self._visitors) >= MAX_VISITORS:
            self.drop()
            return
        self._visitors.add(self)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PATIENCE_S, self.drop)

    def data_received(self, data: bytes) -> None:
        self._request += data
        if b"\r\n\r\n" in self._request:
            self._transport.write(answer(self._peer, self._request))
            self._transport.close()
        elif len(self._request) > MAX_REQUEST:
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._visitors.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def drop(self) -> None:
        """End the connection at once."""
        self._transport.abort()


def answer(peer: Peer, request: bytes) -> bytes:
    """Return the whole answer to a request of HTTP."""
    method, _, rest = request.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    if method != "GET" or path not in (f"/{LIVE}", f"/{READY}"):
        return b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    verdict = judge(peer, path[1:])
    body = verdict.json_text().encode()
    phrase = "OK" if verdict.is_ok else "Service Unavailable"
    head = (
        f"HTTP/1.0 {verdict.status} {phrase}\r\nContent-Type: application/json\r\n"
        f"Cache-Control: no-store\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
