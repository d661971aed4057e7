"""Transaction ids: the epoch in the high 32 bits, the counter in the low ones.

Pure. This is the only place that shifts by 32.
"""

from __future__ import annotations

from pyzk.int64 import hex_id


def make(epoch: int, counter: int) -> int:
    """Return the zxid of ``counter`` in ``epoch``."""
    return epoch << 32 | counter


def epoch_of(zxid: int) -> int:
    """Return the epoch (arithmetic shift: -1 stays -1)."""
    return zxid >> 32


def counter_of(zxid: int) -> int:
    """Return the counter inside the epoch."""
    return zxid & 0xFFFFFFFF


def follows(last: int, zxid: int) -> bool:
    """Return whether a history without a hole may have ``zxid`` right behind ``last``: the next
    one, or the first of a later epoch."""
    return zxid == last + 1 or (epoch_of(zxid) > epoch_of(last) and counter_of(zxid) == 1)


def format_zxid(zxid: int) -> str:
    """Return ``0x`` and the unsigned hexadecimal form, as logs and tools show it."""
    return hex_id(zxid)
