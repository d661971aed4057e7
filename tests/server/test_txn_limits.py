"""No transaction is longer than what every reader takes: refused before anything has changed."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import MAX_IDENTITIES, MAX_IDENTITIES_BYTES, CreateMode, ErrorCode, OpCode
from pyzk.data.txn import AROUND_BODY_BYTES
from pyzk.jute.records import (
    ACL,
    CheckVersionRequest,
    CloseSessionTxn,
    CreateRequest,
    DeleteRequest,
    ErrorTxn,
    SetDataRequest,
)
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.recovery import RecoveryOptions, recover
from pyzk.persistence.snapshot import write_snapshot
from pyzk.quorum.forwarding import decode_forward
from pyzk.quorum.packets import ForwardedRequest
from pyzk.quorum.standalone import Standalone
from tests.frames import create_request, multi
from tests.properties.requests import state_of
from tests.server.calls import acl_of, authenticate, create_as, make, run_multi, set_acl
from tests.world import Client, World

CONFIG = ServerConfig(jute_max_buffer=2000, jute_max_buffer_extra=1024)
LIMIT = CONFIG.max_txn_bytes
EVERY_PERM = [ACL(perms, "auth", "") for perms in range(1, 32)]


@pytest.fixture
def world() -> World:
    return World(CONFIG)


def longest(world: World) -> int:
    """Bytes of the longest transaction that was logged."""
    return max(len(record) - 13 for record in world.records)


def check_recovers(world: World) -> None:
    """What was logged is what a restart finds."""
    directory = MemoryDirectory()
    fresh = World(world.config)
    write_snapshot(directory, fresh.database.freeze())
    writer = LogWriter(directory, preallocate_bytes=0)
    writer.append(world.records)
    writer.close()
    recovered = recover(directory, directory, RecoveryOptions()).database
    assert recovered.digest_mismatches == 0
    assert state_of(recovered) == state_of(world.database)


def long_ephemerals(client: Client, count: int) -> list[str]:
    paths = [f"/{number}{'e' * 900}" for number in range(count)]
    for path in paths:
        assert client.create(path, flags=CreateMode.EPHEMERAL).err == 0
    return paths


@pytest.mark.parametrize("count", [3, 4, 20])
def test_a_session_ends_however_long_the_names_of_its_ephemerals_are(
    world: World, client: Client, count: int
) -> None:
    long_ephemerals(client, count)
    assert client.call(OpCode.CLOSE_SESSION).err == 0
    assert not world.tree.ephemerals
    assert not world.database.sessions
    closing = world.log[-1]
    assert isinstance(closing.body, CloseSessionTxn) == (count == 3)
    assert (closing.digest is None) == (count != 3), "or the original takes it for the list"
    assert longest(world) <= LIMIT
    check_recovers(world)


def test_without_the_list_what_is_on_its_way_goes_too(world: World, client: Client) -> None:
    paths = long_ephemerals(client, 5)
    world.is_disk_held = True
    client.submit(OpCode.DELETE, DeleteRequest(paths[0], -1))
    client.submit(OpCode.CREATE, create_request(f"/late{'e' * 900}", flags=1))
    client.submit(OpCode.CLOSE_SESSION)
    other = world.open()
    other.handshake()
    other.submit(OpCode.CREATE, create_request(paths[1], b"mine"))
    world.sync()
    assert world.tree.nodes[paths[1]].data == b"mine"
    assert not world.tree.ephemerals
    check_recovers(world)


def test_an_acl_that_grows_too_long_is_refused(world: World, client: Client) -> None:
    """Each entry of scheme auth stands for all identities of the connection."""
    for number in range(20):
        assert authenticate(client, f"user{number}:x").err == 0
    refused = ErrorCode.BAD_ARGUMENTS
    make(client, "/a")
    before = state_of(world.database)
    assert create_as(client, OpCode.CREATE, "/b", acl=EVERY_PERM).err == refused
    assert create_as(client, OpCode.CREATE_CONTAINER, "/b", 4, acl=EVERY_PERM).err == refused
    assert set_acl(client, "/a", EVERY_PERM).err == refused
    create = CreateRequest("/c", b"", EVERY_PERM, 0)
    assert run_multi(client, (OpCode.CREATE, create)).err == refused
    after = state_of(world.database)
    assert (after.nodes, after.digest) == (before.nodes, before.digest)
    role = world.server.role
    assert isinstance(role, Standalone)
    assert not role.prep.changes.nodes
    assert set_acl(client, "/a", EVERY_PERM[:2]).err == 0
    assert len(acl_of(client, "/a")) == 40
    assert longest(world) <= LIMIT
    check_recovers(world)


def test_an_acl_of_gigabytes_is_refused_before_it_is_made(world: World, client: Client) -> None:
    for number in range(500):
        assert authenticate(client, f"user{number}:x").err == 0
    many = [ACL(perms, "auth", "") for perms in range(1, 110)]
    assert create_as(client, OpCode.CREATE, "/a", acl=many).err == ErrorCode.BAD_ARGUMENTS


def test_ids_that_grow_when_they_are_encoded(world: World, client: Client) -> None:
    """What is no UTF-8 becomes U+FFFD, three bytes for one."""
    acl = ACL(31, "digest", "").encode()[:-4] + (1500).to_bytes(4, "big") + b"\xff" * 1490
    acl += b":123456789"
    record = CreateRequest("/a", b"", [], 0).encode()
    record = record[:-8] + (1).to_bytes(4, "big") + acl + record[-4:]
    assert client.call(OpCode.CREATE, record).err == ErrorCode.BAD_ARGUMENTS
    assert world.tree.find("/a") is None
    check_recovers(world)


def test_a_multi_that_grows_too_long_is_refused_whole(world: World, client: Client) -> None:
    for number in range(20):
        authenticate(client, f"user{number}:x")
    create = [
        (OpCode.CREATE, CreateRequest(f"/{name}", b"", EVERY_PERM[:1], 0)) for name in "abcdef"
    ]
    assert run_multi(client, *create[:2]).err == 0
    zxid = world.database.last_zxid
    assert run_multi(client, *create[2:], (OpCode.DELETE, DeleteRequest("/a", -1))).err == -8
    assert world.database.last_zxid == zxid + 1, "it is a transaction, of an error"
    assert sorted(world.tree.nodes)[1:4] == ["/a", "/b", "/zookeeper"]
    assert longest(world) <= LIMIT
    check_recovers(world)


def test_what_another_member_let_pass_is_refused(world: World, client: Client) -> None:
    """jute.maxbuffer may be larger there."""
    make(client, "/a")

    def outcome(opcode: int, body: bytes) -> int:
        request = ForwardedRequest(client.session_id, 9, opcode, body, None)
        world.server.role.submit(decode_forward(world.server, request, 0))
        world.settle()
        body_of = world.log[-1].body
        return body_of.err if isinstance(body_of, ErrorTxn) else 0

    room = LIMIT - len(SetDataRequest("/a", b"", -1).encode()) - AROUND_BODY_BYTES
    assert outcome(OpCode.SET_DATA, SetDataRequest("/a", bytes(room), -1).encode()) == 0
    assert longest(world) == LIMIT
    refused = ErrorCode.BAD_ARGUMENTS
    assert outcome(OpCode.SET_DATA, SetDataRequest("/a", bytes(room + 1), -1).encode()) == refused
    assert outcome(OpCode.CREATE, create_request("/b", bytes(room)).encode()) == refused
    checks = [(OpCode.CHECK, CheckVersionRequest("/none", -1))] * 300
    assert outcome(OpCode.MULTI, multi(*checks)) == refused
    assert longest(world) == LIMIT
    check_recovers(world)


def test_identities_are_counted(world: World, client: Client) -> None:
    for number in range(MAX_IDENTITIES - 1):  # and the address
        assert authenticate(client, f"user{number}:x").err == 0
    assert authenticate(client, "user1:x").err == 0
    assert authenticate(client, "one:more").err == ErrorCode.AUTH_FAILED
    assert client.is_closed


def test_identities_are_measured() -> None:
    client = World().connect()
    half = "x" * (MAX_IDENTITIES_BYTES // 2 - 100)
    assert authenticate(client, f"{half}:x").err == 0
    assert authenticate(client, f"y{half}:x").err == 0
    assert authenticate(client, f"z{'x' * 100}:x").err == ErrorCode.AUTH_FAILED
    assert client.is_closed
