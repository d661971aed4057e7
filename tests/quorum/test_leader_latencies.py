"""How long proposals take: for the disk of the leader, for a quorum, and for each learner."""

from __future__ import annotations

from pyzk.zxid import make
from tests.quorum.test_leader_broadcast import established, own_create


def test_a_quorum_is_timed_from_the_making_of_each_transaction() -> None:
    world, (first, _) = established()
    metrics = world.server.metrics
    own_create(world, "/a")
    world.clock.wall_ms += 5
    own_create(world, "/b")
    world.clock.wall_ms += 20
    first.ack(make(2, 1))
    first.ack(make(2, 2))
    assert metrics.quorum_ack_latency.percentiles(0.0, 1.0) == [20, 25]
    assert metrics.propagation_latency.count == metrics.quorum_ack_latency.count == 2
    assert metrics.request_commit_queued == metrics.prep_processor_request_queued == 2
    assert metrics.write_commit_proc_issued.sum == 2
    assert metrics.commit_propagation_latency.count == 0


def test_the_disk_of_the_leader_is_timed_too() -> None:
    world, _ = established()
    metrics = world.server.metrics
    world.is_disk_held = True
    own_create(world, "/a")
    own_create(world, "/b")
    world.clock.wall_ms += 7
    world.sync()
    latency = metrics.proposal_ack_creation_latency
    assert (latency.count, latency.min, latency.max) == (2, 7, 7)


def test_one_acknowledgement_in_so_many_is_timed_for_each_learner() -> None:
    world, (first, second) = established()
    world.leader._latencies._frequency = 2
    for name in "abcd":
        own_create(world, f"/{name}")
    world.clock.wall_ms += 30
    for number in (1, 2, 3, 4):
        first.ack(make(2, number))
    second.ack(make(2, 1))
    latencies = world.server.metrics.ack_latency
    assert {sid: (each.count, each.max) for sid, each in latencies.items()} == {"2": (2, 30)}
    world.leader._latencies._frequency = 0
    own_create(world, "/e")
    second.ack(make(2, 5))
    assert list(latencies) == ["2"]


def test_learners_that_are_synchronized_together_are_counted() -> None:
    world, _ = established()
    metrics = world.server.metrics
    assert (metrics.inflight_diff_count.count, metrics.inflight_diff_count.max) == (2, 2)
    empty = world.learner(9)
    empty.info(accepted=1)
    empty.ack_epoch()
    assert metrics.inflight_snap_count.max == 1
    assert (metrics.unavailable_time.count, metrics.leader_unavailable_time.count) == (1, 1)
