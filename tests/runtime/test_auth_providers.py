"""Providers that are found by their entry points, from an installed package to a client."""

from __future__ import annotations

import importlib
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from pyzk.config.security_keys import PROVIDER_GROUP
from pyzk.config.server import Property, ServerConfig, parse_config
from pyzk.constants import OpCode
from pyzk.errors import ConfigError
from pyzk.jute.records import ACL, CreateRequest
from pyzk.runtime.auth_providers import has_provider, with_custom_providers
from pyzk.runtime.runner import PeerRunner
from tests.server.calls import authenticate
from tests.world import World

PACKAGE = Path(__file__).parents[1] / "testdata" / "auth_provider"
NAME = "org.example.TokenAuthenticationProvider"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PACKAGE)


def config(name: str = NAME, tokens: str | None = "t1=ann,t2=bob") -> ServerConfig:
    options = [("dataDir", "/d"), ("clientPort", "0"), ("authProvider.1", name)]
    if tokens is not None:
        options.append(("tokens", tokens))
    given = [Property(key, value, key) for key, value in options]
    return parse_config(b"", options=given, has_provider=has_provider)


def test_a_client_logs_in_by_the_scheme_of_an_installed_package() -> None:
    world = World(with_custom_providers(config()))
    ann, bob = world.connect(), world.connect()
    assert authenticate(ann, b"t1", "token").err == 0
    assert authenticate(bob, b"t2", "token").err == 0
    acl = [ACL(31, "auth", "")]
    assert ann.call(OpCode.CREATE, CreateRequest("/a", b"x", acl, 0)).err == 0
    assert ann.get_data("/a").err == 0
    assert bob.get_data("/a").err == -102
    assert authenticate(bob, b"t3", "token").err == -115
    assert bob.is_closed


def test_the_server_makes_the_provider_when_it_starts() -> None:
    (made,) = PeerRunner(config()).config.custom_providers
    assert (made[0], type(made[1]).__name__) == (NAME, "TokenProvider")


def test_a_provider_that_cannot_be_made_keeps_the_server_from_starting() -> None:
    with pytest.raises(ConfigError) as error:
        PeerRunner(config(tokens=None))
    assert str(error.value) == (
        f"authProvider.1: the entry point {NAME!r} (example_provider:TokenProvider) fails:"
        " KeyError: 'tokens'"
    )


def test_an_entry_point_that_leads_nowhere_keeps_the_server_from_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.import_module("example_provider"), "TokenProvider", None)
    with pytest.raises(ConfigError, match=r"\(example_provider:TokenProvider\) fails: TypeError"):
        PeerRunner(config())


def test_what_is_installed_is_what_the_package_declares() -> None:
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    declared = project["entry-points"][PROVIDER_GROUP]
    installed = entry_points(group=PROVIDER_GROUP)
    assert {each.name: each.value for each in installed} == declared


def test_a_package_that_is_gone_by_now_keeps_the_server_from_starting() -> None:
    named = ServerConfig(auth_providers=(("7", "gone"),))
    with pytest.raises(ConfigError, match=r"authProvider\.7: no entry point 'gone'"):
        with_custom_providers(named)


def test_what_no_package_has_is_not_there() -> None:
    assert has_provider(NAME)
    assert not has_provider("com.acme.Nothing")
