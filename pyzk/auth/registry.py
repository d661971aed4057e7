"""The schemes this server knows.

Pure. Answers to ProviderRegistry. ``ip`` is always there, ``digest`` unless it is switched off,
``x509`` where clients come by TLS; the others join where ``authProvider.<x>`` names the Java class
that has them, or an entry point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from pyzk.auth.custom import CustomProvider
from pyzk.auth.digest import DigestProvider
from pyzk.auth.ensemble import EnsembleProvider
from pyzk.auth.ip import IpProvider
from pyzk.auth.key import KeyProvider
from pyzk.auth.provider import X509
from pyzk.config.security_keys import PROVIDER_CLASSES
from pyzk.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyzk.auth.provider import AuthId, AuthProvider
    from pyzk.config.server import ServerConfig

ReadData = Callable[[str], bytes | None]
"""Returns the data of a znode, None if there is none."""


def _no_data(path: str) -> bytes | None:
    return None


class Ingredients(NamedTuple):
    """What a provider can be made of."""

    config: ServerConfig
    metrics: Metrics
    read: ReadData


class ProviderRegistry:
    """Knows the providers by scheme; a later one replaces an earlier one of the same scheme."""

    __slots__ = ("_providers",)

    def __init__(self, providers: Iterable[AuthProvider] = ()) -> None:
        self._providers: dict[str, AuthProvider] = {}
        for provider in providers:
            self.register(provider)

    @classmethod
    def from_config(
        cls, config: ServerConfig, metrics: Metrics | None = None, read: ReadData = _no_data
    ) -> ProviderRegistry:
        """Begin with the built-in schemes, then take those that authProvider.* names. Raises
        ConfigError for a digest algorithm that does not exist, or a provider that is none."""
        registry = cls((IpProvider(),))
        if config.digest_auth_enabled:
            registry.register(DigestProvider(config.digest_alg, config.super_digest))
        if config.client_tls is not None:
            registry.register(_x509(config))
        ingredients = Ingredients(config, metrics or Metrics(), read)
        custom = dict(config.custom_providers)
        for _, name in config.auth_providers:
            make = BUILT_IN.get(PROVIDER_CLASSES.get(name, ""))
            if make is not None:
                registry.register(make(ingredients))
            elif name in custom:
                registry.register(CustomProvider(custom[name], name))
        return registry

    def register(self, provider: AuthProvider) -> None:
        """Add a scheme."""
        self._providers[provider.scheme] = provider

    def get(self, scheme: str | None) -> AuthProvider | None:
        """Return the provider of a scheme; None for unknown schemes and for world, auth and
        super."""
        return None if scheme is None else self._providers.get(scheme)

    def of_certificates(self, chain: Sequence[bytes]) -> tuple[AuthId, ...] | None:
        """Return the identities of who has shown these certificates in a handshake, its own first;
        None if they give none."""
        from pyzk.auth.x509 import X509Provider

        provider = self._providers.get(X509)
        return provider.of_certificates(chain) if isinstance(provider, X509Provider) else None

    def schemes(self) -> tuple[str, ...]:
        """Return every scheme that has a provider, in the order in which they were added."""
        return tuple(self._providers)

    def user_name(self, auth_id: AuthId) -> str:
        """Return the id as whoAmI shows it; empty for schemes without a provider (super)."""
        provider = self._providers.get(auth_id.scheme)
        return "" if provider is None else provider.user_name(auth_id.id)


def _sasl_provider(given: Ingredients) -> AuthProvider:
    from pyzk.auth.sasl.logins import SaslProvider  # most have none, and start sooner

    return SaslProvider(given.config.sasl)


def _x509(config: ServerConfig) -> AuthProvider:
    from pyzk.auth.x509 import X509Provider  # few need it

    return X509Provider(config)


BUILT_IN: Final[dict[str, Callable[[Ingredients], AuthProvider]]] = {
    "ip": lambda _: IpProvider(),
    "digest": lambda given: DigestProvider(given.config.digest_alg, given.config.super_digest),
    "sasl": _sasl_provider,
    "ensemble": lambda given: EnsembleProvider(given.config.ensemble_auth_names, given.metrics),
    "key": lambda given: KeyProvider(given.read),
    "x509": lambda given: _x509(given.config),
}
"""Scheme -> what makes its provider, for the schemes that a Java class of the original has."""
