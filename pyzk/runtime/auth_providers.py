"""Authentication by other packages: providers, found by their entry points, and Kerberos.

Shell. An entry point of the group ``pyzk.auth_providers`` has the name that ``authProvider.<x>`` of
`zoo.cfg` gives, which may be that of a Java class. What it names is called with a mapping of the
settings that pyzk itself does not know, and returns an AuthProvider (`pyzk.auth.provider`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pyzk.config.security_keys import PROVIDER_CLASSES, PROVIDER_GROUP
from pyzk.errors import ConfigError

if TYPE_CHECKING:
    import asyncio
    from importlib.metadata import EntryPoint

    from pyzk.auth.sasl.gssapi import Kerberos
    from pyzk.config.server import ServerConfig
    from pyzk.runtime.kerberos import TakeIn


def has_provider(name: str) -> bool:
    """Tell whether an installed package has an entry point of this name."""
    return _entry_point(name) is not None


def with_custom_providers(config: ServerConfig) -> ServerConfig:
    """Return the configuration with the providers that no class of the original has, made anew.
    Raises ConfigError if one cannot be made."""
    made = [
        (name, _make(suffix, name, config))
        for suffix, name in config.auth_providers
        if name not in PROVIDER_CLASSES
    ]
    return replace(config, custom_providers=tuple(made)) if made else config


def kerberos_of(
    config: ServerConfig, loop: asyncio.AbstractEventLoop, take_in: TakeIn
) -> Kerberos | None:
    """Return Kerberos if a login of clients or members asks for it. Raises ConfigError if it is not
    installed."""
    members = None if config.ensemble is None else config.ensemble.quorum_sasl
    asked = [each for each in (config.sasl, members) if each is not None and each.is_kerberos]
    if not asked:
        return None
    from pyzk.runtime.kerberos import GssKerberos  # few have the library

    return GssKerberos(loop, take_in, asked[0].kerberos_file)


def _make(suffix: str, name: str, config: ServerConfig) -> object:
    found = _entry_point(name)
    key = f"authProvider.{suffix}"
    if found is None:
        raise ConfigError(f"no entry point {name!r} in the group {PROVIDER_GROUP}", key=key)
    try:
        return found.load()(dict(config.other_properties))
    except Exception as error:  # it is the code of another package
        what = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"the entry point {name!r} ({found.value}) fails: {what}", key=key
        ) from error


def _entry_point(name: str) -> EntryPoint | None:
    from importlib.metadata import entry_points  # few need it, and it takes a while

    for found in entry_points(group=PROVIDER_GROUP, name=name):
        return found
    return None
