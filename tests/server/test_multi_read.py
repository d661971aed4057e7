"""multiRead: independent reads in one frame, never a watch. client-protocol.md §11."""

from __future__ import annotations

import pytest

from pyzk.constants import ErrorCode, OpCode
from pyzk.jute.records import (
    CheckVersionRequest,
    GetChildrenResponse,
    GetDataResponse,
    PathWatchRequest,
    SetDataRequest,
)
from pyzk.server import reads
from tests.frames import Record, Reply, create_request, multi
from tests.server.calls import NOBODY, events, make, remove_watches, results, stat_of
from tests.world import Client

END = bytes.fromhex("ffffffff01ffffffff")


def get_data(path: str | None, watch: bool = False) -> tuple[int, Record]:
    return OpCode.GET_DATA, PathWatchRequest(path, watch)


def get_children(path: str | None, watch: bool = False) -> tuple[int, Record]:
    return OpCode.GET_CHILDREN, PathWatchRequest(path, watch)


def run(client: Client, *operations: tuple[int, Record]) -> Reply:
    return client.call(OpCode.MULTI_READ, multi(*operations))


def test_each_read_has_its_own_result(client: Client) -> None:
    client.create("/a", b"xyz")
    make(client, "/a/b", "/a/c")
    first, second, third = results(run(client, get_data("/a"), get_children("/a"), get_data("/")))
    assert (first[:2], second[:2], third[:2]) == ((4, 0), (8, 0), (4, 0))
    data, _ = GetDataResponse.decode(first[2], 0, len(first[2]))
    assert (data.data, data.stat) == (b"xyz", stat_of(client, "/a"))
    children, _ = GetChildrenResponse.decode(second[2], 0, len(second[2]))
    assert sorted(children.children) == ["b", "c"]


def test_a_read_that_fails_does_not_stop_the_others(client: Client) -> None:
    make(client, "/a")
    make(client, "/secret", acl=NOBODY)
    reply = run(
        client,
        get_data("/none"),
        get_data("/secret"),
        get_children("/secret"),
        get_children("bad"),
        get_data("/a"),
    )
    assert [(kind, err) for kind, err, _ in results(reply)] == [
        (-1, -101),
        (-1, -102),
        (-1, -102),
        (-1, -101),
        (4, 0),
    ]


def test_null_data_and_no_children(client: Client) -> None:
    client.create("/a", None)
    first, second = results(run(client, get_data("/a"), get_children("/a")))
    assert first[2][:4] == b"\xff\xff\xff\xff"
    assert second[2] == b"\0\0\0\0"


def test_an_empty_multi_read_succeeds(client: Client) -> None:
    reply = run(client)
    assert (reply.err, reply.zxid, reply.body) == (0, 1, END)


def test_no_watch_is_left_although_the_flag_is_set(client: Client) -> None:
    make(client, "/a")
    run(client, get_data("/a", watch=True), get_children("/a", watch=True))
    assert remove_watches(client, "/a", 3) == -121
    client.set_data("/a", b"x")
    assert events(client) == []


@pytest.mark.parametrize(
    "operations",
    [
        [get_data("/a"), (OpCode.CREATE, create_request("/q"))],
        [(OpCode.EXISTS, PathWatchRequest("/a", False))],
        [(OpCode.CREATE, create_request("/q")), get_data("/a")],
        [(OpCode.CREATE, create_request("/q", flags=9))],
    ],
)
def test_what_is_no_list_of_reads_is_unreadable(
    client: Client, operations: list[tuple[int, Record]]
) -> None:
    make(client, "/a")
    reply = run(client, *operations)
    assert (reply.err, reply.zxid, reply.body) == (-5, 2, b"")
    assert client.ping().err == 0


@pytest.mark.parametrize(
    "operation",
    [
        (OpCode.CHECK, CheckVersionRequest("/a", -1)),
        (OpCode.SET_DATA, SetDataRequest("/a", b"x", -1)),
        (OpCode.CREATE, create_request("/q")),
    ],
)
def test_a_list_of_writes_is_the_one_error_with_a_body(
    client: Client, operation: tuple[int, Record]
) -> None:
    """Recorded of the original (multi_read): the end of an empty result."""
    make(client, "/a")
    reply = run(client, operation)
    assert (reply.err, reply.body) == (-5, END)
    assert client.exists("/q").err == -101
    assert stat_of(client, "/a").version == 0


def test_a_multi_read_cut_at_any_byte_is_unreadable(client: Client) -> None:
    whole = multi(get_data("/"), get_children("/"))
    for cut in range(len(whole)):
        assert client.call(OpCode.MULTI_READ, whole[:cut]).err == -5, cut
    assert client.world.database.last_zxid == 1


def test_a_null_path_fails_the_whole(client: Client) -> None:
    assert run(client, get_data("/"), get_data(None)).err == -5
    assert client.ping().err == 0


@pytest.mark.source  # it sets a constant
def test_a_reply_without_measure_is_an_error_of_the_request(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.create("/a", bytes(1000))
    one = len(run(client, get_data("/a")).body)
    monkeypatch.setattr(reads, "MULTI_READ_LIMIT_BYTES", 5 * one)
    assert run(client, *[get_data("/a")] * 5).err == 0
    assert run(client, *[get_data("/a")] * 6).err == ErrorCode.MARSHALLING_ERROR
    assert client.get_data("/a").err == 0
