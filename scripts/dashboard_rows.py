"""The panels of the dashboard of an ensemble: titles, how to read them, and their queries.

`scripts/gen_dashboard.py` makes deploy/grafana/pyzk.json of them. Where a panel stands follows from
the order. tests/deploy compares the names of metrics with those that a server has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

JOB: Final = 'job="$job"'
ONE: Final = f'{JOB},instance=~"$instance"'
MS: Final = "ms"
BYTES: Final = "bytes"
SECOND: Final = "ops"
SHORT: Final = "short"


class Query(NamedTuple):
    """One line, or one for each member."""

    expression: str
    legend: str = "{{instance}}"


class Panel(NamedTuple):
    """One rectangle."""

    title: str
    description: str
    queries: Sequence[Query]
    unit: str = SHORT
    kind: str = "timeseries"
    width: int = 8
    height: int = 7
    options: dict[str, Any] | None = None
    mappings: dict[str, tuple[str, str]] | None = None
    """Value -> text and color."""


class Row(NamedTuple):
    """A headline and the panels below it."""

    title: str
    panels: Sequence[Panel]
    is_collapsed: bool = False


def rate(name: str, labels: str = ONE) -> str:
    return f"rate({name}{{{labels}}}[$__rate_interval])"


def each(name: str) -> Query:
    """The value itself, of each member."""
    return Query(f"{name}{{{ONE}}}")


def mean(name: str) -> Query:
    """The mean of a summary over the time that a point of the graph stands for."""
    return Query(f"{rate(f'{name}_sum')} / {rate(f'{name}_count')}", "{{instance}} mean")


def quantile(name: str, value: str) -> Query:
    return Query(f'{name}{{{ONE},quantile="{value}"}}', f"{{{{instance}}}} {value}")


def total(name: str, legend: str) -> Query:
    return Query(f"sum({rate(name)})", legend)


def single(title: str, description: str, expression: str, **more: Any) -> Panel:
    """One number."""
    mode = more.pop("mode", "value")
    options = {
        "textMode": mode,
        "colorMode": more.pop("color", "value"),
        "graphMode": "none",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    query = Query(expression, more.pop("legend", "{{instance}}"))
    return Panel(
        title, description, [query], kind="stat", width=3, height=4, options=options, **more
    )


ROLE: Final = f"(leader_uptime{{{ONE}}} * 0 + 2) or (uptime{{{ONE}}} * 0 + 1) or (up{{{ONE}}} - 1)"
ROLES: Final = {
    "2": ("leads", "purple"),
    "1": ("serves", "green"),
    "0": ("does not serve", "orange"),
    "-1": ("does not answer", "red"),
}

OVERVIEW: Final = Row(
    "Ensemble",
    [
        single(
            "Members that answer",
            "How many of the members in prometheus.yml answer.",
            f"sum(up{{{JOB}}})",
        ),
        single(
            "Leader",
            "Which member leads. Nothing while there is none; a lone server has none.",
            f"leader_uptime{{{JOB}}}",
            mode="name",
        ),
        single("Leads for", "How long it has led.", f"leader_uptime{{{JOB}}}", unit=MS),
        single(
            "Voters in sync",
            "The leader and the voting followers that are in sync with it. Below a majority of the"
            " voters nothing can be written.",
            f"max(synced_followers{{{JOB}}} - synced_non_voting_followers{{{JOB}}} + 1)",
        ),
        single("Voters", "Voters of the ensemble.", f"max(quorum_size{{{JOB}}})"),
        single("Observers in sync", "", f"sum(synced_observers{{{JOB}}})"),
        single(
            "Connections", "Of clients, to all members.", f"sum(num_alive_connections{{{JOB}}})"
        ),
        single("Znodes", "On the member that has most.", f"max(znode_count{{{JOB}}})"),
        Panel(
            "Roles",
            "What each member was, and when. Short gaps of all members at once are elections.",
            [Query(ROLE)],
            kind="state-timeline",
            width=24,
            height=6,
            mappings=ROLES,
            options={"mergeValues": True, "showValue": "never", "rowHeight": 0.8},
        ),
    ],
)

REQUESTS: Final = Row(
    "Requests",
    [
        Panel(
            "Requests by operation",
            "What clients ask for, a second, of the chosen members together. Pings included.",
            [Query(f"sum by (operation) ({rate('pyzk_requests_total')}) > 0", "{{operation}}")],
            SECOND,
        ),
        Panel(
            "Packets",
            "Frames of clients, and replies and watch events to them.",
            [
                total("packets_received", "received"),
                total("packets_sent", "sent"),
            ],
            SECOND,
        ),
        Panel(
            "Bytes",
            "",
            [
                total("bytes_received_count", "received"),
                total("response_bytes", "replies"),
                total("watch_bytes", "watch events"),
            ],
            "Bps",
        ),
        Panel(
            "Latency of reads",
            "From a read to its reply, without the network. A read waits for earlier writes of its"
            " session.",
            [mean("readlatency"), quantile("readlatency", "0.99")],
            MS,
        ),
        Panel(
            "Latency of writes",
            "From a write to its reply: the disks of a majority, mostly.",
            [mean("updatelatency"), quantile("updatelatency", "0.99")],
            MS,
        ),
        Panel(
            "Requests under way",
            "At globalOutstandingLimit (1000 by default) a server reads less from its clients.",
            [each("outstanding_requests")],
        ),
        Panel(
            "Slow requests",
            "With pyzk.slowRequestMs: requests that took as long as that, a second.",
            [Query(rate("pyzk_slow_requests_total"))],
            SECOND,
        ),
        Panel(
            "Requests that had to wait in line, or were refused",
            "By request_throttle_max_requests, and by throttled_op_wait_time.",
            [
                Query(rate("request_throttle_wait_count"), "{{instance}} waited"),
                Query(rate("throttled_ops"), "{{instance}} refused"),
                Query(rate("stale_requests_dropped"), "{{instance}} dropped"),
                Query(rate("large_requests_rejected"), "{{instance}} too large"),
            ],
            SECOND,
        ),
        Panel(
            "Lists of children that were kept",
            "The share of getChildren that needed no new list.",
            [
                Query(
                    f"{rate('response_packet_get_children_cache_hits')} / "
                    f"({rate('response_packet_get_children_cache_hits')} + "
                    f"{rate('response_packet_get_children_cache_misses')})"
                )
            ],
            "percentunit",
        ),
    ],
)

REPLICATION: Final = Row(
    "Replication",
    [
        Panel(
            "Transactions",
            "Proposals and commits of the leader, and commits that the others hear of.",
            [
                Query(rate("proposal_count"), "{{instance}} proposed"),
                Query(rate("commit_count"), "{{instance}} committed"),
                Query(rate("learner_commit_received_count"), "{{instance}} heard of"),
            ],
            SECOND,
        ),
        Panel(
            "Until a quorum has it",
            "On the leader: from the making of a transaction until a quorum has it on disk.",
            [mean("quorum_ack_latency"), quantile("quorum_ack_latency", "0.99")],
            MS,
        ),
        Panel(
            "Until a member has acknowledged",
            "On the leader, by the id of the member; the slowest is the one to look at. One"
            " transaction in 1000 is timed, so this is empty while there are few writes:"
            " leader.ackLoggingFrequency=1 in zoo.cfg times all of them.",
            [Query(f'ack_latency{{{ONE},quantile="0.99"}}', "server {{key}}: 0.99")],
            MS,
        ),
        Panel(
            "Until it is applied",
            "From the making of a transaction until a member has applied it: how far it lags. The"
            " clocks of two machines are compared, so it is off by their difference.",
            [mean("propagation_latency"), quantile("propagation_latency", "0.99")],
            MS,
        ),
        Panel(
            "Learners, and syncs that wait",
            "On the leader.",
            [
                Query(f"learners{{{ONE}}}", "{{instance}} learners"),
                Query(f"synced_followers{{{ONE}}}", "{{instance}} followers in sync"),
                Query(f"synced_observers{{{ONE}}}", "{{instance}} observers in sync"),
                Query(f"pending_syncs{{{ONE}}}", "{{instance}} syncs that wait"),
            ],
        ),
        Panel(
            "How learners were brought up to date",
            "Transactions that they lacked, or a whole snapshot, which costs more.",
            [
                Query(
                    f"increase(diff_count{{{ONE}}}[$__rate_interval])", "{{instance}} difference"
                ),
                Query(f"increase(snap_count{{{ONE}}}[$__rate_interval])", "{{instance}} snapshot"),
            ],
        ),
    ],
)

ELECTIONS: Final = Row(
    "Elections",
    [
        Panel(
            "Elections begun",
            "How often a member has begun to look for a leader. None in quiet times.",
            [Query(f"increase(looking_count{{{ONE}}}[$__rate_interval])")],
        ),
        Panel("Time of an election", "", [mean("election_time")], MS),
        Panel(
            "Time without service",
            "From the loss of the leader, or the start, until clients were served.",
            [mean("unavailable_time")],
            MS,
        ),
        Panel(
            "Time without a leader",
            "Told by the one that leads then.",
            [mean("leader_unavailable_time")],
            MS,
        ),
        Panel(
            "Time to be synchronized",
            "From the leader's first packet until a follower or observer serves.",
            [
                Query(
                    f"{rate('follower_sync_time_sum')} / {rate('follower_sync_time_count')}",
                    "{{instance}} as follower",
                ),
                Query(
                    f"{rate('observer_sync_time_sum')} / {rate('observer_sync_time_count')}",
                    "{{instance}} as observer",
                ),
            ],
            MS,
        ),
        Panel(
            "Restarts",
            "Of the process, in the last hour.",
            [Query(f"changes(process_start_time_seconds{{{ONE}}}[1h])")],
        ),
    ],
)

DISK: Final = Row(
    "Disk",
    [
        Panel(
            "Time of a sync",
            "To write and sync a batch of records to the log. Every write waits for it.",
            [mean("fsynctime"), quantile("fsynctime", "0.5")],
            MS,
        ),
        Panel(
            "Records until they are synced",
            "The time in the queue and the sync together.",
            [
                mean("sync_processor_queue_and_flush_time_ms"),
                quantile("sync_processor_queue_and_flush_time_ms", "0.99"),
            ],
            MS,
        ),
        Panel(
            "Syncs, and records a sync",
            "Many records a sync: the disk is the bottleneck, or much comes at once.",
            [
                Query(rate("fsynctime_count"), "{{instance}} syncs a second"),
                Query(
                    f"{rate('sync_processor_batch_size_sum')} / "
                    f"{rate('sync_processor_batch_size_count')}",
                    "{{instance}} records a sync",
                ),
            ],
        ),
        Panel("Time to write a snapshot", "", [mean("snapshottime")], MS),
        Panel(
            "Snapshots that failed",
            "In the last hour. The log has all, but a start takes longer.",
            [Query(f"increase(snapshot_error_count{{{ONE}}}[1h])")],
        ),
        Panel(
            "The last start",
            "Time to load the snapshot, to replay the log, and both.",
            [
                Query(f"startup_snap_load_time_sum{{{ONE}}}", "{{instance}} snapshot"),
                Query(f"startup_txns_load_time_sum{{{ONE}}}", "{{instance}} log"),
                Query(f"dbinittime_sum{{{ONE}}}", "{{instance}} all"),
            ],
            MS,
        ),
    ],
)

SESSIONS: Final = Row(
    "Sessions and watches",
    [
        Panel(
            "Sessions",
            "Sessions that all members know are counted by each; local ones by their own member.",
            [
                Query(f"global_sessions{{{ONE}}}", "{{instance}} global"),
                Query(f"local_sessions{{{ONE}}} > 0", "{{instance}} local"),
            ],
        ),
        Panel("Connections", "Of clients, to both ports.", [each("num_alive_connections")]),
        Panel(
            "Clients that come, and come back",
            "Many that come back are clients that were cut off.",
            [
                Query(rate("connection_request_count"), "{{instance}} asked for a session"),
                Query(rate("connection_revalidate_count"), "{{instance}} came back with one"),
            ],
            SECOND,
        ),
        Panel(
            "Sessions that expired",
            "Their clients were silent for the session timeout; their ephemerals are gone.",
            [Query(rate("stale_sessions_expired"))],
            SECOND,
        ),
        Panel(
            "Connections refused and lost",
            "Refused: maxClientCnxns, maxCnxns, files. Lost: ended before the session was closed.",
            [
                Query(rate("connection_rejected"), "{{instance}} refused"),
                Query(rate("connection_drop_count"), "{{instance}} lost"),
                Query(rate("cnxn_closed_without_zk_server_running"), "{{instance}} not serving"),
                Query(rate("sessionless_connections_expired"), "{{instance}} said nothing"),
            ],
            SECOND,
        ),
        Panel("Watches", "Of both kinds.", [each("watch_count")]),
        Panel(
            "Watch events",
            "Events for clients, a second. A spike is a znode that many watch.",
            [
                Query(f"sum({rate('node_created_watch_count_sum')})", "created"),
                Query(f"sum({rate('node_deleted_watch_count_sum')})", "deleted"),
                Query(f"sum({rate('node_changed_watch_count_sum')})", "changed"),
                Query(f"sum({rate('node_children_watch_count_sum')})", "children"),
            ],
            SECOND,
        ),
        Panel("Ephemeral znodes", "", [each("ephemerals_count")]),
        Panel(
            "Replies to clients that had gone",
            "",
            [Query(rate("stale_replies"))],
            SECOND,
        ),
    ],
)

DATA: Final = Row(
    "Data",
    [
        Panel(
            "Znodes",
            "The same on all members; a line that only rises is a leak.",
            [each("znode_count")],
        ),
        Panel(
            "Paths and data",
            "The memory is more: about 280 bytes for each znode besides.",
            [each("approximate_data_size")],
            BYTES,
        ),
        Panel(
            "Bytes written, by namespace",
            "The first name of the path; paths and data.",
            [Query(f"topk(10, sum by (key) ({rate('write_per_namespace_sum')}))", "/{{key}}")],
            "Bps",
        ),
        Panel(
            "Quotas: znodes",
            "The share of the hard limit that is used.",
            [
                Query(
                    f"quota_count_usage_per_namespace{{{ONE}}} /"
                    f" (quota_count_limit_per_namespace{{{ONE}}} > 0)",
                    "{{instance}} /{{key}}",
                )
            ],
            "percentunit",
        ),
        Panel(
            "Quotas: bytes",
            "The share of the hard limit that is used.",
            [
                Query(
                    f"quota_bytes_usage_per_namespace{{{ONE}}} /"
                    f" (quota_bytes_limit_per_namespace{{{ONE}}} > 0)",
                    "{{instance}} /{{key}}",
                )
            ],
            "percentunit",
        ),
        Panel(
            "Writes refused by a quota",
            "",
            [
                Query(
                    f"sum by (key) ({rate('quota_exceeded_error_per_namespace')})",
                    "/{{key}}",
                )
            ],
            SECOND,
        ),
    ],
)

TOP: Final = Row(
    "Who asks for what (pyzk.metrics.topPaths, pyzk.metrics.topClients)",
    [
        Panel(
            "Paths with the most requests",
            "Since the start, of the chosen members together.",
            [Query(f"topk(20, sum by (path) (pyzk_top_path_requests{{{ONE}}}))", "{{path}}")],
            kind="bargauge",
            width=12,
            height=10,
            options={"orientation": "horizontal", "displayMode": "basic"},
        ),
        Panel(
            "Clients with the most requests",
            "Since the start, of the chosen members together.",
            [Query(f"topk(20, sum by (client) (pyzk_top_client_requests{{{ONE}}}))", "{{client}}")],
            kind="bargauge",
            width=12,
            height=10,
            options={"orientation": "horizontal", "displayMode": "basic"},
        ),
    ],
    is_collapsed=True,
)

SECURITY: Final = Row(
    "TLS and logins",
    [
        Panel(
            "Handshakes that failed",
            "",
            [
                Query(rate("unsuccessful_handshake"), "{{instance}} failed"),
                Query(rate("tls_handshake_exceeded"), "{{instance}} too many"),
            ],
            SECOND,
        ),
        Panel("Handshakes under way", "", [each("outstanding_tls_handshake")]),
        Panel(
            "Who came in without",
            "Clients without TLS on a server that has it, and connections without TLS to an admin"
            " port that takes both.",
            [
                Query(f"non_mtls_remote_conn_count{{{ONE}}}", "{{instance}} from elsewhere"),
                Query(f"non_mtls_local_conn_count{{{ONE}}}", "{{instance}} from this machine"),
                Query(f"insecure_admin_count{{{ONE}}}", "{{instance}} admin port"),
                Query(f"auth_failed_count{{{ONE}}}", "{{instance}} failed to show who they are"),
            ],
        ),
    ],
    is_collapsed=True,
)

PROCESS: Final = Row(
    "Process",
    [
        Panel(
            "Processor",
            "Cores. One loop serves all requests: near 1 it is the bottleneck.",
            [Query(rate("process_cpu_seconds_total"))],
        ),
        Panel("Memory", "Resident.", [each("process_resident_memory_bytes")], BYTES),
        Panel(
            "Pauses of the loop",
            "How late the loop was for its timer: as long nobody was served. Long turns, or a"
            " machine that has no time for the process.",
            [mean("jvm_pause_time_ms"), quantile("jvm_pause_time_ms", "0.99")],
            MS,
        ),
        Panel(
            "Open files",
            "The share of what the process may open; a quarter, at most 256, is kept from clients.",
            [Query(f"open_file_descriptor_count{{{ONE}}} / max_file_descriptor_count{{{ONE}}}")],
            "percentunit",
        ),
        Panel(
            "Versions",
            "",
            [Query(f"pyzk_info{{{ONE}}}", "{{instance}}: pyzk {{version}}, Python {{python}}")],
        ),
        Panel(
            "Data that differ, configurations that are not saved",
            "Both are 0 in a sound ensemble.",
            [
                Query(f"digest_mismatches_count{{{ONE}}}", "{{instance}} digests that differ"),
                Query(f"pyzk_unsaved_configs{{{ONE}}}", "{{instance}} configurations not saved"),
            ],
        ),
    ],
)

ROWS: Final = (
    OVERVIEW, REQUESTS, REPLICATION, ELECTIONS, DISK, SESSIONS, DATA, TOP, SECURITY, PROCESS,
)  # fmt: skip
