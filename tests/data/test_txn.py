"""Transactions as bytes: every type, what old logs leave out, what is ambiguous."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.constants import OpCode
from pyzk.data.txn import Body, LoggedTxn, SubTxn, decode_body, decode_txn, encode_txn
from pyzk.errors import JuteError, Truncated
from pyzk.jute.records import (
    CheckVersionTxn,
    CloseSessionTxn,
    CreateContainerTxn,
    CreateSessionTxn,
    CreateTTLTxn,
    CreateTxn,
    CreateTxnV0,
    DeleteTxn,
    ErrorTxn,
    MultiTxn,
    SetACLTxn,
    SetDataTxn,
    Txn,
    TxnDigest,
    TxnHeader,
)
from tests.frames import OPEN

DIGEST = (1 << 64) - 5

BODIES: list[tuple[int, Body]] = [
    (OpCode.CREATE, CreateTxn("/a", b"x", OPEN, False, 1)),
    (OpCode.CREATE, CreateTxn("/a", None, OPEN, True, 7)),
    (OpCode.CREATE2, CreateTxn("/a", b"", OPEN, False, 1)),
    (OpCode.CREATE_TTL, CreateTTLTxn("/a", b"x", OPEN, 1, 1000)),
    (OpCode.CREATE_CONTAINER, CreateContainerTxn("/a", b"x", OPEN, 1)),
    (OpCode.DELETE, DeleteTxn("/a")),
    (OpCode.DELETE_CONTAINER, DeleteTxn("/a")),
    (OpCode.SET_DATA, SetDataTxn("/a", b"y", 4)),
    (OpCode.RECONFIG, SetDataTxn("/zookeeper/config", b"server.1=...", -1)),
    (OpCode.SET_ACL, SetACLTxn("/a", OPEN, 2)),
    (OpCode.CHECK, CheckVersionTxn("/a", 3)),
    (OpCode.CREATE_SESSION, CreateSessionTxn(30_000)),
    (OpCode.CLOSE_SESSION, CloseSessionTxn(["/a", "/b"])),
    (OpCode.CLOSE_SESSION, CloseSessionTxn([])),
    (OpCode.ERROR, ErrorTxn(-101)),
]
with_bodies = pytest.mark.parametrize(("kind", "body"), BODIES)


def header(kind: int) -> TxnHeader:
    return TxnHeader(0x100000000000001, 5, 0x200000003, 1_700_000_000_000, kind)


def shown(txn: LoggedTxn) -> tuple[TxnHeader, object, int | None]:
    return txn.header, txn.body, txn.digest


@with_bodies
@pytest.mark.parametrize("digest", [None, 0, 1371985504, DIGEST])
def test_every_type_comes_back_with_and_without_digest(
    kind: int, body: Body, digest: int | None
) -> None:
    payload = encode_txn(header(kind), body.encode(), digest)
    assert shown(decode_txn(payload)) == (header(kind), body, digest)


@with_bodies
def test_a_payload_cut_inside_its_record_is_an_error(kind: int, body: Body) -> None:
    payload = encode_txn(header(kind), body.encode(), None)
    for cut in range(len(payload)):
        is_without_record = kind == OpCode.CLOSE_SESSION and cut >= 32
        is_v0 = kind == OpCode.CREATE and cut >= len(payload) - 4
        if is_without_record or is_v0:
            continue
        with pytest.raises(JuteError):
            decode_txn(payload[:cut])


def test_the_payload_has_the_bytes_of_the_original() -> None:
    """storage.md §3, the golden entry."""
    payload = bytes.fromhex(
        "0100000000000000 00000000 0000000100000001 0000018bcfe56800 fffffff6"
        "00007530 00000002 0000000051c6d660"
    )
    txn = decode_txn(payload)
    assert txn.header == TxnHeader(1 << 56, 0, 0x100000001, 1_700_000_000_000, -10)
    assert txn.body == CreateSessionTxn(30_000)
    assert txn.digest == 1371985504
    assert encode_txn(txn.header, CreateSessionTxn(30_000).encode(), txn.digest) == payload


# --- multi --------------------------------------------------------------------------


def encode_multi(*operations: tuple[int, bytes]) -> bytes:
    return MultiTxn([Txn(kind, raw) for kind, raw in operations]).encode()


def test_the_operations_of_a_multi_are_decoded() -> None:
    inside = [(kind, body) for kind, body in BODIES if kind > -2 and kind != OpCode.RECONFIG]
    raw = encode_multi(*((kind, body.encode()) for kind, body in inside))
    txn = decode_txn(encode_txn(header(OpCode.MULTI), raw, DIGEST))
    assert isinstance(txn.body, list)
    assert all(isinstance(sub, SubTxn) for sub in txn.body)
    assert [(sub.type, sub.body) for sub in txn.body] == inside
    assert txn.digest == DIGEST


def test_a_multi_may_be_empty() -> None:
    assert decode_txn(encode_txn(header(OpCode.MULTI), encode_multi(), None)).body == []


def test_an_unknown_type_is_an_error_alone_and_inside_a_multi() -> None:
    with pytest.raises(JuteError, match="unknown type 99"):
        decode_txn(encode_txn(header(99), b"", None))
    raw = encode_multi((99, b""))
    with pytest.raises(JuteError, match="unknown type 99"):
        decode_txn(encode_txn(header(OpCode.MULTI), raw, None))


# --- what old logs leave out --------------------------------------------------------


def test_a_create_without_parent_cversion_says_one_more_than_there_is() -> None:
    """Logs older than 3.4; only for type 1."""
    old = CreateTxnV0("/a", b"x", OPEN, True)
    txn = decode_txn(encode_txn(header(OpCode.CREATE), old.encode(), None))
    assert txn.body == CreateTxn("/a", b"x", OPEN, True, -1)
    assert decode_body(OpCode.CREATE, old.encode()) == txn.body
    with pytest.raises(Truncated):
        decode_body(OpCode.CREATE2, old.encode())


def test_a_closed_session_may_have_no_record() -> None:
    txn = decode_txn(encode_txn(header(OpCode.CLOSE_SESSION), b"", None))
    assert (txn.body, txn.digest) == (None, None)


@given(st.integers(1, (1 << 64) - 1))
def test_a_bare_digest_behind_a_closed_session_is_not_taken_for_paths(digest: int) -> None:
    """closeSessionTxn switched off, digests on: the digest's version 2 reads like a count."""
    txn = decode_txn(encode_txn(header(OpCode.CLOSE_SESSION), b"", digest))
    assert (txn.body, txn.digest) == (None, digest)


