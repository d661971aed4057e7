"""Adds the compiled core to a build: the modules of the hot path, through mypyc.

The source needs no compiler and is what the tests run; docs/decisions/0013 says why there is a
compiled form at all. The environment variable PYZK_COMPILE decides:

    yes      compile; a build that cannot is an error
    no       pure Python
    unset    compile if there is a C compiler and mypyc, else say so and go on in pure Python

(1, true, on and 0, false, off mean the same, in capitals too; anything else is an error.)
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from setuptools import setup

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "scripts"))

import can_compile  # noqa: E402

FOLDERS = ("jute", "data", "server", "quorum")
"""Compiled whole, but for LEFT_OUT."""
MODULES = (
    "clock",
    "constants",
    "errors",
    "summaries",
    "zxid",
    "persistence/replay",
    "persistence/snapshot",
    "persistence/txnlog",
    "runtime/client_port",
    "runtime/election_port",
    "runtime/port",
    "runtime/quorum_port",
    "runtime/runner",
)
LEFT_OUT = (
    "fourletter",  # and its helpers: text for operators, nobody waits for it
    "garbage",  # likewise
)
BUILDING = frozenset({"bdist_wheel", "build", "build_ext", "install"})
"""Commands that need the compiled modules. A frontend also runs this file to ask what a build
needs, before mypyc can be there, and for the metadata."""


def sources() -> list[str]:
    """The files to compile, relative to here, as mypyc wants them."""
    found = [ROOT / "pyzk" / f"{name}.py" for name in MODULES]
    for folder in FOLDERS:
        found += sorted((ROOT / "pyzk" / folder).glob("[!_]*.py"))
    return [str(path.relative_to(ROOT)) for path in found if not path.name.startswith(LEFT_OUT)]


def extensions() -> list[Any]:
    """What setuptools shall build; an empty list for pure Python."""
    if BUILDING.isdisjoint(sys.argv[1:]):
        return []
    reason = can_compile.why_not()
    if reason is None:
        try:
            from mypyc.build import mypycify
            from pybind11.setup_helpers import ParallelCompile
        except ImportError as error:
            reason = f"{error.name} is not installed (pip install mypy pybind11)"
        else:
            os.chdir(ROOT)
            ParallelCompile().install()  # one C file for each module, all cores
            return list(mypycify(sources(), opt_level="2", debug_level="0", multi_file=True))
    if can_compile.is_required():
        sys.exit(f"pyzk: cannot compile the core: {reason}")
    if not can_compile.is_refused():
        print(f"pyzk: building in pure Python: {reason}", file=sys.stderr)
    return []


def description() -> str:
    """What a package index shows: README.md, but of its links only those to other places. Files of
    the project and headings cannot be reached from there, so their names alone stay."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.sub(r"\[([^]]+)\]\((?!https?:)[^)]*\)", r"\1", readme)


setup(
    ext_modules=extensions(),
    long_description=description(),
    long_description_content_type="text/markdown",
)
