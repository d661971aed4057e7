"""The compiled form of the core: what is compiled, and that a run that says so uses it."""

from __future__ import annotations

import ast
import fcntl
import importlib
import importlib.abc
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pyzk import cli
from scripts import can_compile
from tests.processes import python

ROOT = Path(__file__).parent.parent.parent
LISTS = frozenset({"FOLDERS", "MODULES", "LEFT_OUT"})
IS_COMPILED_RUN = "PYZK_TEST_COMPILED" in os.environ


def setup_lists() -> dict[str, tuple[str, ...]]:
    """The module lists of setup.py, which itself cannot be imported."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    return {
        target.id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in LISTS
    }


def compiled_modules() -> list[str]:
    lists = setup_lists()
    names = [*lists["MODULES"], *whole_folders()]
    return [name.replace("/", ".") for name in names if not name.startswith(lists["LEFT_OUT"])]


def whole_folders() -> list[str]:
    return [
        f"{folder}/{path.stem}"
        for folder in setup_lists()["FOLDERS"]
        for path in sorted((ROOT / "pyzk" / folder).glob("[!_]*.py"))
    ]


@pytest.mark.parametrize("name", compiled_modules())
def test_a_run_uses_the_form_it_says(name: str) -> None:
    file = importlib.import_module(f"pyzk.{name}").__file__ or ""
    assert file.endswith(".so" if IS_COMPILED_RUN else ".py")


def test_the_lists_name_what_is_there() -> None:
    lists = setup_lists()
    assert lists.keys() == LISTS
    for name in lists["MODULES"]:
        assert (ROOT / "pyzk" / f"{name}.py").is_file(), name
    for prefix in lists["LEFT_OUT"]:
        assert [name for name in whole_folders() if name.startswith(prefix)], prefix


@pytest.mark.parametrize("name", compiled_modules())
def test_a_name_stands_for_one_kind_of_exception(name: str) -> None:
    """In a function, mypyc gives a name the type that it is first bound to, also one that Python
    deletes at the end of ``except``: the second kind is a TypeError there."""
    module = ast.parse((ROOT / "pyzk" / f"{name.replace('.', '/')}.py").read_text())
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            kinds: dict[str, set[str]] = {}
            for node in ast.walk(function):
                if isinstance(node, ast.ExceptHandler) and node.name and node.type:
                    kinds.setdefault(node.name, set()).add(ast.unparse(node.type))
            mixed = {bound: names for bound, names in kinds.items() if len(names) > 1}
            assert not mixed, f"{function.name} in line {function.lineno}"


class Finds(importlib.abc.MetaPathFinder):
    """Finds nothing, and refuses one package."""

    def __init__(self, refused: str) -> None:
        self._refused = refused

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self._refused:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        # What librt has may be imported already.
        (
            "librt.absent",
            "Error: the compiled core needs the package librt, which is not installed",
        ),
        ("another", "No module named 'another'"),
    ],
)
def test_a_compiled_core_without_its_library_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, missing: str, said: str
) -> None:
    # In place of what a compiled module does when it is imported.
    monkeypatch.setattr(sys, "meta_path", [Finds(missing), *sys.meta_path])
    monkeypatch.setitem(cli.COMMANDS, "serve", (missing, ""))
    result = CliRunner().invoke(cli.main, ["serve"])
    assert result.exit_code == 1
    assert said in result.output + str(result.exception)


Setup = dict[str, Any]


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> Setup:
    """What setup.py defines, and as ``options`` what it tells setuptools about pure Python."""
    setuptools = pytest.importorskip("setuptools")
    options: Setup = {}
    monkeypatch.setattr(setuptools, "setup", options.update)
    monkeypatch.setattr(sys, "argv", ["setup.py", "bdist_wheel"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYZK_COMPILE", "no")
    return {**runpy.run_path(str(ROOT / "setup.py")), "options": options}


def test_pure_python_needs_no_library_of_the_compiler(setup: Setup) -> None:
    needed = setup["options"]["install_requires"]
    assert [each.partition(">")[0] for each in needed] == ["attrs", "click", "kazoo", "uvloop"]


@pytest.mark.parametrize(
    ("version", "needed"),
    [("0.17.0", "librt>=0.17.0,<1"), ("1.2", "librt>=1.2,<2")],
)
def test_the_compiled_form_needs_the_library_that_it_was_compiled_with(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, version: str, needed: str
) -> None:
    monkeypatch.setattr("importlib.metadata.version", {"librt": version}.__getitem__)
    assert setup["runtime_library"]() == needed


def test_every_c_file_is_in_one_chunk_and_the_largest_comes_first(
    setup: Setup, tmp_path: Path
) -> None:
    names = [f"{number:02}.c" for number in range(40)]
    for number, name in enumerate(names):
        (tmp_path / name).write_text("x" * (number + 1))
    chunks = [Path(each) for each in setup["in_chunks"]([str(tmp_path / name) for name in names])]
    assert len(chunks) == setup["CHUNKS"]
    assert chunks[0].read_text().startswith('#include "39.c"\n')
    lines = [line for chunk in chunks for line in chunk.read_text().splitlines()]
    assert sorted(lines) == [f'#include "{name}"' for name in names]


def run_setup(*arguments: str, switch: str = "yes") -> subprocess.CompletedProcess[str]:
    """Run setup.py with this switch where there is no compiler."""
    pytest.importorskip("setuptools")
    environment = {**os.environ, "PYZK_COMPILE": switch, "CC": "/there/is/none"}
    return python("setup.py", *arguments, cwd=ROOT, env=environment, check=False)


def test_what_a_build_needs_can_be_asked_before_there_is_a_compiler() -> None:
    asked = run_setup("--name")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.split() == ["pyzk-server"]


def test_a_build_that_must_compile_and_cannot_says_so() -> None:
    built = run_setup("bdist_wheel")
    assert built.returncode != 0
    assert "cannot compile the core: no C compiler (/there/is/none)" in built.stderr


def test_a_build_refuses_what_is_neither_yes_nor_no() -> None:
    built = run_setup("bdist_wheel", switch="yes please")
    assert built.returncode != 0
    assert built.stderr.endswith("PYZK_COMPILE: 'yes please' is neither yes nor no\n")


@pytest.mark.parametrize("said", ["what", "2", " "])
def test_what_is_neither_yes_nor_no_is_refused(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("PYZK_COMPILE", said)
    with pytest.raises(SystemExit, match=f"PYZK_COMPILE: '{said}' is neither yes nor no"):
        can_compile.is_required()


@pytest.mark.parametrize("said", ["no", "No", "NO", "0", "false", "False", "off"])
def test_no_is_said_in_many_ways(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("PYZK_COMPILE", said)
    assert (can_compile.is_refused(), can_compile.is_required()) == (True, False)
    assert can_compile.why_not() == f"PYZK_COMPILE={said}"
    assert "scripts.compiled" not in make_serve(said).stdout


@pytest.mark.parametrize("said", ["yes", "Yes", "1", "true", "TRUE", "on"])
def test_yes_is_said_in_many_ways(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("PYZK_COMPILE", said)
    assert (can_compile.is_refused(), can_compile.is_required()) == (False, True)
    assert "scripts.compiled serve" in make_serve(said).stdout


@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_said_is_neither(monkeypatch: pytest.MonkeyPatch, nothing: str | None) -> None:
    monkeypatch.delenv("PYZK_COMPILE", raising=False)
    if nothing is not None:
        monkeypatch.setenv("PYZK_COMPILE", nothing)
    assert (can_compile.is_refused(), can_compile.is_required()) == (False, False)


def test_make_refuses_what_is_neither_yes_nor_no() -> None:
    made = make_serve("nope")
    assert made.returncode != 0
    assert "COMPILE: 'nope' is neither yes nor no" in made.stderr


def make_serve(said: str) -> subprocess.CompletedProcess[str]:
    """Ask make what it would run."""
    if shutil.which("make") is None:
        pytest.skip("no make")
    return subprocess.run(
        ["make", "-n", "serve", f"COMPILE={said}"],
        env={name: os.environ[name] for name in os.environ if name not in ("MAKEFLAGS", "MFLAGS")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_two_builds_in_one_folder_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second would remove what the first compiles, which then goes on in pure Python."""
    pytest.importorskip("setuptools")
    monkeypatch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])
    backend: Any = importlib.import_module("build_backend")
    held: list[bool] = []

    def build(*_: object) -> str:
        with (ROOT / "setup.py").open("rb") as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(True)
        return "wheel"

    monkeypatch.setattr(backend, "_build_wheel", build)
    assert backend.build_wheel("anywhere") == "wheel"
    assert held == [True]
