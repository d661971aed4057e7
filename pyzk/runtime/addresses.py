"""Addresses: where a host is, and who is at the other end of a socket.

Shell. Hosts are read as a JVM reads them: an IPv4 address mapped into IPv6 (`::ffff:10.0.0.1`) is
the IPv4 one, an address that needs no zone may have one (`::1%lo`), and any IPv6 address may stand
in brackets. ZooKeeper: InetSocketAddress.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

UNKNOWN_PEER: Final = ("unknown", 0)

Found = tuple[int, tuple[object, ...]]
"""An address of the socket module: (family, address)."""

_MAPPED: Final = bytes(10) + b"\xff\xff"
_SO_PEERNAME: Final = 28
"""The option of Linux that tells what getpeername does, of a socket that was reset, too."""
_SOCKADDR_BYTES: Final = {socket.AF_INET: 16, socket.AF_INET6: 28}


def place(host: str, port: int) -> str:
    """Return host and port as people write them: with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(address: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


# --- where a host is ------------------------------------------------------------------


def look_up(host: str, port: int, flags: int = 0) -> list[Found]:
    """Return the addresses of a host, each once. Raises OSError. A name is looked up, which waits
    for the name service."""
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
    """Return a host in the form that getaddrinfo takes: without brackets around an IPv6 address,
    and without a zone that it does not need.

    Raises OSError if the zone is not a network interface of this machine.
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


# --- the other end --------------------------------------------------------------------


def peer_of(transport: asyncio.BaseTransport) -> tuple[str, int]:
    """Return host and port of the other side; an IPv4 address that is mapped into IPv6 is returned
    as IPv4.

    On Linux a peer that has reset the connection at once is known, too; elsewhere it is
    ``unknown``.
    """
    peer = transport.get_extra_info("peername") or _peer_of_reset(transport)
    host, port = pair_of(peer)
    mapped = host.removeprefix("::ffff:")
    return (mapped if "." in mapped else host), port


def _peer_of_reset(transport: asyncio.BaseTransport) -> tuple[object, ...]:
    """Return the address of a peer that has reset the connection: uvloop asks for it too late."""
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


def pair_of(address: tuple[object, ...]) -> tuple[str, int]:
    """Return host and port of an address of the socket module."""
    host, port = address[:2]
    assert isinstance(port, int), address
    return str(host), port
