"""Reads: answers, errors, what they ask of a path. client-protocol.md §8.2."""

from __future__ import annotations

import struct

import pytest

from conformance.hash_set_orders import Script, load
from pyzk.constants import CreateMode, OpCode, Xid
from pyzk.jute.archive import encode_strings
from pyzk.jute.records import (
    AddWatchRequest,
    CheckWatchesRequest,
    CloseSessionTxn,
    GetChildren2Response,
    GetChildrenResponse,
    GetDataResponse,
    PathRequest,
    PathWatchRequest,
    SetWatches,
    SetWatches2,
)
from tests.frames import Record, multi
from tests.server.calls import (
    NOBODY,
    add_watch,
    check_watches,
    children_of,
    create_as,
    data_of,
    ephemerals_of,
    events,
    make,
    path_in,
    remove_watches,
    results,
    stat_in,
    stat_of,
)
from tests.world import Client, World

WITH_WATCH = (OpCode.EXISTS, OpCode.GET_DATA, OpCode.GET_CHILDREN, OpCode.GET_CHILDREN2)
with_watch = pytest.mark.parametrize("opcode", WITH_WATCH)


def descendants(client: Client, path: str) -> int:
    reply = client.call(OpCode.GET_ALL_CHILDREN_NUMBER, PathRequest(path))
    assert reply.err == 0, reply
    (count,) = struct.unpack(">i", reply.body)
    return int(count)


# --- answers ------------------------------------------------------------------------


def test_exists_answers_with_the_stat_alone(client: Client) -> None:
    make(client, "/a")
    reply = client.exists("/a")
    assert (reply.err, len(reply.body)) == (0, 68)
    assert stat_in(reply.body).czxid == 2


def test_get_data_answers_with_data_and_stat(client: Client) -> None:
    client.create("/a", b"xyz")
    reply = client.get_data("/a")
    response, end = GetDataResponse.decode(reply.body, 0, len(reply.body))
    assert (response.data, end) == (b"xyz", len(reply.body))
    assert response.stat == stat_of(client, "/a")


def test_null_and_empty_data_differ_on_the_wire(client: Client) -> None:
    client.create("/null", None)
    client.create("/empty", b"")
    assert client.get_data("/null").body[:4] == b"\xff\xff\xff\xff"
    assert client.get_data("/empty").body[:4] == b"\0\0\0\0"
    assert len(client.get_data("/null").body) == 4 + 68


def test_get_children_answers_with_names_alone(client: Client) -> None:
    make(client, "/p", "/p/a", "/p/b", "/p/a/deep")
    reply = client.get_children("/p")
    response, end = GetChildrenResponse.decode(reply.body, 0, len(reply.body))
    assert (sorted(response.children), end) == (["a", "b"], len(reply.body))
    assert children_of(client, "/p/b") == []


def test_get_children2_adds_the_stat(client: Client) -> None:
    make(client, "/p", "/p/a")
    reply = client.call(OpCode.GET_CHILDREN2, PathWatchRequest("/p", False))
    response, end = GetChildren2Response.decode(reply.body, 0, len(reply.body))
    assert (response.children, end) == (["a"], len(reply.body))
    assert response.stat == stat_of(client, "/p")


def test_the_root_of_a_fresh_tree(client: Client) -> None:
    assert children_of(client, "/") == ["zookeeper"]
    assert children_of(client, "/zookeeper") == ["config", "quota"]
    assert data_of(client, "/") == b""
    assert data_of(client, "/zookeeper/config") == b""
    assert stat_of(client, "/zookeeper/config").version == 0
    assert descendants(client, "/") == 3


def test_all_descendants_are_counted(client: Client) -> None:
    make(client, "/p", "/p/a", "/p/a/b", "/pq")
    assert descendants(client, "/p") == 2
    assert descendants(client, "/pq") == 0
    assert descendants(client, "/") == 3 + 4
    assert descendants(client, "") == 4 + 4  # the root's other key, as recorded of the original
    assert client.call(OpCode.GET_ALL_CHILDREN_NUMBER, PathRequest("/none")).err == -101


