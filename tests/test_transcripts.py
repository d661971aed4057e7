"""Every transcript prints what it says; `make rewrite` writes anew what they print."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.transcripts.commands import COMMANDS
from tests.transcripts.script import joined, parse, play, rewrite

TESTDATA = Path(__file__).parent / "testdata"
FOLDERS = ("pipeline", "sessions", "sync", "zab")
FILES = sorted(path for folder in FOLDERS for path in (TESTDATA / folder).glob("*.txt"))
README = Path(__file__).parent / "transcripts" / "README.md"


def name_of(path: Path) -> str:
    return path.relative_to(TESTDATA).with_suffix("").as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_transcript_prints_what_it_says(path: Path) -> None:
    if os.environ.get("PYZK_REWRITE"):
        rewrite(path)
    text = path.read_text()
    assert joined(play(parse(text))).splitlines() == text.splitlines()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_transcript_begins_with_its_reason(path: Path) -> None:
    assert parse(path.read_text())[0].comments


def test_every_command_has_an_example_and_the_readme_prints_it() -> None:
    readme = README.read_text()
    for name, command in COMMANDS.items():
        text = command.__doc__ or ""
        examples = [line.strip() for line in text.splitlines()[1:] if line.startswith("    ")]
        shown = [line for line in examples if line.split()[:1] == [name]]
        assert shown, name
        assert all(line in readme for line in shown), name
