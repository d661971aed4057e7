"""Start, stop, kill, restart, reset: what remains, what is lost, what is left behind."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from pyzk.errors import ConfigError
from pyzk.testing import (
    FixtureError,
    LeakedClientsError,
    LeakedClientsWarning,
    NotRunningError,
    ZooKeeperServer,
)
from tests.frames import create_request
from tests.testing.raw import RawClient


def _can_connect(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


# --- start and stop -------------------------------------------------------------------


def test_a_client_can_write_when_start_returns() -> None:
    with ZooKeeperServer() as server, RawClient(server) as client:
        assert server.state == "running"
        assert server.connect_string == f"127.0.0.1:{server.port}"
        assert server.data_dir is None
        assert client.create("/a", b"x").err == 0
        assert server.tree() == {"/a": b"x"}
        client.end()
    assert server.state == "stopped"
    assert not _can_connect(server.host, server.port)


def test_servers_are_apart_and_have_ports_of_their_own() -> None:
    with ZooKeeperServer() as one, ZooKeeperServer() as two:
        assert one.port != two.port
        one.load({"/a": b"1"})
        assert two.tree() == {}


def test_a_port_on_request() -> None:
    with ZooKeeperServer() as first:
        second = ZooKeeperServer(port=first.port)
        with pytest.raises(FixtureError, match=f"cannot listen on 127.0.0.1:{first.port}"):
            second.start()
    with ZooKeeperServer(port=first.port) as second:
        assert second.port == first.port


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_here_is_told_as_such(host: str) -> None:
    with pytest.raises(FixtureError, match=f"cannot listen on {host}:0: .*; host is to be an addr"):
        ZooKeeperServer(host=host).start()


def test_ipv6() -> None:
    try:
        server = ZooKeeperServer(host="::1").start()
    except (OSError, FixtureError):
        pytest.skip("no IPv6 here")
    with RawClient(server) as client:
        assert server.connect_string == f"[::1]:{server.port}"
        assert client.create("/a").err == 0
        client.end()
    server.stop()


def test_options_are_keys_of_zoo_cfg() -> None:
    with (
        ZooKeeperServer(options={"maxSessionTimeout": 5000}) as server,
        RawClient(server, timeout_ms=60_000) as client,
    ):
        assert client.timeout_ms == 5000
        client.end()
    with pytest.raises(FixtureError, match=r"maxSesionTimeout: unknown.*did you mean"):
        ZooKeeperServer(options={"maxSesionTimeout": 1})
    with pytest.raises(FixtureError, match="option clientPort: give it as the argument port"):
        ZooKeeperServer(options={"clientPort": 2181})
    with pytest.raises(ConfigError, match="tickTime"):
        ZooKeeperServer(options={"tickTime": "often"})


def test_bad_use_is_told() -> None:
    server = ZooKeeperServer()
    with pytest.raises(NotRunningError, match=r"not started: call start\(\)"):
        _ = server.port
    for use in (server.kill, server.restart, server.reset, server.pause, server.tree):
        with pytest.raises(NotRunningError, match=r"not started: call start\(\)"):
            use()
    server.start()
    with pytest.raises(FixtureError, match=r"the first start, once; .* is running"):
        server.start()
    server.stop()
    server.stop()
    for use in (server.kill, server.reset, server.pause, server.tree, server.resume):
        with pytest.raises(NotRunningError, match="is stopped: restart"):
            use()
    with pytest.raises(FixtureError, match="restart"):
        server.start()
    with pytest.raises(FixtureError, match="leaks is 'no'; give one of warn, error, ignore"):
        ZooKeeperServer(leaks="no")
    with pytest.raises(FixtureError, match="leaks is 'no'"):
        server.stop(leaks="no")


def test_the_tests_own_error_is_what_is_seen() -> None:
    with pytest.raises(ZeroDivisionError), ZooKeeperServer(leaks="error") as server:
        client = RawClient(server)
        _ = 1 / 0
    client.close()


def test_nothing_is_left_behind() -> None:
    def lives(count: int) -> None:
        for _ in range(count):
            with ZooKeeperServer() as server, RawClient(server) as client:
                client.create("/a", bytes(10_000))
                client.end()

    def fds() -> int:
        return len(os.listdir("/proc/self/fd"))

    lives(5)
    gc.collect()
    threads = threading.active_count()
    open_files = fds()
    tracemalloc.start()
    try:
        lives(1)
        before = _traces()
        lives(20)
        grown = _traces().compare_to(before, "lineno")
    finally:
        tracemalloc.stop()
    assert threading.active_count() == threads
    assert fds() == open_files
    # A table of the interpreter that happens to grow meanwhile is one allocation, a leak is many.
    leaks = [each for each in grown if each.count_diff >= 20]
    assert sum(each.size_diff for each in leaks) < 20_000, leaks


def _traces() -> tracemalloc.Snapshot:
    """Returns what lives of all that the server and its loop have allocated."""
    gc.collect()
    ours = [tracemalloc.Filter(True, f"*/{name}/*") for name in ("pyzk", "asyncio")]
    return tracemalloc.take_snapshot().filter_traces(ours)


def test_starting_and_stopping_takes_milliseconds() -> None:
    """The goal is 10 ms; a machine that is busy may take longer, but not each time."""
    starts = []
    stops = []
    for _ in range(20):
        begun = time.perf_counter()
        server = ZooKeeperServer().start()
        started = time.perf_counter()
        server.stop()
        starts.append(started - begun)
        stops.append(time.perf_counter() - started)
    assert min(starts) < 0.010
    assert min(stops) < 0.010


# --- restart and kill -----------------------------------------------------------------


@pytest.mark.parametrize("how", ["restart", "kill", "stop"])
def test_data_and_sessions_survive_in_memory(how: str) -> None:
    with ZooKeeperServer(leaks="ignore") as server:
        port = server.port
        with RawClient(server) as client:
            assert client.create("/a", b"x").err == 0
            assert client.create("/e", b"", flags=1).err == 0
            if how == "kill":
                server.kill()
                assert not _can_connect(server.host, port)
                with pytest.raises(NotRunningError, match="is killed: restart"):
                    server.tree()
            elif how == "stop":
                server.stop()
            server.restart()
            assert client.is_cut()
        assert server.port == port
        with RawClient(server, session=client) as again:
            assert again.session_id == client.session_id
            assert again.get_data("/a").body[4:5] == b"x"
            assert again.exists("/e").err == 0
            again.end()
        assert server.tree() == {"/a": b"x"}


def test_many_lives_of_one_server() -> None:
    with ZooKeeperServer() as server:
        for life in range(5):
            with RawClient(server) as client:
                assert client.create(f"/{life}").err == 0
                client.end()
            if life % 2:
                server.restart()
            else:
                server.kill()
                server.restart()
        assert list(server.tree()) == ["/0", "/1", "/2", "/3", "/4"]


def test_a_kill_loses_what_is_not_synced() -> None:
    with ZooKeeperServer() as server, RawClient(server) as client:
        assert client.create("/durable").err == 0
        server.stall_disk()
        client.submit(1, create_request("/lost"))
        server.wait_until(lambda: server._engine.server.outstanding == 1)
        server.kill()
        assert client.is_cut()
        server.restart()
        assert list(server.tree()) == ["/durable"]


def test_a_stop_keeps_what_was_taken() -> None:
    with ZooKeeperServer(leaks="ignore") as server, RawClient(server) as client:
        server.stall_disk()
        client.submit(1, create_request("/taken"))
        server.wait_until(lambda: server._engine.server.outstanding == 1)
        server.restart()
        assert client.reply().err == 0
        assert list(server.tree()) == ["/taken"]


def test_a_snapshot_in_memory_takes_the_place_of_the_log() -> None:
    with ZooKeeperServer(options={"snapCount": 20}) as server, RawClient(server) as client:
        for number in range(50):
            assert client.create(f"/n{number:02}").err == 0
        memory = server._engine._memory
        assert memory is not None
        assert memory.metrics.snapshottime.count > 0
        assert len(memory._records) < 30
        server.kill()
        server.restart()
        assert len(server.tree()) == 50


def test_four_letter_words_see_memory() -> None:
    with ZooKeeperServer() as server:
        server.load({"/a": bytes(1000)})
        with RawClient(server, greet=False) as client:
            client.send(b"dirs")
            assert int(client.sock.recv(1000).split(b"logdir_size: ")[1].split()[0]) > 1000
        with RawClient(server, greet=False) as client:
            client.send(b"conf")
            assert f"clientPort={server.port}" in client.sock.recv(10_000).decode()


def test_the_port_is_kept_while_the_server_is_down() -> None:
    with ZooKeeperServer() as server:
        server.kill()
        others = [socket.create_server(("127.0.0.1", 0)) for _ in range(50)]
        assert server.port not in [other.getsockname()[1] for other in others]
        server.restart()
        for other in others:
            other.close()


# --- a directory ----------------------------------------------------------------------


@pytest.mark.live
def test_a_directory(tmp_path: Path) -> None:
    with ZooKeeperServer(tmp_path / "data") as server, RawClient(server) as client:
        assert server.data_dir == str(tmp_path / "data")
        assert client.create("/a", b"x").err == 0
        server.kill()
        server.restart()
        assert server.tree() == {"/a": b"x"}
        server.stall_disk()
        with RawClient(server, session=client) as again:
            again.submit(1, create_request("/lost"))
            server.wait_until(lambda: server._engine.server.outstanding == 1)
            server.kill()
        server.restart()
        assert server.tree() == {"/a": b"x"}
    with ZooKeeperServer(tmp_path / "data") as server:
        assert server.tree() == {"/a": b"x"}
        server.reset()
        assert server.tree() == {}
        server.load({"/b": b"y"})
        server.restart()
        assert server.tree() == {"/b": b"y"}


@pytest.mark.live
def test_a_disk_that_fails_is_told(tmp_path: Path) -> None:
    with ZooKeeperServer(tmp_path, leaks="ignore") as server:
        shutil.rmtree(tmp_path)
        with RawClient(server, greet=False) as client:
            client.greet()
            with pytest.raises(NotRunningError, match="has stopped by itself"):
                server.wait_for_session()
            assert client.is_cut()
        assert server.state == "broken"


@pytest.mark.live
def test_a_directory_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    for _ in range(3):
        with ZooKeeperServer(tmp_path) as server:
            server.load({"/a": b"x"})
            server.kill()
            server.restart()
    assert threading.active_count() == before


def test_a_directory_in_use_is_told(tmp_path: Path) -> None:
    with ZooKeeperServer(tmp_path):
        other = ZooKeeperServer(tmp_path)
        with pytest.raises(Exception, match=r"another server|in use|locked"):
            other.start()
        assert other.state == "not started"


# --- reset ----------------------------------------------------------------------------


def test_reset_gives_a_new_server_on_the_same_port() -> None:
    with ZooKeeperServer() as server, RawClient(server) as client:
        port = server.port
        client.create("/a")
        client.create("/a/s", flags=2)
        last_zxid = client.ping().zxid
        server.fail("getData", "NoNode", times=None)
        server.reject_connections()
        server.reset()
        assert client.is_cut()
        assert server.port == port
        assert server.tree() == {}
        assert server.sessions == []
        assert server.faults == []
        with RawClient(server) as other:
            assert other.create("/a").err == 0
            assert other.get_data("/a").err == 0
            assert other.ping().zxid > last_zxid
            other.end()
        with RawClient(server, session=client, greet=False) as again:
            again.greet()
            assert again.welcome() == 0, "the session is over"


def test_after_a_reset_a_restart_is_empty_too() -> None:
    with ZooKeeperServer() as server:
        server.load({"/a": b"x"})
        server.reset()
        server.kill()
        server.restart()
        assert server.tree() == {}
        server.load({"/b": b"y"})
        server.kill()
        server.restart()
        assert server.tree() == {"/b": b"y"}


def test_sequence_numbers_begin_anew() -> None:
    with ZooKeeperServer() as server:
        for _ in range(3):
            with RawClient(server) as client:
                client.create("/s-", flags=2)
                assert list(server.tree()) == ["/s-0000000000"]
                client.end()
            server.reset()


def test_sessions_of_two_lives_differ() -> None:
    for is_virtual in (False, True):
        with ZooKeeperServer(virtual_clock=is_virtual) as server:
            seen = set()
            for _ in range(20):
                with RawClient(server) as client:
                    seen.add(client.session_id)
                    client.end()
                server.reset()
            assert len(seen) == 20


# --- leaks ----------------------------------------------------------------------------


def test_a_leaked_client_is_named() -> None:
    server = ZooKeeperServer().start()
    with RawClient(server) as client, pytest.warns(LeakedClientsWarning) as caught:
        server.stop()
    (leak,) = server.leaked
    assert leak.address == client.address
    assert leak.session_id == client.session_id
    text = str(caught[0].message)
    assert f"{client.address}, session 0x{client.session_id:x}, connected in" in text
    assert "test_life.py::test_a_leaked_client_is_named" in text
    assert caught[0].filename == __file__


def test_a_leaked_client_may_be_an_error() -> None:
    server = ZooKeeperServer(leaks="error").start()
    still_connected = pytest.raises(LeakedClientsError, match=r"1 client\(s\) still connected")
    with RawClient(server), still_connected:
        server.stop()
    assert server.state == "stopped"
    server.restart()
    with RawClient(server):
        server.stop(leaks="ignore")
    assert len(server.leaked) == 1


def test_a_client_that_goes_just_before_the_end_is_no_leak() -> None:
    for _ in range(20):
        server = ZooKeeperServer(leaks="error").start()
        RawClient(server).close()
        server.stop()
        assert server.leaked == []


def test_reset_tells_leaks_too() -> None:
    with ZooKeeperServer(leaks="error") as server:
        with RawClient(server) as client:
            server.reset()
            assert [leak.address for leak in server.leaked] == [client.address]
        server.reset()
        assert server.leaked == []


def test_a_broken_server_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with ZooKeeperServer() as server, RawClient(server) as client:
        engine = server._engine

        def break_it() -> None:
            raise ArithmeticError("a bug")

        server._call(lambda: engine.perform(break_it))
        assert client.is_cut()
        assert server.state == "broken"
        with pytest.raises(NotRunningError, match="has stopped by itself"):
            server.load({"/a": b""})
        assert "a bug" in server.report()
