"""mntr as three agents read it that people run: each of them has its own idea of a line.

The rules are written anew here, from what the programs do: Telegraf's input zookeeper, Datadog's
check zk, and the page of Solr that shows the state of its ensemble.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import pytest

from pyzk.config.metrics_provider import PROMETHEUS
from pyzk.server import fourletter
from tests.server.test_fourletter import FakeServer
from tests.server.test_fourletter_ensemble import MEMBERS, member

TELEGRAF: Final = re.compile(r"zk_(\w[\w.-]*)\s+([\w.-]+)", re.ASCII)
DATADOG_LABELS: Final = re.compile(r'(\w+){(\w+)="(.+)"}\s+(\S+)')


def telegraf(text: str) -> dict[str, int | str]:
    """One line that it does not know costs it the whole answer. Numbers with a fraction are
    texts to it."""
    fields: dict[str, int | str] = {}
    for line in text.splitlines():
        match = TELEGRAF.match(line)
        assert match is not None, f"telegraf gives up: {line!r}"
        name, value = match.groups()
        fields[name] = int(value) if re.fullmatch(r"-?\d+", value) else value
    return fields


def datadog(text: str) -> dict[str, int]:
    """The first line is skipped unread. Others have labels, or two words, or are left out; so are
    numbers that are none."""
    found: dict[str, int] = {}
    for line in text.splitlines()[1:]:
        labelled = DATADOG_LABELS.match(line)
        words = [labelled[1] + labelled[3], labelled[4]] if labelled else line.split()
        if len(words) != 2 or words[0] in ("zk_server_state", "zk_version") or words[1] == "NaN":
            continue
        found[words[0]] = int(float(words[1]))
    return found


def solr(text: str) -> dict[str, str]:
    """Each line is a name and a value with a tab between them; what is not is shown as an error."""
    found = {}
    for line in text.splitlines():
        name, tab, value = line.partition("\t")
        assert tab, f"Solr shows an error: {line!r}"
        assert value, line
        found[name] = value.partition("\t")[0]
    return found


def busy(server: FakeServer) -> FakeServer:
    """A server of which every kind of metric has something to tell."""
    metrics = server.metrics
    for name in ("a", "a.b-c", "n_1"):
        metrics.written.add(f"/{name}", 10)
    metrics.count_ack(2, 7)
    metrics.updatelatency.add(12)
    metrics.fsynctime.add(3)
    server.database.tree.quota.violations["a"] = 1
    return server


@pytest.mark.parametrize("role", ["standalone", *MEMBERS])
def test_agents_read_every_line_of_mntr(role: str) -> None:
    server = busy(FakeServer() if role == "standalone" else member(role))
    text = server.ask("mntr")
    fields = telegraf(text)
    assert fields["server_state"] == server.role.mode
    assert fields["znode_count"] == server.database.tree.node_count
    assert fields["cnt_a.b-c_write_per_namespace"] == 1
    numbers = datadog(text)
    assert numbers["zk_max_updatelatency"] == 12
    assert len(numbers) == len(text.splitlines()) - len(
        [
            line
            for line in text.splitlines()
            if line.startswith(("zk_version", "zk_server_state", "zk_peer_state"))
        ]
    )
    values = solr(text)
    assert values["zk_server_state"] == server.role.mode
    if server.role.mode == "leader":
        assert int(float(values["zk_synced_followers"])) == server.role.shown["synced_followers"]
    for line in server.ask("conf").splitlines():
        assert "=" in line or line.startswith("membership:"), f"Solr shows an error: {line!r}"


def test_with_the_provider_of_prometheus_lines_have_labels() -> None:
    server = busy(FakeServer())
    server.config = replace(server.config, metrics_provider=PROMETHEUS)
    text = server.ask("mntr")
    lines = text.splitlines()
    assert lines[:2] == [f"zk_version\t{fourletter.VERSION}", "zk_server_state\tstandalone"]
    for line in (
        'zk_updatelatency{quantile="0.99"}\t12.0',
        "zk_updatelatency_count\t1.0",
        'zk_readlatency{quantile="0.5"}\tNaN',
        'zk_write_per_namespace_sum{key="a.b-c"}\t16.0',
        'zk_ack_latency{key="2",quantile="0.9"}\t7.0',
        'zk_quota_exceeded_error_per_namespace{key="a"}\t1.0',
    ):
        assert line in lines
    assert not [line for line in lines if line.startswith(("zk_avg_upd", "zk_cnt_", "zk_p99"))]
    assert solr(text)
    assert datadog(text)["zk_updatelatency0.99"] == 12
    with pytest.raises(AssertionError, match="telegraf gives up"):
        telegraf(text)
    assert server.metrics.updatelatency.count == 1
    server.ask("srst")
    assert server.metrics.updatelatency.count == 1
    assert server.database.tree.quota.violations == {"a": 1}
