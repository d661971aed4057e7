from __future__ import annotations

import logging

import pytest

from pyzk.auth.provider import AuthId
from pyzk.auth.registry import ProviderRegistry
from pyzk.auth.x509 import X509Provider
from pyzk.config.server import ServerConfig
from pyzk.config.tls import TlsConfig
from tests.certificates import Authority

CA = Authority()
BOB = CA.issue("bob", names=["spiffe://a/bob", "spiffe://a/ops", "h.example"])
SAN = {"x509_id_type": "SAN", "x509_san_match_type": 6, "x509_san_match_regex": "/bob$"}


def provider(**fields: object) -> X509Provider:
    return X509Provider(ServerConfig(**fields))  # type: ignore[arg-type]


def test_the_id_is_the_subject() -> None:
    assert provider().of_certificates(BOB.chain_der) == (AuthId("x509", "CN=bob"),)
    assert provider().is_authenticated
    assert provider().user_name("CN=bob") == "CN=bob"


def test_the_super_user_is_super_and_matches_every_id() -> None:
    found = provider(x509_super_user="CN=bob")
    assert found.of_certificates(BOB.chain_der) == (
        AuthId("super", "CN=bob"),
        AuthId("x509", "CN=bob"),
    )
    assert found.matches("CN=bob", "CN=eve")
    assert not found.matches("CN=eve", "CN=bob")
    assert found.of_certificates(CA.issue("eve").chain_der) == (AuthId("x509", "CN=eve"),)


def test_ids_are_compared_as_text() -> None:
    assert provider().matches("CN=bob", "CN=bob")
    assert not provider().matches("CN=bob", "cn=bob")


def test_an_acl_id_is_a_distinguished_name() -> None:
    assert provider().is_valid("CN=bob,O=x")
    assert not provider().is_valid("bob")


@pytest.mark.parametrize("chain", [(), (b"",), (b"no certificate",), (BOB.der[:-1],)])
def test_what_is_no_certificate_gives_no_identity(chain: tuple[bytes, ...]) -> None:
    assert provider().of_certificates(chain) is None


def test_bytes_of_a_packet_prove_nothing() -> None:
    assert provider().authenticate("10.0.0.1", b"CN=bob") is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (SAN, "spiffe://a/bob"),
        ({**SAN, "x509_san_extract_regex": "//(.+)/(.+)", "x509_san_extract_group": 2}, "bob"),
        ({**SAN, "x509_san_match_type": 2, "x509_san_match_regex": ".*"}, "h.example"),
        ({**SAN, "x509_id_type": "SDN"}, "CN=bob"),
        ({**SAN, "x509_san_extract_regex": "nothing"}, "CN=bob"),
        ({**SAN, "x509_san_extract_group": 1}, "CN=bob"),
        ({**SAN, "x509_san_match_regex": ".*"}, "CN=bob"),
        ({**SAN, "x509_san_match_regex": "eve"}, "CN=bob"),
    ],
)
def test_the_id_can_be_an_alternative_name(fields: dict[str, object], expected: str) -> None:
    assert provider(**fields).of_certificates(BOB.chain_der) == (AuthId("x509", expected),)


def test_a_certificate_without_such_a_name_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    provider(**SAN).of_certificates(CA.issue("eve").chain_der)
    assert caplog.messages == [
        "the certificate of CN=eve has not exactly one alternative name as ssl.x509.* asks for; its"
        " id is the subject"
    ]


def test_the_scheme_is_there_where_clients_come_by_tls_or_a_class_is_named() -> None:
    java = "org.apache.zookeeper.server.auth.X509AuthenticationProvider"
    plain = ProviderRegistry.from_config(ServerConfig())
    assert plain.get("x509") is None
    assert plain.of_certificates(BOB.chain_der) is None
    for config in (
        ServerConfig(client_tls=TlsConfig(key_store="/k")),
        ServerConfig(auth_providers=(("1", java),)),
    ):
        registry = ProviderRegistry.from_config(config)
        assert registry.of_certificates(BOB.chain_der) == (AuthId("x509", "CN=bob"),)
