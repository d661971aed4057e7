"""Is a certificate for this host? The rules by which members verify each other.

Pure. The alternative names of the kinds DNS and IP count, and the common name only where there are
none of them. A `*` stands for any text without a dot, wherever it is.
ZooKeeper: ZKHostnameVerifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple


class CertificateNames(NamedTuple):
    """The names that a certificate is for."""

    dns: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    common_name: str | None = None
    """The last common name of the subject, which counts if there are no others."""

    def __str__(self) -> str:
        """Return the names that count, for people."""
        return ", ".join((*self.dns, *self.addresses)) or self.common_name or "nobody"


def is_for(names: CertificateNames, host: str) -> bool:
    """Return whether a certificate with these names is for a host, which is a name or an
    address."""
    address = _address(host)
    if not names.dns and not names.addresses:
        return names.common_name is not None and _is_named(host, names.common_name)
    if address is not None:
        return any(_address(each) == address for each in names.addresses)
    return any(_is_named(host, each) for each in names.dns)


def name_of_any(names: CertificateNames, hosts: Sequence[str]) -> str | None:
    """Return the first host that a certificate is for, None if it is for none of them."""
    return next((host for host in hosts if host and is_for(names, host)), None)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    text = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    for kind in (IPv4Address, IPv6Address):
        try:
            return kind(text.partition("%")[0])
        except AddressValueError:
            continue
    return None


def _is_named(host: str, identity: str) -> bool:
    host, identity = host.lower(), identity.lower()
    before, star, behind = identity.partition("*")
    if not star:
        return host == identity
    if not host.startswith(before) or not host.endswith(behind):
        return False
    end = len(host) - len(behind)
    return end >= len(before) and "." not in host[len(before) : end]
