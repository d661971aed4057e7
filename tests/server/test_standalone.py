"""The standalone role: durable first, then applied; when a snapshot is wanted."""

from __future__ import annotations

from pyzk.config.server import ServerConfig
from pyzk.constants import CreateMode, OpCode
from pyzk.persistence.txnlog import framed_zxid
from tests.frames import create_request, encode_request, multi
from tests.server.calls import burst, make
from tests.world import Client, World


def test_mode(world: World) -> None:
    assert world.server.role.mode == "standalone"


def test_records_go_to_the_disk_in_zxid_order_with_the_last_zxid(
    world: World, client: Client
) -> None:
    world.is_disk_held = True
    for name in "abc":
        record = create_request(f"/{name}")
        client.connection.receive(encode_request(1, OpCode.CREATE, record))
    outbox = world.peer.outbox
    assert [framed_zxid(record) for record in outbox.log] == [2, 3, 4]
    assert outbox.log_zxid == 4
    assert len(outbox.take_log()) == 3
    assert outbox.take_log() == []


def test_zxids_go_on_where_the_database_ends(world: World, client: Client) -> None:
    make(client, "/a", "/b")
    restarted = World(world.config, world.database)
    assert restarted.connect().create("/c").zxid == 5


def test_zxids_are_dense_whatever_fails(world: World, client: Client) -> None:
    world.is_disk_held = True
    record = create_request("/a")
    burst(client, *[(OpCode.CREATE, record)] * 3, (OpCode.CREATE, b""), (OpCode.MULTI, b""))
    world.sync()
    assert [txn.header.zxid for txn in world.log] == [1, 2, 3, 4, 5]


# --- snapshots ----------------------------------------------------------------------


def test_a_snapshot_is_asked_for_while_writes_go_on() -> None:
    world = World(ServerConfig(snap_count=10))
    client = world.connect()
    for number in range(40):
        make(client, f"/{number}")
    assert 4 <= world.snapshots_wanted <= 8


def test_writes_are_counted_by_namespace(world: World, client: Client) -> None:
    """Path and data of each create and setData, the path of each delete (mntr)."""
    client.create("/a", b"123")
    client.set_data("/a", b"12345")
    client.call(OpCode.MULTI, multi((1, create_request("/a/b", b"1"))))
    client.set_data("/nosuch", b"")
    other = world.connect()
    other.create("/e", flags=CreateMode.EPHEMERAL)
    other.submit(OpCode.CLOSE_SESSION)
    client.set_data("/", b"root")
    client.delete("/a/b")
    counted = world.server.metrics.written.summaries
    assert {name: (summary.count, summary.sum) for name, summary in counted.items()} == {
        "a": (4, 5 + 7 + 5 + 4),
        "e": (2, 2 + 2),
    }
