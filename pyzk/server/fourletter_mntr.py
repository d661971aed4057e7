"""The values of mntr: what monitoring reads, as lines here and as JSON on the admin port.

Pure. Answers to MonitorCommand and DefaultMetricsProvider. All names of a server of the original
are there, alone or in an ensemble, in its order, whether they can change here or not. The one
exception is read_per_namespace: to keep it would make each getData a third slower. Three names at
the end are ours: how many configurations of its ensemble a member cannot save; the digest of the
tree, and the zxid of the tree that has it, so that `pyzk status` can compare servers that are at
the same zxid; ``hash`` has only every 128th.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk.data import paths
from pyzk.server.fourletter_text import java_double
from pyzk.summaries import PercentileSummary, Summary

PEER_STATES: Final = {"leader": "leading", "follower": "following", "observer": "observing"}

_ORDER: Final = (
    *("ephemerals_count", "num_alive_connections", "avg_latency", "min_proposal_size"),
    *("outstanding_requests", "znode_count", "global_sessions", "non_mtls_remote_conn_count"),
    *("last_client_response_size", "packets_sent", "packets_received", "max_proposal_size"),
    *("max_client_response_size", "synced_followers", "connection_drop_probability"),
    *("watch_count", "synced_non_voting_followers", "synced_observers", "auth_failed_count"),
    *("min_latency", "max_file_descriptor_count", "approximate_data_size"),
    *("open_file_descriptor_count", "last_proposal_size", "pending_syncs", "leader_uptime"),
    *("local_sessions", "uptime", "max_latency", "outstanding_tls_handshake", "learners"),
    *("min_client_response_size", "non_mtls_local_conn_count", "quorum_size"),
)
"""The names of the gauges in the original's order, those of a leader among them."""
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyzk.server.server import Server


MonitorValue = str | int | float


def monitor_lines(server: Server, version: str) -> Iterator[tuple[str, str]]:
    """Yield every (name, value) of the lines, without the prefix ``zk_``."""
    for name, value in monitor_values(server, version):
        yield name, java_double(value) if isinstance(value, float) else str(value)


def monitor_values(server: Server, version: str) -> Iterator[tuple[str, MonitorValue]]:
    """Yield every (name, value); the first of them are texts, the others numbers."""
    yield "version", version
    mode = server.role.mode
    yield "server_state", mode
    if mode in PEER_STATES:
        # Who serves is past discovery and synchronization.
        yield "peer_state", f"{PEER_STATES[mode]} - broadcast"
    master = server.role.gauges().get("observer_master_id")
    if master is not None:
        yield "observer_master_id", master
    if server.config.is_told_to_prometheus:
        yield from _samples(server)
    else:
        yield from _numbers(server)


def _samples(server: Server) -> Iterator[tuple[str, float]]:
    """Yield what Prometheus is told: names with labels, numbers with a fraction."""
    from pyzk.server.metric_families import families  # it has the gauges from here

    for family in families(server):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels)
            yield f"{sample.name}{{{labels}}}" if labels else sample.name, float(sample.value)


def _numbers(server: Server) -> Iterator[tuple[str, MonitorValue]]:
    """Yield what the original's default provider of metrics has, and what only pyzk has."""
    yield from gauges(server).items()
    tree = server.database.tree
    for name, by_namespace in tree.quota.by_namespace(tree.nodes).items():
        for namespace, usage in by_namespace.items():
            yield f"{namespace}_{name}", usage
    metrics = server.metrics
    yield from metrics.counters()
    for namespace, count in tree.quota.violations.items():
        yield f"{namespace}_quota_exceeded_error_per_namespace", count
    for name, summary in metrics.summaries():
        yield from _summary(name, summary)
    for name, percentiles in metrics.percentile_summaries():
        yield from _detailed_summary(name, percentiles)
    for namespace, written in metrics.written.summaries.items():
        yield from _summary(f"{namespace}_write_per_namespace", written)
    for sid, latencies in metrics.ack_latency.items():
        yield from _detailed_summary(f"{sid}_ack_latency", latencies)
    yield "unsaved_configs", metrics.unsaved_configs
    if tree.digests:
        yield "tree_digest", tree.digest
        yield "tree_digest_zxid", tree.last_zxid


def committed_configuration(server: Server) -> bytes:
    """Return the configuration of the ensemble that is in force, as /zookeeper/config has it."""
    node = server.database.tree.nodes.get(paths.CONFIG)
    return b"" if node is None else node.data or b""


def _summary(name: str, summary: Summary) -> Iterator[tuple[str, MonitorValue]]:
    yield f"avg_{name}", summary.average
    yield f"min_{name}", summary.min
    yield f"max_{name}", summary.max
    yield f"cnt_{name}", summary.count
    yield f"sum_{name}", summary.sum


def _detailed_summary(name: str, summary: PercentileSummary) -> Iterator[tuple[str, MonitorValue]]:
    yield from _summary(name, summary)
    values = summary.percentiles(0.5, 0.95, 0.99, 0.999)
    for label, value in zip(("p50", "p95", "p99", "p999"), values, strict=True):
        yield f"{label}_{name}", value


def gauges(server: Server) -> dict[str, int | float]:
    """Return what is true now, by name in the original's order."""
    metrics = server.metrics
    tree = server.database.tree
    open_files, most_files = server.host.file_descriptors()
    values: dict[str, int | float] = {
        "ephemerals_count": tree.ephemeral_count,
        "num_alive_connections": len(server.connections),
        "avg_latency": metrics.latency.average,
        "outstanding_requests": server.outstanding,
        "znode_count": tree.node_count,
        "global_sessions": len(server.database.sessions),
        "local_sessions": server.sessions.local_count,
        "last_client_response_size": metrics.last_client_response_size,
        "packets_sent": metrics.packets_sent,
        "packets_received": metrics.packets_received,
        "max_client_response_size": metrics.max_client_response_size,
        "connection_drop_probability": server.throttle.drop_probability,
        "watch_count": tree.watches.watch_count,
        "min_latency": metrics.latency.min,
        "max_file_descriptor_count": most_files,
        "approximate_data_size": tree.data_size,
        "open_file_descriptor_count": open_files,
        "uptime": server.clock.now_ms - server.started_ms,
        "max_latency": metrics.latency.max,
        "min_client_response_size": metrics.min_client_response_size,
        "non_mtls_remote_conn_count": metrics.non_mtls_remote_conn_count,
        "non_mtls_local_conn_count": metrics.non_mtls_local_conn_count,
        "auth_failed_count": metrics.auth_failed_count,
        "outstanding_tls_handshake": server.host.tls_handshakes(),
    }
    values.update(server.role.gauges())
    ensemble = server.config.ensemble
    if ensemble is not None and server.role.mode in PEER_STATES:
        values["quorum_size"] = len(ensemble.present(committed_configuration(server)).voters)
    return {name: values[name] for name in _ORDER if name in values}
