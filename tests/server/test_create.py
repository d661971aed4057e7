"""create, create2, createContainer, createTTL: modes, names, counters, order of checks."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import CONTAINER_OWNER, MAX_TTL_MS, CreateMode, OpCode
from pyzk.data.node import compute_digest
from pyzk.jute.records import ACL, CreateRequest, CreateTxn, DeleteRequest, SetDataRequest, Stat
from tests.frames import OPEN, Reply, create_request
from tests.server.calls import (
    NOBODY,
    READ_ONLY,
    acl_of,
    burst,
    create_as,
    data_of,
    logged_types,
    make,
    path_in,
    set_acl,
    stat_in,
    stat_of,
)
from tests.world import WALL_MS, Client, World, owned_paths

PLAIN = (OpCode.CREATE, OpCode.CREATE2)
WITH_STAT = (OpCode.CREATE2, OpCode.CREATE_CONTAINER)
ALL = (OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER)
EXTENDED = ServerConfig(extended_types_enabled=True)


@pytest.fixture
def extended() -> Client:
    """A client of a server with TTL znodes."""
    return World(EXTENDED).connect()


def owner_of(client: Client, path: str) -> int:
    return client.world.tree.nodes[path].ephemeral_owner


# --- answers ------------------------------------------------------------------------


def test_create_answers_with_the_path_alone(client: Client) -> None:
    reply = client.create("/a", b"xyz")
    assert reply.body == b"\0\0\0\x02/a"


@pytest.mark.parametrize("opcode", WITH_STAT)
def test_the_other_creates_answer_with_the_stat_too(client: Client, opcode: int) -> None:
    client.world.advance(5)
    reply = create_as(client, opcode, "/a", CreateMode.CONTAINER if opcode == 19 else 0, data=b"x")
    assert path_in(reply) == "/a"
    now = WALL_MS + 5
    assert stat_in(reply.body) == Stat(2, 2, now, now, 0, 0, 0, 0, 1, 0, 2)
    assert len(reply.body) == 6 + 68


def test_create_ttl_answers_with_the_stat_too(extended: Client) -> None:
    reply = create_as(extended, OpCode.CREATE_TTL, "/t", 5, ttl=1000)
    assert path_in(reply) == "/t"
    assert stat_in(reply.body).ephemeral_owner == 0


@pytest.mark.parametrize("data", [None, b"", b"x", bytes(1000)])
def test_data_comes_back_null_and_empty_apart(client: Client, data: bytes | None) -> None:
    client.create("/a", data)
    assert data_of(client, "/a") == data
    assert stat_of(client, "/a").data_length == len(data or b"")


def test_time_is_that_of_the_wall_clock_when_it_is_prepared(world: World, client: Client) -> None:
    world.is_disk_held = True
    client.submit(OpCode.CREATE, create_request("/a"))
    world.advance(500)
    world.sync()
    assert client.replies()[0].err == 0
    stat = stat_of(client, "/a")
    assert stat.ctime == stat.mtime == WALL_MS


# --- modes: client-protocol.md §14 --------------------------------------------------


def test_ephemerals_show_their_session(client: Client) -> None:
    client.create("/e", flags=CreateMode.EPHEMERAL)
    assert stat_of(client, "/e").ephemeral_owner == client.session_id
    assert owned_paths(client.world.tree) == {client.session_id: ["/e"]}


@pytest.mark.parametrize("opcode", PLAIN)
def test_ephemeral_and_sequential_go_together(client: Client, opcode: int) -> None:
    reply = create_as(client, opcode, "/e", CreateMode.EPHEMERAL_SEQUENTIAL)
    assert path_in(reply) == "/e0000000000"
    assert owner_of(client, "/e0000000000") == client.session_id


@pytest.mark.parametrize("opcode", PLAIN)
def test_the_container_flag_on_a_plain_create_makes_a_persistent_znode(
    client: Client, opcode: int
) -> None:
    assert create_as(client, opcode, "/c", CreateMode.CONTAINER).err == 0
    assert owner_of(client, "/c") == 0


@pytest.mark.parametrize("flags", [0, 1, 4])
def test_create_container_makes_a_container_whatever_the_flags(client: Client, flags: int) -> None:
    assert create_as(client, OpCode.CREATE_CONTAINER, "/c", flags).err == 0
    assert owner_of(client, "/c") == CONTAINER_OWNER
    assert stat_of(client, "/c").ephemeral_owner == 0


@pytest.mark.parametrize("flags", [2, 3])
def test_create_container_honours_the_sequence(client: Client, flags: int) -> None:
    reply = create_as(client, OpCode.CREATE_CONTAINER, "/c", flags)
    assert path_in(reply) == "/c0000000000"
    assert owner_of(client, "/c0000000000") == CONTAINER_OWNER


@pytest.mark.parametrize("opcode", ALL)
@pytest.mark.parametrize("flags", [-1, 7, 8, 9, 1 << 20])
def test_flags_are_an_enumeration_from_0_to_6(client: Client, opcode: int, flags: int) -> None:
    assert create_as(client, opcode, "/a", flags).err == -8


@pytest.mark.parametrize("opcode", ALL)
@pytest.mark.parametrize("flags", [5, 6])
def test_ttl_flags_need_extended_types_and_an_operation_with_a_ttl(
    client: Client, extended: Client, opcode: int, flags: int
) -> None:
    assert create_as(client, opcode, "/a", flags).err == -6
    assert create_as(extended, opcode, "/a", flags).err == -8


def test_create_ttl_needs_extended_types(client: Client) -> None:
    assert create_as(client, OpCode.CREATE_TTL, "/t", 5, ttl=1000).err == -6


@pytest.mark.parametrize(
    ("ttl", "err"),
    [(-1, -8), (0, -8), (1, 0), (MAX_TTL_MS, 0), (MAX_TTL_MS + 1, -8), (-(1 << 63), -8)],
)
@pytest.mark.parametrize("flags", [5, 6])
def test_a_ttl_has_40_bits_and_is_not_zero(
    extended: Client, flags: int, ttl: int, err: int
) -> None:
    assert create_as(extended, OpCode.CREATE_TTL, "/t", flags, ttl=ttl).err == err


def test_a_sequential_ttl_znode_has_its_number(extended: Client) -> None:
    reply = create_as(extended, OpCode.CREATE_TTL, "/t", 6, ttl=77)
    assert path_in(reply) == "/t0000000000"
    assert owner_of(extended, "/t0000000000") & (1 << 64) - 1 == 0xFF00000000000000 | 77


@pytest.mark.parametrize("flags", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("ttl", [-1, -5, 0, 5])
def test_create_ttl_with_other_flags_is_refused(extended: Client, flags: int, ttl: int) -> None:
    """With a negative TTL the original passes its checks and then dies applying it; here it is
    the same -8 as for the others."""
    assert create_as(extended, OpCode.CREATE_TTL, "/t", flags, ttl=ttl).err == -8
    assert extended.exists("/t").err == -101


def test_containers_and_ttl_znodes_may_have_children(extended: Client) -> None:
    create_as(extended, OpCode.CREATE_CONTAINER, "/c", 4)
    create_as(extended, OpCode.CREATE_TTL, "/t", 5, ttl=1000)
    make(extended, "/c/x", "/t/x")


# --- order of checks: request-order-of-checks.md §4.1 -------------------------------


@pytest.mark.parametrize(
    ("path", "acl", "err"),
    [
        ("/none/a", [], -114),  # the list before the parent
        ("/none/a", None, -114),  # a null vector likewise
        ("none", [], -8),  # but after slash and NUL
        ("/p\0/a", [], -8),
        ("/none/\1", OPEN, -101),  # the parent before the full rule
        ("/r/\1", OPEN, -102),  # the right before the full rule
        ("/e/\1", OPEN, -8),  # the full rule before an ephemeral parent
        ("/r/k", OPEN, -102),  # the right before existence
        ("/p", [ACL(1, "bad", "x")], -114),
    ],
)
def test_the_checks_of_create_have_their_order(
    client: Client, path: str, acl: list[ACL] | None, err: int
) -> None:
    make(client, "/p", "/r", "/r/k")
    set_acl(client, "/r", READ_ONLY)
    client.create("/e", flags=CreateMode.EPHEMERAL)
    assert create_as(client, OpCode.CREATE, path, acl=acl).err == err


def test_existence_is_judged_before_an_ephemeral_parent() -> None:
    """They can only meet in a loaded tree: /e/x exists although /e is ephemeral."""
    client = World().connect()
    client.create("/e", flags=CreateMode.EPHEMERAL)
    tree = client.world.tree
    tree.load_node("/e/x", tree.nodes["/zookeeper"].copy())
    assert client.create("/e/x").err == -110
    assert client.create("/e/y").err == -108


def test_a_null_path_is_unreadable(client: Client) -> None:
    assert create_as(client, OpCode.CREATE, None).err == -5


# --- paths: client-protocol.md §15 --------------------------------------------------


@pytest.mark.parametrize(
    ("path", "err"),
    [
        ("/", -110),
        ("", -8),
        ("abc", -8),
        ("a/b", -101),
        ("//x", -8),
        ("/x/", -101),
        ("/p/", -8),
        ("/p/.", -8),
        ("/p/..", -8),
        ("/p/...", 0),
        ("/p/a b", 0),
        ("/p/a\1", -8),
        ("/p/a\x1f", -8),
        ("/p/a\x7f", -8),
        ("/p/a\x9f", -8),
        ("/p/a\xa0", 0),
        ("/p/\ud7ff", 0),
        ("/p/\ue000", -8),
        ("/p/\uf8ff", -8),
        ("/p/\uf900", 0),
        ("/p/\uffef", 0),
        ("/p/\ufff0", -8),
        ("/p/\uffff", -8),
        ("/p/é", 0),
    ],
)
def test_create_applies_the_full_rule(client: Client, path: str, err: int) -> None:
    make(client, "/p")
    assert client.create(path).err == err


def test_a_supplementary_character_is_refused(client: Client) -> None:
    """Written as plain UTF-8, as clients in other languages do; the server's own form is CESU-8."""
    raw = "/\U0001f600".encode()
    body = len(raw).to_bytes(4) + raw + create_request("").encode()[4:]
    assert client.call(OpCode.CREATE, body).err == -8


