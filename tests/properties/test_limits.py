"""Whatever a client asks for, every reader takes what is written of it.

The limits are so low that many requests reach them: of the log, of PROPOSAL, INFORM and REQUEST, of
a snapshot in a file and in a stream. What is refused has changed nothing, and the server goes on.
"""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.data.serialize import encode_nodes, encode_tables
from pyzk.jute.records import (
    ACL,
    AuthPacket,
    CreateRequest,
    DeleteRequest,
    Id,
    QuorumPacket,
    SetACLRequest,
    SetDataRequest,
)
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.logwriter import LogWriter
from pyzk.persistence.recovery import RecoveryOptions, recover
from pyzk.persistence.snapshot import write_snapshot
from pyzk.persistence.txnlog import payload_zxid
from pyzk.quorum import packets
from pyzk.quorum.packets import ForwardedRequest
from pyzk.quorum.snapshot_load import SnapshotLoad
from pyzk.quorum.snapshot_stream import END, SnapshotPart
from pyzk.quorum.stream import QuorumStream
from tests.frames import OPEN, Record, create_request, encode_request, multi
from tests.properties.requests import state_of
from tests.world import Client, World

CONFIG = ServerConfig(jute_max_buffer=600, jute_max_buffer_extra=60, commit_log_count=500)
LIMIT = CONFIG.max_txn_bytes

names = st.builds("/{}{}".format, st.sampled_from("abc"), st.integers(0, 220).map("x".__mul__))
datas = st.integers(0, 590).map(bytes)
acls = st.one_of(
    st.just(OPEN),
    st.lists(
        st.builds(
            ACL,
            st.integers(1, 31),
            st.sampled_from(("auth", "auth", "digest")),
            st.sampled_from(("u:x", "é" * 40 + ":y")),
        ),
        min_size=1,
        max_size=6,
    ),
)
creates = st.tuples(
    st.sampled_from((OpCode.CREATE, OpCode.CREATE2)),
    st.builds(CreateRequest, names, datas, acls, st.integers(0, 3)),
)
deletes = st.tuples(st.just(OpCode.DELETE), st.builds(DeleteRequest, names, st.just(-1)))
changes = st.tuples(st.just(OpCode.SET_DATA), st.builds(SetDataRequest, names, datas, st.just(-1)))
list_changes = st.tuples(
    st.just(OpCode.SET_ACL), st.builds(SetACLRequest, names, acls, st.just(-1))
)
sequentials = st.tuples(
    st.just(OpCode.CREATE), st.builds(CreateRequest, names, datas, st.just(OPEN), st.just(2))
)
several = st.lists(st.one_of(creates, sequentials, deletes, changes), min_size=1, max_size=12)
multis = several.map(lambda operations: (OpCode.MULTI, multi(*operations)))
closings = st.just((OpCode.CLOSE_SESSION, b""))
identities = st.builds(
    lambda user: (OpCode.AUTH, AuthPacket(0, "digest", f"{user}:p".encode())),
    st.sampled_from(("u1", "u2", "é" * 30)),
)
single = st.one_of(creates, creates, deletes, changes, list_changes, multis, identities, closings)
Asked = list[tuple[int, Record | bytes]]


def _long_ephemerals(count: int, length: int) -> Asked:
    paths = [f"/{number}{'e' * length}" for number in range(count)]
    creates: Asked = [(OpCode.CREATE, create_request(path, flags=1)) for path in paths]
    return [*creates, (OpCode.CLOSE_SESSION, b"")]


def _grown_lists(users: int, perms: int, kind: int) -> Asked:
    packets_sent = [AuthPacket(0, "digest", f"user{user}:p".encode()) for user in range(users)]
    acl = [ACL(each, "auth", "") for each in range(1, perms + 1)]
    requests: Asked = [(OpCode.AUTH, packet) for packet in packets_sent]
    made = CreateRequest(f"/list{kind}", b"", acl, 0)
    if kind == 0:
        return [*requests, (OpCode.CREATE, made)]
    if kind == 1:
        return [*requests, (OpCode.SET_ACL, SetACLRequest("/a", acl, -1))]
    return [*requests, (OpCode.MULTI, multi((OpCode.CREATE, made), (OpCode.CREATE2, made)))]


bursts: st.SearchStrategy[Asked] = st.one_of(
    single.map(lambda operation: [operation]),
    st.builds(_long_ephemerals, st.integers(1, 8), st.integers(0, 220)),
    st.builds(_grown_lists, st.integers(1, 6), st.integers(1, 6), st.integers(0, 2)),
)


