"""The alerts, by promtool: each fires when it should, and none else; in quiet times none does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.prometheus_tools import ROOT, RULES, promtool

yaml = pytest.importorskip("yaml", reason="needs PyYAML (pip install -e '.[dev]')")

ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in ALERTS]
PAGE = (ROOT / "docs" / "monitoring.md").read_text()

MINUTES = 180
MEMBERS = ("zk1", "zk2", "zk3")
GONE = f"1x60 stale _x{MINUTES}"
"""The series of something that was there for an hour."""

EVERYWHERE = {
    "up": "1",
    "uptime": "0+60000",
    "quorum_size": "3",
    "looking_count": "1",
    "process_start_time_seconds": "1000",
    "process_cpu_seconds_total": "0+6",
    "fsynctime_sum": "0+600",
    "fsynctime_count": "0+60",
    "updatelatency_sum": "0+1200",
    "updatelatency_count": "0+60",
    "jvm_pause_time_ms_sum": "0+60",
    "outstanding_requests": "3",
    "stale_sessions_expired": "5",
    "connection_rejected": "7",
    "open_file_descriptor_count": "100",
    "max_file_descriptor_count": "10000",
    "large_requests_rejected": "1",
    "unsuccessful_handshake": "9",
    "digest_mismatches_count": "0",
    "snapshot_error_count": "1",
    "znode_count": "150000",
    "pyzk_unsaved_configs": "0",
}
ON_THE_LEADER = {
    "leader_uptime": "0+60000",
    "synced_followers": "2",
    "synced_non_voting_followers": "0",
    "pending_syncs": "0",
}
GAUGES = ("uptime", "quorum_size", "outstanding_requests", "znode_count",
          "open_file_descriptor_count", "max_file_descriptor_count")  # fmt: skip
"""What a member does not tell while it serves nobody."""

GROWING = "znodes that become more each day"
"""A case that looks back at the day before."""

Series = dict[tuple[str, str], str]


def whole(values: str, minutes: int = MINUTES) -> str:
    """Values of the form `5`, `0+1` (a minute) or of promtool's own for all the time."""
    if "x" in values:
        return values
    return f"{values}x{minutes}" if "+" in values else f"{values}+0x{minutes}"


def quiet(members: tuple[str, ...] = MEMBERS) -> Series:
    made = {(name, member): values for member in members for name, values in EVERYWHERE.items()}
    return made | {(name, "zk1"): values for name, values in ON_THE_LEADER.items()}


def lone() -> Series:
    made = {(name, "zk1"): values for name, values in EVERYWHERE.items()}
    del made["quorum_size", "zk1"]
    return made


def gone(member: str, names: tuple[str, ...]) -> Series:
    return {(name, member): GONE for name in names}


def only(name: str, values: str, member: str = "zk2") -> Series:
    return {(name, member): values}


