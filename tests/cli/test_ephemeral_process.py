"""`pyzk serve --ephemeral` as a child process: what a test suite in any language sees of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TIMEOUT_FACTOR
from tests.processes import Child, begin, python

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("at_a_terminal")]

Start = Callable[..., Child]


def line(child: Child) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def ask(address: str, word: bytes) -> bytes:
    host, _, port = address.strip().rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        sock.sendall(word)
        with contextlib.suppress(ConnectionResetError):
            return sock.makefile("rb").read()
        return b""


def test_the_first_line_is_the_connect_string_and_the_only_one(
    start: Start, tmp_path: Path, patience: float
) -> None:
    child = start("--ephemeral", "--port", "0", "--print-connect-string", "--exit-with-parent")
    address = line(child)
    assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d*\n", address)
    assert ask(address, b"ruok") == b"imok"
    child.terminate()
    out, err = child.communicate(timeout=patience)
    assert (child.returncode, out, err) == (0, "", "")
    assert list(tmp_path.iterdir()) == [], "nothing on disk"


def test_without_that_option_it_says_that_it_is_ready(start: Start, patience: float) -> None:
    child = start("--ephemeral", "--port", "0")
    assert re.fullmatch(r"pyzk \S+ ready on 127\.0\.0\.1:\d+, standalone, in memory\n", line(child))
    child.send_signal(signal.SIGINT)
    assert child.wait(patience) == 0


def test_a_server_with_a_directory_has_the_two_options_too(start: Start, patience: float) -> None:
    child = start("--port", "0", "--print-connect-string", "--exit-with-parent")
    address = line(child)
    assert re.fullmatch(r"127\.0\.0\.1:\d+\n", address)
    assert b"Mode: standalone" in ask(address, b"srvr")
    child.terminate()
    out, _ = child.communicate(timeout=patience)
    assert (child.returncode, out) == (0, "")


def test_all_addresses_are_reached_by_loopback(start: Start) -> None:
    child = start("--ephemeral", "--port", "0", "--host", "0.0.0.0", "--print-connect-string")
    address = line(child)
    assert address.startswith("127.0.0.1:")
    assert ask(address, b"ruok") == b"imok"


def test_a_port_in_use_is_code_1(start: Start, patience: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments in (("--port", port), ("--port", "0", "--control-port", port)):
            child = start("--ephemeral", *arguments)
            out, err = child.communicate(timeout=patience)
            assert (child.returncode, out) == (1, "")
            assert err.startswith(f"pyzk: cannot listen on 127.0.0.1:{port}: Address already in")
            assert err.count("\n") == 1


def test_its_admin_server_is_told_if_it_has_one(start: Start) -> None:
    child = start("--ephemeral", "--port", "0", "--print-connect-string", "--admin-port", "0")
    line(child)
    assert re.fullmatch(r"admin http://127\.0\.0\.1:[1-9]\d*\n", line(child))


def test_faults_over_http(start: Start, patience: float) -> None:
    child = start(
        *("--ephemeral", "--port", "0", "--print-connect-string"),
        *("--control-port", "0", "--virtual-clock"),
    )
    address = line(child).strip()
    control = line(child)
    assert re.fullmatch(r"control http://127\.0\.0\.1:\d+\n", control)
    url = control.split()[1]

    def call(name: str, **arguments: object) -> dict[str, Any]:
        body = json.dumps(arguments).encode() if arguments else None
        request = urllib.request.Request(
            f"{url}/{name}", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    assert call("status")["connect_string"] == address
    call("load", tree={"/a": "b"})
    assert call("tree") == {"tree": {"/a": "b"}}
    call("advance", seconds=3600)
    call("reject_connections", on=True)
    assert ask(address, b"ruok") == b""
    child.terminate()
    assert child.wait(patience) == 0


BROKEN = """
from pyzk.cli import ephemeral
from pyzk.config.server import Property

def break_it():
    raise ArithmeticError("a bug")

def announce(text):
    server._call(lambda: server._engine.perform(break_it))
    return True

server = ephemeral.make_server([Property("clientPort", "0", "")], [], virtual_clock=False)
ephemeral.announce = announce
raise SystemExit(ephemeral.run(server))
"""


def test_a_server_that_stops_by_itself_ends_the_process(patience: float) -> None:
    done = python("-c", BROKEN, timeout=patience, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("pyzk: stopped serving: this is a bug in pyzk\n")


# --- the parent -----------------------------------------------------------------------

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "pyzk", "serve", *sys.argv[1:]], pass_fds=[{alive}])
child.wait()
"""
OPTIONS = ("--port", "0", "--print-connect-string", "--exit-with-parent")


@pytest.mark.parametrize("storage", ["--ephemeral", "--no-fsync"])
def test_kill_9_of_the_parent_ends_the_server_within_a_second(
    tmp_path: Path, storage: str, patience: float
) -> None:
    alive, writing = os.pipe()
    os.set_inheritable(writing, True)
    command = ("-c", PARENT.format(alive=writing), *OPTIONS, storage)
    parent = begin(*command, cwd=tmp_path, pass_fds=[writing])
    os.close(writing)
    address = line(parent)
    client = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), patience)
    parent.kill()
    try:
        is_over = select.select([alive], [], [], 1.0 * TIMEOUT_FACTOR)[0]
    finally:
        client.close()
        os.close(alive)
        _, err = parent.communicate(timeout=patience)
    assert is_over
    assert "pyzk: the parent process is gone: stopping\n" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("storage", ["--ephemeral", "--no-fsync"])
def test_a_parent_that_was_gone_before_the_server_could_look(
    start: Start, storage: str, patience: float
) -> None:
    """Whoever was to read the first line is gone, and an orphan cannot tell whose it was."""
    reading, writing = os.pipe()
    os.close(reading)
    child = start(*OPTIONS, storage, stdout=writing)
    os.close(writing)
    assert child.wait(patience) == 0
    assert child.stderr is not None
    err = child.stderr.read()
    assert "standard output is closed; nobody was told that the server is ready" in err
    assert "Traceback" not in err
    assert "Exception ignored" not in err
