"""Ensembles of three, this server's and the original's, alternating on the same machine.

Shell.

    python -m scripts.bench.ensemble            all points, and the outage when the leader is killed
    python -m scripts.bench.ensemble --quick    seconds instead of minutes

An operation gets a fresh ensemble with empty directories and fsync on, which first serves it for a
while unmeasured; ensembles take turns; medians and their ratio are printed.
The load generator spreads its connections over the three client ports. The outage is the time from
``kill -9`` of the leader until a write through a surviving member succeeds, with the default
tickTime (scripts/bench/failover.py).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from conformance.frames import four_letters
from conformance.servers import Launcher, NotStartedError, Server
from pyzk.runtime.free_ports import free_port
from scripts.bench.comparison import compared, options_of, plain, rounds_of, table, write_json
from scripts.bench.failover import outage
from scripts.bench.programs import Point, Times, build, run_load

MEMBERS: Final = 3
POINTS: Final = (("set", 50, 20), ("set", 50, 1), ("set", 1, 1), ("get", 50, 20))
START_TIMEOUT_S: Final = 60.0


class Ensemble:
    """Three processes of one kind, each with its directory."""

    def __init__(self, launcher: Launcher, config: Mapping[str, object] | None = None) -> None:
        lines: dict[str, object] = {"initLimit": 10, "syncLimit": 5, **(config or {})}
        for sid in range(1, MEMBERS + 1):
            lines[f"server.{sid}"] = f"127.0.0.1:{free_port()}:{free_port()}"
        self.launcher = launcher
        self.servers: dict[int, Server] = {}
        for sid in range(1, MEMBERS + 1):
            server = self.servers[sid] = Server(launcher, lines)
            server.port = free_port()
            (server.data / "myid").write_text(f"{sid}\n")

    def start(self) -> None:
        """Start all members; return when all of them serve."""
        for server in self.servers.values():
            server.start(wait=False)
        end = time.monotonic() + START_TIMEOUT_S
        while sorted(self.modes().values()) != ["follower"] * (MEMBERS - 1) + ["leader"]:
            if time.monotonic() > end:
                tails = "\n".join(server.log_tail() for server in self.servers.values())
                raise NotStartedError(f"{self.launcher.name}: no leader; {self.modes()}\n{tails}")
            time.sleep(0.05)

    def modes(self) -> dict[int, str]:
        """Return the role that each member reports, "" for none."""
        return {sid: _mode(server) for sid, server in self.servers.items()}

    @property
    def leader(self) -> int:
        """The sid of the leader."""
        return next(sid for sid, mode in self.modes().items() if mode == "leader")

    @property
    def connect_string(self) -> str:
        """The connect string of all members."""
        return ",".join(f"127.0.0.1:{server.port}" for server in self.servers.values())

    def __enter__(self) -> Ensemble:
        try:
            self.start()
        except BaseException:
            self.cleanup()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup()

    def cleanup(self) -> None:
        """Stop the processes and remove the directories."""
        for server in self.servers.values():
            server.cleanup()


def _mode(server: Server) -> str:
    try:
        answer = four_letters(server.address, b"srvr", 5).decode()
    except OSError:
        return ""
    for line in answer.splitlines():
        if line.startswith("Mode: "):
            return line.removeprefix("Mode: ")
    return ""


def measure(program: Path, launcher: Launcher, times: Times) -> dict[Point, dict[str, Any]]:
    """Measure all points, each operation on an ensemble of its own."""
    points = [Point(*point) for point in POINTS]
    figures: dict[Point, dict[str, Any]] = {}
    for operation in dict.fromkeys(point.operation for point in points):
        with Ensemble(launcher, {"globalOutstandingLimit": 100_000}) as ensemble:
            of_this = [point for point in points if point.operation == operation]
            # Twice: a JVM is not itself before its compiler has seen the code.
            for point in (of_this[0], of_this[min(1, len(of_this) - 1)]):
                warm = Times(times.whole_server, 0.1, 0.0)
                run_load(program, launcher.name, ensemble.connect_string, point, warm)
            for point in of_this:
                figures[point] = run_load(
                    program, launcher.name, ensemble.connect_string, point, times
                )
    return figures


def failover(launcher: Launcher) -> float:
    """Return the seconds without writes after the leader of a fresh ensemble was killed."""
    with Ensemble(launcher) as ensemble:
        leader = ensemble.servers[ensemble.leader]
        process = leader.process
        assert process is not None
        time.sleep(2.0)  # an ensemble at rest: nobody is still starting up
        addresses = [one.address for one in ensemble.servers.values()]
        addresses.sort(key=lambda address: address != leader.address)
        return outage(process.pid, addresses)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, as a measurement is no test."""
    parser = options_of("python -m scripts.bench.ensemble")
    parser.add_argument("--kills", type=int, default=5, help="how often the leader is killed")
    options = parser.parse_args(arguments)
    times, launchers = compared(options)
    points = [Point(*point) for point in POINTS]
    results: dict[str, list[dict[Point, dict[str, Any]]]] = {one.name: [] for one in launchers}
    outages: dict[str, list[float]] = {one.name: [] for one in launchers}
    with tempfile.TemporaryDirectory(prefix="pyzk-bench-") as scratch:
        program = build(Path(scratch))
        for number in range(rounds_of(options)):
            for launcher in launchers:
                results[launcher.name].append(measure(program, launcher, times))
                print(f"round {number + 1}: {launcher.name} done", file=sys.stderr)
    for number in range(options.kills):
        for launcher in launchers:
            outages[launcher.name].append(failover(launcher))
        print(f"kill {number + 1} done", file=sys.stderr)
    if rounds_of(options):
        print("\n".join(table(results, points)))
    for name, seconds in outages.items():
        if seconds:
            each = " ".join(f"{one:.2f}" for one in seconds)
            print(f"{name}: outage {statistics.median(seconds):.3f} s (each: {each})")
    medians = [statistics.median(seconds) for seconds in outages.values() if seconds]
    if len(medians) > 1:
        print(f"outage ratio {medians[0] / medians[1]:.2f}")
    write_json(options.json, {"load": plain(results), "outage_s": outages})
    return 0


if __name__ == "__main__":
    sys.exit(main())
