"""The keys of metrics: who is given them, on which port, and what is counted beside them.

Pure. The classes of the original that a server can have its metrics taken by are names here: pyzk
runs no Java, and does what each of them does.
ZooKeeper: MetricsProviderBootstrap, PrometheusMetricsProvider.configure
"""

from __future__ import annotations

from typing import Final

from pyzk.config.kinds import (
    BOOL,
    COUNT,
    HOST,
    PORT,
    Key,
    Kind,
    later,
    unused,
)

PREFIX: Final = "metricsProvider."
PROMETHEUS: Final = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
DEFAULT: Final = "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider"
MOST_TOP: Final = 1000
"""The most paths, or clients, of which a server tells how often they occur."""


def _provider(text: str) -> object:
    if text not in (DEFAULT, PROMETHEUS):
        raise ValueError(text)
    return text


def _top(text: str) -> object:
    value = COUNT.parse(text)
    assert isinstance(value, int), value
    if value > MOST_TOP:
        raise ValueError(text)
    return value


PROVIDER: Final = Kind(f"{PROMETHEUS} or {DEFAULT}", _provider)
TOP: Final = Kind(f"an integer from 0 to {MOST_TOP}", _top)

METRICS: Final = (
    Key(f"{PREFIX}className", PROVIDER, "metrics_provider", known=True),
    Key(f"{PREFIX}httpHost", HOST, "metrics_http_host", known=True),
    Key(f"{PREFIX}httpPort", PORT, "metrics_http_port", known=True),
    Key(f"{PREFIX}exportJvmInfo", BOOL, "metrics_export_jvm_info", known=True),
    unused(f"{PREFIX}numWorkerThreads", "1", known=True),
    unused(f"{PREFIX}maxQueueSize", "1000000", known=True),
    unused(f"{PREFIX}workerShutdownTimeoutMs", "1000", known=True),
    later(f"{PREFIX}httpsPort", known=True),
    Key("pyzk.metrics.topPaths", TOP, "metrics_top_paths"),
    Key("pyzk.metrics.topClients", TOP, "metrics_top_clients"),
    Key("pyzk.slowRequestMs", COUNT, "slow_request_ms"),
)
