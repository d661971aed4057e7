"""Writes whose bodies cannot be read: -5 in their turn, no transaction, the connection stays.

client-protocol.md §18. The original logs an error transaction that re-uses the last zxid.
"""

from __future__ import annotations

import struct

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.jute.records import (
    CreateRequest,
    CreateTTLRequest,
    DeleteContainerRequest,
    DeleteRequest,
    ReconfigRequest,
    SetACLRequest,
    SetDataRequest,
)
from tests.frames import OPEN, create_request
from tests.server.calls import burst, logged_types, make
from tests.world import Client, World

EXTENDED = ServerConfig(extended_types_enabled=True)

BODIES: list[tuple[int, bytes]] = [
    (OpCode.CREATE, create_request("/a", b"x").encode()),
    (OpCode.CREATE2, CreateRequest("/a", None, OPEN * 2, 0).encode()),
    (OpCode.CREATE_CONTAINER, CreateRequest("/a", b"x", OPEN, 4).encode()),
    (OpCode.CREATE_TTL, CreateTTLRequest("/a", b"x", OPEN, 5, 1000).encode()),
    (OpCode.DELETE, DeleteRequest("/p", -1).encode()),
    (OpCode.DELETE_CONTAINER, DeleteContainerRequest(b"/p").encode()),
    (OpCode.SET_DATA, SetDataRequest("/p", b"x", -1).encode()),
    (OpCode.SET_ACL, SetACLRequest("/p", OPEN, -1).encode()),
    (OpCode.RECONFIG, ReconfigRequest("a", "b", "c", -1).encode()),
]
every_write = pytest.mark.parametrize(("opcode", "body"), BODIES)


@pytest.fixture
def client() -> Client:
    client = World(EXTENDED).connect()
    make(client, "/p")
    return client


@every_write
def test_a_body_cut_at_any_byte_is_minus_five_and_takes_no_zxid(
    client: Client, opcode: int, body: bytes
) -> None:
    for cut in range(len(body)):
        reply = client.call(opcode, body[:cut])
        assert (reply.zxid, reply.err, reply.body) == (2, -5, b""), cut
    assert logged_types(client.world) == [-10, 1]
    assert client.ping().err == 0


@every_write
@pytest.mark.parametrize("length", [-2, -(1 << 31), (1 << 31) - 1, 10_000])
def test_a_bad_length_of_the_path_is_unreadable(
    client: Client, opcode: int, body: bytes, length: int
) -> None:
    assert client.call(opcode, struct.pack(">i", length) + body[4:]).err == -5
    assert logged_types(client.world) == [-10, 1]


@every_write
def test_bytes_behind_a_body_are_not_looked_at(client: Client, opcode: int, body: bytes) -> None:
    whole, longer = client.call(opcode, body), World(EXTENDED).connect()
    make(longer, "/p")
    assert longer.call(opcode, body + b"\xff\0\xff").err == whole.err
    assert whole.err == {OpCode.DELETE_CONTAINER: -8, OpCode.RECONFIG: -123}.get(opcode, 0)


def test_a_negative_count_of_acl_entries_is_an_empty_list(client: Client) -> None:
    body = CreateRequest("/a", b"", [], 0).encode()
    assert client.call(OpCode.CREATE, body[:10] + b"\xff\xff\xff\xfe" + body[14:]).err == -114


def test_an_unreadable_write_is_answered_in_its_turn(client: Client) -> None:
    world = client.world
    world.is_disk_held = True
    burst(
        client,
        (OpCode.SET_DATA, SetDataRequest("/p", b"x", 0)),
        (OpCode.DELETE, b""),
        (OpCode.SET_DATA, SetDataRequest("/p", b"y", 1)),
    )
    assert client.replies() == []
    world.sync()
    assert [(r.xid, r.err, r.zxid) for r in client.replies()] == [
        (101, 0, 3),
        (102, -5, 3),
        (103, 0, 4),
    ]
