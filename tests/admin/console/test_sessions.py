"""Sessions and watches: what is known, and what a visitor may see of it."""

from __future__ import annotations

from typing import Any

import pytest

from pyzk.admin.console import sessions
from pyzk.admin.console.listing import PIECE, Listings, done
from pyzk.admin.console.visitor import Visitor
from pyzk.constants import AddWatchMode, CreateMode
from pyzk.jute.records import ACL
from tests.admin.console.looking import BOB, ELSEWHERE, bob, who, with_tree, world
from tests.world import Client, World

ONLY_BOB = [ACL(31, "digest", BOB)]


def listed(of: World, start: int = 0, count: int = 200, filter: str = "") -> Any:
    now_ms = of.clock.now_ms
    return done(sessions.sessions(of.server, start, count, filter, Listings(), now_ms))


def one(of: World, looking: Visitor, client: Client) -> Any:
    work = sessions.session_view(of.server, looking, client.session_id, of.clock.now_ms)
    return done(work)


def watched(of: World, looking: Visitor, start: int = 0, count: int = 200, filter: str = "") -> Any:
    now_ms = of.clock.now_ms
    return done(sessions.watches(of.server, looking, start, count, filter, Listings(), now_ms))


def test_a_session_is_shown_with_its_client() -> None:
    made = world()
    client = made.connect(ELSEWHERE, timeout_ms=10_000)
    client.create("/e", b"", flags=CreateMode.EPHEMERAL)
    client.exists("/e", watch=True)
    client.get_children("/", watch=True)
    (row,) = listed(made)["rows"]
    assert row["id"] == f"{client.session_id:#x}"
    assert (row["timeoutMs"], row["local"], row["closing"]) == (10_000, False, False)
    assert (row["ephemerals"], row["watches"], row["member"]) == (1, 2, 0)
    assert 10_000 <= row["expiresInMs"] <= 10_000 + made.config.tick_time_ms
    assert row["client"]["address"] == f"{ELSEWHERE}:{client.connection.port}"
    assert (row["client"]["received"], row["client"]["lastOperation"]) == (4, "GETC")
    client.connection.closed()
    (row,) = listed(made)["rows"]
    assert (row["client"], row["watches"], row["ephemerals"]) == (None, None, 1)


def test_a_session_that_is_over_is_gone() -> None:
    made = world()
    client = made.connect(timeout_ms=4000)
    client.create("/e", b"", flags=CreateMode.EPHEMERAL)
    assert one(made, who(made), client)["ephemeralPaths"]["paths"] == ["/e"]
    made.advance(20_000)
    assert one(made, who(made), client) is None
    assert listed(made)["rows"] == []


def test_sessions_come_in_windows_in_the_order_of_their_ids() -> None:
    made = world()
    ids = [made.connect().session_id for _ in range(5)]
    view = listed(made, 1, 2)
    assert [row["id"] for row in view["rows"]] == [f"{each:#x}" for each in ids[1:3]]
    assert (view["start"], view["total"], view["of"]) == (1, 5, 5)
    assert listed(made, 9)["rows"] == listed(made, 0, -1)["rows"] == []


def test_sessions_are_found_by_id_and_by_address() -> None:
    made = world()
    first, second = made.connect("10.0.0.1"), made.connect("10.0.0.2")
    for text, found in (
        ("10.0.0.2:", [second]),
        (f"{first.session_id:#X}", [first]),
        (f"{second.session_id:x}", [second]),
        ("10.0.0.", [first, second]),
        ("nobody", []),
    ):
        view = listed(made, filter=text)
        assert [row["id"] for row in view["rows"]] == [f"{each.session_id:#x}" for each in found]
        assert (view["total"], view["of"]) == (len(found), 2)


def test_a_negative_id_is_shown_as_clients_show_it() -> None:
    made = world()
    made.database.sessions[-2] = 5000
    (row,) = listed(made)["rows"]
    assert row["id"] == "0xfffffffffffffffe"
    assert (row["member"], row["expiresInMs"]) == (None, None)


def test_many_sessions_are_listed_in_pieces() -> None:
    made = world()
    made.database.sessions.update(dict.fromkeys(range(1, 10_001), 5000))
    work = sessions.sessions(made.server, 9_990, 100, "", Listings(), 0)
    pieces = 0
    with pytest.raises(StopIteration) as answered:
        while True:
            next(work)
            pieces += 1
    assert pieces > 10_000 // PIECE
    assert answered.value.value["total"] == 10_000
    assert len(answered.value.value["rows"]) == 10


def test_local_sessions_are_among_them() -> None:
    made = world()
    made.server.has_local_sessions = True
    made.server.sessions.add(7, 5000, 0, is_local=True)
    (row,) = listed(made)["rows"]
    assert (row["id"], row["local"], row["timeoutMs"]) == ("0x7", True, 5000)


# --- what may be seen -----------------------------------------------------------------


