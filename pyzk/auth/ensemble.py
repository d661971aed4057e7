"""The ensemble scheme: a client says to which ensemble it wants to speak.

Pure. Answers to EnsembleAuthenticationProvider. It proves nothing and gives no identity: a client
whose list of servers is outdated finds out that it has come to another ensemble. It is turned away
without a reply, and tries its next server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk.auth.provider import AuthId, TurnedAwayError

if TYPE_CHECKING:
    from collections.abc import Collection

    from pyzk.metrics import Metrics


class EnsembleProvider:
    """Compares the name that a client gives with those of this ensemble."""

    scheme: Final = "ensemble"
    is_authenticated: Final = False

    __slots__ = ("_metrics", "_names")

    def __init__(self, names: Collection[str] | None, metrics: Metrics) -> None:
        """Take the names of ``ensembleAuthName``; None, if it is not set, lets every name pass."""
        self._names = names
        self._metrics = metrics

    def authenticate(self, address: str, auth: bytes | None) -> tuple[AuthId, ...] | None:
        metrics = self._metrics
        if not auth or self._names is None:
            metrics.ensemble_auth_skip += 1
        elif auth.decode("utf-8", "replace") in self._names:
            metrics.ensemble_auth_success += 1
        else:
            metrics.ensemble_auth_fail += 1
            raise TurnedAwayError(f"it looks for the ensemble {auth[:64]!r}")
        return ()

    def is_valid(self, acl_id: str) -> bool:
        return False

    def matches(self, own_id: str, acl_id: str) -> bool:
        return False

    def user_name(self, own_id: str) -> str:
        return own_id
