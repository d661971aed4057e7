"""Which machines a run goes on with when its faults end."""

from __future__ import annotations

from pyzk.sim.checkers.model import Znode
from pyzk.sim.options import LIVENESS, Options
from pyzk.sim.trace import Trace
from pyzk.sim.world import World


def healed(seed: int, *without_data: int) -> World:
    """Returns a world of three voters behind the end of its faults; the voters have a database,
    but for some."""
    world = World(Options(seed, mode=LIVENESS, is_declared_new=True), Trace())
    for sid in without_data:
        world.machines[sid].disk.is_new = False
    world.faults.heal()
    return world


def survivors(world: World) -> tuple[int, ...]:
    return tuple(each.sid for each in world.machines.values() if not each.is_left_broken)


def test_a_quorum_survives_and_not_much_more() -> None:
    drawn = {survivors(healed(seed)) for seed in range(30)}
    assert drawn == {(1, 2), (1, 3), (2, 3), (1, 2, 3)}


def test_a_voter_without_data_survives_only_beside_a_quorum_that_has_them() -> None:
    drawn = {survivors(healed(seed, 2)) for seed in range(30)}
    assert drawn == {(1, 3), (1, 2, 3)}


def test_a_voter_that_stays_broken_is_mended_where_the_others_have_lost_their_data() -> None:
    worlds = [healed(seed) for seed in range(30)]
    world = next(each for each in worlds if survivors(each) == (1, 2))
    assert [each.sid for each in world.faults.core()] == [1, 2]
    world.machines[2].disk.is_new = False
    assert [each.sid for each in world.faults.core()] == [1, 2, 3]


def test_in_the_end_lines_carry_a_snapshot_within_init_limit() -> None:
    rates = []
    for rate in (0, 10, 1000):
        options = Options(1, is_declared_new=True, line_bytes_ms=rate, init_limit=4, tick_ms=200)
        world = World(options, Trace())
        world.checks.model._pasts["/"].add(1, Znode(bytes(76_000), 0, 0, 0, 0))
        world.faults.heal()
        rates.append(options.line_bytes_ms)
    assert rates == [0, 400, 1000]


def test_in_the_end_a_session_outlives_its_own_beginning() -> None:
    latencies, syncs = [], []
    for timeout_ms in (400, 4000):
        options = Options(
            1,
            is_declared_new=True,
            latency_us=40_000,
            sync_us=40_000,
            session_timeout_ms=timeout_ms,
        )
        World(options, Trace()).faults.heal()
        latencies.append(options.latency_us)
        syncs.append(options.sync_us)
    assert latencies == [10_000, 40_000]
    assert syncs == [10_000, 40_000]


def test_an_administrator_proves_as_often_as_others_that_it_is_served() -> None:
    options = Options(1, admins=1, reconfig=True, reconfig_s=4.0, clients=1)
    world = World(options, Trace())
    for client in world.clients:
        client.prove()
    assert [client.think_ms for client in world.clients] == [options.think_ms] * 2
