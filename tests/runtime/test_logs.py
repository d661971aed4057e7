"""The two formats of log lines."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from pyzk.runtime import logs


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    switches = ("raiseExceptions", "logThreads", "logProcesses", "logMultiprocessing")
    before = {name: getattr(logging, name) for name in switches}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, value in before.items():
        setattr(logging, name, value)


def test_timestamps_are_utc_with_milliseconds() -> None:
    assert logs.timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert logs.timestamp(1_700_000_000.1239) == "2023-11-14T22:13:20.123Z"


def test_text_is_one_line_whatever_a_client_sent() -> None:
    stream = io.StringIO()
    logs.set_up("info", "text", stream)
    logging.getLogger("pyzk.x").warning("path %s", "/a\nfake\r\t\x1b[31m\x85\u2028é")
    logging.getLogger("pyzk.x").debug("not shown")
    line = stream.getvalue()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING pyzk\.x: "
        r"path /a\\nfake\\r\\t\\x1b\[31m\\x85\\x2028é\n",
        line,
    )


def test_json_is_one_object_a_line() -> None:
    stream = io.StringIO()
    logs.set_up("debug", "json", stream)
    logging.getLogger("pyzk.x").debug("a %s", "b\nc")
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("pyzk.x").exception("failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["level"] == "debug"
    assert first["logger"] == "pyzk.x"
    assert first["message"] == "a b\nc"
    assert first["time"].endswith("Z")
    assert "exception" not in first
    assert second["exception"].endswith("ValueError: boom")


def test_the_trace_of_a_bug_follows_its_text_line() -> None:
    stream = io.StringIO()
    logs.set_up("info", "text", stream)
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("pyzk.x").exception("failed")
    lines = stream.getvalue().splitlines()
    assert lines[0].endswith("ERROR   pyzk.x: failed")
    assert lines[-1] == "ValueError: boom"


def test_a_closed_stream_disturbs_nobody() -> None:
    stream = io.StringIO()
    logs.set_up("info", "text", stream)
    stream.close()
    logging.getLogger("pyzk.x").info("lost")
