"""Writes the table of the admin server's commands into docs/operations.md, between its two markers.

Shell. `python -m scripts.gen_admin_table [--check]`; the rows are those of `admin/commands.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from pyzk.admin.commands import COMMANDS, Command
from scripts import generated

TARGET: Final = generated.DOCS / "operations.md"


def rows() -> Iterator[str]:
    yield "\n| command | or | answers | asks for |"
    yield "| --- | --- | --- | --- |"
    for each in COMMANDS:
        others = ", ".join(f"`{name}`" for name in each.aliases)
        yield f"| `{each.name}` | {others} | {each.shows} | {', '.join(_needs(each))} |"


def _needs(command: Command) -> Iterator[str]:
    if command.method != "GET":
        yield command.method
    if command.needs_serving:
        yield "a server that serves"
    if command.needs_authorization:
        yield "an authorization"


def generate(text: str) -> str:
    """Return `text` with the part between the markers written anew."""
    return generated.replaced(text, "gen_admin_table", "\n".join(rows()))


if __name__ == "__main__":
    sys.exit(generated.main(TARGET, generate))
