"""Names the protocol of bytes that are not ZooKeeper's.

Pure. One log line with that name saves an operator a packet capture.
"""

from __future__ import annotations

from typing import Final

_HTTP_METHODS: Final = (
    b"GET ",
    b"POST",
    b"PUT ",
    b"HEAD",
    b"DELE",
    b"OPTI",
    b"PATC",
    b"CONN",
    b"TRAC",
)


def describe_bytes(data: bytes) -> str:
    """Return the name of the protocol that ``data`` looks like."""
    if data.startswith(_HTTP_METHODS):
        line = data.split(b"\r\n", 1)[0].split(b"\n", 1)[0]
        return f"an HTTP request ({_printable(line[:40])})"
    if data[:1] == b"\x16" and data[1:2] == b"\x03":
        return "a TLS handshake (this port is not encrypted)"
    if data.startswith(b"SSH-"):
        return "an SSH client"
    if data.startswith(b"PRI * HTTP/2"):
        return "an HTTP/2 client"
    return f"an unknown protocol ({_printable(data[:16])})"


def _printable(data: bytes) -> str:
    return ascii(data.decode("latin-1"))[1:-1]