class Life:
    """A server, its clients, and each REQUEST that a learner would have sent instead."""

    def __init__(self) -> None:
        self.world = World(CONFIG)
        self.clients: list[Client] = []
        self.forwarded: list[bytes] = []

    def ask(self, number: int, opcode: int, record: Record | bytes) -> None:
        while len(self.clients) <= number:
            self.clients.append(self.world.connect())
        client = self.clients[number]
        if client.is_closed:
            client = self.clients[number] = self.world.connect()
        raw = encode_request(-4 if opcode == OpCode.AUTH else 7, opcode, record)
        if opcode != OpCode.AUTH and len(raw) <= 4 + CONFIG.jute_max_buffer:
            ids = [Id(each.scheme, each.id) for each in client.connection.auth_ids]
            request = ForwardedRequest(client.session_id, 7, opcode, raw[12:], ids)
            self.forwarded.append(packets.encode_request(request))
        client.connection.receive(raw)
        self.world.settle()


@given(st.lists(st.tuples(st.integers(0, 2), bursts), max_size=12))
def test_every_reader_takes_what_is_written(asked: list[tuple[int, Asked]]) -> None:
    life = Life()
    for number, burst in asked:
        for opcode, record in burst:
            life.ask(number, opcode, record)
    world = life.world
    expected = state_of(world.database)
    check_log(world, expected)
    check_snapshots(world, expected)
    check_packets(world, life.forwarded)


def check_log(world: World, expected: object) -> None:
    assert all(len(record) - 13 <= LIMIT for record in world.records)
    directory = MemoryDirectory()
    write_snapshot(directory, World(CONFIG).database.freeze())
    writer = LogWriter(directory, preallocate_bytes=4096)
    writer.append(world.records)
    writer.close()
    recovered = recover(directory, directory, RecoveryOptions(jute_limit_bytes=LIMIT))
    assert recovered.notes == []
    assert state_of(recovered.database) == expected


def check_snapshots(world: World, expected: object) -> None:
    directory = MemoryDirectory()
    write_snapshot(directory, world.database.freeze())
    recovered = recover(directory, directory, RecoveryOptions(jute_limit_bytes=LIMIT))
    assert not any("jute.maxbuffer" in note for note in recovered.notes)
    assert state_of(recovered.database) == expected

    frozen = world.database.freeze()
    sent = packets.encode_bare(packets.SNAP, frozen.zxid)
    sent += encode_tables(frozen.sessions, frozen.acls)
    while nodes := frozen.nodes.read(5):
        sent += encode_nodes(nodes)
    frozen.close()
    sent += END
    load = SnapshotLoad(CONFIG, frozen.zxid)
    for item in QuorumStream(LIMIT).feed(sent):
        if isinstance(item, SnapshotPart):
            load.add(item)
    load.finish()
    assert state_of(load.database) == expected


def check_packets(world: World, forwarded: list[bytes]) -> None:
    payloads = [record[12:-1] for record in world.records]
    for kind in (packets.PROPOSAL, packets.INFORM):
        sent = packets.UPTODATE_PACKET
        for payload in payloads:
            sent += packets.encode_packet(kind, payload_zxid(payload), payload)
        found = QuorumStream(LIMIT).feed(sent)[1:]
        assert all(isinstance(item, QuorumPacket) for item in found)
        assert [packets.txn_payload(item) for item in found] == payloads  # type: ignore[arg-type]
    requests_sent = packets.UPTODATE_PACKET + b"".join(forwarded)
    assert len(QuorumStream(LIMIT).feed(requests_sent)) == 1 + len(forwarded)


@hypothesis_settings(max_examples=hypothesis_settings().max_examples // 5)
@given(st.integers(0, 3 << 16))
def test_a_ping_of_any_number_of_sessions_is_taken(count: int) -> None:
    touched = dict.fromkeys(range(count), 1000)
    raw = packets.UPTODATE_PACKET + packets.encode_ping_reply(5, touched)
    found: list[tuple[int, int]] = []
    for item in QuorumStream(1 << 20).feed(raw)[1:]:
        assert isinstance(item, QuorumPacket)
        found += packets.touched_sessions(item)
    assert dict(found) == touched
    assert struct.calcsize(">qi") * count <= len(raw)
