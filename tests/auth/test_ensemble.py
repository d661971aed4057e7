"""The scheme ensemble, with the answers that ZooKeeper 3.9.3 gives (auth-acl-quota.md §4.8)."""

from __future__ import annotations

import pytest

from pyzk.auth.ensemble import EnsembleProvider
from pyzk.auth.provider import TurnedAwayError
from pyzk.metrics import Metrics

NAMES = ("one", "two")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.mark.parametrize("name", [b"one", b"two"])
def test_a_client_of_this_ensemble_passes_and_gets_no_identity(
    metrics: Metrics, name: bytes
) -> None:
    assert EnsembleProvider(NAMES, metrics).authenticate("127.0.0.1", name) == ()
    assert metrics.ensemble_auth_success == 1


@pytest.mark.parametrize("name", [None, b""])
def test_a_client_that_names_none_passes(metrics: Metrics, name: bytes | None) -> None:
    assert EnsembleProvider(NAMES, metrics).authenticate("127.0.0.1", name) == ()
    assert metrics.ensemble_auth_skip == 1


def test_every_client_passes_where_the_ensemble_has_no_name(metrics: Metrics) -> None:
    assert EnsembleProvider(None, metrics).authenticate("127.0.0.1", b"three") == ()
    assert metrics.ensemble_auth_skip == 1


@pytest.mark.parametrize("name", [b"three", b" two", b"one, two", b"\xff", b"ONE"])
def test_a_client_of_another_ensemble_is_turned_away(metrics: Metrics, name: bytes) -> None:
    with pytest.raises(TurnedAwayError):
        EnsembleProvider(NAMES, metrics).authenticate("127.0.0.1", name)
    assert (metrics.ensemble_auth_fail, metrics.ensemble_auth_success) == (1, 0)


def test_an_empty_list_turns_everybody_away(metrics: Metrics) -> None:
    with pytest.raises(TurnedAwayError):
        EnsembleProvider((), metrics).authenticate("127.0.0.1", b"one")


def test_it_is_good_for_no_acl(metrics: Metrics) -> None:
    provider = EnsembleProvider(NAMES, metrics)
    assert not provider.is_valid("one")
    assert not provider.matches("one", "one")
    assert not provider.is_authenticated
    assert provider.user_name("one") == "one"
