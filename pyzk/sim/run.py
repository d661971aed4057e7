"""One run: a seed, its faults, the healing, and the result.

Pure.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from pyzk.sim.checkers import Violation
from pyzk.sim.disk import SimDisk
from pyzk.sim.machine import Machine
from pyzk.sim.options import Options, draw
from pyzk.sim.trace import Trace
from pyzk.sim.world import DiskMaker, MachineMaker, World


@dataclass
class Result:
    """The outcome of a run, and its numbers."""

    options: Options
    violation: str = ""
    """The rule that was broken, and how; empty if none was."""
    lines: tuple[str, ...] = ()
    """The last lines of the trace, if there is a violation."""
    hash: int = 0
    virtual_ms: int = 0
    events: int = 0
    faults: int = 0
    elections: int = 0
    commits: int = 0
    answers: int = 0
    changes: int = 0
    """How many changes of the configuration were committed."""
    observed: int = 0
    """How often an observer has begun to serve behind another server than the leader."""
    settled_ms: int = 0
    """How long it took after the healing until all clients were served and all members equal."""


class TraceHandler(logging.Handler):
    """Writes the log lines of the core into the verbose trace."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def emit(self, record: logging.LogRecord) -> None:
        self.world.trace.line(self.world.now_us, f"({record.name})", record.getMessage())


def simulate(
    seed: int,
    *,
    overrides: dict[str, object] | None = None,
    is_static: bool = False,
    is_verbose: bool = False,
    write: Callable[[str], object] | None = None,
    make_disk: DiskMaker = SimDisk,
    make_machine: MachineMaker = Machine,
) -> Result:
    """Run a seed to its end or its first violation; `draw` says what ``is_static`` is."""
    options = draw(seed, is_static=is_static)
    for name, value in (overrides or {}).items():
        assert hasattr(options, name), name
        setattr(options, name, value)
    shown = Options(**vars(options))
    trace = Trace(is_verbose, write)
    result = Result(shown)
    core = logging.getLogger("pyzk")
    level = core.level
    core.setLevel(logging.INFO if is_verbose else logging.CRITICAL)
    handler: logging.Handler | None = None
    world: World | None = None
    try:
        world = World(options, trace, make_disk, make_machine)
        if is_verbose:
            handler = TraceHandler(world)
            core.addHandler(handler)
        _run(world, result)
    except Violation as violation:
        result.violation = str(violation)
    except Exception:
        result.violation = f"exception: {traceback.format_exc()}"
    finally:
        core.setLevel(level)
        if handler is not None:
            core.removeHandler(handler)
    result.hash = trace.hash
    if world is not None:
        result.virtual_ms = world.now_us // 1000
        result.events = world.events
        result.faults = world.faults.count
        result.elections = world.checks.elections
        result.commits = len(world.checks.chain.committed) - 1
        result.answers = world.checks.replies.answers
        result.observed = world.checks.observed
        result.changes = len(world.checks.configs.history) - 1
    if result.violation:
        result.lines = tuple(trace.lines)
    return result


def _run(world: World, result: Result) -> None:
    options = world.options
    for sid in range(1, options.members + 1):
        world.at(world.rng.randrange(200_000), _starter(world, world.machines[sid]))
    for client in world.clients:
        client.start()
    world.faults.begin()
    if options.reconfig:
        world.operator.begin()
    world.run(options.duration_s * 1_000_000)
    world.faults.heal()
    healed_us = world.now_us
    for client in world.clients:
        client.prove()
    limit_us = healed_us + settle_limit_ms(options) * 1000
    if not world.run(limit_us, lambda: _is_settled(world, world.faults.core())):
        raise Violation("progress", _what_is_missing(world, world.faults.core()))
    result.settled_ms = (world.now_us - healed_us) // 1000
    world.checks.finish(world.faults.core())
    if result.options.is_calm and world.checks.elections > 1:
        raise Violation("calm", f"{world.checks.elections} elections, and nothing went wrong")


def _starter(world: World, machine: Machine) -> Callable[[], object]:
    def start() -> None:
        if not machine.is_up and not machine.life:
            world.faults.start(machine)

    return start


def settle_limit_ms(options: Options) -> int:
    """Return how long a healed core of machines may need until it has served every client."""
    limit_ms = 20_000 + 4 * options.tick_ms * (options.init_limit + options.sync_limit)
    if options.save_error_s:
        # The pause before a configuration is tried again is as long as it could not be saved.
        limit_ms += 1000 * (options.duration_s + 1)
    return limit_ms


def _is_settled(world: World, core: list[Machine]) -> bool:
    """Whether every client has its answers and every member of the core the same state."""
    if not all(client.is_done for client in world.clients):
        return False
    if any(_lacks(world, machine) for machine in core):
        return False
    tip = world.checks.chain.tip
    return all(world.checks.chain.resolve(machine.database.last_zxid) == tip for machine in core)


def _lacks(world: World, machine: Machine) -> str:
    """What a machine lacks that is to serve, with the newest configuration in memory, in its files
    and in its ports; nothing if it does."""
    if not machine.is_up or not machine.peer.server.is_running:
        return "does not serve"
    if machine.peer.server.is_read_only:
        return "serves reads only"
    newest = world.checks.configs.newest
    configs = machine.member.configs
    has_version = configs.committed.version == newest.version or not newest.version
    if not has_version or configs.committed.lines() != newest.lines():
        return f"has version {configs.committed.version:x} in force, not {newest.version:x}"
    if configs.is_under_way:
        return f"has version {configs.last_seen.version:x} under way"
    committed, last_seen = machine.disk.config.known()
    if committed != configs.committed:
        return f"has version {committed.version:x} in its files, or another text of it"
    if last_seen is not None:
        return f"has version {last_seen.version:x} under way in its files"
    line = newest.member(machine.sid)
    assert line is not None, machine.sid
    return "" if machine.ports.are_at(line) else f"does not listen where {line} says"


def _what_is_missing(world: World, core: list[Machine]) -> str:
    waiting = [f"c{client.index}" for client in world.clients if not client.is_done]
    states = [f"{machine.describe()} {_lacks(world, machine)}".rstrip() for machine in core]
    return f"not settled in time: waiting {waiting}; {'; '.join(states)}"
