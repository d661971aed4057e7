"""Whether a request may be the doing of another site, in the browser of a visitor.

Pure. A site could give its own name the address of this server (DNS rebinding): a browser then
takes the two for one, and lets the site ask and read on. Such a request names the site as its host.

A host is this server's if it is an address, a name without a dot, or a name that the server knows:
its own, those of the configuration, and those of ``pyzk.console.hosts``. By TLS any name will do,
for the browser has compared it with the certificate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyzk.config.server import ServerConfig
    from pyzk.quorum.configurations import Configurations

KEY: Final = "pyzk.console.hosts"
_LOCAL: Final = ".localhost"
_SHOWN: Final = 200
"""The characters that are shown of what a request has named."""


def host_of(place: str) -> str:
    """Return the host of ``host`` or ``host:port``, in lower case and without brackets."""
    if place.startswith("["):
        return place[1:].partition("]")[0].lower()
    host, colon, _ = place.rpartition(":")
    return (host if colon else place).lower().rstrip(".")


def is_own(host: str, known: Iterable[str]) -> bool:
    """Tell whether a browser that asks for this host means this server, whatever sites claim."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        pass
    else:
        return True
    if not host:
        return False
    return "." not in host or host.endswith(_LOCAL) or host in known


def known_names(
    config: ServerConfig, configurations: Configurations | None, own_name: str
) -> set[str]:
    """Return the names by which a server is known, in lower case. ``own_name`` is that of its
    machine; ``configurations`` are those of a member, None for a lone server."""
    names = {own_name.lower()} | {each.lower() for each in config.console_hosts}
    if config.admin is not None:
        names.add(config.admin.server_address.lower())
    if configurations is not None:
        for member in configurations.committed.members:
            names.update(each.host.lower() for each in member.addresses)
            names.add(member.client_host.lower())
    return names


def outside_reason(
    headers: Mapping[str, str], known: Iterable[str], *, is_secure: bool
) -> str | None:
    """Return why another site may have made a request; None if none has."""
    if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return "the request comes from another site"
    host = headers.get("Host", "")
    origin = headers.get("Origin")
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        return f"the request comes from another origin, {origin[:_SHOWN]}"
    return host_reason(headers, known, is_secure=is_secure)


def host_reason(headers: Mapping[str, str], known: Iterable[str], *, is_secure: bool) -> str | None:
    """Return why a request names no host of this server; None if it does."""
    name = host_of(headers.get("Host", ""))
    if is_secure or is_own(name, known):
        return None
    return f"the server is not known as {name[:_SHOWN]!r}: if it is, {KEY} must name that host"
