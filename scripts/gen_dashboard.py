"""Writes deploy/grafana/pyzk.json, the dashboard of an ensemble, from the rows of panels.

Shell. `python -m scripts.gen_dashboard [--check]`; the rows are in `scripts/dashboard_rows.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

from scripts import generated
from scripts.dashboard_rows import JOB, ROWS, Panel

TARGET: Final = generated.DOCS.parent / "deploy" / "grafana" / "pyzk.json"
COLUMNS: Final = 24
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.mappings:
        del defaults["min"]
        shown = {
            value: {"text": text, "color": color, "index": index}
            for index, (value, (text, color)) in enumerate(panel.mappings.items())
        }
        defaults["mappings"] = [{"type": "value", "options": shown}]
        defaults["custom"] = {"fillOpacity": 80, "lineWidth": 0}
    if panel.kind == "timeseries":
        defaults["custom"] = {"fillOpacity": 5, "lineWidth": 1, "showPoints": "never"}
    usual = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": usual if panel.options is None else panel.options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
                "instant": panel.kind in ("stat", "bargauge"),
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def panels() -> Iterator[dict[str, Any]]:
    """Yield the rows and panels, each at its place."""
    number, top = 0, 0
    for row in ROWS:
        number += 1
        head: dict[str, Any] = {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": row.is_collapsed,
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            "panels": [],
        }
        top += 1
        left, height, made = 0, 0, []
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, top = 0, top + height
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            made.append(_panel(panel, number, place))
            left, height = left + panel.width, panel.height
        top += height
        if row.is_collapsed:
            head["panels"] = made
            made = []
        yield head
        yield from made


def _variable(name: str, label: str, query: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        **more,
    }


def dashboard() -> dict[str, Any]:
    """Return the whole of it."""
    every = {"multi": True, "includeAll": True, "current": {"text": "All", "value": "$__all"}}
    return {
        "uid": "pyzk-ensemble",
        "title": "pyzk ensemble",
        "description": "An ensemble of pyzk, or of pyzk and Apache ZooKeeper. docs/monitoring.md",
        "tags": ["pyzk", "zookeeper"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {
            "list": [
                {
                    "name": "A new leader",
                    "enable": True,
                    "datasource": _SOURCE,
                    "expr": f"leader_uptime{{{JOB}}} < 60000",
                    "iconColor": "purple",
                    "titleFormat": "{{instance}} leads",
                    "step": "60s",
                }
            ]
        },
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                },
                _variable("job", "Ensemble", "label_values(znode_count, job)"),
                _variable("instance", "Member", f"label_values(up{{{JOB}}}, instance)", **every),
            ]
        },
        "panels": list(panels()),
    }


def generate(text: str = "") -> str:
    """Return the content of the file."""
    del text
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    sys.exit(generated.main(TARGET, generate))