def test_replies_carry_the_last_zxid(world: World, client: Client) -> None:
    other = world.connect()
    make(other, "/a")
    assert [client.get_data("/a").zxid, client.exists("/x").zxid, client.ping().zxid] == [3, 3, 3]


def test_ping_is_answered_with_its_own_number_whatever_it_had(client: Client) -> None:
    for xid in (Xid.PING, 5, 0):
        reply = client.call(OpCode.PING, xid=xid)
        assert (reply.xid, reply.err, reply.body) == (-2, 0, b"")


# --- ephemerals ---------------------------------------------------------------------


def test_ephemerals_are_those_of_the_session(world: World, client: Client) -> None:
    other = world.connect()
    other.create("/other", flags=CreateMode.EPHEMERAL)
    make(client, "/p")
    for path in ("/a", "/ab", "/p/c"):
        client.create(path, flags=CreateMode.EPHEMERAL)
    for prefix in (None, "", "  ", "/", " / "):
        assert ephemerals_of(client, prefix) == ["/a", "/ab", "/p/c"]


def test_the_prefix_of_ephemerals_is_text(client: Client) -> None:
    make(client, "/a")
    for path in ("/a/x", "/ab", "/b"):
        client.create(path, flags=CreateMode.EPHEMERAL)
    assert ephemerals_of(client, "/a") == ["/a/x", "/ab"]
    assert ephemerals_of(client, "/a/") == ["/a/x"]
    assert ephemerals_of(client, "/none") == []


def test_containers_are_no_ephemerals(client: Client) -> None:
    create_as(client, OpCode.CREATE_CONTAINER, "/c", 4)
    assert ephemerals_of(client) == []


# --- sync ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/none", "bad", "", None])
def test_sync_echoes_any_path(client: Client, path: str | None) -> None:
    assert path_in(client.call(OpCode.SYNC, PathRequest(path))) == path


def test_sync_writes_strings_as_the_original(client: Client) -> None:
    """Read as UTF-8, written one UTF-16 code unit at a time."""
    raw = "\U0001f600".encode()
    reply = client.call(OpCode.SYNC, len(raw).to_bytes(4) + raw)
    assert reply.body.hex() == "00000006eda0bdedb880"


# --- paths: not validated -----------------------------------------------------------


@with_watch
@pytest.mark.parametrize("path", ["/none", "bad", "/a/", "/a/../a", "//", "/a\1"])
def test_a_malformed_path_is_just_not_found(client: Client, opcode: int, path: str) -> None:
    make(client, "/a")
    assert client.call(opcode, PathWatchRequest(path, False)).err == -101


@with_watch
def test_the_empty_path_is_the_root(client: Client, opcode: int) -> None:
    """Its other key in the original."""
    reply = client.call(opcode, PathWatchRequest("", False))
    assert reply.err == 0
    assert reply.body == client.call(opcode, PathWatchRequest("/", False)).body


@with_watch
def test_nul_is_refused_by_exists_alone(client: Client, opcode: int) -> None:
    err = client.call(opcode, PathWatchRequest("/\0", False)).err
    assert err == (-8 if opcode == OpCode.EXISTS else -101)


@pytest.mark.parametrize(
    ("opcode", "record", "err"),
    [
        (OpCode.EXISTS, PathWatchRequest(None, True), -5),
        (OpCode.GET_DATA, PathWatchRequest(None, False), -5),
        (OpCode.GET_CHILDREN, PathWatchRequest(None, False), -5),
        (OpCode.GET_CHILDREN2, PathWatchRequest(None, False), -5),
        (OpCode.GET_ACL, PathRequest(None), -5),
        (OpCode.GET_ALL_CHILDREN_NUMBER, PathRequest(None), -5),
        (OpCode.CHECK_WATCHES, CheckWatchesRequest(None, 1), -121),
        (OpCode.REMOVE_WATCHES, CheckWatchesRequest(None, 1), -121),
        (OpCode.ADD_WATCH, AddWatchRequest(None, 0), 0),
    ],
)
def test_null_paths_are_answered_as_recorded(
    client: Client, opcode: int, record: Record, err: int
) -> None:
    assert client.call(opcode, record).err == err
    assert client.ping().err == 0


