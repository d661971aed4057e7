"""The numbers of a server as Prometheus takes them: families of samples with labels.

Pure. Answers to PrometheusMetricsProvider. Names, labels and types are the original's: no prefix,
no ``_total`` behind a counter, the median of a plain summary, three quantiles of a detailed one,
the label ``key`` in what is counted by namespace or learner. What only pyzk has begins with
``pyzk_``, and its counters end with ``_total``.

The families come one by one, for there may be a thousand namespaces: whoever writes them can let
others have their turn in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pyzk.metrics import UNKNOWN_OPERATION
from pyzk.server import operation_names
from pyzk.server.connection import CLOSED
from pyzk.server.fourletter_mntr import gauges

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyzk.server.frequent import Frequent
    from pyzk.server.server import Server
    from pyzk.summaries import PercentileSummary, Summary

GAUGE: Final = "gauge"
COUNTER: Final = "counter"
SUMMARY: Final = "summary"

BASIC_QUANTILES: Final = (0.5,)
DETAILED_QUANTILES: Final = (0.5, 0.9, 0.99)
NAN: Final = float("nan")

ACK_LATENCY: Final = "ack_latency"
QUEUE_SETS: Final = ("learner_handler_qp_size", "learner_handler_qp_time_ms")
"""The sets that nobody feeds here: no packet waits for a learner by itself."""
READ_SET: Final = "read_per_namespace"
WRITE_SET: Final = "write_per_namespace"
QUOTA_SET: Final = "quota_exceeded_error_per_namespace"

PROCESS_KINDS: Final = {
    "process_cpu_seconds_total": COUNTER,
    "process_start_time_seconds": GAUGE,
    "process_open_fds": GAUGE,
    "process_max_fds": GAUGE,
    "process_virtual_memory_bytes": GAUGE,
    "process_resident_memory_bytes": GAUGE,
    "jvm_threads_current": GAUGE,
    "jvm_threads_daemon": GAUGE,
}
"""What the world can tell of the process."""

BREATH_CONNECTIONS: Final = 1000
"""After so many connections others may have their turn."""


class Sample(NamedTuple):
    """One number under its full name."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


class Family(NamedTuple):
    """All samples of one name."""

    name: str
    kind: str
    """Gauge, counter or summary."""
    samples: list[Sample]


BREATH: Final = Family("", GAUGE, [])
"""What is no family: others may have their turn before the next one."""

Counts = dict[str, int]
"""The name of each summary -> how many values it had at some moment."""


def families(server: Server, before: Mapping[str, int] | None = None) -> Iterator[Family]:
    """Yield every family of a server, in the order of mntr.

    Quantiles are those of the values that have come since there were so many as ``before`` says;
    without it, of all that are kept. As in the original there are no gauges while the server does
    not serve."""
    values: Mapping[str, int | float] = {}
    if server.is_running:
        values = gauges(server)
        yield from _gauge_families(server, values)
    metrics = server.metrics
    for name, count in metrics.counters():
        yield Family(name, COUNTER, [Sample(name, (), count)])
    violations = server.database.tree.quota.violations
    yield Family(QUOTA_SET, COUNTER, _keyed(QUOTA_SET, violations))
    since = before or {}
    for name, summary in metrics.summaries():
        yield Family(name, SUMMARY, _summary(name, summary, BASIC_QUANTILES, since.get(name, 0)))
    for name, summary in metrics.percentile_summaries():
        yield Family(name, SUMMARY, _summary(name, summary, DETAILED_QUANTILES, since.get(name, 0)))
    yield from _sets(server)
    if server.config.metrics_export_jvm_info:
        yield from _process(server, values)
    yield from _ours(server)


def counts(server: Server) -> Counts:
    """Return how many values each summary has had, for ``families`` to go by later."""
    metrics = server.metrics
    every = [*metrics.summaries(), *metrics.percentile_summaries()]
    return {name: summary.count for name, summary in every}


def _gauge_families(server: Server, values: Mapping[str, int | float]) -> Iterator[Family]:
    for name, value in values.items():
        yield Family(name, GAUGE, [Sample(name, (), value)])
    tree = server.database.tree
    for name, by_namespace in tree.quota.by_namespace(tree.nodes).items():
        yield Family(name, GAUGE, _keyed(name, by_namespace))


def _keyed(name: str, values: Mapping[str, int]) -> list[Sample]:
    return [Sample(name, (("key", key),), value) for key, value in values.items()]