CASES: Mapping[str, tuple[Series, Mapping[str, int]]] = {
    "a member is away": (
        gone("zk3", tuple(EVERYWHERE)) | {("up", "zk3"): "1x60 0x120"}
        | only("synced_followers", "2x60 1x120", "zk1"),
        {"ZooKeeperMemberDown": 1, "ZooKeeperQuorumAtRisk": 1},
    ),
    "a member is in no quorum": (
        gone("zk3", GAUGES) | only("synced_followers", "2x60 1x120", "zk1"),
        {"ZooKeeperNotServing": 1, "ZooKeeperQuorumAtRisk": 1},
    ),
    "nobody leads": (
        gone("zk1", (*GAUGES, *ON_THE_LEADER)) | gone("zk2", GAUGES) | gone("zk3", GAUGES),
        {"ZooKeeperNotServing": 3, "ZooKeeperNoLeader": 1},
    ),
    "a follower that has no vote is no help": (
        only("synced_non_voting_followers", "1", "zk1"),
        {"ZooKeeperQuorumAtRisk": 1},
    ),
    "two lead": (only("leader_uptime", "1000"), {"ZooKeeperTwoLeaders": 1}),
    "elections": (only("looking_count", "1x150 2 3 4 5 6x20"), {"ZooKeeperElections": 1}),
    "restarts": (
        only("process_start_time_seconds", "1x130 2x10 3x10 4x30"),
        {"ZooKeeperRestarts": 1},
    ),
    "members disagree": (only("quorum_size", "5"), {"ZooKeeperMembersDisagree": 1}),
    "a slow disk": (only("fsynctime_sum", "0+3600"), {"ZooKeeperSlowDisk": 1}),
    "slow writes": (only("updatelatency_sum", "0+18000"), {"ZooKeeperSlowWrites": 1}),
    "many requests": (only("outstanding_requests", "900"), {"ZooKeeperRequestsPileUp": 1}),
    "syncs that wait": (only("pending_syncs", "11", "zk1"), {"ZooKeeperSyncsWait": 1}),
    "a busy loop": (only("process_cpu_seconds_total", "0+55"), {"ZooKeeperBusy": 1}),
    "pauses": (only("jvm_pause_time_ms_sum", "0+9000"), {"ZooKeeperPauses": 1}),
    "sessions expire": (
        only("stale_sessions_expired", "0+3", "zk1"),
        {"ZooKeeperSessionsExpire": 1},
    ),
    "connections refused": (only("connection_rejected", "0+1"), {"ZooKeeperConnectionsRefused": 1}),
    "files": (only("open_file_descriptor_count", "8000"), {"ZooKeeperFiles": 1}),
    "a large request": (only("large_requests_rejected", "0+1"), {"ZooKeeperRequestsTooLarge": 1}),
    "handshakes": (only("unsuccessful_handshake", "0+2"), {"ZooKeeperHandshakesFail": 1}),
    "data that differ": (only("digest_mismatches_count", "1"), {"ZooKeeperDataDiffer": 1}),
    "snapshots": (only("snapshot_error_count", "0+1"), {"ZooKeeperSnapshotsFail": 1}),
    GROWING: (only("znode_count", "60000x1440 150000x400"), {"ZooKeeperZnodesGrow": 1}),
    "a configuration": (only("pyzk_unsaved_configs", "1"), {"ZooKeeperConfigUnsaved": 1}),
}  # fmt: skip


def group(case: str, series: Series, expected: Mapping[str, int]) -> dict[str, Any]:
    """A test of promtool: exactly these alerts fire at the end, for so many members each."""
    minutes = 1800 if case == GROWING else MINUTES
    return {
        "name": case,
        "interval": "1m",
        "input_series": [
            {
                "series": f'{name}{{job="zookeeper",instance="{member}"}}',
                "values": whole(values, minutes),
            }
            for (name, member), values in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{minutes - 5}m",
                "exp_samples": [
                    {"labels": f'{{alertname="{name}"}}', "value": count}
                    for name, count in expected.items()
                ],
            }
        ],
    }


def outcome(groups: list[dict[str, Any]], place: Path, *, check: bool = True) -> str:
    test = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": groups}
    file = place / "test.yml"
    file.write_text(json.dumps(test))
    return promtool("test", "rules", file, check=check)


def test_the_files_are_right() -> None:
    promtool("check", "rules", RULES)
    promtool("check", "config", RULES.with_name("prometheus.yml"))


@pytest.mark.slow
def test_each_alert_fires_when_it_should_and_no_other_does(tmp_path: Path) -> None:
    """In one run of promtool, which names the cases that fail; it takes a second for each start."""
    groups = [group(case, quiet() | changes, wanted) for case, (changes, wanted) in CASES.items()]
    groups.append(group("three members in quiet times", quiet(), {}))
    groups.append(group("a lone server in quiet times", lone(), {}))
    outcome(groups, tmp_path)


def test_promtool_would_notice(tmp_path: Path) -> None:
    wrong = group("a wrong case", quiet() | only("quorum_size", "5"), {"ZooKeeperBusy": 1})
    said = outcome([wrong], tmp_path, check=False)
    assert "FAILED" in said
    assert "ZooKeeperMembersDisagree" in said


def test_every_alert_has_a_case() -> None:
    assert {name for _, expected in CASES.values() for name in expected} == set(NAMES)


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    name = rule["alert"]
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["runbook"] == f"docs/monitoring.md#{name.lower()}"
    part = re.search(rf"^### {name}\n+(.+?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert part is not None, f"docs/monitoring.md has no part on {name}"
    assert len(part[1].split()) > 25


def test_every_part_is_about_an_alert() -> None:
    assert re.findall(r"^### (ZooKeeper\w+)$", PAGE, re.MULTILINE) == NAMES
