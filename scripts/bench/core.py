"""Instructions that an operation costs the core, counted by valgrind, in both forms, with bounds.

Shell.

    python -m scripts.bench.core                 compare with the bounds   (make bench-core)
    python -m scripts.bench.core --record        make what is counted the new bounds
    python -m scripts.bench.core --form source   one form alone

Unlike a time, a count does not depend on what else the machine does: the same sources give the same
count, but for some hundredths of a percent. It says nothing of caches, nor of the kernel's part.
The exit status is 1 if an operation costs over a tenth more than `core_bounds.json` says. Counts of
another minor version of Python are printed, and not compared.

`scripts.bench.core_work` is what runs. The compiled form must be there (make compile).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from scripts import compiled

BOUNDS: Final = Path(__file__).with_name("core_bounds.json")
TOLERANCE: Final = 0.10
FORMS: Final = ("source", "compiled")
MARKS: Final = ("getpgid", "__getpgid")
"""Names that the C library has for the function of `core_work.mark`."""
AGAIN: Final = 'make bench-core ARGS="--record" records new bounds'

Counts = dict[str, int]
"""Name of an operation -> instructions for one."""


# --- counting -------------------------------------------------------------------------


def count(form: str) -> Counts:
    """Count one form. Raises CalledProcessError, which has what was said."""
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1"}
    places = [str(compiled.ROOT)]
    if form == "compiled":
        places.insert(0, str(compiled.tree_of(compiled.ROOT)))
    environment["PYTHONPATH"] = os.pathsep.join(places)
    with tempfile.TemporaryDirectory(prefix="pyzk-bench-core-") as folder:
        done = subprocess.run(
            [
                *("valgrind", "-q", "--tool=callgrind"),
                *(f"--dump-before={name}" for name in MARKS),
                f"--callgrind-out-file={folder}/counts",
                *(sys.executable, "-m", "scripts.bench.core_work"),
            ],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        totals = [_total(part) for part in sorted(Path(folder).glob("counts.*"), key=_number)]
    return per_operation(done.stdout, totals)


def _number(part: Path) -> int:
    return int(part.suffix.removeprefix("."))


def _total(part: Path) -> int:
    found = re.search(r"^totals: (\d+)$", part.read_text(), re.MULTILINE)
    assert found, part
    return int(found[1])


def per_operation(said: str, totals: list[int]) -> Counts:
    """Return the counts, of what `core_work` says and of what came before each of its marks.

    A pair of marks stands around each operation; those at the beginning only warm up.
    """
    operations = [line.split(" ", 1) for line in said.splitlines()]
    ours = totals[1::2][-len(operations) :]
    assert len(ours) == len(operations) > 0, (said, totals)
    return {
        name: total // int(times) for (times, name), total in zip(operations, ours, strict=True)
    }


# --- bounds ---------------------------------------------------------------------------


def python_version() -> str:
    """Return the version that counts are compared in."""
    return ".".join(platform.python_version_tuple()[:2])


def compare(form: str, counts: Counts, bounds: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Return the lines of a table, and what is wrong."""
    lines, wrong = [], []
    for name, counted in counts.items():
        bound = bounds.get(name)
        if bound is None:
            lines.append(f"{form:9} {name:34} {counted:>11,}")
            wrong.append(f"{form}: {name} has no bound")
            continue
        change = counted / bound - 1
        lines.append(f"{form:9} {name:34} {counted:>11,} {bound:>11,} {change:>+7.1%}")
        if counted > bound * (1 + TOLERANCE):
            wrong.append(
                f"{form}: {name} costs {counted:,} instructions, {change:+.1%} of {bound:,}"
                f" (at most {TOLERANCE:+.0%})"
            )
    return lines, wrong


def record(path: Path, counts: Mapping[str, Counts]) -> None:
    """Write the counts of these forms as bounds; those of the others stay."""
    recorded = json.loads(path.read_text())["bounds"] if path.exists() else {}
    written = {
        "python": platform.python_version(),
        "compiler": _compiler(),
        "bounds": recorded | dict(counts),
    }
    path.write_text(json.dumps(written, indent=2) + "\n")


def _compiler() -> str:
    done = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def judge(path: Path, counts: Mapping[str, Counts]) -> int:
    """Print the counts beside the bounds; return the exit status."""
    written = json.loads(path.read_text())
    is_comparable = written["python"].rpartition(".")[0] == python_version()
    wrong: list[str] = []
    print(f"{'form':9} {'operation':34} {'counted':>11} {'bound':>11} {'change':>7}")
    for form, counted in counts.items():
        lines, found = compare(form, counted, written["bounds"].get(form, {}))
        print("\n".join(lines))
        wrong += found
    origin = f"the bounds are those of Python {written['python']} and {written['compiler']}"
    if not is_comparable:
        print(f"not compared: {origin}, this is Python {platform.python_version()}")
        return 0
    if not wrong:
        print(f"no operation costs over {TOLERANCE:.0%} more than its bound ({origin})")
        return 0
    print(*wrong, sep="\n", file=sys.stderr)
    print(f"{origin}; if this is meant to be so, {AGAIN}", file=sys.stderr)
    return 1


# --- the command ----------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Do what the module's docstring says."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.core", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--record", action="store_true", help="make the counts the new bounds")
    parser.add_argument("--form", choices=FORMS, help="this form alone")
    options = parser.parse_args(arguments)
    if shutil.which("valgrind") is None:
        print("skipped: valgrind is not installed")
        return 0
    forms = [options.form] if options.form else list(FORMS)
    if "compiled" in forms and not compiled.tree_of(compiled.ROOT).exists():
        print("not counted: the compiled form, which is not there (make compile)")
        forms.remove("compiled")
    with ThreadPoolExecutor(len(FORMS)) as pool:
        try:
            counts = dict(zip(forms, pool.map(count, forms), strict=True))
        except subprocess.CalledProcessError as error:
            print(f"valgrind failed ({error.returncode}):\n{error.stderr}", file=sys.stderr)
            return 1
    if options.record:
        record(BOUNDS, counts)
    return judge(BOUNDS, counts)


if __name__ == "__main__":
    sys.exit(main())
