"""Rows of numbers, packed and unpacked, beside what `struct` makes of them. The same tests run on
the source and on the compiled form, which does not use it."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pyzk.jute import packing
from pyzk.runtime.environment import is_compiled
from scripts import gen_packing

Value = Any  # of the letter's own type
CODES = {"b": "?", "i": "i", "q": "q", "u": "Q"}
BITS = {"i": 32, "q": 64, "u": 64}
FUNCTIONS = [(kind, row) for row, kinds in gen_packing.rows().items() for kind in kinds]
PACKED = [row for kind, row in FUNCTIONS if kind == "pack"]
UNPACKED = [row for kind, row in FUNCTIONS if kind == "unpack"]

every_packed = pytest.mark.parametrize("row", PACKED)
every_unpacked = pytest.mark.parametrize("row", UNPACKED)
few = hypothesis_settings(max_examples=hypothesis_settings().max_examples // 10)


def function(kind: str, row: str) -> Callable[..., Value]:
    found: Callable[..., Value] = getattr(packing, f"{kind}_{gen_packing.name(row)}")
    return found


def smallest(code: str) -> int:
    return 0 if code == "u" else -(1 << BITS[code] - 1)


def largest(code: str) -> int:
    return smallest(code) + (1 << BITS[code]) - 1


def values_of(code: str) -> st.SearchStrategy[Value]:
    if code == "b":
        return st.booleans()
    if code == "s":
        return st.binary(max_size=9) | st.just(bytes(packing.LONG_BYTES + 1))
    low, high = smallest(code), largest(code)
    # Compiled, numbers of up to 63 bits are no objects.
    edges = [low, high, high >> 1, (high >> 1) + 1, low >> 1, (low >> 1) - 1]
    return st.integers(low, high) | st.sampled_from([edge for edge in edges if low <= edge <= high])


def row_of(row: str) -> st.SearchStrategy[tuple[Value, ...]]:
    return st.tuples(*map(values_of, row))


def naive(row: str, values: tuple[Value, ...]) -> bytes:
    return b"".join(
        value if code == "s" else struct.pack(">" + CODES[code], value)
        for code, value in zip(row, values, strict=True)
    )


def zeros(row: str) -> list[Value]:
    return [{"b": False, "s": b""}.get(code, 0) for code in row]


@every_packed
@few
@given(st.data())
def test_a_row_is_packed_big_endian_without_gaps(row: str, data: st.DataObject) -> None:
    values = data.draw(row_of(row))
    assert function("pack", row)(*values) == naive(row, values)


@every_unpacked
@few
@given(st.data(), st.binary(max_size=9), st.binary(max_size=3))
def test_a_row_is_unpacked_from_where_it_begins(
    row: str, data: st.DataObject, before: bytes, behind: bytes
) -> None:
    values = data.draw(row_of(row))
    raw = naive(row, values)
    assert function("unpack", row)(raw) == values
    assert function("unpack", row)(before + raw + behind, len(before)) == values


@every_unpacked
@few
@given(st.data())
def test_any_bytes_are_some_row(row: str, data: st.DataObject) -> None:
    codes = ">" + "".join(CODES[code] for code in row)
    raw = data.draw(st.binary(min_size=struct.calcsize(codes), max_size=struct.calcsize(codes)))
    assert function("unpack", row)(raw) == struct.unpack(codes, raw)


@every_packed
def test_a_number_that_does_not_fit_is_an_error_and_leaves_nothing_behind(row: str) -> None:
    pack = function("pack", row)
    good = zeros(row)
    for at, code in enumerate(row):
        if code in BITS:
            for value in (smallest(code) - 1, largest(code) + 1, 1 << 100, -(1 << 100)):
                with pytest.raises(struct.error):
                    pack(*good[:at], value, *good[at + 1 :])
                assert pack(*good) == naive(row, tuple(good))


@every_unpacked
def test_a_row_that_is_not_whole_is_an_error(row: str) -> None:
    unpack = function("unpack", row)
    size = struct.calcsize(">" + "".join(CODES[code] for code in row))
    for length in range(size):
        with pytest.raises(struct.error):
            unpack(bytes(length))
    buffer = bytes(size + 5)
    assert unpack(buffer, 5) == tuple(zeros(row))
    for offset in (6, size + 5, size + 6, 1 << 31, 1 << 40, -size - 6, -(1 << 40)):
        with pytest.raises(struct.error):
            unpack(buffer, offset)


@every_unpacked
@pytest.mark.parametrize("offset", range(-12, 0))
def test_an_offset_below_zero_counts_from_the_end(row: str, offset: int) -> None:
    codes = ">" + "".join(CODES[code] for code in row)
    buffer = bytes(range(1, 13))
    try:
        expected = struct.unpack_from(codes, buffer, offset)
    except struct.error:
        with pytest.raises(struct.error):
            function("unpack", row)(buffer, offset)
    else:
        assert function("unpack", row)(buffer, offset) == expected


def test_the_compiled_form_is_used_where_it_is_compiled() -> None:
    assert is_compiled() == packing.NATIVE


@pytest.mark.source
def test_the_source_needs_nothing_of_the_compilers() -> None:
    program = (
        "import sys; sys.modules |= {'librt': None, 'mypy_extensions': None};"
        "from pyzk.jute import packing; assert packing.unpack_int(bytes(4)) == (0,)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