def with_secrets() -> tuple[World, Client]:
    made = with_tree()
    client = bob(made)
    client.create("/open/shown", b"", flags=CreateMode.EPHEMERAL)
    client.create("/open/hidden", b"", flags=CreateMode.EPHEMERAL, acl=ONLY_BOB)
    client.create("/bob/hidden", b"", flags=CreateMode.EPHEMERAL)
    client.exists("/open/none", watch=True)
    client.exists("/bob/none", watch=True)
    client.add_watch("/bob", AddWatchMode.PERSISTENT)
    client.add_watch("/open", AddWatchMode.PERSISTENT_RECURSIVE)
    client.get_children("/open", watch=True)
    return made, client


def test_paths_of_a_session_are_shown_to_who_may_read_them() -> None:
    made, client = with_secrets()
    view = one(made, who(made), client)
    assert view["ephemeralPaths"] == {"paths": ["/open/shown"], "visible": 1, "hidden": 2}
    assert view["watchedPaths"] == {
        "paths": ["/open", "/open/none"],
        "visible": 2,
        "hidden": 2,
        "kinds": [["persistent recursive", "children"], ["data"]],
    }
    whole = one(made, who(made, "bob:secret"), client)
    assert whole["ephemeralPaths"]["paths"] == ["/bob/hidden", "/open/hidden", "/open/shown"]
    assert whole["ephemeralPaths"]["hidden"] == whole["watchedPaths"]["hidden"] == 0
    assert whole["watchedPaths"]["paths"] == ["/bob", "/bob/none", "/open", "/open/none"]


def test_watched_paths_are_shown_to_who_may_read_them() -> None:
    made, client = with_secrets()
    view = watched(made, who(made))
    assert [row["path"] for row in view["rows"]] == ["/open", "/open/none"]
    # A persistent watch is in both tables.
    assert (view["total"], view["of"], view["hidden"]) == (2, 2, 3)
    assert view["rows"][0] == {
        "path": "/open",
        "exists": True,
        "watchers": 1,
        "sessions": [
            {"id": f"{client.session_id:#x}", "kinds": ["persistent recursive", "children"]}
        ],
    }
    assert view["rows"][1]["exists"] is False
    whole = watched(made, who(made, "bob:secret"))
    assert [row["path"] for row in whole["rows"]] == ["/bob", "/bob/none", "/open", "/open/none"]
    assert whole["hidden"] == 0


def test_a_filter_tells_nothing_of_what_is_hidden() -> None:
    made, _ = with_secrets()
    for text in ("/bob", "none", "x"):
        assert watched(made, who(made), filter=text)["hidden"] == 3
    assert watched(made, who(made), filter="/bob")["rows"] == []
    assert [row["path"] for row in watched(made, who(made), filter="none")["rows"]] == [
        "/open/none"
    ]
    assert [row["path"] for row in watched(made, who(made), 1, 1)["rows"]] == ["/open/none"]


def test_a_kept_list_is_for_those_identities_alone() -> None:
    made, client = with_secrets()
    for number in range(5000):
        made.tree.watches.add_data(f"/bob/{number}", client.connection)
    listings = Listings()

    def paths(looking: Visitor) -> int:
        total = done(sessions.watches(made.server, looking, 0, 1, "", listings, 0))["total"]
        assert isinstance(total, int)
        return total

    assert paths(who(made, "bob:secret")) == 5004
    assert paths(who(made)) == 2
    assert paths(who(made, "bob:secret")) == 5004


def test_a_watch_that_takes_the_place_of_another_is_seen_at_once() -> None:
    made = world()
    client = made.connect()
    listings = Listings()

    def paths() -> list[Any]:
        rows: Any = done(sessions.watches(made.server, who(made), 0, 9, "", listings, 0))["rows"]
        return [row["path"] for row in rows]

    made.tree.watches.add_data("/a", client.connection)
    assert paths() == ["/a"]
    made.tree.watches.remove_watcher(client.connection)
    made.tree.watches.add_data("/b", client.connection)
    assert paths() == ["/b"]


def test_not_all_of_a_large_session_is_shown() -> None:
    made = world()
    client = made.connect()
    for number in range(1200):
        made.tree.watches.add_data(f"/w{number:05d}", client.connection)
        made.tree.watches.add_child(f"/w{number:05d}", client.connection)
    shown = one(made, who(made), client)["watchedPaths"]
    assert (len(shown["paths"]), shown["visible"]) == (sessions.SHOWN_PATHS, 1200)
    assert shown["kinds"][0] == ["data", "children"]


def test_not_all_watchers_of_a_path_are_shown() -> None:
    made = world()
    for _ in range(30):
        made.connect().exists("/a", watch=True)
    (row,) = watched(made, who(made))["rows"]
    assert (row["watchers"], len(row["sessions"])) == (30, sessions.SHOWN_WATCHERS)
