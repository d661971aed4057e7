"""multi: what its operations become, all or nothing, what it answers. client-protocol.md §10."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import CONTAINER_OWNER, CreateMode, OpCode
from pyzk.jute.records import (
    ACL,
    CheckVersionRequest,
    CheckVersionTxn,
    Create2Response,
    CreateRequest,
    CreateTTLRequest,
    CreateTxn,
    DeleteContainerRequest,
    DeleteRequest,
    ErrorTxn,
    MultiHeader,
    PathResponse,
    PathWatchRequest,
    SetACLRequest,
    SetDataRequest,
)
from pyzk.quorum.standalone import Standalone
from tests.frames import OPEN, Record, Reply, create_request, multi
from tests.server.calls import (
    CHANGED,
    CREATED,
    DELETED,
    READ_ONLY,
    add_watch,
    burst,
    children_of,
    create_as,
    errors,
    make,
    path_in,
    results,
    run_multi,
    set_acl,
    split_replies,
    stat_in,
    stat_of,
)
from tests.world import Client, World, owned_paths

EXTENDED = ServerConfig(extended_types_enabled=True)
Operation = tuple[int, Record]


def create(path: str | None, flags: int = 0, *, acl: list[ACL] | None = OPEN) -> Operation:
    return OpCode.CREATE, CreateRequest(path, b"", acl, flags)


def create_ttl(path: str, flags: int, ttl: int) -> Operation:
    return OpCode.CREATE_TTL, CreateTTLRequest(path, b"", OPEN, flags, ttl)


def delete(path: str | None, version: int = -1) -> Operation:
    return OpCode.DELETE, DeleteRequest(path, version)


def change(path: str | None, version: int = -1) -> Operation:
    return OpCode.SET_DATA, SetDataRequest(path, b"x", version)


def check(path: str | None, version: int = -1) -> Operation:
    return OpCode.CHECK, CheckVersionRequest(path, version)


def path_of(record: bytes) -> str | None:
    return PathResponse.decode(record, 0, len(record))[0].path


# --- answers ------------------------------------------------------------------------


def test_each_operation_has_a_result_of_its_type(client: Client) -> None:
    reply = run_multi(
        client,
        create("/a"),
        (OpCode.CREATE2, create_request("/b")),
        (OpCode.CREATE_CONTAINER, create_request("/c", flags=CreateMode.CONTAINER)),
        change("/a", 0),
        check("/a", 1),
        delete("/a", 1),
    )
    assert [(kind, err) for kind, err, _ in results(reply)] == [
        (1, 0),
        (15, 0),
        (15, 0),
        (5, 0),
        (13, 0),
        (2, 0),
    ]
    records = [record for *_, record in results(reply)]
    assert records[0] == b"\0\0\0\x02/a"
    for path, record in (("/b", records[1]), ("/c", records[2])):
        response, end = Create2Response.decode(record, 0, len(record))
        assert (response.path, end) == (path, len(record))
        assert response.stat.czxid == reply.zxid
    assert stat_in(records[3]).version == 1
    assert records[4:] == [b"", b""]


def test_every_operation_of_a_failed_multi_has_an_error_and_the_header_none(
    client: Client,
) -> None:
    reply = run_multi(client, create("/a"), create("/a"), create("/b"))
    assert reply.err == 0
    assert results(reply) == [(-1, 0, b""), (-1, -110, b""), (-1, -2, b"")]
    assert client.exists("/a").err == -101


def test_the_bytes_of_a_failed_multi_are_the_original_s(client: Client) -> None:
    """client-protocol.md §20, the frame without its length."""
    world = client.world
    make(client, "/x", "/e", "/f", "/g", "/h", "/i", "/j")
    assert world.database.last_zxid == 8
    operations = multi(create("/n"), create("/x"), create("/m"))
    client.submit(OpCode.MULTI, operations, xid=7)
    assert [frame.hex() for frame in client.frames()] == [
        "00000007" "0000000000000009" "00000000"
        "ffffffff" "00" "00000000" "00000000"
        "ffffffff" "00" "ffffff92" "ffffff92"
        "ffffffff" "00" "fffffffe" "fffffffe"
        "ffffffff" "01" "ffffffff"
    ]  # fmt: skip


def test_an_empty_multi_succeeds_and_takes_a_zxid(client: Client) -> None:
    reply = run_multi(client)
    assert (reply.err, reply.zxid) == (0, 2)
    assert reply.body.hex() == "ffffffff01ffffffff"


@pytest.mark.parametrize(
    ("operation", "err"),
    [
        (create("/p"), -110),
        (create("/none/x"), -101),
        (create("/e/x"), -108),
        (create("/r/x"), -102),
        (create("/p/.."), -8),
        (create("/a", acl=[]), -114),
        (delete("/p"), -111),
        (delete("/none"), -101),
        (delete("/p/c", 9), -103),
        (delete("/"), -8),
        (delete("/r/k"), -102),
        (change("/p", 9), -103),
        (change("/none"), -101),
        (change("/r"), -102),
        (change("bad"), -8),
        (check("/p", 9), -103),
        (check("/none"), -101),
        (check("/h"), -102),
        (check("bad"), -8),
        (check("/none/.."), -8),
    ],
)
def test_the_operations_have_the_checks_of_the_single_ones(
    client: Client, operation: Operation, err: int
) -> None:
    make(client, "/p", "/p/c", "/r", "/r/k", "/h")
    set_acl(client, "/r", READ_ONLY)
    set_acl(client, "/h", [ACL(2, "world", "anyone")])
    client.create("/e", flags=CreateMode.EPHEMERAL)
    first, last = check("/p", 0), create("/after")
    assert errors(run_multi(client, operation)) == [err]
    assert errors(run_multi(client, operation, last)) == [err, -2]
    assert errors(run_multi(client, first, operation)) == [0, err]
    assert errors(run_multi(client, create("/n"), operation, last)) == [0, err, -2]
    assert children_of(client, "/") == ["e", "h", "p", "r", "zookeeper"]


# --- what the flags make of a create: §10.1 -----------------------------------------


@pytest.mark.parametrize("opcode", [OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER])
def test_the_container_flag_makes_a_container(client: Client, opcode: int) -> None:
    """Unlike a single create."""
    reply = run_multi(client, (opcode, create_request("/c", flags=CreateMode.CONTAINER)))
    assert [kind for kind, *_ in results(reply)] == [15]
    assert client.world.tree.nodes["/c"].ephemeral_owner == CONTAINER_OWNER


@pytest.mark.parametrize("flags", [0, 1])
def test_create_container_is_one_whatever_its_flags(client: Client, flags: int) -> None:
    reply = run_multi(client, (OpCode.CREATE_CONTAINER, create_request("/c", flags=flags)))
    assert errors(reply) == [0]
    assert client.world.tree.nodes["/c"].ephemeral_owner == CONTAINER_OWNER


@pytest.mark.parametrize("flags", [5, 6])
def test_create_ttl_makes_a_ttl_znode(flags: int) -> None:
    client = World(EXTENDED).connect()
    reply = run_multi(client, create_ttl("/t", flags, 1000))
    assert [kind for kind, *_ in results(reply)] == [15]
    assert list(client.world.tree.ttls) == ["/t0000000000" if flags == 6 else "/t"]


def test_create_ttl_with_the_container_flag_makes_a_container(client: Client) -> None:
    reply = run_multi(client, create_ttl("/t", CreateMode.CONTAINER, -5))
    assert [(kind, err) for kind, err, _ in results(reply)] == [(15, 0)]
    assert client.world.tree.nodes["/t"].ephemeral_owner == CONTAINER_OWNER


@pytest.mark.parametrize("ttl", [-1, 0, 5])
@pytest.mark.parametrize(("flags", "owned"), [(0, False), (1, True)])
def test_create_ttl_with_plain_flags_is_a_plain_create(
    client: Client, flags: int, owned: bool, ttl: int
) -> None:
    """Unlike the single operation; its TTL is not looked at."""
    reply = run_multi(client, create_ttl("/t", flags, ttl))
    assert results(reply) == [(1, 0, b"\0\0\0\x02/t")]
    owner = client.world.tree.nodes["/t"].ephemeral_owner
    assert owner == (client.session_id if owned else 0)


@pytest.mark.parametrize("flags", [-1, 7, 9])
def test_create_ttl_with_unknown_flags_fails_alone(client: Client, flags: int) -> None:
    assert errors(run_multi(client, check("/"), create_ttl("/t", flags, 5))) == [0, -8]


@pytest.mark.parametrize("ttl", [0, -1, 0xFFFFFFFFFF + 1])
def test_a_bad_ttl_fails_alone(ttl: int) -> None:
    client = World(EXTENDED).connect()
    assert errors(run_multi(client, create_ttl("/t", 5, ttl))) == [-8]


def test_ttl_znodes_that_are_off_fail_alone(client: Client) -> None:
    assert errors(run_multi(client, create_ttl("/t", 5, 1000))) == [-6]


# --- what is malformed: -5 for the whole frame --------------------------------------


def unreadable(client: Client, body: bytes) -> tuple[int, int]:
    """(err, zxids used) of a multi that must leave the connection open and /p as it is."""
    make(client, "/p")
    before = client.world.database.last_zxid
    reply = client.call(OpCode.MULTI, body)
    assert reply.body == b""
    assert client.ping().err == 0
    assert children_of(client, "/") == ["p", "zookeeper"]
    return reply.err, client.world.database.last_zxid - before


@pytest.mark.parametrize(
    "operation",
    [
        *[create("/a", flags) for flags in (5, 6, 7, 9, -1)],
        (OpCode.CREATE2, create_request("/a", flags=5)),
        (OpCode.CREATE_CONTAINER, create_request("/a", flags=9)),
        (OpCode.DELETE_CONTAINER, DeleteContainerRequest(b"/p")),
        (OpCode.SET_ACL, SetACLRequest("/p", OPEN, -1)),
        (OpCode.GET_DATA, PathWatchRequest("/p", False)),
        (OpCode.GET_CHILDREN, PathWatchRequest("/p", False)),
        (OpCode.EXISTS, PathWatchRequest("/p", False)),
        (OpCode.MULTI, PathWatchRequest("/p", False)),
        (999, PathWatchRequest("/p", False)),
        create(None),
        delete(None),
        change(None),
        check(None),
    ],
)
def test_an_operation_that_none_is_makes_the_whole_frame_unreadable(
    client: Client, operation: Operation
) -> None:
    assert unreadable(client, multi(operation)) == (-5, 1)


def test_reads_and_writes_do_not_mix(client: Client) -> None:
    read = (OpCode.GET_DATA, PathWatchRequest("/p", False))
    assert unreadable(client, multi(create("/a"), read)) == (-5, 1)


def test_a_multi_cut_at_any_byte_is_unreadable(client: Client) -> None:
    make(client, "/p")
    whole = multi(create("/a"), change("/p"), delete("/p"))
    for cut in range(len(whole)):
        assert client.call(OpCode.MULTI, whole[:cut]).err == -5, cut
    assert children_of(client, "/") == ["p", "zookeeper"]
    assert client.world.database.last_zxid == 2 + len(whole)


@pytest.mark.parametrize("opcode", [OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER])
def test_a_null_acl_vector_takes_no_zxid(client: Client, opcode: int) -> None:
    operation = (opcode, CreateRequest("/a", b"", None, 0))
    assert unreadable(client, multi(operation)) == (-5, 0)


def test_a_null_acl_id_makes_the_whole_frame_unreadable(client: Client) -> None:
    operations = multi(create("/a"), create("/b", acl=[ACL(31, "world", None)]))
    assert unreadable(client, operations) == (-5, 1)


def test_reading_stops_at_the_first_header_that_says_done(client: Client) -> None:
    body = multi(create("/a"))[:-9] + MultiHeader(2, True, 77).encode() + b"whatever"
    reply = client.call(OpCode.MULTI, body)
    assert errors(reply) == [0]


def test_the_err_of_a_header_is_not_looked_at(client: Client) -> None:
    record = create_request("/a").encode()
    body = MultiHeader(1, False, 99).encode() + record + MultiHeader(-1, True, -1).encode()
    assert errors(client.call(OpCode.MULTI, body)) == [0]


# --- one transaction ----------------------------------------------------------------


def test_all_operations_share_zxid_and_time(client: Client) -> None:
    make(client, "/p")
    client.world.advance(5)
    reply = run_multi(client, create("/a"), create("/b"), change("/p"))
    stats = [stat_of(client, path) for path in ("/a", "/b", "/p")]
    assert {stat.mzxid for stat in stats} == {reply.zxid}
    assert len({stat.mtime for stat in stats}) == 1
    assert stat_of(client, "/").pzxid == reply.zxid


def test_a_failed_multi_takes_its_zxid_and_is_logged_as_what_it_was(client: Client) -> None:
    reply = run_multi(client, create("/a"), check("/a", 0), delete("/none"), create("/b"))
    assert reply.zxid == 2
    assert errors(reply) == [0, 0, -101, -2]
    txn = client.world.log[-1]
    assert txn.header.type == 14
    assert isinstance(txn.body, list)
    assert [(sub.type, sub.body) for sub in txn.body] == [
        (1, CreateTxn("/a", b"", OPEN, False, 1)),
        (13, CheckVersionTxn("/a", 1)),
        (-1, ErrorTxn(-101)),
        (-1, ErrorTxn(-2)),
    ]
    assert txn.digest == client.world.tree.digest


def test_later_operations_see_earlier_ones(client: Client) -> None:
    make(client, "/old")
    reply = run_multi(
        client,
        create("/p"),
        create("/p/c"),
        check("/p/c", 0),
        change("/p/c", 0),
        change("/p/c", 1),
        delete("/p/c", 2),
        delete("/old"),
        create("/old"),
        create("/e", CreateMode.EPHEMERAL),
        create("/e/x"),
    )
    assert errors(reply) == [0] * 9 + [-108]


# --- rollback -----------------------------------------------------------------------


def test_a_failed_multi_gives_its_sequence_numbers_back(client: Client) -> None:
    """sessions-and-watches.md C 23."""
    sequential = CreateMode.PERSISTENT_SEQUENTIAL
    run_multi(client, create("/s", sequential), create("/s", sequential), delete("/none"))
    reply = client.create("/s", flags=sequential)
    assert path_in(reply) == "/s0000000000"


def test_a_failed_multi_leaves_what_was_pending_before_it(world: World, client: Client) -> None:
    """The restored records are judged by, not the applied tree."""
    make(client, "/a", "/p")
    world.is_disk_held = True
    burst(
        client,
        (OpCode.SET_DATA, SetDataRequest("/a", b"1", 0)),
        (OpCode.CREATE, create_request("/p/s", flags=2)),
        (
            OpCode.MULTI,
            multi(change("/a", 1), create("/p/s", 2), delete("/a"), create("/e", 1), delete("/no")),
        ),
        (OpCode.SET_DATA, SetDataRequest("/a", b"2", 2)),
        (OpCode.SET_DATA, SetDataRequest("/a", b"2", 1)),
        (OpCode.CREATE, create_request("/p/s", flags=2)),
        (OpCode.CREATE, create_request("/e", flags=1)),
    )
    world.sync()
    replies = client.replies()
    assert errors(replies[2]) == [0, 0, 0, 0, -101]
    assert [reply.err for reply in replies] == [0, 0, 0, -103, 0, 0, 0]
    assert path_in(replies[1]) == "/p/s0000000000"
    assert path_in(replies[5]) == "/p/s0000000001"
    assert owned_paths(world.tree) == {client.session_id: ["/e"]}
    assert world.database.digest_mismatches == 0


def test_a_failed_multi_after_pending_changes_were_applied(world: World, client: Client) -> None:
    make(client, "/a")
    run_multi(client, change("/a"), delete("/no"))
    assert stat_of(client, "/a").version == 0
    role = world.server.role
    assert isinstance(role, Standalone)
    assert not role.prep.changes.made
    assert not role.prep.changes.nodes


# --- watches ------------------------------------------------------------------------

CYCLE = (create("/a"), change("/a"), delete("/a"))


def test_a_one_shot_watch_sees_only_the_first_operation(client: Client) -> None:
    """sessions-and-watches.md C 12."""
    client.exists("/a", watch=True)
    client.submit(OpCode.MULTI, multi(*CYCLE))
    told, replies = split_replies(client)
    assert told == [(CREATED, "/a")]
    assert [reply.err for reply in replies] == [0]


def test_a_persistent_watch_sees_them_all_with_one_zxid(client: Client) -> None:
    """C 13; the events come before the reply."""
    add_watch(client, "/a", 0)
    client.submit(OpCode.MULTI, multi(*CYCLE))
    frames: list[Reply] = client.replies()
    assert [frame.event for frame in frames[:-1]] == [
        (CREATED, "/a"),
        (CHANGED, "/a"),
        (DELETED, "/a"),
    ]
    assert {frame.zxid for frame in frames} == {2}


def test_a_failed_multi_fires_nothing(client: Client) -> None:
    add_watch(client, "/", 1)
    run_multi(client, create("/a"), delete("/none"))


# --- answered like any write --------------------------------------------------------


def test_a_multi_is_answered_when_it_is_durable(world: World, client: Client) -> None:
    world.is_disk_held = True
    client.submit(OpCode.MULTI, multi(create("/a")))
    assert client.replies() == []
    world.sync()
    assert errors(client.replies()[0]) == [0]


def test_create2_of_a_multi_is_as_of_that_operation(client: Client) -> None:
    reply = run_multi(client, (OpCode.CREATE2, create_request("/a")), change("/a"), create("/a/b"))
    assert stat_in(results(reply)[0][2]).version == 0
    assert stat_in(results(reply)[0][2]).num_children == 0
    assert path_of(results(reply)[2][2]) == "/a/b"
    assert create_as(client, OpCode.CREATE2, "/a").err == -110
