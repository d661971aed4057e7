"""The configuration files of a simulated machine, and what it could not save there."""

from __future__ import annotations

from pyzk.config.ensemble import EnsembleConfig
from pyzk.config.members import Membership
from pyzk.quorum.commands import SaveConfig
from pyzk.sim.config_files import MachineFiles
from pyzk.sim.options import Options
from pyzk.sim.settings import OBSERVER_PORT, usual_server
from pyzk.sim.trace import Trace
from pyzk.sim.world import World
from pyzk.zxid import make


def members(*sids: int, version: int = 0) -> Membership:
    return Membership(tuple(usual_server(sid, is_observer=False) for sid in sids), version)


def written(options: Options, sid: int = 1) -> MachineFiles:
    files = MachineFiles(sid, options)
    files.write_by_hand(members(1, 2, 3))
    return files


def test_what_is_written_is_read_whenever_it_changes() -> None:
    files = written(Options(1, reconfig=True))
    assert files.known() == (members(1, 2, 3), None)
    first, later = members(1, 2, 3, version=make(1, 1)), members(1, 2, version=make(1, 2))
    files.saved.activate(first)
    assert files.known() == (first, None)
    files.saved.propose(later)
    assert files.known() == (first, later)
    files.saved.activate(later)
    assert files.known() == (later, None)
    found = files.read()
    assert isinstance(found, EnsembleConfig)
    assert found.membership == later


def test_members_are_told_of_the_port_for_observers_but_for_some() -> None:
    options = Options(1, observer_masters=True, masterless=(2,))
    ports = []
    for sid in (1, 2):
        found = written(options, sid).read()
        assert found is not None
        ports.append(found.observer_master_port)
    assert ports == [OBSERVER_PORT, 0]


def test_what_cannot_be_saved_is_known_by_the_log_alone() -> None:
    files = written(Options(1, reconfig=True))
    names_a_file = [files.names_a_file]
    first, second, third = (members(1, 2, version=make(1, each)) for each in (1, 2, 3))
    files.saved.activate(first)
    names_a_file.append(files.names_a_file)
    assert names_a_file == [False, True]
    for config in (second, third):
        files.tried(config, is_saved=False)
    assert files.version == third.version
    files.log_read(second.version)
    assert files.version == second.version
    files.tried(second, is_saved=True)
    assert files.version == first.version
    files.tried(third, is_saved=False)
    files.write_by_hand(members(1, 2, 3))
    assert files.version == 0


def test_a_configuration_that_cannot_be_saved_is_saved_later_and_stops_nobody() -> None:
    world = World(Options(1, reconfig=True), Trace())
    machine = world.machines[1]
    world.start(machine)
    disk, member = machine.disk, machine.member
    disk.config.is_read_only = True
    config = members(1, 2, 3, version=make(1, 1))
    machine.act(member.order, SaveConfig(member.ticket(), config, is_active=True))
    world.run(500_000)
    assert machine.is_up
    assert disk.config.known() == (members(1, 2, 3), None)
    assert list(disk.config.unsaved) == [config.version]
    disk.config.is_read_only = False
    world.run(3_000_000)
    assert disk.config.known() == (config, None)
    assert not disk.config.unsaved


def test_a_zoo_cfg_that_cannot_be_copied_keeps_nobody_from_starting() -> None:
    world = World(Options(1, reconfig=True), Trace())
    machine = world.machines[1]
    machine.disk.config.write_by_hand(members(1, 2, 3))
    machine.disk.config.is_read_only = True
    world.start(machine)
    assert machine.is_up
    assert machine.disk.config.known() == (members(1, 2, 3), None)
