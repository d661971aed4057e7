"""The fixture with the client that most of its users have."""

from __future__ import annotations

from typing import Any

import pytest

from pyzk.testing import ZooKeeperServer
from tests.testing.raw import PATIENCE_S
from tests.testing.recipes import Heard

exceptions = pytest.importorskip("kazoo.exceptions")


def test_expire_and_drop(zk_server: ZooKeeperServer, zk_client: Any) -> None:
    states: Heard[str] = Heard()
    zk_client.add_listener(states)
    zk_client.create("/e", ephemeral=True)
    zk_server.drop_connection(zk_client)
    zk_server.wait_for_session(zk_client)
    assert zk_server.tree() == {"/e": b""}
    states.wait(lambda seen: seen == ["SUSPENDED", "CONNECTED"])
    zk_server.expire_session(zk_client)
    assert zk_server.tree() == {}
    states.wait(lambda seen: seen[2:] == ["SUSPENDED", "LOST", "CONNECTED"])


def test_fail_with_kazoos_exceptions(zk_server: ZooKeeperServer, zk_client: Any) -> None:
    for kind in (
        exceptions.ConnectionLoss,
        exceptions.NodeExistsError,
        exceptions.SessionExpiredError,
        exceptions.NoAuthError,
    ):
        zk_server.fail("create", kind, client=zk_client)
        with pytest.raises(kind):
            zk_client.create("/a")
    zk_server.fail("getData", exceptions.OperationTimeoutError)
    with pytest.raises(exceptions.OperationTimeoutError):
        zk_client.get("/")
    zk_server.fail("transaction", exceptions.RuntimeInconsistency)
    transaction = zk_client.transaction()
    transaction.create("/a")
    with pytest.raises(exceptions.RuntimeInconsistency):
        transaction.commit()
    assert zk_server.tree() == {}


def test_a_write_whose_answer_is_lost(zk_server: ZooKeeperServer, zk_client: Any) -> None:
    zk_server.no_response("create")
    answer = zk_client.create_async("/a")
    zk_server.wait_for_node("/a")
    zk_server.drop_connection(zk_client)
    with pytest.raises(exceptions.ConnectionLoss):
        answer.get(timeout=PATIENCE_S)


def test_a_data_watch_that_is_late(zk_server: ZooKeeperServer, zk_client: Any) -> None:
    zk_server.load({"/a": b"old"})
    seen: Heard[bytes] = Heard()
    zk_client.DataWatch("/a", lambda data, _stat: seen(data))
    zk_server.wait_for_watch("/a", client=zk_client)
    zk_server.delay("event", 0.02)
    zk_server.load({"/a": b"new"})
    seen.wait(lambda values: values == [b"old", b"new"])


def test_a_restart_is_survived(zk_server: ZooKeeperServer, zk_client: Any) -> None:
    zk_client.create("/e", ephemeral=True)
    zk_server.kill()
    zk_server.restart()
    zk_server.wait_for_session(zk_client)
    assert zk_client.exists("/e")


def test_a_reset_is_a_new_session(zk_server: ZooKeeperServer, zk_client: Any) -> None:
    """A client that lives on comes back, with a session of its own."""
    zk_client.create("/a")
    old = zk_client.client_id[0]
    zk_server.reset()
    assert [leak.session_id for leak in zk_server.leaked] == [old]
    session = zk_server.wait_for_session()
    assert session is not None
    assert session.session_id != old
    assert zk_client.retry(zk_client.exists, "/a") is None
