"""kazoo's counters, queues, caches and watches, and persistent watches of a raw client, with
answers that are lost and events that are late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pyzk.constants import AddWatchMode, EventType, OpCode
from pyzk.jute.records import SetWatches2
from pyzk.testing import ZooKeeperServer
from tests.testing.raw import RawClient
from tests.testing.recipes import Connect, Heard, Task

kazoo_exceptions = pytest.importorskip("kazoo.exceptions")
kazoo_cache = pytest.importorskip("kazoo.recipe.cache")


# --- Counter --------------------------------------------------------------------------


def test_a_counter_of_many_counts_each(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    counters = [zk_client_factory().Counter("/counter") for _ in range(3)]

    def count(counter: Any) -> None:
        for _ in range(10):
            counter += 1

    # Somebody else was faster: the version is wrong, kazoo reads again.
    busy = zk_server.fail("setData", kazoo_exceptions.BadVersionError, times=5)
    for task in [Task(lambda counter=counter: count(counter)) for counter in counters]:  # type: ignore[misc]
        task.result()
    assert busy.fired == 5
    assert counters[0].value == 30
    zk_server.kill()
    zk_server.restart()
    assert zk_server.tree() == {"/counter": b"30"}


def test_a_count_whose_answer_is_lost_counts_twice(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    """A known weakness of the recipe, and why one wants to have such a fault at hand."""
    client = zk_client_factory()
    counter = client.Counter("/counter")
    counter += 1
    zk_server.no_response("setData", path="/counter")
    counting = Task(lambda: counter.__add__(1))
    zk_server.wait_for_node("/counter", data=b"2")
    zk_server.drop_connection(client)
    counting.result()
    assert zk_server.tree() == {"/counter": b"3"}


# --- Queue, LockingQueue --------------------------------------------------------------


def test_an_entry_that_somebody_else_took_is_left_to_him(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    one, two = zk_client_factory().Queue("/queue"), zk_client_factory().Queue("/queue")
    for number in range(3):
        one.put(b"%d" % number)
    one.put(b"urgent", priority=1)
    assert two.get() == b"urgent"
    assert one.get() == b"0"
    # The second still has the list in which the entry was.
    assert two.get() == b"1"
    zk_server.fail("delete", kazoo_exceptions.NoNodeError)
    assert one.get() == b"2"
    assert two.get() is None
    assert len(one) == 0


def test_an_entry_whose_removal_was_not_answered_is_lost(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    """kazoo says so: this queue is not reliable."""
    client = zk_client_factory()
    queue = client.Queue("/queue")
    queue.put(b"lost")
    queue.put(b"next")
    zk_server.no_response("delete")
    getting = Task(queue.get)
    zk_server.wait_until(lambda: len(zk_server.tree("/queue")) == 2, "the first is deleted")
    zk_server.drop_connection(client)
    assert getting.result() == b"next"


def test_a_locked_entry_goes_to_another_when_its_holder_expires(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    one, two = zk_client_factory(), zk_client_factory()
    first, second = one.LockingQueue("/queue"), two.LockingQueue("/queue")
    first.put(b"work")
    assert first.get() == b"work"
    getting = Task(second.get)
    zk_server.wait_for_watch("/queue/taken", client=two)
    zk_server.drop_connection(one)
    zk_server.wait_for_session(one)
    assert one.retry(first.holds_lock)
    assert not getting.is_done
    zk_server.expire_session(one)
    assert getting.result() == b"work"
    assert not one.retry(first.holds_lock)
    assert first.consume() is False
    assert second.consume() is True
    assert len(first) == 0


def test_entries_are_put_all_or_none(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    queue = zk_client_factory().LockingQueue("/queue")
    queue.put(b"first")
    zk_server.fail("multi", kazoo_exceptions.NoAuthError)
    with pytest.raises(kazoo_exceptions.NoAuthError):
        queue.put_all([b"a", b"b"])
    assert len(queue) == 1
    queue.put_all([b"a", b"b"])
    assert len(queue) == 3


# --- TreeCache ------------------------------------------------------------------------


class Cache:
    """A TreeCache, and what it told."""

    def __init__(self, client: Any, path: str) -> None:
        self.heard: Heard[tuple[int, str | None, bytes | None]] = Heard()
        self._cache = kazoo_cache.TreeCache(client, path)
        self._cache.listen(self._listen)
        self._cache.start()

    def _listen(self, event: Any) -> None:
        data = event.event_data
        told = (event.event_type, data and data.path, data and data.data)
        self.heard(told)

    def wait_for(self, kind: str, path: str | None = None, data: bytes | None = None) -> None:
        """Wait until it has told so."""
        wanted = (getattr(kazoo_cache.TreeEvent, kind), path, data)
        self.heard.wait(lambda told: wanted in told)

    def __getitem__(self, path: str) -> bytes | None:
        found = self._cache.get_data(path)
        data: bytes | None = found and found.data
        return data

    def close(self) -> None:
        self._cache.close()


@pytest.fixture
def cache(zk_server: ZooKeeperServer, zk_client: Any) -> Iterator[Cache]:
    zk_server.load({"/tree": {"": b"root", "a": b"1", "b": {"c": b"2"}}})
    cache = Cache(zk_client, "/tree")
    cache.wait_for("INITIALIZED")
    yield cache
    cache.close()


def test_a_cache_follows_the_tree(zk_server: ZooKeeperServer, cache: Cache) -> None:
    assert [cache[path] for path in ("/tree", "/tree/a", "/tree/b/c")] == [b"root", b"1", b"2"]
    zk_server.load({"/tree/a": b"new", "/tree/b/d": b"3"})
    cache.wait_for("NODE_UPDATED", "/tree/a", b"new")
    cache.wait_for("NODE_ADDED", "/tree/b/d", b"3")
    assert cache["/tree/b/d"] == b"3"


def test_a_cache_that_was_cut_off_catches_up(
    zk_server: ZooKeeperServer, zk_client: Any, cache: Cache
) -> None:
    zk_server.reject_connections()
    zk_server.drop_connection(zk_client)
    cache.wait_for("CONNECTION_SUSPENDED")
    zk_server.load({"/tree/a": b"missed", "/tree/e": b"born meanwhile"})
    assert cache["/tree/a"] == b"1"
    zk_server.reject_connections(False)
    cache.wait_for("NODE_UPDATED", "/tree/a", b"missed")
    cache.wait_for("NODE_ADDED", "/tree/e", b"born meanwhile")


def test_a_cache_outlives_its_session(
    zk_server: ZooKeeperServer, zk_client: Any, cache: Cache
) -> None:
    zk_server.expire_session(zk_client)
    cache.wait_for("CONNECTION_LOST")
    zk_server.load({"/tree/a": b"after"})
    cache.wait_for("NODE_UPDATED", "/tree/a", b"after")


@pytest.mark.zk(virtual_clock=True)
def test_a_cache_is_behind_while_events_are_late(zk_server: ZooKeeperServer, cache: Cache) -> None:
    late = zk_server.delay("event", 10)
    zk_server.load({"/tree/a": b"new"})
    zk_server.wait_until(lambda: late.fired, "the event is held")
    assert cache["/tree/a"] == b"1"
    zk_server.reset_faults()
    zk_server.advance(10, keep_sessions=True)
    cache.wait_for("NODE_UPDATED", "/tree/a", b"new")


# --- DataWatch, ChildrenWatch ---------------------------------------------------------


def watch_data(client: Any, path: str) -> Heard[bytes | None]:
    heard: Heard[bytes | None] = Heard()
    client.DataWatch(path, lambda data, _stat: heard(data))
    return heard


def watch_children(client: Any, path: str) -> Heard[list[str]]:
    heard: Heard[list[str]] = Heard()
    client.ChildrenWatch(path, lambda children: heard(sorted(children)))
    return heard


def test_watches_hear_every_change_that_they_can(
    zk_server: ZooKeeperServer, zk_client: Any
) -> None:
    zk_server.load({"/a": b"1"})
    data, children = watch_data(zk_client, "/a"), watch_children(zk_client, "/a")
    data.wait(lambda values: values == [b"1"])
    zk_server.wait_for_watch("/a", kind="children")
    zk_server.load({"/a": b"2", "/a/b": b""})
    data.wait(lambda values: values == [b"1", b"2"])
    children.wait(lambda values: values == [[], ["b"]])


def test_a_late_event_brings_only_the_last_of_many_values(
    zk_server: ZooKeeperServer, zk_client: Any
) -> None:
    """A watch fires once: what changes before it is set again is never seen."""
    zk_server.load({"/a": b"0"})
    heard = watch_data(zk_client, "/a")
    zk_server.wait_for_watch("/a", kind="data")
    late = zk_server.delay("event", 0.02, times=1)
    for number in range(1, 10):
        zk_server.load({"/a": b"%d" % number})
    assert heard.wait(lambda values: b"9" in values) == [b"0", b"9"]
    assert late.fired == 1


def test_what_changes_while_a_watcher_is_away_is_heard_when_it_is_back(
    zk_server: ZooKeeperServer, zk_client: Any
) -> None:
    zk_server.load({"/a": {"": b"1", "b": b""}})
    data, children = watch_data(zk_client, "/a"), watch_children(zk_client, "/a")
    zk_server.wait_for_watch("/a", kind="data")
    zk_server.wait_for_watch("/a", kind="children")
    zk_server.reject_connections()
    zk_server.drop_connection(zk_client)
    zk_server.load({"/a": b"2", "/a/c": b""})
    zk_server.reject_connections(False)
    data.wait(lambda values: values[-1] == b"2")
    children.wait(lambda values: values[-1] == ["b", "c"])


def test_watches_outlive_their_session(zk_server: ZooKeeperServer, zk_client: Any) -> None:
    zk_server.load({"/a": b"1"})
    data, children = watch_data(zk_client, "/a"), watch_children(zk_client, "/a")
    zk_server.wait_for_watch("/a", kind="children")
    old = zk_client.client_id[0]
    zk_server.expire_session(zk_client)
    zk_server.load({"/a": b"2", "/a/b": b""})
    data.wait(lambda values: values[-1] == b"2")
    children.wait(lambda values: values[-1] == ["b"])
    assert all(watch.session_id != old for watch in zk_server.watches)


# --- persistent watches, which kazoo does not have ------------------------------------


def test_a_recursive_watch_hears_everything_and_stays(zk_server: ZooKeeperServer) -> None:
    zk_server.load({"/a": b""})
    with RawClient(zk_server) as watcher, RawClient(zk_server) as client:
        assert watcher.add_watch("/a", AddWatchMode.PERSISTENT_RECURSIVE).err == 0
        assert zk_server.wait_for_watch("/a", kind="recursive").session_id == watcher.session_id
        client.create("/a/b")
        client.create("/a/b/c", b"x")
        client.set_data("/a/b/c", b"y")
        client.delete("/a/b/c")
        assert [watcher.reply().event for _ in range(4)] == [
            (EventType.NODE_CREATED, "/a/b"),
            (EventType.NODE_CREATED, "/a/b/c"),
            (EventType.NODE_DATA_CHANGED, "/a/b/c"),
            (EventType.NODE_DELETED, "/a/b/c"),
        ]
        assert len(zk_server.watches) == 1
        for raw in (watcher, client):
            raw.end()


@pytest.mark.zk(virtual_clock=True)
def test_late_events_come_in_order_and_before_the_answers_behind_them(
    zk_server: ZooKeeperServer,
) -> None:
    zk_server.load({"/a": b"old"})
    with RawClient(zk_server) as watcher, RawClient(zk_server) as client:
        watcher.add_watch("/a", AddWatchMode.PERSISTENT)
        late = zk_server.delay("event", 5, path="/a", times=1)
        client.set_data("/a", b"new")
        client.set_data("/a", b"newer")
        zk_server.wait_until(lambda: late.fired, "the event is held")
        asked = watcher.submit(OpCode.SYNC, b"\0\0\0\2/a")
        assert watcher.is_quiet()
        zk_server.advance(5, keep_sessions=True)
        assert [watcher.reply().event for _ in range(2)] == [
            (EventType.NODE_DATA_CHANGED, "/a")
        ] * 2
        assert watcher.reply().xid == asked
        for raw in (watcher, client):
            raw.end()


def test_a_persistent_watch_is_set_again_after_a_lost_connection(
    zk_server: ZooKeeperServer,
) -> None:
    zk_server.load({"/a": b""})
    with RawClient(zk_server) as client:
        with RawClient(zk_server) as watcher:
            watcher.add_watch("/a", AddWatchMode.PERSISTENT)
            seen = client.get_data("/a").zxid
            zk_server.drop_connection(watcher.session_id)
            assert watcher.is_cut()
            assert zk_server.watches == []
        client.set_data("/a", b"missed")
        with RawClient(zk_server, session=watcher) as again:
            assert again.session_id == watcher.session_id
            request = SetWatches2(seen, [], [], [], ["/a"], [])
            again.submit(OpCode.SET_WATCHES2, request, xid=-8)
            assert again.reply().xid == -8
            zk_server.wait_for_watch("/a", kind="persistent")
            client.set_data("/a", b"heard")
            assert again.reply().event == (EventType.NODE_DATA_CHANGED, "/a")
            again.end()
        client.end()
