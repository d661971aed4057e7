from __future__ import annotations

import pytest

from pyzk.auth.host_names import CertificateNames, is_for, name_of_any

NAMED = CertificateNames(
    ("a.example", "*.b.example", "c*d.example"), ("10.0.0.1", "::1"), "cn.example"
)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.example", True),
        ("A.Example", True),
        ("x.b.example", True),
        ("x.y.b.example", False),
        ("b.example", False),
        (".b.example", True),
        ("cxd.example", True),
        ("cd.example", True),
        ("c.d.example", False),
        ("cn.example", False),
        ("10.0.0.1", True),
        ("10.0.0.2", False),
        ("0:0:0:0:0:0:0:1", True),
        ("[::1]", True),
        ("::2", False),
        ("", False),
    ],
)
def test_alternative_names(host: str, expected: bool) -> None:
    assert is_for(NAMED, host) is expected


@pytest.mark.parametrize(
    ("names", "host", "expected"),
    [
        (CertificateNames(common_name="cn.example"), "CN.example", True),
        (CertificateNames(common_name="*.example"), "a.example", True),
        (CertificateNames(common_name="10.0.0.1"), "10.0.0.1", True),
        (CertificateNames(common_name=None), "a", False),
        (CertificateNames(("a",), (), "b"), "b", False),
        (CertificateNames((), ("10.0.0.1",), "b"), "b", False),
        (CertificateNames(("10.0.0.1",), (), None), "10.0.0.1", False),
        (CertificateNames(("*",), (), None), "localhost", True),
        (CertificateNames(("ab*ba",), (), None), "aba", False),
    ],
)
def test_the_common_name_counts_where_there_is_no_other(
    names: CertificateNames, host: str, expected: bool
) -> None:
    assert is_for(names, host) is expected


def test_the_first_host_that_is_meant() -> None:
    assert name_of_any(NAMED, ("", "10.9.9.9", "a.example", "10.0.0.1")) == "a.example"
    assert name_of_any(NAMED, ("x",)) is None


def test_names_for_people() -> None:
    assert str(CertificateNames(("a",), ("10.0.0.1",), "c")) == "a, 10.0.0.1"
    assert str(CertificateNames(common_name="c")) == "c"
    assert str(CertificateNames()) == "nobody"