def test_what_the_server_made_cannot_be_made_again(client: Client) -> None:
    for path in ("/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"):
        assert client.create(path).err == -110
    assert client.create("/zookeeper/config/x").err == -102
    make(client, "/zookeeper/x", "/zookeeper/quota/x")


# --- counters and names: §16, §17 ---------------------------------------------------


def sequential(client: Client, path: str) -> str | None:
    return path_in(client.create(path, flags=CreateMode.PERSISTENT_SEQUENTIAL))


def test_the_number_counts_every_child_ever_created(client: Client) -> None:
    make(client, "/p")
    assert sequential(client, "/p/s") == "/p/s0000000000"
    make(client, "/p/plain")
    client.create("/p/e", flags=CreateMode.EPHEMERAL)
    client.delete("/p/plain")
    assert sequential(client, "/p/s") == "/p/s0000000003"
    assert stat_of(client, "/p").cversion == 2 * 4 - 3


def test_a_create_that_fails_does_not_count(client: Client) -> None:
    make(client, "/p")
    client.create("/p/s0000000000/x")
    assert client.create("/p/x", flags=9).err == -8
    assert create_as(client, OpCode.CREATE, "/p/x", 2, acl=[]).err == -114
    assert sequential(client, "/p/s") == "/p/s0000000000"


