"""Marks log lines that somebody outside can cause at will, one for each connection or packet.

Pure. Code that writes such a line passes ``extra=about(...)``, which says whom it is about. The
handler (`pyzk.runtime.logs`) lets one line of a kind about one subject through in a minute. And
what they have sent is made fit for a line.
"""

from __future__ import annotations

from typing import Final

SUBJECT: Final = "about"
"""The attribute of a log record that names the subject."""
_CONTROLS: Final = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029)
} | {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}


def one_line(text: str) -> str:
    """Return the text with its control characters, and whatever else ends a line, as escapes."""
    return text.translate(_CONTROLS)


def about(whom: str) -> dict[str, str]:
    """Return the ``extra`` argument of a logging call about a host, or about what that claims to
    be."""
    return {SUBJECT: whom}


def about_host(name: str) -> dict[str, str]:
    """Return the ``extra`` argument of a logging call about the host of ``host:port``."""
    host, colon, _ = name.rpartition(":")
    return {SUBJECT: host if colon else name}
