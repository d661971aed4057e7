"""Waiting: at once when it is so already, when it comes to be, and in vain."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pyzk.constants import AddWatchMode, OpCode
from pyzk.testing import FixtureError, NotRunningError, ZooKeeperServer
from tests.frames import create_request
from tests.testing.raw import PATIENCE_S, RawClient

pytestmark = pytest.mark.zk(leaks="ignore")


def _while_waiting(
    server: ZooKeeperServer, wait: Callable[[], object], act: Callable[[], object]
) -> object:
    """Act as soon as somebody waits; return what the waiting returned."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(wait()))
    thread.start()
    while not server._engine.waiters and thread.is_alive():
        pass
    assert not results
    act()
    thread.join(PATIENCE_S)
    assert results, "it still waits"
    return results[0]


def test_wait_for_node(server: ZooKeeperServer, client: RawClient) -> None:
    server.wait_for_node("/a", exists=False)
    _while_waiting(server, lambda: server.wait_for_node("/a"), lambda: client.create("/a"))
    _while_waiting(
        server,
        lambda: server.wait_for_node("/a", data=b"x"),
        lambda: (client.set_data("/a", b"w"), client.set_data("/a", b"x")),
    )
    _while_waiting(
        server, lambda: server.wait_for_node("/a", exists=False), lambda: client.delete("/a")
    )


def test_waiting_in_vain_says_what_there_is(server: ZooKeeperServer, client: RawClient) -> None:
    server.load({"/app/a": b"1", "/app/b": b"2"})
    with pytest.raises(TimeoutError) as caught:
        server.wait_for_node("/app/c/d", timeout=0.01)
    assert str(caught.value) == (
        "/app/c/d does not exist; below /app there are /app/a; /app/b (waited 0.01 s)"
    )
    with pytest.raises(TimeoutError, match=r"/app/a exists, its data is b'1' \(waited 0.01 s\)"):
        server.wait_for_node("/app/a", data=b"2", timeout=0.01)
    with pytest.raises(TimeoutError, match="/app/a exists"):
        server.wait_for_node("/app/a", exists=False, timeout=0.01)
    with pytest.raises(TimeoutError, match="/app is not watched in this way; watched are none"):
        server.wait_for_watch("/app", timeout=0.01)
    with pytest.raises(TimeoutError, match=f"is still there; open are session .*{client.address}"):
        server.wait_for_session(client.session_id, exists=False, timeout=0.01)
    with pytest.raises(TimeoutError, match="no session 0x7 is connected; open are session 0x"):
        server.wait_for_session(7, timeout=0.01)
    with pytest.raises(TimeoutError, match="three sessions does not hold; open are"):
        server.wait_until(lambda: len(server.sessions) == 3, "three sessions", timeout=0.01)


def test_wait_for_session(server: ZooKeeperServer) -> None:
    clients: list[RawClient] = []
    info = _while_waiting(
        server, server.wait_for_session, lambda: clients.append(RawClient(server))
    )
    (client,) = clients
    assert info == server.sessions[0]
    server.drop_connection(client.session_id)
    again = _while_waiting(
        server,
        lambda: server.wait_for_session(client.session_id),
        lambda: clients.append(RawClient(server, session=client)),
    )
    assert again == server.sessions[0]
    _while_waiting(
        server,
        lambda: server.wait_for_session(client.session_id, exists=False),
        lambda: clients[1].end(),
    )
    server.wait_for_session(exists=False)
    for each in clients:
        each.close()


def test_wait_for_watch(server: ZooKeeperServer, client: RawClient) -> None:
    watch = _while_waiting(
        server, lambda: server.wait_for_watch("/a"), lambda: client.exists("/a", watch=True)
    )
    assert watch == server.watches[0]
    assert server.wait_for_watch("/a", kind="data", client=client.session_id) == watch
    _while_waiting(
        server,
        lambda: server.wait_for_watch("/a", kind="recursive"),
        lambda: client.add_watch("/a", AddWatchMode.PERSISTENT_RECURSIVE),
    )
    with pytest.raises(FixtureError, match="unknown kind of watch 'child'; known are data,"):
        server.wait_for_watch("/a", kind="child")


def test_wait_until_idle(server: ZooKeeperServer, client: RawClient) -> None:
    for number in range(200):
        client.submit(OpCode.CREATE, create_request(f"/{number}"))
    server.wait_until_idle()
    assert len(server.tree()) == 200
    assert [client.reply().err for _ in range(200)] == [0] * 200
    server.wait_until_idle()


def test_a_server_that_is_not_idle_says_why(server: ZooKeeperServer, client: RawClient) -> None:
    server.stall_disk()
    client.submit(OpCode.CREATE, create_request("/a"))
    with pytest.raises(TimeoutError, match=r"is not idle: 1 requests are on the way \(waited"):
        server.wait_until_idle(timeout=0.02)
    server.stall_disk(False)
    server.wait_until_idle()
    server.delay("exists", 60)
    client.submit(OpCode.EXISTS, b"")
    with pytest.raises(TimeoutError, match=f"something is held for {client.address}"):
        server.wait_until_idle(timeout=0.02)


def test_a_condition_may_look_but_not_wait(server: ZooKeeperServer, client: RawClient) -> None:
    server.wait_until(lambda: server.tree() == {} and len(server.sessions) == 1)
    with pytest.raises(FixtureError, match="must not wait"):
        server.wait_until(lambda: server.wait_for_node("/a"))

    def broken() -> bool:
        if len(server.sessions) == 1:
            return False
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        _while_waiting_raises(server, broken, client)


def _while_waiting_raises(
    server: ZooKeeperServer, condition: Callable[[], bool], client: RawClient
) -> None:
    timer = threading.Thread(target=client.end)
    timer.start()
    try:
        server.wait_until(condition)
    finally:
        timer.join()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_end_of_the_server_ends_waiting(end: str) -> None:
    with ZooKeeperServer() as server:
        errors: list[BaseException] = []

        def wait() -> None:
            try:
                server.wait_for_node("/a", timeout=PATIENCE_S)
            except NotRunningError as error:
                errors.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        while not server._engine.waiters and thread.is_alive():
            pass
        getattr(server, end)()
        thread.join(PATIENCE_S)
        assert len(errors) == 1
        with pytest.raises(NotRunningError):
            server.wait_for_node("/a")


def test_from_many_threads(server: ZooKeeperServer) -> None:
    def work(name: str) -> None:
        with RawClient(server) as client:
            for number in range(20):
                assert client.create(f"/{name}{number}").err == 0
                server.wait_for_node(f"/{name}{number}")
                assert server.sessions
                server.load({f"/{name}-{number}": b""})
            client.end()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(server.tree()) == 160


def test_bad_use(server: ZooKeeperServer) -> None:
    with pytest.raises(FixtureError, match="data= is for a znode that should exist"):
        server.wait_for_node("/a", exists=False, data=b"")


def test_a_path_begins_with_a_slash(server: ZooKeeperServer) -> None:
    with pytest.raises(FixtureError, match="'a' is not a path of a znode"):
        server.wait_for_node("a")
    with pytest.raises(FixtureError, match="'a' is not a path of a znode"):
        server.wait_for_watch("a")
