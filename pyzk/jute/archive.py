"""Jute primitives over (buffer, offset, end).

Pure. Answers to BinaryInputArchive and BinaryOutputArchive: big endian, strings and buffers behind
an int length, -1 for null. ``end`` bounds what may be read, so no length in hostile bytes can make
a decoder allocate more than the bytes it was given.

Strings are read as UTF-8 with replacement and written one UTF-16 code unit at a time, as the
original does: a character outside the basic plane is written as two three-byte sequences.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

from pyzk.errors import JuteError, TooLong, Truncated
from pyzk.jute.packing import pack_int, unpack_int

INT_BYTES: Final = 4
LONG_BYTES: Final = 8

_T = TypeVar("_T")

NULL: Final = b"\xff\xff\xff\xff"
"""The encoding of a null string, buffer or vector."""


def encode_string(value: str | None) -> bytes:
    """Return the length and the bytes of a string."""
    if value is None:
        return NULL
    try:
        raw = value.encode("ascii")
    except UnicodeEncodeError:
        raw = _encode_code_units(value)
    return pack_int(len(raw)) + raw


def _encode_code_units(value: str) -> bytes:
    if max(value) <= "\uffff":
        return value.encode("utf-8", "surrogatepass")
    units = value.encode("utf-16-be", "surrogatepass")
    return b"".join(
        chr(units[i] << 8 | units[i + 1]).encode("utf-8", "surrogatepass")
        for i in range(0, len(units), 2)
    )


def encode_buffer(value: bytes | None) -> bytes:
    """Return the length and the bytes of a buffer."""
    if value is None:
        return NULL
    return pack_int(len(value)) + value


_SHORT_HEADS: Final = tuple(f"\0\0\0{chr(length)}" for length in range(128))
"""The lengths of short strings, as text."""


def encode_strings(values: list[str] | tuple[str, ...] | None) -> bytes:
    """Return the count and the encoded strings."""
    if values is None:
        return NULL
    count = pack_int(len(values))
    if values and max(map(len, values)) < len(_SHORT_HEADS):
        # Names of children, most often, and there may be very many.
        text = "".join([_SHORT_HEADS[len(value)] + value for value in values])
        if text.isascii():
            return count + text.encode("ascii")
    return count + b"".join([encode_string(value) for value in values])


def decode_length(buffer: bytes, offset: int, end: int) -> tuple[int, int]:
    """Read a length; return it (-1 for null) and the offset behind it.

    Raises Truncated when the bytes end before, TooLong for a negative one.
    """
    start = offset + 4
    if start > end:
        raise Truncated(f"no length at {offset}")
    (length,) = unpack_int(buffer, offset)
    if length < -1:
        raise TooLong(f"length {length} at {offset}")
    if length > end - start:
        raise Truncated(f"length {length} at {offset}, {end - start} bytes left")
    return length, start


def decode_string(buffer: bytes, offset: int, end: int) -> tuple[str | None, int]:
    """Read a string that may be null; return it and the offset behind it."""
    length, start = decode_length(buffer, offset, end)
    if length < 0:
        return None, start
    stop = start + length
    return decode_text(buffer[start:stop]), stop


_encoded_surrogate: Final = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]?")


def decode_text(raw: bytes) -> str:
    """Return the text of a string's bytes; what is no UTF-8 becomes U+FFFD, never an error.

    An encoded surrogate, cut short or not, becomes one U+FFFD, as in Java; Python would make it
    two or three.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return _encoded_surrogate.sub(b"\xef\xbf\xbd", raw).decode("utf-8", "replace")


def decode_buffer(buffer: bytes, offset: int, end: int) -> tuple[bytes | None, int]:
    """Read a buffer that may be null; return it and the offset behind it."""
    length, start = decode_length(buffer, offset, end)
    if length < 0:
        return None, start
    stop = start + length
    return buffer[start:stop], stop


def decode_count(buffer: bytes, offset: int, end: int, element_bytes: int) -> tuple[int, int]:
    """Read the count of a vector whose elements take at least ``element_bytes``.

    Returns -1 for null; other negative counts read as 0, as the original reads them.
    """
    start = offset + 4
    if start > end:
        raise Truncated(f"no count at {offset}")
    (count,) = unpack_int(buffer, offset)
    if count * element_bytes > end - start:
        raise Truncated(f"count {count} at {offset}, {end - start} bytes left")
    return (count if count >= -1 else 0), start


def not_null(value: _T | None, name: str) -> _T:
    """Return ``value``. Raises JuteError if it is null, where the record has no null."""
    if value is None:
        raise JuteError(f"{name} is null")
    return value
