"""Runs the scenarios: python -m conformance.mixed [--only NAME] [--list] [--original].

Shell.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from types import FrameType

from conformance.mixed import logs, scenarios, scenarios_of_changes
from conformance.mixed.connections import NudgingClient
from conformance.mixed.members import MixedError
from conformance.mixed.scenario import Scenario
from conformance.oracle import OracleMissingError


def _too_late(number: int, frame: FrameType | None) -> None:
    raise MixedError("the scenario took too long")


def run(scenario: Scenario) -> tuple[str, str]:
    """Runs one scenario; returns ok, FAILED or SKIPPED, and a few words."""
    signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(scenario.limit_s)
    try:
        return "ok", scenario.run()
    except OracleMissingError as missing:
        return "SKIPPED", str(missing)
    except Exception:
        traceback.print_exc()
        return "FAILED", "above"
    finally:
        signal.alarm(0)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 when a scenario failed."""
    parser = argparse.ArgumentParser(prog="python -m conformance.mixed")
    parser.add_argument("--only", action="append", metavar="NAME", help="those with NAME in it")
    parser.add_argument("--list", action="store_true")
    parser.add_argument(
        "--original", action="store_true", help="changes of the members without this project"
    )
    options = parser.parse_args(arguments)
    chosen = [
        scenario
        for scenario in (
            scenarios_of_changes.of_the_original()
            if options.original
            else scenarios.all_scenarios()
        )
        if not options.only or any(name in scenario.name for name in options.only)
    ]
    if options.list or not chosen:
        for scenario in chosen:
            print(f"{scenario.name:40} {scenario.text}")
        return 0 if chosen else 2
    counts = dict.fromkeys(("ok", "FAILED", "SKIPPED"), 0)
    for scenario in chosen:
        begin = time.monotonic()
        outcome, words = run(scenario)
        counts[outcome] += 1
        seconds = time.monotonic() - begin
        print(f"{outcome:8} {scenario.name}: {words} ({seconds:.0f} s)", flush=True)
    if NudgingClient.nudges:
        print(f"mixed: the original had to be reminded of {NudgingClient.nudges} requests")
    for words, count in sorted(logs.known.items()):
        print(f"mixed: a known fault of the original, {count} times: {words}")
    print(f"mixed: {', '.join(f'{count} {outcome}' for outcome, count in counts.items())}")
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
