"""JSON as ZooKeeper's admin server lays it out.

Pure. Objects are indented by two blanks for each level, `" : "` stands behind a name, a list is
written in its line, and numbers are as Java prints them. A long answer is written piece by piece:
`Rows` and `Entries` are taken from an iterator while the answer is on its way, so that other
clients are served in between.

ZooKeeper: JsonOutputter
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pyzk.server.fourletter_text import java_double

CHARS_PER_PIECE: Final = 1 << 14
"""The characters after which a piece of an answer ends: about a millisecond of work."""
PARTS_PER_PIECE: Final = 400
"""The values after which a piece of an answer ends, however short they are."""

_CONTROLS: Final = {code: f"\\u{code:04X}" for code in range(0x20)} | {
    ord("\b"): "\\b",
    ord("\t"): "\\t",
    ord("\n"): "\\n",
    ord("\f"): "\\f",
    ord("\r"): "\\r",
    ord('"'): '\\"',
    ord("\\"): "\\\\",
}


class Rows:
    """A list whose members are taken one by one, while it is written."""

    __slots__ = ("members",)

    def __init__(self, members: Iterable[Value]) -> None:
        self.members: Iterable[Value] = members


class Entries:
    """An object whose (name, value) are taken one by one, while it is written."""

    __slots__ = ("members",)

    def __init__(self, members: Iterable[tuple[str | int, Value]]) -> None:
        self.members: Iterable[tuple[str | int, Value]] = members


Value = (
    str
    | int
    | float
    | bool
    | None
    | Mapping[str, "Value"]
    | list["Value"]
    | tuple["Value", ...]
    | Rows
    | Entries
)
"""What can be written. A name that is a number is written as its decimal digits."""


def pieces(value: Value) -> Iterator[bytes]:
    """Yield the text of a value, in UTF-8, in pieces that take about a millisecond each. A half of
    a surrogate pair, which UTF-8 does not have, becomes a question mark, as in Java."""
    parts: list[str] = []
    size = 0
    for part in _parts(value, "\n"):
        parts.append(part)
        size += len(part)
        if size >= CHARS_PER_PIECE or len(parts) >= PARTS_PER_PIECE:
            yield "".join(parts).encode("utf-8", "replace")
            parts.clear()
            size = 0
    if parts:
        yield "".join(parts).encode("utf-8", "replace")


def quoted(text: str) -> str:
    """Return a text as JSON has it, characters beyond ASCII as they are."""
    found = json.dumps(text, ensure_ascii=False)
    if "\\u00" in found:  # the one thing that Java writes otherwise: its hex digits are capitals
        return f'"{text.translate(_CONTROLS)}"'
    return found


def _scalar(value: Value) -> str | None:
    """Return the text of a value that has no parts, None for one that has."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        # JSON has no number that is none; the original's library writes the word.
        return '"NaN"' if value != value else java_double(value)
    return "null" if value is None else None


def _parts(value: Value, end: str) -> Iterator[str]:
    """Yield the text of a value bit by bit; ``end`` is a newline and the indentation around it."""
    text = _scalar(value)
    if text is not None:
        yield text
    elif isinstance(value, Mapping):
        yield from _object(value.items(), end)
    elif isinstance(value, Entries):
        yield from _object(value.members, end)
    elif isinstance(value, Rows):
        yield from _list(value.members, end)
    else:
        assert isinstance(value, list | tuple), value
        yield from _list(value, end)


def _object(members: Iterable[tuple[str | int, Value]], end: str) -> Iterator[str]:
    inner = f"{end}  "
    before = f"{{{inner}"
    for name, value in members:
        head = f"{before}{quoted(str(name))} : "
        before = f",{inner}"
        text = _scalar(value)
        if text is not None:
            yield head + text
        else:
            yield head
            yield from _parts(value, inner)
    yield f"{end}}}" if before[0] == "," else "{ }"


def _list(members: Iterable[Value], end: str) -> Iterator[str]:
    before = "[ "
    for value in members:
        text = _scalar(value)
        if text is not None:
            yield before + text
        elif isinstance(value, Mapping):
            # Most lists are of such objects: each is written in one go.
            yield before + "".join(_object(value.items(), end))
        else:
            yield before
            yield from _parts(value, end)
        before = ", "
    yield " ]" if before == ", " else "[ ]"
