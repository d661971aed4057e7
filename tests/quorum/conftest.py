"""A standalone peer on an empty tree, and a client of it."""

from __future__ import annotations

import pytest

from tests.world import Client, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return world.connect()
