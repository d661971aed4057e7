"""The straight-line decoders of create and setData equal the generated ones, on any bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.constants import OpCode
from pyzk.data.acl import OPEN_ACL, OPEN_LIST
from pyzk.errors import JuteError
from pyzk.jute.records import ACL, CreateRequest, CreateTxn, SetDataRequest, SetDataTxn
from pyzk.server.decoders import (
    OPEN_BYTES,
    RawCreate,
    RawSetData,
    create_body,
    decode_create,
    decode_set_data,
    set_data_body,
)
from tests.frames import OPEN, create_request

paths = st.none() | st.text("/aé\ud7ff", max_size=5)
datas = st.none() | st.binary(max_size=5)
ints = st.integers(-(1 << 31), (1 << 31) - 1)
acls = st.none() | st.lists(
    st.sampled_from([OPEN[0], ACL(31, "digest", "a:b"), ACL(1, None, None)]), max_size=2
)
creates = st.builds(CreateRequest, paths, datas, acls | st.just(OPEN), ints)
changes = st.builds(SetDataRequest, paths, datas, ints)


def as_request(record: object) -> object:
    """The record of the request, also for what was read into that of its transaction."""
    if isinstance(record, RawCreate):
        assert (record.ephemeral, record.parent_cversion) == (False, 0)
        return CreateRequest(record.path, record.data, record.acl, record.flags)
    if isinstance(record, RawSetData):
        return SetDataRequest(record.path, record.data, record.version)
    return record


def outcome(decode: Callable[[], object]) -> object:
    try:
        return as_request(decode())
    except JuteError:
        return "unreadable"


def decode_alike(
    request: CreateRequest | SetDataRequest,
    decode: Callable[[bytes, int, int], object],
    before: bytes,
    behind: bytes,
    data: st.DataObject,
) -> None:
    """The quick decoder reads what the generated one reads, also from a part of the request."""
    buffer = before + request.encode() + behind
    start = len(before)
    assert as_request(decode(buffer, start, len(buffer))) == request
    cut = data.draw(st.integers(start, len(buffer)))
    assert outcome(lambda: decode(buffer, start, cut)) == outcome(
        lambda: request.decode(buffer, start, cut)[0]
    )


@given(creates, st.binary(max_size=3), st.binary(max_size=3), st.data())
def test_creates_are_decoded_alike(
    request: CreateRequest, before: bytes, behind: bytes, data: st.DataObject
) -> None:
    decode_alike(request, decode_create, before, behind, data)


@given(changes, st.binary(max_size=3), st.binary(max_size=3), st.data())
def test_changes_are_decoded_alike(
    request: SetDataRequest, before: bytes, behind: bytes, data: st.DataObject
) -> None:
    decode_alike(request, decode_set_data, before, behind, data)


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_alike(raw: bytes) -> None:
    assert outcome(lambda: decode_create(raw, 0, len(raw))) == outcome(
        lambda: CreateRequest.decode(raw, 0, len(raw))[0]
    )
    assert outcome(lambda: decode_set_data(raw, 0, len(raw))) == outcome(
        lambda: SetDataRequest.decode(raw, 0, len(raw))[0]
    )


@given(st.text("/ab", max_size=5), st.binary(max_size=5), st.booleans(), ints)
def test_the_bytes_kept_are_the_beginning_of_the_transaction(
    path: str, data: bytes, is_ephemeral: bool, number: int
) -> None:
    raw = create_request(path, data).encode()
    create = decode_create(raw, 0, len(raw))
    assert isinstance(create, RawCreate)
    assert create.acl is OPEN_LIST
    created = CreateTxn(path, data, OPEN, is_ephemeral, number)
    whole = created.encode()
    assert whole == create.raw + bytes([is_ephemeral]) + number.to_bytes(4, signed=True)
    prepared, owner = create_body(
        OpCode.CREATE, create.path, data, OPEN_ACL, is_ephemeral, create, number, 7
    )
    assert (prepared, owner) == ((created, whole), 7 * is_ephemeral)
    raw = SetDataRequest(path, data, 0).encode()
    change = decode_set_data(raw, 0, len(raw))
    assert isinstance(change, RawSetData)
    whole = SetDataTxn(path, data, number).encode()
    assert whole == change.raw + number.to_bytes(4, signed=True)
    assert set_data_body(change, path, number) == (SetDataTxn(path, data, number), whole)


@pytest.mark.parametrize("data", [None, b""])
def test_what_is_out_of_the_ordinary_is_decoded_the_long_way(data: bytes | None) -> None:
    raw = create_request("/é", data).encode()
    assert type(decode_create(raw, 0, len(raw))) is CreateRequest
    raw = SetDataRequest("/é", data, 0).encode()
    assert type(decode_set_data(raw, 0, len(raw))) is SetDataRequest


def test_the_open_list_has_its_bytes() -> None:
    assert CreateRequest("", b"", OPEN_LIST, 0).encode() == bytes(8) + OPEN_BYTES + bytes(4)
