"""Who looks, and which paths that visitor may see."""

from __future__ import annotations

import pytest

from pyzk.admin.console.visitor import SHOWN_PATH, RefusedCredentials, letters, visitor
from pyzk.auth.provider import AuthId
from tests.admin.console.looking import BOB, ELSEWHERE, who, with_tree, world


def test_a_visitor_is_who_a_client_from_there_would_be() -> None:
    made = world()
    assert who(made).auth_ids == (AuthId("ip", ELSEWHERE),)
    assert who(made, "bob:secret").auth_ids == (AuthId("ip", ELSEWHERE), AuthId("digest", BOB))
    assert who(made, "super:test").is_super
    assert not who(made, "super:wrong").is_super
    assert who(made, "bob:secret").view() == {
        "host": ELSEWHERE,
        "ids": [{"scheme": "ip", "id": ELSEWHERE}, {"scheme": "digest", "id": "bob"}],
        "super": False,
        "refused": False,
    }


def test_the_address_of_a_proxy_is_nobodys() -> None:
    made = world()
    assert visitor(made.server, "127.0.0.1", None, is_forwarded=True).auth_ids == ()


def test_an_ipv6_address_is_written_as_clients_are() -> None:
    assert visitor(world().server, "::1", None).auth_ids == (AuthId("ip", "0:0:0:0:0:0:0:1"),)


@pytest.mark.parametrize(
    "authorization", ["", "digest", "digest nocolon", "basic Ym9iOnNlY3JldA==", "ip 1.2.3.4:5"]
)
def test_what_is_no_digest_is_refused(authorization: str) -> None:
    with pytest.raises(RefusedCredentials, match="must be: digest user:password"):
        visitor(world().server, ELSEWHERE, authorization)


def test_without_digest_nobody_logs_in() -> None:
    made = world(digest_auth_enabled=False)
    with pytest.raises(RefusedCredentials, match="takes no digest"):
        who(made, "bob:secret")


def test_a_certificate_means_nothing_where_clients_have_none() -> None:
    made = world()
    found = visitor(made.server, ELSEWHERE, None, [b"no certificate"])
    assert found.auth_ids == (AuthId("ip", ELSEWHERE),)


def test_enforced_authentication_holds_for_the_console() -> None:
    made = world(enforce_auth_enabled=True, enforce_auth_schemes=("digest",))
    assert who(made).is_refused
    assert not who(made, "bob:secret").is_refused


@pytest.mark.parametrize(
    ("path", "for_all", "for_bob"),
    [
        ("/", True, True),
        ("/open", True, True),
        ("/open/a", True, True),
        ("/bob", False, True),
        ("/bob/open", False, True),  # nobody else could have found it
        ("/open/bob", False, True),
        ("/none", True, True),
        ("/open/none/below", True, True),
        ("/bob/none", False, True),
        ("/bob/none/below", False, True),
        ("relative", False, False),
        ("", False, False),
        ("/" + "x" * SHOWN_PATH, False, False),
    ],
)
def test_a_path_is_shown_to_who_could_walk_there(path: str, for_all: bool, for_bob: bool) -> None:
    made = with_tree()
    everybody, bob = who(made), who(made, "bob:secret")
    for _ in range(2):  # asked first, and remembered
        assert everybody.sees(path) == for_all
        assert bob.sees(path) == for_bob


def test_the_super_user_sees_everything() -> None:
    made = with_tree()
    assert who(made, "super:test").sees("/bob/open")


def test_permissions_are_told_by_their_letters() -> None:
    assert letters(31) == "cdrwa"
    assert letters(0) == ""
    made = with_tree()
    shown = made.tree.nodes["/shown"]
    assert who(made).perms_on(shown) == "r"
    assert who(made, "bob:secret").perms_on(shown) == "ra"