def test_the_number_counts_creates_that_are_on_their_way(world: World, client: Client) -> None:
    world.is_disk_held = True
    for flags in (2, 0, 3):
        client.submit(OpCode.CREATE, create_request("/s", flags=flags))
    world.sync()
    assert [path_in(r) for r in client.replies()] == ["/s0000000000", "/s", "/s0000000002"]


def test_a_sequential_name_may_end_with_a_slash_or_be_the_root(client: Client) -> None:
    make(client, "/a")
    assert sequential(client, "/a/") == "/a/0000000000"
    assert sequential(client, "/") == "/0000000001"


def test_the_right_of_a_sequential_create_is_asked_of_the_parent(client: Client) -> None:
    make(client, "/r")
    set_acl(client, "/r", READ_ONLY)
    assert client.create("/r/s", flags=2).err == -102


@pytest.mark.parametrize(
    ("counter", "name"),
    [
        (9_999_999_999 % (1 << 31), "1410065407"),
        ((1 << 31) - 1, "2147483647"),
        (-1, "-000000001"),
        (-(1 << 31), "-2147483648"),
    ],
)
def test_the_number_is_ten_wide_with_its_sign_inside(
    client: Client, counter: int, name: str
) -> None:
    client.world.tree.nodes["/"].cversion = counter
    assert sequential(client, "/s") == f"/s{name}"


def test_after_the_last_number_the_name_exists_already(client: Client) -> None:
    client.world.tree.nodes["/"].cversion = (1 << 31) - 1
    assert sequential(client, "/s") == "/s2147483647"
    assert client.create("/s", flags=CreateMode.PERSISTENT_SEQUENTIAL).err == -110


