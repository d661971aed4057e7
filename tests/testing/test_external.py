"""Servers that run elsewhere: what goes over the wire, what is refused, what a process does."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyzk.constants import OpCode
from pyzk.jute.records import ACL, SetACLRequest
from pyzk.testing import FixtureError, NotAvailableError, NotRunningError, ZooKeeperServer
from pyzk.testing.external.command import CommandServer
from pyzk.testing.external.server import ConnectedServer
from tests.testing.raw import PATIENCE_S, RawClient

ROOT = Path(__file__).parents[2]
COMMAND = f"env PYTHONPATH={ROOT} {sys.executable} -m pyzk serve {{cfg}}"


@pytest.fixture
def connected(zk_server: ZooKeeperServer) -> Iterator[ConnectedServer]:
    with ConnectedServer(zk_server.connect_string) as server:
        yield server


@pytest.fixture
def process(tmp_path: Path) -> Iterator[CommandServer]:
    with CommandServer(COMMAND, tmp_path) as server:
        yield server


# --- a server that runs already -------------------------------------------------------


def test_where_it_is(zk_server: ZooKeeperServer, connected: ConnectedServer) -> None:
    assert (connected.host, connected.port) == (zk_server.host, zk_server.port)
    hosts, _, chroot = connected.connect_string.partition("/")
    assert hosts == zk_server.connect_string
    assert zk_server.tree() == {f"/{chroot}": b""}
    assert connected.data_dir is None
    assert connected.leaked == connected.events == []
    assert "running" in repr(connected)
    assert f"running, {connected.connect_string}" in connected.report()


def test_the_first_that_answers_is_taken(zk_server: ZooKeeperServer) -> None:
    with ZooKeeperServer() as gone:
        hosts = f"{gone.connect_string},{zk_server.connect_string}"
    with ConnectedServer(hosts) as server:
        assert server.port == zk_server.port
        assert server.connect_string.startswith(hosts + "/")
    with pytest.raises(FixtureError, match="'localhost' is not HOST:PORT"):
        ConnectedServer("localhost")


def test_what_only_a_server_here_can_do_is_refused_by_name(connected: ConnectedServer) -> None:
    server: Any = connected
    for name in ("pause", "delay", "sessions", "advance", "wait_until_idle", "drop_connections"):
        with pytest.raises(NotAvailableError, match=rf"{name} is not .* external server \(--pyzk"):
            getattr(server, name)
    for name in ("expire_session", "drop_connection"):
        with pytest.raises(NotAvailableError, match=f"{name} of anything but a connected kazoo cl"):
            getattr(server, name)(0x1234)
    with pytest.raises(NotAvailableError, match="wait_for_session of any session is not available"):
        server.wait_for_session()
    with pytest.raises(NotAvailableError, match="wait_for_watch without client=, a kazoo client"):
        server.wait_for_watch("/a")
    with pytest.raises(TimeoutError, match=r"true some day does not hold \(waited 0.01 s\)"):
        server.wait_until(lambda: False, "true some day", timeout=0.01)
    with pytest.raises(TimeoutError, match=r"session 0x1234 connected does not hold"):
        server.wait_for_session(0x1234, timeout=0.01)
    with pytest.raises(AttributeError, match="no attribute 'paws'"):
        _ = server.paws


def test_a_session_that_its_client_takes_back_is_expired_all_the_same(
    zk_server: ZooKeeperServer, connected: ConnectedServer, zk_client: Any
) -> None:
    zk_client.create("/mine", ephemeral=True)
    held = zk_server.delay("closeSession", 60, times=1)
    order = threading.Thread(target=connected.expire_session, args=[zk_client])
    order.start()
    zk_server.wait_until(lambda: held.fired)
    zk_server.drop_connection(zk_client)
    order.join(PATIENCE_S)
    zk_server.wait_for_node("/mine", exists=False)


@pytest.mark.zk(options={"4lw.commands.whitelist": "srvr"})
def test_what_needs_four_letter_words_is_refused_where_they_are_not_allowed(
    connected: ConnectedServer,
) -> None:
    for exists, word in ((True, "cons"), (False, "dump")):
        with pytest.raises(NotAvailableError, match=f"{word} is not in the server's 4lw.commands"):
            connected.wait_for_session(0x1234, exists=exists)


def test_bad_use_is_told(zk_server: ZooKeeperServer) -> None:
    server = ConnectedServer(zk_server.connect_string)
    with pytest.raises(NotRunningError, match="not started"):
        server.tree()
    assert "not started" in server.report()
    server.start()
    with pytest.raises(FixtureError, match="once"):
        server.start()
    with pytest.raises(FixtureError, match="should exist"):
        server.wait_for_node("/a", exists=False, data=b"")
    server.stop()
    server.stop()
    with pytest.raises(NotRunningError, match="stopped"):
        server.load({"/a": b""})
    assert zk_server.tree() == {}


def test_waiting_goes_on_for_longer_than_a_session(
    zk_server: ZooKeeperServer, connected: ConnectedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyzk.testing.external.plain_client.PING_S", 0.01)
    connected.load({"/a": b"1"})
    pings = zk_server.delay("ping", 0, times=3)
    with pytest.raises(TimeoutError, match=r"/a exists, its data is b'1' \(waited 0.2 s\)"):
        connected.wait_for_node("/a", data=b"2", timeout=0.2)
    assert pings.fired == 3


def test_the_answer_to_a_ping_may_take_longer_than_its_interval(
    zk_server: ZooKeeperServer, connected: ConnectedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyzk.testing.external.plain_client.PING_S", 0.01)
    connected.load({"/a": b"1"})
    slow = zk_server.delay("ping", 0.1, times=1)
    with pytest.raises(TimeoutError, match="/a exists"):
        connected.wait_for_node("/a", data=b"2", timeout=0.2)
    assert slow.fired == 1


def test_what_an_acl_keeps_is_told(zk_server: ZooKeeperServer, connected: ConnectedServer) -> None:
    connected.load({"/a/b": b""})
    chroot = connected.connect_string.partition("/")[2]
    with RawClient(zk_server) as client:
        read_only = SetACLRequest(f"/{chroot}/a", [ACL(1, "world", "anyone")], -1)
        assert client.call(OpCode.SET_ACL, read_only).err == 0
        client.end()
    with pytest.raises(FixtureError, match=f"/{chroot}/a/b: its parent's ACL keeps it"):
        connected.reset()
    zk_server.reset()
    with pytest.raises(FixtureError, match="no server answers"):
        ConnectedServer("127.0.0.1:1").start()


# --- a process ------------------------------------------------------------------------


@pytest.mark.live
def test_a_process_that_is_paused_killed_and_reset(process: CommandServer) -> None:
    port = process.port
    process.load({"/a": b"x"})
    process.pause()
    with pytest.raises(NotRunningError, match="paused"):
        process.tree()
    process.restart()
    assert process.tree() == {"/a": b"x"}
    process.kill()
    with pytest.raises(NotRunningError, match="killed"):
        process.kill()
    process.restart()
    assert process.port == port
    assert process.tree() == {"/a": b"x"}
    process.pause()
    process.reset()
    assert process.tree() == {}


@pytest.mark.live
def test_a_reset_that_an_acl_forbids_is_a_new_start(process: CommandServer) -> None:
    process.load({"/a/b": b""})
    here: Any = process
    with RawClient(here) as client:
        assert (
            client.call(OpCode.SET_ACL, SetACLRequest("/a", [ACL(1, "world", "anyone")], -1)).err
            == 0
        )
        client.end()
    process.reset()
    assert process.tree() == {}
    assert process.state == "running"


@pytest.mark.live
def test_a_process_that_ends_by_itself_is_told(process: CommandServer) -> None:
    assert process._process is not None
    os.killpg(process._process.pid, signal.SIGKILL)
    process._process.wait()
    with pytest.raises(NotRunningError, match="stopped by itself"):
        process.tree()
    assert "ready on" in process.report()


def test_a_process_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyzk.testing.external.command.START_S", 0.05)
    server = CommandServer("sh -c 'trap \"\" TERM; echo busy; sleep 60' {port}", tmp_path)
    with pytest.raises(FixtureError, match=r"not ready after 0.05 s"):
        server.start()
    assert server._process is None
    with pytest.raises(FixtureError, match=r"option znode.container.checkIntervalMs is a system"):
        CommandServer("x {cfg}", tmp_path, options={"znode.container.checkIntervalMs": 5}).start()


def test_bad_use_of_a_process_is_told(tmp_path: Path) -> None:
    server = CommandServer("x {cfg}", tmp_path)
    for use in (server.restart, server.kill, server.pause, lambda: server.port):
        with pytest.raises(NotRunningError, match="not started"):
            use()
    with pytest.raises(FixtureError, match="cannot run it"):
        server.start()
    server.stop()
    assert server.data_dir == str(tmp_path / "data")
