"""Mistakes in changes of the configuration are found, and nothing is found without them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import attrs
import pytest

from pyzk.config.members import Membership
from pyzk.quorum.configurations import Configurations
from pyzk.quorum.election import Election
from pyzk.quorum.leader_config import LeaderConfig
from pyzk.quorum.member import Member
from pyzk.sim import world
from pyzk.sim.checkers.configs import ConfigChecker
from pyzk.sim.disk import SimDisk
from pyzk.sim.machine import Machine
from pyzk.sim.operator import Operator, _known
from pyzk.sim.options import SAFETY
from pyzk.sim.run import simulate
from pyzk.zxid import counter_of
from tests.sim import config_mutations as mistakes

SEEDS = 40

CHANGING: dict[str, object] = {
    "mode": SAFETY,
    "reconfig": True,
    "reconfig_s": 0.3,
    "admins": 1,
    "voters": 3,
    "observers": 0,
    "spares": 2,
    "groups": (),
    "weights": (),
    "is_declared_new": True,
    "lost_s": 0.0,
    "duration_s": 10,
    "operations": 20,
}
"""Few members and little else to do, so that much of a run is spent on changes."""
SHRINKING = {"voters": 5, "spares": 1}
"""A quorum of what is left is none of the members before."""
CROWDED = {"admins": 3, "reconfig_s": 0.05, "sync_us": 40_000}
"""Changes take long, and others are asked for meanwhile."""
DYING = {"admins": 2, "reconfig_s": 0.1, "sync_us": 40_000, "crash_point_steps": 60}
"""Changes take long, and leaders die meanwhile."""
GROWING = {
    "voters": 1,
    "standalone": False,
    "leader_serves": True,
    "admins": 2,
    "reconfig_s": 0.1,
    "sync_us": 40_000,
    "slow_syncs": 0.1,
    "latency_us": 100,
    "think_ms": 5,
    "operations": 60,
    "pipeline": 10,
    "leader_down_s": 3.0,
    **dict.fromkeys(("all_down_s", "crash_s", "partition_s", "pause_s", "port_s"), 0.0),
    **dict.fromkeys(("slow_s", "stall_s", "wipe_s"), 0.0),
    **dict.fromkeys(("crash_point_steps", "disk_point_steps"), 0),
}
"""The only voter has a slow disk, and dies while others are to get votes."""
WRITTEN = {
    "voters": 1,
    "observers": 1,
    "spares": 1,
    "standalone": False,
    "leader_serves": True,
    "all_down_s": 1.0,
    "crash_s": 2.0,
    "save_error_s": 0.0,
}
"""The only voter is down often."""
MISSING = {"admins": 2, "reconfig_s": 0.2, "crash_s": 1.5}
"""Members are away while others become their leaders."""


@dataclass
class Mistake:
    """A mistake, the runs that are made to find it, and the rules that they may find broken."""

    owner: type
    name: str
    wrong: object
    options: Mapping[str, object]
    rules: tuple[str, ...]


MISTAKES = {
    "old quorum": Mistake(
        Configurations, "verifiers", property(mistakes.old_quorum_only), {}, ("durability",)
    ),
    "new quorum": Mistake(
        Configurations,
        "verifiers",
        property(mistakes.new_quorum_only),
        SHRINKING,
        ("durability",),
    ),
    "hasty": Mistake(Member, "see_config", mistakes.hasty_see, {}, ("configurations",)),
    "careless": Mistake(
        LeaderConfig, "plan", mistakes.careless_plan, CROWDED, ("one change at a time",)
    ),
    "forgetful": Mistake(
        LeaderConfig,
        "begin_epoch",
        mistakes.forgetful_begin,
        DYING,
        ("configurations", "configuration files", "durability"),
    ),
    "numbering": Mistake(
        LeaderConfig, "begin_epoch", mistakes.numbering_begin, WRITTEN, ("configurations",)
    ),
    "without observers": Mistake(
        LeaderConfig, "begin_epoch", mistakes.former_begin, WRITTEN, ("configurations",)
    ),
    "told at once": Mistake(
        LeaderConfig, "is_told_later", mistakes.told_at_once, GROWING, ("progress",)
    ),
    "no adoption": Mistake(Election, "_is_newer", mistakes.no_adoption, MISSING, ("progress",)),
}


def first_found(
    options: Mapping[str, object], make_disk: type[SimDisk] = SimDisk
) -> tuple[int, str]:
    for seed in range(1, SEEDS + 1):
        result = simulate(seed, overrides={**CHANGING, **options}, make_disk=make_disk)
        if result.violation:
            return seed, result.violation.split(":")[0]
    return 0, ""


class Writer(Operator):
    """An operator who gives the lines of one of the configurations to each member that is down, the
    newest one if it is right."""

    is_right = True

    def _tend(self, machine: Machine) -> None:
        configs = self.world.checks.configs
        newest = configs.newest
        known = _known(machine)
        is_under_way = any(each.version > newest.version for each in known)
        if not machine.is_up and newest.version and newest.member(machine.sid) and not is_under_way:
            former = [each for each in configs.history if each.lines() != newest.lines()]
            chosen = newest if self.is_right or not former else former[-1]
            if chosen.member(machine.sid) is not None:
                lines = attrs.evolve(chosen, version=0)
                machine.disk.config.write_by_hand(lines)
                configs.written_by_hand(machine.sid, lines)
        super()._tend(machine)


class WrongWriter(Writer):
    """An operator who gives the lines of a former configuration to members that are down."""

    is_right = False


def names(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Returns a list that gets each version (epoch, 0) behind a change that is in force."""
    found: list[int] = []
    true_add = ConfigChecker._add

    def add(checker: ConfigChecker, config: Membership) -> None:
        if not counter_of(config.version):
            found.append(config.version)
        true_add(checker, config)

    monkeypatch.setattr(ConfigChecker, "_add", add)
    return found


@pytest.mark.parametrize("voters", [1, 3])
def test_the_lines_of_an_operator_are_a_later_version_of_what_they_say(
    voters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The members end in that version, which a run checks; clients may change it meanwhile."""
    monkeypatch.setattr(world, "Operator", Writer)
    named = names(monkeypatch)
    for seed in range(1, 9):
        result = simulate(seed, overrides={**CHANGING, **WRITTEN, "voters": voters})
        assert not result.violation, seed
    assert named


def test_the_lines_of_a_former_configuration_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(world, "Operator", WrongWriter)
        seed, rule = first_found(WRITTEN)
    assert rule == "configurations"
    assert is_clean(seed, WRITTEN)


def is_clean(seed: int, options: Mapping[str, object]) -> bool:
    return not simulate(seed, overrides={**CHANGING, **options}).violation


@pytest.mark.source
@pytest.mark.parametrize("which", MISTAKES)
def test_a_mistake_in_a_change_is_found(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mistake = MISTAKES[which]
    with monkeypatch.context() as patched:
        patched.setattr(mistake.owner, mistake.name, mistake.wrong)
        seed, rule = first_found(mistake.options)
    assert rule in mistake.rules
    assert is_clean(seed, mistake.options), "the mistake is not what was found"


def test_a_configuration_that_is_not_in_its_file_in_time_is_found() -> None:
    seed, rule = first_found({}, mistakes.ProposalNotSaved)
    assert rule == "configuration files"
    assert is_clean(seed, {})
