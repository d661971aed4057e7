"""Where the log goes, and which lines it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyzk.errors import ConfigError
from pyzk.runtime import logs
from tests.cli.served import Served, zoo_cfg


def test_the_level_of_the_log_may_stand_in_the_file_and_be_changed_there(
    serve: Served, tmp_path: Path
) -> None:
    text = "dataDir=/d\nclientPort=0\n"
    path = zoo_cfg(tmp_path, text + "pyzk.logLevel=WARNING\n")
    assert serve(path).exit_code == 0
    assert serve.level == "warning"
    assert serve.read_level is not None
    assert serve.read_level() == "warning"
    zoo_cfg(tmp_path, text)
    assert serve.read_level() == "info"
    zoo_cfg(tmp_path, text + "pyzk.logLevel=loud\n")
    with pytest.raises(ConfigError, match="debug or info or warning or error"):
        serve.read_level()
    (tmp_path / "zoo.cfg").unlink()
    with pytest.raises(FileNotFoundError):
        serve.read_level()


def test_a_level_of_the_command_line_stays(serve: Served, tmp_path: Path) -> None:
    path = zoo_cfg(tmp_path, "dataDir=/d\nclientPort=0\npyzk.logLevel=debug\n")
    assert serve(path, "--log-level", "error").exit_code == 0
    assert (serve.logs, serve.level, serve.read_level) == (("error", "text"), "", None)


def test_the_log_may_go_to_a_file(
    serve: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(logs, "log_to_file", lambda *arguments: asked.append(arguments))
    path = zoo_cfg(tmp_path, "dataDir=/d\nclientPort=0\n")
    assert serve(path, "--log-file", "/l/pyzk.log").exit_code == 0
    size, count = ("--log-file-size", "0"), ("--log-file-count", "3")
    assert serve(path, "--log-file", "x", *size, *count, "--log-format", "json").exit_code == 0
    assert asked == [
        ("/l/pyzk.log", "text", logs.LOG_FILE_BYTES, logs.LOG_FILES),
        ("x", "json", 0, 3),
    ]


def test_a_log_file_that_cannot_be_written_is_an_error(serve: Served, tmp_path: Path) -> None:
    path = zoo_cfg(tmp_path, "dataDir=/d\nclientPort=0\n")
    result = serve(path, "--log-file", str(tmp_path / "none" / "pyzk.log"))
    assert result.exit_code == 2
    assert result.stderr == (
        f"pyzk: cannot write the log, {tmp_path}/none/pyzk.log: No such file or directory\n"
    )
