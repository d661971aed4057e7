"""Processes of `pyzk` that end with their test."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ENVIRONMENT, Child, begun


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
            command = ("-m", "pyzk", "serve", *arguments)
            return stack.enter_context(begun(*command, cwd=tmp_path, env=environment, **options))

        yield start
