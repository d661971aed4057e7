"""Transaction ids: epoch and counter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk import zxid


@given(st.integers(0, (1 << 31) - 1), st.integers(0, (1 << 32) - 1))
def test_a_zxid_is_an_epoch_and_a_counter(epoch: int, counter: int) -> None:
    made = zxid.make(epoch, counter)
    assert (zxid.epoch_of(made), zxid.counter_of(made)) == (epoch, counter)
    assert 0 <= made < 1 << 63


@pytest.mark.parametrize(
    ("value", "epoch", "counter", "text"),
    [
        (0, 0, 0, "0x0"),
        (0x500000001, 5, 1, "0x500000001"),
        (0xFFFFFFFF, 0, 0xFFFFFFFF, "0xffffffff"),
        (-1, -1, 0xFFFFFFFF, "0xffffffffffffffff"),
    ],
)
def test_zxids_are_shown_in_hexadecimal(value: int, epoch: int, counter: int, text: str) -> None:
    assert (zxid.epoch_of(value), zxid.counter_of(value)) == (epoch, counter)
    assert zxid.format_zxid(value) == text
