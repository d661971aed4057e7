"""The lines of mntr: what monitoring reads.

Pure. Answers to MonitorCommand and DefaultMetricsProvider. All names of a standalone server of the
original are there, in its order, whether they can change here or not. The one exception is
read_per_namespace: to keep it would make each getData a third slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.server.fourletter_text import java_double
from pyzk.summaries import Summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyzk.server.fourletter_view import ServerView


def monitor_lines(server: ServerView, version: str) -> Iterator[tuple[str, str]]:
    """Every (name, value) without the prefix ``zk_``."""
    yield "version", version
    yield "server_state", server.role.mode
    for name, gauge in _gauges(server).items():
        yield name, _number(gauge)
    tree = server.database.tree
    for name, by_namespace in tree.quota.by_namespace(tree.nodes).items():
        for namespace, usage in by_namespace.items():
            yield f"{namespace}_{name}", str(usage)
    metrics = server.metrics
    for name, count in metrics.counters():
        yield name, str(count)
    for namespace, count in tree.quota.violations.items():
        yield f"{namespace}_quota_exceeded_error_per_namespace", str(count)
    for name, summary in metrics.summaries():
        yield from _summary(name, summary)
    for name, percentiles in metrics.percentile_summaries():
        yield from _summary(name, percentiles)
        values = percentiles.percentiles(0.5, 0.95, 0.99, 0.999)
        for label, value in zip(("p50", "p95", "p99", "p999"), values, strict=True):
            yield f"{label}_{name}", str(value)
    for namespace, summary in metrics.write_per_namespace().items():
        yield from _summary(f"{namespace}_write_per_namespace", summary)


def _summary(name: str, summary: Summary) -> Iterator[tuple[str, str]]:
    yield f"avg_{name}", java_double(summary.average)
    yield f"min_{name}", str(summary.min)
    yield f"max_{name}", str(summary.max)
    yield f"cnt_{name}", str(summary.count)
    yield f"sum_{name}", str(summary.sum)


def _number(value: int | float) -> str:
    return str(value) if isinstance(value, int) else java_double(value)


def _gauges(server: ServerView) -> dict[str, int | float]:
    """What is true now, by name in the original's order."""
    return {
        "ephemerals_count": server.database.tree.ephemeral_count,
        "num_alive_connections": len(server.connections),
        "avg_latency": server.metrics.latency.average,
        "outstanding_requests": server.outstanding,
        "znode_count": server.database.tree.node_count,
        "global_sessions": len(server.database.sessions),
        "non_mtls_remote_conn_count": 0,
        "last_client_response_size": server.metrics.last_client_response_size,
        "packets_sent": server.metrics.packets_sent,
        "packets_received": server.metrics.packets_received,
        "max_client_response_size": server.metrics.max_client_response_size,
        "connection_drop_probability": server.throttle.drop_probability,
        "watch_count": server.database.tree.watches.watch_count,
        "auth_failed_count": 0,
        "min_latency": server.metrics.latency.min,
        "max_file_descriptor_count": server.file_descriptors()[1],
        "approximate_data_size": server.database.tree.approximate_data_size,
        "open_file_descriptor_count": server.file_descriptors()[0],
        "local_sessions": 0,
        "uptime": server.clock.now_ms - server.started_ms,
        "max_latency": server.metrics.latency.max,
        "outstanding_tls_handshake": 0,
        "min_client_response_size": server.metrics.min_client_response_size,
        "non_mtls_local_conn_count": 0,
    }
