"""Throughput and latency of this server and the original, alternating on the same machine.

Shell.

    python -m scripts.bench.zk            all points
    python -m scripts.bench.zk --quick    seconds instead of minutes

Servers take turns (A B A B A B), each operation on a fresh server with an empty directory on the
same disk and fsync on, so that the znodes of one do not weigh on the next; the table shows medians
and the ratio of medians.  A fresh server first serves the operation for a while unmeasured: a JVM
is not itself before its compiler has seen the code, and half warm it would flatter us.  The load
generator is zkload.c: CONNS connections, each with PIPELINE requests under way, in a closed loop.
Nothing is pinned to a core, as nothing is in production; with one connection and one request the
scheduler's choice of cores alone can change a figure several times over, so look at the spread
(--json) before believing a 1 x 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from conformance import oracle
from conformance.frames import new_session
from conformance.oracle import OracleMissingError
from conformance.servers import Launcher, Server, pyzk_launcher

SOURCE: Final = Path(__file__).parent / "zkload.c"
OPERATIONS: Final = ("get", "set", "create")
SHAPES: Final = ((1, 1), (50, 1), (50, 20))
SIZE: Final = 128


@attrs.frozen
class Point:
    """One load: an operation by so many connections with so many requests under way."""

    operation: str
    connections: int
    pipeline: int

    def __str__(self) -> str:
        return f"{self.operation:8} {self.connections:3} x {self.pipeline:<3}"


@attrs.frozen
class Times:
    """Seconds of a load: measured, unmeasured before it, and unmeasured on a fresh server for each
    of two warm-up loads."""

    seconds: float
    before_point: float
    whole_server: float


def build(folder: Path) -> Path:
    """Compile the load generator. Raises SystemExit if there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise SystemExit("bench: no C compiler (gcc or cc) on the PATH")
    program = folder / "zkload"
    subprocess.run([compiler, "-O2", "-w", "-o", str(program), str(SOURCE)], check=True)
    return program


def load(program: Path, server: Server, point: Point, times: Times) -> dict[str, Any]:
    """Run the load generator against one server."""
    address = f"{server.address[0]}:{server.address[1]}"
    return run_load(program, server.launcher.name, address, point, times, server.log_tail)


def run_load(
    program: Path,
    name: str,
    addresses: str,
    point: Point,
    times: Times,
    log_tail: Callable[[], str] = str,
) -> dict[str, Any]:
    """Run the load generator. Raises SystemExit if it fails."""
    shape = [point.operation, str(point.connections), str(point.pipeline), str(SIZE)]
    command = [str(program), addresses, *shape, str(times.seconds), str(times.before_point)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise SystemExit(f"bench: {name}: {point}: {done.stderr}{log_tail()}")
    figures: dict[str, Any] = json.loads(done.stdout)
    if figures["errors"]:
        raise SystemExit(f"bench: {name}: {point}: errors: {done.stdout}")
    return figures


def measure(
    program: Path, launcher: Launcher, operation: str, times: Times
) -> dict[Point, dict[str, Any]]:
    """Measure all points of one operation on one fresh server, after a warm-up."""
    server = Server(launcher, {"globalOutstandingLimit": "100000"})
    try:
        server.start()
        for shape in SHAPES[1:]:
            warm = attrs.evolve(times, seconds=times.whole_server, before_point=0.1)
            load(program, server, Point(operation, *shape), warm)
        points = [Point(operation, *shape) for shape in SHAPES]
        return {point: load(program, server, point, times) for point in points}
    finally:
        server.cleanup()


def start_time(launcher: Launcher, runs: int) -> float:
    """Return the median seconds from the start of a process until it answers a session."""
    times = []
    for _ in range(runs):
        server = Server(launcher)
        try:
            server.start()
            new_session(server.address).close_session()
            times.append(server.started_in)
        finally:
            server.cleanup()
    return statistics.median(times)


def table(results: dict[str, list[dict[Point, dict[str, Any]]]], points: list[Point]) -> bool:
    """Print medians and ratios; return whether the first server is nowhere slower."""
    names = list(results)
    header = "".join(f"{name + ' ops/s':>22}{'p50 us':>9}{'p99 us':>9}" for name in names)
    print(f"{'':16}{header}{'ratio':>8}")
    good = True
    for point in points:
        rates = []
        line = f"{point!s:16}"
        for name in names:
            column = {
                key: statistics.median(run[point][key] for run in results[name])
                for key in ("ops", "p50_us", "p99_us")
            }
            rates.append(column["ops"])
            line += f"{column['ops']:22.0f}{column['p50_us']:9.0f}{column['p99_us']:9.0f}"
        if len(rates) == 2:
            line += f"{rates[0] / rates[1]:8.2f}"
            good = good and rates[0] >= rates[1]
        print(line)
    return good


def options_of(prog: str) -> argparse.ArgumentParser:
    """Return a parser of the options that all comparisons have."""
    parser = argparse.ArgumentParser(prog=prog)
    parser.add_argument("--quick", action="store_true", help="one second for each point")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--version", default="3.9", help="of the original")
    parser.add_argument("--command", help="this server's command line with {cfg} and {props}")
    parser.add_argument("--alone", action="store_true", help="without the original")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    return parser


def compared(options: argparse.Namespace) -> tuple[Times, list[Launcher]]:
    """Return the times of a comparison, and this server and the original, if it is to be had."""
    times = Times(1.0, 0.5, 2.0) if options.quick else Times(options.seconds, 2.0, 5.0)
    # The original runs as its own script would start it, without our quick-start flags.
    os.environ.setdefault("PYZK_ORACLE_JVMFLAGS", shlex.join(["-Xmx1000m"]))
    launchers = [pyzk_launcher(options.command)]
    if not options.alone:
        try:
            launchers.append(oracle.launcher(options.version))
        except OracleMissingError as missing:
            print(f"bench: the comparison is SKIPPED: {missing}")
    return times, launchers


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, as a measurement is no test."""
    parser = options_of("python -m scripts.bench.zk")
    parser.add_argument("--operations", nargs="+", default=OPERATIONS)
    options = parser.parse_args(arguments)
    times, launchers = compared(options)
    points = [Point(operation, *shape) for operation in options.operations for shape in SHAPES]
    results: dict[str, list[dict[Point, dict[str, Any]]]] = {one.name: [] for one in launchers}
    with tempfile.TemporaryDirectory(prefix="pyzk-bench-") as scratch:
        program = build(Path(scratch))
        for number in range(options.rounds):
            for launcher in launchers:
                results[launcher.name].append(
                    {
                        point: figures
                        for operation in options.operations
                        for point, figures in measure(program, launcher, operation, times).items()
                    }
                )
                print(f"round {number + 1}: {launcher.name} done", file=sys.stderr)
    good = table(results, points)
    for launcher in launchers:
        print(f"{launcher.name}: first answer {start_time(launcher, 5):.3f} s after its start")
    if options.json:
        figures = {
            name: [{str(point): run[point] for point in points} for run in runs]
            for name, runs in results.items()
        }
        options.json.write_text(json.dumps(figures, indent=1))
    if len(launchers) == 2:
        print("nowhere slower than the original" if good else "SLOWER than the original somewhere")
    return 0


if __name__ == "__main__":
    sys.exit(main())
