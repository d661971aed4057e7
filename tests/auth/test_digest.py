"""The digest scheme; the examples are those of the sheet and of the original's own command."""

from __future__ import annotations

import pytest

from pyzk.auth.digest import DigestProvider, generate_digest
from pyzk.auth.provider import AuthId
from pyzk.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ("super:test", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="),
        ("user1:12345", "user1:+owfoSBn/am19roBPzR1/MfCblE="),
        ("bob:bobsecret", "bob:WGAwC+XYxdw8bJ5K6KcPh8oL58U="),
        ("", ":2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
    ],
)
def test_known_digests(text: str, digest: str) -> None:
    assert generate_digest(text) == digest
    ids = DigestProvider().authenticate("127.0.0.1", text.encode())
    assert ids == (AuthId("digest", digest),)


@pytest.mark.parametrize(
    ("algorithm", "length"),
    [
        ("MD5", 24),
        ("sha-1", 28),
        ("SHA-256", 44),
        ("SHA-512", 88),
        ("SHA3-256", 44),
        ("SHA", 28),
        ("SHA-384", 64),
        ("SHA-224", 40),
        ("SHA3-512", 88),
    ],
)
def test_java_names_of_algorithms(algorithm: str, length: int) -> None:
    ids = DigestProvider(algorithm).authenticate("", b"u:p")
    assert ids is not None
    assert len(ids[0].id) == len("u:") + length


def test_sha256_as_the_original_computes_it() -> None:
    expected = "super:wjySwxg860UATFtciuZ1lpzrCHrPeov6SPu/ZD56uig="
    assert generate_digest("super:test", "SHA-256") == expected


@pytest.mark.parametrize("algorithm", ["", "MD2", "sha256 ", "CRC32"])
def test_an_unknown_algorithm_is_the_operators_mistake(algorithm: str) -> None:
    with pytest.raises(ConfigError, match=r"DigestAuthenticationProvider\.digestAlg"):
        DigestProvider(algorithm)


def test_user_is_the_text_before_the_first_colon() -> None:
    assert generate_digest("a:b:c").startswith("a:")
    assert generate_digest("nocolon").startswith("nocolon:")


def test_null_is_refused_and_bytes_that_are_no_utf8_are_not() -> None:
    provider = DigestProvider()
    assert provider.authenticate("", None) is None
    assert provider.authenticate("", b"\xff:x") == provider.authenticate("", "\ufffd:x".encode())


def test_the_super_user_is_who_produces_the_configured_id() -> None:
    digest = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="
    provider = DigestProvider(super_digest=digest)
    ids = provider.authenticate("", b"super:test")
    assert ids == (AuthId("super", ""), AuthId("digest", digest))
    wrong = provider.authenticate("", b"super:other")
    assert wrong is not None
    assert [auth_id.scheme for auth_id in wrong] == ["digest"]


@pytest.mark.parametrize("acl_id", ["a:b", ":b", "a:b:", "a:b::", "a b:c"])
def test_valid_acl_ids(acl_id: str) -> None:
    assert DigestProvider().is_valid(acl_id)


@pytest.mark.parametrize("acl_id", ["", "a", "a:", ":", "::", "a:b:c", "::b", "a::b"])
def test_invalid_acl_ids(acl_id: str) -> None:
    assert not DigestProvider().is_valid(acl_id)


def test_ids_match_as_text_only() -> None:
    provider = DigestProvider()
    assert provider.matches("a:b", "a:b")
    assert not provider.matches("a:b", "a:b:")
    assert provider.user_name("a:b") == "a"
    assert provider.is_authenticated
    assert provider.scheme == "digest"
