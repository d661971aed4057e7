"""Whether the core can be compiled here, and whether the user wants it (PYZK_COMPILE: setup.py).

A module of its own, because the build backend needs setuptools, which an environment may not have.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

SWITCH = "PYZK_COMPILE"
RUNTIME_LIBRARY = "librt"
"""The package of mypyc's library, which compiled modules use when they run."""
SPELLINGS = {
    **dict.fromkeys(("yes", "1", "true", "on"), True),
    **dict.fromkeys(("no", "0", "false", "off"), False),
}
"""Upper and lower case mean the same. The Makefile's COMPILE takes the same words."""


def _wanted() -> bool | None:
    """Return what the user says, None for nothing. Raises SystemExit for any other word."""
    said = os.environ.get(SWITCH, "")
    if not said:
        return None
    wanted = SPELLINGS.get(said.lower())
    if wanted is None:
        raise SystemExit(f"{SWITCH}: {said!r} is neither yes nor no")
    return wanted


def is_required() -> bool:
    """Whether the user insists on the compiled core."""
    return _wanted() is True


def is_refused() -> bool:
    """Whether the user wants pure Python."""
    return _wanted() is False


def why_not() -> str | None:
    """Why the core cannot be compiled, None if nothing is in the way."""
    if is_refused():
        return f"{SWITCH}={os.environ[SWITCH]}"
    if sys.implementation.name != "cpython":
        return f"mypyc compiles for CPython, not for {sys.implementation.name}"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"no C compiler ({compiler}) on the PATH"
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.exists():
        return f"the headers of this Python are not installed ({header})"
    return None
