"""Which requests the console takes: none that another site makes in a visitor's browser.

Pure. There are no cookies, so another site could use nothing but the visitor's address. That it
must not either, so every request for data must carry a header that no form and no plain link can
send, must not come from another origin, and must name a host that is this server's
(`pyzk.admin.hosts`).

Before all that, ``pyzk.console.enabled`` says which visitors there are: unless told otherwise only
those on the machine of the server, for the admin port is open to every machine by default, also
where the client port is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from pyzk.admin.hosts import outside_reason

HEADER: Final = "X-Pyzk-Console"
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


def is_for(policy: str, *, is_loopback: bool, is_forwarded: bool) -> bool:
    """Tell whether the console is for a visitor: ``policy`` is the value of pyzk.console.enabled.
    Whom a proxy on this machine has let in need not be on it."""
    return policy == EVERYBODY or (policy == LOCAL and is_loopback and not is_forwarded)


def refusal(
    headers: Mapping[str, str], known: Iterable[str], *, is_secure: bool, is_write: bool
) -> str | None:
    """Return why a request for data is not taken; None if it is."""
    if HEADER not in headers:
        return f"a request for data needs the header {HEADER}"
    reason = outside_reason(headers, known, is_secure=is_secure)
    if reason is None and is_write and "Origin" not in headers:
        return "a write needs the header Origin"
    return reason
