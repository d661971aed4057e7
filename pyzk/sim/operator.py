"""Who looks after the machines: starts those that are to join, stops those that have left.

Pure. An operator knows what an operator can find out by looking at every machine. He follows the
rules of docs/operations.md, without which changes of the configuration are not safe:

- The files of a server that is to join name the present members and itself, and no other that is
  to join.
- A machine gives up its data only when no other machine, running or not, counts it as a voter.
- A member that nobody can find any more, for all addresses that it knows are out of date, is given
  the present lines.
- A server whose addition is under way runs: the change may wait for it.
- A server that had no vote when it lost its data, and got one before it had any again, is started
  with --initialize if those that have data are no quorum without it: it has acknowledged nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final, Protocol

from pyzk.config.members import Membership, QuorumServer
from pyzk.quorum.lifecycle import LOOKING
from pyzk.quorum.verifier import verifier_of
from pyzk.sim.changes import drawn_server
from pyzk.sim.checks import Checks
from pyzk.sim.machine import Machine
from pyzk.sim.network import ELECTION
from pyzk.sim.settings import usual_server
from pyzk.sim.surroundings import Surroundings

LEAST_US: Final = 200_000
MOST_US: Final = 1_500_000
PATIENCE: Final = 25
"""How often an operator sees a server without data before it is taken for one that gets none."""


class OperatedWorld(Surroundings, Protocol):
    """What an operator sees, and whom he asks to start a machine."""

    checks: Checks
    machines: dict[int, Machine]
    client_targets: list[int]

    def start(self, machine: Machine) -> None:
        """Switches a machine on, and starts its program."""
        ...


class Operator:
    """The operator of one run."""

    def __init__(self, world: OperatedWorld, rng: Random) -> None:
        self.world = world
        self.rng = rng
        self.is_over = False
        """Whether nothing goes wrong any more, and all that is left to do is to help members."""
        self._away: dict[int, None] = {}
        """The machines that the operator has stopped, or not started yet."""
        self._lost: dict[int, int] = {}
        """Machine -> how often in a row it was seen to know no address that is true."""
        self._empty: dict[int, int] = {}
        """Machine -> how often in a row it was seen without data in the end."""

    def begin(self) -> None:
        """Looks at the machines now and then from now on."""
        options = self.world.options
        for sid in range(options.members + 1, options.machines + 1):
            self._away[sid] = None
        self._again()

    def _again(self) -> None:
        world = self.world
        delay_us = LEAST_US if self.is_over else self.rng.randint(LEAST_US, MOST_US)
        world.at(world.now_us + delay_us, self._look)

    def _look(self) -> None:
        for machine in self.world.machines.values():
            if not machine.is_left_broken:
                self._tend(machine)
        self._again()

    def _tend(self, machine: Machine) -> None:
        rng = self.rng
        sid = machine.sid
        member = self.world.checks.configs.newest.member(sid)
        if machine.is_up:
            if member is None and not self.is_over and rng.random() < 0.1:
                if not self._is_proposed(sid):
                    self._stop(machine)
            elif member is not None and self.is_over and self._is_lost(machine):
                self._write(machine)
                machine.crash(is_power_lost=False, why="stopped, for its lines are out of date")
                self.world.start(machine)
            elif self.is_over and self._must_be_initialized(machine):
                machine.crash(is_power_lost=False, why="stopped, for --initialize")
                machine.disk.is_new = True
                self.world.start(machine)
            return
        if sid not in self._away and machine.is_member_in_files:
            return  # it has crashed, and comes back by itself
        self._away[sid] = None
        if member is not None:
            if not machine.is_member_in_files:
                self._write(machine)
            self._start(machine)
        elif self._is_proposed(sid) and not machine.disk.config.unsaved:
            # The change that adds it may wait for it, and it may not have heard of that.
            self._write(machine)
            self._start(machine)
        elif not self.is_over and rng.random() < 0.3 and not self._is_proposed(sid):
            if machine.life and rng.random() < 0.5 and self.may_lose_data(sid):
                self.world.say(machine, "its data are removed")
                self.lose_data(machine)
            self._write(machine)
            self._start(machine)

        elif self.is_over and self._is_needed(sid):
            # It has removed itself, and those that are left have not heard that this is so.
            self._write(machine)
            self._start(machine)

    def _is_needed(self, sid: int) -> bool:
        """Tells whether the machines that run cannot go on without this one."""
        machines = self.world.machines.values()
        running = [each.sid for each in machines if each.is_up and not each.is_left_broken]
        return bool(running) and sid in self.needs_others(running)

    def _stop(self, machine: Machine) -> None:
        """Stops a machine that is no member, which may come back."""
        self._away[machine.sid] = None
        machine.crash(is_power_lost=False, why="stopped, as it is no member")
        if machine.sid in self.world.client_targets:
            self.world.client_targets.remove(machine.sid)

    def _start(self, machine: Machine) -> None:
        del self._away[machine.sid]
        if machine.sid not in self.world.client_targets and not self.is_over:
            self.world.client_targets.append(machine.sid)
        self.world.start(machine)

    def _write(self, machine: Machine) -> None:
        """Writes the configuration files of a machine anew: the present members and itself."""
        rng, sid = self.rng, machine.sid
        newest = self.world.checks.configs.newest
        members = {member.sid: member for member in newest.members}
        if sid not in members:
            # In groups every participant has its place.
            is_observer = bool(newest.groups) or rng.random() < 0.5
            members[sid] = (
                usual_server(sid, is_observer=is_observer)
                if rng.random() < 0.6
                else drawn_server(sid, rng, is_observer=is_observer)
            )
        lines = tuple(members[each] for each in sorted(members))
        config = Membership(lines, 0, newest.groups, newest.weights)
        self.world.say(machine, f"is told of {_names(lines)}")
        machine.disk.config.write_by_hand(config)
        self.world.checks.configs.written_by_hand(sid, config)

    def _is_proposed(self, sid: int) -> bool:
        """Tells whether a change that may still be made has a server as a voter."""
        newest = self.world.checks.configs.newest.version
        return any(
            sid in config.voters and config.version > newest
            for machine in self.world.machines.values()
            for config in _known(machine)
        )

    # --- data -----------------------------------------------------------------------

    def may_lose_data(self, sid: int) -> bool:
        """Tells whether no machine but itself counts a server as a voter."""
        if sid in self.world.checks.configs.newest.voters or not self.asks_others(sid):
            return False
        others = [each for each in self.world.machines.values() if each.sid != sid]
        return not any(sid in config.voters for each in others for config in _known(each))

    def asks_others(self, sid: int) -> bool:
        """Tells whether a server that finds no data asks others before it begins a new database: it
        does not if it is a quorum by itself, as far as its files know."""
        known = _known(self.world.machines[sid])
        return not any(verifier_of(each).has_quorum([sid]) for each in known)

    def lose_data(self, machine: Machine) -> None:
        """Removes the data directory of a machine that does not run."""
        machine.disk.wipe()
        self.world.checks.wiped(machine)

    def _must_be_initialized(self, machine: Machine) -> bool:
        """Tells whether nobody can lead without the vote of a server that has had no data for a
        while, and had none when it got its vote."""
        if machine.disk.has_data or machine.sid in self.world.checks.durability.lost:
            self._empty[machine.sid] = 0
            return False
        self._empty[machine.sid] = self._empty.get(machine.sid, 0) + 1
        if self._empty[machine.sid] <= PATIENCE:
            return False
        with_data = [
            each.sid
            for each in self.world.machines.values()
            if each.disk.has_data and not each.is_left_broken
        ]
        return machine.sid in self.needs_others(with_data)

    # --- members that nobody can find -----------------------------------------------

    def _is_lost(self, machine: Machine) -> bool:
        """Tells whether a member has known no true address for a while. It may serve reads. As long
        as it waits for its disk, or has a role and has not begun to serve, it asks nobody."""
        server = machine.peer.server
        has_leader = server.is_running and not server.is_read_only
        if machine.inputs.phase != LOOKING and not has_leader:
            return False
        is_lost = not has_leader and machine.sid not in self._found()
        count = self._lost[machine.sid] = self._lost.get(machine.sid, 0) + 1 if is_lost else 0
        return count > 3

    def _found(self) -> dict[int, None]:
        """Returns the machines that have the latest configuration in force, and those that can ask
        one of them, and so on. A member asks those that are voters as far as it knows.

        It may be an earlier one than the newest: who has put that in force may have crashed before
        anybody heard of it. Then the others do so when they have elected.
        """
        machines = [
            each for each in self.world.machines.values() if each.is_up and not each.is_left_broken
        ]
        latest = self._latest_in_force(machines).lines()
        found = {each.sid: None for each in machines if each.member.membership.lines() == latest}
        before = -1
        while len(found) != before:
            before = len(found)
            for machine in machines:
                if machine.sid not in found and any(
                    line.sid in found and self._is_there(line)
                    for config in _known(machine)
                    for line in config.members
                    if not line.is_observer
                ):
                    found[machine.sid] = None
        return found

    def _is_there(self, line: QuorumServer) -> bool:
        """Tells whether a server listens where this line says."""
        ports = self.world.machines[line.sid].ports
        return any(
            ports.accepts_at(ELECTION, each.host, each.election_port) for each in line.addresses
        )

    def needs_others(self, sids: list[int]) -> list[int]:
        """Returns voters without whose help these machines cannot go on; none if they can. For each
        change that one of them knows, and does not know to be in force, they need two quorums."""
        needed: list[int] = []
        machines = [self.world.machines[sid] for sid in sids]
        newest = self.world.checks.configs.newest
        # Each version has one content, and most machines have the same ones.
        later = {
            config.version: config
            for machine in machines
            for config in _known(machine)
            if config.version > newest.version
        }
        for config in (newest, self._latest_in_force(machines), *later.values()):
            if not verifier_of(config).has_quorum(sids):
                needed += [sid for sid in config.voters if sid not in sids]
        return needed

    def can_go_on(self, sids: list[int]) -> bool:
        """Tells whether one of these machines, which have data, can lead: it is elected only if it
        has a weight in the configuration in force, and nobody follows it who is ahead of it. So
        those that are not must be enough for each change that is under way."""
        machines = self.world.machines
        in_force = verifier_of(self._latest_in_force([machines[sid] for sid in sids]))
        histories = {sid: machines[sid].disk.history for sid in sids}
        return any(
            in_force.weight(leader)
            and not self.needs_others([sid for sid in sids if not _is_ahead(histories[sid], own)])
            for leader, own in histories.items()
        )

    def _latest_in_force(self, machines: list[Machine]) -> Membership:
        """Returns the latest configuration that one of these machines has in force; the newest of
        all if it is that."""
        newest = self.world.checks.configs.newest
        latest = max(map(_in_force, machines), key=lambda each: each.version, default=newest)
        return latest if latest.version < newest.version else newest


def _known(machine: Machine) -> Iterator[Membership]:
    """Yields the configurations that a machine has in memory and in its files."""
    configs = machine.configs
    if configs is not None:
        yield configs.committed
        yield configs.last_seen
    if machine.life:
        committed, last_seen = machine.disk.config.known()
        yield committed
        if last_seen is not None:
            yield last_seen
        yield from machine.disk.config.unsaved.values()


def _in_force(machine: Machine) -> Membership:
    """Returns the configuration by which a machine goes, or will go when it is started."""
    configs = machine.configs
    return configs.committed if configs is not None else machine.disk.config.known()[0]


def _is_ahead(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tells whether a history is ahead of another one; a last zxid has one past."""
    return one[1] != other[1] and one > other


def _names(lines: tuple[QuorumServer, ...]) -> str:
    return " ".join(f"h{line.sid}{':observer' * line.is_observer}" for line in lines)
