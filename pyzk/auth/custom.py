"""A scheme of somebody else's package: whatever its provider does, the server goes on.

Pure. Answers to WrappedAuthenticationProvider. An exception of the provider counts as a no, and is
written to the log: the input of a client must not end the server.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from pyzk.auth.provider import AuthId, AuthProvider, TurnedAwayError
from pyzk.errors import ConfigError
from pyzk.outsiders import about

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_RESERVED = ("world", "auth", "super")
_Answer = TypeVar("_Answer")


class CustomProvider:
    """Asks a provider that another package has made."""

    __slots__ = ("_provider", "is_authenticated", "scheme")

    def __init__(self, provider: object, name: str) -> None:
        """``name`` is the entry point. Raises ConfigError if it has made no provider."""
        if not isinstance(provider, AuthProvider):
            raise ConfigError(
                f"the entry point {name!r} has made a {type(provider).__name__}, which is no"
                " pyzk.auth.provider.AuthProvider"
            )
        scheme: object = provider.scheme
        if not isinstance(scheme, str) or not scheme or scheme in _RESERVED:
            raise ConfigError(f"the entry point {name!r} names its scheme {scheme!r}")
        self._provider = provider
        self.scheme = scheme
        self.is_authenticated = bool(provider.is_authenticated)

    def authenticate(self, address: str, auth: bytes | None) -> tuple[AuthId, ...] | None:
        def ask() -> tuple[AuthId, ...] | None:
            ids = self._provider.authenticate(address, auth)
            return None if ids is None else tuple(_checked(each) for each in ids)

        return self._or(None, ask, may_turn_away=True)

    def is_valid(self, acl_id: str) -> bool:
        return self._or(False, lambda: bool(self._provider.is_valid(acl_id)))

    def matches(self, own_id: str, acl_id: str) -> bool:
        return self._or(False, lambda: bool(self._provider.matches(own_id, acl_id)))

    def user_name(self, own_id: str) -> str:
        return self._or(own_id, lambda: str(self._provider.user_name(own_id)))

    def _or(
        self, otherwise: _Answer, ask: Callable[[], _Answer], *, may_turn_away: bool = False
    ) -> _Answer:
        try:
            return ask()
        except Exception as error:
            if may_turn_away and isinstance(error, TurnedAwayError):
                raise
            log.exception(
                "the provider of the scheme %s has failed, which counts as a no",
                self.scheme,
                extra=about(f"scheme {self.scheme}"),
            )
            return otherwise


def _checked(auth_id: object) -> AuthId:
    """Return an identity that a provider gives. Raises TypeError if it is none."""
    if isinstance(auth_id, tuple) and len(auth_id) == 2:
        scheme, text = auth_id
        if isinstance(scheme, str) and isinstance(text, str):
            return AuthId(scheme, text)
    raise TypeError(f"an identity is a scheme and an id, both text: {auth_id!r}")
