"""Mixtures of three voters, and what is done with each.

Shell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conformance.mixed import compare, exercise
from conformance.mixed.ensemble import Ensemble
from conformance.mixed.members import PYZK


def led_by_either(version: str, counts: Iterable[int]) -> Iterator[list[str]]:
    """Yields three names, of which the last leads, with so many of this project; where both kinds
    are there, each leads once."""
    for count in counts:
        kinds = (PYZK, version)
        for leader in kinds if 0 < count < 3 else kinds[not count :][:1]:
            others = [PYZK] * count + [version] * (3 - count)
            others.remove(leader)
            yield [*others, leader]


def all_exercises(ensemble: Ensemble) -> str:
    """Starts all voters, of which the last leads: all exercises through each, and all agree."""
    ensemble.start(leader=len(ensemble.voters))
    words = exercise.everything(ensemble)
    return f"{words}; {compare.all_agree(ensemble)}"