def test_strings_of_invalid_utf_8_are_not_found(client: Client) -> None:
    assert client.call(OpCode.EXISTS, b"\0\0\0\x02/\xff\0").err == -101


# --- rights and watches -------------------------------------------------------------


@with_watch
def test_without_read_there_is_neither_answer_nor_watch(client: Client, opcode: int) -> None:
    make(client, "/s", acl=NOBODY)
    assert client.call(opcode, PathWatchRequest("/s", True)).err == -102
    assert check_watches(client, "/s", 3) == -121


@with_watch
def test_a_watch_on_what_is_missing_is_left_by_exists_alone(client: Client, opcode: int) -> None:
    assert client.call(opcode, PathWatchRequest("/none", True)).err == -101
    assert check_watches(client, "/none", 3) == (0 if opcode == OpCode.EXISTS else -121)


@with_watch
@pytest.mark.parametrize("byte", [0, 1, 2, 255])
def test_any_byte_but_zero_asks_for_a_watch(client: Client, opcode: int, byte: int) -> None:
    body = PathRequest("/").encode() + bytes([byte])
    assert client.call(opcode, body).err == 0
    assert check_watches(client, "/", 3) == (0 if byte else -121)


# --- watch operations ---------------------------------------------------------------


def test_add_watch_answers_with_four_bytes(client: Client) -> None:
    reply = add_watch(client, "/none", 0)
    assert (reply.err, reply.body) == (0, b"\0\0\0\0")


@pytest.mark.parametrize("mode", [-1, 2, 3])
def test_add_watch_knows_two_modes(client: Client, mode: int) -> None:
    reply = add_watch(client, "/", mode)
    assert (reply.err, reply.body) == (-5, b"")
    assert check_watches(client, "/", 3) == -121


@pytest.mark.parametrize("kind", [-1, 0, 6])
def test_unknown_kinds_of_watches_are_unreadable(client: Client, kind: int) -> None:
    assert check_watches(client, "/", kind) == -5
    assert remove_watches(client, "/", kind) == -5


def test_a_check_leaves_the_watch_and_a_removal_takes_it(client: Client) -> None:
    client.exists("/a", watch=True)
    assert check_watches(client, "/a", 2) == 0
    assert check_watches(client, "/a", 2) == 0
    assert remove_watches(client, "/a", 2) == 0
    assert remove_watches(client, "/a", 2) == -121
    make(client, "/a")
    assert client.replies() == []


# --- bodies that cannot be read: client-protocol.md §18 -----------------------------

BODIES: list[tuple[int, bytes]] = [
    *((opcode, PathWatchRequest("/p", False).encode()) for opcode in WITH_WATCH),
    (OpCode.GET_ACL, PathRequest("/p").encode()),
    (OpCode.SYNC, PathRequest("/p").encode()),
    (OpCode.GET_EPHEMERALS, PathRequest("/p").encode()),
    (OpCode.GET_ALL_CHILDREN_NUMBER, PathRequest("/p").encode()),
    (OpCode.SET_WATCHES, SetWatches(99, ["/p"], [], []).encode()),
    (OpCode.SET_WATCHES2, SetWatches2(99, ["/p"], [], [], [], []).encode()),
    (OpCode.ADD_WATCH, AddWatchRequest("/p", 0).encode()),
    (OpCode.CHECK_WATCHES, CheckWatchesRequest("/p", 3).encode()),
    (OpCode.REMOVE_WATCHES, CheckWatchesRequest("/p", 3).encode()),
    (OpCode.MULTI_READ, multi((OpCode.GET_DATA, PathWatchRequest("/p", False)))),
]


