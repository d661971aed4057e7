"""The keys of metrics."""

from __future__ import annotations

import pytest

from pyzk.config.metrics_provider import DEFAULT, MOST_TOP, PROMETHEUS
from tests.config.test_server import parse, refusal


def test_metrics_are_told_to_prometheus_only_where_its_class_is_named() -> None:
    plain = parse()
    assert not plain.is_told_to_prometheus
    assert (plain.metrics_http_host, plain.metrics_http_port) == ("0.0.0.0", 7000)
    assert plain.metrics_export_jvm_info
    assert not parse(f"metricsProvider.className={DEFAULT}").is_told_to_prometheus
    told = parse(
        f"metricsProvider.className={PROMETHEUS}\nmetricsProvider.httpHost=127.0.0.1\n"
        "metricsProvider.httpPort=0\nmetricsProvider.exportJvmInfo=false\n"
        "metricsProvider.numWorkerThreads=4\n"
    )
    assert told.is_told_to_prometheus
    assert (told.metrics_http_host, told.metrics_http_port) == ("127.0.0.1", 0)
    assert not told.metrics_export_jvm_info
    assert told.notes == ((7, "metricsProvider.numWorkerThreads: has no effect in pyzk"),)
    assert told.warnings == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("metricsProvider.className=com.example.Graphite", f"{PROMETHEUS} or {DEFAULT}"),
        ("metricsProvider.httpPort=70000", "an integer from 0 to 65535"),
        (f"pyzk.metrics.topPaths={MOST_TOP + 1}", "an integer from 0 to 1000"),
        ("pyzk.metrics.topClients=-1", "an integer from 0 to 1000"),
        ("pyzk.slowRequestMs=1s", "an integer of at least 0"),
    ],
)
def test_a_wrong_value_is_refused(line: str, expected: str) -> None:
    error = refusal(line)
    assert (error.line, error.key) == (3, line.partition("=")[0])
    assert expected in str(error)


def test_what_costs_time_is_off_unless_asked_for() -> None:
    plain = parse()
    assert (plain.metrics_top_paths, plain.metrics_top_clients, plain.slow_request_ms) == (0, 0, 0)
    asked = parse(
        "pyzk.metrics.topPaths=10\n", "-Dzookeeper.pyzk.slowRequestMs=500".removeprefix("-D")
    )
    assert (asked.metrics_top_paths, asked.slow_request_ms) == (10, 500)
