"""Virtual time, and a server that stands still."""

from __future__ import annotations

import pytest

from pyzk.constants import CreateMode, OpCode
from pyzk.jute.records import PathWatchRequest
from pyzk.testing import FixtureError, NotRunningError, ZooKeeperServer
from tests.frames import create_request
from tests.testing.raw import RawClient

pytestmark = pytest.mark.zk(virtual_clock=True, leaks="ignore")


def _now_ms(server: ZooKeeperServer) -> int:
    return server._engine.time.now_ms


# --- virtual time ---------------------------------------------------------------------


def test_no_time_passes_by_itself(server: ZooKeeperServer) -> None:
    before = _now_ms(server)
    with RawClient(server) as client:
        client.create("/a")
        client.create("/b")
        reply = client.get_data("/a")
    assert _now_ms(server) == before
    assert reply.body[20:28] == reply.body[28:36], "ctime, mtime"


def test_advance_expires_sessions(server: ZooKeeperServer) -> None:
    with RawClient(server, timeout_ms=4000) as client:
        client.create("/e", flags=CreateMode.EPHEMERAL)
        server.advance(3.9)
        assert server.tree() == {"/e": b""}
        server.advance(0.3)
        assert server.tree() == {}
        assert server.sessions == []
        assert client.is_cut()


def test_a_ping_gives_a_session_its_time_again(server: ZooKeeperServer) -> None:
    with RawClient(server, timeout_ms=4000) as client:
        for _ in range(5):
            server.advance(3)
            client.ping()
        assert len(server.sessions) == 1


def test_sessions_expire_in_the_order_of_their_time(server: ZooKeeperServer) -> None:
    with RawClient(server, timeout_ms=5000) as slow, RawClient(server, timeout_ms=2000) as fast:
        for client in (slow, fast):
            client.create(f"/{client.timeout_ms}", flags=CreateMode.EPHEMERAL)
        with RawClient(server, timeout_ms=60_000) as watcher:
            watcher.exists("/5000", watch=True)
            watcher.exists("/2000", watch=True)
            server.advance(20)
            assert [watcher.reply().event for _ in range(2)] == [(2, "/2000"), (2, "/5000")]


def test_connected_sessions_may_be_kept(server: ZooKeeperServer) -> None:
    with RawClient(server, timeout_ms=2000), RawClient(server, timeout_ms=2000) as gone:
        server.drop_connection(gone.session_id)
        server.advance(3600, keep_sessions=True)
        (left,) = server.sessions
        assert left.session_id != gone.session_id


def test_ttl_znodes_and_containers_vanish(server: ZooKeeperServer) -> None:
    with RawClient(server) as client:
        assert client.create_ttl("/ttl", 60_000).err == 0
        assert client.create_container("/container").err == 0
        assert client.create("/container/child").err == 0
        assert client.delete("/container/child").err == 0
        assert list(server.tree()) == ["/container", "/ttl"]
        server.advance(1.1)
        assert list(server.tree()) == ["/ttl"]
        server.advance(58)
        assert list(server.tree()) == ["/ttl"]
        server.advance(3)
        assert server.tree() == {}


def test_a_year_takes_no_time(server: ZooKeeperServer) -> None:
    server.advance(365 * 86_400)
    server.load({"/a": b"x"})
    assert server.tree() == {"/a": b"x"}


def test_advance_reaches_a_handshake_that_does_not_come(server: ZooKeeperServer) -> None:
    with RawClient(server, greet=False) as client:
        server.wait_until(lambda: len(server._engine.server.handshakes) == 1)
        server.advance(11)
        assert client.is_cut()


def test_time_goes_on_over_a_restart(server: ZooKeeperServer) -> None:
    server.advance(100)
    before = _now_ms(server)
    server.restart()
    assert before <= _now_ms(server) <= before + 1
    with RawClient(server, timeout_ms=2000):
        server.advance(3)
        assert server.sessions == []


def test_advance_refuses_what_is_no_time(server: ZooKeeperServer) -> None:
    for seconds in (-1, float("nan"), float("inf")):
        with pytest.raises(FixtureError, match="time cannot advance by"):
            server.advance(seconds)
    server.stop()
    with pytest.raises(NotRunningError):
        server.advance(1)


