"""The dashboard: names that a server has, queries that Prometheus understands, panels that fit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyzk.admin import metric_notes
from pyzk.server.metric_families import SUMMARY, families
from tests.deploy.prometheus_tools import RULES, metrics_of, promtool
from tests.world import World

yaml = pytest.importorskip("yaml", reason="needs PyYAML (pip install -e '.[dev]')")

ROOT = Path(__file__).parents[2]
BOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "pyzk.json").read_text())
OF_PROMETHEUS = {"up"}
"""What a scrape gives by itself."""


def panels() -> Iterator[dict[str, Any]]:
    for panel in BOARD["panels"]:
        yield panel
        yield from panel.get("panels", [])


PANELS = [panel for panel in panels() if panel["type"] != "row"]
QUERIES = [
    (f"{panel['title']} {target['refId']}", target["expr"])
    for panel in PANELS
    for target in panel["targets"]
]
ALERTS = [
    (rule["alert"], rule["expr"])
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
]
EXPRESSIONS = dict(QUERIES + ALERTS)
EXPRESSIONS["a new leader"] = BOARD["annotations"]["list"][0]["expr"]


def names_of_a_server() -> tuple[set[str], set[str]]:
    """The names of all samples of a server, and those that nobody ever feeds."""
    summaries = set(metric_notes.SUMMARIES)
    parts = {f"{name}{end}" for name in summaries for end in ("_count", "_sum")}
    fed = {*metric_notes.GAUGES, *metric_notes.COUNTERS, *summaries, *parts}
    fed |= {*metric_notes.PROCESS, *metric_notes.OURS}
    unfed = {name for group in metric_notes.UNFED for name in group.names}
    return fed, unfed


FED, UNFED = names_of_a_server()


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_metric_exists(name: str) -> None:
    found = metrics_of(EXPRESSIONS[name])
    assert found
    assert found - FED - OF_PROMETHEUS == set()
    assert found & UNFED == set()


def test_names_are_found_in_an_expression() -> None:
    expression = (
        'sum by (key) (rate(a_sum{x="y"}[5m])) / on (job, b) c{quantile="0.5"} > 2'
        " and d offset 1d unless on (job) max_over_time(e[1d]) or f - 1e3"
    )
    assert metrics_of(expression) == {"a_sum", "c", "d", "e", "f"}


def test_quantiles_are_those_that_there_are() -> None:
    have: dict[str, set[str]] = {}
    for family in families(World().peer.server):
        if family.kind == SUMMARY:
            told = {
                value for each in family.samples for key, value in each.labels if key == "quantile"
            }
            have[family.name] = told
    asked = 0
    for name, expression in EXPRESSIONS.items():
        for metric, quantile in re.findall(r'(\w+)\{[^}]*quantile="([\d.]+)"', expression):
            if metric == "ack_latency":  # of learners, which a lone server has not got
                assert quantile in ("0.5", "0.9", "0.99")
                continue
            asked += 1
            assert quantile in have[metric], name
    assert asked > 5


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_is_about_the_chosen_members(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        for labels in re.findall(r"\{([^{}]*)\}", target["expr"]):
            assert labels.startswith('job="$job"')
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    identifiers = [target["refId"] for target in panel["targets"]]
    assert identifiers == sorted(set(identifiers))


def test_an_alert_is_about_the_job() -> None:
    for name, expression in ALERTS:
        metrics = metrics_of(expression)
        assert len(re.findall(r'\{job=~"zookeeper\.\*"\}', expression)) >= len(metrics), name


def test_prometheus_understands_all_of_it(tmp_path: Path) -> None:
    rules = [
        {
            "record": f"panel:{number}",
            "expr": expression.replace("$__rate_interval", "5m").replace("$instance", ".*"),
        }
        for number, expression in enumerate(EXPRESSIONS.values())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))
    promtool("check", "rules", "--lint=none", file)
    rules[0]["expr"] += " +"
    file.write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))
    assert "parse error" in promtool("check", "rules", "--lint=none", file, check=False)


def test_every_number_stands_for_one_panel() -> None:
    numbers = [panel["id"] for panel in panels()]
    assert len(numbers) == len(set(numbers))


def test_no_panel_covers_another() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel["title"])
                assert other == panel["title"], (x, y)


def test_variables_that_are_asked_for_are_there() -> None:
    text = json.dumps(BOARD)
    asked = set(re.findall(r"\$\{?([a-z]\w*)", text)) - {"__rate_interval"}
    assert asked == {each["name"] for each in BOARD["templating"]["list"]}
