"""``python -m pyzk.sim``: runs seeds, prints violations and how to repeat them.

Shell. This is the only part of the simulator that touches the world.
"""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import random
import sys
import time
from collections.abc import Iterable, Iterator

from pyzk.sim.options import Options
from pyzk.sim.run import Result, simulate

SHOWN_LINES = 60


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    options = _parser().parse_args(arguments)
    logging.getLogger("pyzk").propagate = False
    # Nearly all objects live until the end of their run, and are collected then.
    gc.disable()
    gc.freeze()
    if options.seed is None and not options.seeds:
        options.seed = random.SystemRandom().randrange(1 << 32)
    overrides = dict(_override(text) for text in options.set)
    job = _Job(overrides, options.static)
    if options.seed is not None:
        return _one(options.seed, job, options.verbose)
    seeds = range(options.start, options.start + options.seeds)
    return _many(seeds, job, options.jobs, options.keep_going)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pyzk.sim", description="Simulate ensembles; docs/simulator.md explains."
    )
    parser.add_argument("--seed", type=int, help="run this seed (default: a random one)")
    parser.add_argument("--seeds", type=int, default=0, help="run this many seeds")
    parser.add_argument("--start", type=int, default=1, help="the first of these seeds")
    parser.add_argument("--jobs", type=int, default=1, help="the number of processes")
    parser.add_argument("--keep-going", action="store_true", help="go on after a violation")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE")
    parser.add_argument(
        "--static",
        action="store_true",
        help="the ensemble never changes, and seeds are what they were before that was simulated",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="trace everything")
    return parser


def _override(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    default = getattr(Options(0), name)
    if isinstance(default, bool):
        return name, value.lower() in ("1", "true", "yes")
    if isinstance(default, tuple):
        return name, tuple(int(each) for each in value.split(",") if each)
    return name, type(default)(value)


def _one(seed: int, job: _Job, is_verbose: bool) -> int:
    result = simulate(
        seed,
        overrides=job.overrides,
        is_static=job.is_static,
        is_verbose=is_verbose,
        write=_write,
    )
    _write(result.options.describe())
    if result.violation:
        _write(f"VIOLATION {result.violation}")
        _write(_again(result))
        return 1
    _write(_summary([result]))
    return 0


class _Job:
    """Runs a seed, in this process or another."""

    def __init__(self, overrides: dict[str, object], is_static: bool) -> None:
        self.overrides = overrides
        self.is_static = is_static

    def __call__(self, seed: int) -> Result:
        result = simulate(seed, overrides=self.overrides, is_static=self.is_static)
        gc.collect()
        return result


def _many(seeds: range, job: _Job, jobs: int, keep_going: bool) -> int:
    begun = time.monotonic()
    done: list[Result] = []
    broken = 0
    for result in _results(seeds, job, jobs):
        done.append(result)
        if result.violation:
            broken += 1
            _report(result, is_short=keep_going)
            if not keep_going:
                break
        result.lines = ()
    took = time.monotonic() - begun
    _write(f"{_summary(done)}; {took:.1f} s, {len(done) / max(took, 0.001):.1f} seeds/s")
    if broken:
        _write(f"{broken} seeds with a violation")
    return 1 if broken else 0


def _results(seeds: Iterable[int], job: _Job, jobs: int) -> Iterator[Result]:
    if jobs <= 1:
        yield from map(job, seeds)
        return
    with multiprocessing.Pool(jobs) as pool:
        yield from pool.imap(job, seeds, chunksize=4)


def _report(result: Result, is_short: bool) -> None:
    if is_short:
        _write(f"{result.options.seed} VIOLATION {result.violation.splitlines()[0][:300]}")
        return
    for line in result.lines[-SHOWN_LINES:]:
        _write(line)
    _write(result.options.describe())
    _write(f"VIOLATION {result.violation}")
    _write(_again(result))


def _again(result: Result) -> str:
    return f"again: python -m pyzk.sim --seed {result.options.seed} -v"


def _summary(results: list[Result]) -> str:
    slowest = max((result.settled_ms for result in results), default=0)
    return (
        f"{len(results)} seeds, {sum(each.faults for each in results)} faults,"
        f" {sum(each.elections for each in results)} elections,"
        f" {sum(each.commits for each in results)} commits,"
        f" {sum(each.answers for each in results)} answers,"
        f" {sum(each.changes for each in results)} changes of the configuration,"
        f" {sum(each.observed for each in results)} observers behind followers,"
        f" {sum(each.virtual_ms for each in results) // 1000} s of virtual time;"
        f" slowest recovery {slowest} ms"
    )


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
