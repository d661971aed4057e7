"""The scheme key, with the answers that ZooKeeper 3.9.3 gives."""

from __future__ import annotations

import pytest

from pyzk.auth.key import KeyProvider
from pyzk.auth.provider import AuthId


def provider(key: bytes | None) -> KeyProvider:
    return KeyProvider({"/key": key}.get)


@pytest.mark.parametrize(
    ("key", "auth"),
    [
        (None, b"12"),
        (None, b""),
        (None, b"no number"),
        (b"5", b"10"),
        (b"5", b"+10"),
        (b"5", b"-5"),
        (b"5", b"0"),
        (b"0", b"3"),
        (b"-2147483648", b"0"),
    ],
)
def test_all_who_pass_have_one_empty_id(key: bytes | None, auth: bytes) -> None:
    assert provider(key).authenticate("127.0.0.1", auth) == (AuthId("key", ""),)


@pytest.mark.parametrize(
    ("key", "auth"),
    [
        (None, None),
        (b"5", None),
        (b"5", b"12"),
        (b"5", b"x"),
        (b"5", b""),
        (b"5", b" 10"),
        (b"zz", b"3"),
        (b"5", b"2147483650"),
        (b"", b"1"),
    ],
)
def test_no_multiple_is_refused(key: bytes | None, auth: bytes | None) -> None:
    assert provider(key).authenticate("127.0.0.1", auth) is None


def test_ids_of_acls_are_compared_as_text() -> None:
    assert provider(None).is_valid("anything")
    assert provider(None).matches("", "")
    assert not provider(None).matches("", "foo")
    assert provider(None).is_authenticated
    assert provider(None).user_name("x") == "x"
