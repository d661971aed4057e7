"""Providers of other packages, also those that fail."""

from __future__ import annotations

import logging

import pytest

from pyzk.auth.custom import CustomProvider
from pyzk.auth.provider import AuthId, TurnedAwayError
from pyzk.errors import ConfigError
from tests.testdata.auth_provider.example_provider import TokenProvider


class Broken:
    scheme = "broken"
    is_authenticated = True

    def authenticate(self, address: str, auth: bytes | None) -> object:
        if auth == b"away":
            raise TurnedAwayError("not here")
        if auth == b"raise":
            raise RuntimeError(auth)
        return {b"number": 7, b"strings": ("x",), b"none": ((None, None),)}[auth or b""]

    def is_valid(self, acl_id: str) -> bool:
        raise RuntimeError

    matches = user_name = is_valid


def test_it_answers_what_the_provider_answers() -> None:
    provider = CustomProvider(TokenProvider({"tokens": "t1=ann,t2=bob"}), "tokens")
    assert (provider.scheme, provider.is_authenticated) == ("token", True)
    assert provider.authenticate("127.0.0.1", b"t2") == (AuthId("token", "bob"),)
    assert provider.authenticate("127.0.0.1", b"t3") is None
    assert provider.is_valid("ann")
    assert not provider.is_valid("a b")
    assert provider.matches("ann", "ann")
    assert provider.user_name("ann") == "ann"


@pytest.mark.parametrize("auth", [b"raise", b"number", b"strings", b"none", b"else", None])
def test_a_failure_is_a_no_and_a_line_of_the_log(
    auth: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert CustomProvider(Broken(), "broken").authenticate("127.0.0.1", auth) is None
    assert "the provider of the scheme broken has failed" in caplog.text


def test_no_question_about_an_acl_raises() -> None:
    provider = CustomProvider(Broken(), "broken")
    assert not provider.is_valid("x")
    assert not provider.matches("x", "x")
    assert provider.user_name("x") == "x"


def test_only_a_login_turns_a_client_away() -> None:
    class Refuser(Broken):
        def is_valid(self, acl_id: str) -> bool:
            raise TurnedAwayError("not here")

        matches = user_name = is_valid

    provider = CustomProvider(Refuser(), "refuser")
    assert not provider.is_valid("x")
    assert not provider.matches("x", "x")
    assert provider.user_name("x") == "x"


def test_it_may_turn_clients_away() -> None:
    with pytest.raises(TurnedAwayError):
        CustomProvider(Broken(), "broken").authenticate("127.0.0.1", b"away")


def test_what_is_no_provider_is_an_error() -> None:
    with pytest.raises(ConfigError, match="has made a dict, which is no"):
        CustomProvider({}, "tokens")


@pytest.mark.parametrize("scheme", ["", "world", "auth", "super", 7])
def test_a_scheme_that_it_cannot_have_is_an_error(scheme: object) -> None:
    class Impostor(Broken):
        pass

    Impostor.scheme = scheme  # type: ignore[assignment]  # that is the point
    with pytest.raises(ConfigError, match="names its scheme"):
        CustomProvider(Impostor(), "x")
