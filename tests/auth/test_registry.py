"""Which schemes a server knows."""

from __future__ import annotations

import pytest

from pyzk.auth.digest import DigestProvider
from pyzk.auth.provider import AuthId
from pyzk.auth.registry import ProviderRegistry
from pyzk.config.server import ServerConfig
from pyzk.errors import ConfigError


def test_ip_and_digest_are_built_in() -> None:
    registry = ProviderRegistry.from_config(ServerConfig())
    assert registry.schemes() == ("ip", "digest")
    for scheme in ("world", "auth", "super", "sasl", "x509", "", None):
        assert registry.get(scheme) is None


def test_digest_can_be_switched_off() -> None:
    registry = ProviderRegistry.from_config(ServerConfig(digest_auth_enabled=False))
    assert registry.schemes() == ("ip",)


def test_digest_takes_its_configuration() -> None:
    config = ServerConfig(digest_alg="SHA-256", super_digest="root:abc")
    provider = ProviderRegistry.from_config(config).get("digest")
    assert provider is not None
    ids = provider.authenticate("", b"u:p")
    assert ids is not None
    assert len(ids[0].id) == 46


def test_a_wrong_algorithm_stops_the_start() -> None:
    with pytest.raises(ConfigError):
        ProviderRegistry.from_config(ServerConfig(digest_alg="ROT13"))


def test_a_later_provider_replaces_an_earlier_one() -> None:
    first, second = DigestProvider(), DigestProvider("MD5")
    registry = ProviderRegistry((first, second))
    assert registry.get("digest") is second


def test_user_names() -> None:
    registry = ProviderRegistry.from_config(ServerConfig())
    assert registry.user_name(AuthId("digest", "bob:hash")) == "bob"
    assert registry.user_name(AuthId("ip", "10.0.0.1")) == "10.0.0.1"
    assert registry.user_name(AuthId("super", "")) == ""
    assert registry.user_name(AuthId("super", "CN=x")) == ""


JAVA = "org.apache.zookeeper.server.auth."


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("IPAuthenticationProvider", "ip"),
        ("DigestAuthenticationProvider", "digest"),
        ("EnsembleAuthenticationProvider", "ensemble"),
        ("KeyAuthenticationProvider", "key"),
    ],
)
def test_the_classes_of_the_original_have_their_scheme_here(name: str, scheme: str) -> None:
    config = ServerConfig(digest_auth_enabled=False, auth_providers=(("x", f"{JAVA}{name}"),))
    provider = ProviderRegistry.from_config(config).get(scheme)
    assert provider is not None
    assert provider.scheme == scheme


def test_digest_is_there_again_if_its_class_is_named() -> None:
    config = ServerConfig(
        digest_auth_enabled=False,
        auth_providers=(("1", f"{JAVA}DigestAuthenticationProvider"),),
    )
    assert ProviderRegistry.from_config(config).schemes() == ("ip", "digest")


def test_a_custom_provider_is_one_only_if_it_answers_as_one() -> None:
    config = ServerConfig(auth_providers=(("1", "mine"),), custom_providers=(("mine", object()),))
    with pytest.raises(ConfigError, match="'mine' has made a object"):
        ProviderRegistry.from_config(config)
