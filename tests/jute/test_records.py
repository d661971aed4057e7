"""Every record of the table: against a naive encoder, cut anywhere, with hostile lengths."""

from __future__ import annotations

import struct
import tracemalloc
from functools import lru_cache
from typing import Any, Protocol, cast

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pyzk.errors import JuteError, Truncated
from pyzk.jute import records
from pyzk.jute.records import (
    ACL,
    AuthPacket,
    ConnectRequest,
    ConnectResponse,
    CreateRequest,
    CreateSessionTxn,
    Stat,
    TxnDigest,
    TxnHeader,
    WatcherEvent,
)
from scripts import gen_jute, jute_schema

TABLE = jute_schema.parse()
NAMES = list(TABLE)
Value = Any  # of the field's own type: the table decides

MIN_INT = -(1 << 31)
MAX_INT = (1 << 31) - 1

every_record = pytest.mark.parametrize("name", NAMES)
few = hypothesis_settings(max_examples=hypothesis_settings().max_examples // 10)


class Record(Protocol):
    def encode(self) -> bytes: ...


class RecordType(Protocol):
    def __call__(self, *values: Value) -> Record: ...
    def decode(self, buffer: bytes, offset: int, end: int) -> tuple[Record, int]: ...


def record_type(name: str) -> RecordType:
    return cast(RecordType, getattr(records, name))


# --- the naive twin -----------------------------------------------------------------


def naive(kind: str, value: Value) -> bytes:
    """Encode a value by what client-protocol.md §3 says, without the generated code."""
    base, _ = gen_jute.split(kind)
    if base.startswith("list<"):
        if value is None:
            return struct.pack(">i", -1)
        element = base[5:-1]
        return struct.pack(">i", len(value)) + b"".join(naive(element, item) for item in value)
    if base in TABLE:
        return b"".join(naive(field, getattr(value, name)) for name, field in TABLE[base])
    if value is None:
        return b"" if base == "bool" else struct.pack(">i", -1)
    if base in ("string", "buffer"):
        raw = value.encode() if base == "string" else value
        return struct.pack(">i", len(raw)) + bytes(raw)
    return struct.pack({"bool": ">?", "int": ">i", "long": ">q"}[base], value)


@lru_cache
def values_of(kind: str) -> st.SearchStrategy[Value]:
    base, is_nullable = gen_jute.split(kind)
    strategy: st.SearchStrategy[Value]
    if base.startswith("list<"):
        strategy = st.lists(values_of(base[5:-1]), max_size=3)
    elif base in TABLE:
        strategy = records_of(base)
    else:
        strategy = {
            "bool": st.booleans(),
            "int": st.integers(MIN_INT, MAX_INT),
            "long": st.integers(-(1 << 63), (1 << 63) - 1),
            "string": st.text(
                st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=6
            ),
            "buffer": st.binary(max_size=6),
        }[base]
    return st.none() | strategy if is_nullable else strategy


@lru_cache
def records_of(name: str) -> st.SearchStrategy[Record]:
    fields = [values_of(kind) for _, kind in TABLE[name]]
    return st.builds(record_type(name), *fields)


def ends_with_absent_byte(name: str, record: Record) -> bool:
    """Whether the record ends with a byte that it does not have."""
    field, kind = TABLE[name][-1]
    return kind == "bool?" and getattr(record, field) is None


# --- round trip ---------------------------------------------------------------------


@every_record
@few
@given(st.data(), st.binary(max_size=5), st.binary(max_size=5))
def test_a_record_is_written_field_by_field_and_comes_back(
    name: str, data: st.DataObject, before: bytes, behind: bytes
) -> None:
    """What stands before and behind it is left alone."""
    record = data.draw(records_of(name))
    if ends_with_absent_byte(name, record):
        behind = b""  # a byte there would be the field
    raw = record.encode()
    assert raw == b"".join(naive(kind, getattr(record, field)) for field, kind in TABLE[name])
    buffer = before + raw + behind
    start = len(before)
    assert record_type(name).decode(buffer, start, len(buffer)) == (record, start + len(raw))


@every_record
@few
@given(st.data())
def test_a_record_cut_at_any_byte_is_an_error(name: str, data: st.DataObject) -> None:
    record = data.draw(records_of(name))
    decode = record_type(name).decode
    raw = record.encode()
    has_absent_byte = TABLE[name][-1][1] == "bool?"
    for cut in range(len(raw)):
        if has_absent_byte and cut == len(raw) - 1 and not ends_with_absent_byte(name, record):
            shorter, offset = decode(raw, 0, cut)
            assert ends_with_absent_byte(name, shorter)
            assert offset == cut
            continue
        for buffer in (raw, raw[:cut]):  # the end counts, whatever the buffer has behind it
            with pytest.raises(Truncated):
                decode(buffer, 0, cut)


@every_record
@few
@given(st.data())
def test_records_are_equal_by_their_fields(name: str, data: st.DataObject) -> None:
    one, other = data.draw(records_of(name)), data.draw(records_of(name))
    same_fields = all(getattr(one, f) == getattr(other, f) for f, _ in TABLE[name])
    assert (one == other) is same_fields
    assert one != object()
    assert repr(one).startswith(f"{name}(")
    for field, _ in TABLE[name]:
        assert f"{field}={getattr(one, field)!r}" in repr(one)


@pytest.mark.source  # compiled, a record refuses None where none may be
@every_record
def test_only_keys_are_hashable(name: str) -> None:
    record = record_type(name)(*(None for _ in TABLE[name]))
    if name in jute_schema.HASHABLE:
        assert hash(record) == hash(record_type(name)(*(None for _ in TABLE[name])))
    else:
        with pytest.raises(TypeError):
            hash(record)


# --- null where there is none -------------------------------------------------------

NOT_NULL = [
    (name, index)
    for name, fields in TABLE.items()
    for index, (_, kind) in enumerate(fields)
    if not kind.endswith("?") and kind.startswith(("string", "buffer", "list<"))
]


@pytest.mark.parametrize(("name", "index"), NOT_NULL)
def test_null_is_refused_where_the_record_has_none(name: str, index: int) -> None:
    raw = b"".join(zeros(kind) for _, kind in TABLE[name][:index]) + b"\xff\xff\xff\xff"
    raw += b"".join(zeros(kind) for _, kind in TABLE[name][index + 1 :])
    with pytest.raises(JuteError, match="null"):
        record_type(name).decode(raw, 0, len(raw))


def zeros(kind: str) -> bytes:
    """The shortest value of a type: zeros, empty strings and lists."""
    return bytes(gen_jute.smallest(kind))


# --- hostile lengths ----------------------------------------------------------------


def length_offsets(name: str) -> list[int]:
    """Where the lengths and counts of a record of zeros stand."""
    offsets = []
    offset = 0
    for _, kind in TABLE[name]:
        base, _ = gen_jute.split(kind)
        if base in TABLE:
            offsets += [offset + inner for inner in length_offsets(base)]
        elif base.startswith(("list<", "string", "buffer")):
            offsets.append(offset)
        offset += len(zeros(kind))
    return offsets


WITH_LENGTHS = [(name, offset) for name in NAMES for offset in length_offsets(name)]


@pytest.mark.parametrize(("name", "offset"), WITH_LENGTHS)
def test_a_hostile_length_is_an_error_and_allocates_nothing(name: str, offset: int) -> None:
    for length in (MAX_INT, 1 << 28, 1000, -2, MIN_INT):
        check_hostile(name, offset, length)


def check_hostile(name: str, offset: int, length: int) -> None:
    raw = bytearray(b"".join(zeros(kind) for _, kind in TABLE[name]))
    struct.pack_into(">i", raw, offset, length)
    buffer = bytes(raw)
    decode = record_type(name).decode
    tracemalloc.start()
    try:
        record, end = decode(buffer, 0, len(buffer))
    except JuteError:
        pass
    else:
        assert length < -1, record  # a negative count other than -1 reads as an empty list
        assert end == len(buffer)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 20_000


@every_record
@few
@given(st.binary(max_size=120))
def test_any_bytes_are_a_record_or_a_jute_error(name: str, raw: bytes) -> None:
    try:
        record, offset = record_type(name).decode(raw, 0, len(raw))
    except JuteError:
        return
    assert 0 < offset <= len(raw)
    assert record.encode() is not None


# --- the optional byte --------------------------------------------------------------


def test_the_read_only_byte_may_be_absent_both_ways() -> None:
    old = ConnectRequest(0, 0, 10_000, 0, bytes(16))
    assert old.read_only is None
    assert len(old.encode()) == 44
    assert len(ConnectRequest(0, 0, 10_000, 0, bytes(16), False).encode()) == 45
    assert len(ConnectResponse(0, 10_000, 1, bytes(16), None).encode()) == 36
    assert len(ConnectResponse(0, 10_000, 1, bytes(16), True).encode()) == 37


def test_any_byte_but_zero_is_true() -> None:
    raw = ConnectRequest(0, 0, 10_000, 0, bytes(16)).encode() + b"\x07"
    request, offset = ConnectRequest.decode(raw, 0, len(raw))
    assert request.read_only is True
    assert offset == 45


def test_a_negative_count_other_than_minus_one_is_an_empty_list() -> None:
    raw = CreateRequest("/a", b"", [], 0).encode()
    hostile = raw[:10] + struct.pack(">i", -7) + raw[14:]
    assert CreateRequest.decode(hostile, 0, len(hostile))[0].acl == []


# --- golden bytes: client-protocol.md §20, storage.md §3 ---------------------------

GOLDEN: list[tuple[Record, str]] = [
    (
        ConnectRequest(0, 0, 10_000, 0, bytes(16), False),
        "00000000 0000000000000000 00002710 0000000000000000 00000010" + "00" * 16 + "00",
    ),
    (
        ConnectResponse(
            0,
            10_000,
            0x100000A2B3C0000,
            bytes.fromhex("065c0bd21bc4a079548d88145ced2f24"),
            False,
        ),
        "00000000 00002710 0100000a2b3c0000 00000010 065c0bd21bc4a079548d88145ced2f24 00",
    ),
    (
        ConnectResponse(0, 0, 0, bytes(16), False),
        "00000000 00000000 0000000000000000 00000010" + "00" * 16 + "00",
    ),
    (
        CreateRequest("/a", b"x", [ACL(31, "world", "anyone")], 0),
        "00000002 2f61 00000001 78 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65"
        "00000000",
    ),
    (WatcherEvent(3, 3, "/a"), "00000003 00000003 00000002 2f61"),
    (AuthPacket(0, "digest", b"bob:pw"), "00000000 00000006 646967657374 00000006 626f623a7077"),
    (
        TxnHeader(0x0100000000000000, 0, 0x100000001, 1_700_000_000_000, -10),
        "0100000000000000 00000000 0000000100000001 0000018bcfe56800 fffffff6",
    ),
    (CreateSessionTxn(30_000), "00007530"),
    (TxnDigest(2, 1371985504), "00000002 0000000051c6d660"),
]


@pytest.mark.parametrize(("record", "raw"), GOLDEN, ids=lambda value: type(value).__name__)
def test_records_have_the_bytes_of_the_original(record: Record, raw: str) -> None:
    expected = bytes.fromhex(raw)
    assert record.encode() == expected
    decoded, offset = record_type(type(record).__name__).decode(expected, 0, len(expected))
    assert (decoded, offset) == (record, len(expected))


def test_a_stat_has_the_size_that_readers_rely_on() -> None:
    assert len(Stat(*[0] * 11).encode()) == 68


# --- the generator ------------------------------------------------------------------


def test_the_generated_module_is_up_to_date() -> None:
    assert gen_jute.TARGET.read_text() == gen_jute.generate()
