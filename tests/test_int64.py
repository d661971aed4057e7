"""64-bit numbers: the bits are the same, the sign is a matter of who looks."""

from __future__ import annotations

import pytest

from pyzk.int64 import MASK64, hex_digits, hex_id, signed


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        (0, "0"),
        (255, "ff"),
        (-1, "f" * 16),
        (-(1 << 63), "8" + "0" * 15),
        ((1 << 63) - 1, "7" + "f" * 15),
    ],
)
def test_a_long_and_its_unsigned_digits(value: int, digits: str) -> None:
    assert hex_digits(value) == digits
    assert hex_id(value) == f"0x{digits}"
    assert signed(int(digits, 16)) == value
    assert signed(value & MASK64) == value
