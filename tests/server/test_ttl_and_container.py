"""Containers and TTL znodes in a running server: when they go, and the op that deletes them."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.jute.records import DeleteContainerRequest, DeleteTxn
from pyzk.server.request import Request
from tests.frames import create_request
from tests.server.calls import (
    CHILDREN,
    DELETED,
    NOBODY,
    add_watch,
    create_as,
    make,
    set_acl,
    split_replies,
)
from tests.world import Client, World

EXTENDED = ServerConfig(extended_types_enabled=True)
MINUTE = 60_000


@pytest.fixture
def extended() -> Client:
    return World(EXTENDED).connect(timeout_ms=40_000)


def keep_alive(client: Client, milliseconds: int) -> None:
    """Let time pass while the client pings."""
    for _ in range(milliseconds // 1000):
        client.world.advance(1000)
        client.connection.receive(b"\0\0\0\x08\xff\xff\xff\xfe\0\0\0\x0b")
        client.world.settle()


def is_there(client: Client, path: str) -> bool:
    return client.world.tree.find(path) is not None


# --- containers ---------------------------------------------------------------------


def test_a_container_goes_within_a_minute_after_its_last_child(extended: Client) -> None:
    create_as(extended, OpCode.CREATE_CONTAINER, "/c", 4)
    make(extended, "/c/x")
    keep_alive(extended, 2 * MINUTE)
    assert is_there(extended, "/c")
    extended.replies()
    extended.delete("/c/x")
    keep_alive(extended, MINUTE)
    assert not is_there(extended, "/c")


def test_the_deletion_is_a_transaction_of_nobody(extended: Client) -> None:
    create_as(extended, OpCode.CREATE_CONTAINER, "/c", 4)
    make(extended, "/c/x")
    extended.delete("/c/x")
    add_watch(extended, "/", 1)
    extended.get_children("/", watch=True)
    keep_alive(extended, MINUTE)
    txn = extended.world.log[-1]
    assert (txn.header.type, txn.header.client_id, txn.header.cxid) == (20, 0, 0)
    assert txn.body == DeleteTxn("/c")
    told, _ = split_replies(extended)
    assert told == [(DELETED, "/c"), (CHILDREN, "/")]


def test_a_container_that_never_had_a_child_stays(extended: Client) -> None:
    create_as(extended, OpCode.CREATE_CONTAINER, "/c", 4)
    keep_alive(extended, 3 * MINUTE)
    assert is_there(extended, "/c")


def test_a_container_never_used_goes_when_that_is_configured() -> None:
    world = World(ServerConfig(container_max_never_used_interval_ms=MINUTE))
    client = world.connect(timeout_ms=40_000)
    create_as(client, OpCode.CREATE_CONTAINER, "/c", 4)
    keep_alive(client, MINUTE)
    assert is_there(client, "/c")
    keep_alive(client, MINUTE)
    assert not is_there(client, "/c")


def test_a_child_that_comes_in_between_saves_the_container(extended: Client) -> None:
    """Preparing the deletion looks again; the failed one takes a zxid."""
    world = extended.world
    create_as(extended, OpCode.CREATE_CONTAINER, "/c", 4)
    make(extended, "/c/x")
    extended.delete("/c/x")
    keep_alive(extended, MINUTE - 1000)
    extended.replies()
    world.is_disk_held = True
    extended.submit(OpCode.CREATE, create_request("/c/y"))
    world.advance(1000)
    world.sync()
    assert world.log[-1].header.type == -1
    assert is_there(extended, "/c/y")


# --- TTL znodes ---------------------------------------------------------------------


def test_a_ttl_counts_from_the_last_change_of_data(extended: Client) -> None:
    create_as(extended, OpCode.CREATE_TTL, "/t", 5, ttl=90_000)
    keep_alive(extended, MINUTE)
    extended.replies()
    extended.set_data("/t", b"x")
    keep_alive(extended, MINUTE)
    assert is_there(extended, "/t")
    keep_alive(extended, MINUTE)
    assert not is_there(extended, "/t")


def test_children_save_a_ttl_znode_but_do_not_renew_it(extended: Client) -> None:
    create_as(extended, OpCode.CREATE_TTL, "/t", 5, ttl=30_000)
    make(extended, "/t/x")
    keep_alive(extended, 2 * MINUTE)
    extended.replies()
    assert is_there(extended, "/t")
    extended.delete("/t/x")
    keep_alive(extended, MINUTE)
    assert not is_there(extended, "/t")


def test_a_ttl_znode_goes_after_its_time_and_not_at_it(extended: Client) -> None:
    """The check is every 60 s: a TTL of exactly that is not over at the first one."""
    world = extended.world
    world.advance(3000)
    due = world.config.container_check_interval_ms - 3000
    create_as(extended, OpCode.CREATE_TTL, "/exact", 5, ttl=due)
    create_as(extended, OpCode.CREATE_TTL, "/over", 5, ttl=due - 1)
    keep_alive(extended, due)
    assert is_there(extended, "/exact")
    assert not is_there(extended, "/over")


def test_the_wall_clock_decides_not_the_monotonic_one(extended: Client) -> None:
    create_as(extended, OpCode.CREATE_TTL, "/t", 5, ttl=10_000_000)
    extended.world.clock.wall_ms += 10_000_000
    keep_alive(extended, MINUTE)
    assert not is_there(extended, "/t")


# --- deleteContainer from a client --------------------------------------------------


@pytest.mark.parametrize("path", [b"/p", b"/c", b"/none", b"bad", b"/", b"/zookeeper/quota", b""])
def test_delete_container_is_refused_to_clients(client: Client, path: bytes) -> None:
    """The original takes it from any client and asks no ACL; here it is -8, nothing is deleted and
    the connection stays."""
    make(client, "/p")
    create_as(client, OpCode.CREATE_CONTAINER, "/c", 4)
    reply = client.call(OpCode.DELETE_CONTAINER, DeleteContainerRequest(path))
    assert reply.err == -8
    assert is_there(client, "/p")
    assert is_there(client, "/c")
    assert client.ping().err == 0


@pytest.mark.parametrize("body", [b"", b"\0\0\0\x05/p", b"\xff\xff\xff\xff"])
def test_an_unreadable_delete_container_is_that(client: Client, body: bytes) -> None:
    assert client.call(OpCode.DELETE_CONTAINER, body).err == -5


# --- deleteContainer of the server itself: request-order-of-checks.md §4.6 ----------


def outcome(world: World, path: str) -> int:
    """The error in the transaction that the server's own deletion becomes; 0 if it deletes."""
    before = world.database.last_zxid
    world.server.role.submit(Request(None, None, 0, OpCode.DELETE_CONTAINER, path, (), 0))
    world.settle()
    assert world.database.last_zxid == before + 1  # failed ones take one too
    body = world.log[-1].body
    return getattr(body, "err", 0)


def test_the_server_s_own_deletion_looks_again(world: World, client: Client) -> None:
    make(client, "/p", "/p/x", "/plain")
    client.create("/e", flags=1)
    create_as(client, OpCode.CREATE_CONTAINER, "/c", 4)
    assert outcome(world, "/none") == -101
    assert outcome(world, "/none/x") == -101
    assert outcome(world, "/p") == -111
    assert outcome(world, "/e") == -103
    assert outcome(world, "/c") == 0
    assert outcome(world, "/plain") == 0  # whether it is a container is not looked at again
    assert client.exists("/plain").err == -101


def test_the_server_s_own_deletion_asks_no_acl(world: World, client: Client) -> None:
    make(client, "/p", "/p/c")
    set_acl(client, "/p", NOBODY)
    assert client.delete("/p/c").err == -102
    assert outcome(world, "/p/c") == 0