def test_advance_in_real_time() -> None:
    """The clock is ahead from there on, and goes on by itself."""
    with ZooKeeperServer(leaks="ignore") as server:
        with RawClient(server, timeout_ms=60_000) as client:
            client.create("/e", flags=CreateMode.EPHEMERAL)
            server.advance(61)
            assert server.tree() == {}
        before = _now_ms(server)
        server.wait_until(lambda: _now_ms(server) >= before + 5)


def test_sessions_expire_in_real_time() -> None:
    with ZooKeeperServer(leaks="ignore") as server, RawClient(server, timeout_ms=100) as client:
        client.create("/e", flags=CreateMode.EPHEMERAL)
        server.wait_for_node("/e", exists=False)
        assert client.is_cut()


def test_advance_with_a_stalled_disk_does_not_wait_for_it(server: ZooKeeperServer) -> None:
    with RawClient(server, timeout_ms=2000) as client:
        client.create("/e", flags=CreateMode.EPHEMERAL)
        server.stall_disk()
        server.advance(5)
        assert server.tree() == {"/e": b""}
        server.stall_disk(False)
        server.wait_for_node("/e", exists=False)


# --- pause ----------------------------------------------------------------------------


def test_a_paused_server_answers_nothing(server: ZooKeeperServer) -> None:
    with RawClient(server) as client:
        server.pause()
        assert server.state == "paused"
        client.submit(OpCode.EXISTS, PathWatchRequest("/", False))
        with RawClient(server, greet=False) as other:
            other.greet()
            with RawClient(server, greet=False) as gone:
                gone.greet()
                server.wait_until(lambda: len(server._engine.links) == 3)
            assert server.sessions[0].session_id == client.session_id
            assert client.is_quiet()
            assert other.is_quiet()
            server.resume()
            assert client.reply().err == 0
            assert other.welcome() != 0


def test_a_pause_in_the_middle_of_a_write(server: ZooKeeperServer) -> None:
    with RawClient(server) as client:
        server.stall_disk()
        client.submit(OpCode.CREATE, create_request("/a"))
        server.wait_until(lambda: server._engine.server.outstanding == 1)
        server.pause()
        server.stall_disk(False)
        assert server.tree() == {}
        assert client.is_quiet()
        server.resume()
        assert client.reply().err == 0


def test_sessions_outlive_a_pause(server: ZooKeeperServer) -> None:
    """As in production: it was the server that was silent."""
    with RawClient(server, timeout_ms=2000) as client:
        client.create("/e", flags=CreateMode.EPHEMERAL)
        server.pause()
        server.advance(60)
        assert server.tree() == {"/e": b""}
        server.resume()
        assert server.tree() == {"/e": b""}
        assert client.exists("/e").err == 0
        server.advance(3)
        assert server.tree() == {}, "from then on they are judged as ever"


def test_a_pause_in_real_time() -> None:
    with ZooKeeperServer(leaks="ignore") as server, RawClient(server, timeout_ms=100) as client:
        server.pause()
        before = _now_ms(server)
        # The session's time and a tick, and one more.
        while _now_ms(server) < before + 300:
            assert client.is_quiet()
        assert len(server.sessions) == 1
        server.resume()
        assert client.exists("/").err == 0


def test_a_killed_server_may_have_been_paused(server: ZooKeeperServer) -> None:
    with RawClient(server) as client:
        client.create("/a")
        server.pause()
        client.submit(OpCode.DELETE, b"")
        server.kill()
        assert client.is_cut()
        server.restart()
        assert server.state == "running"
        assert list(server.tree()) == ["/a"]


def test_stop_and_reset_end_a_pause() -> None:
    with ZooKeeperServer() as server:
        server.load({"/a": b""})
        server.pause()
        server.reset()
        assert server.tree() == {}
        server.pause()


def test_bad_use_of_a_pause(server: ZooKeeperServer) -> None:
    with pytest.raises(FixtureError, match=r"resume\(\) ends a pause; the server is running"):
        server.resume()
    server.pause()
    with pytest.raises(NotRunningError, match="is paused: call resume"):
        server.pause()
    with pytest.raises(NotRunningError, match="is paused: call resume"):
        server.load({"/a": b""})
    with pytest.raises(NotRunningError, match="is paused: call resume"):
        server.expire_session(1)


def test_connections_may_be_dropped_in_a_pause(server: ZooKeeperServer) -> None:
    with RawClient(server) as client:
        server.pause()
        assert server.drop_connections() == 1
        assert client.is_cut()
        server.resume()
        assert server.sessions[0].address is None
