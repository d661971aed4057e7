"""Mistakes in changes of the configuration are found, and nothing is found without them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from pyzk.quorum.configurations import Configurations
from pyzk.quorum.election import Election
from pyzk.quorum.leader_config import LeaderConfig
from pyzk.quorum.member import Member
from pyzk.sim.disk import SimDisk
from pyzk.sim.options import SAFETY
from pyzk.sim.run import simulate
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
