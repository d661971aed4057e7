"""What the fixture shows of a server: sessions, watches, the tree, the last events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyzk.testing
from pyzk.constants import AddWatchMode, CreateMode
from pyzk.testing import FixtureError, SessionInfo, WatchInfo, ZooKeeperServer
from pyzk.testing.core.inspection import flatten, nest, session_id_of
from tests.processes import python
from tests.testing.raw import RawClient

pytestmark = pytest.mark.zk(virtual_clock=True, leaks="ignore")


# --- sessions and watches -------------------------------------------------------------


def test_sessions(server: ZooKeeperServer, request: pytest.FixtureRequest) -> None:
    assert server.sessions == []
    with RawClient(server, timeout_ms=5000) as client:
        client.create("/e", flags=CreateMode.EPHEMERAL)
        client.create("/p")
        (session,) = server.sessions
        assert session == SessionInfo(
            client.session_id, 5.0, client.address, ("/e",), session.opened_in
        )
        assert session.opened_in is not None
        assert session.opened_in.startswith(request.node.nodeid)
        shown = f"session 0x{client.session_id:x} ({client.address}), ephemerals /e"
        assert str(session) == shown
        server.drop_connections()
    (session,) = server.sessions
    assert session.address is None
    assert "not connected" in str(session)


def test_watches(server: ZooKeeperServer) -> None:
    assert server.watches == []
    with RawClient(server) as client:
        client.create("/a")
        client.get_data("/a", watch=True)
        client.get_children("/a", watch=True)
        client.exists("/b", watch=True)
        client.add_watch("/c", AddWatchMode.PERSISTENT)
        client.add_watch("/d", AddWatchMode.PERSISTENT_RECURSIVE)
        me = client.session_id
        assert server.watches == [
            WatchInfo("/a", "children", me),
            WatchInfo("/a", "data", me),
            WatchInfo("/b", "data", me),
            WatchInfo("/c", "persistent", me),
            WatchInfo("/d", "recursive", me),
        ]
        server.load({"/a": b"x"})
        assert [watch.kind for watch in server.watches if watch.path == "/a"] == ["children"]
    server.wait_until(lambda: server.watches == [])


@pytest.mark.parametrize(
    ("given_id", "meant"),
    [(5, 5), ("0x5", 5), ("5", 5), (0xFFFFFFFFFFFFFFFF, -1), ("0xffffffffffffffff", -1)],
)
def test_session_ids_in_any_form(given_id: object, meant: int) -> None:
    assert session_id_of(given_id) == meant
    assert session_id_of(SessionInfo(meant, 1.0, None, (), None)) == meant


# --- the tree -------------------------------------------------------------------------


def test_load_and_tree(server: ZooKeeperServer) -> None:
    server.load({"/a/b": b"1", "c": "text", "d": {"": b"own", "e": {"f": None}}})
    flat = {"/a": b"", "/a/b": b"1", "/c": b"text", "/d": b"own", "/d/e": b"", "/d/e/f": b""}
    assert server.tree() == flat
    assert list(server.tree()) == sorted(flat)
    assert server.tree("/d") == {"/d": b"own", "/d/e": b"", "/d/e/f": b""}
    assert server.tree("/nothing") == {}
    assert server.tree(nested=True) == {
        "a": {"b": b"1"},
        "c": b"text",
        "d": {"": b"own", "e": {"f": b""}},
    }
    server.load({"/a": b"new", "/": b"root"})
    assert server.tree()["/a"] == b"new"
    assert server.tree()["/"] == b"root"
    assert "/zookeeper/quota" in server.tree("/zookeeper")
    assert server.sessions == [], "it leaves no session"


def test_clients_see_what_is_loaded(server: ZooKeeperServer) -> None:
    with RawClient(server) as client:
        client.exists("/a", watch=True)
        server.load({"/a": b"x"})
        assert client.reply().event == (1, "/a")
        assert client.get_data("/a").body[4:5] == b"x"
        assert client.set_data("/a", b"y").err == 0, "open to all"


def test_what_cannot_be_loaded(server: ZooKeeperServer) -> None:
    with pytest.raises(FixtureError, match="/a is 5; data is bytes, str or None"):
        server.load({"/a": 5})
    with pytest.raises(FixtureError, match=r"'/a/../b' is not a path of a znode"):
        server.load({"/a/../b": b""})
    with pytest.raises(FixtureError, match="5 in / is not a name"):
        server.load({5: b""})  # type: ignore[dict-item]
    with RawClient(server) as client:
        client.create("/e", flags=CreateMode.EPHEMERAL)
        with pytest.raises(FixtureError, match="/e/a could not be loaded"):
            server.load({"/e/a": b""})


def test_a_large_tree_is_loaded(server: ZooKeeperServer) -> None:
    tree = {f"/n{number:04}": bytes(100) for number in range(2000)}
    server.load(tree)
    assert server.tree() == tree


_names = st.sampled_from(["a", "b", "c", "d e"])
_trees = st.recursive(
    st.binary(max_size=3), lambda below: st.dictionaries(_names, below, max_size=3), max_leaves=8
)


@given(st.dictionaries(_names, _trees, max_size=4))
def test_nested_and_flat_say_the_same(tree: dict[str, object]) -> None:
    flat = flatten(tree)
    assert flatten(nest(flat)) == flat
    assert flatten(flat) == flat


def test_a_tree_of_what_is_no_path_is_an_error(server: ZooKeeperServer) -> None:
    assert server.tree("/none") == {}
    with pytest.raises(FixtureError, match="not a path of a znode"):
        server.tree("none")


def test_nothing_is_a_tree() -> None:
    assert flatten({}) == {}
    assert nest({}) == {}
    assert flatten({"": b"x"}) == {"/": b"x"}
    assert nest({"/": b"x"}) == {"": b"x"}


# --- the last events ------------------------------------------------------------------


def test_events_tell_the_story(server: ZooKeeperServer) -> None:
    with RawClient(server, timeout_ms=2000) as client:
        client.create("/a")
        server.fail("getData", "NoNode")
        client.get_data("/a")
        server.advance(5)
        name = f"session 0x{client.session_id:x}"
        story = [line.split("s  ", 1)[1] for line in server.events]
    assert story == [
        f"serving on 127.0.0.1:{server.port}",
        f"{client.address} connected",
        f"{client.address} sent handshake",
        f"{client.address} has {name}",
        f"{client.address} sent create /a",
        "ordered: fail getData with no node (-101)",
        f"{client.address} sent getData /a",
        f"fault: fail getData with no node (-101), hit getData /a of {client.address}",
        f"{name} expires",
        f"{name} is over",
        *([f"{client.address} disconnected"] if len(story) > 10 else []),
    ]


def test_events_are_bounded(server: ZooKeeperServer) -> None:
    for _ in range(300):
        server.reject_connections(False)
    with RawClient(server) as client:
        for _ in range(100):
            client.exists("/" + "x" * 1000)
        assert len(server.events) == 250
        assert max(map(len, server.events)) < 300


def test_the_report_works_in_any_state() -> None:
    server = ZooKeeperServer(leaks="ignore")
    assert "not started" in server.report()
    server.start()
    with RawClient(server) as client:
        client.create("/e", flags=CreateMode.EPHEMERAL)
        server.delay("getData", 2, path="/e")
        server.reject_connections()
        report = server.report()
        assert f"server on 127.0.0.1:{server.port}, running\n" in report
        assert f"session 0x{client.session_id:x} ({client.address}), ephemerals /e" in report
        assert "in force: delay getData /e by 2 s" in report
        assert "in force: connections are rejected" in report
        assert "sent create /e" in report
        brief = server.report(events=2)
        assert brief.splitlines()[-2:] == report.splitlines()[-2:]
        left_out = len(server.events) - 2
        assert brief.splitlines()[-3] == f"last events ({left_out} earlier ones left out):"
        server.pause()
        assert "paused" in server.report()
    server.stop()
    assert "stopped" in server.report()
    assert "sent create /e" in "\n".join(server.events)
    assert repr(server) == f"<ZooKeeperServer 127.0.0.1:{server.port} stopped>"


# --- the package ----------------------------------------------------------------------


def test_everything_is_there_by_name_and_nothing_before() -> None:

    for name in pyzk.testing.__all__:
        assert getattr(pyzk.testing, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Cluster'"):
        _ = pyzk.testing.Cluster
    code = "import sys, pyzk.testing; assert 'asyncio' not in sys.modules"
    python("-c", code)
