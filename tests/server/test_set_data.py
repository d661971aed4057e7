"""setData: order of checks, versions, what is on its way."""

from __future__ import annotations

import pytest

from pyzk.constants import OpCode
from pyzk.jute.records import SetDataRequest, SetDataTxn, Stat
from tests.server.calls import (
    READ_ONLY,
    burst,
    data_of,
    make,
    set_acl,
    stat_in,
    stat_of,
)
from tests.world import Client, World


def test_set_data_answers_with_the_stat_after_it(client: Client) -> None:
    make(client, "/a")
    before = stat_of(client, "/a")
    client.world.advance(7)
    reply = client.set_data("/a", b"xyz")
    assert len(reply.body) == 68
    now = before.ctime + 7
    assert stat_in(reply.body) == Stat(2, 3, before.ctime, now, 1, 0, 0, 0, 3, 0, 2)
    assert stat_of(client, "/a") == stat_in(reply.body)


@pytest.mark.parametrize("data", [None, b"", b"x"])
def test_null_and_empty_data_are_kept_apart(client: Client, data: bytes | None) -> None:
    make(client, "/a")
    client.set_data("/a", data)
    assert data_of(client, "/a") == data


def test_equal_data_is_a_change_too(client: Client) -> None:
    client.create("/a", b"x")
    client.set_data("/a", b"x")
    stat = stat_of(client, "/a")
    assert (stat.version, stat.mzxid) == (1, 3)


@pytest.mark.parametrize(("version", "err"), [(-1, 0), (1, 0), (0, -103), (2, -103), (-2, -103)])
def test_the_version_must_be_the_present_one_or_minus_one(
    client: Client, version: int, err: int
) -> None:
    make(client, "/a")
    client.set_data("/a", b"")
    assert client.set_data("/a", b"", version).err == err


@pytest.mark.parametrize(("before", "after"), [((1 << 31) - 1, -(1 << 31)), (-2, -1), (-1, 0)])
def test_versions_wrap(client: Client, before: int, after: int) -> None:
    make(client, "/a")
    client.world.tree.nodes["/a"].version = before
    assert stat_in(client.set_data("/a", b"", before).body).version == after


@pytest.mark.parametrize(
    ("path", "err"),
    [
        (None, -8),
        ("", -8),
        ("p", -8),
        ("/p/", -8),
        ("/p/.", -8),
        ("/none/..", -8),  # the full rule before existence
        ("//", -8),
        ("/p\0", -8),
        ("/p\1", -8),
        ("/none", -101),
        ("/none/x", -101),
        ("/", 0),
        ("/zookeeper", 0),
        ("/zookeeper/quota", 0),
        ("/zookeeper/config", -102),
    ],
)
def test_set_data_applies_the_full_rule(client: Client, path: str | None, err: int) -> None:
    make(client, "/p")
    assert client.call(OpCode.SET_DATA, SetDataRequest(path, b"", -1)).err == err


def test_the_right_before_the_version(client: Client) -> None:
    make(client, "/r")
    set_acl(client, "/r", READ_ONLY)
    assert client.set_data("/r", b"", 9).err == -102
    assert client.set_data("/r", b"", 0).err == -102


def test_the_log_has_the_version_that_results(world: World, client: Client) -> None:
    make(client, "/a")
    client.set_data("/a", None, 0)
    assert world.log[-1].body == SetDataTxn("/a", None, 1)
    client.set_data("/a", b"x", 1)
    assert world.log[-1].body == SetDataTxn("/a", b"x", 2)


def test_pipelined_changes_see_each_other_s_versions(world: World, client: Client) -> None:
    make(client, "/a")
    world.is_disk_held = True
    burst(
        client,
        (OpCode.SET_DATA, SetDataRequest("/a", b"1", 0)),
        (OpCode.SET_DATA, SetDataRequest("/a", b"2", 0)),
        (OpCode.SET_DATA, SetDataRequest("/a", b"3", 1)),
    )
    world.sync()
    replies = client.replies()
    assert [reply.err for reply in replies] == [0, -103, 0]
    # Each Stat is as of just after that operation, although all were applied together.
    assert [stat_in(replies[i].body).version for i in (0, 2)] == [1, 2]
    assert [reply.zxid for reply in replies] == [3, 4, 5]


def test_a_znode_keeps_its_data_when_a_change_fails(client: Client) -> None:
    client.create("/a", b"old")
    client.set_data("/a", b"new", 9)
    assert data_of(client, "/a") == b"old"
