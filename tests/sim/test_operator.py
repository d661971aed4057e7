"""What an operator knows of an ensemble, and where machines listen that are told to move."""

from __future__ import annotations

import attrs
import pytest

from pyzk.config.members import Membership, ServerAddress
from pyzk.quorum.commands import ListenForClients
from pyzk.quorum.epochs import CURRENT, save_epoch
from pyzk.quorum.lifecycle import ACTIVE, LOOKING, SETTLING
from pyzk.sim.network import CLIENT
from pyzk.sim.operator import PATIENCE
from pyzk.sim.options import LIVENESS, Options
from pyzk.sim.ports import REBIND_US
from pyzk.sim.settings import first_membership, usual_server
from pyzk.sim.trace import Trace
from pyzk.sim.world import World

FOUNDED = 0x100000000
CHANGED = 0x100000005


def world_of(voters: int) -> World:
    return World(Options(1, mode=LIVENESS, is_declared_new=True, voters=voters), Trace())


def without_the_last(world: World) -> tuple[Membership, Membership]:
    """Returns the first configuration of four, and one that removes the last; it is committed."""
    first = first_membership(world.options)
    founded = Membership(first.members, FOUNDED, first.groups, first.weights)
    changed = Membership(first.members[:3], CHANGED, first.groups, first.weights)
    world.checks.configs._add(founded)
    world.checks.configs._add(changed)
    return founded, changed


def test_who_knows_a_change_as_proposed_only_needs_a_quorum_of_the_one_before() -> None:
    """Whoever put it in force may have died before the others heard of it."""
    world = world_of(4)
    founded, changed = without_the_last(world)
    for sid in (1, 2, 3):
        saved = world.machines[sid].disk.config.saved
        saved.activate(founded)
        saved.propose(changed)
    operator = world.operator
    assert operator.needs_others([1, 3]) == [2, 4]
    assert operator.needs_others([1, 2, 3]) == []
    world.machines[2].disk.config.saved.activate(changed)
    assert operator.needs_others([1, 2]) == []
    assert operator.needs_others([1, 3]) == [2, 4]
    assert operator.needs_others([1]) == [2, 3, 2, 3, 4]


def test_a_change_needs_somebody_who_is_elected_and_has_enough_that_are_not_ahead() -> None:
    """In force is a configuration in which server 1 has no weight, and is never elected. A change
    is under way that has no weights, and needs three of the four."""
    world = world_of(4)
    lines = first_membership(world.options).members
    groups = (1, (1, 2)), (2, (3,)), (3, (4,))
    weights = (1, 0), (2, 1), (3, 1), (4, 1)
    in_force = Membership(lines, FOUNDED, groups, weights)
    world.checks.configs._add(in_force)
    for sid, zxid in (1, CHANGED + 2), (2, CHANGED), (3, FOUNDED), (4, FOUNDED):
        world.machines[sid].life = 1
        disk = world.machines[sid].disk
        disk.config.saved.activate(in_force)
        disk.durable_zxid = zxid
    operator = world.operator
    assert operator.can_go_on([1, 2, 4])
    world.machines[2].disk.config.saved.propose(Membership(lines, CHANGED))
    assert operator.needs_others([1, 2, 4]) == []
    assert not operator.can_go_on([1, 2, 4])
    assert operator.can_go_on([2, 3, 4])
    world.machines[1].disk.durable_zxid = CHANGED
    assert operator.can_go_on([1, 2, 4])
    save_epoch(world.machines[1].disk.snapshots, CURRENT, 2)
    assert operator.can_go_on([1, 2, 4])
    world.machines[1].disk.durable_zxid = FOUNDED
    assert not operator.can_go_on([1, 2, 4])


def test_nobody_is_lost_who_can_ask_those_that_are_left() -> None:
    """None of them has the newest configuration in force."""
    world = world_of(4)
    for sid in (1, 3):
        world.machines[sid].start()
    assert [*world.operator._found()] == [1, 3]
    without_the_last(world)
    assert [*world.operator._found()] == [1, 3]


