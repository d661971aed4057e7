"""Every transcript prints what it says; `make rewrite` writes anew what they print."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyzk
from tests.transcripts.commands import COMMANDS
from tests.transcripts.script import joined, parse, play, rewrite
from tests.transcripts.swaps import SWAPS, Swap

ROOT = Path(__file__).parents[1]
TESTDATA = Path(__file__).parent / "testdata"
FOLDERS = ("pipeline", "sessions", "sync", "zab")
FILES = sorted(path for folder in FOLDERS for path in (TESTDATA / folder).glob("*.txt"))
README = Path(__file__).parent / "transcripts" / "README.md"


def name_of(path: Path) -> str:
    return path.relative_to(TESTDATA).with_suffix("").as_posix()


def comment_of(path: Path) -> str:
    lines = parse(path.read_text())[0].comments
    return " ".join(line.removeprefix("#").strip() for line in lines)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_transcript_prints_what_it_says(path: Path) -> None:
    if os.environ.get("PYZK_REWRITE"):
        rewrite(path)
    text = path.read_text()
    assert joined(play(parse(text))).splitlines() == text.splitlines()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_transcript_tells_which_swaps_of_steps_break_it(path: Path) -> None:
    name = name_of(path)
    tried = [swap.name for swap in SWAPS if name in swap.fails.split()]
    comment = comment_of(path)
    assert tried
    assert comment.endswith(f"Tried: {'; '.join(tried)}.")


def test_swaps_name_transcripts() -> None:
    known = set(map(name_of, FILES))
    assert {name for swap in SWAPS for name in swap.fails.split()} <= known


@pytest.fixture(scope="module")
def copied_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source that may be changed."""
    target = tmp_path_factory.mktemp("swapped") / "pyzk"
    ignore = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(Path(pyzk.__file__).parent, target, ignore=ignore)
    return target


@pytest.mark.slow
@pytest.mark.source
@pytest.mark.parametrize("swap", SWAPS, ids=lambda swap: swap.name)
def test_steps_that_are_swapped_break_transcripts(swap: Swap, copied_package: Path) -> None:
    names = swap.fails.split()
    original = swap.apply(copied_package)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.transcripts.script"]
            + [str(TESTDATA / f"{name}.txt") for name in names],
            cwd=copied_package.parent,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(copied_package.parent), str(ROOT)]),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        (copied_package / swap.file).write_text(original)
    assert done.stdout.split() == ["played", *names], done.stderr[-2000:]


def test_every_command_has_an_example_and_the_readme_prints_it() -> None:
    readme = README.read_text()
    for name, command in COMMANDS.items():
        text = command.__doc__ or ""
        examples = [line.strip() for line in text.splitlines()[1:] if line.startswith("    ")]
        shown = [line for line in examples if line.split()[:1] == [name]]
        assert shown, name
        assert all(line in readme for line in shown), name
