"""Requests and answers that the tests of the server share: built and read in one call each."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from pyzk.constants import CreateMode, OpCode, Xid
from pyzk.jute.records import (
    ACL,
    AddWatchRequest,
    AuthPacket,
    CheckWatchesRequest,
    CreateRequest,
    CreateTTLRequest,
    GetACLResponse,
    GetChildrenResponse,
    GetDataResponse,
    MultiHeader,
    PathRequest,
    PathResponse,
    SetACLRequest,
    SetWatches,
    SetWatches2,
    Stat,
)
from tests.frames import OPEN, Record, Reply, encode_request, multi
from tests.world import Client, World

READ_ONLY = [ACL(1, "world", "anyone")]
NOBODY = [ACL(31, "digest", "nobody:hash")]

CREATED = 1
DELETED = 2
CHANGED = 3
CHILDREN = 4


# --- requests -----------------------------------------------------------------------


def create_as(
    client: Client,
    opcode: int,
    path: str | None,
    flags: int = CreateMode.PERSISTENT,
    *,
    data: bytes | None = b"",
    acl: list[ACL] | None = OPEN,
    ttl: int = -1,
) -> Reply:
    """Create with any opcode and list; a TTL only with the one that has it."""
    if opcode == OpCode.CREATE_TTL:
        return client.call(opcode, CreateTTLRequest(path, data, acl, flags, ttl))
    return client.call(opcode, CreateRequest(path, data, acl, flags))


def make(client: Client, *paths: str, acl: list[ACL] | None = None) -> None:
    """Create persistent znodes that must succeed."""
    for path in paths:
        assert create_as(client, OpCode.CREATE, path, acl=acl or OPEN).err == 0, path


def set_acl(client: Client, path: str | None, acl: list[ACL] | None, version: int = -1) -> Reply:
    return client.call(OpCode.SET_ACL, SetACLRequest(path, acl, version))


def authenticate(client: Client, auth: str | bytes | None, scheme: str | None = "digest") -> Reply:
    raw = auth.encode() if isinstance(auth, str) else auth
    return client.call(OpCode.AUTH, AuthPacket(0, scheme, raw), xid=Xid.AUTH)


def add_watch(client: Client, path: str | None, mode: int) -> Reply:
    return client.call(OpCode.ADD_WATCH, AddWatchRequest(path, mode))


def check_watches(client: Client, path: str | None, kind: int) -> int:
    return client.call(OpCode.CHECK_WATCHES, CheckWatchesRequest(path, kind)).err


def remove_watches(client: Client, path: str | None, kind: int) -> int:
    return client.call(OpCode.REMOVE_WATCHES, CheckWatchesRequest(path, kind)).err


def _paths(paths: Iterable[str] | None) -> list[str | None] | None:
    return None if paths is None else list(paths)


def set_watches(
    client: Client,
    since: int,
    *,
    data: Iterable[str] | None = (),
    exist: Iterable[str] | None = (),
    child: Iterable[str] | None = (),
) -> list[Reply]:
    record = SetWatches(since, _paths(data), _paths(exist), _paths(child))
    client.submit(OpCode.SET_WATCHES, record, xid=Xid.SET_WATCHES)
    return client.replies()


def set_watches2(
    client: Client,
    since: int,
    *,
    data: Iterable[str] | None = (),
    exist: Iterable[str] | None = (),
    child: Iterable[str] | None = (),
    persistent: Iterable[str] | None = (),
    recursive: Iterable[str] | None = (),
) -> list[Reply]:
    lists = [_paths(paths) for paths in (data, exist, child, persistent, recursive)]
    record = SetWatches2(since, *lists)
    client.submit(OpCode.SET_WATCHES2, record, xid=Xid.SET_WATCHES)
    return client.replies()


def burst(client: Client, *requests: tuple[int, Record | bytes]) -> None:
    """Send requests in one piece, numbered from 101 on."""
    client.send(
        b"".join(
            encode_request(xid, opcode, record)
            for xid, (opcode, record) in enumerate(requests, 101)
        )
    )


def run_multi(client: Client, *operations: tuple[int, Record]) -> Reply:
    return client.call(OpCode.MULTI, multi(*operations))


# --- answers ------------------------------------------------------------------------


def stat_in(raw: bytes) -> Stat:
    """The Stat that a body ends with."""
    return Stat.decode(raw, len(raw) - 68, len(raw))[0]


def stat_of(client: Client, path: str) -> Stat:
    reply = client.exists(path)
    assert reply.err == 0, reply
    assert len(reply.body) == 68
    return stat_in(reply.body)


def data_of(client: Client, path: str) -> bytes | None:
    reply = client.get_data(path)
    assert reply.err == 0, reply
    return GetDataResponse.decode(reply.body, 0, len(reply.body))[0].data


def path_in(reply: Reply) -> str | None:
    assert reply.err == 0, reply
    return PathResponse.decode(reply.body, 0, len(reply.body))[0].path


def children_of(client: Client, path: str) -> list[str]:
    reply = client.get_children(path)
    assert reply.err == 0, reply
    return sorted(GetChildrenResponse.decode(reply.body, 0, len(reply.body))[0].children)


def ephemerals_of(client: Client, prefix: str | None = "/") -> list[str]:
    reply = client.call(OpCode.GET_EPHEMERALS, PathRequest(prefix))
    assert reply.err == 0, reply
    # A list of paths, encoded like one of children.
    return sorted(GetChildrenResponse.decode(reply.body, 0, len(reply.body))[0].children)


def acl_of(client: Client, path: str) -> list[ACL]:
    reply = client.call(OpCode.GET_ACL, PathRequest(path))
    assert reply.err == 0, reply
    return GetACLResponse.decode(reply.body, 0, len(reply.body))[0].acl or []


def events(client: Client) -> list[tuple[int, str]]:
    """What has come since the last look, which must be events only."""
    return [reply.event for reply in client.replies()]


def split_replies(client: Client) -> tuple[list[tuple[int, str]], list[Reply]]:
    """(events, replies) since the last look, each in order."""
    replies = client.replies()
    return (
        [reply.event for reply in replies if reply.xid == Xid.NOTIFICATION],
        [reply for reply in replies if reply.xid != Xid.NOTIFICATION],
    )


def results(reply: Reply) -> list[tuple[int, int, bytes]]:
    """(type, err, record) of each entry of a MultiResponse."""
    assert reply.err == 0, reply
    out: list[tuple[int, int, bytes]] = []
    offset = 0
    body = reply.body
    while True:
        header, offset = MultiHeader.decode(body, offset, len(body))
        if header.done:
            assert (header.type, header.err) == (-1, -1)
            assert offset == len(body)
            return out
        start = offset
        offset += _result_bytes(header.type, body, offset)
        record = body[start:offset]
        if header.type == OpCode.ERROR:
            assert record == struct.pack(">i", header.err)
            record = b""
        out.append((header.type, header.err, record))


def _result_bytes(kind: int, body: bytes, offset: int) -> int:
    if kind == OpCode.ERROR:
        return 4
    if kind in (OpCode.DELETE, OpCode.CHECK):
        return 0
    if kind == OpCode.SET_DATA:
        return 68
    if kind in (OpCode.CREATE, OpCode.CREATE2):
        (length,) = struct.unpack_from(">i", body, offset)
        return 4 + int(length) + (68 if kind == OpCode.CREATE2 else 0)
    if kind == OpCode.GET_DATA:
        return GetDataResponse.decode(body, offset, len(body))[1] - offset
    assert kind == OpCode.GET_CHILDREN, kind
    return GetChildrenResponse.decode(body, offset, len(body))[1] - offset


def errors(reply: Reply) -> list[int]:
    """The err of each entry of a MultiResponse."""
    return [err for _, err, _ in results(reply)]


def logged_types(world: World) -> list[int]:
    """The types of all transactions that went to the disk."""
    return [txn.header.type for txn in world.log]
