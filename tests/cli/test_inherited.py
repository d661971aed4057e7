"""What a process takes over from whoever started it (signals ignored or blocked, streams closed),
and signals that come twice: with `pyzk serve`, also in memory, and `pyzk ensemble`."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyzk.runtime import process
from tests.processes import ENVIRONMENT, NO_ADMIN, begun

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("at_a_terminal")]

Child = subprocess.Popen[str]
Start = Callable[..., Child]
KINDS = {
    "serve": ("serve", "--port", "0", NO_ADMIN),
    "in memory": ("serve", "--ephemeral", "--port", "0"),
    "ensemble": ("ensemble", "2", "--base-port", "0"),
}
ENDS = [
    pytest.param(kind, number, id=f"{kind}-{number.name}")
    for kind in KINDS
    for number in process.SIGNALS
    if (kind, number) != ("serve", signal.SIGHUP)
]
"""What ends a process; to a server a SIGHUP means something else (test_service_process.py)."""
TWICE = "kill -{0} $1; kill -{0} $1"
"""As GNU `timeout` does it: to the process, and then to its group."""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    children: list[Child] = []

    def start(kind: str, *, shell: str = 'exec "$@"', until: str = "ready") -> Child:
        child = subprocess.Popen(
            ["sh", "-c", shell, "sh", sys.executable, "-m", "pyzk", *KINDS[kind]],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        children.append(child)
        assert child.stdout is not None
        for line in child.stdout:
            if until in line:
                return child
        raise AssertionError(child.communicate())

    yield start
    for child in children:
        if child.poll() is None:
            child.kill()
        child.communicate()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["INT", "HUP"])
def test_a_signal_that_a_shell_ignores_for_its_background_stays_ignored(
    start: Start, kind: str, name: str, patience: float
) -> None:
    """As under Java: `nohup pyzk serve &` outlives the terminal and the Ctrl-C in it."""
    child = start(kind, shell=f"trap '' {name}; exec \"$@\"")
    ignored = int(re.search(r"SigIgn:\s*(\w+)", status(child)).group(1), 16)  # type: ignore[union-attr]
    assert ignored >> (signal.Signals[f"SIG{name}"] - 1) & 1
    child.send_signal(signal.Signals[f"SIG{name}"])
    child.terminate()
    assert child.wait(patience) == 0


def status(child: Child) -> str:
    path = Path(f"/proc/{child.pid}/status")
    if not path.exists():
        pytest.skip("no /proc here")
    return path.read_text()


@pytest.mark.parametrize(("kind", "number"), ENDS)
def test_a_signal_that_was_blocked_is_heeded(
    start: Start, kind: str, number: signal.Signals, patience: float
) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, process.SIGNALS)
    try:
        child = start(kind)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    child.send_signal(number)
    assert child.wait(patience) == 0


@pytest.mark.parametrize(("kind", "number"), ENDS)
def test_a_signal_that_comes_twice_at_once_counts_once(
    start: Start, kind: str, number: signal.Signals, patience: float
) -> None:
    for _ in range(5 if kind != "ensemble" else 2):
        child = start(kind)
        subprocess.run(["sh", "-c", TWICE.format(number), "sh", str(child.pid)], check=False)
        assert child.wait(patience) == 0


def test_a_second_signal_ends_a_close_that_does_not_end(patience: float) -> None:
    code = """
import asyncio
from pyzk.config.server import ServerConfig
from pyzk.runtime import main, process
process.AGAIN_AFTER_S = 0.0
class Hangs:
    config = ServerConfig(data_dir="d", client_port=1)
    client_address, secure_client_address, role = ("127.0.0.1", 1), None, "standalone"
    async def start(self): pass
    async def serve_until_stopped(self): await asyncio.Event().wait()
    def when_serving(self, call): call()
    def request_stop(self): print("stopping", flush=True)
main.run(Hangs.config, make_runner=lambda _: Hangs())
"""
    with begun("-c", code) as child:
        assert child.stdout is not None
        assert "ready" in child.stdout.readline()
        child.terminate()
        assert child.stdout.readline() == "stopping\n"
        child.terminate()
        assert child.wait(patience) == 1


@pytest.mark.parametrize("closed", ["2>&-", "1>&- 2>&-", "0<&- 2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_streams_are_no_harm(tmp_path: Path, closed: str, patience: float) -> None:
    """A log or a socket must not get one of their numbers: uvloop aborts when it closes that."""
    reading, writing = os.pipe()
    child = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *(sys.executable, "-m", "pyzk"), *KINDS["serve"]],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[writing],
        env=ENVIRONMENT,
    )
    os.close(writing)
    try:
        log = tmp_path / "pyzk-data" / "version-2" / "snapshot.0"
        while not log.exists():
            assert not select.select([reading], [], [], 0.01)[0], f"ended with {child.wait()}"
        for number in range(3):
            assert os.readlink(f"/proc/{child.pid}/fd/{number}") == os.devnull
        child.terminate()
        assert child.wait(patience) == 0
    finally:
        child.kill()
        child.wait()
        os.close(reading)


def test_a_failure_that_nobody_can_read_keeps_its_code(tmp_path: Path, patience: float) -> None:
    result = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *(sys.executable, "-m", "pyzk", "serve", "no.cfg")],
        cwd=tmp_path,
        timeout=patience,
        check=False,
        env=ENVIRONMENT,
    )
    assert result.returncode == 2