@given(st.lists(st.text("/ab", max_size=4), max_size=4), st.none() | st.integers(0, 1 << 63))
def test_the_paths_of_a_closed_session_come_back(paths: list[str], digest: int | None) -> None:
    payload = encode_txn(header(OpCode.CLOSE_SESSION), CloseSessionTxn(paths).encode(), digest)
    txn = decode_txn(payload)
    assert txn.digest == digest
    assert txn.body == CloseSessionTxn(paths)


def test_paths_that_do_not_end_where_the_record_does_are_none() -> None:
    raw = CloseSessionTxn(["/a"]).encode() + b"\0\0\0"
    assert decode_txn(encode_txn(header(OpCode.CLOSE_SESSION), raw, None)).body is None


# --- digests ------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 1, 3])
def test_a_digest_of_another_version_is_not_compared(version: int) -> None:
    payload = encode_txn(header(OpCode.ERROR), ErrorTxn(-8).encode(), None)
    payload += TxnDigest(version, 5).encode()
    assert decode_txn(payload).digest is None


@pytest.mark.parametrize("missing", range(1, 13))
def test_fewer_bytes_than_a_digest_are_none(missing: int) -> None:
    payload = encode_txn(header(OpCode.DELETE), DeleteTxn("/a").encode(), 7)
    assert decode_txn(payload[: len(payload) - missing]).digest is None


def test_a_digest_is_unsigned() -> None:
    payload = encode_txn(header(OpCode.DELETE), DeleteTxn("/a").encode(), DIGEST)
    assert payload[-8:] == struct.pack(">q", -5)
    assert decode_txn(payload).digest == DIGEST


@given(st.binary(max_size=80))
def test_any_bytes_are_a_transaction_or_a_jute_error(raw: bytes) -> None:
    try:
        txn = decode_txn(raw)
    except JuteError:
        return
    assert len(raw) >= 32
    assert txn.header.encode() == raw[:32]
