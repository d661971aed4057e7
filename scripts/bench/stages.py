"""Where the processor time of a request goes: kernel, event loop, interpreter, compiled core, disk.

Shell.

    python -m scripts.bench.stages                       (make bench-stages)
    python -m scripts.bench.stages --rows set:50:20

One server is loaded row by row. The kernel counts the processor time of its threads, and `perf
record` samples what they are in. The time is that of the server alone, so that the load generator
and whatever else the machine does hardly count; but a busy machine makes for larger batches, which
cost less for each request. Needs Linux and perf.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from conformance.servers import Server, pyzk_launcher
from scripts.bench.comparison import progress
from scripts.bench.programs import SIZE, Point, Times, address_of, build, load, without_errors
from scripts.bench.zk import WARM_UP, row

ROWS: Final = tuple(
    Point(operation, 50, pipeline) for pipeline in (1, 20) for operation in ("get", "set", "create")
)
STAGES: Final = ("kernel", "uvloop", "Python", "core", "other", "disk threads")
SETTLING_S: Final = 1.0
"""How long a load runs before it is measured."""


def stage_of(library: str) -> str:
    """Return the stage that the code of a library is counted to."""
    if library.startswith("["):
        return "kernel"  # [vdso] too: the clock
    if "mypyc" in library:
        return "core"
    if library.startswith("loop."):
        return "uvloop"
    return "Python" if "python" in library else "other"


def shares(report: str, main_thread: int) -> dict[str, float]:
    """Read a report of perf, sorted by thread and library; return the share of each stage."""
    found = dict.fromkeys(STAGES, 0.0)
    for line in report.splitlines():
        fields = [field.strip() for field in line.split(";")]
        if len(fields) != 3 or not fields[0].endswith("%"):
            continue
        is_main = fields[1].partition(":")[0].strip() == str(main_thread)
        found[stage_of(fields[2]) if is_main else "disk threads"] += float(fields[0][:-1])
    total = sum(found.values())
    return {stage: share / total for stage, share in found.items()} if total else found


def table(rows: Mapping[Point, tuple[float, Mapping[str, float]]]) -> list[str]:
    """Return the lines of a table: the microseconds of a request of each row, and of its stages."""
    lines = [f"{'us of a request':16}{'all':>10}" + "".join(f"{stage:>14}" for stage in STAGES)]
    for point, (time_us, share) in rows.items():
        each = "".join(f"{time_us * share[stage]:14.2f}" for stage in STAGES)
        lines.append(f"{point!s:16}{time_us:10.2f}{each}")
    return lines


def processor_s(process: int) -> float:
    """Return the seconds of processor time of all threads of a process."""
    threads = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


@attrs.frozen
class Profiler:
    """Loads one server and measures it."""

    server: Server
    zkload: Path
    samples: Path

    def measure(self, point: Point, seconds: float) -> tuple[float, dict[str, float]]:
        """Return the microseconds of a request, and the share of each stage."""
        assert self.server.process is not None
        process = self.server.process.pid
        shape = [point.operation, point.connections, point.pipeline, SIZE]
        command = [str(self.zkload), address_of(self.server), *map(str, shape)]
        # It stops a little later than the measurement, and counts from where that begins.
        command += [str(seconds), str(SETTLING_S)]
        generator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            time.sleep(SETTLING_S + 0.1)
            begin, used = time.monotonic(), processor_s(process)
            self._record(process, seconds - 0.5)
            used, took = processor_s(process) - used, time.monotonic() - begin
            line, _ = generator.communicate(timeout=60)
        finally:
            generator.kill()
            generator.wait()
        figures = without_errors(json.dumps(shape), line)
        return 1e6 * used / (figures["ops"] * took), shares(self._report(), process)

    def _record(self, process: int, seconds: float) -> None:
        command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "2000", "-p", str(process)]
        command += ["-o", str(self.samples), "--", "sleep", str(seconds)]
        subprocess.run(command, check=True, capture_output=True)

    def _report(self) -> str:
        command = ["perf", "report", "-i", str(self.samples), "--stdio", "-q", "-t", ";"]
        command += ["--sort", "pid,dso"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, as a measurement is no test."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.stages")
    parser.add_argument("--rows", nargs="+", type=row, default=ROWS, help="such as get:50:20")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--command", help="this server's command line with {cfg} and {props}")
    options = parser.parse_args(arguments)
    if shutil.which("perf") is None:
        raise SystemExit("bench: no perf on the PATH")
    found = {}
    with tempfile.TemporaryDirectory(prefix="pyzk-bench-") as scratch:
        program = build(Path(scratch))
        with Server(pyzk_launcher(options.command)) as server:
            for point in WARM_UP:
                load(program, server, point, Times(2.0, 0.0, 0.0))
            profiler = Profiler(server, program, Path(scratch) / "samples")
            for point in options.rows:
                progress(f"{point}")
                found[point] = profiler.measure(point, options.seconds)
    print("\n".join(table(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
