"""Writes the table of four-letter words into docs/operations.md, between its two markers.

Shell. `python -m scripts.gen_word_table [--check]`; the rows are those of
`pyzk/four_letter_words.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from pyzk.four_letter_words import FOUR_LETTER_WORDS
from scripts import generated

TARGET: Final = generated.DOCS / "operations.md"


def rows() -> Iterator[str]:
    yield "\n| word | shows | answers while not serving |"
    yield "| --- | --- | --- |"
    for name, word in FOUR_LETTER_WORDS.items():
        yield f"| `{name}` | {word.shows} | {'no' if word.needs_serving else 'yes'} |"


def generate(text: str) -> str:
    """Return `text` with the part between the markers written anew."""
    return generated.replaced(text, "gen_word_table", "\n".join(rows()))


if __name__ == "__main__":
    sys.exit(generated.main(TARGET, generate))
