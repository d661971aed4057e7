"""The 64-bit numbers of the protocol: signed on the wire, unsigned where somebody reads them.

Pure. Session ids, zxids and versions of a configuration are such numbers.
ZooKeeper: Long.toHexString, Long.parseUnsignedLong.
"""

from __future__ import annotations

from typing import Final

MASK64: Final = 0xFFFFFFFFFFFFFFFF


def signed(value: int) -> int:
    """Return the Java long that has the bits of an unsigned number."""
    return value - (1 << 64) if value >= 1 << 63 else value


def hex_digits(value: int) -> str:
    """Return the unsigned hexadecimal digits of a Java long."""
    return f"{value & MASK64:x}"


def hex_id(value: int) -> str:
    """Return ``0x`` and the unsigned hexadecimal digits: a session id or zxid as tools show it."""
    return f"0x{value & MASK64:x}"
