"""What each metric means, in which unit, and what feeds it; or why it has no meaning in pyzk.

Pure. `docs/metrics.md` is made of it, and a test compares it with what a server gives away. The
names are those of ZooKeeper: ServerMetrics, and what its classes register as gauges.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Note(NamedTuple):
    """One metric that has a meaning."""

    meaning: str
    unit: str
    fed: str
    """What feeds it, and when."""


class Unfed(NamedTuple):
    """Metrics that are there because tools expect them, and never change."""

    names: tuple[str, ...]
    reason: str


_ASKED: Final = "looked at when it is asked for"
_BATCH: Final = "the requests of clients, once a batch"
_LOOP: Final = "the event loop"
_DISK: Final = "the disk, once a sync"
_START: Final = "the start, once"

GAUGES: Final = {
    "ephemerals_count": Note("ephemeral znodes", "", _ASKED),
    "num_alive_connections": Note("connections of clients, to both ports", "", _ASKED),
    "avg_latency": Note("mean time from a request to its reply", "ms", _BATCH),
    "min_proposal_size": Note("shortest proposal of this leader; -1 before it", "bytes", "leader"),
    "outstanding_requests": Note("requests of clients under way", "", _ASKED),
    "znode_count": Note("znodes; as in the original the root counts twice", "", _ASKED),
    "global_sessions": Note("sessions that every member knows", "", _ASKED),
    "non_mtls_remote_conn_count": Note(
        "clients from elsewhere without TLS, on a server that has it", "", "each connection"
    ),
    "last_client_response_size": Note("length of the last reply; -1 before it", "bytes", _BATCH),
    "packets_sent": Note("frames sent to clients", "", "each write to a socket"),
    "packets_received": Note("frames of clients", "", _BATCH),
    "max_proposal_size": Note("longest proposal of this leader; -1 before it", "bytes", "leader"),
    "max_client_response_size": Note("longest reply; -1 before it", "bytes", _BATCH),
    "synced_followers": Note("followers in sync with this leader", "", "leader"),
    "connection_drop_probability": Note(
        "share of new connections that are turned away at random", "0 to 1", _ASKED
    ),
    "watch_count": Note("watches, of both kinds", "", _ASKED),
    "synced_non_voting_followers": Note("followers in sync that have no vote", "", "leader"),
    "synced_observers": Note("observers in sync with this server", "", "leader, follower"),
    "auth_failed_count": Note(
        "clients that failed to show who they are in the handshake of TLS", "", "each connection"
    ),
    "min_latency": Note("shortest time from a request to its reply", "ms", _BATCH),
    "max_file_descriptor_count": Note("files this process may open; -1 if unknown", "", _ASKED),
    "approximate_data_size": Note("lengths of all paths and data", "bytes", _ASKED),
    "open_file_descriptor_count": Note("files this process has open; -1 if unknown", "", _ASKED),
    "last_proposal_size": Note("length of the last proposal; -1 before it", "bytes", "leader"),
    "pending_syncs": Note("syncs that wait for a commit", "", "leader"),
    "leader_uptime": Note("time since this server is the leader", "ms", "leader"),
    "local_sessions": Note("sessions that only this member knows", "", _ASKED),
    "uptime": Note("time since the server was started", "ms", _ASKED),
    "max_latency": Note("longest time from a request to its reply", "ms", _BATCH),
    "outstanding_tls_handshake": Note("handshakes of TLS with clients under way", "", _ASKED),
    "learners": Note("members connected to this leader", "", "leader"),
    "min_client_response_size": Note("shortest reply; -1 before it", "bytes", _BATCH),
    "non_mtls_local_conn_count": Note(
        "clients of the same machine without TLS, on a server that has it", "", "each connection"
    ),
    "quorum_size": Note("voters of the ensemble", "", "member that serves"),
    "quota_count_limit_per_namespace": Note("hard limits of znodes", "", _ASKED),
    "quota_bytes_limit_per_namespace": Note("hard limits of bytes", "bytes", _ASKED),
    "quota_count_usage_per_namespace": Note("znodes below quotas", "", _ASKED),
    "quota_bytes_usage_per_namespace": Note("bytes below quotas", "bytes", _ASKED),
}

COUNTERS: Final = {
    "watch_bytes": Note(
        "bytes of watch events for clients, without the lengths in front of them",
        "bytes",
        "each change of a znode",
    ),
    "stale_requests_dropped": Note(
        "requests in line whose client has gone, or has waited too long", "", "throttle"
    ),
    "throttled_ops": Note("requests refused because they waited too long", "", "throttle"),
    "insecure_admin_count": Note(
        "connections without TLS to an admin port that takes both", "", "each connection"
    ),
    "connection_rejected": Note("connections refused because of a limit", "", "each connection"),
    "sessionless_connections_expired": Note(
        "connections closed because they asked for no session in time", "", "each connection"
    ),
    "stale_requests": Note("requests in line that had waited too long", "", "throttle"),
    "connection_drop_count": Note(
        "connections that ended from outside before their session was closed", "", "each connection"
    ),
    "bytes_received_count": Note("bytes of clients", "bytes", "each read of a socket"),
    "request_throttle_wait_count": Note("requests that waited in line", "", "throttle"),
    "prep_processor_request_queued": Note(
        "writes, begins and ends of sessions that this server has put in order", "", "leader, alone"
    ),
    "stale_replies": Note("replies to clients that had gone", "", _BATCH),
    "response_bytes": Note("bytes of replies", "bytes", _BATCH),
    "ensemble_auth_fail": Note("wrong names in the scheme ensemble", "", "each client"),
    "diff_count": Note("learners that were sent what they lacked", "", "leader"),
    "connection_revalidate_count": Note("clients that came back with a session", "", "each client"),
    "quit_leading_due_to_disloyal_voter": Note(
        "leaderships given up because a voter looked for a leader again", "", "leader"
    ),
    "unrecoverable_error_count": Note(
        "failures that stop the server; nobody can ask it afterwards", "", "the end"
    ),
    "unsuccessful_handshake": Note("handshakes of TLS that failed", "", "each client"),
    "commit_count": Note("commits of this leader", "", "leader, once a batch"),
    "outstanding_changes_queued": Note(
        "changes of znodes that were under way", "", "leader, alone; once a batch"
    ),
    "request_commit_queued": Note(
        "transactions that were committed here", "", "member, once a batch"
    ),
    "ensemble_auth_skip": Note("clients of the scheme ensemble without names", "", "each client"),
    "proposal_count": Note("proposals of this leader", "", "leader, once a batch"),
    "large_requests_rejected": Note(
        "connections closed because of largeRequestMaxBytes", "", "each large request"
    ),
    "outstanding_changes_removed": Note(
        "changes of znodes that were under way and are done", "", "leader, alone; once a batch"
    ),
    "restore_error_count": Note("restores that failed", "", "admin server"),
    "cnxn_closed_without_zk_server_running": Note(
        "clients refused because the server did not serve", "", "each client"
    ),
    "looking_count": Note("times this member began to look for a leader", "", "election"),
    "snapshot_rate_limited_count": Note("snapshots refused as too frequent", "", "admin server"),
    "learner_proposal_received_count": Note("proposals heard of", "", "follower"),
    "digest_mismatches_count": Note(
        "transactions whose digest was not that of the tree", "", "each transaction"
    ),
    "ensemble_auth_success": Note("right names in the scheme ensemble", "", "each client"),
    "learner_commit_received_count": Note("commits heard of", "", "follower, observer"),
    "snapshot_error_count": Note("snapshots that could not be written", "", "each snapshot"),
    "connection_request_count": Note("clients that asked for a session", "", "each client"),
    "response_packet_get_children_cache_misses": Note(
        "lists of children that had to be encoded", "", "each list"
    ),
    "snap_count": Note("learners that were sent a snapshot", "", "leader"),
    "stale_sessions_expired": Note("sessions that expired", "", "leader, alone"),
    "restore_rate_limited_count": Note("restores refused as too frequent", "", "admin server"),
    "response_packet_get_children_cache_hits": Note(
        "lists of children that were kept from before", "", "each list"
    ),
    "sync_processor_request_queued": Note("records handed to the disk", "", _DISK),
    "tls_handshake_exceeded": Note("handshakes of TLS refused as too many", "", "each client"),
    "revalidate_count": Note("sessions that learners have asked after", "", "leader"),
    "quota_exceeded_error_per_namespace": Note("writes refused by a quota", "", "each refusal"),
}

SUMMARIES: Final = {
    "leader_unavailable_time": Note(
        "time without a leader until this one served", "ms", "leader, once"
    ),
    "node_created_watch_count": Note(
        "clients told that a znode was created", "", "each such event"
    ),
    "connection_token_deficit": Note("tokens that new connections lacked", "", "each connection"),
    "node_deleted_watch_count": Note(
        "clients told that a znode was deleted", "", "each such event"
    ),
    "startup_txns_load_time": Note("time to replay the log", "ms", _START),
    "follower_sync_time": Note("time to be synchronized by the leader", "ms", "follower, once"),
    "fsynctime": Note("time to write and sync a batch of records", "ms", _DISK),
    "inflight_snap_count": Note(
        "learners being sent a snapshot, when one more begins", "", "leader"
    ),
    "restore_time": Note("time of a restore", "ms", "admin server"),
    "snapshottime": Note("time to write a snapshot", "ms", "each snapshot"),
    "unavailable_time": Note(
        "time from the loss of the leader, or the start, until clients were served", "ms", "member"
    ),
    "startup_txns_loaded": Note("transactions replayed from the log", "", _START),
    "reads_after_write_in_session_queue": Note(
        "reads answered together that had waited for a write of their session", "", _BATCH
    ),
    "write_commit_proc_issued": Note("transactions applied in one go", "", "member, once a batch"),
    "dbinittime": Note("time to load the database", "ms", _START),
    "inflight_diff_count": Note(
        "learners being sent what they lack, when one more begins", "", "leader"
    ),
    "election_time": Note("time of an election", "ms", "election"),
    "sync_processor_batch_size": Note("records synced together", "", _DISK),
    "node_children_watch_count": Note(
        "clients told that a list of children has changed", "", "each such event"
    ),
    "observer_sync_time": Note("time to be synchronized by the leader", "ms", "observer, once"),
    "node_changed_watch_count": Note("clients told that data has changed", "", "each such event"),
    "startup_snap_load_time": Note("time to load the snapshot", "ms", _START),
    "jvm_pause_time_ms": Note(
        "how late the event loop was for its timer: as long no client was served", "ms", _LOOP
    ),
    "read_commitproc_time_ms": Note(
        "of a member, the numbers of readlatency: a read takes as long as it waits for writes",
        "ms",
        _BATCH,
    ),
    "updatelatency": Note("time from a write to its reply", "ms", _BATCH),
    "request_throttle_queue_time_ms": Note("time of requests in line", "ms", "throttle"),
    "readlatency": Note("time from a read to its reply", "ms", _BATCH),
    "quorum_ack_latency": Note(
        "time from the making of a transaction until a quorum has it", "ms", "leader, once a batch"
    ),
    "om_commit_process_time_ms": Note(
        "commits for observers; the time is 0, for it passes within a turn of the loop",
        "ms",
        "follower with observers, once a batch",
    ),
    "commit_propagation_latency": Note(
        "time from the making of a transaction until its commit is heard of; by two clocks",
        "ms",
        "follower, observer; once a batch",
    ),
    "proposal_ack_creation_latency": Note(
        "time from the making of a transaction until this server has it on disk; by two clocks",
        "ms",
        "leader, follower; once a batch",
    ),
    "proposal_latency": Note(
        "time from the making of a transaction until this server hears of it; by two clocks",
        "ms",
        "follower, once a batch",
    ),
    "sync_processor_queue_and_flush_time_ms": Note(
        "time of records from the loop until they are synced", "ms", _DISK
    ),
    "propagation_latency": Note(
        "time from the making of a transaction until it is applied here; by two clocks",
        "ms",
        "once a batch",
    ),
    "sync_processor_queue_time_ms": Note("time of records until the disk takes them", "ms", _DISK),
    "sync_processor_queue_flush_time_ms": Note("time of a sync", "ms", _DISK),
    "write_commitproc_time_ms": Note(
        "of a member, the numbers of updatelatency: a write takes as long as its commit",
        "ms",
        _BATCH,
    ),
    "ack_latency": Note(
        "time until a learner has acknowledged a transaction, by sid: of one in"
        " leader.ackLoggingFrequency=1000, so it is empty while there are few writes",
        "ms",
        "leader",
    ),
    "write_per_namespace": Note(
        "lengths of paths and data written, by first name of the path; its median is NaN",
        "bytes",
        "each write",
    ),
}

UNFED: Final = (
    Unfed(
        (
            "dead_watchers_queued",
            "dead_watchers_cleared",
            "add_dead_watcher_stall_time",
            "dead_watchers_cleaner_latency",
        ),
        "the watches of a connection go with it, at once",
    ),
    Unfed(
        ("response_packet_cache_hits", "response_packet_cache_misses"),
        "no reply to getData is kept whole, only the Stat in it",
    ),
    Unfed(
        (
            "requests_not_forwarded_to_commit_processor",
            "skip_learner_request_to_next_processor_count",
            "learner_request_processor_queue_size",
        ),
        "a request of a learner goes one way, without a queue",
    ),
    Unfed(
        (
            "prep_processor_queue_size",
            "prep_processor_queue_time_ms",
            "sync_processor_queue_size",
            "netty_queued_buffer_capacity",
        ),
        "there is no such queue: a request is prepared when it comes, and records wait together",
    ),
    Unfed(
        (
            "prep_process_time",
            "proposal_process_time",
            "close_session_prep_time",
            "commit_process_time",
            "sync_process_time",
            "read_final_proc_time_ms",
            "write_final_proc_time_ms",
            "local_write_committed_time_ms",
            "server_write_committed_time_ms",
            "write_batch_time_in_commit_processor",
            "om_proposal_process_time_ms",
        ),
        "it passes within a turn of the loop, and no clock is read in there;"
        " jvm_pause_time_ms shows long turns",
    ),
    Unfed(
        (
            "session_queues_drained",
            "write_commit_proc_req_queued",
            "read_commit_proc_req_queued",
            "commit_commit_proc_req_queued",
            "read_commit_proc_issued",
            "reads_issued_from_session_queue",
            "requests_in_session_queue",
            "pending_session_queue_size",
            "time_waiting_empty_pool_in_commit_processor_read_ms",
            "concurrent_request_processing_in_commit_processor",
        ),
        "there is no commit processor with threads: what is committed is applied at once",
    ),
    Unfed(("socket_closing_time",), "the end of a socket holds nobody up"),
    Unfed(
        ("learner_handler_qp_size", "learner_handler_qp_time_ms"),
        "what goes to a learner waits as bytes in one buffer, not as packets",
    ),
    Unfed(
        ("read_per_namespace",),
        "to look at the path of every read would make it a third slower;"
        " pyzk.metrics.topPaths does so where it is wanted",
    ),
)

OURS: Final = {
    "pyzk_info": Note("1; its labels are the versions of pyzk and Python", "", _ASKED),
    "pyzk_requests_total": Note("requests of clients, by operation", "", _BATCH),
    "pyzk_slow_requests_total": Note(
        "requests that took as long as pyzk.slowRequestMs says", "", _BATCH
    ),
    "pyzk_top_path_requests": Note(
        "requests of the most frequent paths, too many by at most"
        " pyzk_top_path_error (pyzk.metrics.topPaths)",
        "",
        "each request, where it is switched on",
    ),
    "pyzk_top_path_error": Note("how much the others may be too great", "", _ASKED),
    "pyzk_top_client_requests": Note(
        "requests of the busiest client addresses, too many by at most"
        " pyzk_top_client_error (pyzk.metrics.topClients)",
        "",
        "each end of a connection, and when it is asked for",
    ),
    "pyzk_top_client_error": Note("how much the others may be too great", "", _ASKED),
    "pyzk_unsaved_configs": Note(
        "configurations of the ensemble that could not be saved in files", "", "each try"
    ),
}

PROCESS: Final = {
    "process_cpu_seconds_total": Note("processor time of this process", "s", _ASKED),
    "process_start_time_seconds": Note("when this process began", "s since 1970", _ASKED),
    "process_open_fds": Note("files this process has open", "", _ASKED),
    "process_max_fds": Note("files this process may open", "", _ASKED),
    "process_virtual_memory_bytes": Note("virtual memory of this process", "bytes", _ASKED),
    "process_resident_memory_bytes": Note("memory of this process", "bytes", _ASKED),
    "jvm_threads_current": Note("threads of this process", "", _ASKED),
    "jvm_threads_daemon": Note("threads that do not keep the process alive", "", _ASKED),
}
"""What is told of the process unless metricsProvider.exportJvmInfo is false."""

NO_JVM: Final = (
    Unfed(
        (
            "jvm_memory_bytes_used",
            "jvm_memory_bytes_committed",
            "jvm_memory_bytes_max",
            "jvm_memory_bytes_init",
            "jvm_memory_pool_bytes_used",
            "jvm_memory_pool_bytes_committed",
            "jvm_memory_pool_bytes_max",
            "jvm_memory_pool_bytes_init",
            "jvm_memory_pool_allocated_bytes_total",
            "jvm_buffer_pool_used_bytes",
            "jvm_buffer_pool_capacity_bytes",
            "jvm_buffer_pool_used_buffers",
        ),
        "there is no heap with a limit of its own: process_resident_memory_bytes has it all",
    ),
    Unfed(
        ("jvm_gc_collection_seconds",),
        "the collections of Python are not timed; jvm_pause_time_ms has what clients feel of them",
    ),
    Unfed(
        (
            "jvm_threads_peak",
            "jvm_threads_started_total",
            "jvm_threads_deadlocked",
            "jvm_threads_deadlocked_monitor",
            "jvm_threads_state",
        ),
        "Python does not count them",
    ),
    Unfed(
        ("jvm_classes_loaded", "jvm_classes_loaded_total", "jvm_classes_unloaded_total"),
        "there are no classes to load and unload",
    ),
    Unfed(("jvm_info",), "there is no JVM; pyzk_info has the versions"),
)
"""What the original tells of the JVM and pyzk leaves out: the names, and why."""
