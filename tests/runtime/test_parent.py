"""Who notices that the parent is gone: with real processes, each started by one that is killed.

The test starts a *parent*, that starts a *child*, that watches. Both have the write end of a pipe:
the test reads its end when both are gone, and nothing sleeps.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import TIMEOUT_FACTOR
from tests.processes import ENVIRONMENT, begun

pytestmark = pytest.mark.live

AT_MOST_S = 1.0 * TIMEOUT_FACTOR
"""How long a child may outlive its parent, on a machine that is not too busy."""

CHILD = """
import os, signal, sys
from pyzk.runtime import parent
{setup}
parent.watch_parent(parent._stop, tells={tells})
print("watching", os.getpid(), flush=True)
while True:
    signal.pause()
"""
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin={stdin}, pass_fds=[{alive}])
child.wait()
"""

Family = Callable[..., "Started"]


class Started:
    """A parent whose child watches."""

    def __init__(self, process: subprocess.Popen[str], child: int, alive: int) -> None:
        self.process = process
        self.child = child
        self._alive = alive

    def wait_for_the_end(self, patience: float) -> float:
        """Wait until neither of them has the pipe open; return how long that took."""
        begin = time.monotonic()
        assert select.select([self._alive], [], [], patience)[0], "the child lives on"
        assert os.read(self._alive, 1) == b""
        return time.monotonic() - begin


@pytest.fixture
def start() -> Iterator[Family]:
    families: list[Started] = []

    def start(
        *, tells: bool = True, stdin: str = "None", setup: str = "", launcher: bool = False
    ) -> Started:
        alive, writing = os.pipe()
        os.set_inheritable(writing, True)
        command = [
            *(sys.executable, "-c", PARENT.format(stdin=stdin, alive=writing)),
            CHILD.format(tells=tells, setup=setup),
        ]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if launcher else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[writing],
            env=ENVIRONMENT,
        )
        os.close(writing)
        assert process.stdout is not None
        words = process.stdout.readline().split()
        assert words[:1] == ["watching"]
        families.append(Started(process, int(words[1]), alive))
        return families[-1]

    yield start
    for family in families:
        for number in (family.process.pid, family.child):
            if not select.select([family._alive], [], [], 0)[0]:
                os.kill(number, signal.SIGKILL)
        family.process.wait()
        for pipe in (family.process.stdin, family.process.stdout):
            if pipe is not None:
                pipe.close()
        os.close(family._alive)


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("stdin", ["None", "subprocess.PIPE"])
def test_kill_9_of_the_parent_ends_the_child(
    start: Family, tells: bool, stdin: str, patience: float
) -> None:
    family = start(tells=tells, stdin=stdin)
    family.process.kill()
    assert family.wait_for_the_end(patience) < AT_MOST_S


def test_a_parent_that_ends_by_itself(start: Family, patience: float) -> None:
    family = start()
    family.process.terminate()
    family.wait_for_the_end(patience)


@pytest.mark.parametrize("tells", [True, False])
def test_a_launcher_stays_and_standard_input_tells(
    start: Family, tells: bool, patience: float
) -> None:
    """As `uv run` and `sh -c` do: the parent waits for the child, whoever started it is gone."""
    family = start(tells=tells, launcher=True)
    assert family.process.stdin is not None
    family.process.stdin.write("not for the child to read\n")
    family.process.stdin.flush()
    family.process.stdin.close()
    family.wait_for_the_end(patience)


def test_what_standard_input_was_from_the_start_tells_nothing(
    start: Family, patience: float
) -> None:
    closed_pipe = "r, w = os.pipe(); os.close(w); os.dup2(r, 0)"
    for setup in ("", "os.close(0)", closed_pipe):
        family = start(setup=setup)
        assert not select.select([family._alive], [], [], 0)[0]
        family.process.kill()
        family.wait_for_the_end(patience)


def test_a_child_that_does_not_stop_is_ended(start: Family, patience: float) -> None:
    family = start(setup="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    family.process.kill()
    assert family.wait_for_the_end(patience) < AT_MOST_S


@pytest.mark.parametrize("tells", [True, False])
def test_a_parent_that_is_gone_when_the_watch_begins(tells: bool, patience: float) -> None:
    # The number that the child sees first is that of a parent that is gone by then.
    setup = "dead = os.fork() or os._exit(0); os.waitpid(dead, 0); seen = iter([dead])\n"
    setup += "os.getppid = lambda real=os.getppid: next(seen, None) or real()"
    child = CHILD.format(tells=tells, setup=setup)
    with begun("-c", child) as process:
        _, err = process.communicate(timeout=patience)
    assert err == "pyzk: the parent process is gone: stopping\n"
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("level", ["WARNING", "INFO"])
@pytest.mark.parametrize("tells", [True, False])
def test_standard_input_that_is_closed_on_purpose_is_no_failure(
    tells: bool, level: str, patience: float
) -> None:
    setup = f"import logging; logging.basicConfig(level={level!r}, format='%(message)s')"
    code = CHILD.format(tells=tells, setup=setup)
    with begun("-c", code, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("watching")
        _, err = process.communicate(timeout=patience)
    assert err == ("standard input was closed: stopping\n" if level == "INFO" else "")
    assert process.returncode == -signal.SIGTERM
