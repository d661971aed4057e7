"""The schemes this server knows.

Pure. Answers to ProviderRegistry. ``ip`` is always there, ``digest`` unless it is switched off;
x509, sasl and ensemble join by ``register`` when they exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.auth.digest import DigestProvider
from pyzk.auth.ip import IpProvider

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyzk.auth.provider import AuthId, AuthProvider
    from pyzk.config.server import ServerConfig


class ProviderRegistry:
    """Knows the providers by scheme; a later one replaces an earlier one of the same scheme."""

    __slots__ = ("_providers",)

    def __init__(self, providers: Iterable[AuthProvider] = ()) -> None:
        self._providers: dict[str, AuthProvider] = {}
        for provider in providers:
            self.register(provider)

    @classmethod
    def from_config(cls, config: ServerConfig) -> ProviderRegistry:
        """Begin with the built-in schemes. Raises ConfigError for a digest algorithm that does not
        exist."""
        registry = cls((IpProvider(),))
        if config.digest_auth_enabled:
            registry.register(DigestProvider(config.digest_alg, config.super_digest))
        return registry

    def register(self, provider: AuthProvider) -> None:
        """Add a scheme."""
        self._providers[provider.scheme] = provider

    def get(self, scheme: str | None) -> AuthProvider | None:
        """Return the provider of a scheme; None for unknown schemes and for world, auth and
        super."""
        return None if scheme is None else self._providers.get(scheme)

    def schemes(self) -> tuple[str, ...]:
        """Return every scheme that has a provider, in the order in which they were added."""
        return tuple(self._providers)

    def user_name(self, auth_id: AuthId) -> str:
        """Return the id as whoAmI shows it; empty for schemes without a provider (super)."""
        provider = self._providers.get(auth_id.scheme)
        return "" if provider is None else provider.user_name(auth_id.id)
