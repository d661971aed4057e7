"""Which machines a run goes on with when its faults end."""

from __future__ import annotations

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
