"""Which error wins: the rows of request-order-of-checks.md §16, and the trace of zxids of §9.

State before each row: /p and /p/c open, /e an ephemeral of another session, /r readable by all and
nothing else, /r/k below it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import CreateMode, OpCode, Xid
from pyzk.jute.records import (
    CheckVersionRequest,
    DeleteContainerRequest,
    DeleteRequest,
    PathRequest,
    PathResponse,
    ReconfigRequest,
    SetDataRequest,
)
from tests.frames import OPEN, Reply, create_request
from tests.server.calls import (
    CREATED,
    READ_ONLY,
    add_watch,
    authenticate,
    create_as,
    errors,
    events,
    logged_types,
    make,
    path_in,
    remove_watches,
    results,
    run_multi,
    set_acl,
    stat_of,
)
from tests.world import Client, World

EXTENDED = ServerConfig(extended_types_enabled=True)


def settle(config: ServerConfig | None = None) -> Client:
    """Make the state that the rows begin with; return a client of a session of its own."""
    world = World(config)
    owner = world.connect()
    make(owner, "/p", "/p/c", "/r", "/r/k")
    assert owner.create("/e", flags=CreateMode.EPHEMERAL).err == 0
    assert set_acl(owner, "/r", READ_ONLY).err == 0
    return world.connect()


@pytest.fixture
def settled() -> Client:
    return settle()


ROWS: list[tuple[str, int, Callable[[Client], Reply]]] = [
    ("1 create of what exists", -110, lambda c: c.create("/p")),
    ("2 create under a missing parent", -101, lambda c: c.create("/q/x")),
    ("3 create under an ephemeral", -108, lambda c: c.create("/e/x")),
    ("4 create without the right", -102, lambda c: c.create("/r/x")),
    ("5 create of what exists without the right", -102, lambda c: c.create("/r/k")),
    ("6 the parent is looked up literally", -101, lambda c: c.create("/p/../x")),
    ("7 create of a dot-dot component", -8, lambda c: c.create("/p/..")),
    ("8 create with a slash at the end", -8, lambda c: c.create("/p/")),
    (
        "10 create with an empty list",
        -114,
        lambda c: create_as(c, OpCode.CREATE, "/p/a", acl=[]),
    ),
    (
        "11 an empty list under a missing parent",
        -114,
        lambda c: create_as(c, OpCode.CREATE, "/nope/a", acl=[]),
    ),
    ("12 create with unknown flags", -8, lambda c: c.create("/p/a", flags=9)),
    ("13 TTL flags while they are off", -6, lambda c: c.create("/p/a", flags=5)),
    ("16 delete of what has children", -111, lambda c: c.delete("/p")),
    ("17 version before emptiness", -103, lambda c: c.delete("/p", 7)),
    ("18 delete without the right", -102, lambda c: c.delete("/r/k")),
    ("19 the right before existence", -102, lambda c: c.delete("/r/none")),
    ("20 delete under a missing parent", -101, lambda c: c.delete("/none/x")),
    ("21 delete of what is missing", -101, lambda c: c.delete("/p/none")),
    ("22 delete of the root", -8, lambda c: c.delete("/")),
    ("22 delete of the config", -8, lambda c: c.delete("/zookeeper/config")),
    ("23 delete with a slash at the end", -101, lambda c: c.delete("/p/")),
    ("24 the right before the version", -102, lambda c: c.set_data("/r", b"", 9)),
    ("25 setData of another version", -103, lambda c: c.set_data("/p", b"", 9)),
    ("26 setData without slash", -8, lambda c: c.set_data("p", b"")),
    ("27 setData of what is missing", -101, lambda c: c.set_data("/none", b"")),
    ("28 the list before existence", -114, lambda c: set_acl(c, "/none", [])),
    ("29 setACL without the right", -102, lambda c: set_acl(c, "/r", OPEN)),
    ("30 setACL of another version", -103, lambda c: set_acl(c, "/p", OPEN, 3)),
    ("31 getData with READ", 0, lambda c: c.get_data("/r")),
    ("34 exists without slash", -101, lambda c: c.exists("bad")),
    ("35 exists with NUL", -8, lambda c: c.exists("/p\0")),
    (
        "40 reconfig by default",
        -123,
        lambda c: c.call(OpCode.RECONFIG, ReconfigRequest(None, None, None, -1)),
    ),
    ("43 addWatch of an unknown mode", -5, lambda c: add_watch(c, "/p", 2)),
]


@pytest.mark.parametrize(("row", "err", "request_of"), ROWS, ids=[row for row, *_ in ROWS])
def test_the_first_check_that_fails_decides(
    settled: Client, row: str, err: int, request_of: Callable[[Client], Reply]
) -> None:
    assert request_of(settled).err == err


def test_row_9_a_sequential_name_may_be_empty(settled: Client) -> None:
    reply = settled.create("/p/", flags=CreateMode.PERSISTENT_SEQUENTIAL)
    assert path_in(reply) == "/p/0000000001"


def test_rows_13_to_15_flags_and_ttl_with_extended_types() -> None:
    client = settle(EXTENDED)
    assert client.create("/p/a", flags=5).err == -8  # op 1 has no TTL
    assert create_as(client, OpCode.CREATE_TTL, "/p/a", 5, ttl=0).err == -8
    assert create_as(client, OpCode.CREATE_TTL, "/p/a", 0, ttl=5).err == -8


def test_row_32_get_children_leaves_no_watch_on_an_error(settled: Client) -> None:
    assert settled.get_children("/none", watch=True).err == -101
    assert remove_watches(settled, "/none", 3) == -121


def test_row_33_exists_leaves_its_watch_on_what_is_missing(settled: Client) -> None:
    assert settled.exists("/none", watch=True).err == -101
    make(settled.world.connect(), "/none")
    assert events(settled) == [(CREATED, "/none")]


def test_row_36_a_multi_that_fails_changes_nothing(settled: Client) -> None:
    reply = run_multi(
        settled,
        (OpCode.CHECK, CheckVersionRequest("/p", 0)),
        (OpCode.CREATE, create_request("/p/n")),
        (OpCode.DELETE, DeleteRequest("/p/c", 5)),
    )
    assert reply.err == 0
    assert errors(reply) == [0, 0, -103]
    assert settled.exists("/p/n").err == -101
    assert settled.exists("/p/c").err == 0


def test_row_37_a_multi_sees_its_own_effects_under_one_zxid(settled: Client) -> None:
    reply = run_multi(
        settled,
        (OpCode.CREATE, create_request("/m")),
        (OpCode.CREATE, create_request("/m/n")),
        (OpCode.SET_DATA, SetDataRequest("/m/n", b"x", 0)),
        (OpCode.DELETE, DeleteRequest("/m/n", 1)),
        (OpCode.DELETE, DeleteRequest("/m", 0)),
    )
    assert errors(reply) == [0, 0, 0, 0, 0]
    assert stat_of(settled, "/").pzxid == reply.zxid


def test_row_38_sequential_creates_in_a_multi_count_on(settled: Client) -> None:
    sequential = create_request("/p/s", flags=CreateMode.PERSISTENT_SEQUENTIAL)
    reply = run_multi(settled, (OpCode.CREATE, sequential), (OpCode.CREATE, sequential))
    names = [PathResponse.decode(raw, 0, len(raw))[0].path for _, _, raw in results(reply)]
    assert names == ["/p/s0000000001", "/p/s0000000002"]


def test_row_39_no_delete_container_inside_a_multi(settled: Client) -> None:
    operation = (OpCode.DELETE_CONTAINER, DeleteContainerRequest(b"/p"))
    assert run_multi(settled, operation).err == -5


def test_row_41_sync_echoes_whatever_it_is_given(settled: Client) -> None:
    for path in ("/p", "anything", ""):
        assert path_in(settled.call(OpCode.SYNC, PathRequest(path))) == path


def test_row_42_nothing_to_remove(settled: Client) -> None:
    assert remove_watches(settled, "/p", 3) == -121


def test_row_44_check_alone_is_an_unknown_operation(settled: Client) -> None:
    reply = settled.call(OpCode.CHECK, CheckVersionRequest("/p", 0))
    assert (reply.zxid, reply.err) == (-1, -6)
    assert settled.is_closed


# --- zxids: §9 ----------------------------------------------------------------------


def test_every_write_takes_one_zxid_and_nothing_else_does(world: World) -> None:
    client = world.connect()
    assert world.database.last_zxid == 1

    def outcome(reply: Reply) -> tuple[int, int]:
        return reply.err, reply.zxid

    assert outcome(client.create("/a")) == (0, 2)
    assert outcome(client.create("/a")) == (-110, 3)
    assert outcome(client.get_data("/a")) == (0, 3)
    assert outcome(client.set_data("/a", b"", 5)) == (-103, 4)
    reply = run_multi(
        client,
        (OpCode.SET_DATA, SetDataRequest("/a", b"", -1)),
        (OpCode.DELETE, DeleteRequest("/nope", -1)),
    )
    assert outcome(reply) == (0, 5)
    assert errors(reply) == [0, -101]
    assert outcome(authenticate(client, "bob:pw")) == (0, 0)
    assert outcome(client.ping()) == (0, 5)
    assert outcome(client.delete("/a")) == (0, 6)
    assert outcome(client.call(999)) == (-6, -1)
    assert client.is_closed

    again = world.open()
    response = again.handshake(session_id=client.session_id, password=client.password)
    assert response is not None
    assert world.database.last_zxid == 6
    assert outcome(again.call(OpCode.CLOSE_SESSION)) == (0, 7)
    assert logged_types(world) == [-10, 1, -1, -1, 14, 2, -11]
    assert [txn.header.zxid for txn in world.log] == [1, 2, 3, 4, 5, 6, 7]


def test_reads_and_watch_operations_take_no_zxid(world: World, client: Client) -> None:
    for opcode in (OpCode.EXISTS, OpCode.GET_DATA, OpCode.GET_CHILDREN, OpCode.GET_CHILDREN2):
        assert client.call(opcode, PathRequest("/").encode() + b"\0").zxid == 1
    for opcode in (OpCode.SYNC, OpCode.GET_ACL, OpCode.GET_EPHEMERALS):
        assert client.call(opcode, PathRequest("/")).zxid == 1
    assert client.call(OpCode.GET_ALL_CHILDREN_NUMBER, PathRequest("/")).zxid == 1
    assert add_watch(client, "/", 0).zxid == 1
    assert client.call(OpCode.WHO_AM_I).zxid == 1
    assert client.ping().xid == Xid.PING
    assert logged_types(world) == [-10]


def test_a_single_write_that_does_not_decode_takes_no_zxid_and_a_multi_does(
    world: World, client: Client
) -> None:
    """The original logs an error transaction with the zxid of the one before it for a single
    write; here there is none."""
    assert client.call(OpCode.CREATE, b"\0\0\0\x09/").err == -5
    assert world.database.last_zxid == 1
    assert client.call(OpCode.MULTI, b"\0").err == -5
    assert world.database.last_zxid == 2
    assert logged_types(world) == [-10, -1]
