"""The configuration of a test server: production's keys, with defaults for tests.

Shell. Three things differ from a server in production: ticks are short, so that a real timeout of
a second is one; there is no limit to the connections of one host; all znode types and all
four-letter words are on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pyzk.config.keys import KEYS
from pyzk.config.server import Property, ServerConfig, parse_config
from pyzk.runtime.auth_providers import has_provider
from pyzk.testing.errors import FixtureError

IN_MEMORY: Final = "memory"
"""The dataDir of a server that has no directory."""

DEFAULTS: Final[Mapping[str, object]] = {
    "tickTime": 100,
    "minSessionTimeout": 100,
    "maxSessionTimeout": 600_000,
    "maxClientCnxns": 0,
    "extendedTypesEnabled": "true",
    "znode.container.checkIntervalMs": 1000,
    "4lw.commands.whitelist": "*",
    # The log in memory stays small: when it is larger, a snapshot replaces it.
    "snapSizeLimitInKb": 65_536,
    "preAllocSize": 64,
    "admin.enableServer": "false",
}

_ARGUMENTS: Final = {"dataDir": "data_dir", "clientPort": "port", "clientPortAddress": "host"}
PROPERTIES: Final = frozenset(key.name for key in KEYS if key.own)
"""The settings that are system properties, and no keys of zoo.cfg."""


def make_config(
    data_dir: str | None, host: str, port: int, options: Mapping[str, object]
) -> ServerConfig:
    """Return the configuration; ``options`` are keys of zoo.cfg or names after -D.

    Raises ConfigError for a wrong value, FixtureError for a name that means nothing.
    """
    for name, argument in _ARGUMENTS.items():
        if name in options:
            raise FixtureError(f"option {name}: give it as the argument {argument}")
    settings: dict[str, object] = {
        "dataDir": data_dir or IN_MEMORY,
        "clientPort": port,
        "clientPortAddress": host,
        **DEFAULTS,
        "admin.serverAddress": host,
        "admin.serverPort": 0,
        **options,
    }
    given = [Property(name, text_of(value), name) for name, value in settings.items()]
    config = parse_config(
        b"",
        properties=[entry for entry in given if entry.name in PROPERTIES],
        options=[entry for entry in given if entry.name not in PROPERTIES],
        read_file=_read_if_there,
        has_provider=has_provider,
    )
    for _, warning in config.warnings:
        if any(warning.startswith(f"{name}:") and "ignored" in warning for name in options):
            # A server in production warns of it; a test that asks for it needs it.
            said = warning.replace(", so it is ignored", "").replace(", ignored", "")
            raise FixtureError(f"option {said}")
    return config


def with_admin(options: Mapping[str, object] | None, *, has_admin: bool) -> Mapping[str, object]:
    """Return the options of a server, which has an admin server if ``has_admin`` says so."""
    asked: dict[str, object] = {"admin.enableServer": "true"} if has_admin else {}
    return {**asked, **(options or {})}


def _read_if_there(path: str) -> bytes | None:
    """Return what a file holds, say one with logins; None if it is not there."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def text_of(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
