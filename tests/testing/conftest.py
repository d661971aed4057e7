"""The server of the plugin and a client of frames, by short names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pyzk.testing import ZooKeeperServer
from tests.testing.raw import RawClient


@pytest.fixture
def server(zk_server: ZooKeeperServer) -> ZooKeeperServer:
    return zk_server


@pytest.fixture
def client(server: ZooKeeperServer) -> Iterator[RawClient]:
    with RawClient(server) as client:
        yield client
