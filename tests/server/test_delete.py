"""delete: order of checks, what it moves, what is on its way."""

from __future__ import annotations

import pytest

from pyzk.constants import CreateMode, OpCode
from pyzk.jute.records import DeleteRequest, DeleteTxn, SetDataRequest
from tests.frames import Record, create_request
from tests.server.calls import (
    NOBODY,
    READ_ONLY,
    burst,
    children_of,
    logged_types,
    make,
    set_acl,
    stat_of,
)
from tests.world import Client, World, owned_paths


def test_delete_answers_with_the_header_alone(client: Client) -> None:
    make(client, "/a")
    reply = client.delete("/a")
    assert (reply.err, reply.body, reply.zxid) == (0, b"", 3)
    assert client.exists("/a").err == -101


@pytest.mark.parametrize("version", [-1, 1])
def test_delete_of_the_right_version(client: Client, version: int) -> None:
    make(client, "/a")
    client.set_data("/a", b"")
    assert client.delete("/a", version).err == 0


@pytest.mark.parametrize("version", [0, 2, -2])
def test_delete_of_another_version(client: Client, version: int) -> None:
    make(client, "/a")
    client.set_data("/a", b"")
    assert client.delete("/a", version).err == -103


@pytest.mark.parametrize(
    ("path", "err"),
    [
        (None, -5),
        ("", -8),
        ("abc", -8),
        ("/p\0", -8),
        ("/", -8),
        ("/zookeeper", -8),
        ("/zookeeper/quota", -8),
        ("/zookeeper/config", -8),
        ("/p/", -101),  # the full rule is not applied
        ("/p/..", -101),
        ("//p", -101),
        ("a/b", -101),
        ("/p/\1", -101),
    ],
)
def test_delete_applies_the_weak_rule(client: Client, path: str | None, err: int) -> None:
    make(client, "/p")
    assert client.call(OpCode.DELETE, DeleteRequest(path, -1)).err == err


def test_version_before_emptiness(client: Client) -> None:
    make(client, "/p", "/p/c")
    assert client.delete("/p", 7).err == -103
    assert client.delete("/p", 0).err == -111


def test_the_right_is_asked_of_the_parent_and_before_existence(client: Client) -> None:
    make(client, "/r", "/r/k")
    set_acl(client, "/r", READ_ONLY)
    assert client.delete("/r/k", 9).err == -102
    assert client.delete("/r/none").err == -102


def test_rights_on_the_znode_itself_do_not_matter(client: Client) -> None:
    make(client, "/p")
    make(client, "/p/c", acl=NOBODY)
    assert client.delete("/p/c").err == 0


def test_children_of_what_the_server_made_can_be_deleted(client: Client) -> None:
    make(client, "/zookeeper/x", "/zookeeper/quota/y")
    assert client.delete("/zookeeper/x").err == 0
    assert client.delete("/zookeeper/quota/y").err == 0


def test_delete_moves_the_parent_s_pzxid_and_wire_cversion(client: Client) -> None:
    make(client, "/p", "/p/c")
    before = stat_of(client, "/p")
    zxid = client.delete("/p/c").zxid
    after = stat_of(client, "/p")
    assert (after.pzxid, after.cversion, after.num_children) == (zxid, 2, 0)
    assert (after.mzxid, after.mtime) == (before.mzxid, before.mtime)


def test_anyone_may_delete_an_ephemeral_and_its_session_then_owns_it_no_more(world: World) -> None:
    owner, other = world.connect(), world.connect()
    owner.create("/e", flags=CreateMode.EPHEMERAL)
    assert other.delete("/e").err == 0
    assert owned_paths(world.tree) == {}
    owner.call(OpCode.CLOSE_SESSION)
    assert logged_types(world)[-1] == -11


def test_the_log_has_the_path(world: World, client: Client) -> None:
    make(client, "/a")
    client.delete("/a")
    assert (world.log[-1].header.type, world.log[-1].body) == (2, DeleteTxn("/a"))


# --- pending: request-order-of-checks.md §10 ----------------------------------------


def test_pipelined_deletes_and_creates_see_each_other(world: World, client: Client) -> None:
    make(client, "/a", "/p", "/p/c")
    create, delete, change = OpCode.CREATE, OpCode.DELETE, OpCode.SET_DATA
    requests: list[tuple[int, Record, int]] = [
        (delete, DeleteRequest("/a", -1), 0),
        (delete, DeleteRequest("/a", -1), -101),
        (change, SetDataRequest("/a", b"", -1), -101),
        (create, create_request("/a/x"), -101),
        (create, create_request("/a"), 0),  # made again
        (create, create_request("/a/x"), 0),
        (delete, DeleteRequest("/a", -1), -111),
        (delete, DeleteRequest("/p", -1), -111),
        (delete, DeleteRequest("/p/c", -1), 0),
        (delete, DeleteRequest("/p", 0), 0),
        (create, create_request("/p/d"), -101),
    ]
    world.is_disk_held = True
    burst(client, *((opcode, record) for opcode, record, _ in requests))
    assert world.tree.find("/a/x") is None
    world.sync()
    assert [reply.err for reply in client.replies()] == [err for *_, err in requests]
    assert children_of(client, "/") == ["a", "zookeeper"]


def test_a_znode_made_again_begins_anew(world: World, client: Client) -> None:
    make(client, "/a")
    client.set_data("/a", b"x")
    world.is_disk_held = True
    burst(
        client,
        (OpCode.DELETE, DeleteRequest("/a", 1)),
        (OpCode.CREATE, create_request("/a", b"y")),
        (OpCode.SET_DATA, SetDataRequest("/a", b"z", 1)),
        (OpCode.SET_DATA, SetDataRequest("/a", b"z", 0)),
    )
    world.sync()
    assert [reply.err for reply in client.replies()] == [0, 0, -103, 0]
    world.is_disk_held = False
    stat = stat_of(client, "/a")
    assert (stat.version, stat.czxid, stat.mzxid) == (1, 5, 7)