@pytest.mark.parametrize(("opcode", "body"), BODIES)
def test_a_body_cut_at_any_byte_is_minus_five_and_the_connection_stays(
    client: Client, opcode: int, body: bytes
) -> None:
    make(client, "/p")
    client.exists("/p", watch=True)
    for cut in range(len(body)):
        reply = client.call(opcode, body[:cut])
        assert (reply.zxid, reply.err, reply.body) == (2, -5, b""), cut


@pytest.mark.parametrize(("opcode", "body"), BODIES)
def test_bytes_behind_a_body_are_not_looked_at(client: Client, opcode: int, body: bytes) -> None:
    make(client, "/p")
    client.exists("/p", watch=True)
    assert client.call(opcode, body + b"\xff\x00\xff").err == 0


@pytest.mark.parametrize("opcode", [OpCode.PING, OpCode.WHO_AM_I, OpCode.CLOSE_SESSION])
def test_operations_without_body_take_any(client: Client, opcode: int) -> None:
    assert client.call(opcode, b"anything").err == 0


# --- order --------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [OpCode.GET_CHILDREN, OpCode.GET_CHILDREN2])
@pytest.mark.parametrize(
    "script",
    [each for each in load() if each.kind in ("random", "sequential") and each.capacity == 8],
    ids=lambda script: f"{script.kind}-{len(script.steps)}",
)
def test_children_are_listed_in_the_order_of_the_original(
    client: Client, script: Script, opcode: int
) -> None:
    make(client, "/p")
    for what, x in script.steps:
        if what == "+":
            make(client, f"/p/{x}")
        elif what == "-":
            client.delete(f"/p/{x}")
        elif what == "?":
            body = client.call(opcode, PathWatchRequest("/p", False)).body
            assert GetChildrenResponse.decode(body, 0, len(body))[0].children == x
            listed = client.call(
                OpCode.MULTI_READ, multi((OpCode.GET_CHILDREN, PathWatchRequest("/p", False)))
            )
            body = results(listed)[0][2]
            assert GetChildrenResponse.decode(body, 0, len(body))[0].children == x


GREEK = ["alpha", "beta", "gamma", "delta", "eps", "zeta", "eta", "theta", "iota", "kappa"]
GREEK += ["lambda", "mu", "nu"]
CLONED = ["/alpha", "/gamma", "/iota", "/eta", "/zeta", "/theta", "/kappa", "/beta", "/lambda"]
CLONED += ["/delta", "/eps"]
"""How Java 17 lists a clone of the HashSet that had all of GREEK and has lost the last two."""


def test_ephemerals_are_listed_and_deleted_in_the_order_of_a_clone(
    world: World, client: Client
) -> None:
    for name in GREEK:
        client.create(f"/{name}", flags=CreateMode.EPHEMERAL)
    client.delete("/nu")
    client.delete("/mu")
    assert world.tree.ephemerals[client.session_id].in_order() != CLONED
    assert client.call(OpCode.GET_EPHEMERALS, PathRequest("")).body == encode_strings(CLONED)
    assert client.call(OpCode.GET_EPHEMERALS, PathRequest("/t")).body == encode_strings(["/theta"])
    other = world.connect()
    for path in CLONED:
        other.exists(path, watch=True)
    other.replies()
    client.call(OpCode.CLOSE_SESSION)
    assert world.log[-1].body == CloseSessionTxn(CLONED)
    assert [path for _, path in events(other)] == CLONED


def test_children_of_a_znode_without_any(client: Client) -> None:
    make(client, "/p")
    assert client.call(OpCode.GET_CHILDREN, PathWatchRequest("/p", False)).body == bytes(4)
    make(client, "/p/a")
    client.delete("/p/a")
    assert client.call(OpCode.GET_CHILDREN, PathWatchRequest("/p", False)).body == bytes(4)
