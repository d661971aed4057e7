"""The fixture with the client that most of its users have."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pyzk.testing import ZooKeeperServer
from tests.testing.raw import PATIENCE_S

kazoo_client = pytest.importorskip("kazoo.client")
exceptions = pytest.importorskip("kazoo.exceptions")


@pytest.fixture
def server() -> Iterator[ZooKeeperServer]:
    with ZooKeeperServer(leaks="error") as server:
        yield server


@pytest.fixture
def connect(server: ZooKeeperServer) -> Iterator[Callable[[], Any]]:
    clients = []

    def connect() -> Any:
        client = kazoo_client.KazooClient(
            server.connect_string, timeout=10, connection_retry={"delay": 0.01, "max_tries": -1}
        )
        client.start(PATIENCE_S)
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.stop()
        client.close()


def test_expire_and_drop(server: ZooKeeperServer, connect: Callable[[], Any]) -> None:
    client = connect()
    states: list[str] = []
    changed = threading.Condition()

    def listen(state: str) -> None:
        with changed:
            states.append(state)
            changed.notify_all()

    client.add_listener(listen)
    client.create("/e", ephemeral=True)
    server.drop_connection(client)
    server.wait_for_session(client)
    assert server.tree() == {"/e": b""}
    with changed:
        assert changed.wait_for(lambda: states == ["SUSPENDED", "CONNECTED"], PATIENCE_S)
    server.expire_session(client)
    assert server.tree() == {}
    with changed:
        assert changed.wait_for(lambda: states[2:] == ["SUSPENDED", "LOST", "CONNECTED"], 20)


def test_fail_with_kazoos_exceptions(server: ZooKeeperServer, connect: Callable[[], Any]) -> None:
    client = connect()
    for kind in (
        exceptions.ConnectionLoss,
        exceptions.NodeExistsError,
        exceptions.SessionExpiredError,
        exceptions.NoAuthError,
    ):
        server.fail("create", kind, client=client)
        with pytest.raises(kind):
            client.create("/a")
    server.fail("getData", exceptions.OperationTimeoutError)
    with pytest.raises(exceptions.OperationTimeoutError):
        client.get("/")
    server.fail("transaction", exceptions.RuntimeInconsistency)
    transaction = client.transaction()
    transaction.create("/a")
    with pytest.raises(exceptions.RuntimeInconsistency):
        transaction.commit()
    assert server.tree() == {}


def test_a_write_whose_answer_is_lost(server: ZooKeeperServer, connect: Callable[[], Any]) -> None:
    client = connect()
    server.no_response("create")
    answer = client.create_async("/a")
    server.wait_for_node("/a")
    server.drop_connection(client)
    with pytest.raises(exceptions.ConnectionLoss):
        answer.get(timeout=PATIENCE_S)


def test_a_data_watch_that_is_late(server: ZooKeeperServer, connect: Callable[[], Any]) -> None:
    server.load({"/a": b"old"})
    seen: list[bytes] = []
    changed = threading.Condition()
    client = connect()

    @client.DataWatch("/a")  # type: ignore[untyped-decorator]
    def watch(data: bytes, _stat: object) -> None:
        with changed:
            seen.append(data)
            changed.notify_all()

    server.wait_for_watch("/a", client=client)
    server.delay("event", 0.02)
    server.load({"/a": b"new"})
    with changed:
        assert changed.wait_for(lambda: seen == [b"old", b"new"], PATIENCE_S)


def test_a_restart_is_survived(server: ZooKeeperServer, connect: Callable[[], Any]) -> None:
    client = connect()
    client.create("/e", ephemeral=True)
    server.kill()
    server.restart()
    server.wait_for_session(client)
    assert client.exists("/e")


def test_a_reset_is_a_new_session(server: ZooKeeperServer, connect: Callable[[], Any]) -> None:
    """A client that lives on comes back, with a session of its own."""
    client = connect()
    client.create("/a")
    old = client.client_id[0]
    server.reset()
    assert [leak.session_id for leak in server.leaked] == [old]
    session = server.wait_for_session()
    assert session is not None
    assert session.session_id != old
    assert client.retry(client.exists, "/a") is None
