"""Watches: who is told what, in which order, and what is left in the tables.

The tables of the tests are those of the sheet "sessions and watches", part B.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.constants import ErrorCode, EventType, WatchKind
from pyzk.data.watches import WatchEvent, WatchManager
from pyzk.errors import MarshallingError
from pyzk.summaries import Summary

CREATED: Final = EventType.NODE_CREATED
DELETED: Final = EventType.NODE_DELETED
CHANGED: Final = EventType.NODE_DATA_CHANGED
CHILDREN: Final = EventType.NODE_CHILDREN_CHANGED

ADDERS: Final = {
    "data": WatchManager.add_data,
    "child": WatchManager.add_child,
    "persistent": WatchManager.add_persistent,
    "recursive": WatchManager.add_recursive,
}


class Client:
    """A watcher that writes down what it is told, in a log that clients may share."""

    def __init__(self, session_id: int = 1, log: list[tuple[int, int, str]] | None = None) -> None:
        self.session_id = session_id
        self.events: list[tuple[int, str]] = []
        self.details: list[tuple[int, int]] = []
        self.log = [] if log is None else log

    def deliver(self, event: WatchEvent) -> None:
        self.events.append((event.type, event.path))
        self.details.append((event.zxid, event.acl_id))
        self.log.append((self.session_id, event.type, event.path))


def create(watches: WatchManager, path: str) -> None:
    watches.node_created(path, path[: path.rindex("/")] or "/", 9, 1, 2)


def change(watches: WatchManager, path: str) -> None:
    watches.node_changed(path, 9, 1)


def delete(watches: WatchManager, path: str) -> None:
    watches.node_deleted(path, path[: path.rindex("/")] or "/", 9, 1, 2)


Action = Callable[[WatchManager, str], None]


@pytest.mark.parametrize(
    ("kind", "action", "path", "events", "is_armed"),
    [
        ("data", create, "/p", [(CREATED, "/p")], False),
        ("data", change, "/p", [(CHANGED, "/p")], False),
        ("data", delete, "/p", [(DELETED, "/p")], False),
        ("data", create, "/p/c", [], True),
        ("data", delete, "/p/c", [], True),
        ("child", create, "/p", [], True),
        ("child", change, "/p", [], True),
        ("child", delete, "/p", [(DELETED, "/p")], False),
        ("child", create, "/p/c", [(CHILDREN, "/p")], False),
        ("child", delete, "/p/c", [(CHILDREN, "/p")], False),
        ("child", change, "/p/c", [], True),
        ("child", create, "/p/c/d", [], True),
        ("persistent", create, "/p", [(CREATED, "/p")], True),
        ("persistent", change, "/p", [(CHANGED, "/p")], True),
        ("persistent", delete, "/p", [(DELETED, "/p")], True),
        ("persistent", create, "/p/c", [(CHILDREN, "/p")], True),
        ("persistent", delete, "/p/c", [(CHILDREN, "/p")], True),
        ("persistent", change, "/p/c", [], True),
        ("recursive", create, "/p", [(CREATED, "/p")], True),
        ("recursive", change, "/p", [(CHANGED, "/p")], True),
        ("recursive", delete, "/p", [(DELETED, "/p")], True),
        ("recursive", create, "/p/c", [(CREATED, "/p/c")], True),
        ("recursive", delete, "/p/c", [(DELETED, "/p/c")], True),
        ("recursive", change, "/p/c/d", [(CHANGED, "/p/c/d")], True),
        ("recursive", change, "/px", [], True),
    ],
)
def test_each_kind_of_watch_sees_its_changes(
    kind: str, action: Action, path: str, events: list[tuple[int, str]], is_armed: bool
) -> None:
    watches = WatchManager()
    client = Client()
    ADDERS[kind](watches, "/p", client)
    action(watches, path)
    assert client.events == events
    assert watches.contains("/p", 3, client) == is_armed
    assert (watches.watch_count > 0) == is_armed


def test_data_and_child_watch_on_a_deleted_znode_give_one_event_and_are_both_used_up() -> None:
    watches = WatchManager()
    client, other = Client(1), Client(2)
    watches.add_data("/p", client)
    watches.add_child("/p", client)
    watches.add_child("/p", other)
    delete(watches, "/p")
    assert client.events == other.events == [(DELETED, "/p")]
    assert watches.watch_count == 0


def test_one_event_for_a_client_with_all_kinds_of_watches() -> None:
    watches = WatchManager()
    client = Client()
    for add in ADDERS.values():
        add(watches, "/p", client)
    change(watches, "/p")
    assert client.events == [(CHANGED, "/p")]
    assert not watches.contains("/p", 2, client)
    assert watches.contains("/p", 4, client)
    assert watches.contains("/p", 5, client)


def test_recursive_and_child_watch_see_their_own_event_each() -> None:
    watches = WatchManager()
    client = Client()
    watches.add_child("/a", client)
    watches.add_recursive("/a", client)
    create(watches, "/a/b")
    assert client.events == [(CREATED, "/a/b"), (CHILDREN, "/a")]


def test_recursive_watch_on_the_root_sees_everything() -> None:
    watches = WatchManager()
    client = Client()
    watches.add_recursive("/", client)
    create(watches, "/a")
    change(watches, "/zookeeper/config")
    change(watches, "/")
    assert client.events == [(CREATED, "/a"), (CHANGED, "/zookeeper/config"), (CHANGED, "/")]


def test_parent_of_a_top_level_znode_is_the_root() -> None:
    watches = WatchManager()
    client = Client()
    watches.add_child("/", client)
    create(watches, "/a")
    assert client.events == [(CHILDREN, "/")]


def test_data_events_come_before_child_events_and_clients_in_order_of_registration() -> None:
    log: list[tuple[int, int, str]] = []
    watches = WatchManager()
    one, two, three = (Client(number, log) for number in (1, 2, 3))
    watches.add_child("/p", three)
    watches.add_child("/", three)
    watches.add_data("/p", two)
    watches.add_recursive("/", one)
    delete(watches, "/p")
    assert log == [(2, DELETED, "/p"), (1, DELETED, "/p"), (3, DELETED, "/p"), (3, CHILDREN, "/")]


def test_events_carry_the_zxid_and_the_list_that_judges_them() -> None:
    watches = WatchManager()
    client = Client()
    watches.add_persistent("/p", client)
    watches.node_created("/p", "/", 5, 7, 8)
    watches.node_created("/p/c", "/p", 6, 7, 8)
    watches.node_changed("/p", 7, 9)
    watches.node_deleted("/p", "/", 8, 10, 11)
    assert client.details == [(5, 7), (6, 8), (7, 9), (8, 10)]


def test_a_client_may_leave_while_events_are_delivered() -> None:
    watches = WatchManager()

    class Leaver(Client):
        def deliver(self, event: WatchEvent) -> None:
            super().deliver(event)
            watches.remove_watcher(self)
            watches.add_data(event.path, self)

    client, other = Leaver(), Client()
    watches.add_persistent("/p", client)
    watches.add_data("/p", other)
    change(watches, "/p")
    assert client.events == other.events == [(CHANGED, "/p")]
    assert watches.watch_count == 1


def test_registering_twice_is_once() -> None:
    watches = WatchManager()
    client = Client()
    for _ in range(2):
        for add in ADDERS.values():
            add(watches, "/p", client)
    assert watches.watch_count == 2
    watches.remove_watcher(client)
    assert watches.watch_count == 0
    watches.add_data("/x", client)
    change(watches, "/p")
    assert client.events == []


@pytest.mark.parametrize(
    ("kind", "present"),
    [
        ("data", {2, 3}),
        ("child", {1, 3}),
        ("persistent", {3, 4}),
        ("recursive", {3, 5}),
    ],
)
def test_check_and_remove_by_kind(kind: str, present: set[int]) -> None:
    for asked in range(1, 6):
        watches = WatchManager()
        client, other = Client(), Client()
        ADDERS[kind](watches, "/p", client)
        ADDERS[kind](watches, "/p", other)
        assert watches.contains("/p", asked, client) == (asked in present)
        assert not watches.contains("/q", asked, client)
        assert watches.remove("/p", asked, client) == (asked in present)
        assert watches.contains("/p", 3, client) == (asked not in present)
        assert not watches.remove("/q", asked, client)
        assert watches.contains("/p", 3, other)
        assert client.events == []


def test_removing_one_kind_leaves_the_others() -> None:
    watches = WatchManager()
    client = Client()
    for add in ADDERS.values():
        add(watches, "/p", client)
    assert watches.remove("/p", 2, client)
    assert watches.remove("/p", 5, client)
    assert watches.remove("/p", 1, client)
    assert watches.remove("/p", 4, client)
    assert not watches.remove("/p", 3, client)
    assert watches.summary() == (0, 0, 0)
    change(watches, "/p/c")
    assert client.events == []


def test_an_unknown_kind_is_a_marshalling_error() -> None:
    watches = WatchManager()
    for kind in (0, 6):
        with pytest.raises(MarshallingError) as caught:
            watches.contains("/p", kind, Client())
        assert caught.value.code == ErrorCode.MARSHALLING_ERROR
        with pytest.raises(MarshallingError):
            watches.remove("/p", kind, Client())


def test_each_watch_is_told_by_path_and_by_watcher() -> None:
    watches, one, two = WatchManager(), Client(1), Client(2)
    for kind, adder in ADDERS.items():
        adder(watches, f"/{kind}", one)
        adder(watches, "/all", one)
    watches.add_child("/all", two)
    assert watches.child_watched() == ["/child", "/all", "/persistent"]
    assert watches.child_watchers_of("/all") == [one, two]
    assert watches.child_watchers_of("/data") == []
    assert watches.child_paths_of(one) == ["/child", "/all", "/persistent"]
    assert watches.child_paths_of(Client(3)) == []
    assert watches.kinds_of("/all", one) == [
        WatchKind.DATA,
        WatchKind.PERSISTENT,
        WatchKind.PERSISTENT_RECURSIVE,
        WatchKind.CHILDREN,
    ]
    assert watches.kinds_of("/all", two) == [WatchKind.CHILDREN]
    assert watches.kinds_of("/persistent", one) == [WatchKind.PERSISTENT]
    assert watches.kinds_of("/data", two) == []
    assert (watches.count_of(one), watches.count_of(two), watches.count_of(Client(3))) == (7, 1, 0)


def test_reports_show_the_data_table_only() -> None:
    watches = WatchManager()
    one, two = Client(1), Client(2)
    watches.add_data("/a", one)
    watches.add_persistent("/b", one)
    watches.add_data("/b", two)
    watches.add_child("/c", two)
    assert {path: watches.watchers_of(path) for path in watches.watched()} == {
        "/a": [one],
        "/b": [one, two],
    }
    assert {watcher: watches.paths_of(watcher) for watcher in watches.watching()} == {
        one: ["/a", "/b"],
        two: ["/b"],
    }
    assert watches.summary() == (2, 2, 3)
    assert watches.watch_count == 5
    watches.remove_watcher(two)
    assert watches.paths_of(two) is None
    assert watches.watchers_of("/gone") == []


def test_a_client_counts_as_watching_until_it_removes_a_watch_or_goes() -> None:
    watches = WatchManager()
    fired, removed = Client(1), Client(2)
    watches.add_data("/a", fired)
    change(watches, "/a")
    assert watches.summary() == (1, 0, 0)
    assert watches.watching() == [fired]
    assert watches.paths_of(fired) == []
    watches.add_data("/a", removed)
    watches.remove("/a", 2, removed)
    assert watches.summary() == (1, 0, 0)
    watches.remove_watcher(fired)
    assert watches.summary() == (0, 0, 0)


def test_triggers_that_hit_someone_are_counted() -> None:
    watches = WatchManager()
    watches.fired = {event_type: Summary() for event_type in (CREATED, DELETED, CHANGED, CHILDREN)}
    client = Client()
    watches.add_recursive("/p", client)
    watches.add_data("/p", Client())
    change(watches, "/p")
    change(watches, "/q")
    assert (watches.fired[CHANGED].count, watches.fired[CHANGED].sum) == (1, 2)
    assert watches.fired[CREATED].count == 0


def test_only_the_recursive_registrations_of_an_ancestor_are_hit() -> None:
    watches = WatchManager()
    plain, recursive = Client(), Client()
    watches.add_data("/a", plain)
    watches.add_persistent("/a", plain)
    watches.add_recursive("/a", recursive)
    change(watches, "/a/b")
    assert (plain.events, recursive.events) == ([], [(CHANGED, "/a/b")])
    assert watches.remove("/a", 2, plain)
    assert watches.contains("/a", 4, plain)
    watches.remove_watcher(plain)
    change(watches, "/a/c")
    assert len(recursive.events) == 2


def test_removing_the_last_watch_but_one_keeps_the_client() -> None:
    watches = WatchManager()
    client = Client()
    watches.add_data("/a", client)
    watches.add_data("/b", client)
    assert watches.remove("/a", 3, client)
    assert watches.summary() == (1, 1, 1)


KINDS = st.sampled_from(sorted(ADDERS))
PATHS = st.sampled_from(["/", "/a", "/a/b", "/a/b/c", "/x"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), KINDS, PATHS, st.integers(0, 2)),
        st.tuples(st.just("remove"), st.integers(1, 5), PATHS, st.integers(0, 2)),
        st.tuples(st.just("leave"), st.none(), PATHS, st.integers(0, 2)),
        st.tuples(st.sampled_from(["create", "change", "delete"]), st.none(), PATHS, st.none()),
    ),
    max_size=40,
)


class Model:
    """The rules in the plainest form: a set of (client, path, kind)."""

    def __init__(self) -> None:
        self.held: dict[tuple[int, str, str], None] = {}
        self.told: list[tuple[int, int, str]] = []

    def hit(self, table: set[str], path: str) -> set[int]:
        clients = set()
        for client, at, kind in list(self.held):
            if kind not in table:
                continue
            if at == path:
                clients.add(client)
                if kind in ("data", "child"):
                    del self.held[client, at, kind]
            elif kind == "recursive" and (at == "/" or path.startswith(at + "/")):
                clients.add(client)
        return clients

    def tell(self, clients: set[int], event_type: int, path: str) -> None:
        self.told += [(client, event_type, path) for client in sorted(clients)]

    def trigger(self, action: str, path: str) -> None:
        data, child = {"data", "persistent", "recursive"}, {"child", "persistent"}
        event_type = {"create": CREATED, "change": CHANGED, "delete": DELETED}[action]
        told = self.hit(data, path)
        self.tell(told, event_type, path)
        if action == "delete":
            self.tell(self.hit(child, path) - told, DELETED, path)
        if action != "change":
            parent = path[: path.rindex("/")] or "/"
            self.tell(self.hit(child, parent), CHILDREN, parent)


REMOVED: Final = {
    1: {"child"},
    2: {"data"},
    3: {"data", "child", "persistent", "recursive"},
    4: {"persistent"},
    5: {"recursive"},
}
ACTIONS: Final = {"create": create, "change": change, "delete": delete}


@given(STEPS)
def test_any_history_agrees_with_the_plain_model(
    steps: list[tuple[str, str | int | None, str, int | None]],
) -> None:
    watches, model = WatchManager(), Model()
    log: list[tuple[int, int, str]] = []
    clients = [Client(number, log) for number in range(3)]
    for step, kind, path, number in steps:
        if step in ACTIONS:
            log.clear()
            model.told.clear()
            ACTIONS[step](watches, path)
            model.trigger(step, path)
            assert sorted(log) == sorted(model.told)
            continue
        assert number is not None
        if step == "add":
            assert isinstance(kind, str)
            ADDERS[kind](watches, path, clients[number])
            model.held[number, path, kind] = None
        elif step == "remove":
            assert isinstance(kind, int)
            gone = [held for held in model.held if held[:2] == (number, path)]
            gone = [held for held in gone if held[2] in REMOVED[kind]]
            assert watches.remove(path, kind, clients[number]) == bool(gone)
            for held in gone:
                del model.held[held]
        else:
            watches.remove_watcher(clients[number])
            for held in [held for held in model.held if held[0] == number]:
                del model.held[held]
    in_data = {held[:2] for held in model.held if held[2] != "child"}
    in_child = {held[:2] for held in model.held if held[2] in ("child", "persistent")}
    assert watches.watch_count == len(in_data) + len(in_child)
    for client in clients:
        watches.remove_watcher(client)
    assert watches.watch_count == 0
    assert watches.summary() == (0, 0, 0)
