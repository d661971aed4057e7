"""Sockets that listen: for clients, for learners, for the election.

Shell. As in a JVM, whose sockets serve both families, a wildcard of either family listens on IPv4
and on IPv6. Java listens at the first address of a name only; pyzk listens at all of them that the
machine has. ZooKeeper: what NIOServerCnxnFactory, Leader and QuorumCnxManager do to bind a port.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Final

from pyzk.runtime.addresses import Found, look_up, pair_of, place

log = logging.getLogger(__name__)

DEFAULT_BACKLOG: Final = 1024

_ANYWHERE: Final[dict[int, str]] = {
    socket.AF_INET: "0.0.0.0",  # noqa: S104 (the configured wildcard)
    socket.AF_INET6: "::",
}
_ABSENT: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""The errors of an address that the machine does not have."""


class Serving:
    """A socket that listens, and whose connections the loop takes."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, server: asyncio.Server, sock: socket.socket
    ) -> None:
        self._loop = loop
        self._server = server
        self.sock = sock

    def close(self) -> None:
        """Take no more connections, and give the port back at once.

        A connection that was accepted in this turn of the loop gets its transport in the next one.
        asyncio makes none for a server that is closed: it forgets the connection, which stays open
        until the garbage collector finds it. So only the socket is closed there. uvloop makes the
        transport at once, and has the socket closed with the server.
        """
        if self._loop.remove_reader(self.sock):
            self.sock.close()
        else:
            self._server.close()


async def serve(make: Callable[[], asyncio.Protocol], sock: socket.socket, backlog: int) -> Serving:
    """Take the connections of a socket that listens; whatever happens, it is not left open for
    nobody. Raises OSError."""
    loop = asyncio.get_running_loop()
    try:
        # It calls listen() again, with a backlog of its own if it is given none.
        server = await loop.create_server(make, sock=sock, backlog=backlog, start_serving=False)
    except BaseException:
        sock.close()
        raise
    serving = Serving(loop, server, sock)
    try:
        await server.start_serving()
    except BaseException:
        serving.close()
        raise
    return serving


def open_sockets(host: str | None, port: int, backlog: int) -> list[socket.socket]:
    """Bind and listen at all addresses of a host, or of the machine if it is None. Raises OSError,
    whose ``filename`` is the address."""
    return listen_at(None if host is None else look_up(host, port), port, backlog)


def listen_at(found: Sequence[Found] | None, port: int, backlog: int) -> list[socket.socket]:
    """Bind and listen at each of these addresses that the machine has, and on both families if one
    is a wildcard or if ``found`` is None.

    Raises OSError, whose ``filename`` is the address; it is empty if the machine has none of them.
    """
    targets, is_anywhere = _targets(found, port)
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, address in targets:
            if sockets:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            try:
                sockets.append(_listen(family, address, backlog))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error
                if not is_anywhere and len(targets) > 1:
                    log.info("not listening on %s: %s", error.filename, error.strerror)
        if absent is not None and not sockets:
            raise absent
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _targets(found: Sequence[Found] | None, port: int) -> tuple[list[Found], bool]:
    """Return where to listen, and whether that is everywhere."""
    if found is None:
        asked: int = socket.AF_INET
    else:
        wildcards = [family for family, address in found if address[0] == _ANYWHERE.get(family)]
        if not wildcards:
            # As Java: of a name that has both, the IPv4 address is the one to name.
            return sorted(found, key=lambda each: each[0] != socket.AF_INET), False
        asked = wildcards[0]
    families = [socket.AF_INET]
    if socket.has_dualstack_ipv6():
        families.insert(0 if asked == socket.AF_INET6 else 1, socket.AF_INET6)
    elif asked == socket.AF_INET6:
        log.warning("this machine has no IPv6: listening on %s:%d only", _ANYWHERE[2], port)
    return [(family, (_ANYWHERE[family], port)) for family in families], True


def _listen(family: int, address: tuple[object, ...], backlog: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Beside a socket of its own for IPv4, so that peers are shown by the address they have.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(backlog if backlog > 0 else DEFAULT_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, error.strerror, place(*pair_of(address))) from error
    return sock
