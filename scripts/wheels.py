"""Wheels with the compiled core, in dist/, for the Pythons of this machine.

    python -m scripts.wheels                 for each version of Python that is found (make wheels)
    python -m scripts.wheels PYTHON...       for these

Shell. Each wheel is then installed into a new environment, where a server must start on the
compiled core. The exit status is 1 if one cannot be built or fails that; a Python that has no
headers is skipped. Wheels for other machines: cibuildwheel, which `pyproject.toml` configures.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from scripts.compiled import ROOT, copy_sources

DIST: Final = ROOT / "dist"
OLDEST: Final = 11
NEWEST: Final = 14
"""Minor versions that are looked for; what is newer than mypyc knows fails to build."""
OURS: Final = ("PYTHON", "PYZK_", "VIRTUAL_ENV")
"""Beginnings of variables that would lead another Python to this one's modules, or decide."""
ABOUT: Final = (
    "import sys; sys.path.insert(0, 'scripts'); import can_compile; "
    "print('%d.%d' % sys.version_info[:2], can_compile.why_not() or '')"
)


class WheelError(Exception):
    """Raised when a wheel cannot be built or does not work. The message is what was said."""


def found() -> list[str]:
    """Return the commands that may be Pythons of this machine, one for each version."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin"])
    names = (f"python3.{minor}" for minor in range(OLDEST, NEWEST + 1))
    paths = [path for name in names if (path := shutil.which(name, path=places))]
    return [path for path in paths if _runs(path)]


def _runs(python: str) -> bool:
    """Return whether this is a Python, not a stand-in that a version manager has for none."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def about(python: str) -> tuple[str, str]:
    """Return the version of a Python, and why it cannot compile. Raises WheelError if it does not
    run."""
    version, _, reason = run([python, "-c", ABOUT]).strip().partition(" ")
    return version, reason


def run(command: Sequence[str], cwd: Path = ROOT, **variables: str) -> str:
    """Run a command in what is left of our own environment; return all that it says. Raises
    WheelError if it fails."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=kept | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise WheelError(f"{' '.join(command)}:\n{done.stdout}")
    return done.stdout


def environment_of(python: str, folder: Path) -> list[str]:
    """Make an environment; return its Python with the words that run pip."""
    run([python, "-m", "venv", str(folder)])
    return [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q"]


def build(python: str, folder: Path) -> Path:
    """Build a wheel in dist/, with `folder` for all that is made on the way."""
    copy_sources(ROOT, folder / "source")
    pip = environment_of(python, folder / "building")
    made = folder / "made"
    source = str(folder / "source")
    run([*pip, "wheel", "--no-deps", "-w", str(made), source], PYZK_COMPILE="yes")
    [wheel] = made.glob("*.whl")
    DIST.mkdir(exist_ok=True)
    return Path(shutil.copy(wheel, DIST))


def try_it(python: str, wheel: Path, folder: Path) -> str:
    """Install a wheel with what it needs into a new environment, and start a server there."""
    pip = environment_of(python, folder / "trying")
    run([*pip, "install", str(wheel)])
    return run([pip[0], str(ROOT / "scripts" / "try_wheel.py")], cwd=folder)


def main(pythons: Iterable[str]) -> int:
    """Do what the module's docstring says."""
    status = 0
    for python in pythons:
        try:
            version, reason = about(python)
            if reason:
                print(f"skipped: Python {version}: {reason}")
                continue
            print(f"Python {version}: building, one to three minutes", flush=True)
            with tempfile.TemporaryDirectory(prefix="pyzk-wheels-") as scratch:
                wheel = build(python, Path(scratch))
                print(f"{wheel.relative_to(ROOT)}, {wheel.stat().st_size >> 10} KiB")
                print(try_it(python, wheel, Path(scratch)), end="", flush=True)
        except WheelError as error:
            print(f"failed: {python}: {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or found()))
