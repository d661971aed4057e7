"""What is tried with mixed ensembles, each scenario a function with a name.

Shell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import attrs

from conformance.mixed import compare, exercise
from conformance.mixed.ensemble import Ensemble
from conformance.mixed.members import PYZK, implementation

VERSIONS: Final = ("3.9", "3.8")


@attrs.frozen
class Scenario:
    """A name, what it shows, and how it is run."""

    name: str
    text: str
    run: Callable[[], str]
    limit_s: int = 240


def composition(names: list[str]) -> str:
    """Three voters, the last of them leads: everything through each, and all agree."""
    with Ensemble([implementation(name) for name in names]) as ensemble:
        ensemble.start(leader=len(names))
        words = exercise.everything(ensemble)
        return f"{words}; {compare.all_agree(ensemble)}"


def compositions() -> Iterator[Scenario]:
    """0 to 3 of this project's servers with each version of the original, led by each."""
    for version in VERSIONS:
        for count in range(4 if version == VERSIONS[0] else 3):
            for leader in {PYZK, version} if 0 < count < 3 else {PYZK if count else version}:
                others = [PYZK] * count + [version] * (3 - count)
                others.remove(leader)
                names = [*others, leader]
                name = f"three-{version}-{count}-pyzk-led-by-{leader}"
                yield Scenario(
                    name,
                    f"{', '.join(others)} led by {leader}: everything through each member",
                    lambda names=names: composition(names),  # type: ignore[misc]
                )


def all_scenarios() -> list[Scenario]:
    """Every scenario, in the order in which they run."""
    return [*compositions()]
