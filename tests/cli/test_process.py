"""`pyzk serve` as a process: ready line, signals, exit codes, speed of the start."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import Child, python

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("at_a_terminal")]

Start = Callable[..., Child]


def ready(process: Child) -> int:
    """Wait for the ready line, return the port that it names."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("pyzk "), process.communicate()
    return int(line.split("127.0.0.1:")[1].split(",")[0])


def ask(port: int, word: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(word)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := sock.recv(4096):
                answer += chunk
        return answer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("loop", ["auto", "asyncio"])
def test_it_serves_until_a_signal_and_ends_with_0(
    start: Start, number: signal.Signals, loop: str, patience: float
) -> None:
    process = start("--port", "0", "--loop", loop)
    port = ready(process)
    assert b"Mode: standalone" in ask(port, b"srvr")
    process.send_signal(number)
    assert process.wait(patience) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_the_ready_line_names_the_data_directory(start: Start, tmp_path: Path) -> None:
    process = start("--port", "0", "--data-dir", "x")
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.endswith(f", standalone, data in {tmp_path / 'x'}\n")
    assert (tmp_path / "x" / "version-2").is_dir()


def test_a_port_in_use_is_code_1(start: Start, patience: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start("--port", str(port))
        _, err = process.communicate(timeout=patience)
    assert process.returncode == 1
    assert f"pyzk: cannot listen on 127.0.0.1:{port}: Address already in use" in err
    assert "--port, or clientPort" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("nowhere.cfg",), 2, "cannot read nowhere.cfg"),
        (("--virtual-clock",), 2, "--virtual-clock is for tests"),
        (("--ephemeral", "--port", "x"), 2, "--port: 'x' is not an integer"),
        (("--port", "0", "--data-dir", "/dev/null"), 3, "/dev/null"),
        (("--port", "0", "--host", "192.0.2.1"), 1, "cannot listen on 192.0.2.1:0"),
        (("--ephemeral", "--port", "0", "--host", "192.0.2.1"), 1, "cannot listen on 192.0.2.1"),
    ],
)
def test_with_json_a_failure_is_an_object_too(
    start: Start, arguments: tuple[str, ...], code: int, text: str, patience: float
) -> None:
    process = start("--log-format", "json", *arguments)
    _, err = process.communicate(timeout=patience)
    assert process.returncode == code
    last = [json.loads(line) for line in err.splitlines()][-1]
    assert last["level"] == "error"
    assert last["message"].startswith(text)


def test_a_locked_data_directory_is_code_20(start: Start, patience: float) -> None:
    ready(start("--port", "0", "--data-dir", "d"))
    second = start("--port", "0", "--data-dir", "d")
    _, err = second.communicate(timeout=patience)
    assert second.returncode == 20
    assert err.splitlines()[-1].startswith("pyzk: ")
    assert "Traceback" not in err


def test_a_data_directory_that_cannot_be_used_is_code_3(
    start: Start, tmp_path: Path, patience: float
) -> None:
    (tmp_path / "file").write_text("")
    process = start("--port", "0", "--data-dir", "file")
    _, err = process.communicate(timeout=patience)
    assert process.returncode == 3
    assert err.splitlines()[-1].startswith("pyzk: ")


def test_corrupt_storage_is_code_21(start: Start, tmp_path: Path, patience: float) -> None:
    version_2 = tmp_path / "d" / "version-2"
    version_2.mkdir(parents=True)
    (version_2 / "log.1").write_bytes(b"ZKLG\0\0\0\2" + bytes(8) + b"\xff" * 64)
    process = start("--port", "0", "--data-dir", "d")
    _, err = process.communicate(timeout=patience)
    assert process.returncode == 21
    assert str(Path("d") / "version-2" / "log.1") in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("output", "code", "message"),
    [
        (
            "closed pipe",
            0,
            "zoo.cfg: ok, no warnings: standalone, on 0.0.0.0:0, data in /d\n",
        ),
        ("/dev/full", 1, "pyzk: cannot write to standard output: No space left on device\n"),
    ],
)
def test_config_check_whose_output_nobody_takes(
    tmp_path: Path,
    environment: dict[str, str],
    output: str,
    code: int,
    message: str,
) -> None:
    (tmp_path / "zoo.cfg").write_text("dataDir=/d\nclientPort=0\n")
    if output == "closed pipe":
        reading, writing = os.pipe()
        os.close(reading)
    elif os.path.exists(output):
        writing = os.open(output, os.O_WRONLY)
    else:
        pytest.skip(f"no {output} here")
    command = ("-m", "pyzk", "config", "check", "zoo.cfg")
    result = python(*command, cwd=tmp_path, stdout=writing, env=environment, check=False)
    os.close(writing)
    assert (result.returncode, result.stderr) == (code, message)


def test_a_new_database_is_told_from_a_loaded_one(start: Start, patience: float) -> None:
    for told, not_told in (("created a new database", "loaded"), ("loaded d: 5", "created")):
        process = start("--port", "0", "--data-dir", "d")
        ready(process)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=patience)
        assert told in err
        assert not_told not in err


def test_python_without_asserts_is_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    command = ("-O", "-m", "pyzk", "serve", "--port", "0")
    result = python(*command, cwd=tmp_path, env=environment, check=False)
    assert result.returncode == 2
    assert result.stderr == "pyzk: does not run under python -O or PYTHONOPTIMIZE\n"


def test_a_start_loads_nothing_that_it_does_not_need(environment: dict[str, str]) -> None:
    """The time itself is for `python -m scripts.bench.zk`, on a machine that has some."""
    code = "import pyzk.runtime.main, pyzk.runtime.runner, sys; print(*sys.modules)"
    result = python("-c", code, env=environment)
    loaded = {name.partition(".")[0] for name in result.stdout.split()}
    unwanted = {"click", "hypothesis", "kazoo", "multiprocessing", "pytest", "sqlite3", "xml"}
    assert not loaded & unwanted


def test_the_admin_server_is_where_the_options_say(start: Start, patience: float) -> None:
    process = start("--port", "0", "--admin-port", "0")
    ready(process)
    assert process.stderr is not None
    told = next(line for line in process.stderr if "admin server on" in line)
    found = re.search(r"http://127\.0\.0\.1:([0-9]+)/commands, console at /$", told.strip())
    assert found is not None, told
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=patience)
    connection.request("GET", "/commands/ruok")
    assert connection.getresponse().status == 200
    connection.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(patience) == 0