def _summary(
    name: str,
    summary: PercentileSummary,
    quantiles: tuple[float, ...],
    before: int,
    labels: tuple[tuple[str, str], ...] = (),
) -> list[Sample]:
    """Return the samples of a summary that had ``before`` values when the window began; after a
    reset it may have fewer, all of them later."""
    count = summary.count
    recent = count - before if before <= count else count
    values: list[float] = [NAN for _ in quantiles]
    if recent:
        values = [*map(float, summary.recent(recent, *quantiles))]
    return [
        *(
            Sample(name, (*labels, ("quantile", str(quantile))), value)
            for quantile, value in zip(quantiles, values, strict=True)
        ),
        *_count_and_sum(name, summary, labels),
    ]


def _count_and_sum(
    name: str, summary: Summary, labels: tuple[tuple[str, str], ...]
) -> tuple[Sample, Sample]:
    return (
        Sample(f"{name}_count", labels, summary.count),
        Sample(f"{name}_sum", labels, summary.sum),
    )


def _sets(server: Server) -> Iterator[Family]:
    """Yield what is counted by a key. Of a namespace no values are kept, so it has no median."""
    metrics = server.metrics
    acks: list[Sample] = []
    for key, summary in metrics.ack_latency.items():
        acks += _summary(ACK_LATENCY, summary, DETAILED_QUANTILES, 0, (("key", key),))
    yield Family(ACK_LATENCY, SUMMARY, acks)
    for name in QUEUE_SETS:
        yield Family(name, SUMMARY, [])
    yield Family(READ_SET, SUMMARY, [])
    written: list[Sample] = []
    for key, plain in metrics.written.summaries.items():
        labels = (("key", key),)
        written.append(Sample(WRITE_SET, (*labels, ("quantile", "0.5")), NAN))
        written += _count_and_sum(WRITE_SET, plain, labels)
    yield Family(WRITE_SET, SUMMARY, written)


def _process(server: Server, values: Mapping[str, int | float]) -> Iterator[Family]:
    """Yield what is told of the process. Its files take time to count: ``values`` may have them."""
    told = dict(server.host.process())
    open_files, most_files = "open_file_descriptor_count", "max_file_descriptor_count"
    if open_files in values:
        told["process_open_fds"], told["process_max_fds"] = values[open_files], values[most_files]
    else:
        told["process_open_fds"], told["process_max_fds"] = server.host.file_descriptors()
    for name, kind in PROCESS_KINDS.items():
        if told.get(name, -1) >= 0:
            yield Family(name, kind, [Sample(name, (), told[name])])


def _ours(server: Server) -> Iterator[Family]:
    """Yield what only pyzk has."""
    metrics = server.metrics
    name = "pyzk_info"
    yield Family(name, GAUGE, [Sample(name, tuple(server.host.versions().items()), 1)])
    name = "pyzk_requests_total"
    counted = metrics.operations
    requests = [
        Sample(name, (("operation", label),), counted[opcode & UNKNOWN_OPERATION])
        for opcode, label in operation_names.NAMES.items()
    ]
    unknown = sum(counted) - sum(int(each.value) for each in requests)
    requests.append(Sample(name, (("operation", "unknown"),), unknown))
    yield Family(name, COUNTER, requests)
    name = "pyzk_slow_requests_total"
    yield Family(name, COUNTER, [Sample(name, (), metrics.slow_requests)])
    name = "pyzk_unsaved_configs"
    yield Family(name, GAUGE, [Sample(name, (), metrics.unsaved_configs)])
    if server.tops.paths is not None:
        yield from _top("path", server.tops.paths.counted)
    if server.tops.clients is not None:
        more: dict[str, int] = {}
        for number, connection in enumerate(list(server.connections)):
            if number % BREATH_CONNECTIONS == 0:
                yield BREATH
            if connection.state != CLOSED:  # else it is counted among those that have gone
                count = connection.stats.packets_received
                more[connection.host] = more.get(connection.host, 0) + count
        yield from _top("client", server.tops.clients, more)


def _top(what: str, counted: Frequent, more: dict[str, int] | None = None) -> Iterator[Family]:
    name = f"pyzk_top_{what}_requests"
    samples = [Sample(name, ((what, each),), count) for each, count in counted.most(more)]
    yield Family(name, GAUGE, samples)
    name = f"pyzk_top_{what}_error"
    yield Family(name, GAUGE, [Sample(name, (), counted.error)])
