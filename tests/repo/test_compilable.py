"""What mypyc compiles into something else than Python says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.repo.test_tidy import ROOT, python_files, relative


def _names(tree: ast.Module, name: str) -> tuple[str, ...]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return tuple(ast.literal_eval(node.value))
    raise AssertionError(f"setup.py has no {name}")


def compiled() -> Iterator[str]:
    """Yields the modules that setup.py has compiled."""
    setup = ast.parse((ROOT / "setup.py").read_text())
    folders, modules, left_out = (
        _names(setup, name) for name in ("FOLDERS", "MODULES", "LEFT_OUT")
    )
    for path in map(relative, python_files("pyzk")):
        name = path.removeprefix("pyzk/").removesuffix(".py")
        is_in_folder = re.fullmatch(rf"({'|'.join(folders)})/[^_/][^/]*", name) is not None
        if (name in modules or is_in_folder) and not name.startswith(left_out):
            yield path


COMPILED = list(compiled())


def test_the_compiled_modules_are_found() -> None:
    assert "pyzk/server/authentication.py" in COMPILED
    assert "pyzk/runtime/runner.py" in COMPILED
    assert "pyzk/quorum/election.py" not in COMPILED


@pytest.mark.parametrize("path", COMPILED)
def test_a_name_takes_one_kind_of_exception_in_a_function(path: str) -> None:
    """mypyc gives a name one type in a function, the first: another exception that an ``except``
    binds to it becomes a TypeError, which ends the server."""
    for function in ast.walk(ast.parse((ROOT / path).read_text())):
        if not isinstance(function, ast.FunctionDef):
            continue
        kinds: dict[str, str] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.ExceptHandler) and node.name and node.type:
                kind = ast.unparse(node.type)
                assert kinds.setdefault(node.name, kind) == kind, f"{function.name}: {node.name}"
