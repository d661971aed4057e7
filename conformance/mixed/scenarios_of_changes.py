"""The scenarios in which the members of an ensemble change, each with a name.

Shell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from conformance.mixed import changes, migration_by_reconfig, observer_masters, once_hung
from conformance.mixed.members import PYZK
from conformance.mixed.scenario import VERSIONS, Scenario

LIMIT_S: Final = 400
NAMES: Final = "names"
OTHERS: Final = "newcomers"
CHANGES: Final[tuple[tuple[str, Callable[..., str], str], ...]] = (
    ("come-and-go", changes.come_and_go, "members are added, promoted, demoted and removed"),
    ("leader-leaves", changes.leader_leaves, "each leader in turn is removed and added again"),
    ("move", changes.move, "a follower and the leader move to other ports"),
    ("roles", changes.change_roles, "a follower and the leader become observers and voters again"),
    ("weights", changes.weigh, "groups and weights come, change and go"),
    ("back-to-back", changes.back_to_back, "administrators at all members do not wait"),
    *(
        (
            f"leader-killed-{stage}",
            partial(changes.under_way, stage=stage),
            f"the leader is killed when a change is {stage}",
        )
        for stage in (changes.PROPOSED, changes.LOGGED, changes.COMMITTED)
    ),
)
"""The name of each change, what does it, and what it is; most take the names of the voters, some
those of newcomers, too."""


def _compositions(version: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yields who leads, the voters, of which the last leads, and who comes."""
    yield version, [PYZK, version, version], [PYZK, version]
    yield PYZK, [version, PYZK, PYZK], [version, PYZK]


def _change(
    what: str, run: Callable[..., str], text: str, voters: list[str], newcomers: list[str]
) -> tuple[str, Callable[[], str]]:
    if run is changes.come_and_go:
        return text, partial(run, voters, newcomers)
    if what.startswith("leader-killed"):
        return text, partial(run, voters, newcomers[0])
    return text, partial(run, voters)


def of_changes() -> Iterator[Scenario]:
    """Each change in mixtures that either kind leads at first, and without the original."""
    for what, run, text in CHANGES:
        for version in VERSIONS:
            for leader, voters, newcomers in _compositions(version):
                words, bound = _change(what, run, text, voters, newcomers)
                name = f"change-{what}-{version}-led-by-{leader}"
                yield Scenario(name, f"{', '.join(voters)}: {words}", bound, LIMIT_S)
        words, bound = _change(what, run, text, [PYZK] * 3, [PYZK] * 2)
        yield Scenario(f"change-{what}-pyzk", f"three pyzk: {words}", bound, LIMIT_S)


def of_the_original() -> Iterator[Scenario]:
    """Each change, and what once hung, without this project: what the original does."""
    for version in VERSIONS:
        for what, run, text in CHANGES:
            words, bound = _change(what, run, text, [version] * 3, [version] * 2)
            yield Scenario(f"original-{what}-{version}", words, bound, LIMIT_S)
        for name, text, run in _once_hung([version] * 3, version):
            yield Scenario(f"original-{name}-{version}", text, run, LIMIT_S)


def _once_hung(names: list[str], newcomer: str) -> Iterator[tuple[str, str, Callable[[], str]]]:
    for leaving in (2, 3):
        run = partial(once_hung.after_removal, names, leaving)
        yield f"after-removal-of-{leaving}", f"a voter ({leaving}) goes, all are restarted", run
    for role in ("observer", "participant"):
        run = partial(once_hung.after_addition, names, newcomer, role == "observer")
        yield f"after-addition-of-{role}", f"a {role} comes, all are restarted", run
    for spelling in once_hung.SPELLINGS:
        run = partial(once_hung.with_another_spelling, names, spelling)
        yield f"spelt-{spelling}", "one spells the members otherwise, and the leader is lost", run
    yield (
        "designated",
        "the leader moves its quorum port, and one is designated",
        partial(once_hung.designated, names),
    )


def of_what_once_hung() -> Iterator[Scenario]:
    """One member of this project among the original's, and the other way round; a newcomer of this
    project among the original's; and each kind designated by each."""
    for version in VERSIONS:
        for leader, names, newcomers in _compositions(version):
            for name, text, run in _once_hung(names, newcomers[1]):
                full = f"once-hung-{name}-{version}-led-by-{leader}"
                yield Scenario(full, f"{', '.join(names)}: {text}", run, LIMIT_S)
        for role in ("observer", "participant"):
            run = partial(once_hung.after_addition, [version] * 3, PYZK, role == "observer")
            full = f"once-hung-joiner-{role}-{version}"
            yield Scenario(full, f"a pyzk {role} joins three of {version}", run, LIMIT_S)
        for leader, names in (
            (version, [version, PYZK, version]),
            (PYZK, [PYZK, version, PYZK]),
        ):
            full = f"once-hung-designated-{names[0]}-by-{leader}-{version}"
            run = partial(once_hung.designated, names)
            yield Scenario(full, f"{', '.join(names)}: the first is designated", run, LIMIT_S)


def of_observer_masters() -> Iterator[Scenario]:
    """Masters and observers of either kind."""
    for version in VERSIONS:
        for leader, voters, observers in _compositions(version):
            yield Scenario(
                f"observer-masters-{version}-led-by-{leader}",
                f"{', '.join(voters)} with observers, which lose their masters",
                partial(observer_masters.follow_masters, voters, observers),
                limit_s=600,
            )


def migrations() -> Iterator[Scenario]:
    """Migrations to this project and back by reconfiguration."""
    for version in VERSIONS:
        yield Scenario(
            f"migration-by-reconfig-{version}",
            f"a live ensemble of {version} becomes one of pyzk by reconfiguration, and goes back",
            partial(migration_by_reconfig.migrate, version),
            limit_s=600,
        )


def all_scenarios() -> list[Scenario]:
    """Every scenario, in the order in which they run."""
    return [*of_changes(), *of_what_once_hung(), *of_observer_masters(), *migrations()]
