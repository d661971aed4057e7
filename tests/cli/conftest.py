"""Processes of `pyzk` that end with their test."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyzk.cli import members, members_client, members_run
from pyzk.config.server import ServerConfig
from pyzk.runtime import logs
from pyzk.runtime import main as runtime
from tests.cli.served import Served
from tests.cli.stand_in import StandIn
from tests.processes import ENVIRONMENT, NO_ADMIN, Child, begun


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """As a user's: this tree is importable, and compiled once."""
    environment = ENVIRONMENT | {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("compiled"))}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[..., Child]]:
    """Starts `pyzk serve`."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, **options: Any) -> Child:
            admin = () if "--admin-port" in arguments else (NO_ADMIN,)
            command = ("-m", "pyzk", "serve", *admin, *arguments)
            return stack.enter_context(begun(*command, cwd=tmp_path, env=environment, **options))

        yield start


@pytest.fixture
def ensemble(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """An ensemble for `pyzk members`, for which nothing that is waited for takes long."""
    monkeypatch.setattr(members_run, "_PAUSE_S", 0.01)
    monkeypatch.setattr(members_client, "_PAUSE_S", 0.01)
    monkeypatch.delenv(members.AUTH_VARIABLE, raising=False)
    with StandIn() as made:
        yield made


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Served:
    """Takes what `pyzk serve` would run."""
    served = Served()

    def run(
        config: ServerConfig,
        *,
        loop: str,
        connect_string_only: bool,
        must_be_heard: bool,
        zoo_cfg: str | None,
        read_level: Callable[[], str] | None,
    ) -> int:
        served.config, served.loop, served.read_level = config, loop, read_level
        served.announcement = (connect_string_only, must_be_heard)
        return 0

    def set_up(level: str, form: str) -> None:
        served.logs = (level, form)

    monkeypatch.setattr(runtime, "run", run)

    def set_level(level: str) -> None:
        served.level = level

    monkeypatch.setattr(logs, "set_up", set_up)
    monkeypatch.setattr(logs, "set_level", set_level)
    return served
