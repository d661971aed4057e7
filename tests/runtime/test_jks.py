from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from pyzk.runtime import jks
from pyzk.runtime.jks import JksError

STORES = Path(__file__).parents[1] / "testdata/stores"
"""What keytool of a JDK 17 has written."""
EC = (STORES / "ec.jks").read_bytes()
SECRET = "secret1"


def resealed(content: bytes, password: str = SECRET) -> bytes:
    """A store with another content, and the digest that belongs to it."""
    body = content[:-20]
    secret = password.encode("utf-16-be") + b"Mighty Aphrodite"
    return body + hashlib.sha1(secret + body).digest()


def test_a_key_and_its_certificate() -> None:
    for name in ("rsa.jks", "ec.jks"):
        store = jks.parse((STORES / name).read_bytes(), SECRET)
        (entry,) = store.keys
        assert entry.alias == "me"
        assert len(entry.chain) == 1
        assert store.certificates == ()
        key = serialization.load_der_private_key(entry.key(SECRET), None)
        assert type(key).__name__[:2].lower() == name[:2]


def test_trusted_certificates() -> None:
    store = jks.parse((STORES / "trust.jks").read_bytes(), SECRET)
    own = [jks.parse((STORES / name).read_bytes(), SECRET) for name in ("rsa.jks", "ec.jks")]
    assert store.keys == ()
    assert set(store.certificates) == {each.keys[0].chain[0] for each in own}


def test_another_password() -> None:
    with pytest.raises(JksError, match=r"^the password is wrong, or the file is damaged$"):
        jks.parse(EC, "secret2")
    (entry,) = jks.parse((STORES / "other.jks").read_bytes(), SECRET).keys
    with pytest.raises(JksError, match="the key has another password than the store"):
        entry.key(SECRET)
    assert entry.key("secret2")


@pytest.mark.parametrize("length", [0, 4, 12, 19, 20, 30, 200, len(EC) - 1])
def test_a_store_that_is_cut(length: int) -> None:
    with pytest.raises(JksError, match="the password is wrong, or the file is damaged"):
        jks.parse(EC[:length], SECRET)


@pytest.mark.parametrize(
    ("at", "byte", "message"),
    [
        (7, 3, "version 3 of the format is unknown"),
        (11, 2, "the file ends in the middle|is damaged|of an unknown kind"),
        (15, 9, "entry 'me' is of an unknown kind"),
        (16, 0xFF, "the file ends in the middle of an entry"),
        (28, 0xFF, "the file ends in the middle of an entry"),
    ],
)
def test_a_damaged_store_with_the_right_digest(at: int, byte: int, message: str) -> None:
    damaged = bytearray(EC)
    damaged[at] = byte
    with pytest.raises(JksError, match=message):
        jks.parse(resealed(bytes(damaged)), SECRET)


@given(st.integers(4, len(EC) - 21), st.integers(0, 255))
def test_whatever_is_damaged_is_an_error_or_none(at: int, byte: int) -> None:
    damaged = bytearray(EC)
    damaged[at] = byte
    with contextlib.suppress(JksError):
        for entry in jks.parse(resealed(bytes(damaged)), SECRET).keys:
            entry.key(SECRET)
