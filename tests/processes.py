"""Python with this tree in processes of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from tests.conftest import TIMEOUT_FACTOR

Child = subprocess.Popen[str]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.getcwd()}
# As a user's: what is not written yet when a pipe breaks must not be tried again at the end.
ENVIRONMENT.pop("PYTHONUNBUFFERED", None)
NO_ADMIN = "--no-admin"
"""The option of `pyzk serve` without which each of them would want the same port for HTTP."""


_PIPES: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
_PIPES["env"] = ENVIRONMENT


def python(
    *arguments: str, timeout: float = 60.0 * TIMEOUT_FACTOR, check: bool = True, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, **(_PIPES | options), timeout=timeout, check=check)


def begin(*arguments: str, **options: Any) -> Child:
    """Starts it, with pipes for what it writes."""
    options = _PIPES | {"stdin": subprocess.DEVNULL} | options
    return subprocess.Popen([sys.executable, *arguments], **options)


def end(child: Child) -> None:
    """Kills it if it runs still."""
    if child.poll() is None:
        child.kill()
    child.communicate()


@contextlib.contextmanager
def begun(*arguments: str, **options: Any) -> Iterator[Child]:
    """Starts it; it ends with the block."""
    child = begin(*arguments, **options)
    try:
        yield child
    finally:
        end(child)
