"""Every transcript prints what it says; `make rewrite` writes anew what they print."""

from __future__ import annotations

import inspect
import os
import re
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
    lost = [name for name in swap.fails if name not in broken]
    assert lost == [], (
        f"the swap {swap.name!r} no longer breaks these: do they still reach the step?"
    )


def described() -> str:
    """Return the commands as the README shows them."""
    pieces = []
    for name, command in COMMANDS.items():
        said, _, examples = inspect.cleandoc(command.__doc__ or "").partition("\n\n")
        lines = examples.splitlines()
        assert lines, f"{name} has no example"
        assert all(line.startswith(f"{name}") for line in lines), name
        shown = "\n".join(f"    {line}" for line in lines)
        pieces.append(f"**{name}**: {' '.join(said.split())}\n\n{shown}\n")
    return "\n".join(pieces)


def test_the_readme_shows_every_command_with_an_example() -> None:
    text = README.read_text()
    head, begin, rest = text.partition("<!-- commands -->\n")
    _, end, tail = rest.partition("<!-- end -->")
    expected = head + begin + described() + end + tail
    if os.environ.get("PYZK_REWRITE"):
        README.write_text(expected)
        text = expected
    assert text == expected, "run `make rewrite`"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("restart 9", "no member 9"),
        ("client A create /a", "A has not opened a session"),
        ("deliver 3->1 until NEWLEADER", "deliver takes no 'NEWLEADER'"),
        ("deliver 3->1 until", "write half, until=NEWLEADER or a number, not 'until'"),
        ("vote 400 ms", "vote takes no 'ms'"),
        ("votes", "there is no command 'votes'"),
    ],
)
def test_a_line_that_is_wrong_says_what_is_wrong(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        play(parse(f"ensemble 3\n{line}"))
