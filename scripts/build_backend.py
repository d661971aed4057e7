"""The build backend: setuptools, asked for mypyc only where the core can be compiled.

Used by pip through pyproject.toml; see setup.py. An editable install is never compiled: its
compiled modules would hide later changes of the source.

There is no prepare_metadata_for_build_wheel: what a wheel needs is known when the core is compiled,
or is not. A frontend then builds the wheel, and takes its metadata.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from can_compile import SWITCH, is_required, why_not
from setuptools import build_meta as _setuptools
from setuptools.build_meta import build_sdist, get_requires_for_build_sdist

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
]

COMPILER = ("mypy>=2.4,<2.5", "attrs>=23.1")
"""mypyc, of the version that the compiled form is tested with; and what it must see to know our
types."""
BUILD_FOLDER = Path(__file__).resolve().parent.parent / "build"

Settings = dict[str, Any] | None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Return what must be installed to build a wheel."""
    needed = list(_setuptools.get_requires_for_build_wheel(config_settings))
    return needed if why_not() is not None else [*needed, *COMPILER]


def _in_pure_python() -> None:
    os.environ[SWITCH] = "no"


def build_wheel(
    wheel_directory: str,
    config_settings: Settings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build a wheel. It is in pure Python if the core turns out not to compile and nobody insists.

    Results of an earlier build are removed first: setuptools would pack them, say the compiled form
    of a module that is not compiled any more. Another build in the same folder is waited for.
    """
    with (BUILD_FOLDER.parent / "setup.py").open("rb") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        return _build_wheel(wheel_directory, config_settings, metadata_directory)


def _build_wheel(
    wheel_directory: str, config_settings: Settings, metadata_directory: str | None
) -> str:
    shutil.rmtree(BUILD_FOLDER, ignore_errors=True)
    if why_not() is None and not is_required():
        try:
            return str(
                _setuptools.build_wheel(wheel_directory, config_settings, metadata_directory)
            )
        except (Exception, SystemExit) as error:
            print(
                f"pyzk: cannot compile the core, building in pure Python: {error}", file=sys.stderr
            )
            _in_pure_python()
            shutil.rmtree(BUILD_FOLDER, ignore_errors=True)
    return str(_setuptools.build_wheel(wheel_directory, config_settings, metadata_directory))


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """Return what must be installed for an editable install."""
    _in_pure_python()
    return list(_setuptools.get_requires_for_build_editable(config_settings))


def prepare_metadata_for_build_editable(
    metadata_directory: str, config_settings: Settings = None
) -> str:
    """Write the metadata of an editable install."""
    _in_pure_python()
    return str(_setuptools.prepare_metadata_for_build_editable(metadata_directory, config_settings))


def build_editable(
    wheel_directory: str,
    config_settings: Settings = None,
    metadata_directory: str | None = None,
) -> str:
    """Make an editable install, always in pure Python."""
    _in_pure_python()
    return str(_setuptools.build_editable(wheel_directory, config_settings, metadata_directory))
