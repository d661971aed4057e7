"""Which requests the console takes: none that another site makes in a visitor's browser.

Pure. There are no cookies, so another site could use nothing but the visitor's address. That it
must not either, so every request for data must carry a header that no form and no plain link can
send, must not come from another origin, and must name a host that is this server's
(`pyzk.admin.hosts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from pyzk.admin.hosts import outside_reason

HEADER: Final = "X-Pyzk-Console"


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
