"""What is no request of HTTP: neither the answer nor the log quotes it, as it may be a password."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from aiohttp.http_exceptions import (
    BadHttpMessage,
    BadStatusLine,
    InvalidHeader,
    InvalidURLError,
    LineTooLong,
    TransferEncodingError,
)

from pyzk.runtime.http_fault import what_is_wrong
from tests.runtime.admin import admin_server, ask, place_of, stranger

pytestmark = pytest.mark.live

SECRET = b"Authorization: digest super:topsecret"
HEAD = b"GET /commands/ruok HTTP/1.1\r\nHost: h\r\n"
STATE = b"POST /console/api/state HTTP/1.1\r\nHost: h\r\nX-Pyzk-Console: 1\r\n"
BROKEN = {
    "a control character": HEAD + SECRET + b"\x01z\r\n\r\n",
    "too long": HEAD + SECRET + b"x" * 9000 + b"\r\n\r\n",
    "no colon": HEAD + SECRET.replace(b":", b"") + b"\r\n\r\n",
    "a blank before the colon": HEAD + SECRET.replace(b":", b" :", 1) + b"\r\n\r\n",
    "a folded line": HEAD + b"Authorization: digest\r\n super:topsecret\r\n\r\n",
    "a length": HEAD + b"Content-Length: topsecret\r\n\r\n",
    "behind the body": STATE + b"Content-Length: 2\r\n\r\n{}" + SECRET + b"\r\n\r\n",
    "behind the last request": HEAD + b"Connection: close\r\n\r\n" + SECRET,
    "no request at all": SECRET + b"\r\n\r\n",
    "the size of a chunk": STATE + b"Transfer-Encoding: chunked\r\n\r\ntopsecret\r\n",
    "behind a chunk": STATE + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}topsecret\r\n",
    "a URL": b"GET http://[topsecret/ HTTP/1.1\r\nHost: h\r\n\r\n",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
async def test_it_is_quoted_nowhere(
    tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with admin_server(tmp_path) as runner:
        async with stranger(place_of(runner)) as visitor:
            visitor.send(data)
            visitor.writer.write_eof()
            answer = await visitor.rest()
        # What stands behind the last request is passed over by aiohttp's parser in Python.
        assert answer[9:12] in ((b"400", b"200") if b"close" in data else (b"400",))
        assert b"topsecret" not in answer
        assert (await ask(place_of(runner), "/commands/ruok")).status == 200
    assert "topsecret" not in caplog.text


async def test_the_answer_has_the_headers_of_all_answers(tmp_path: Path) -> None:
    async with admin_server(tmp_path) as runner:
        async with stranger(place_of(runner)) as visitor:
            visitor.send(b"ruok")
            answer = await visitor.rest()
        lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert b"Server: pyzk" in lines
        assert b"X-Content-Type-Options: nosniff" in lines
        assert b"aiohttp" not in answer


@pytest.mark.parametrize("rest", [b"topsecret\r\n", b"2\r\n{}topsecret\r\n"])
async def test_a_body_that_breaks_while_it_is_read_is_quoted_nowhere(
    tmp_path: Path, rest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    text = "admin.idleTimeout=0\n"
    async with admin_server(tmp_path, text) as runner, stranger(place_of(runner)) as visitor:
        assert runner.admin is not None
        port = runner.admin.port
        assert port is not None
        visitor.send(STATE + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
        while not port.busy_count:
            await asyncio.sleep(0)
        visitor.send(rest)
        assert await visitor.rest() == b""  # the rest of that body can never come
    assert "on the admin port: the body of its request is broken" in caplog.text
    assert "topsecret" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_the_log_says_what_is_wrong_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with admin_server(tmp_path) as runner, stranger(place_of(runner)) as visitor:
        visitor.send(BROKEN["a control character"])
        answer = await visitor.rest()
    (line,) = (each for each in caplog.messages if "no request of HTTP" in each)
    assert line.startswith("admin port: no request of HTTP from 127.0.0.1: ")
    # The parser of aiohttp in Python has other words than the one in C.
    assert "header" in line.lower()
    assert answer.startswith(b"HTTP/1.0 400 Bad Request")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BadHttpMessage("Invalid header token:\n\n  b'a b'\n ^"), "Invalid header token"),
        (BadHttpMessage("Content-Length can't be there"), "Content-Length can't be there"),
        (BadHttpMessage("Duplicate 'Host' header found."), "Duplicate"),
        (InvalidHeader("a b"), "Invalid HTTP header"),
        (LineTooLong(b"secret", 8190), "Got more than 8190 bytes when reading"),
        (BadStatusLine("secret"), "Bad status line"),
        (InvalidURLError("http://[secret"), ""),
        (TransferEncodingError("secret"), ""),
        (ValueError("secret"), ""),
        (None, ""),
    ],
)
def test_what_is_said(error: object, said: str) -> None:
    assert what_is_wrong(error) == said
