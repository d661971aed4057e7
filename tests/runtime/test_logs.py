"""The two formats of log lines."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyzk.audit_log import AuditEvent, tell
from pyzk.outsiders import about, about_host
from pyzk.runtime import logs
from tests.runtime.logging_state import restored


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    with restored():
        yield


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


def test_a_failure_is_told_in_the_format_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("error", "json")
    logs.tell_failure("no 100%")
    told = json.loads(capsys.readouterr().err)
    assert (told["level"], told["message"]) == ("error", "no 100%")
    logs.set_up("error", "text")
    logs.tell_failure("no 100%")
    assert capsys.readouterr().err == "pyzk: no 100%\n"


# --- what somebody outside can cause at will ------------------------------------------


class Written:
    """A log with a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self._stream = io.StringIO()
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        logs.set_up("info", "text", self._stream)

    def write(self, text: str, whom: str, *, kind: str = "closing %s") -> None:
        logging.getLogger("pyzk.x").warning(kind, text, extra=about(whom))

    def take(self) -> list[str]:
        """Return what has been written since, without time and level."""
        lines = self._stream.getvalue().splitlines()
        self._stream.seek(0)
        self._stream.truncate()
        return [line.partition("pyzk.x: ")[2] for line in lines]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    return Written(monkeypatch)


def test_lines_of_a_kind_about_one_address_are_one_a_minute(written: Written) -> None:
    for number in range(1000):
        written.write(str(number), "10.0.0.1")
    written.write("other", "10.0.0.2")
    written.write("kind", "10.0.0.1", kind="refusing %s")
    logging.getLogger("pyzk.x").warning("closing %s", "nobody's")
    logging.getLogger("pyzk.x").warning("closing %s", "nobody's")
    assert written.take() == [
        "closing 0",
        "closing other",
        "refusing kind",
        *["closing nobody's"] * 2,
    ]
    written.now += 59.9
    written.write("still", "10.0.0.1")
    assert written.take() == []


def test_what_was_left_out_is_told_in_one_line_a_minute(written: Written) -> None:
    for minute in range(3):
        for number in range(10):
            written.write(f"{minute}.{number}", "10.0.0.1")
        written.now += 60
        logs.tell_left_out()
    count = "left out: %d more lines like this about 10.0.0.1, the last: closing %s"
    assert written.take() == [
        "closing 0.0",
        count % (9, "0.9"),
        count % (10, "1.9"),
        count % (10, "2.9"),
    ]
    written.now += 60
    logs.tell_left_out()
    assert written.take() == []
    written.write("again", "10.0.0.1")
    assert written.take() == ["closing again"]


def test_nobody_need_ask_for_what_was_left_out(written: Written) -> None:
    written.write("a", "10.0.0.1")
    written.write("b", "10.0.0.1")
    written.now += 61
    written.write("c", "10.0.0.2")
    assert written.take() == [
        "closing a",
        "left out: 1 more lines like this about 10.0.0.1, the last: closing b",
        "closing c",
    ]


def test_the_end_tells_what_was_left_out(written: Written) -> None:
    written.write("a", "10.0.0.1")
    written.write("b" * 9999, "10.0.0.1")
    logs.tell_left_out(is_end=True)
    first, last = written.take()
    assert first == "closing a"
    assert last.endswith(f"the last: closing {'b' * 492}")
    logs.tell_left_out(is_end=True)
    assert written.take() == []


def test_any_number_of_addresses_takes_bounded_memory_and_log(written: Written) -> None:
    quieter = logging.getLogger().handlers[0].filters[0]
    assert isinstance(quieter, logs.Quieter)
    for number in range(5 * logs.MAX_SUBJECTS):
        written.write(str(number), f"10.0.{number // 256}.{number % 256}")
    assert len(written.take()) == logs.MAX_SUBJECTS + 1
    assert len(quieter._left_out) == logs.MAX_SUBJECTS + 1
    written.now += 60
    logs.tell_left_out()
    left = 4 * logs.MAX_SUBJECTS - 1
    last = 5 * logs.MAX_SUBJECTS - 1
    assert written.take() == [
        f"left out: {left} more lines like this about others, the last: closing {last}"
    ]
    written.now += 60
    logs.tell_left_out()
    assert quieter._left_out == {}


