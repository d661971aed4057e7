from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from pyzk.runtime import stores
from pyzk.runtime.stores import StoreError
from tests.certificates import Authority

STORES = Path(__file__).parents[1] / "testdata/stores"
SECRET = "secret1"
ROOT = Authority("Root")
MIDDLE = Authority("Middle", ROOT)
ME = MIDDLE.issue("me")


def java(name: str) -> bytes:
    return (STORES / name).read_bytes()


def refusal(content: bytes, kind: str, password: str = SECRET, *, trust: bool = False) -> str:
    read = stores.read_certificates if trust else stores.read_keys
    with pytest.raises(StoreError) as caught:
        read(content, kind, password)
    assert SECRET not in str(caught.value)
    return str(caught.value)


# ---- kinds


@pytest.mark.parametrize(
    ("path", "given", "kind"),
    [
        ("/a/k.jks", None, "JKS"),
        ("/a/k.p12", None, "PKCS12"),
        ("k.x.pem", None, "PEM"),
        ("/a/k.p12", "PEM", "PEM"),
        ("/a/k", "JKS", "JKS"),
    ],
)
def test_the_kind_is_said_or_in_the_name(path: str, given: str | None, kind: str) -> None:
    assert stores.kind_of(path, given) == kind


@pytest.mark.parametrize("path", ["/a.pem/k", "k", "k.PEM", "k.pfx", ".jks/"])
def test_a_name_that_tells_nothing(path: str) -> None:
    with pytest.raises(StoreError, match="does not tell the kind of the file"):
        stores.kind_of(path, None)


def test_bouncy_castle_is_named() -> None:
    with pytest.raises(StoreError, match=r"k\.bcfks is a BCFKS store"):
        stores.kind_of("k.bcfks", None)


# ---- keys


def test_pem() -> None:
    found = stores.read_keys(ME.pem(), "PEM", "")
    assert found.chain == (ME.certificate, MIDDLE.certificate)
    assert found.key.private_numbers() == ME.key.private_numbers()
    assert stores.read_keys(ME.pem(SECRET), "PEM", SECRET).chain == found.chain


def test_the_key_may_stand_behind_the_certificates() -> None:
    text = ME.pem()
    at = text.index(b"-----BEGIN CERT")
    assert (
        stores.read_keys(b"words\n" + text[at:] + text[:at], "PEM", "").chain[0] == ME.certificate
    )


def test_pem_that_is_no_use() -> None:
    assert refusal(ME.certificate_pem, "PEM") == (
        "it has no private key; key and certificates must be in one file"
    )
    text = ME.pem()
    key = text[: text.index(b"-----BEGIN CERT")]
    assert refusal(key, "PEM", "") == (
        "it has no certificate; key and certificates must be in one file"
    )
    assert refusal(ME.pem(SECRET), "PEM", "") == (
        "the private key is encrypted, and no password is set"
    )
    assert refusal(ME.pem("another"), "PEM") == "the password is wrong, or the file is damaged"
    assert refusal(text, "PEM") == (
        "the private key is not encrypted, but a password is set; remove one"
    )
    assert refusal(text.replace(b"MI", b"AA"), "PEM", "") == "the private key is damaged"


@pytest.mark.parametrize("kind", ["JKS", "PKCS12"])
@pytest.mark.parametrize(
    ("name", "sort"),
    [
        ("rsa.jks", rsa.RSAPrivateKey),
        ("ec.jks", ec.EllipticCurvePrivateKey),
        ("ec.p12", ec.EllipticCurvePrivateKey),
    ],
)
def test_what_keytool_writes_is_read_under_either_name(kind: str, name: str, sort: type) -> None:
    found = stores.read_keys(java(name), kind, SECRET)
    assert isinstance(found.key, sort)
    assert len(found.chain) == 1


def test_pkcs12_puts_the_chain_in_order() -> None:
    content = pkcs12.serialize_key_and_certificates(
        b"me",
        ME.key,
        ME.certificate,
        [ROOT.certificate, Authority("Other").certificate, MIDDLE.certificate],
        BestAvailableEncryption(SECRET.encode()),
    )
    found = stores.read_keys(content, "PKCS12", SECRET)
    assert found.chain == (ME.certificate, MIDDLE.certificate, ROOT.certificate)


def test_pkcs12_without_a_password() -> None:
    content = pkcs12.serialize_key_and_certificates(
        b"me", ME.key, ME.certificate, None, NoEncryption()
    )
    assert stores.read_keys(content, "PKCS12", "").chain == (ME.certificate,)


def test_stores_that_are_no_use() -> None:
    wrong = "the password is wrong, or the file is damaged"
    assert refusal(java("ec.p12"), "PKCS12", "x").startswith(wrong)
    assert refusal(java("ec.jks"), "JKS", "x") == wrong
    missing = "it needs a password, and none is set; or the file is damaged"
    assert refusal(java("ec.p12"), "PKCS12", "").startswith(missing)
    assert refusal(java("ec.jks"), "JKS", "") == missing
    assert refusal(java("other.jks"), "JKS") == "the key has another password than the store"
    assert "has no private key" in refusal(java("trust.jks"), "JKS")
    assert "has no private key" in refusal(java("trust.p12"), "PKCS12")
    assert "JCEKS" in refusal(java("key.jceks"), "JKS")
    assert "PEM file" in refusal(ME.pem(), "JKS")
    assert refusal(b"", "JKS").startswith(wrong)


def test_a_key_that_java_has_not_got() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert "neither RSA nor EC" in refusal(text + ME.certificate_pem, "PEM", "")


# ---- certificates that are trusted


def test_trusted_certificates() -> None:
    text = ROOT.certificate_pem + b"words\n" + MIDDLE.certificate_pem
    assert stores.read_certificates(text, "PEM", "") == (ROOT.certificate, MIDDLE.certificate)
    found = [
        stores.read_certificates(java(f"trust.{each}"), "JKS", SECRET) for each in ("jks", "p12")
    ]
    assert len(found[0]) == 2
    assert set(found[0]) == set(found[1])


def test_a_store_that_trusts_nobody() -> None:
    assert refusal(b"", "PEM", "", trust=True) == "it has no trusted certificates"
    assert refusal(java("ec.jks"), "JKS", trust=True) == "it has no trusted certificates"
    assert refusal(java("ec.p12"), "JKS", trust=True) == "it has no trusted certificates"
    damaged = ROOT.certificate_pem + ROOT.certificate_pem.replace(b"MI", b"AA", 1)
    assert refusal(damaged, "PEM", "", trust=True) == "certificate 2 in it is damaged"


def test_the_chain_of_a_key_is_not_trusted() -> None:
    other = Authority("Other").certificate
    content = pkcs12.serialize_key_and_certificates(
        b"me",
        ME.key,
        ME.certificate,
        [MIDDLE.certificate, other],
        BestAvailableEncryption(SECRET.encode()),
    )
    assert stores.read_certificates(content, "PKCS12", SECRET) == (other,)
