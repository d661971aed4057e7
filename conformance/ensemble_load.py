"""Many bytes of writes under way: each is answered, under the same leader, in bounded memory.

Shell.

    python -m conformance.ensemble_load
    python -m conformance.ensemble_load --only stopped --clients 20
    python -m conformance.ensemble_load --server 3.9
    python -m conformance.ensemble_load --server 3.9,3.9,pyzk     (the last leads)

Clients pipeline large sets at real processes, each scenario with servers of its own: at the
leader, at all members, while the followers are stopped for a while, over slow lines, at a server
that stands alone.  What is asked in all: an answer to each set, no session lost, the leader of
before.  The largest memory of each process is shown, and must stay below ``--limit`` megabytes.
The original is shown for comparison; nothing is asked of its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from conformance import wire
from conformance.frames import Address
from conformance.mixed.ensemble import Ensemble
from conformance.mixed.members import PYZK, MixedMember, implementation
from conformance.mixed.proxy import CHUNK, Gate
from conformance.servers import Launcher, Server

CONFIG: Final = {"tickTime": "1000", "initLimit": "10", "syncLimit": "5"}
SESSION_MS: Final = 20_000
PATIENCE_S: Final = 150.0
SAMPLE_S: Final = 0.1
STOPPED_S: Final = 3.0
SLOW_RATE: Final = 4 << 20
"""Bytes a second of a slow line."""
DUTY_S: Final = 0.5
"""Seconds for which a follower is stopped, and then runs, in turn."""
LIMIT_MB: Final = 600


@attrs.frozen
class Load:
    """How much is written at once."""

    clients: int
    window: int
    size: int

    @property
    def total(self) -> int:
        """The number of answers that must come."""
        return self.clients * self.window


@attrs.define
class Outcome:
    """The outcome of a load."""

    answers: int = 0
    errors: list[str] = attrs.field(factory=list)
    seconds: float = 0.0
    first_s: float = 0.0
    """When the first set was answered."""
    longest_read_s: float = 0.0
    """The longest time that a client which only reads had to wait."""


# --- clients ------------------------------------------------------------------------


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(length)


async def _session(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(wire.frame(wire.connect(SESSION_MS)))
    await _read_frame(reader)
    return reader, writer


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, xid: int, op: str, body: bytes
) -> int:
    """Sends one request; returns its error."""
    writer.write(wire.frame(wire.request(xid, wire.OPS[op], body)))
    return int(struct.unpack_from(">i", await _read_frame(reader), 12)[0])


async def _write(address: Address, number: int, load: Load, outcome: Outcome) -> None:
    try:
        reader, writer = await _session(address)
        path = f"/load{number}"
        await _ask(reader, writer, 1, "create", wire.create(path))
        for each in range(load.window):
            body = wire.set_data(path, bytes([each]) * load.size)
            writer.write(wire.frame(wire.request(2 + each, wire.OPS["setData"], body)))
        for each in range(load.window):
            xid, _, err = struct.unpack_from(">iqi", await _read_frame(reader))
            assert (xid, err) == (2 + each, 0), (xid, err)
            outcome.answers += 1
            if outcome.answers == 1:
                outcome.first_s = time.monotonic()
        writer.close()
    except (OSError, EOFError, struct.error, AssertionError) as error:
        outcome.errors.append(f"client {number}: {error!r}")


async def _look(address: Address, outcome: Outcome) -> None:
    """Reads all the time; writes that are under way must not delay it."""
    try:
        reader, writer = await _session(address)
        for xid in range(1, 1 << 30):
            begin = time.monotonic()
            await _ask(reader, writer, xid, "exists", wire.path_watch("/"))
            outcome.longest_read_s = max(outcome.longest_read_s, time.monotonic() - begin)
            await asyncio.sleep(0.02)
    except (OSError, EOFError) as error:
        outcome.errors.append(f"who only reads: {error!r}")


async def _run(addresses: list[Address], load: Load, between: Callable[[], None]) -> Outcome:
    outcome = Outcome()
    begin = time.monotonic()
    looker = asyncio.create_task(_look(addresses[0], outcome))
    writers = [
        asyncio.create_task(_write(addresses[each % len(addresses)], each, load, outcome))
        for each in range(load.clients)
    ]
    trouble = asyncio.create_task(asyncio.to_thread(between))
    _, late = await asyncio.wait(writers, timeout=PATIENCE_S)
    for each in late:
        each.cancel()
    if late:
        outcome.errors.append(f"{len(late)} clients still wait after {PATIENCE_S:g} s")
    outcome.seconds = time.monotonic() - begin
    outcome.first_s -= begin
    looker.cancel()
    await trouble
    return outcome


# --- servers ------------------------------------------------------------------------


class Memory:
    """The largest resident memory of processes, as it grows."""

    def __init__(self, pids: dict[str, int]) -> None:
        self.pids = pids
        self.series: dict[str, list[int]] = {name: [] for name in pids}
        """Process -> its memory in MB at each sample."""

    def sample(self) -> None:
        """Takes one sample."""
        for name, pid in self.pids.items():
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            self.series[name].append(pages * 4096 >> 20)

    def peak(self, name: str) -> int:
        """Returns the most memory that a process had, in MB."""
        return max(self.series[name])

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {series[0]} -> {max(series)} -> {series[-1]}"
            for name, series in self.series.items()
        )


@contextmanager
def _signals(members: list[MixedMember]) -> Iterator[Callable[[int], None]]:
    """Gives a call that sends a signal to each member; in the end all go on."""

    def send(number: int) -> None:
        for member in members:
            assert member.process is not None
            member.process.send_signal(number)

    try:
        yield send
    finally:
        send(signal.SIGCONT)


def _watch(memory: Memory, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        memory.sample()
        time.sleep(SAMPLE_S)


def nothing(_ensemble: Ensemble, memory: Memory) -> None:
    """No trouble."""
    _watch(memory, 2.0)


def stopped(ensemble: Ensemble, memory: Memory) -> None:
    """Both followers stand still for a while, then go on."""
    with _signals(ensemble.learners()) as send:
        _watch(memory, 0.3)
        send(signal.SIGSTOP)
        _watch(memory, STOPPED_S)
        send(signal.SIGCONT)
    _watch(memory, 2.0)


def one_stopped(ensemble: Ensemble, memory: Memory) -> None:
    """One follower stands still for longer than syncLimit, and is dropped."""
    with _signals(ensemble.learners()[:1]) as send:
        send(signal.SIGSTOP)
        _watch(memory, 9.0)


def duty(ensemble: Ensemble, memory: Memory) -> None:
    """One follower runs half of the time."""
    with _signals(ensemble.learners()[:1]) as send:
        for _ in range(8):
            send(signal.SIGSTOP)
            _watch(memory, DUTY_S)
            send(signal.SIGCONT)
            _watch(memory, DUTY_S)


def _slow(gates: list[Gate]) -> None:
    for gate in gates:
        gate.delay_s = CHUNK / SLOW_RATE


def slow(ensemble: Ensemble, memory: Memory) -> None:
    """The lines to both followers carry little."""
    leader = ensemble.leader().sid
    _slow([gate for (_, target), gate in ensemble.gates.items() if target == leader])
    _watch(memory, 10.0)


def one_slow(ensemble: Ensemble, memory: Memory) -> None:
    """The line to one follower carries little."""
    leader, victim = ensemble.leader().sid, ensemble.learners()[0].sid
    _slow([ensemble.gates[victim, leader]])
    _watch(memory, 10.0)


Trouble = Callable[[Ensemble, Memory], None]
SCENARIOS: Final[dict[str, tuple[Trouble, bool]]] = {
    "leader": (nothing, False),
    "everywhere": (nothing, True),
    "stopped": (stopped, False),
    "stopped, everywhere": (stopped, True),
    "one stopped": (one_stopped, False),
    "one half of the time": (duty, True),
    "slow lines": (slow, False),
    "one slow line": (one_slow, True),
}
"""Name -> what goes wrong meanwhile, and whether clients are connected to all members."""
ALONE: Final = "alone"


def in_ensemble(name: str, launchers: list[Launcher], load: Load) -> tuple[Outcome, Memory]:
    """Runs one scenario with three members; the last leads unless all are of one kind."""
    trouble, is_everywhere = SCENARIOS[name]
    gated = trouble in (slow, one_slow)
    with Ensemble(launchers, config=CONFIG, gated=gated) as ensemble:
        ensemble.start(leader=3 if len(set(launchers)) > 1 else None)
        ensemble.touch()
        before = ensemble.leader()
        learners = ensemble.learners()
        addresses = [before.address]
        if is_everywhere:
            # The victim, which may be dropped, has no clients.
            addresses.append(learners[1].address)
            if trouble in (nothing, stopped):
                addresses.append(learners[0].address)
        members = {"leader": before, "first": learners[0], "second": learners[1]}
        pids = {key: each.process.pid for key, each in members.items() if each.process is not None}
        memory = Memory(pids)
        memory.sample()
        outcome = asyncio.run(_run(addresses, load, lambda: trouble(ensemble, memory)))
        memory.sample()
        if (now := ensemble.leader()) is not before:
            outcome.errors.append(f"{now} leads; before it was {before}")
        for member in members.values():
            # A follower is dropped when it stands still, or is 64 MiB behind, for longer than
            # syncLimit.
            for line in member.log_lines(r"the link with .* has ended|is no longer \w+: "):
                if trouble not in (one_stopped, one_slow):
                    outcome.errors.append(f"{member}: {line}")
        return outcome, memory


def alone(launcher: Launcher, load: Load) -> tuple[Outcome, Memory]:
    """Runs the load on a server that stands alone."""
    with Server(launcher, CONFIG) as server:
        assert server.process is not None
        memory = Memory({"server": server.process.pid})
        memory.sample()
        outcome = asyncio.run(_run([server.address], load, lambda: _watch(memory, 2.0)))
        memory.sample()
        return outcome, memory


def run(name: str, launchers: list[Launcher], load: Load, limit_mb: int) -> list[str]:
    """Runs one scenario; returns what was wrong."""
    if name == ALONE:
        outcome, memory = alone(launchers[0], load)
    else:
        outcome, memory = in_ensemble(name, launchers, load)
    wrong = list(outcome.errors)
    if outcome.answers != load.total:
        wrong.append(f"{outcome.answers} of {load.total} sets were answered")
    if all(launcher.java_class_path is None for launcher in launchers):
        wrong.extend(
            f"{process} had {memory.peak(process)} MB; {limit_mb} is the limit"
            for process in memory.pids
            if memory.peak(process) > limit_mb
        )
    print(
        f"{name}: {outcome.answers} of {load.total} answered in {outcome.seconds:.1f} s"
        f" (first after {outcome.first_s:.2f} s, longest read {outcome.longest_read_s:.2f} s);"
        f" MB: {memory}",
        flush=True,
    )
    for line in wrong[:10]:
        print(f"  WRONG: {line}", flush=True)
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 when something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m conformance.ensemble_load")
    parser.add_argument(
        "--server", default=PYZK, help=f"{PYZK}, a version of the original, or three with commas"
    )
    parser.add_argument("--only", action="append", choices=[*SCENARIOS, ALONE])
    parser.add_argument("--clients", type=int, default=40)
    parser.add_argument("--window", type=int, default=10)
    parser.add_argument("--size", type=int, default=500_000)
    parser.add_argument("--limit", type=int, default=LIMIT_MB, help="MB of each process")
    options = parser.parse_args(arguments)
    names = options.server.split(",")
    launchers = [attrs.evolve(implementation(each), heap="2g") for each in names]
    if len(launchers) == 1:
        launchers *= 3
    load = Load(options.clients, options.window, options.size)
    wrong = False
    for name in options.only or [*SCENARIOS, ALONE]:
        wrong = bool(run(name, launchers, load, options.limit)) or wrong
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