def test_a_line_about_a_host_leaves_out_its_port() -> None:
    assert about_host("10.0.0.1:55") == about("10.0.0.1")
    assert about_host("[::1]:55") == about("[::1]")
    assert about_host("server 3") == about("server 3")


def test_a_process_ends_also_if_its_lines_cannot_be_written() -> None:
    class Broken(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    logs.set_up("info", "text", Broken())
    logging.getLogger("pyzk.x").info("a")
    logs.flush()
    closed = io.StringIO()
    logs.set_up("info", "text", closed)
    closed.close()
    logs.flush()


# --- the audit log --------------------------------------------------------------------

EVENT = AuditEvent("create", "success", session="0x1", user="bob", znode="/a\tb\n")


def test_an_event_has_tabs_between_its_fields_and_none_in_them() -> None:
    stream = io.StringIO()
    logs.set_up("info", "text", stream)
    tell(EVENT)
    tell(AuditEvent("delete", "failure", znode=""))
    first, second = stream.getvalue().splitlines()
    assert first.endswith(
        "Z INFO    pyzk.audit: session=0x1\tuser=bob\toperation=create\tznode=/a\\tb\\n"
        "\tresult=success"
    )
    assert second.endswith("Z ERROR   pyzk.audit: operation=delete\tznode=\tresult=failure")


def test_an_event_is_an_object_in_json() -> None:
    stream = io.StringIO()
    logs.set_up("info", "json", stream)
    tell(EVENT)
    line = json.loads(stream.getvalue())
    assert (line["level"], line["logger"]) == ("info", "pyzk.audit")
    assert line["audit"] == {
        "session": "0x1",
        "user": "bob",
        "operation": "create",
        "znode": "/a\tb\n",
        "result": "success",
    }
    assert line["message"] == str(EVENT)


@pytest.mark.parametrize("level", logs.LEVELS)
def test_events_are_written_at_each_level_of_the_log(level: str) -> None:
    stream = io.StringIO()
    logs.set_up(level, "text", stream)
    tell(EVENT)
    assert stream.getvalue().count("\n") == 1


def test_a_file_of_its_own_has_the_events_alone(tmp_path: Path) -> None:
    stream = io.StringIO()
    logs.set_up("info", "text", stream)
    file = tmp_path / "audit.log"
    file.write_text("before\n")
    logs.audit_to_file(str(file), "json")
    tell(EVENT)
    logging.getLogger("pyzk.x").info("another line")
    before, event = file.read_text().splitlines()
    assert before == "before"
    assert json.loads(event)["audit"]["user"] == "bob"
    assert "pyzk.audit" not in stream.getvalue()


def test_a_long_file_is_set_aside_and_ten_of_them_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "AUDIT_FILE_BYTES", 200)
    logs.set_up("info", "text", io.StringIO())
    logs.audit_to_file(str(tmp_path / "audit.log"))
    for _ in range(30):
        tell(EVENT)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"audit.log", *(f"audit.log.{number}" for number in range(1, 11))}


def test_a_file_that_cannot_be_set_aside_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "AUDIT_FILE_BYTES", 200)
    stream = io.StringIO()
    logs.set_up("info", "text", stream)
    logs.audit_to_file(str(tmp_path / "audit.log"))
    (tmp_path / "audit.log.9").touch()
    (tmp_path / "audit.log.10").mkdir()
    for _ in range(5):
        tell(EVENT)
    assert (tmp_path / "audit.log").read_text().count("user=bob") == 5
    assert stream.getvalue().count("the audit log cannot be set aside, and grows") == 1


@pytest.mark.parametrize("form", logs.FORMATS)
def test_no_name_keeps_a_line_out_of_the_file(tmp_path: Path, form: str) -> None:
    """The provider of another package may make text of anything."""
    logs.set_up("info", "text", io.StringIO())
    logs.audit_to_file(str(tmp_path / "audit.log"), form)
    tell(AuditEvent("delete", "success", user="b\udcffb"))
    assert "b\\udcffb" in (tmp_path / "audit.log").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_line_that_is_lost_is_said_in_the_log() -> None:
    stream = io.StringIO()
    logs.set_up("info", "text", stream)
    logs.audit_to_file("/dev/full")
    tell(EVENT)
    tell(EVENT)
    assert stream.getvalue().count("the audit log cannot be written: a line is lost") == 1
    assert "No space left on device" in stream.getvalue()
