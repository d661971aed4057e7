"""The jute primitives: what is written, what is read back, what is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.errors import JuteError, TooLong, Truncated
from pyzk.jute.archive import (
    decode_buffer,
    decode_count,
    decode_length,
    decode_string,
    decode_text,
    encode_buffer,
    encode_string,
    encode_strings,
    not_null,
)
from pyzk.jute.packing import pack_int

MIN_INT = -(1 << 31)
MAX_INT = (1 << 31) - 1

plain_text = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=30)


def read_string(raw: bytes) -> str | None:
    value, offset = decode_string(raw, 0, len(raw))
    assert offset == len(raw)
    return value


# --- strings ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        (None, "ffffffff"),
        ("", "00000000"),
        ("/a", "000000022f61"),
        ("\0", "0000000100"),  # one zero byte, no modified UTF-8
        ("é", "00000002c3a9"),
        ("\uffff", "00000003efbfbf"),
        ("€", "00000003e282ac"),
        ("😀", "00000006eda0bdedb880"),  # U+1F600: two surrogates, three bytes each
        ("a😀é", "00000009" + "61" + "eda0bdedb880" + "c3a9"),
        ("\ud800", "00000003eda080"),
    ],
)
def test_strings_are_written_one_utf_16_code_unit_at_a_time(text: str | None, raw: str) -> None:
    assert encode_string(text).hex() == raw


@given(plain_text)
def test_a_string_of_the_basic_plane_is_plain_utf_8_and_comes_back(text: str) -> None:
    raw = encode_string(text)
    assert raw == pack_int(len(text.encode())) + text.encode()
    assert read_string(raw) == text


def test_null_strings_come_back() -> None:
    assert read_string(encode_string(None)) is None
    assert read_string(encode_string("")) == ""


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("f09f9880", "😀"),  # four-byte UTF-8 is read although it is never written
        ("ff", "\ufffd"),
        ("61ff62", "a\ufffdb"),
        ("c3", "\ufffd"),
        ("eda080", "\ufffd"),  # an encoded surrogate is one replacement, as in Java
        ("eda061", "\ufffda"),  # cut short, too
        ("eda0", "\ufffd"),
        ("edbfeda0bd", "\ufffd\ufffd"),
        ("ed80", "\ufffd"),
        ("eda0bdedb880", "\ufffd\ufffd"),
        ("c080", "\ufffd\ufffd"),
        ("00", "\0"),
    ],
)
def test_malformed_utf_8_is_replaced_and_never_an_error(raw: str, text: str) -> None:
    assert decode_text(bytes.fromhex(raw)) == text


@given(st.binary(max_size=40))
def test_any_bytes_are_some_text(raw: bytes) -> None:
    value = read_string(pack_int(len(raw)) + raw)
    assert value is not None
    assert len(value) <= len(raw)


@given(st.lists(st.none() | plain_text, max_size=5))
def test_lists_of_strings_are_a_count_and_the_strings(values: list[str | None]) -> None:
    strings = [value or "" for value in values]
    raw = encode_strings(strings)
    assert raw == pack_int(len(strings)) + b"".join(map(encode_string, strings))
    assert encode_strings(tuple(strings)) == raw


def test_a_null_list_is_minus_one() -> None:
    assert encode_strings(None) == b"\xff\xff\xff\xff"


# --- buffers ------------------------------------------------------------------------


@given(st.none() | st.binary(max_size=40), st.binary(max_size=4), st.binary(max_size=4))
def test_buffers_come_back_and_what_is_behind_is_left_alone(
    value: bytes | None, before: bytes, behind: bytes
) -> None:
    raw = encode_buffer(value)
    buffer = before + raw + behind
    assert decode_buffer(buffer, len(before), len(buffer)) == (value, len(before) + len(raw))


def test_null_and_empty_buffers_differ() -> None:
    assert encode_buffer(None) == b"\xff\xff\xff\xff"
    assert encode_buffer(b"") == b"\0\0\0\0"
    assert decode_buffer(encode_buffer(b""), 0, 4) == (b"", 4)


# --- lengths and counts -------------------------------------------------------------


@pytest.mark.parametrize("length", [-2, -3, MIN_INT])
def test_negative_lengths_other_than_minus_one_are_refused(length: int) -> None:
    raw = pack_int(length) + bytes(8)
    with pytest.raises(TooLong):
        decode_length(raw, 0, len(raw))
    with pytest.raises(TooLong):
        decode_string(raw, 0, len(raw))
    with pytest.raises(TooLong):
        decode_buffer(raw, 0, len(raw))


@pytest.mark.parametrize("left", [0, 1, 5])
def test_a_length_may_reach_the_end_and_not_beyond(left: int) -> None:
    exact = pack_int(left) + bytes(left)
    assert decode_length(exact, 0, len(exact)) == (left, 4)
    beyond = pack_int(left + 1) + bytes(left)
    with pytest.raises(Truncated):
        decode_length(beyond, 0, len(beyond))


def test_the_end_given_bounds_what_is_read_not_the_end_of_the_buffer() -> None:
    raw = pack_int(3) + b"abc"
    with pytest.raises(Truncated):
        decode_buffer(raw, 0, 6)
    with pytest.raises(Truncated):
        decode_length(raw, 0, 3)


@pytest.mark.parametrize("length", [MAX_INT, 1 << 24])
def test_a_huge_length_is_refused_before_anything_is_allocated(length: int) -> None:
    raw = pack_int(length) + b"abc"
    for decode in (decode_string, decode_buffer, decode_length):
        with pytest.raises(Truncated):
            decode(raw, 0, len(raw))


@given(st.integers(0, 20), st.integers(1, 12))
def test_a_count_must_leave_room_for_its_elements(count: int, element_bytes: int) -> None:
    exact = pack_int(count) + bytes(count * element_bytes)
    assert decode_count(exact, 0, len(exact), element_bytes) == (count, 4)
    one_more = pack_int(count + 1) + bytes((count + 1) * element_bytes - 1)
    with pytest.raises(Truncated):
        decode_count(one_more, 0, len(one_more), element_bytes)


def test_minus_one_is_no_list_and_other_negative_counts_are_empty_ones() -> None:
    assert decode_count(pack_int(-1), 0, 4, 4) == (-1, 4)
    assert decode_count(pack_int(-2), 0, 4, 4) == (0, 4)
    assert decode_count(pack_int(MIN_INT), 0, 4, 4) == (0, 4)


@pytest.mark.parametrize("end", range(4))
def test_a_count_that_is_not_whole_is_truncated(end: int) -> None:
    with pytest.raises(Truncated):
        decode_count(pack_int(0), 0, end, 4)


def test_not_null_lets_values_pass_and_names_what_is_missing() -> None:
    assert not_null(b"", "data") == b""
    assert not_null(0, "number") == 0
    with pytest.raises(JuteError, match="data is null"):
        not_null(None, "data")


def test_ints_are_big_endian_and_signed() -> None:
    assert pack_int(-2) == b"\xff\xff\xff\xfe"
    with pytest.raises(struct.error):
        pack_int(1 << 31)
