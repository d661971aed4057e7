"""The text format of `zoo.cfg`: Java properties, bytes to (line, key, value).

Pure. One logical line is `key=value`, `key:value` or `key value`; `#` and `!` begin comments; an
odd number of backslashes at the end continues the line, whose next part loses its leading blanks;
the escapes are `\\t \\n \\r \\f \\uXXXX` and a backslash before any other character, which
stands for itself. Bytes are ISO-8859-1. ZooKeeper: java.util.Properties.load, and the trim() of
QuorumPeerConfig.parseProperties.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from pyzk.errors import ConfigError

_BLANKS = " \t\f"
_TRIMMED: Final = "".join(map(chr, range(ord(" ") + 1)))
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_LINE_END = re.compile(r"\r\n|\n|\r")
_LINE_END_KEPT = re.compile(r"(\r\n|\n|\r)")
_KEY = re.compile(r"(?:[^=: \t\f\\]|\\.?)*", re.DOTALL)
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")
_IN_COMMENT = re.compile(
    r"^[ \t\f]*[#!]+[ \t\f]*([\w.$-]+)[ \t\f]+(?=[^\s=:])|(?<![\w.$-])([\w.$-]+)[\"']?[ \t\f]*[=:]"
)
"""What may be a key in a comment: its first word, and what stands in front of a separator."""


class Entry(NamedTuple):
    """One `key=value`, with the number of the line where it begins."""

    line: int
    key: str
    value: str


def trim(text: str) -> str:
    """Return `text` without the control characters and blanks at its ends, as String.trim does.

    Python's strip() takes other characters: the no-break space, which Java leaves, and not NUL.
    """
    return text.strip(_TRIMMED)


def parse_properties(data: bytes) -> list[Entry]:
    """Return the entries in file order, duplicates included; the caller lets the last one win.

    Raises ConfigError with the line for a malformed escape and for a file in UTF-16, in which not
    one key could be found.
    """
    if data.startswith(_UTF16_MARKS) and b"\0" in data[2:4]:
        raise ConfigError("the file is in UTF-16; save it as UTF-8 without a byte order mark", 1)
    lines = _LINE_END.split(data.decode("iso-8859-1"))
    return [_split(first + 1, text) for first, _, text in _logical_lines(lines) if text]


def without_keys(data: bytes, is_removed: Callable[[str], bool]) -> bytes:
    """Return the file without the lines whose keys are removed; comments and all others stay as
    they are. Raises ConfigError as `parse_properties` does."""
    pieces = _LINE_END_KEPT.split(data.decode("iso-8859-1"))
    ends = [*pieces[1::2], ""]
    lines = pieces[0::2]
    kept: list[str] = []
    for first, end, text in _logical_lines(lines):
        if not text or not is_removed(_split(first + 1, text).key):
            kept += [lines[at] + ends[at] for at in range(first, end)]
    return "".join(kept).encode("iso-8859-1")


def with_values_hidden(data: bytes, is_hidden: Callable[[str, str], bool], shown: str) -> bytes:
    """Return the file with another value for the entries that are hidden, in comments too: a line
    that is commented out may have been in use. All else stays as it is. ``is_hidden`` is asked with
    key and value. Raises ConfigError as `parse_properties` does."""
    pieces = _LINE_END_KEPT.split(data.decode("iso-8859-1"))
    ends = [*pieces[1::2], ""]
    lines = pieces[0::2]
    out: list[str] = []
    for first, end, text in _logical_lines(lines):
        entry = _split(first + 1, text) if text else None
        if entry is not None and is_hidden(entry.key, entry.value):
            out.append(f"{entry.key}={shown}{ends[end - 1]}")
        elif entry is not None:
            out += [lines[at] + ends[at] for at in range(first, end)]
        else:
            out.append(_comment_hidden(lines[first], is_hidden, shown) + ends[first])
    return "".join(out).encode("iso-8859-1", "replace")


def _comment_hidden(line: str, is_hidden: Callable[[str, str], bool], shown: str) -> str:
    """Return a comment without what follows the first key that is hidden."""
    for found in _IN_COMMENT.finditer(line):
        which = 1 if found[1] is not None else 2
        if is_hidden(found[which], ""):
            return f"{line[: found.end(which)]}={shown}"
    return line


def escaped(value: str) -> str:
    """Return a value as it must be written to be read as itself."""
    out = value.replace("\\", "\\\\")
    return "".join(char if " " <= char <= "~" else f"\\u{ord(char):04x}" for char in out)


def _logical_lines(lines: list[str]) -> Iterator[tuple[int, int, str]]:
    """Yield (first line, line behind the last one, text) of each line that may be continued; the
    text is "" for blank ones and comments."""
    index = 0
    while index < len(lines):
        first = index
        text = lines[index].lstrip(_BLANKS)
        index += 1
        if not text or text[0] in "#!" or text == "\\":
            yield first, index, ""  # a backslash alone continues nothing: a comment may follow
            continue
        if _continues(text):
            parts = [text]
            # What stays of a part ends with backslashes in pairs: the next one decides alone.
            while _continues(parts[-1]):
                parts[-1] = parts[-1][:-1]
                if index == len(lines):
                    break
                parts.append(lines[index].lstrip(_BLANKS))
                index += 1
            text = "".join(parts)
        yield first, index, text


def _continues(text: str) -> bool:
    backslashes = len(text) - len(text.rstrip("\\"))
    return backslashes % 2 == 1


def _split(line: int, text: str) -> Entry:
    found = _KEY.match(text)
    assert found is not None  # it may be empty
    rest = text[found.end() :].lstrip(_BLANKS)
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(_BLANKS)
    key = _unescape(line, found.group())
    return Entry(line, trim(key), trim(_unescape(line, rest)))


def _unescape(line: int, text: str) -> str:
    if "\\" not in text:
        return text
    out: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\" and at < len(text):
            char = text[at]
            at += 1
            if char == "u":
                digits = _HEX4.match(text, at)
                if digits is None:
                    raise ConfigError(
                        f"malformed \\u escape {text[at - 2 : at + 4]!r}; it takes four hex digits",
                        line,
                    )
                at += 4
                char = chr(int(digits.group(), 16))
            else:
                char = _ESCAPES.get(char, char)
        out.append(char)
    return "".join(out)
