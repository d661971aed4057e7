"""The comparison with the original as one command: python -m conformance.run.

Shell.

Recordings against the server as a process, a differential run, and turns on one data directory; a
summary at the end, and an exit status.  What needs Java is skipped with a message where there is
none.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Final

import attrs

from conformance import admin, audit, disk, durability, hash_set_orders, oracle, replay
from conformance.differential import machine
from conformance.mixed import scenarios
from conformance.mixed.members import MixedError
from conformance.oracle import OracleMissingError
from conformance.servers import NotStartedError, pyzk_launcher

EXAMPLES: Final = 150
STEPS: Final = 40


@attrs.frozen
class Options:
    """How much to do, and the random numbers to do it with."""

    command: str | None
    examples: int
    rounds: int
    seed: int


class FailedError(Exception):
    """A part found a difference."""


def recordings(options: Options) -> str:
    """Replays every recorded exchange against a process."""
    files = sorted(replay.RECORDINGS.glob("*.jsonl*"))
    outcomes = replay.replay_all(files, pyzk_launcher(options.command))
    bad = [outcome for outcome in outcomes if not outcome.ok]
    if bad:
        raise FailedError("\n".join(f"{one.recording}\n   {one.mismatches[0]}" for one in bad))
    played = [outcome for outcome in outcomes if not outcome.skipped]
    frames = sum(outcome.compared for outcome in played)
    return f"{frames} frames in {len(played)} recordings equal"


def orders(options: Options) -> str:
    """Compares the orders in which sets list names, here and in Java."""
    try:
        return hash_set_orders.compare(random.Random(options.seed), 300)
    except AssertionError as error:
        raise FailedError(str(error)) from error


def differential(
    enforce_quota: bool = False, door: str = "plain", share: int = 1
) -> Callable[[Options], str]:
    """Returns the differential run: random commands on both servers, ``share`` times fewer."""

    def run(options: Options) -> str:
        ours, theirs = pyzk_launcher(options.command), oracle.launcher("3.9")
        pair = machine.Pair(ours, theirs, enforce_quota, door)
        examples = max(options.examples // share, 1)
        difference = machine.compare(pair, examples, STEPS, options.seed)
        if difference is not None:
            raise FailedError(difference)
        return f"{pair.commands} commands in {examples} examples answered equally"

    return run


def turns(options: Options) -> str:
    """Lets both servers take turns on one data directory."""
    try:
        return disk.check(
            pyzk_launcher(options.command), oracle.find("3.9"), 3, random.Random(options.seed)
        )
    except (disk.DiskError, NotStartedError) as error:
        raise FailedError(str(error)) from error


def audit_log(options: Options) -> str:
    """Compares the audit logs of both servers."""
    found, count = audit.difference(pyzk_launcher(options.command))
    if found:
        raise FailedError("\n".join(found))
    return f"{count} lines equal"


def admin_server(options: Options) -> str:
    """Compares the answers of the admin servers in every scene."""
    total = 0
    for scene in admin.SCENES:
        found, count = admin.run("3.9", scene, pyzk_launcher(options.command))
        if found:
            raise FailedError("\n".join(found))
        total += count
    return f"{total} answers of the admin server equal"


def kills(options: Options) -> str:
    """Does a few rounds of kill -9; make kill9 does many."""
    launcher = pyzk_launcher(options.command)
    try:
        totals = durability.Rounds(launcher, random.Random(options.seed)).run(options.rounds)
    except durability.LostError as error:
        raise FailedError(str(error)) from error
    return f"{totals.rounds} rounds of kill -9, {totals.acknowledged} acknowledged writes all there"


def mixed(options: Options) -> str:
    """Runs a few mixed ensembles; `python -m conformance.mixed` runs all."""
    words = []
    for scenario in scenarios.short():
        try:
            words.append(f"{scenario.name}: {scenario.run()}")
        except MixedError as error:
            raise FailedError(f"{scenario.name}: {error}") from error
    return "; ".join(words)


PARTS: Final[dict[str, Callable[[Options], str]]] = {
    "recordings": recordings,
    "order of names": orders,
    "audit log": audit_log,
    "admin server": admin_server,
    "kill -9": kills,
    "differential": differential(),
    "differential, hard quotas": differential(enforce_quota=True, share=3),
    "differential, TLS and certificates": differential(door="tls", share=10),
    "differential, logins by SASL": differential(door="sasl", share=10),
    "one directory in turn": turns,
    "mixed ensembles": mixed,
}


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 when anything differs."""
    parser = argparse.ArgumentParser(prog="python -m conformance.run")
    parser.add_argument("--command", help="server command line with {cfg} and {props}")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="of the differential run")
    parser.add_argument("--rounds", type=int, default=10, help="of kill -9")
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    given = parser.parse_args(arguments)
    seed = given.seed if given.seed is not None else int.from_bytes(os.urandom(3), "big")
    options = Options(given.command, given.examples, given.rounds, seed)
    summary = []
    failed = skipped = 0
    for name, part in PARTS.items():
        begin = time.monotonic()
        try:
            line = f"ok       {name}: {part(options)}"
        except OracleMissingError as missing:
            skipped += 1
            line = f"SKIPPED  {name}: {missing}"
        except FailedError as error:
            failed += 1
            print(f"{name}:\n{error}", flush=True)
            line = f"FAILED   {name} (above)"
        summary.append(f"{line} ({time.monotonic() - begin:.0f} s)")
        print(summary[-1], flush=True)
    print(f"\nconformance, seed {seed}:")
    print("\n".join(summary))
    print(f"{len(PARTS) - failed - skipped} ok, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
