"""Environments of containers, for the tests of what they become."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pyzk.config.container import OFFICIAL_DEFAULTS, Plan, configure, plan
from pyzk.config.server import ServerConfig
from pyzk.config.settings import no_names
from pyzk.errors import ConfigError

FOUR = (
    "server.1=zk1:2888:3888;2181 server.2=zk2:2888:3888;2181 server.3=zk3:2888:3888;2181"
    " server.4=zk4:2888:3888:observer;2181"
)
OPEN = {"ALLOW_ANONYMOUS_LOGIN": "yes"}


def asked(
    environment: Mapping[str, str] | None = None,
    *,
    host_name: str = "box",
    files: Mapping[str, str] | None = None,
    has_config: bool = False,
    **variables: str,
) -> Plan:
    def read(path: str) -> str:
        try:
            return (files or {})[path]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", path) from None

    return plan({**(environment or {}), **variables}, host_name, read, has_config=has_config)


def values(made: Plan) -> dict[str, str]:
    return {each.name: each.value for each in made.options}


def given(made: Plan, *, without: Mapping[str, str] = OFFICIAL_DEFAULTS) -> dict[str, str]:
    """What is not a default."""
    return {name: value for name, value in values(made).items() if without.get(name) != value}


def refusal(environment: Mapping[str, str] | None = None, **variables: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        asked({**(environment or {}), **variables})
    return caught.value


def config(made: Plan, my_id: bytes | None = b"1\n") -> ServerConfig:
    return configure(
        made,
        lambda path: my_id if path.endswith("/myid") else None,
        no_names,
        lambda path: False,
        lambda name: False,
    )
