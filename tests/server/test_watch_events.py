"""Watches: which event, to whom, in which order. sessions-and-watches.md B and C."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.jute.records import ACL, DeleteRequest, PathWatchRequest, SetDataRequest
from tests.frames import OPEN, create_request, multi
from tests.server.calls import (
    CHANGED,
    CHILDREN,
    CREATED,
    DELETED,
    NOBODY,
    READ_ONLY,
    add_watch,
    authenticate,
    burst,
    check_watches,
    create_as,
    events,
    make,
    remove_watches,
    set_acl,
    set_watches,
    set_watches2,
    split_replies,
    stat_of,
)
from tests.world import Client, World

PERSISTENT = 0
RECURSIVE = 1
ANY = 3


@pytest.fixture
def other(world: World) -> Client:
    """Who makes the changes."""
    return world.connect()


def count(client: Client) -> int:
    return client.world.tree.watches.watch_count


# --- the events themselves ----------------------------------------------------------


def test_an_event_has_type_state_path_and_the_zxid_of_its_transaction(
    client: Client, other: Client
) -> None:
    client.exists("/a", watch=True)
    zxid = other.create("/a").zxid
    assert client.received.hex() == (
        "0000001e" "ffffffff" f"{zxid:016x}" "00000000" "00000001" "00000003" "00000002" "2f61"
    )  # fmt: skip


def test_data_watches(client: Client, other: Client) -> None:
    make(other, "/a")
    client.get_data("/a", watch=True)
    other.create("/a/b")
    set_acl(other, "/a", READ_ONLY + OPEN)
    assert events(client) == []
    other.set_data("/a", b"")  # equal data is a change
    other.set_data("/a", b"x")
    assert events(client) == [(CHANGED, "/a")]
    client.get_data("/a", watch=True)
    client.replies()
    other.delete("/a/b")
    other.delete("/a")
    assert events(client) == [(DELETED, "/a")]
    assert count(client) == 0


def test_exist_watches(client: Client, other: Client) -> None:
    """C 5."""
    client.exists("/a", watch=True)
    other.create("/a")
    other.set_data("/a", b"x")
    assert events(client) == [(CREATED, "/a")]
    client.exists("/a", watch=True)
    client.replies()
    other.set_data("/a", b"y")
    assert events(client) == [(CHANGED, "/a")]


def test_child_watches(client: Client, other: Client) -> None:
    make(other, "/p")
    client.get_children("/p", watch=True)
    client.replies()
    other.set_data("/p", b"x")
    other.create("/p/a")
    other.create("/p/b")
    assert events(client) == [(CHILDREN, "/p")]
    client.get_children("/p", watch=True)
    client.replies()
    other.create("/p/a/deep")
    other.delete("/p/b")
    assert events(client) == [(CHILDREN, "/p")]
    client.call(OpCode.GET_CHILDREN2, PathWatchRequest("/p", True))
    other.delete("/p/a/deep")
    other.delete("/p/a")
    assert events(client) == [(CHILDREN, "/p")]


def test_children_of_the_root(client: Client, other: Client) -> None:
    client.get_children("/", watch=True)
    client.replies()
    other.create("/a")
    assert events(client) == [(CHILDREN, "/")]


def test_data_and_child_watch_of_what_is_deleted_give_one_event(
    client: Client, other: Client
) -> None:
    """C 6: both are used up."""
    make(other, "/p")
    client.get_data("/p", watch=True)
    client.get_children("/p", watch=True)
    client.replies()
    other.delete("/p")
    assert events(client) == [(DELETED, "/p")]
    assert count(client) == 0


def test_a_child_watch_alone_sees_its_znode_go(client: Client, other: Client) -> None:
    make(other, "/p")
    client.get_children("/p", watch=True)
    client.replies()
    other.delete("/p")
    assert events(client) == [(DELETED, "/p")]


def test_the_same_registration_twice_is_one(client: Client, other: Client) -> None:
    make(other, "/a")
    client.get_data("/a", watch=True)
    client.exists("/a", watch=True)
    client.replies()
    assert count(client) == 1
    other.set_data("/a", b"x")
    assert events(client) == [(CHANGED, "/a")]


def test_every_connection_is_told(world: World, client: Client, other: Client) -> None:
    third = world.connect()
    for watcher in (client, third):
        watcher.exists("/a", watch=True)
    other.create("/a")
    assert events(client) == events(third) == [(CREATED, "/a")]


# --- addWatch -----------------------------------------------------------------------


def test_persistent_watches_stay(client: Client, other: Client) -> None:
    """C 7 and 9."""
    add_watch(client, "/a", PERSISTENT)
    other.create("/a")
    other.create("/a/b")
    other.set_data("/a/b", b"x")
    other.delete("/a/b")
    other.set_data("/a", b"x")
    other.delete("/a")
    other.create("/a")
    assert events(client) == [
        (CREATED, "/a"),
        (CHILDREN, "/a"),
        (CHILDREN, "/a"),
        (CHANGED, "/a"),
        (DELETED, "/a"),
        (CREATED, "/a"),
    ]
    assert count(client) == 2


def test_recursive_watches_see_descendants_and_no_children_events(
    client: Client, other: Client
) -> None:
    """C 8."""
    make(other, "/a", "/a/b")
    add_watch(client, "/a", RECURSIVE)
    other.create("/a/b/c")
    assert events(client) == [(CREATED, "/a/b/c")]
    other.set_data("/a/b", b"")
    other.delete("/a/b/c")
    other.set_data("/a", b"")
    other.create("/ab")
    other.set_data("/", b"")
    assert events(client) == [(CHANGED, "/a/b"), (DELETED, "/a/b/c"), (CHANGED, "/a")]
    assert count(client) == 1


def test_a_recursive_watch_of_the_root_sees_everything(client: Client, other: Client) -> None:
    add_watch(client, "/", RECURSIVE)
    make(other, "/a", "/zookeeper/quota/x")
    other.set_data("/", b"x")
    assert events(client) == [(CREATED, "/a"), (CREATED, "/zookeeper/quota/x"), (CHANGED, "/")]


def test_a_child_watch_beside_a_recursive_one(client: Client, other: Client) -> None:
    """C 10: the data table comes first."""
    make(other, "/a")
    client.get_children("/a", watch=True)
    client.replies()
    add_watch(client, "/a", RECURSIVE)
    other.create("/a/b")
    assert events(client) == [(CREATED, "/a/b"), (CHILDREN, "/a")]


def test_all_modes_on_one_path_give_one_event(client: Client, other: Client) -> None:
    """C 11."""
    make(other, "/a")
    client.exists("/a", watch=True)
    add_watch(client, "/a", PERSISTENT)
    add_watch(client, "/a", RECURSIVE)
    add_watch(client, "/", RECURSIVE)
    client.replies()
    other.set_data("/a", b"x")
    assert events(client) == [(CHANGED, "/a")]
    other.set_data("/a", b"y")
    assert events(client) == [(CHANGED, "/a")]
    other.delete("/a")
    assert events(client) == [(DELETED, "/a")]


@pytest.mark.parametrize("path", ["/none", "bad", "", "/a/../b"])
def test_add_watch_looks_at_no_path(client: Client, path: str) -> None:
    assert add_watch(client, path, PERSISTENT).err == 0
    assert check_watches(client, path, 4) == 0


# --- checkWatches, removeWatches: B9 ------------------------------------------------

KINDS = (1, 2, 3, 4, 5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("registered", ["data", "child", "persistent", "recursive"])
def test_a_kind_of_removal_takes_its_kind_of_watch(
    client: Client, registered: str, kind: int
) -> None:
    make(client, "/a")
    if registered == "data":
        client.get_data("/a", watch=True)
    elif registered == "child":
        client.get_children("/a", watch=True)
    else:
        add_watch(client, "/a", PERSISTENT if registered == "persistent" else RECURSIVE)
    fits = kind == 3 or kind == {"child": 1, "data": 2, "persistent": 4, "recursive": 5}[registered]
    expected = 0 if fits else -121
    assert check_watches(client, "/a", kind) == expected
    assert remove_watches(client, "/a", kind) == expected
    assert (count(client) == 0) is fits


def test_removing_data_watches_leaves_persistent_ones(client: Client, other: Client) -> None:
    """C 16."""
    add_watch(client, "/a", PERSISTENT)
    assert remove_watches(client, "/a", 2) == -121
    client.exists("/a", watch=True)
    assert remove_watches(client, "/a", 2) == 0
    other.create("/a")
    assert events(client) == [(CREATED, "/a")]


def test_watches_of_others_do_not_count(client: Client, other: Client) -> None:
    other.exists("/a", watch=True)
    assert check_watches(client, "/a", ANY) == -121
    assert remove_watches(client, "/a", ANY) == -121
    assert check_watches(other, "/a", ANY) == 0


def test_a_removal_sends_no_event(client: Client) -> None:
    client.exists("/a", watch=True)
    client.submit(OpCode.REMOVE_WATCHES, b"\0\0\0\x02/a\0\0\0\x03", xid=9)
    assert [reply.xid for reply in client.replies()] == [9]


# --- setWatches: B7 -----------------------------------------------------------------


def test_set_watches_tells_what_was_missed_before_its_reply(client: Client, other: Client) -> None:
    """C 14: an event, and no registration."""
    make(other, "/data", "/child", "/exist")  # 3, 4, 5
    other.set_data("/data", b"x")  # 6
    other.create("/child/x")  # 7
    replies = set_watches(
        client, 5, data=["/data", "/gone"], exist=["/exist"], child=["/child", "/gone2"]
    )
    assert [reply.event for reply in replies[:-1]] == [
        (CHANGED, "/data"),
        (DELETED, "/gone"),
        (CREATED, "/exist"),
        (CHILDREN, "/child"),
        (DELETED, "/gone2"),
    ]
    assert {reply.zxid for reply in replies[:-1]} == {-1}
    assert (replies[-1].xid, replies[-1].zxid, replies[-1].err) == (-8, 7, 0)
    assert replies[-1].body == b""
    assert count(client) == 0


def test_set_watches_registers_what_has_not_changed(client: Client, other: Client) -> None:
    make(other, "/data", "/child")
    other.set_data("/data", b"x")  # mzxid 5
    other.create("/child/x")  # pzxid 6
    assert len(set_watches(client, 6, data=["/data"], exist=["/exist"], child=["/child"])) == 1
    assert count(client) == 3
    other.create("/exist")
    other.set_data("/data", b"y")
    other.create("/child/y")
    assert events(client) == [(CREATED, "/exist"), (CHANGED, "/data"), (CHILDREN, "/child")]
    assert count(client) == 0


@pytest.mark.parametrize("since", [4, 5, 6])
def test_only_what_is_newer_than_the_client_s_zxid_was_missed(
    client: Client, other: Client, since: int
) -> None:
    make(other, "/a")
    other.create("/a/b")
    other.set_data("/a", b"x")  # zxid 5; pzxid is 4
    replies = set_watches(client, since, data=["/a"], child=["/a"])
    told = [reply.event for reply in replies[:-1]]
    assert told == ([(CHANGED, "/a")] if since < 5 else [])
    assert count(client) == (1 if since < 5 else 2)


def test_a_znode_made_again_has_changed(client: Client, other: Client) -> None:
    make(other, "/a")  # 3
    other.delete("/a")
    other.create("/a")
    assert [reply.event for reply in set_watches(client, 3, data=["/a"])[:-1]] == [(CHANGED, "/a")]


def test_set_watches_of_the_second_kind_registers_persistent_ones_without_catching_up(
    client: Client, other: Client
) -> None:
    make(other, "/a", "/b")
    other.set_data("/a", b"x")
    replies = set_watches2(
        client, 0, data=["/gone"], persistent=["/a", "/none"], recursive=["/b", "/none"]
    )
    assert [reply.event for reply in replies[:-1]] == [(DELETED, "/gone")]
    assert replies[-1].xid == -8
    assert check_watches(client, "/none", 4) == 0
    assert check_watches(client, "/none", 5) == 0
    other.create("/a/x")
    other.create("/b/x")
    assert events(client) == [(CHILDREN, "/a"), (CREATED, "/b/x")]


def test_set_watches_asks_for_no_right(client: Client) -> None:
    make(client, "/s", acl=NOBODY)
    replies = set_watches(client, 0, data=["/s"], exist=["/s"], child=["/s"])
    assert [reply.event for reply in replies[:-1]] == [
        (CHANGED, "/s"),
        (CREATED, "/s"),
        (CHILDREN, "/s"),
    ]


def test_a_null_list_is_unreadable_when_its_turn_comes(client: Client) -> None:
    """As the original: what stands before it has been done."""
    replies = set_watches(client, 0, data=["/gone"], exist=None)
    assert [reply.xid for reply in replies] == [-1, -8]
    assert replies[1].err == -5
    assert [reply.err for reply in set_watches(client, 0, data=None)] == [-5]
    assert [reply.err for reply in set_watches(client, 0, child=None)] == [-5]
    assert [reply.err for reply in set_watches2(client, 0, persistent=None)] == [-5]
    assert [reply.err for reply in set_watches2(client, 0, recursive=None)] == [-5]
    assert client.ping().err == 0


def test_set_watches_behind_a_write_sees_it(world: World, client: Client) -> None:
    world.is_disk_held = True
    client.submit(OpCode.CREATE, create_request("/a"), xid=1)
    assert set_watches(client, 0, exist=["/a"]) == []
    world.sync()
    told, replies = split_replies(client)
    assert told == [(CREATED, "/a")]
    assert [reply.xid for reply in replies] == [1, -8]


# --- the right to see an event: B4 --------------------------------------------------


def test_an_event_without_read_is_lost_and_the_watch_used_up(client: Client, other: Client) -> None:
    """C 15."""
    make(other, "/a")
    authenticate(other, "bob:pw")
    client.get_data("/a", watch=True)
    client.replies()
    set_acl(other, "/a", [ACL(31, "auth", "")])
    other.set_data("/a", b"x")
    assert events(client) == []
    assert count(client) == 0


def test_a_new_znode_s_own_list_decides(client: Client, other: Client) -> None:
    client.exists("/a", watch=True)
    make(other, "/a", acl=NOBODY)
    assert events(client) == []
    client.exists("/b", watch=True)
    make(other, "/b", acl=READ_ONLY)
    assert events(client) == [(CREATED, "/b")]


def test_the_list_that_a_deleted_znode_had_decides(client: Client, other: Client) -> None:
    add_watch(client, "/a", PERSISTENT)
    make(other, "/a", acl=NOBODY)
    other.delete("/a")
    make(other, "/a", acl=READ_ONLY)
    other.delete("/a")
    assert events(client) == [(CREATED, "/a"), (DELETED, "/a")]


def test_the_parent_s_list_decides_for_its_children(client: Client, other: Client) -> None:
    make(other, "/p", "/h")
    client.get_children("/p", watch=True)
    client.get_children("/h", watch=True)
    client.replies()
    set_acl(other, "/h", [ACL(4, "world", "anyone")])
    make(other, "/p/x", acl=NOBODY)
    make(other, "/h/x")
    assert events(client) == [(CHILDREN, "/p")]
    assert count(client) == 0


def test_the_present_ids_of_the_connection_decide(client: Client, other: Client) -> None:
    authenticate(other, "bob:pw")
    make(other, "/a", acl=[ACL(31, "auth", "")])
    add_watch(client, "/a", PERSISTENT)
    other.set_data("/a", b"1")
    assert events(client) == []
    authenticate(client, "bob:pw")
    other.set_data("/a", b"2")
    assert events(client) == [(CHANGED, "/a")]


def test_skip_acl_lets_every_event_pass() -> None:
    world = World(ServerConfig(skip_acl=True))
    client, other = world.connect(), world.connect()
    add_watch(client, "/a", PERSISTENT)
    make(other, "/a", acl=NOBODY)
    assert events(client) == [(CREATED, "/a")]


# --- order: B5, B12 -----------------------------------------------------------------


def test_one_s_own_events_come_before_the_reply(client: Client) -> None:
    add_watch(client, "/", RECURSIVE)
    client.get_children("/", watch=True)
    client.replies()
    client.submit(OpCode.CREATE, create_request("/a"), xid=9)
    assert [reply.xid for reply in client.replies()] == [-1, -1, 9]


def test_events_and_replies_come_in_the_order_of_the_transactions(
    world: World, client: Client, other: Client
) -> None:
    add_watch(client, "/", RECURSIVE)
    client.replies()
    world.is_disk_held = True
    burst(other, (OpCode.CREATE, create_request("/a")))
    burst(
        client,
        (OpCode.SET_DATA, SetDataRequest("/a", b"x", -1)),
        (OpCode.GET_DATA, PathWatchRequest("/a", True)),
        (OpCode.DELETE, DeleteRequest("/a", -1)),
    )
    world.sync()
    frames = client.replies()
    assert [(reply.xid, reply.zxid) for reply in frames] == [
        (-1, 3),
        (-1, 4),
        (101, 4),
        (102, 4),
        (-1, 5),
        (103, 5),
    ]


def test_a_change_is_told_before_a_read_shows_it(
    world: World, client: Client, other: Client
) -> None:
    client.exists("/a", watch=True)
    world.is_disk_held = True
    other.submit(OpCode.CREATE, create_request("/a"))
    assert client.exists("/a").err == -101
    world.sync()
    client.submit(OpCode.EXISTS, PathWatchRequest("/a", False), xid=9)
    assert [reply.xid for reply in client.replies()] == [-1, 9]


def test_a_failed_write_fires_nothing(client: Client, other: Client) -> None:
    make(other, "/a")
    add_watch(client, "/", RECURSIVE)
    other.create("/a")
    other.set_data("/a", b"", 9)
    other.delete("/a", 9)
    other.call(OpCode.MULTI, multi((OpCode.DELETE, DeleteRequest("/a", 9))))
    set_acl(other, "/a", READ_ONLY)
    assert events(client) == []


@pytest.mark.parametrize("opcode", [OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER])
def test_every_kind_of_create_fires(client: Client, other: Client, opcode: int) -> None:
    client.exists("/a", watch=True)
    client.get_children("/", watch=True)
    client.replies()
    create_as(other, opcode, "/a")
    assert events(client) == [(CREATED, "/a"), (CHILDREN, "/")]


# --- the end of a connection --------------------------------------------------------


def test_watches_end_with_their_connection_not_their_session(
    world: World, client: Client, other: Client
) -> None:
    client.exists("/a", watch=True)
    add_watch(client, "/a", RECURSIVE)
    again = world.open()
    again.handshake(session_id=client.session_id, password=client.password)
    assert count(again) == 0
    other.create("/a")
    assert events(again) == []
    assert stat_of(again, "/a").version == 0


def test_a_closed_connection_is_told_nothing(client: Client, other: Client) -> None:
    client.exists("/a", watch=True)
    client.received = b""
    client.connection.closed()
    other.create("/a")
    client.world.settle()
    assert client.received == b""
    assert count(other) == 0
