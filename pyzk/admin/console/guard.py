"""Which requests the console takes: none that another site makes in a visitor's browser.

Pure. There are no cookies, so another site could use nothing but the visitor's address. That it
must not either, so every request for data must carry a header that no form and no plain link can
send, must not come from another origin, and must name a host that is this server's. Without the
last rule a site could give its own name the address of this server (DNS rebinding) and read on.

A host is this server's if it is an address, a name without a dot, or a name that the server knows:
its own, those of the configuration, and those of ``pyzk.console.hosts``. By TLS any name will do,
for the browser has compared it with the certificate.

Before all that, ``pyzk.console.enabled`` says which visitors there are: unless told otherwise only
those on the machine of the server, for the admin port is open to every machine by default, also
where the client port is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Final

HEADER: Final = "X-Pyzk-Console"
KEY: Final = "pyzk.console.hosts"
ENABLED: Final = "pyzk.console.enabled"
LOCAL: Final = "local"
EVERYBODY: Final = "true"
NOBODY: Final = "false"
NOT_LOCAL: Final = (
    f"The console of this server is for visitors on its own machine ({ENABLED}={LOCAL}).\n"
    "Come through an SSH tunnel or kubectl port-forward to its loopback address,\n"
    f"or set {ENABLED}={EVERYBODY} for everybody who reaches this port.\n"
)
"""What is told to visitors whom the console is not for."""
_LOCAL: Final = ".localhost"


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


def is_for(policy: str, *, is_loopback: bool, is_forwarded: bool) -> bool:
    """Tell whether the console is for a visitor: ``policy`` is the value of pyzk.console.enabled.
    Whom a proxy on this machine has let in need not be on it."""
    return policy == EVERYBODY or (policy == LOCAL and is_loopback and not is_forwarded)


def host_refusal(
    headers: Mapping[str, str], known: Iterable[str], *, is_secure: bool
) -> str | None:
    """Return why a request, of the page too, names no host of this server; None if it does."""
    name = host_of(headers.get("Host", ""))
    if is_secure or is_own(name, known):
        return None
    return f"the server is not known as {name[:200]!r}: if it is, {KEY} must name that host"


def refusal(
    headers: Mapping[str, str], known: Iterable[str], *, is_secure: bool, is_write: bool
) -> str | None:
    """Return why a request for data is not taken; None if it is."""
    if HEADER not in headers:
        return f"a request for data needs the header {HEADER}"
    if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return "the request comes from another site"
    host = headers.get("Host", "")
    origin = headers.get("Origin")
    if origin is None:
        if is_write:
            return "a write needs the header Origin"
    elif origin.partition("://")[2].lower() != host.lower():
        return f"the request comes from another origin, {origin[:200]}"
    return host_refusal(headers, known, is_secure=is_secure)
