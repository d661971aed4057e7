"""Elections of whole ensembles under faults, from seeds: no two leaders, and in the end one."""

from __future__ import annotations

import pytest

from tests.quorum.election_world import World

SETTLES_WITHIN_MS = 20_000
"""After the last fault: dead connections are noticed, intervals are at their longest, a leader that
nobody follows gives up. Then it is a matter of two rounds."""


def run(seed: int, voters: int, observers: int = 0, faults: int = 25) -> World:
    """A life of faults, then none until everybody is with one leader."""
    world = World(seed, voters, observers)
    for _ in range(faults):
        world.run(world.rng.randint(0, 1500))
        world.fault()
    world.heal()
    assert world.run(SETTLES_WITHIN_MS, world.is_settled), "\n".join(world.trace[-60:])
    return world


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("voters", "observers"), [(3, 0), (3, 1), (5, 0), (7, 1)])
def test_one_leader_for_each_epoch_and_a_leader_in_the_end(
    voters: int, observers: int, seed: int
) -> None:
    world = run(seed, voters, observers)
    assert world.leaders


@pytest.mark.parametrize("voters", [1, 2, 3, 5, 7])
def test_without_faults_one_round_elects_within_a_second(voters: int) -> None:
    world = World(voters, voters)
    assert world.run(1000, world.is_settled), "\n".join(world.trace)
    assert len(world.leaders) == 1


def test_the_same_seed_gives_the_same_trace() -> None:
    first, again, other = run(3, 5).trace, run(3, 5).trace, run(4, 5).trace
    assert first == again
    assert first != other


def test_a_minority_elects_nobody() -> None:
    world = World(1, 5)
    world.run(5000, world.is_settled)
    epochs = len(world.leaders)
    for one in (1, 2):
        for other in (3, 4, 5):
            world.block(one, other)
            world.block(other, one)
    world.run(20_000)
    assert all(world.nodes[sid].state == 0 for sid in (1, 2))
    assert len(world.leaders) == epochs, "the majority had the leader and kept it"
    world.heal()
    assert world.run(SETTLES_WITHIN_MS, world.is_settled)


def test_after_the_leader_s_crash_the_rest_elect_within_the_time_of_two_silences() -> None:
    world = World(1, 5)
    world.run(5000, world.is_settled)
    leader = next(node for node in world.nodes.values() if node.state == 2)
    world.run(1000)
    leader.crash()
    for node in world.nodes.values():
        if node.is_up:
            node.look()  # as if the broken link had told them
    before = world.clock.now_ms
    epochs = len(world.leaders)
    assert world.run(1000, lambda: len(world.leaders) > epochs)
    assert world.clock.now_ms - before < 500
