"""Preparing a write: the session's place among the checks, the transaction, its digest."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import CreateMode, OpCode
from pyzk.data.node import compute_digest
from pyzk.data.txn import SubTxn, decode_txn
from pyzk.jute.records import (
    CheckVersionRequest,
    CreateRequest,
    DeleteRequest,
    ErrorTxn,
    ReconfigRequest,
    SetACLRequest,
    SetDataRequest,
)
from pyzk.server.prep import Prep
from pyzk.server.request import Request
from pyzk.server.sessions import Session
from tests.frames import OPEN, Record, create_request, multi
from tests.server.calls import NOBODY, burst, make, stat_of
from tests.world import Client, World

CLOSING = -112
UNKNOWN = -12


def prepare(world: World, session: Session, opcode: int, record: object) -> int:
    """The error that a write becomes; 0 for none. Nothing is logged or applied."""
    request = Request(None, session, 1, opcode, record, (), world.clock.now_ms)
    prep = Prep(world.server)
    payload = prep.prepare(request)
    body = decode_txn(payload).body
    if isinstance(body, list):
        return next((sub.body.err for sub in body if isinstance(sub.body, ErrorTxn)), 0)
    return body.err if isinstance(body, ErrorTxn) else 0


@pytest.fixture
def closing(world: World) -> Session:
    world.connect()
    session = world.server.sessions.add(77, 10_000, world.clock.now_ms)
    world.server.sessions.mark_closing(77)
    return session


@pytest.fixture
def unknown() -> Session:
    return Session(78, 10_000)


@pytest.fixture
def ended(world: World) -> Session:
    session = world.server.sessions.add(79, 10_000, world.clock.now_ms)
    world.server.sessions.remove(79)
    return session


WRITES: list[tuple[int, object, int]] = [
    # opcode, a record that fails anyway, the error that comes before the session's
    (OpCode.CREATE, CreateRequest("bad", b"", [], 0), 0),
    (OpCode.CREATE, CreateRequest("bad", b"", [], 9), -8),
    (OpCode.CREATE, CreateRequest("bad", b"", [], 5), -6),
    (OpCode.CREATE, CreateRequest(None, b"", [], 0), 0),
    (OpCode.DELETE, DeleteRequest("bad", 9), 0),
    (OpCode.SET_DATA, SetDataRequest("bad", b"", 9), 0),
    (OpCode.SET_ACL, SetACLRequest("bad", [], 9), 0),
    (OpCode.RECONFIG, ReconfigRequest(None, None, None, -1), -123),
    (OpCode.MULTI, [(OpCode.CHECK, CheckVersionRequest("bad", 9))], 0),
    (OpCode.MULTI, [(OpCode.CREATE, CreateRequest("bad", b"", [], 0))], 0),
]


@pytest.mark.parametrize(("opcode", "record", "earlier"), WRITES)
def test_the_session_is_judged_before_all_but_flags(
    world: World,
    closing: Session,
    unknown: Session,
    ended: Session,
    opcode: int,
    record: object,
    earlier: int,
) -> None:
    assert prepare(world, closing, opcode, record) == (earlier or CLOSING)
    assert prepare(world, unknown, opcode, record) == (earlier or UNKNOWN)
    assert prepare(world, ended, opcode, record) == (earlier or UNKNOWN)


def test_an_ephemeral_of_an_unknown_session_is_expired(
    world: World, closing: Session, unknown: Session
) -> None:
    record = CreateRequest("bad", b"", [], CreateMode.EPHEMERAL)
    assert prepare(world, unknown, OpCode.CREATE, record) == CLOSING
    assert prepare(world, closing, OpCode.CREATE, record) == CLOSING


def test_an_empty_multi_asks_for_no_session(world: World, unknown: Session) -> None:
    assert prepare(world, unknown, OpCode.MULTI, []) == 0


def test_closing_asks_for_no_session(world: World, closing: Session, unknown: Session) -> None:
    assert prepare(world, closing, OpCode.CLOSE_SESSION, None) == 0
    assert prepare(world, unknown, OpCode.CLOSE_SESSION, None) == 0


# --- what a transaction carries -----------------------------------------------------


def test_error_transactions_carry_no_digest_and_all_others_do(world: World, client: Client) -> None:
    client.create("/a")
    client.create("/a")
    client.call(OpCode.MULTI, multi((OpCode.DELETE, DeleteRequest("/none", -1))))
    client.call(OpCode.MULTI, b"")
    client.call(OpCode.CLOSE_SESSION)
    assert [(txn.header.type, txn.digest is None) for txn in world.log] == [
        (-10, False),
        (1, False),
        (-1, True),
        (14, False),
        (-1, True),
        (-11, False),
    ]


def test_the_digest_foretold_is_the_one_that_results(world: World, client: Client) -> None:
    """While the disk is held, nothing is applied between one proposal and the next."""
    make(client, "/a", "/p")
    world.is_disk_held = True
    requests: list[tuple[int, Record | bytes]] = [
        (OpCode.CREATE, CreateRequest("/p/e", b"x", OPEN, 1)),
        (OpCode.SET_DATA, SetDataRequest("/p/e", b"yy", 0)),
        (OpCode.CREATE, CreateRequest("/p/s", None, NOBODY, 2)),
        (OpCode.CREATE_CONTAINER, create_request("/c", flags=4)),
        (OpCode.SET_ACL, SetACLRequest("/a", NOBODY, 0)),
        (OpCode.SET_DATA, SetDataRequest("/", b"root", 0)),
        (OpCode.SET_DATA, SetDataRequest("/zookeeper", b"z", 0)),
        (OpCode.CREATE, create_request("/zookeeper/x", b"z")),
        (OpCode.DELETE, DeleteRequest("/a", 0)),
        (OpCode.CREATE, create_request("/a", b"again")),
        (
            OpCode.MULTI,
            multi(
                (OpCode.CREATE, create_request("/m")),
                (OpCode.DELETE, DeleteRequest("/a", 0)),
                (OpCode.DELETE, DeleteRequest("/none", 0)),
            ),
        ),
        (OpCode.MULTI, multi((OpCode.CREATE, create_request("/m")))),
        (OpCode.CLOSE_SESSION, b""),
    ]
    burst(client, *requests)
    world.sync()
    assert len(client.replies()) == len(requests)
    assert world.database.digest_mismatches == 0
    assert world.log[-1].digest == world.tree.digest


def test_the_digests_of_a_server_without_them_are_none() -> None:
    world = World(ServerConfig(digest_enabled=False))
    client = world.connect()
    make(client, "/a", "/a/b")
    client.set_data("/a", b"x")
    client.delete("/a/b")
    client.call(OpCode.MULTI, multi((OpCode.DELETE, DeleteRequest("/none", -1))))
    assert {txn.digest for txn in world.log} == {None}
    assert world.tree.digest == 0


def test_a_multi_is_kept_decoded_for_the_tree(world: World, client: Client) -> None:
    request = Request(
        None,
        client.connection.session,
        1,
        OpCode.MULTI,
        [(OpCode.CREATE, create_request("/a"))],
        (),
        0,
    )
    Prep(world.server).prepare(request)
    assert isinstance(request.body, list)
    assert all(isinstance(sub, SubTxn) for sub in request.body)


# --- the overlay's root: request-order-of-checks.md §10 -----------------------------


def test_the_root_s_counter_and_its_data_are_one_znode(world: World, client: Client) -> None:
    """The original keeps its root under two keys, so that a pending change under one is not seen
    through the other; here there is one, and nothing to be seen of it once it is applied."""
    world.is_disk_held = True
    burst(
        client,
        (OpCode.SET_DATA, SetDataRequest("/", b"x", 0)),
        (OpCode.CREATE, create_request("/s", flags=2)),
        (OpCode.SET_DATA, SetDataRequest("/", b"y", 1)),
        (OpCode.CREATE, create_request("/s", flags=2)),
    )
    world.sync()
    assert [reply.err for reply in client.replies()] == [0, 0, 0, 0]
    world.is_disk_held = False
    stat = stat_of(client, "/")
    assert (stat.version, stat.num_children, stat.cversion, stat.pzxid) == (2, 3, 1, 5)


# --- closeSession on its way: §4.9 --------------------------------------------------


def test_a_parent_can_be_deleted_behind_a_closing(world: World, client: Client) -> None:
    """The original does not lower the parent's count until closeSession is applied, and answers
    -111 so long; here the pending state is complete."""
    other = world.connect()
    make(other, "/p")
    client.create("/p/e", flags=CreateMode.EPHEMERAL)
    world.is_disk_held = True
    client.submit(OpCode.CLOSE_SESSION)
    burst(
        other,
        (OpCode.DELETE, DeleteRequest("/p/e", -1)),
        (OpCode.DELETE, DeleteRequest("/p", -1)),
    )
    world.sync()
    assert [reply.err for reply in other.replies()] == [-101, 0]
    assert world.database.digest_mismatches == 0


def test_a_multi_changes_each_znode_once(world: World, client: Client) -> None:
    """A state for each operation would be copied, and its digest computed, in vain."""
    make(client, "/p")
    session = client.connection.session
    operations = [
        (OpCode.CREATE, create_request("/p/a", b"1")),
        (OpCode.SET_DATA, SetDataRequest("/p/a", b"2", 0)),
        (OpCode.CREATE, create_request("/p/b")),
        (OpCode.SET_DATA, SetDataRequest("/p", b"3", 0)),
        (OpCode.CHECK, CheckVersionRequest("/p", 1)),
    ]
    request = Request(client.connection, session, 1, OpCode.MULTI, operations, (), 0)
    prep = Prep(world.server)
    prep.prepare(request)
    assert [(node.path, node.data, node.version) for node in prep.changes.made] == [
        ("/p", b"3", 1),
        ("/p/a", b"2", 1),
        ("/p/b", b"", 0),
    ]
    parent, child, other = prep.changes.made
    assert isinstance(request.body, list)
    assert [sub.foretold for sub in request.body] == [child, child, other, parent, None]
    assert child.parent is other.parent is parent
    tree = world.tree
    tree.apply(request, request.body, request.foretold)
    for node in prep.changes.made:
        assert node.digest == tree.nodes[node.path].digest
        assert node.digest == compute_digest(node.path, tree.nodes[node.path])
    assert tree.digest == sum(node.digest for node in tree.nodes.values()) == request.digest
