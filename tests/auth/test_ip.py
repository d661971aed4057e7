"""The ip scheme: which ids are valid, which addresses fall under them, how a peer is shown."""

from __future__ import annotations

import pytest

from pyzk.auth.ip import IpProvider, peer_address
from pyzk.auth.provider import AuthId


@pytest.mark.parametrize(
    "acl_id",
    [
        "1.2.3.4",
        "0.0.0.0",
        "255.255.255.255",
        "10.0.0.0/8",
        "1.2.3.4/0",
        "1.2.3.4/32",
        "1.2.3.4/+8",
        "01.002.3.4",
        "+1.2.3.4",
        "-0.0.0.0",
        "::1",
        "::",
        "2001:db8::/32",
        "::ffff:1.2.3.4/96",
        "fe80::1%eth0",
        "0:0:0:0:0:0:0:1/128",
    ],
)
def test_valid_ids(acl_id: str) -> None:
    assert IpProvider().is_valid(acl_id)


@pytest.mark.parametrize(
    "acl_id",
    [
        "",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "1.2.3.-1",
        "a.b.c.d",
        "1.2.3.4/33",
        "1.2.3.4/-1",
        "1.2.3.4/",
        "1.2.3.4/8/8",
        "1.2.3.4/x",
        " 1.2.3.4",
        "1.2.3.",
        "::1/129",
        ":::",
        "1::2::3",
        "1.2.3.1_0",
        "localhost",
        "::1/",
    ],
)
def test_invalid_ids(acl_id: str) -> None:
    assert not IpProvider().is_valid(acl_id)
    assert not IpProvider().matches("1.2.3.4", acl_id)


@pytest.mark.parametrize(
    ("own", "acl_id", "expected"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.9.9.9/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("10.1.2.3", "10.1.2.2/31", True),
        ("10.1.2.3", "1.1.1.1/0", True),
        ("10.1.2.3", "::/0", False),
        ("0:0:0:0:0:0:0:1", "0.0.0.0/0", False),
        ("0:0:0:0:0:0:0:1", "::1", True),
        ("2001:db8:0:0:0:0:0:7", "2001:db8::/32", True),
        ("2001:db9:0:0:0:0:0:7", "2001:db8::/32", False),
        ("fe80:0:0:0:0:0:0:1%eth0", "fe80::/10", True),
        ("unknown", "10.0.0.0/8", False),
    ],
)
def test_matching(own: str, acl_id: str, expected: bool) -> None:
    assert IpProvider().matches(own, acl_id) is expected


def test_an_auth_packet_adds_the_peers_address_and_proves_nothing() -> None:
    provider = IpProvider()
    assert provider.authenticate("10.0.0.1", b"whatever") == (AuthId("ip", "10.0.0.1"),)
    assert provider.authenticate("10.0.0.1", None) == (AuthId("ip", "10.0.0.1"),)
    assert not provider.is_authenticated
    assert provider.scheme == "ip"
    assert provider.user_name("10.0.0.1") == "10.0.0.1"


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "0:0:0:0:0:0:0:1"),
        ("2001:db8::ff00:42", "2001:db8:0:0:0:0:ff00:42"),
        ("fe80::1%eth0", "fe80:0:0:0:0:0:0:1%eth0"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("0:0:0:0:0:0:0:1", "0:0:0:0:0:0:0:1"),
        ("not:an:address", "not:an:address"),
        ("localhost", "localhost"),
    ],
)
def test_peers_are_shown_as_java_does(host: str, shown: str) -> None:
    assert peer_address(host) == shown
