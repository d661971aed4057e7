"""Calls from everywhere at any time: other threads, forked children, an impatient keyboard."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pyzk.testing import FixtureError, NotRunningError, ZooKeeperServer
from pyzk.testing.core.engine import Engine
from tests.testing.raw import PATIENCE_S, RawClient


@pytest.mark.parametrize("how", ["kill", "stop", "restart"])
def test_a_call_that_meets_the_end_is_answered(how: str) -> None:
    server = ZooKeeperServer(leaks="ignore").start()
    failures: list[BaseException] = []
    calls: list[Callable[[], object]] = [
        lambda: server.load({"/a": "1"}),
        lambda: server.wait_for_node("/none", timeout=PATIENCE_S),
        lambda: server.sessions,
        lambda: server.events,
    ]
    is_over = threading.Event()

    def call_on(call: Callable[[], object]) -> None:
        while not is_over.is_set():
            try:
                call()
            except NotRunningError:
                pass
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=call_on, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for _ in range(10):
        getattr(server, how)()
        server.restart()
    server.stop()
    is_over.set()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert failures == []


def test_lives_from_many_threads_come_one_after_the_other() -> None:
    server = ZooKeeperServer().start()
    failures: list[BaseException] = []

    def live(names: list[str]) -> None:
        for name in names * 10:
            try:
                getattr(server, name)()
            except FixtureError:
                pass
            except BaseException as error:
                failures.append(error)

    orders = [["kill", "restart"], ["stop", "restart"], ["reset", "restart", "start"]]
    threads = [threading.Thread(target=live, args=(names,), daemon=True) for names in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert failures == []
    server.restart()
    server.load({"/a": "1"})
    server.stop()


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_forked_child_keeps_nothing(on_disk: bool, tmp_path: Path) -> None:
    server = ZooKeeperServer(tmp_path if on_disk else None, leaks="ignore").start()
    client = RawClient(server)
    told, tells = os.pipe()
    ends, end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        os.write(tells, _use_in_child(server).encode())
        os.read(ends, 1)
        os._exit(0)
    try:
        assert select.select([told], [], [], PATIENCE_S)[0], "the child hangs"
        text = os.read(told, 10_000).decode()
        assert "only there" in text
        assert text.endswith("connected")
        server.drop_connections()
        assert client.sock.recv(1) == b""
        server.restart()
        server.load({"/a": "1"})
        server.kill()
        server.restart()
        server.stop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((server.host, server.port))
            sock.listen()
    finally:
        for number in (told, tells, ends, end):
            os.close(number)
        client.sock.close()
        server.stop()
        os.waitpid(child, 0)


def _use_in_child(server: ZooKeeperServer) -> str:
    said = ""
    calls: list[Callable[[], object]] = [
        lambda: server.load({"/a": "1"}),
        server.restart,
        server.kill,
    ]
    for call in calls:
        try:
            call()
            said += "no error; "
        except BaseException as error:
            said += f"{error!r}; "
    try:
        RawClient(server).sock.close()
        server.stop()
        return said + "connected"
    except BaseException as error:
        return f"{said}{error!r}"


@pytest.mark.usefixtures("at_a_terminal")
def test_ctrl_c_while_it_starts_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Engine.start

    async def interrupted(self: Engine) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await start(self)

    monkeypatch.setattr(Engine, "start", interrupted)
    server = ZooKeeperServer()
    with pytest.raises(KeyboardInterrupt):
        server.start()
        time.sleep(PATIENCE_S)
    assert server.state in ("stopped", "running")
    monkeypatch.undo()
    server.stop()
    assert not [t for t in threading.enumerate() if t.name == "pyzk-test-server"]
