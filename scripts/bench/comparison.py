"""What all benchmarks beside ZooKeeper have in common: options, servers, tables of medians.

Shell.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from conformance import oracle
from conformance.oracle import OracleMissingError
from conformance.servers import Launcher, pyzk_launcher
from scripts.bench.programs import Point, Times

Runs = Mapping[str, Sequence[Mapping[Point, Mapping[str, Any]]]]
"""The figures of each point, in each round, of each server by its name."""

QUICK: Final = Times(1.0, 0.5, 2.0)


def options_of(prog: str, rounds: int = 3, seconds: float = 5.0) -> argparse.ArgumentParser:
    """Return a parser of the options that all comparisons have."""
    parser = argparse.ArgumentParser(prog=prog)
    parser.add_argument("--quick", action="store_true", help="one round of small loads")
    parser.add_argument("--seconds", type=float, default=seconds, help=f"default {seconds:g}")
    parser.add_argument("--rounds", type=int, help=f"default {rounds}, quick 1")
    parser.set_defaults(usual_rounds=rounds)
    parser.add_argument("--version", default="3.9", help="of the original")
    parser.add_argument("--command", help="this server's command line with {cfg} and {props}")
    parser.add_argument("--alone", action="store_true", help="without the original")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    return parser


def rounds_of(options: argparse.Namespace) -> int:
    """Return how often each server has its turn."""
    if options.rounds is not None:
        return int(options.rounds)
    return 1 if options.quick else int(options.usual_rounds)


def compared(options: argparse.Namespace, heap: str = "1000m") -> tuple[Times, list[Launcher]]:
    """Return the times of a comparison, and this server and the original, if it is to be had."""
    times = QUICK if options.quick else Times(options.seconds, 2.0, 5.0)
    # The original runs as its own script would start it, without our quick-start flags.
    os.environ.setdefault("PYZK_ORACLE_JVMFLAGS", shlex.join([f"-Xmx{heap}"]))
    launchers = [pyzk_launcher(options.command)]
    if not options.alone:
        try:
            launchers.append(oracle.launcher(options.version))
        except OracleMissingError as missing:
            print(f"bench: the comparison is SKIPPED: {missing}")
    return times, launchers


def progress(text: str) -> None:
    """Say how far a benchmark is."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def table(results: Runs, points: Sequence[Point]) -> list[str]:
    """Return the lines of a table: medians, how often the first server's rate is each other's, and
    the spread: the largest distance of two rounds of one server, in parts of its median. Of one
    round there is none."""
    names = list(results)
    head = "".join(f"{name + ' ops/s':>22}{'p50 us':>9}{'p99 us':>9}" for name in names)
    ratios = "".join(f"{'/' + name:>17}" for name in names[1:])
    lines = [f"{'':16}{head}{ratios}{'spread':>8}"]
    for point in points:
        line = f"{point!s:16}"
        rates = []
        spread = 0.0
        for name in names:
            runs = [run[point] for run in results[name]]
            middle = {
                key: statistics.median(run[key] for run in runs)
                for key in ("ops", "p50_us", "p99_us")
            }
            each = [run["ops"] for run in runs]
            spread = max(spread, (max(each) - min(each)) / middle["ops"])
            rates.append(middle["ops"])
            line += f"{middle['ops']:22.0f}{middle['p50_us']:9.0f}{middle['p99_us']:9.0f}"
        line += "".join(f"{rates[0] / rate:17.2f}" for rate in rates[1:])
        has_spread = any(len(runs) > 1 for runs in results.values())
        lines.append(line + (f"{spread:8.0%}" if has_spread else f"{'-':>8}"))
    return lines


def plain(results: Runs) -> dict[str, list[dict[str, Any]]]:
    """Return all figures in a form for JSON."""
    return {
        name: [{" ".join(str(point).split()): run[point] for point in run} for run in runs]
        for name, runs in results.items()
    }


def write_json(path: Path | None, figures: object) -> None:
    """Write the figures, if the options name a file for them."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=1))
