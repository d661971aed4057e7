"""Replies as bytes: client-protocol.md §20 and §10.3."""

from __future__ import annotations

import pytest

from pyzk.constants import OpCode
from pyzk.data.tree import Applied
from pyzk.server.reply import (
    MULTI_END,
    encode_applied,
    encode_error,
    encode_event,
    encode_reply,
    encode_results,
)

STAT = bytes(range(68))


def test_the_frames_of_the_specification() -> None:
    assert encode_error(-2, 2, 0).hex() == "00000010fffffffe000000000000000200000000"
    assert encode_reply(1, 2, b"\0\0\0\x02/a").hex() == (
        "00000016" "00000001" "0000000000000002" "00000000" "00000002" "2f61"
    )  # fmt: skip
    assert encode_event(3, "/a", 3).hex() == (
        "0000001e" "ffffffff" "0000000000000003" "00000000" "00000003" "00000003" "00000002" "2f61"
    )  # fmt: skip
    assert encode_event(1, "/a", -1).hex()[8:32] == "ffffffff" + "ffffffffffffffff"


def test_a_failed_multi_of_the_specification() -> None:
    applied = Applied(OpCode.MULTI)
    applied.results = [Applied(-1, err) for err in (0, -110, -2)]
    assert encode_applied(7, 9, applied).hex() == (
        "00000040" "00000007" "0000000000000009" "00000000"
        "ffffffff" "00" "00000000" "00000000"
        "ffffffff" "00" "ffffff92" "ffffff92"
        "ffffffff" "00" "fffffffe" "fffffffe"
        "ffffffff" "01" "ffffffff"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("opcode", "body"),
    [
        (OpCode.CREATE, b"\0\0\0\x02/a"),
        (OpCode.CREATE2, b"\0\0\0\x02/a" + STAT),
        (OpCode.CREATE_CONTAINER, b"\0\0\0\x02/a" + STAT),
        (OpCode.CREATE_TTL, b"\0\0\0\x02/a" + STAT),
        (OpCode.DELETE, b""),
        (OpCode.SET_DATA, STAT),
        (OpCode.SET_ACL, STAT),
        (OpCode.CHECK, b""),
        (OpCode.CLOSE_SESSION, b""),
    ],
)
def test_each_write_has_its_body_and_an_error_none(opcode: int, body: bytes) -> None:
    assert encode_applied(1, 2, Applied(opcode, 0, "/a", STAT)) == encode_reply(1, 2, body)
    assert encode_applied(1, 2, Applied(opcode, -101, "/a", STAT)) == encode_error(1, 2, -101)


@pytest.mark.parametrize(
    ("opcode", "shown"), [(1, 1), (15, 15), (19, 15), (21, 15), (2, 2), (5, 5), (13, 13)]
)
def test_results_of_a_multi_show_create2_for_every_create_with_a_stat(
    opcode: int, shown: int
) -> None:
    raw = encode_results([Applied(opcode, 0, "/a", STAT)])
    assert raw[:9] == shown.to_bytes(4) + bytes(5)
    assert raw.endswith(MULTI_END)
    failed = encode_results([Applied(opcode, -101, "/a", STAT)])
    assert failed.hex() == "ffffffff" "00" "ffffff9b" "ffffff9b" "ffffffff01ffffffff"  # fmt: skip
