"""The generated parts of a document, each between two markers.

Shell. Their generator writes them, or with ``--check`` only compares.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[1] / "docs"
END: Final = "<!-- end of the generated part -->"


def replaced(text: str, source: str, part: Iterable[str]) -> str:
    """Return `text` with the lines behind a marker, which names their ``source``, written anew."""
    begin = f"<!-- {source}: do not edit -->"
    head, rest = text.split(begin)
    lines = "\n".join(part)
    return f"{head}{begin}\n{lines}\n\n{END}{rest.partition(END)[2]}"


def main(target: Path, generate: Callable[[str], str]) -> int:
    """Write the document anew, or with ``--check`` tell whether it is as it would be written."""
    text = target.read_text()
    if "--check" in sys.argv[1:]:
        if generate(text) != text:
            sys.stderr.write(f"{target.name} is out of date: run `make generate`\n")
            return 1
        return 0
    target.write_text(generate(text))
    return 0
