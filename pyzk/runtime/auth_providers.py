"""Authentication providers of other packages, found by their entry points.

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
    from importlib.metadata import EntryPoint

    from pyzk.config.server import ServerConfig


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
