"""Marks log lines that somebody outside can cause at will, one for each connection or packet.

Pure. Code that writes such a line passes ``extra=about(...)``, which says whom it is about. The
handler (`pyzk.runtime.logs`) lets one line of a kind about one subject through in a minute.
"""

from __future__ import annotations

from typing import Final

SUBJECT: Final = "about"
"""The attribute of a log record that names the subject."""


def about(whom: str) -> dict[str, str]:
    """Return the ``extra`` argument of a logging call about a host, or about what that claims to
    be."""
    return {SUBJECT: whom}


def about_host(name: str) -> dict[str, str]:
    """Return the ``extra`` argument of a logging call about the host of ``host:port``."""
    host, colon, _ = name.rpartition(":")
    return {SUBJECT: host if colon else name}
