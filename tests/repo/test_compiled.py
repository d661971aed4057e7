"""The compiled form of the core: what is compiled, and that a run that says so uses it."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts import can_compile
from tests.processes import python

ROOT = Path(__file__).parent.parent.parent
IS_COMPILED_RUN = "PYZK_TEST_COMPILED" in os.environ


def setup_lists() -> dict[str, tuple[str, ...]]:
    """The module lists of setup.py, which itself cannot be imported."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    return {
        target.id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in ("FOLDERS", "MODULES", "LEFT_OUT")
    }


def compiled_modules() -> list[str]:
    lists = setup_lists()
    names = [name.replace("/", ".") for name in lists["MODULES"]]
    for folder in lists["FOLDERS"]:
        names += [
            f"{folder}.{path.stem}"
            for path in sorted((ROOT / "pyzk" / folder).glob("[!_]*.py"))
            if not path.name.startswith(lists["LEFT_OUT"])
        ]
    return names


@pytest.mark.parametrize("name", compiled_modules())
def test_a_run_uses_the_form_it_says(name: str) -> None:
    file = importlib.import_module(f"pyzk.{name}").__file__ or ""
    assert file.endswith(".so" if IS_COMPILED_RUN else ".py")


def test_the_lists_name_what_is_there() -> None:
    lists = setup_lists()
    assert lists.keys() == {"FOLDERS", "MODULES", "LEFT_OUT"}
    for name in lists["MODULES"]:
        assert (ROOT / "pyzk" / f"{name}.py").is_file(), name
    for prefix in lists["LEFT_OUT"]:
        assert any(
            list((ROOT / "pyzk" / folder).glob(f"{prefix}*.py")) for folder in lists["FOLDERS"]
        ), prefix


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