def test_who_serves_reads_only_is_lost_if_it_knows_no_true_address() -> None:
    world = world_of(2)
    first = first_membership(world.options)
    elsewhere = attrs.evolve(first.members[0], addresses=(ServerAddress("h1b", 2888, 3888),))
    moved = Membership((elsewhere, first.members[1]), CHANGED)
    world.checks.configs._add(moved)
    world.machines[1].disk.config.saved.activate(moved)
    member = world.machines[2]
    for machine in (world.machines[1], member):
        machine.start()
    member.inputs._read_only()
    for phase in (SETTLING, ACTIVE):
        member.inputs.phase = phase
        assert not any(world.operator._is_lost(member) for _ in range(9)), "it asks nobody"
    member.inputs.phase = LOOKING
    assert [world.operator._is_lost(member) for _ in range(4)] == [False, False, False, True]


@pytest.mark.parametrize("is_proposed", [True, False])
def test_who_is_being_added_runs_although_it_may_not_have_heard_of_that(is_proposed: bool) -> None:
    world = World(Options(1, is_declared_new=True, voters=2, spares=1, reconfig=True), Trace())
    first, added = world.machines[1], world.machines[3]
    world.checks.configs._named[FOUNDED] = None
    first.disk.config.saved.activate(Membership(first_membership(world.options).members, FOUNDED))
    if is_proposed:
        joined = (*first_membership(world.options).members, usual_server(3, is_observer=False))
        first.disk.config.saved.propose(Membership(joined, CHANGED))
    first.start()
    operator = world.operator
    operator.is_over = True
    operator._tend(added)
    assert added.is_up == is_proposed
    operator.is_over = False
    runs = []
    for _ in range(100):
        operator._tend(added)
        runs.append(added.is_up)
    assert all(runs) == is_proposed


def test_a_port_opens_where_the_last_order_says() -> None:
    world = world_of(3)
    machine = world.machines[1]
    machine.start()
    for port in range(1, 21):
        machine.ports.listen_for_clients(ListenForClients("h1b", 2 * port))
        machine.ports.listen_for_clients(ListenForClients("h1", 2 * port + 1))
        world.run(world.now_us + 2 * REBIND_US)
        assert machine.ports.places(CLIENT) == (("h1", 2 * port + 1),)


def test_who_got_its_vote_behind_the_loss_of_its_data_is_initialized_if_it_is_needed() -> None:
    world = world_of(2)
    for sid, lost in ((2, ()), (2, (2,)), (1, ())):
        for machine in world.machines.values():
            machine.disk.is_new = machine.sid != 2
        world.checks.durability.lost = dict.fromkeys(lost)
        looks = [world.operator._must_be_initialized(world.machines[sid]) for _ in range(30)]
        assert looks == [sid == 2 and not lost and look >= PATIENCE for look in range(30)]


def test_who_is_not_needed_gets_its_data_from_a_leader() -> None:
    world = world_of(3)
    world.machines[3].disk.is_new = False
    assert not any(world.operator._must_be_initialized(world.machines[3]) for _ in range(30))


def test_who_has_removed_itself_is_started_again_if_the_others_need_it() -> None:
    """They have only seen the change, and need a quorum of the configuration before."""
    world = world_of(2)
    first = first_membership(world.options)
    founded = Membership(first.members, FOUNDED)
    alone = Membership(first.members[:1], CHANGED)
    world.checks.configs._add(founded)
    world.checks.configs._add(alone)
    files = world.machines[1].disk.config.saved
    files.activate(founded)
    files.propose(alone)
    world.machines[2].disk.config.saved.activate(alone)
    world.machines[1].start()
    started = []
    for is_over in (False, True):
        world.operator.is_over = is_over
        world.operator._tend(world.machines[2])
        started.append(world.machines[2].is_up)
    assert started == [False, True]
    assert world.machines[2].ensemble.membership.version == 0


def test_who_is_a_quorum_by_itself_as_far_as_it_knows_loses_no_data() -> None:
    """It would ask nobody before it begins a new database."""
    world = World(Options(1, is_declared_new=True, voters=2, spares=1, reconfig=True), Trace())
    first = first_membership(world.options)
    machine = world.machines[3]
    machine.life = 1
    mine = usual_server(3, is_observer=False)
    machine.disk.config.write_by_hand(Membership((*first.members, mine), 0))
    assert world.operator.may_lose_data(3)
    machine.disk.config.write_by_hand(Membership((mine,), 0))
    assert not world.operator.may_lose_data(3)
