"""The ip scheme: an ACL id is an address or a network, ``10.0.0.0/8`` or ``2001:db8::/32``.

Pure. Answers to IPAuthenticationProvider; IPv6 in ACLs as in ZooKeeper's master (ZOOKEEPER-4240),
which 3.9.3 refuses: docs/decisions/0011-ipv6-acl.md. An address proves nothing: ip ids never take
part in the ``auth`` expansion.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from pyzk.auth.provider import AuthId

# What Java's parseInt takes: a sign and leading zeros are fine.
_is_number: Final = re.compile(r"[+-]?[0-9]{1,10}").fullmatch


def peer_address(host: str) -> str:
    """Return the address as Java prints it: IPv6 in eight groups without leading zeros, an IPv4
    address mapped into IPv6 as IPv4, a zone as it is. Other text is returned unchanged."""
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host)
    except AddressValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    groups = ":".join(
        f"{int(group, 16):x}" for group in IPv6Address(int(address)).exploded.split(":")
    )
    return f"{groups}%{address.scope_id}" if address.scope_id else groups


class IpProvider:
    """Compares the peer's address with addresses and networks."""

    scheme: Final = "ip"
    is_authenticated: Final = False

    __slots__ = ()

    def authenticate(self, address: str, auth: bytes | None) -> tuple[AuthId, ...] | None:
        return (AuthId(self.scheme, address),)

    def is_valid(self, acl_id: str) -> bool:
        return _network(acl_id) is not None

    def matches(self, own_id: str, acl_id: str) -> bool:
        network = _network(acl_id)
        own = _address(own_id)
        if network is None or own is None:
            return False
        width, number, host_bits = network
        return own[0] == width and own[1] >> host_bits == number

    def user_name(self, own_id: str) -> str:
        return own_id


@lru_cache(maxsize=1024)
def _network(acl_id: str) -> tuple[int, int, int] | None:
    """Return (width, number without the host bits, count of host bits); None if it is no
    network."""
    text, slash, prefix = acl_id.partition("/")
    address = _address(text)
    if address is None:
        return None
    width, number = address
    bits = width
    if slash:
        if not _is_number(prefix) or not 0 <= int(prefix) <= width:
            return None
        bits = int(prefix)
    return width, number >> width - bits, width - bits


@lru_cache(maxsize=1024)
def _address(text: str) -> tuple[int, int] | None:
    """Return (32 or 128, the address as a number); a zone is ignored."""
    if ":" in text:
        try:
            return 128, int(IPv6Address(text.partition("%")[0]))
        except AddressValueError:
            return None
    parts = text.split(".")
    if len(parts) != 4:
        return None
    number = 0
    for part in parts:
        if not _is_number(part) or not 0 <= int(part) <= 255:
            return None
        number = number << 8 | int(part)
    return 32, number
