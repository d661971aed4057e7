"""The log in a file: written beside the loop, set aside, opened anew; a disk that fails."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyzk.runtime import log_files, logs
from pyzk.runtime.log_files import MAX_WAITING_CHARACTERS, LogFile
from tests.runtime.logging_state import restored

log = logging.getLogger("pyzk.x")


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    with restored():
        yield


class Files:
    """The log in a file of a directory of its own, and what is said on standard error."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "pyzk.log"
        self.stream = io.StringIO()
        directory.mkdir(exist_ok=True)

    def begin(self, form: str = "text", max_bytes: int = 0, count: int = 3) -> LogFile:
        logs.set_up("info", form, self.stream)
        logs.log_to_file(str(self.path), form, max_bytes, count)
        handler = logging.getLogger().handlers[0]
        assert isinstance(handler, LogFile)
        return handler

    def said(self) -> list[str]:
        """Returns the messages on standard error."""
        return [line.split(": ", 1)[1] for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "log")


def messages(path: Path) -> list[str]:
    logs.flush()
    return [line.split(": ", 1)[1] for line in path.read_text().splitlines()]


def test_the_lines_are_in_the_file_and_not_on_standard_error(files: Files) -> None:
    files.path.write_text("Z INFO pyzk.x: before\n")
    files.begin()
    log.info("a %s", "b\nc")
    assert messages(files.path) == ["before", "a b\\nc"]
    assert files.said() == []


def test_the_file_is_json_if_that_is_asked_for(files: Files) -> None:
    files.begin("json")
    log.info("a")
    logs.flush()
    assert json.loads(files.path.read_text())["message"] == "a"


def test_why_the_process_ends_is_on_standard_error_too(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files.begin()
    logs.tell_failure("no 100%")
    assert capsys.readouterr().err == "pyzk: no 100%\n"
    assert messages(files.path) == ["no 100%"]


def test_why_the_process_ends_is_an_object_in_json_in_both(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files.begin("json")
    logs.tell_failure("no 100%")
    logs.flush()
    assert capsys.readouterr().err == ""
    for text in (files.stream.getvalue(), files.path.read_text()):
        told = json.loads(text)
        assert (told["level"], told["message"]) == ("error", "no 100%")


def test_a_long_file_is_set_aside_and_some_are_kept(files: Files) -> None:
    files.begin(max_bytes=200)
    for number in range(20):
        log.info("%d%s", number, "x" * 60)
    logs.flush()
    assert {path.name for path in files.directory.iterdir()} == {
        "pyzk.log",
        "pyzk.log.1",
        "pyzk.log.2",
        "pyzk.log.3",
    }
    assert messages(files.path)[-1].startswith("19x")
    assert all(path.stat().st_size < 200 for path in files.directory.iterdir())


def test_without_a_size_it_is_never_set_aside(files: Files) -> None:
    files.begin(max_bytes=0)
    for number in range(20):
        log.info("%d", number)
    assert len(messages(files.path)) == 20
    assert len(list(files.directory.iterdir())) == 1


def test_a_file_that_was_moved_away_is_followed_by_another_one(files: Files) -> None:
    files.begin()
    log.info("a")
    logs.flush()
    files.path.rename(files.directory / "old")
    log.info("b")
    assert messages(files.path) == ["b"]
    assert messages(files.directory / "old") == ["a"]


def test_a_file_is_opened_anew_when_that_is_asked_for(files: Files) -> None:
    handler = files.begin()
    log.info("a")
    logs.flush()
    before = _open_files(files.directory)
    logs.reopen()
    logs.flush()
    assert before == [handler.path]
    assert _open_files(files.directory) == []
    log.info("b")
    assert messages(files.path) == ["a", "b"]


def test_the_audit_log_is_opened_anew_too(files: Files) -> None:
    logs.set_up("info", "text", files.stream)
    logs.audit_to_file(str(files.path))
    files.path.rename(files.directory / "old")
    logs.reopen()
    logging.getLogger("pyzk.audit").info("event")
    assert messages(files.path) == ["event"]


def _open_files(directory: Path) -> list[str]:
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        if path.startswith(str(directory)):
            found.append(path)
    return found


def test_a_directory_that_is_gone_costs_the_lines_until_it_is_there_again(files: Files) -> None:
    files.begin()
    log.info("a")
    logs.flush()
    shutil.rmtree(files.directory)
    for _ in range(3):
        log.info("lost")
    logs.flush()
    assert files.said() == [
        f"the log file {files.path} cannot be written: a line is lost: No such file or directory"
    ]
    files.directory.mkdir()
    log.info("b")
    assert messages(files.path) == ["lost: 3 lines, which could not be written", "b"]
    log.info("c")
    assert messages(files.path)[2:] == ["c"]


def test_what_cannot_be_written_is_counted_once_more_each_minute(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    files.begin()
    logs.flush()
    shutil.rmtree(files.directory)
    for _ in range(3):
        log.info("lost")
    logs.flush()
    now[0] += logs.QUIET_S
    logs.tell_left_out()
    assert [text.partition(" about ")[0] for text in files.said()[1:]] == [
        "left out: 2 more lines like this"
    ]


def test_a_file_that_cannot_be_opened_is_an_error_at_the_start(files: Files) -> None:
    logs.set_up("info", "text", files.stream)
    with pytest.raises(FileNotFoundError):
        logs.log_to_file(str(files.directory / "none" / "pyzk.log"))
    log.info("still there")
    assert files.said() == ["still there"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_disturbs_nobody_and_is_said(files: Files) -> None:
    files.path = Path("/dev/full")
    files.begin()
    log.info("a")
    log.info("b")
    logs.flush()
    assert files.said() == [
        "the log file /dev/full cannot be written: a line is lost: No space left on device"
    ]


def test_who_logs_never_waits_for_the_disk(files: Files) -> None:
    reading, writing = os.pipe()
    files.path = Path(f"/dev/fd/{writing}")
    handler = files.begin()
    line = "x" * 10_000
    count = 2 * MAX_WAITING_CHARACTERS // len(line)
    for _ in range(count):  # the thread hangs in its write, for nobody reads
        log.info(line)
    assert handler._waiting <= MAX_WAITING_CHARACTERS + 2 * len(line)

    found: list[bytes] = []

    def read() -> None:
        while part := os.read(reading, 1 << 20):
            found.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    deadline = time.monotonic() + 20
    while handler._waiting and time.monotonic() < deadline:
        logs.flush()
    log.info("after")
    logging.getLogger().removeHandler(handler)
    handler.close()
    handler._thread.join(20)
    os.close(writing)
    reader.join(20)
    os.close(reading)
    lines = b"".join(found).decode().splitlines()
    told = [text.split("lost: ")[1] for text in lines if "lost: " in text]
    assert told
    written = len(lines) - len(told) - 1
    assert written + sum(int(text.split()[0]) for text in told) == count
    assert lines[-1].endswith("after")


def test_the_end_waits_for_what_is_not_written_but_not_for_ever(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "LAST_LINES_S", 0.01)
    reading, writing = os.pipe()
    files.path = Path(f"/dev/fd/{writing}")
    handler = files.begin()
    for _ in range(10):
        log.info("x" * 100_000)
    handler.close()
    assert handler._thread.is_alive()
    os.set_blocking(reading, False)
    while handler._thread.is_alive():
        try:
            os.read(reading, 1 << 20)
        except BlockingIOError:
            handler._thread.join(0.01)
    os.close(reading)
    os.close(writing)
