"""The text form of a transcript: blocks of comments, commands, ``----`` and what they print.

    # Why this is so.
    elect 3 by 1,3
    deliver 1->3
    ----
    3 leads
      3 listens
    ...

A blank line ends a block. What stands below ``----`` can be written by the machine; it must be
read by a person.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from tests.transcripts.commands import perform
from tests.transcripts.stage import Stage

SEPARATOR = "----"


@attrs.define
class Block:
    """Some commands and what they print."""

    comments: list[str]
    commands: list[str]
    expected: list[str]

    def text(self) -> str:
        """Return the block as it stands in the file."""
        lines = [*self.comments, *self.commands]
        if self.commands:
            lines += [SEPARATOR, *self.expected]
        return "\n".join(lines)


def parse(text: str) -> list[Block]:
    """Cut a file into blocks."""
    blocks = []
    for piece in text.strip("\n").split("\n\n"):
        head, separator, tail = piece.partition(f"{SEPARATOR}\n")
        if not separator:
            head = piece.removesuffix(SEPARATOR)
        lines = head.strip("\n").split("\n")
        blocks.append(
            Block(
                [line for line in lines if line.startswith("#")],
                [line for line in lines if line and not line.startswith("#")],
                tail.rstrip("\n").split("\n") if tail.strip() else [],
            )
        )
    return blocks


def play(blocks: list[Block]) -> list[Block]:
    """Perform the commands; return the blocks with what they print."""
    stage = Stage()
    played = []
    for block in blocks:
        stage.lines.clear()
        for line in block.commands:
            try:
                perform(stage, line)
            except Exception as error:
                error.add_note(f"in the command {line!r}, after: {stage.lines[-20:]}")
                raise
        played.append(Block(block.comments, block.commands, list(stage.lines)))
    return played


def joined(blocks: list[Block]) -> str:
    """Return the text of a file."""
    return "\n\n".join(block.text() for block in blocks) + "\n"


def rewrite(path: Path) -> None:
    """Write what the commands print today below them."""
    path.write_text(joined(play(parse(path.read_text()))))


def differs(path: Path) -> bool:
    """Tell whether the commands of a file print something else today, or fail."""
    text = path.read_text()
    try:
        return joined(play(parse(text))) != text
    except (AttributeError, TypeError):
        raise  # the swap itself is not made for this code
    except Exception:  # what a swap leads to may be anything else
        return True
