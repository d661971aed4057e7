"""What a scrape is told, beside the names of mntr that Apache ZooKeeper 3.9.3 has recorded."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Final

import pytest

from pyzk.admin import metric_notes as notes
from pyzk.admin.prometheus import MARK_MS, WINDOW_MS, Window, scrape
from pyzk.constants import OpCode
from pyzk.server.frequent import Tops
from pyzk.server.metric_families import COUNTER, GAUGE, SUMMARY, Family
from tests.server.test_fourletter import FakeServer, golden
from tests.server.test_fourletter_ensemble import MEMBERS, RECORDED, member, names

TEXTS: Final = ("version", "server_state", "peer_state", "observer_master_id")
NOTED: Final = notes.GAUGES | notes.COUNTERS | notes.SUMMARIES
UNFED: Final = {name for each in notes.UNFED for name in each.names}


def told(server: FakeServer, window: Window | None = None, *names: str) -> dict[str, Family]:
    return {each.name: each for each in scrape(server.as_server, window or Window(), names)}


def values(family: Family) -> dict[tuple[str, ...], float]:
    """The value of each sample by its name and the values of its labels."""
    return {
        (each.name, *(value for _, value in each.labels)): each.value for each in family.samples
    }


def kinds_in_mntr(text: str) -> dict[str, str]:
    """The metrics of mntr, without those by a key, and what they are as far as their names say."""
    found: dict[str, str] = {}
    for name in names(text):
        bare = name.removeprefix("zk_")
        aspect, _, rest = bare.partition("_")
        if bare in TEXTS:
            continue
        if re.fullmatch("avg|min|max|cnt|sum|p50|p95|p99|p999", aspect) and f"zk_cnt_{rest}" in (
            each for each in names(text)
        ):
            found[rest] = SUMMARY if found.get(rest, SUMMARY) == SUMMARY else "both"
        else:
            found[bare] = "number"
    return found


@pytest.mark.parametrize("role", MEMBERS)
def test_a_scrape_has_the_names_that_mntr_of_the_original_has(role: str) -> None:
    families = told(member(role))
    wanted = kinds_in_mntr(RECORDED[role]["mntr"])
    ours = {
        name: SUMMARY if each.kind == SUMMARY else "number"
        for name, each in families.items()
        if name in NOTED or name in UNFED
    }
    sets = [name for name in ours if name.endswith("_per_namespace") or "learner_handler" in name]
    for name in [*sets, "ack_latency"]:
        ours.pop(name)
    assert ours == wanted


def test_samples_have_the_labels_of_the_original() -> None:
    server = FakeServer()
    metrics = server.metrics
    metrics.snap_count = 3
    for value in range(1, 101):
        metrics.fsynctime.add(value)
        metrics.updatelatency.add(value)
    metrics.written.add("/a/b", 10)
    metrics.count_ack(2, 7)
    server.database.tree.quota.violations["q"] = 3
    families = told(server)
    assert values(families["snap_count"]) == {("snap_count",): 3}
    assert families["fsynctime"].kind == families["updatelatency"].kind == SUMMARY
    assert values(families["fsynctime"]) == {
        ("fsynctime", "0.5"): 51,
        ("fsynctime_count",): 100,
        ("fsynctime_sum",): 5050,
    }
    assert values(families["updatelatency"]) == {
        ("updatelatency", "0.5"): 51,
        ("updatelatency", "0.9"): 91,
        ("updatelatency", "0.99"): 100,
        ("updatelatency_count",): 100,
        ("updatelatency_sum",): 5050,
    }
    written = values(families["write_per_namespace"])
    assert math.isnan(written.pop(("write_per_namespace", "a", "0.5")))
    assert written == {
        ("write_per_namespace_count", "a"): 1,
        ("write_per_namespace_sum", "a"): 14,
    }
    assert values(families["ack_latency"])["ack_latency", "2", "0.99"] == 7
    by_key = families["quota_exceeded_error_per_namespace"]
    assert (by_key.kind, values(by_key)) == (COUNTER, {(by_key.name, "q"): 3})


def test_an_empty_summary_has_no_quantile_and_a_set_no_sample() -> None:
    families = told(FakeServer())
    empty = values(families["updatelatency"])
    assert [math.isnan(value) for value in empty.values()] == [True, True, True, False, False]
    for name in ("ack_latency", "write_per_namespace", "read_per_namespace"):
        assert families[name].samples == []


def test_quantiles_are_those_of_the_last_ten_minutes() -> None:
    server = FakeServer()
    window, updates = Window(), server.metrics.updatelatency

    def median() -> float:
        return values(told(server, window)["updatelatency"])["updatelatency", "0.5"]

    updates.add_many(1000, 100)
    assert median() == 1000
    server.clock.now_ms += WINDOW_MS // 2
    updates.add(5)
    assert median() == 1000, "five minutes old"
    server.clock.now_ms += WINDOW_MS // 2
    assert median() == 5
    server.clock.now_ms += WINDOW_MS // 2
    assert math.isnan(median())
    updates.add(6)
    assert median() == 6
    updates.reset()
    updates.add(7)
    assert median() == 7, "after srst there are fewer values than before"


def test_scrapes_that_come_close_are_one_mark_of_the_window() -> None:
    server = FakeServer()
    window = Window()
    for _ in range(1000):
        told(server, window)
        server.clock.now_ms += MARK_MS // 100
    assert len(window._marks) == 10
    server.clock.now_ms += 2 * WINDOW_MS
    told(server, window)
    told(server, window)
    assert len(window._marks) == 2


def test_names_choose_samples() -> None:
    families = told(FakeServer(), None, "uptime", "fsynctime_sum", "no_such")
    assert list(families) == ["uptime", "fsynctime"]
    assert [each.name for each in families["fsynctime"].samples] == ["fsynctime_sum"]


def test_a_server_that_does_not_serve_has_no_gauges_but_those_of_the_process() -> None:
    server = FakeServer()
    server.is_running = False
    server.host.file_descriptors = lambda: (7, 100)
    families = told(server)
    gauges = {name for name, each in families.items() if each.kind == GAUGE}
    assert gauges & set(notes.GAUGES) == set()
    assert families["process_open_fds"].samples[0].value == 7
    assert "looking_count" in families


def test_the_process_is_left_out_where_nobody_wants_it() -> None:
    server = FakeServer()
    server.host.process = lambda: {"process_cpu_seconds_total": 1.5}
    assert values(told(server)["process_cpu_seconds_total"]) == {
        ("process_cpu_seconds_total",): 1.5
    }
    server.config = replace(server.config, metrics_export_jvm_info=False)
    assert [name for name in told(server) if name in notes.PROCESS] == []


def test_requests_are_told_by_operation() -> None:
    server = FakeServer()
    for opcode in (OpCode.GET_DATA, OpCode.CLOSE_SESSION, OpCode.CHECK, 99, 1 << 30, -(1 << 31)):
        server.metrics.count_operations(opcode, 2)
    asked = values(told(server)["pyzk_requests_total"])
    wanted = {"getData": 2, "closeSession": 2, "unknown": 8}
    assert {key[1]: value for key, value in asked.items() if value} == wanted


def test_every_name_is_noted_once_and_every_note_has_a_name() -> None:
    known = [
        *NOTED,
        *UNFED,
        *notes.OURS,
        *notes.PROCESS,
    ]
    assert len(known) == len(set(known))
    server = member("leader")
    server.tops = Tops(1, 1)
    server.host.process = lambda: dict.fromkeys(notes.PROCESS, 1)
    given = set(told(server))
    assert given - set(known) == set()
    assert set(known) - given == set()
    assert set(kinds_in_mntr(golden("fresh/mntr"))) <= set(known)
