"""The directives of DIGEST-MD5: ``realm="x",nonce="y",algorithm=md5-sess`` as bytes.

Pure. The grammar is that of RFC 2831, as the Java platform reads it: commas and blanks separate,
names have no case, a value is a token or a quoted string in which a backslash stands before any
character, and unknown directives are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from pyzk.errors import SaslError

_SEPARATORS: Final = re.compile(rb"[, \t\r\n]*")
_NAME: Final = re.compile(rb"([^=, \t\r\n]+)[ \t\r\n]*")
_EQUALS: Final = re.compile(rb"=[ \t\r\n]*")
_QUOTED: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_TOKEN: Final = re.compile(rb"[^, \t\r\n]*")
_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)
_TO_ESCAPE: Final = re.compile(rb'["\\\x00-\x08\x0b\x0c\x0e-\x1f\x7f]')
_SHOWN_BYTES: Final = 40


def parse_directives(data: bytes, known: Iterable[str]) -> dict[str, bytes]:
    """Return the values of the known directives by their names in small letters.

    Raises SaslError for what breaks the grammar, and for a directive that comes twice.
    """
    wanted = frozenset(known)
    found: dict[str, bytes] = {}
    at = _end(_SEPARATORS, data, 0)
    while at < len(data):
        name, value, at = _directive(data, at)
        key = name.decode("latin-1").lower()
        if key in wanted:
            if key in found:
                raise SaslError(f"the directive {key} comes twice")
            found[key] = value
        at = _end(_SEPARATORS, data, at)
    return found


def _directive(data: bytes, at: int) -> tuple[bytes, bytes, int]:
    """Return (name, value, offset behind) of the directive at this offset."""
    match = _NAME.match(data, at)
    if match is None:
        raise SaslError(f"a directive without a name: {_shown(data, at)}")
    name, at = match.group(1), match.end()
    equals = _EQUALS.match(data, at)
    if equals is None:
        raise SaslError(f"no = behind the name of a directive: {_shown(name, 0)}")
    at = equals.end()
    if at == len(data):
        raise SaslError(f"the directive {_shown(name, 0)} has no value")
    if data[at] != ord('"'):
        token = _TOKEN.match(data, at)
        assert token is not None, at
        return name, token.group(), token.end()
    quoted = _QUOTED.match(data, at)
    if quoted is None:
        raise SaslError(f"the quoted value of {_shown(name, 0)} has no end")
    at = quoted.end()
    if at < len(data) and data[at] not in b", \t\r\n":
        raise SaslError(f"no comma behind the quoted value of {_shown(name, 0)}")
    return name, _PAIR.sub(rb"\1", quoted.group(1)), at


def _end(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    match = pattern.match(data, at)
    assert match is not None, pattern
    return match.end()


def _shown(data: bytes, at: int) -> str:
    return repr(data[at : at + _SHOWN_BYTES])[1:]


def quoted(value: bytes) -> bytes:
    """Return a value as a quoted string."""
    return b'"' + _TO_ESCAPE.sub(rb"\\\g<0>", value) + b'"'
