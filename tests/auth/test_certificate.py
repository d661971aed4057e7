from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pyzk.auth import certificate
from pyzk.auth.certificate import Certificate, CertificateError
from tests.certificates import Authority, named

JAVA = json.loads((Path(__file__).parents[1] / "testdata/x500/printed.json").read_text())
"""Names as DER, and what X500Principal.getName() of the JDK has made of them."""
CA = Authority()
SHOWN = CA.issue("me", names=["h.example", "*.b.example", "10.0.0.1", "2001:db8::1", "urn://x/y"])


def subject(*attributes: tuple[x509.ObjectIdentifier, str]) -> str:
    name = x509.Name([x509.NameAttribute(*each) for each in attributes])
    return certificate.rfc2253(Certificate(CA.issue(name).der).subject)


@pytest.mark.parametrize(("der", "java"), JAVA)
def test_names_are_printed_as_java_prints_them(der: str, java: str) -> None:
    sequence = certificate._only(bytes.fromhex(der))
    assert certificate.rfc2253(certificate._name(sequence)) == java


def test_the_subject_is_turned_round_and_what_has_a_meaning_is_escaped() -> None:
    assert (
        subject(
            (NameOID.COUNTRY_NAME, "CH"),
            (NameOID.ORGANIZATION_NAME, 'a, "b"; c=d'),
            (NameOID.COMMON_NAME, " bob "),
        )
        == 'CN=\\ bob\\ ,O=a\\, \\"b\\"\\; c\\=d,C=CH'
    )


def test_attributes_without_a_name_in_rfc_2253_are_numbers() -> None:
    assert subject((NameOID.EMAIL_ADDRESS, "a@b"), (NameOID.COMMON_NAME, "x")) == (
        "CN=x,1.2.840.113549.1.9.1=#1603614062"
    )


def test_alternative_names_of_all_kinds() -> None:
    general = [
        x509.RFC822Name("a@b"),
        x509.DNSName("h"),
        x509.DirectoryName(named("dir")),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
        x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x0c\x01a"),
    ]
    extension = x509.SubjectAlternativeName(general).public_bytes()
    found = [
        certificate._alternative_name(each)
        for each in certificate._children(certificate._only(extension))
    ]
    assert found == [(1, "a@b"), (2, "h"), (4, "CN=dir"), (8, "1.2.3"), (0, None)]


def test_the_names_of_hosts() -> None:
    names = Certificate(SHOWN.der).host_names()
    assert names.dns == ("h.example", "*.b.example")
    assert names.addresses == ("10.0.0.1", "2001:db8:0:0:0:0:0:1")
    assert names.common_name == "me"
    assert (certificate.URI, "urn://x/y") in Certificate(SHOWN.der).alternative_names()


def test_a_certificate_without_alternative_names_has_none() -> None:
    found = Certificate(CA.issue("me").der)
    assert found.alternative_names() == []
    assert found.host_names().common_name == "me"


def test_of_several_common_names_the_last_counts() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in ("a", "b")])
    assert Certificate(CA.issue(name).der).host_names().common_name == "b"


def test_the_subject_is_what_the_library_reads() -> None:
    found = Certificate(SHOWN.der).subject
    assert found[0][0].text == "me"
    assert found[0][0].der == b"\x0c\x02me"


def test_a_certificate_that_is_cut_is_none() -> None:
    for length in range(len(SHOWN.der)):  # it differs from run to run, so there is no test for each
        with pytest.raises(CertificateError):
            Certificate(SHOWN.der[:length])


@given(st.integers(0, len(SHOWN.der) - 1), st.integers(0, 255))
def test_a_damaged_certificate_does_no_harm(at: int, byte: int) -> None:
    damaged = bytearray(SHOWN.der)
    damaged[at] = byte
    with contextlib.suppress(CertificateError):
        found = Certificate(bytes(damaged))
        certificate.rfc2253(found.subject)
        found.host_names()
