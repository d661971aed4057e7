"""Log lines that somebody outside can cause at will: one for each connection, or for each packet.

Pure. Who writes such a line passes ``extra=about(...)``, whom it is about; where log lines are
written (`pyzk.runtime.logs`) one of a kind about one subject is let through in a minute.
"""

from __future__ import annotations

from typing import Final

SUBJECT: Final = "about"
"""The attribute of a log record."""


def about(whom: str) -> dict[str, str]:
    """Return ``extra`` for a line about a host, or about what it says that it is."""
    return {SUBJECT: whom}


def about_host(name: str) -> dict[str, str]:
    """Return ``extra`` for a line about the host of ``host:port``."""
    host, colon, _ = name.rpartition(":")
    return {SUBJECT: host if colon else name}
