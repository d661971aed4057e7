"""Sizes, docstrings, words: what keeps a module readable."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = {"pyzk/jute/packing.py", "pyzk/jute/records.py"}
MAX_LINES = 600
MAX_FUNCTION_LINES = 60
PURE_PACKAGES = ("jute", "data", "auth", "persistence", "server", "quorum", "admin")
FOR_USERS = {"pyzk/testing/__init__.py"}
"""What help() shows to users: how it is made comes last there."""
BAD_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc", "manager"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def python_files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if relative(path) not in GENERATED]


@lru_cache(maxsize=1)
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


PACKAGE = python_files("pyzk")
ALL = python_files("pyzk", "tests", "scripts", "conformance")


def test_a_module_has_a_readable_size() -> None:
    assert [path for path in ALL if path.read_text().count("\n") > MAX_LINES] == []


@pytest.mark.parametrize("path", PACKAGE, ids=relative)
def test_a_function_fits_a_screen(path: Path) -> None:
    long = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                long.append(f"{node.name}: {lines} lines")
    assert long == []


@pytest.mark.parametrize("path", PACKAGE, ids=relative)
def test_a_docstring_says_what_and_whether_it_is_pure(path: Path) -> None:
    docstring = ast.get_docstring(parsed(path))
    assert docstring is not None, "no docstring"
    first, _, rest = docstring.partition("\n")
    assert first.rstrip().endswith((".", ":", "?")), f"first line is no sentence: {first!r}"
    second = rest.lstrip()
    if relative(path) in FOR_USERS:
        second = second[second.rindex("\n\n") :].lstrip()
    assert second.startswith(("Pure.", "Shell.")), f"says neither Pure. nor Shell.: {second[:40]!r}"
    if path.relative_to(ROOT / "pyzk").parts[0] in PURE_PACKAGES:
        assert second.startswith("Pure.")


def test_a_file_is_named_after_the_thing() -> None:
    assert [path for path in ALL if path.stem in BAD_NAMES] == []


def test_nothing_is_left_to_do_in_a_comment() -> None:
    to_do = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [path for path in PACKAGE if to_do.search(path.read_text())] == []
