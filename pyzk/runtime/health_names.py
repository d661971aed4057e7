"""The names of the sockets at which a server of this machine says how it is.

Shell. `health_socket` listens there, and `pyzk health`, which imports as little as it can, asks.
"""

from __future__ import annotations

from typing import Final

_ANYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - what a socket says that listens everywhere


def name_of(host: str, port: int) -> str:
    """Return the abstract name for a server that takes clients at this address and port."""
    return f"\0pyzk/health/{'*' if host in _ANYWHERE else host}:{port}"


def names_for(host: str, port: int, *, is_loopback: bool) -> list[str]:
    """Return the names of the servers that a client reaches at this address: one that listens
    there, and, on the loopback, one that listens everywhere."""
    return [name_of(host, port), *([name_of("::", port)] if is_loopback else [])]
