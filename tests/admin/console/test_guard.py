"""Which requests are taken: none of another site's."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pyzk.admin.console.guard import EVERYBODY, HEADER, LOCAL, NOBODY, is_for, refusal
from pyzk.admin.hosts import host_reason

KNOWN = {"zk1.example.com"}


def headers(more: Mapping[str, str]) -> dict[str, str]:
    made = {HEADER: "1", "Host": "127.0.0.1:8080", "Origin": "http://127.0.0.1:8080"}
    made["Sec-Fetch-Site"] = "same-origin"
    return {name: value for name, value in {**made, **more}.items() if value}


def asks(*, is_secure: bool = False, is_write: bool = True, **more: str) -> str | None:
    return asks_with(more, is_secure=is_secure, is_write=is_write)


def asks_with(more: Mapping[str, str], *, is_secure: bool, is_write: bool) -> str | None:
    return refusal(headers(more), KNOWN, is_secure=is_secure, is_write=is_write)


def test_the_page_of_this_server_may_ask() -> None:
    assert asks() is None
    assert asks_with({"Origin": "", "Sec-Fetch-Site": ""}, is_secure=False, is_write=False) is None


def test_a_proxy_may_take_off_tls() -> None:
    host = "zk1.example.com"
    assert asks(Host=host, Origin=f"https://{host}") is None
    assert asks(Host=host, Origin="https://ZK1.example.com") is None


@pytest.mark.parametrize("is_write", [False, True])
@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({HEADER: ""}, "needs the header"),
        ({"Sec-Fetch-Site": "cross-site"}, "another site"),
        ({"Sec-Fetch-Site": "same-site"}, "another site"),
        ({"Origin": "http://evil.example"}, "another origin"),
        ({"Origin": "http://127.0.0.1:8081"}, "another origin"),
        ({"Origin": "null"}, "another origin"),
        ({"Host": ""}, "another origin"),
        # A site has given its own name the address of this server.
        ({"Host": "evil.example:8080", "Origin": "http://evil.example:8080"}, "not known as"),
    ],
)
def test_no_other_site_may(more: dict[str, str], reason: str, is_write: bool) -> None:
    found = asks_with(more, is_secure=False, is_write=is_write)
    assert found is not None
    assert reason in found


def test_a_write_says_where_it_comes_from() -> None:
    assert asks(Origin="") == "a write needs the header Origin"


def test_by_tls_the_certificate_has_named_the_host() -> None:
    host = "any.example"
    assert asks(Host=host, Origin=f"https://{host}", is_secure=True) is None
    assert asks(Host=host, Origin="https://other.example", is_secure=True) is not None


def test_no_host_is_no_known_host() -> None:
    assert refusal({HEADER: "1"}, KNOWN, is_secure=False, is_write=False) is not None


@pytest.mark.parametrize("is_loopback", [False, True])
@pytest.mark.parametrize("is_forwarded", [False, True])
def test_whom_the_console_is_for(is_loopback: bool, is_forwarded: bool) -> None:
    def found(policy: str) -> bool:
        return is_for(policy, is_loopback=is_loopback, is_forwarded=is_forwarded)

    assert found(EVERYBODY)
    assert not found(NOBODY)
    assert found(LOCAL) == (is_loopback and not is_forwarded)


def test_the_page_needs_a_host_of_this_server_too() -> None:
    assert host_reason({"Host": "127.0.0.1:80"}, KNOWN, is_secure=False) is None
    assert host_reason({"Host": "evil.example"}, KNOWN, is_secure=True) is None
    found = host_reason({"Host": "evil.example"}, KNOWN, is_secure=False)
    assert found is not None
    assert "not known as 'evil.example'" in found
