"""Sizes, docstrings, words: what keeps a module readable."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = {"pyzk/jute/records.py"}
MAX_LINES = 800
LONG_LINES = 600
MAX_FUNCTION_LINES = 60
PURE_PACKAGES = ("jute", "data", "auth", "persistence", "server", "quorum")
FOR_USERS = {"pyzk/testing/__init__.py"}
"""What help() shows to users: how it is made comes last there."""
BAD_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc", "manager"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def python_files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if relative(path) not in GENERATED]


PACKAGE = python_files("pyzk")
ALL = python_files("pyzk", "tests", "scripts", "conformance")


@pytest.mark.parametrize("path", ALL, ids=relative)
def test_a_module_has_a_readable_size(path: Path) -> None:
    text = path.read_text()
    lines = text.count("\n")
    assert lines <= MAX_LINES, f"{lines} lines"
    if lines > LONG_LINES:
        docstring = ast.get_docstring(ast.parse(text)) or ""
        assert "Long because" in docstring, f"{lines} lines, and the docstring gives no reason"


@pytest.mark.parametrize("path", PACKAGE, ids=relative)
def test_a_function_fits_a_screen(path: Path) -> None:
    long = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                long.append(f"{node.name}: {lines} lines")
    assert long == []


@pytest.mark.parametrize("path", PACKAGE, ids=relative)
def test_a_docstring_says_what_and_whether_it_is_pure(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring is not None, "no docstring"
    first, _, rest = docstring.partition("\n")
    assert first.rstrip().endswith((".", ":", "?")), f"first line is no sentence: {first!r}"
    second = rest.lstrip()
    if relative(path) in FOR_USERS:
        second = second[second.rindex("\n\n") :].lstrip()
    assert second.startswith(("Pure.", "Shell.")), f"says neither Pure. nor Shell.: {second[:40]!r}"
    if path.relative_to(ROOT / "pyzk").parts[0] in PURE_PACKAGES:
        assert second.startswith("Pure.")


@pytest.mark.parametrize("path", ALL, ids=relative)
def test_a_file_is_named_after_the_thing(path: Path) -> None:
    assert path.stem not in BAD_NAMES


@pytest.mark.parametrize("path", PACKAGE, ids=relative)
def test_nothing_is_left_to_do_in_a_comment(path: Path) -> None:
    assert not re.findall(r"\b(TODO|FIXME|XXX|HACK)\b", path.read_text())
