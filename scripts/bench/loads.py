"""Loads of other shapes than plain throughput, on this server and the original in turn.

Shell.

    python -m scripts.bench.loads            all shapes, about half an hour    (make bench-loads)
    python -m scripts.bench.loads --quick    small numbers, about two minutes

Each shape has a fresh server with an empty directory and default settings, which first serves reads
for some seconds, so that the JVM has compiled the code. Medians of the rounds are printed. Memory
and processor time are the server's own, from /proc, so this needs Linux.

A session pings each ten seconds, as clients with the usual timeout of thirty do. A restart counts
from the start of the process until a client has a session; the process before it ended in order.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs

from conformance.frames import new_session
from conformance.servers import Launcher, Server
from scripts.bench.comparison import compared, options_of, progress, rounds_of, write_json
from scripts.bench.programs import (
    SIZE,
    Point,
    Times,
    address_of,
    build,
    figures_of,
    load,
    without_errors,
)
from scripts.bench.watched import server_to_watch, watched

Figures = dict[str, float]
"""Figures by their name, which says the unit; of those with a rate (/s) more is better."""

HEAP: Final = "4g"
"""The heap of the original: a million znodes need it."""
WINDOW: Final = 1000
FOLDER: Final = 1000
DATA_BYTES: Final = 100
CREATES: Final = 100
PING_S: Final = 10.0
WARM_UP: Final = Point("get", 4, 1)
SETTERS: Final = Point("set", 20, 1)
GETTERS: Final = Point("get", 50, 1)


@attrs.frozen
class Sizes:
    """How large the loads are."""

    znodes: int = 1_000_000
    children: tuple[int, int] = (1_000, 100_000)
    sessions: int = 10_000
    idle_s: float = 20.0
    watchers: int = 1_000
    watched: int = 100
    starts: int = 5


QUICK: Final = Sizes(50_000, (1_000, 10_000), 1_000, 5.0, 200, 50, 3)


@attrs.frozen
class Bench:
    """What a shape needs: a fresh server, the programs, and how long and large it shall be."""

    server: Server
    zkload: Path
    shapes: Path
    times: Times
    sizes: Sizes

    def shape(self, *arguments: object) -> dict[str, Any]:
        """Run a load of shapes.c to its end."""
        what = f"{self.server.launcher.name}: {arguments[0]}"
        all_arguments = [address_of(self.server), *arguments]
        return figures_of(self.shapes, what, all_arguments, self.server.log_tail)

    def status(self, key: str) -> int:
        """Return a number of bytes from /proc/PID/status."""
        assert self.server.process is not None
        text = Path(f"/proc/{self.server.process.pid}/status").read_text()
        (line,) = [one for one in text.splitlines() if one.startswith(f"{key}:")]
        return int(line.split()[1]) * 1024

    def processor_s(self) -> float:
        """Return the seconds of processor time that the server has used."""
        assert self.server.process is not None
        text = Path(f"/proc/{self.server.process.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Steps:
    """A load of shapes.c that takes its next step when it is told to."""

    def __init__(self, process: subprocess.Popen[str], what: str) -> None:
        self._process = process
        self._what = what

    def figures(self) -> dict[str, Any]:
        """Wait for the end of a step; return its figures."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"bench: {self._what}: it ended early")
        return without_errors(self._what, line)

    def go_on(self) -> None:
        """Have the next step taken."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()


@contextmanager
def steps(bench: Bench, *arguments: object) -> Iterator[Steps]:
    """Run a load of shapes.c step by step."""
    process = subprocess.Popen(
        [str(bench.shapes), address_of(bench.server), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Steps(process, f"{bench.server.launcher.name}: {arguments[0]}")
    finally:
        process.kill()
        process.communicate()


# --- the shapes -----------------------------------------------------------------------


def cold_start(bench: Bench) -> Figures:
    """Start on an empty directory, again and again."""
    times = []
    for _ in range(bench.sizes.starts):
        server = Server(bench.server.launcher)
        try:
            times.append(start_to_session(server))
        finally:
            server.cleanup()
    return {"cold start, empty: s": statistics.median(times)}


def start_to_session(server: Server) -> float:
    """Start a server; return the seconds until a client has a session."""
    begin = time.monotonic()
    server.start(timeout=300)
    session = new_session(server.address)
    took = time.monotonic() - begin
    session.close_session()
    return took


def writes_beside_reads(bench: Bench) -> Figures:
    """Set with few connections, alone and while many others get."""
    alone = load(bench.zkload, bench.server, SETTERS, bench.times)
    # The readers begin before the writers are measured and end behind them.
    longer = bench.times.seconds + bench.times.before_point + 1.0
    getters = [address_of(bench.server), "get", GETTERS.connections, GETTERS.pipeline, SIZE]
    process = subprocess.Popen(
        [str(bench.zkload), *map(str, getters), str(longer), "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        beside = load(bench.zkload, bench.server, SETTERS, bench.times)
        line, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    gets = without_errors("get", line)
    who = f"set {SETTERS.connections} x 1"
    others = f"beside {GETTERS.connections} getters"
    return {
        f"{who} alone: /s": alone["ops"],
        f"{who} alone: p50 ms": alone["p50_us"] / 1000,
        f"{who} {others}: /s": beside["ops"],
        f"{who} {others}: p50 ms": beside["p50_us"] / 1000,
        f"{who} {others}: gets/s": gets["ops"],
    }


def children(bench: Bench) -> Figures:
    """List a few and many children."""
    found = {}
    for count in bench.sizes.children:
        bench.shape("fill", f"/children{count}", count, 0, WINDOW, 0)
        figures = bench.shape("children", f"/children{count}", 1, bench.times.seconds)
        found[f"getChildren of {count:,}: /s"] = figures["ops"]
    return found


def multis(bench: Bench) -> Figures:
    """Create many znodes in one transaction, with one connection and with many."""
    found = {}
    bench.shape("multi", "/warm", 20, CREATES, bench.times.whole_server)
    for connections in (1, 20):
        figures = bench.shape("multi", "/multi", connections, CREATES, bench.times.seconds)
        found[f"multi of {CREATES} creates x {connections}: /s"] = figures["ops"]
    return found


def many_znodes(bench: Bench) -> Figures:
    """Create a great many znodes on one connection, and start anew with them."""
    count = bench.sizes.znodes
    before = bench.status("VmRSS")
    figures = bench.shape("fill", "/many", count, DATA_BYTES, WINDOW, FOLDER)
    memory = bench.status("VmRSS")
    bench.server.stop(timeout=120)
    restart = start_to_session(bench.server)
    return {
        f"{count:,} creates, one connection: /s": figures["ops"],
        f"RSS with {count:,} znodes: MB": memory / 1e6,
        "bytes a znode": (memory - before) / count,
        f"restart with {count:,} znodes: s": restart,
        "RSS after the restart: MB": bench.status("VmRSS") / 1e6,
    }


def many_sessions(bench: Bench) -> Figures:
    """Open a great many sessions that do nothing but ping."""
    count = bench.sizes.sessions
    before = bench.status("VmRSS")
    with steps(bench, "sessions", count, PING_S) as clients:
        opened = clients.figures()
        time.sleep(PING_S / 5)
        begin, used = time.monotonic(), bench.processor_s()
        time.sleep(bench.sizes.idle_s)
        share = (bench.processor_s() - used) / (time.monotonic() - begin)
        memory = bench.status("VmRSS")
        clients.go_on()
        clients.figures()
    return {
        f"opening {count:,} sessions: s": opened["seconds"],
        "kB a session": (memory - before) / count / 1e3,
        f"processor with {count:,} idle sessions: %": 100 * share,
    }


def many_watches(bench: Bench) -> Figures:
    """Set a great many watches, and have all of them triggered at once."""
    sizes = bench.sizes
    count = sizes.watchers * sizes.watched
    with steps(bench, "watches", sizes.watchers, sizes.watched) as clients:
        clients.figures()
        before = bench.status("VmRSS")
        clients.go_on()
        clients.figures()
        memory = bench.status("VmRSS")
        clients.go_on()
        burst = clients.figures()
    if burst["events"] != count:
        raise SystemExit(f"bench: {count} watches, {burst['events']} events")
    return {
        "bytes a watch": (memory - before) / count,
        f"burst of {count:,} events: first ms": burst["first_ms"],
        f"burst of {count:,} events: last ms": burst["last_ms"],
        "longest wait of another client meanwhile: ms": burst["probe_ms"],
    }


def looked_at(bench: Bench) -> Figures:
    """Get from a great many znodes, alone and while others look at the server from outside."""
    server, port = server_to_watch(bench.server)
    with server:
        another = attrs.evolve(bench, server=server)
        another.shape("fill", "/many", bench.sizes.znodes, DATA_BYTES, WINDOW, FOLDER)
        return watched(bench.zkload, server, port, bench.times)


SHAPES: Final[Mapping[str, Callable[[Bench], Figures]]] = {
    "start": cold_start,
    "mixed": writes_beside_reads,
    "children": children,
    "multi": multis,
    "znodes": many_znodes,
    "sessions": many_sessions,
    "watches": many_watches,
    "looked-at": looked_at,
}


# --- all of them ----------------------------------------------------------------------


def measure(
    shape: Callable[[Bench], Figures],
    launcher: Launcher,
    programs: Path,
    times: Times,
    sizes: Sizes,
) -> Figures:
    """Measure one shape on a fresh server."""
    server = Server(launcher)
    bench = Bench(server, programs / "zkload", programs / "shapes", times, sizes)
    try:
        if shape is not cold_start:
            server.start()
            # Not with writes: their garbage and their znodes would count where memory is measured.
            load(bench.zkload, server, WARM_UP, attrs.evolve(times, seconds=times.whole_server))
        return shape(bench)
    finally:
        server.cleanup()


def table(results: Mapping[str, Sequence[Figures]]) -> list[str]:
    """Return the lines of a table: the median of each figure, of each server, and their ratio.

    A figure below zero is shown as unknown: a process may give back more memory than what was
    measured has taken.
    """
    names = list(results)
    lines = [f"{'':50}" + "".join(f"{name:>18}" for name in names)]
    if len(names) == 2:
        lines[0] += f"{'ratio':>9}"
    for figure in results[names[0]][0]:
        middle = [statistics.median(run[figure] for run in results[name]) for name in names]
        line = f"{figure:50}" + "".join(f"{_shown(one):>18}" for one in middle)
        if len(middle) == 2 and middle[0] >= 0 < middle[1]:
            line += f"{middle[0] / middle[1]:9.2f}"
        lines.append(line)
    return lines


def _shown(value: float) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return "unknown" if value < 0 else f"{value:,.{digits}f}"


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, as a measurement is no test."""
    parser = options_of("python -m scripts.bench.loads", rounds=3, seconds=4.0)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    options = parser.parse_args(arguments)
    times, launchers = compared(options, HEAP)
    sizes = QUICK if options.quick else Sizes()
    # The servers inherit it: a session is an open file.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    results: dict[str, list[Figures]] = {one.name: [] for one in launchers}
    with tempfile.TemporaryDirectory(prefix="pyzk-bench-") as scratch:
        programs = Path(scratch)
        for name in ("zkload", "shapes"):
            build(programs, name)
        for turn in range(rounds_of(options)):
            for runs in results.values():
                runs.append({})
            for name in options.shapes:
                for launcher in launchers:
                    progress(f"round {turn + 1}: {launcher.name}: {name}")
                    figures = measure(SHAPES[name], launcher, programs, times, sizes)
                    results[launcher.name][turn].update(figures)
    print("\n".join(table(results)))
    write_json(options.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
