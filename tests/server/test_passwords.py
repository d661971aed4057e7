"""Session passwords: the vectors of sessions-and-watches.md A3, from java.util.Random."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.server.passwords import NO_PASSWORD, session_password


@pytest.mark.parametrize(
    ("session_id", "password"),
    [
        (0x1, "054cc74a37327db215e702e20c73f005"),
        (0x1000000000000, "f22acd4a97e69d6d20a49bb638eadb38"),
        (0x100000A2B3C0000, "065c0bd21bc4a079548d88145ced2f24"),
        (0x2000123456780001, "0d03861f9f50824b5d4962dab4fb3983"),
        (-1, "20f62cb5648dc2d771471c8a2486a9ee"),
        (0xFFFFFFFFFFFFFFFF, "20f62cb5648dc2d771471c8a2486a9ee"),
    ],
)
def test_passwords_are_those_of_the_original(session_id: int, password: str) -> None:
    assert session_password(session_id).hex() == password


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_only_the_low_48_bits_matter(session_id: int) -> None:
    password = session_password(session_id)
    assert len(password) == len(NO_PASSWORD) == 16
    assert password == session_password(session_id & (1 << 48) - 1)
    assert password != session_password(session_id ^ 1)