def test_after_the_last_number_a_create_on_its_way_counts_on(world: World, client: Client) -> None:
    world.tree.nodes["/"].cversion = (1 << 31) - 1
    world.is_disk_held = True
    for _ in range(2):
        client.submit(OpCode.CREATE, create_request("/s", flags=2))
    world.sync()
    names = [path_in(reply) for reply in client.replies()]
    assert names == ["/s2147483647", "/s-2147483648"]


def test_the_digest_is_foretold_past_the_last_number(world: World, client: Client) -> None:
    """The tree only ever raises cversion, and pzxid with it: so must the prediction."""
    make(client, "/p")
    parent = world.tree.nodes["/p"]
    parent.cversion = (1 << 31) - 2
    world.tree.digest += compute_digest("/p", parent) - parent.digest
    parent.digest = compute_digest("/p", parent)
    world.is_disk_held = True
    for number in range(4):
        client.submit(OpCode.CREATE, create_request(f"/p/{number}"))
        client.submit(OpCode.SET_DATA, SetDataRequest("/p", b"%d" % number, -1))
    client.submit(OpCode.DELETE, DeleteRequest("/p/0", -1))
    world.sync()
    assert [reply.err for reply in client.replies()] == [0] * 9
    client.world.is_disk_held = False
    assert client.create("/p/last").err == 0
    assert parent.cversion == (1 << 31) - 1
    assert world.database.digest_mismatches == 0


def test_a_child_moves_pzxid_and_cversion_of_its_parent_only(client: Client) -> None:
    make(client, "/p")
    before = stat_of(client, "/p")
    client.world.advance(10)
    zxid = client.create("/p/c").zxid
    after = stat_of(client, "/p")
    assert after == Stat(
        before.czxid,
        before.mzxid,
        before.ctime,
        before.mtime,
        before.version,
        1,
        before.aversion,
        0,
        before.data_length,
        1,
        zxid,
    )


# --- the transaction ----------------------------------------------------------------


def test_the_log_has_the_type_that_was_asked_for() -> None:
    world = World(EXTENDED)
    client = world.connect()
    create_as(client, OpCode.CREATE, "/a")
    create_as(client, OpCode.CREATE2, "/b")
    create_as(client, OpCode.CREATE_CONTAINER, "/c", 4)
    create_as(client, OpCode.CREATE_TTL, "/d", 5, ttl=5)
    assert logged_types(world) == [-10, 1, 15, 19, 21]


def test_the_transaction_carries_who_what_when_and_the_parent_s_counter(world: World) -> None:
    client = world.connect()
    xid = client.submit(OpCode.CREATE, CreateRequest("/a", b"x", NOBODY, 1), xid=77)
    txn = world.log[-1]
    assert (txn.header.client_id, txn.header.cxid, txn.header.zxid) == (client.session_id, xid, 2)
    assert txn.header.time == WALL_MS
    assert txn.body == CreateTxn("/a", b"x", NOBODY, True, 1)
    assert txn.digest == world.tree.digest


def test_a_create_with_another_list_is_stored_with_it(client: Client) -> None:
    create_as(client, OpCode.CREATE, "/a", acl=[ACL(1, "world", "anyone"), ACL(2, "ip", "1.2.3.4")])
    assert acl_of(client, "/a") == [ACL(1, "world", "anyone"), ACL(2, "ip", "1.2.3.4")]


# --- pending creates: §10 -----------------------------------------------------------


def outcomes(world: World, client: Client, *requests: CreateRequest) -> list[int]:
    """The errors of creates that are prepared before any of them is applied."""
    world.is_disk_held = True
    burst(client, *((OpCode.CREATE, request) for request in requests))
    world.sync()
    replies: list[Reply] = client.replies()
    return [reply.err for reply in replies]


def test_pipelined_creates_see_each_other(world: World, client: Client) -> None:
    def create(path: str, flags: int = 0, acl: list[ACL] = OPEN) -> CreateRequest:
        return CreateRequest(path, b"", acl, flags)

    assert outcomes(
        world,
        client,
        create("/a"),
        create("/a"),
        create("/a/b"),
        create("/e", 1),
        create("/e/x"),
        create("/l", acl=READ_ONLY),
        create("/l/x"),
    ) == [0, -110, 0, 0, -108, 0, -102]
