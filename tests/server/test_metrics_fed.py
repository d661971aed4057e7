"""That metrics have their true value: a lone server at its own pace, and what its disk says."""

from __future__ import annotations

from pyzk.config.server import ServerConfig
from pyzk.constants import AddWatchMode, OpCode, Perms
from pyzk.jute.records import ACL, AddWatchRequest, PathWatchRequest, SetDataRequest
from pyzk.metrics import Metrics
from pyzk.server.metric_families import families
from tests.frames import create_request, encode_request
from tests.world import World


def test_transactions_are_counted_and_timed_once_a_batch() -> None:
    world = World()
    clients = [world.connect() for _ in range(3)]
    metrics = world.server.metrics
    metrics.reset()
    world.is_disk_held = True
    for number, client in enumerate(clients):
        client.submit(OpCode.CREATE, create_request(f"/a{number}"))
        world.clock.wall_ms += 10
        world.clock.now_ms += 10
    world.sync()
    assert metrics.prep_processor_request_queued == 3
    assert metrics.request_commit_queued == metrics.write_commit_proc_issued.count == 0, "alone"
    assert metrics.propagation_latency.count == 3
    assert metrics.propagation_latency.percentiles(0.0, 0.5, 1.0) == [10, 20, 30]
    assert metrics.updatelatency.percentiles(0.0, 1.0) == [10, 30]
    assert metrics.quorum_ack_latency.count == metrics.commit_propagation_latency.count == 0
    # A create changes the znode and its parent.
    assert metrics.outstanding_changes_queued == metrics.outstanding_changes_removed == 6


def test_changes_under_way_are_queued_and_not_removed() -> None:
    world = World()
    client = world.connect()
    metrics = world.server.metrics
    world.is_disk_held = True
    client.submit(OpCode.CREATE, create_request("/a"))
    client.submit(OpCode.CREATE, create_request("/b"))
    before = metrics.outstanding_changes_removed
    world.peer.log_synced(world.log_zxid - 1)
    assert metrics.outstanding_changes_removed - before == 2
    assert metrics.outstanding_changes_queued - metrics.outstanding_changes_removed == 2


def test_reads_that_wait_for_a_write_are_counted_together() -> None:
    world = World()
    client = world.connect()
    world.is_disk_held = True
    client.submit(OpCode.CREATE, create_request("/a"))
    for _ in range(3):
        client.submit(OpCode.GET_DATA, PathWatchRequest("/a", False))
    world.sync()
    waited = world.server.metrics.reads_after_write_in_session_queue
    assert (waited.count, waited.sum) == (1, 3)


def test_bytes_of_clients_count_as_they_come() -> None:
    world = World()
    client = world.connect()
    metrics = world.server.metrics
    metrics.reset()
    get = encode_request(1, OpCode.GET_DATA, PathWatchRequest("/", False))
    client.send(get[:5])
    assert (metrics.bytes_received_count, metrics.packets_received) == (5, 0)
    client.send(get[5:] + get)
    assert (metrics.bytes_received_count, metrics.packets_received) == (2 * len(get), 2)


def test_bytes_of_watch_events_are_those_that_clients_get() -> None:
    world = World()
    owner, reader, stranger = (world.connect() for _ in range(3))
    owner.create("/a")
    metrics = world.server.metrics
    for client in (reader, stranger):
        client.call(OpCode.GET_DATA, PathWatchRequest("/a", True))
        client.call(OpCode.ADD_WATCH, AddWatchRequest("/a", AddWatchMode.PERSISTENT))
        client.frames()
    owner.call(OpCode.SET_DATA, SetDataRequest("/a", b"1", -1))
    world.settle()
    told = [frame for client in (reader, stranger) for frame in client.frames()]
    assert metrics.watch_bytes == sum(map(len, told)) > 0, "as in the original, without lengths"
    node = world.tree.nodes["/a"]
    before = metrics.watch_bytes
    node.acl_id = world.tree.acls.intern((ACL(Perms.WRITE, "world", "anyone"),))
    owner.call(OpCode.SET_DATA, SetDataRequest("/a", b"2", -1))
    assert [frame for client in (reader, stranger) for frame in client.frames()] == []
    assert metrics.watch_bytes == before


def test_a_client_that_goes_is_dropped_unless_its_session_was_closed() -> None:
    world = World()
    metrics = world.server.metrics
    assert metrics.cnxn_closed_without_zk_server_running == 0
    world.peer.stop_serving()
    late = world.open()
    late.handshake()
    assert late.is_closed
    assert metrics.cnxn_closed_without_zk_server_running == 1


def test_a_late_timer_is_a_pause() -> None:
    world = World(ServerConfig(tick_time_ms=2000))
    pauses = world.server.metrics.jvm_pause_time_ms
    world.advance(10_000)
    assert pauses.count >= 10
    assert pauses.max == 0
    world.jump(5_000)
    assert 4_000 <= pauses.max <= 5_000


def test_digests_that_differ_count_in_every_report() -> None:
    world = World()
    world.database._digest_differs(1 << 40, 5)
    assert world.server.metrics.digest_mismatches_count == 1
    told = {each.name: each for each in families(world.server)}
    assert told["digest_mismatches_count"].samples[0].value == 1


def test_waits_for_commits_are_the_latencies_of_requests_and_a_lone_server_has_none() -> None:
    metrics = Metrics(is_member=True)
    metrics.readlatency.add(3)
    metrics.updatelatency.add(4)
    assert metrics.read_commitproc_time_ms.sum == 3
    assert metrics.write_commitproc_time_ms.sum == 4
    metrics.reset()
    assert metrics.read_commitproc_time_ms.count == metrics.readlatency.count == 0
    world = World()
    world.connect().create("/a")
    assert world.server.metrics.updatelatency.count == 1
    assert world.server.metrics.write_commitproc_time_ms.count == 0
