"""Addresses: where a host is, sockets that listen there, and who is at the other end of one.

Shell. As in a JVM, whose sockets serve both families: a wildcard of either family listens on IPv4
and on IPv6, an IPv4 address mapped into IPv6 (`::ffff:10.0.0.1`) is the IPv4 one, an address that
needs no zone may have one (`::1%lo`), and any of IPv6 may stand in brackets. Java listens at the
first address of a name only; this does at all of them that the machine has. ZooKeeper:
InetSocketAddress, as NIOServerCnxnFactory, Leader and QuorumCnxManager bind it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Final

log = logging.getLogger(__name__)

DEFAULT_BACKLOG: Final = 1024
UNKNOWN_PEER: Final = ("unknown", 0)

Found = tuple[int, tuple[object, ...]]
"""(family, address) as the socket module has them."""

_ANYWHERE: Final[dict[int, str]] = {
    socket.AF_INET: "0.0.0.0",  # noqa: S104 (the configured wildcard)
    socket.AF_INET6: "::",
}
_MAPPED: Final = bytes(10) + b"\xff\xff"
_ABSENT: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""The machine has no such address."""
_SO_PEERNAME: Final = 28
"""Linux: as getpeername, but of a socket that was reset, too."""
_SOCKADDR_BYTES: Final = {socket.AF_INET: 16, socket.AF_INET6: 28}


def place(host: str, port: int) -> str:
    """Return host and port as people write them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# --- where a host is ------------------------------------------------------------------


def look_up(host: str, port: int, flags: int = 0) -> list[Found]:
    """Return the addresses of a host, each once. Raises OSError; of a name, only after it has
    waited for the name service."""
    found: dict[Found, None] = {}
    for family, _, _, _, address in socket.getaddrinfo(
        _plain(host), port, type=socket.SOCK_STREAM, flags=flags
    ):
        if family == socket.AF_INET6:
            packed = socket.inet_pton(family, str(address[0]))
            if packed.startswith(_MAPPED):
                found[socket.AF_INET, (socket.inet_ntoa(packed[12:]), port)] = None
                continue
        found[family, address] = None
    return list(found)


def _plain(host: str) -> str:
    """Return a host without what getaddrinfo would not have: brackets around an IPv6 address, and a
    zone that it does not need.

    Raises OSError if the zone is no network interface of this machine.
    """
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    text, percent, zone = host.partition("%")
    if not percent:
        return host
    try:
        packed = socket.inet_pton(socket.AF_INET6, text)
    except OSError:
        return host
    if packed[0] == 0xFE and packed[1] & 0xC0 == 0x80:
        return host  # link-local: says nothing without
    if not zone.isdecimal():
        socket.if_nametoindex(zone)
    return text


# --- sockets that listen --------------------------------------------------------------


def open_sockets(host: str | None, port: int, backlog: int) -> list[socket.socket]:
    """Bind and listen at all addresses of a host, None: of the machine. Raises OSError, whose
    ``filename`` is the address."""
    return listen_at(None if host is None else look_up(host, port), port, backlog)


def listen_at(found: Sequence[Found] | None, port: int, backlog: int) -> list[socket.socket]:
    """Bind and listen at each of these addresses that the machine has; on both families if one is
    a wildcard, or None. Raises OSError, whose ``filename`` is the address; it has none if the
    machine has none of them."""
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
        raise OSError(error.errno, error.strerror, place(*_pair(address))) from error
    return sock


def _pair(address: tuple[object, ...]) -> tuple[str, int]:
    host, port = address[:2]
    assert isinstance(port, int), address
    return str(host), port


# --- the other end --------------------------------------------------------------------


def peer_of(transport: asyncio.BaseTransport) -> tuple[str, int]:
    """Return host and port of the other side, an IPv4 address that is mapped into IPv6 as IPv4.

    A peer that has reset the connection at once is known, too, on Linux; elsewhere ``unknown``.
    """
    peer = transport.get_extra_info("peername") or _peer_of_reset(transport)
    host, port = _pair(peer)
    mapped = host.removeprefix("::ffff:")
    return (mapped if "." in mapped else host), port


def _peer_of_reset(transport: asyncio.BaseTransport) -> tuple[object, ...]:
    """Ask for what uvloop asks for too late: it looks after accept, and then nobody is there."""
    sock = transport.get_extra_info("socket")
    if sock is None or sys.platform != "linux":
        return UNKNOWN_PEER
    try:
        length = _SOCKADDR_BYTES[sock.family]
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERNAME, length)
    except (OSError, KeyError):
        return UNKNOWN_PEER
    (port,) = struct.unpack_from("!H", raw, 2)
    packed = raw[4:8] if sock.family == socket.AF_INET else raw[8:24]
    return socket.inet_ntop(sock.family, packed), port
