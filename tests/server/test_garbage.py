"""What foreign bytes are called in the log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.server.garbage import describe_bytes


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\n", "an HTTP request (GET /metrics HTTP/1.1)"),
        (b"POST /x HTTP/1.0\nA: b", "an HTTP request (POST /x HTTP/1.0)"),
        (b"GET " + b"x" * 100, f"an HTTP request (GET {'x' * 36})"),
        (b"OPTIONS * HTTP/1.1", "an HTTP request (OPTIONS * HTTP/1.1)"),
        (b"\x16\x03\x01\x00", "a TLS handshake (this port is not encrypted)"),
        (b"\x16\x04", r"an unknown protocol (\x16\x04)"),
        (b"SSH-2.0-x", "an SSH client"),
        (b"PRI * HTTP/2.0\r\n", "an HTTP/2 client"),
        (b"abc'\n\xff", r"an unknown protocol (abc'\n\xff)"),
        (b"", "an unknown protocol ()"),
    ],
)
def test_protocols_have_names(raw: bytes, text: str) -> None:
    assert describe_bytes(raw) == text


@given(st.binary(max_size=100))
def test_the_text_is_one_printable_line(raw: bytes) -> None:
    text = describe_bytes(raw)
    assert text.isprintable()
    assert text.isascii()
    assert len(text) < 200
