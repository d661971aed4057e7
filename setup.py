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
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "scripts"))

import can_compile  # noqa: E402

FOLDERS = ("jute", "data", "server", "quorum")
"""Compiled whole, but for LEFT_OUT."""
MODULES = (
    "clock",
    "constants",
    "errors",
    "metrics",
    "summaries",
    "zxid",
    "persistence/logwriter",
    "persistence/replay",
    "persistence/snapshot",
    "persistence/txnlog",
    "runtime/activity",
    "runtime/client_port",
    "runtime/disk",
    "runtime/election_port",
    "runtime/idle_polls",
    "runtime/mailbox",
    "runtime/port",
    "runtime/quorum_port",
    "runtime/runner",
    "runtime/sync_times",
    "runtime/tls_link",
)
LEFT_OUT = (
    "server/fourletter",  # and its helpers: text for operators, nobody waits for it
    "server/garbage",  # likewise
    "server/metric_families",  # likewise
    # What runs only while an ensemble forms or changes: a tenth of the compilation.
    "quorum/authentication",
    "quorum/contract",
    "quorum/election",
    "quorum/epochs",
    "quorum/learner_dial",
    "quorum/learner_masters",
    "quorum/learner_questions",
    "quorum/observer_dial",
    "quorum/storage_commands",
    "quorum/reconfig",
    "quorum/twins",
    "quorum/unsaved_configs",
)
"""What the names of modules begin with that stay as they are."""
CHUNKS = 16
"""C files that mypyc's, one a module, are joined into. Each of those reads the same 30,000 lines of
headers, a fifth of the compiler's work; and more chunks than processors keep them all busy."""
DEPENDENCIES = (
    "attrs>=23.1",
    "click>=8.1",
    "kazoo>=2.10",  # `pyzk members` is a client
    # Faster loop where it exists; plain asyncio serves as well without it.
    "uvloop>=0.19; sys_platform != 'win32' and implementation_name == 'cpython'",
)
"""What both forms need."""
BUILDING = frozenset({"bdist_wheel", "build", "build_ext", "install"})
"""Commands that need the compiled modules. A frontend also runs this file to ask what a build
needs, before mypyc can be there, and for the metadata."""


def sources() -> list[str]:
    """The files to compile, relative to here, as mypyc wants them."""
    package = ROOT / "pyzk"
    found = [f"{name}.py" for name in MODULES]
    for folder in FOLDERS:
        modules = sorted((package / folder).glob("[!_]*.py"))
        found += [path.relative_to(package).as_posix() for path in modules]
    return [f"pyzk/{name}" for name in found if not name.startswith(LEFT_OUT)]


def extensions() -> list[Any]:
    """What setuptools shall build; an empty list for pure Python."""
    if BUILDING.isdisjoint(sys.argv[1:]):
        return []
    reason = can_compile.why_not()
    if reason is None:
        try:
            from mypyc.build import mypycify
        except ImportError as error:
            reason = f"{error.name} is not installed (pip install mypy)"
        else:
            os.chdir(ROOT)
            # What the rest imports may be missing where a wheel is built; `make types` checks it.
            given = ["--follow-imports=silent", *sources()]
            made = mypycify(given, opt_level="2", debug_level="0", multi_file=True)
            made[0].sources = in_chunks(made[0].sources)
            return list(made)
    if can_compile.is_required():
        sys.exit(f"pyzk: cannot compile the core: {reason}")
    if not can_compile.is_refused():
        print(f"pyzk: building in pure Python: {reason}", file=sys.stderr)
    return []


def runtime_library() -> str:
    """What only the compiled form needs: the library that it was compiled with, or a newer one, for
    these have all that older ones have. (They say so, and each is asked when it is imported.)"""
    version = metadata.version(can_compile.RUNTIME_LIBRARY)
    next_major = int(version.partition(".")[0]) + 1
    return f"{can_compile.RUNTIME_LIBRARY}>={version},<{next_major}"


def in_chunks(sources: list[str]) -> list[str]:
    """Join C files into a few of about equal size; return those, the largest first."""
    chunks: list[list[Path]] = [[] for _ in range(min(CHUNKS, len(sources)))]
    for path in sorted(map(Path, sources), key=_size, reverse=True):
        min(chunks, key=lambda chunk: sum(map(_size, chunk))).append(path)
    written = []
    for number, chunk in enumerate(chunks):
        path = chunk[0].with_name(f"chunk_{number:02}.c")
        path.write_text("".join(f'#include "{part.name}"\n' for part in chunk))
        written.append(str(path))
    return written


def _size(path: Path) -> int:
    return path.stat().st_size


class BuildOnAllCores(build_ext):  # type: ignore[misc]  # setuptools has no types
    """Builds all files of all extensions at once, as many as there are processors."""

    def build_extensions(self) -> None:
        cores = os.cpu_count() or 1
        compile_some = self.compiler.compile
        with ThreadPoolExecutor(cores) as pool:

            def compile_each(sources: list[str], *args: Any, **options: Any) -> list[str]:
                made = pool.map(lambda each: compile_some([each], *args, **options), sources)
                return [name for names in made for name in names]

            self.compiler.compile = compile_each
            self.parallel = cores
            super().build_extensions()


def description() -> str:
    """What a package index shows: README.md, but of its links only those to other places. Files of
    the project and headings cannot be reached from there, so their names alone stay."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.sub(r"\[([^]]+)\]\((?!https?:)[^)]*\)", r"\1", readme)


compiled = extensions()
setup(
    ext_modules=compiled,
    install_requires=[*DEPENDENCIES, *([runtime_library()] if compiled else [])],
    cmdclass={"build_ext": BuildOnAllCores},
    long_description=description(),
    long_description_content_type="text/markdown",
)
