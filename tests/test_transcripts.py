"""Every transcript prints what it says; `make rewrite` writes anew what they print."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.transcripts.commands import COMMANDS
from tests.transcripts.script import differs, joined, parse, play, rewrite
from tests.transcripts.swaps import SWAPS, Swap

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
def test_a_transcript_tells_which_swaps_break_it(path: Path) -> None:
    tried = [swap.name for swap in SWAPS if name_of(path) in swap.fails]
    wanted = f"Tried: {'; '.join(tried)}." if tried else ""
    told = comment_of(path).partition("Tried: ")
    assert "".join(told[1:]) == wanted, (
        f"let the first comment of {path.name} end with {wanted!r}: these are the swaps in"
        " tests/transcripts/swaps.py that name it (CONTRIBUTING.md, a transcript)"
        if wanted
        else f"leave 'Tried: ...' out of {path.name}, or let a swap in tests/transcripts/swaps.py"
        " name it (CONTRIBUTING.md, a transcript)"
    )


def test_swaps_name_transcripts() -> None:
    known = set(map(name_of, FILES))
    assert {name for swap in SWAPS for name in swap.fails} <= known


@pytest.mark.source
@pytest.mark.parametrize("swap", SWAPS, ids=lambda swap: swap.name)
def test_steps_that_are_swapped_break_transcripts(swap: Swap) -> None:
    with swap.made():
        broken = [name for name in swap.fails if differs(TESTDATA / f"{name}.txt")]
    assert broken == list(swap.fails)


def test_every_command_has_an_example_and_the_readme_prints_it() -> None:
    readme = README.read_text()
    for name, command in COMMANDS.items():
        text = command.__doc__ or ""
        examples = [line.strip() for line in text.splitlines()[1:] if line.startswith("    ")]
        shown = [line for line in examples if line.split()[:1] == [name]]
        assert shown, name
        assert all(line in readme for line in shown), name
