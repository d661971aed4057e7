"""Processes of `pyzk` that end with their test."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyzk.cli import members, members_client, members_run
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
