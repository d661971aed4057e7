"""Processes in namespaces of Linux, as a container's are: as process 1, with files of their own."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import Child

UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
LIKE_A_POD = (
    "setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--no-new-privs",
    "--inh-caps=-all", "--bounding-set=-all",
)  # fmt: skip
"""Runs a command as the user of the image, without any privilege."""


@functools.cache
def _why_not() -> str:
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        return "needs unshare and setpriv (util-linux)"
    command = [*UNSHARE, "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"needs namespaces: {done.stderr.strip()}" if done.returncode else ""


def need_namespaces() -> None:
    """Skip the test where this machine gives its user no namespaces."""
    reason = _why_not()
    if reason:
        pytest.skip(reason)


def need_python(before: tuple[str, ...]) -> None:
    """Skip the test where whoever this command makes of us cannot reach this Python and pyzk."""
    command = [*before, sys.executable, "-c", "import pyzk.cli"]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this Python, or this folder, is open to its owner only")


def inside(*before: str, command: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command that runs another one as process 1 of new namespaces, after these lines of a
    shell."""
    script = "\n".join(["set -e", *before, f"exec {shlex.join(command)}"])
    return (*UNSHARE, "sh", "-c", script)


def process_1(child: Child) -> int:
    """Return the number, seen from here, of the process that is number 1 in there."""
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    assert len(children) == 1, children
    return int(children[0])


def children_of(pid: int) -> list[str]:
    """Return the state letters of the children of a process; Z is one that nobody has reaped."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[0] for each in pids]
