"""What goes wrong, and when it ends.

Pure. Each kind of fault that the options switch on comes again and again after random times, and
ends by itself. ``heal`` ends all of them for a core of machines; in safety mode the core is all
machines.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final, Protocol

from pyzk.quorum.verifier import verifier_of
from pyzk.sim.checks import Checks
from pyzk.sim.clients import SimClient
from pyzk.sim.machine import Machine
from pyzk.sim.network import ELECTION, OBSERVERS, QUORUM
from pyzk.sim.operator import Operator
from pyzk.sim.options import LIVENESS, Options
from pyzk.sim.surroundings import Surroundings

HOUR_MS: Final = 3_600_000
SNAPSHOT_BYTES: Final = 4000
"""What a snapshot has beside paths and data; about."""


class FaultyWorld(Surroundings, Protocol):
    """What faults hit, in the world."""

    checks: Checks
    machines: dict[int, Machine]
    clients: list[SimClient]
    client_targets: list[int]
    operator: Operator


class Faults:
    """The nemesis of one run."""

    def __init__(self, world: FaultyWorld, rng: Random) -> None:
        self.world = world
        self.rng = rng
        self.options: Options = world.options
        self.is_over = False
        self.count = 0

    def begin(self) -> None:
        """Let things go wrong from now on."""
        options = self.options
        has_links = options.machines > 1
        for seconds, fault in (
            (options.crash_s, self._crash),
            (options.disk_error_s, self._disk_error),
            (options.partition_s * has_links, self._partition),
            (options.one_way_s * has_links, self._one_way),
            (options.cut_s, self._cut),
            (options.stall_s, self._stall),
            (options.pause_s, self._pause),
            (options.clock_s, self._clock),
            (options.slow_s, self._slow),
            (options.wipe_s, self._wipe),
            (options.all_down_s, self._all_down),
            (options.port_s * has_links, self._port),
            (options.lost_s, self._lose),
            (options.save_error_s, self._save_error),
            (options.master_s, self._master),
        ):
            if seconds:
                self._again(seconds, fault)

    def _again(self, seconds: float, fault: Callable[[], object]) -> None:
        def act() -> None:
            if not self.is_over:
                self.count += 1
                fault()
                self._again(seconds, fault)

        self._later(int(self.rng.expovariate(1 / seconds) * 1e6) + 1000, act)

    def _later(self, delay_us: int, action: Callable[[], object]) -> None:
        self.world.at(self.world.now_us + delay_us, action)

    def _us(self, least_ms: int, most_ms: int) -> int:
        return self.rng.randint(least_ms * 1000, most_ms * 1000)

    def _machine(self) -> Machine:
        return self.rng.choice(list(self.world.machines.values()))

    def _say(self, text: str) -> None:
        self.world.say(None, f"! {text}")

    # --- crashes --------------------------------------------------------------------

    def arm(self, machine: Machine) -> None:
        """Plan crashes between the steps of a machine that starts."""
        options, rng = self.options, self.rng
        machine.steps_to_crash = machine.disk.steps_to_crash = 0
        if self.is_over:
            return
        if options.crash_point_steps:
            machine.steps_to_crash = 1 + int(rng.expovariate(1 / options.crash_point_steps))
        if options.disk_point_steps:
            machine.disk.steps_to_crash = 1 + int(rng.expovariate(1 / options.disk_point_steps))

    def crash(self, machine: Machine, why: str) -> None:
        """Crash a machine now, and start it again later."""
        if machine.is_up or machine.is_powered:
            machine.crash(is_power_lost=self.rng.random() < 0.5, why=why)
        self._restart_later(machine)

    def stopped(self, machine: Machine, why: str) -> None:
        """Take notice that a program has ended itself, and start it again later."""
        machine.crash(is_power_lost=False, why=why)
        self._restart_later(machine)

    def _restart_later(self, machine: Machine) -> None:
        delay_us = self._us(10, 300) if self.rng.random() < 0.6 else self._us(300, 5000)
        self._later(delay_us, partial(self._restart, machine, machine.life))

    def _restart(self, machine: Machine, life: int) -> None:
        if machine.life == life and not machine.is_up and not machine.is_left_broken:
            self.start(machine)

    def start(self, machine: Machine) -> None:
        """Switch a machine on, and start its program."""
        machine.power_on()
        self.arm(machine)
        machine.start()

    def _crash(self) -> None:
        machine = self._machine()
        if machine.is_up:
            self.crash(machine, "crash")

    def _all_down(self) -> None:
        self._say("everything loses power")
        for machine in self.world.machines.values():
            if not machine.life:
                continue
            if machine.is_up:
                machine.crash(is_power_lost=True, why="blackout")
            elif machine.is_powered:
                machine.is_powered = False
            machine.life += 1
            self._restart_later(machine)

    def _wipe(self) -> None:
        """Let a machine lose its data that nobody counts as a voter."""
        operator = self.world.operator
        candidates = [sid for sid in self.world.machines if operator.may_lose_data(sid)]
        if candidates:
            self._lose_data(self.world.machines[self.rng.choice(candidates)])

    def _lose(self) -> None:
        """Let a voter lose its data, some time after it has lost its power: by then it no longer
        counts as one of those that can make a quorum of a new configuration."""
        options, checks = self.options, self.world.checks
        machine = self.world.machines[self.rng.choice(checks.configs.newest.voters)]
        if not machine.is_up:
            return
        machine.crash(is_power_lost=True, why="crash")
        life = machine.life
        noticed_us = 2 * options.tick_ms * (options.init_limit + options.sync_limit) * 1000

        def act() -> None:
            if machine.life != life or machine.is_up or machine.is_left_broken:
                return
            # It does not vote until it has the data of a leader, so one of the others that have
            # theirs must find a quorum among them, or nobody would ever lead again.
            others = self._with_data([sid for sid in self.world.machines if sid != machine.sid])
            operator = self.world.operator
            can_lose = operator.asks_others(machine.sid) and operator.can_go_on(others)
            if not self.is_over and can_lose:
                checks.durability.lost[machine.sid] = None
                self._remove_data(machine)
            self._restart(machine, life)

        self._later(noticed_us, act)

    def _with_data(self, sids: list[int]) -> list[int]:
        """Returns those of these machines that have a database: the others do not vote yet."""
        return [sid for sid in sids if self.world.machines[sid].disk.has_data]

    def _lose_data(self, machine: Machine) -> None:
        if machine.is_up:
            machine.crash(is_power_lost=True, why="crash")
            self._remove_data(machine)
            self._restart_later(machine)

    def _remove_data(self, machine: Machine) -> None:
        self.world.operator.lose_data(machine)
        self.world.say(machine, "! its data are lost")

    def established(self, machine: Machine) -> None:
        """Plan a crash of a leader that has begun to serve, if leaders die early in this run."""
        seconds = self.options.leader_down_s
        if seconds and not self.is_over:
            life = machine.life

            def act() -> None:
                if machine.is_up and machine.life == life and not self.is_over:
                    self.count += 1
                    self.crash(machine, "crash of the leader")

            self._later(int(self.rng.random() * seconds * 1e6), act)

    # --- disks ----------------------------------------------------------------------

    def _disk_error(self) -> None:
        machine = self._machine()
        if machine.is_up:
            self.world.say(machine, "! its disk begins to fail")
            machine.disk.is_failing = True

    def _save_error(self) -> None:
        """Let the configuration directory of a machine be read-only for a while."""
        files = (machine := self._machine()).disk.config
        if not machine.is_up or files.is_read_only or not files.names_a_file:
            return
        self.world.say(machine, "! its configuration directory cannot be written")
        files.is_read_only = True
        self._later(self._us(300, 6000), partial(self._writable, machine))

    def _writable(self, machine: Machine) -> None:
        if machine.disk.config.is_read_only:
            self.world.say(machine, "its configuration directory can be written")
            machine.disk.config.is_read_only = False

    # --- the network ----------------------------------------------------------------

    def _hosts(self) -> list[int]:
        return [*self.world.machines, *(client.key for client in self.world.clients)]

    def _partition(self) -> None:
        rng, network = self.rng, self.world.network
        members = list(self.world.machines)
        size = rng.randint(1, len(members) - 1)
        side = set(rng.sample(members, size))
        apart = [key for key in self._hosts() if key in side or (key > 100 and rng.random() < 0.3)]
        rest = [key for key in self._hosts() if key not in apart]
        self._say(f"partition: {_names(apart)} | {_names(rest)}")
        pairs = [(one, other) for one in apart for other in rest]
        for one, other in pairs:
            network.block(one, other)
            network.block(other, one)
        self._later(self._us(200, 5000), partial(self._unblock, pairs, both=True))

    def _one_way(self) -> None:
        rng, network = self.rng, self.world.network
        members = list(self.world.machines)
        one = rng.choice(members)
        others = [each for each in members if each != one]
        if rng.random() < 0.5:
            others = [rng.choice(others)]
        pairs = [(one, other) for other in others]
        if rng.random() < 0.5:
            pairs = [(other, one) for one, other in pairs]
        self._say("nothing passes " + " ".join(f"h{a}->h{b}" for a, b in pairs))
        for source, target in pairs:
            network.block(source, target)
        self._later(self._us(200, 6000), partial(self._unblock, pairs, both=False))

    def _unblock(self, pairs: list[tuple[int, int]], *, both: bool) -> None:
        if self.is_over:
            return
        self._say("healed: " + " ".join(f"h{a}->h{b}" for a, b in pairs[:6]))
        for one, other in pairs:
            self.world.network.unblock(one, other)
            if both:
                self.world.network.unblock(other, one)

    def _port(self) -> None:
        """Let one port of a member be out of reach for some or all others, who still hear of it."""
        rng, network = self.rng, self.world.network
        target = rng.choice(list(self.world.machines))
        kinds = [QUORUM, QUORUM, ELECTION]
        if self.options.observer_masters:
            kinds += [OBSERVERS, OBSERVERS]
        kind = rng.choice(kinds)
        others = [each for each in self.world.machines if each != target]
        if rng.random() < 0.5:
            others = rng.sample(others, rng.randint(1, len(others)))
        self._say(f"the {kind} port of h{target} cannot be reached from {_names(others)}")
        for other in others:
            network.block_kind(other, target, kind)

        def heal() -> None:
            if not self.is_over:
                self._say(f"the {kind} port of h{target} can be reached")
                for other in others:
                    network.unblock_kind(other, target, kind)

        self._later(self._us(200, 6000), heal)

    def _cut(self) -> None:
        sockets = list(self.world.network.sockets)
        if sockets:
            socket = self.rng.choice(sockets)
            self._say(f"connection cut: h{socket.host.key} - h{socket.peer.host.key}")
            self.world.network.cut(socket)

    def _stall(self) -> None:
        sockets = list(self.world.network.sockets)
        if sockets:
            socket = self.rng.choice(sockets)
            self._say(f"stalled: h{socket.host.key} -> h{socket.peer.host.key}")
            self.world.network.stall(socket, self._us(50, 4000))

    def _master(self) -> None:
        """Let one whom observers follow be away or out of their reach."""
        rng, network, machines = self.rng, self.world.network, self.world.machines
        sockets = [each for each in network.sockets if each.kind == OBSERVERS]
        masters = [each for each in sockets if machines[each.host.key].ports.places(OBSERVERS)]
        if not masters:
            return
        socket = rng.choice(masters)
        machine = machines[socket.host.key]
        how = rng.choice(("killed", "paused", "cut", "stalled"))
        if how == "killed":
            self.crash(machine, "crash of an observer master")
        elif how == "paused":
            self._pause_for_a_while(machine)
        elif how == "cut":
            self._say(f"connection cut: h{machine.sid} - its observer h{socket.peer.host.key}")
            network.cut(socket)
        else:
            self._say(f"stalled: h{machine.sid} -> its observer h{socket.peer.host.key}")
            network.stall(socket, self._us(50, 4000))

    # --- machines -------------------------------------------------------------------

    def _pause(self) -> None:
        self._pause_for_a_while(self._machine())

    def _pause_for_a_while(self, machine: Machine) -> None:
        if machine.is_up and not machine.is_paused:
            machine.pause()
            self._later(self._us(50, 5000), partial(self._resume, machine, machine.life))

    def _resume(self, machine: Machine, life: int) -> None:
        if machine.life == life and not machine.is_left_broken:
            machine.resume()

    def _clock(self) -> None:
        machine = self._machine()
        offset = self.rng.choice((-HOUR_MS, -10_000, -500, 500, 10_000, HOUR_MS))
        machine.wall_offset_ms += offset
        self.world.say(machine, f"! its wall clock jumps by {offset} ms")

    def _slow(self) -> None:
        machine = self._machine()
        if self.rng.random() < 0.5:
            machine.slowness = self.rng.choice((5, 20, 100))
            self.world.say(machine, "! its network is slow")
        else:
            machine.disk.slowness = self.rng.choice((5, 20, 100))
            self.world.say(machine, "! its disk is slow")
        self._later(self._us(500, 4000), partial(self._fast, machine))

    def _fast(self, machine: Machine) -> None:
        machine.slowness = machine.disk.slowness = 1

    # --- the end --------------------------------------------------------------------

    def heal(self) -> None:
        """End all faults for a core of machines; the others stay as they are, or worse."""
        world, options = self.world, self.options
        self.is_over = world.operator.is_over = True
        machines = world.machines
        core = list(machines)
        if options.mode == LIVENESS:
            core = self._core()
        left = [sid for sid in machines if sid not in core]
        self._say(f"healed: {_names(core)}; left as they are: {_names(left)}")
        options.spikes = options.slow_syncs = 0.0
        most_us = _most_delay_us(options)
        options.latency_us = min(options.latency_us, most_us)
        options.sync_us = min(options.sync_us, most_us)
        options.socket_bytes = max(options.socket_bytes, 1 << 14)
        if options.line_bytes_ms:
            options.line_bytes_ms = max(options.line_bytes_ms, self._needed_rate())
        network = world.network
        network.unblock_all()
        # Not both in one run: votes for a mute member could come by way of a deaf one.
        one_way = self.rng.choice(("mute", "deaf"))
        for sid in left:
            self._leave_broken(machines[sid], core, one_way)
        for pipe in [socket.outgoing for socket in network.sockets]:
            pipe.stalled_until = 0
        world.client_targets = core
        for sid in core:
            self._mend(machines[sid])

    def _needed_rate(self) -> int:
        """Return how much a line must carry in a millisecond: where a snapshot takes longer than
        initLimit it never arrives, as docs/operations.md says."""
        options = self.options
        size = self.world.checks.model.data_bytes + SNAPSHOT_BYTES
        return 4 * size // (options.init_limit * options.tick_ms)

    def _mend(self, machine: Machine) -> None:
        machine.slowness = machine.disk.slowness = 1
        machine.disk.is_failing = machine.disk.config.is_read_only = False
        machine.steps_to_crash = machine.disk.steps_to_crash = 0
        machine.resume()
        if not machine.is_up and machine.life:
            self._later(self._us(1, 500), partial(self._restart, machine, machine.life))

    def core(self) -> list[Machine]:
        """Return the members that have to serve in the end; called after `heal`. If a change of the
        configuration needs one that stays broken, that one is mended, too."""
        world = self.world
        machines = world.machines
        members = world.checks.configs.newest.members
        core = [each.sid for each in members if not machines[each.sid].is_left_broken]
        needed = world.operator.needs_others(self._with_data(core))
        for sid in needed:
            machine = machines[sid]
            if machine.is_left_broken:
                self.world.say(machine, "is mended, for a change needs it")
                machine.is_left_broken = False
                for other in machines:
                    world.network.unblock(sid, other)
                    world.network.unblock(other, sid)
                self._mend(machine)
                core.append(sid)
                break
        world.client_targets = core
        return [machines[sid] for sid in core]

    def _core(self) -> list[int]:
        """Return the members that survive: a quorum, also of a change that may be under way, with
        one who can lead it, not much more, and perhaps an observer."""
        rng, options, operator = self.rng, self.options, self.world.operator
        configs = self.world.checks.configs
        newest = configs.newest
        changes = configs.under_way()
        sids = list(
            dict.fromkeys([*newest.voters, *(sid for each in changes for sid in each.voters)])
        )
        rng.shuffle(sids)
        core: list[int] = []
        verifiers = [configs.verifiers[-1], *map(verifier_of, changes)]
        for sid in sids:
            is_alone = not options.leader_serves and len(core) == 1
            with_data = self._with_data(core)
            has_quorum = all(verifier.has_quorum(with_data) for verifier in verifiers)
            has_quorum = has_quorum and operator.can_go_on(with_data)
            if not has_quorum or is_alone or rng.random() < 0.15:
                core.append(sid)
        core += [sid for sid in newest.observers if sid not in core and rng.random() < 0.7]
        return sorted(core)

    def _leave_broken(self, machine: Machine, core: list[int], one_way: str) -> None:
        machine.is_left_broken = True
        how = self.rng.choice(("down", "paused", "apart", one_way))
        network = self.world.network
        self.world.say(machine, f"! stays {how}")
        if how == "down":
            machine.crash(is_power_lost=self.rng.random() < 0.5)
            return
        if how == "paused" and machine.is_up and not machine.is_paused:
            machine.pause()
        if not machine.is_up and how != "paused":
            machine.power_on()
            machine.start()
        for sid in core:
            if how in ("apart", "mute"):
                network.block(machine.sid, sid)
            if how in ("apart", "deaf"):
                network.block(sid, machine.sid)


def _most_delay_us(options: Options) -> int:
    """Return how long a packet, and a sync, may take so that a session outlives its own beginning:
    that is a write through a follower, with a connection before it, and a client gives a server up
    after two thirds of the session's timeout. Disks that take longer never come to the end of what
    waits for them: while it waits, clients give up and ask for other sessions."""
    return options.session_timeout_ms * 1000 // 40


def _names(keys: list[int]) -> str:
    return " ".join(f"h{key}" if key < 100 else f"c{key - 101}" for key in keys)
