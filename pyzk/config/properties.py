"""The text format of `zoo.cfg`: Java properties, bytes to (line, key, value).

Pure. One logical line is `key=value`, `key:value` or `key value`; `#` and `!` begin comments; an
odd number of backslashes at the end continues the line, whose next part loses its leading blanks;
the escapes are `\\t \\n \\r \\f \\uXXXX` and a backslash before any other character, which
stands for itself. Bytes are ISO-8859-1. ZooKeeper: java.util.Properties.load, and the trim() of
QuorumPeerConfig.parseProperties.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pyzk.errors import ConfigError

_BLANKS = " \t\f"
_TRIMMED: Final = "".join(map(chr, range(ord(" ") + 1)))
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_LINE_END = re.compile(r"\r\n|\n|\r")
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")


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
    entries: list[Entry] = []
    index = 0
    while index < len(lines):
        number = index + 1
        text = lines[index].lstrip(_BLANKS)
        index += 1
        if not text or text[0] in "#!" or text == "\\":
            continue  # a backslash alone continues nothing: what follows may be a comment
        while _continues(text):
            text = text[:-1]
            if index == len(lines):
                break
            text += lines[index].lstrip(_BLANKS)
            index += 1
        entries.append(_split(number, text))
    return entries


def _continues(text: str) -> bool:
    backslashes = len(text) - len(text.rstrip("\\"))
    return backslashes % 2 == 1


def _split(line: int, text: str) -> Entry:
    end = 0
    while end < len(text) and text[end] not in "=:" + _BLANKS:
        end += 2 if text[end] == "\\" else 1
    rest = text[end:].lstrip(_BLANKS)
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(_BLANKS)
    key = _unescape(line, text[:end])
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
