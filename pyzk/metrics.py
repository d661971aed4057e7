"""Counters and summaries under ZooKeeper's names.

Pure. Answers to ServerMetrics, ServerStats, BufferStats and the two AvgMinMax counters. Everything
is a plain number on one object: the hot path adds to an attribute, and only a report walks the
list. The order of the fields is the order in which mntr of the original prints them. Names that
cannot apply to a server of this shape (a commit processor, Netty) stay 0: tools expect them.
"""

from __future__ import annotations

from typing import Final

from pyzk.constants import OpCode
from pyzk.summaries import MEDIAN_RESERVOIR, PercentileSummary, Summary, WrittenByNamespace

UNKNOWN_OPERATION: Final = 127
"""The place in ``operations`` of all requests that no opcode stands for."""
_OPERATIONS: Final = 128
_FIRST_OPCODE: Final = OpCode.CLOSE_SESSION
_LAST_OPCODE: Final = OpCode.WHO_AM_I


class Metrics:
    """Holds every number of one server, first the statistics of the server itself.

    There are no attrs: 150 fields take 4 ms of every start to generate, and an int needs no
    ``__init__``.
    """

    packets_received: int = 0
    packets_sent: int = 0
    latency: Summary
    """The time from a client's request to its reply, in ms."""
    last_client_response_size: int = -1
    min_client_response_size: int = -1
    max_client_response_size: int = -1
    fsync_threshold_exceed_count: int = 0
    written: WrittenByNamespace
    """How many bytes of paths and data were written, by first path component."""
    gets: int = 0
    """How many getData there were; ``operations`` has all numbers of this kind. A reset leaves
    them, and the next one."""
    sets: int = 0
    creates: int = 0
    pings: int = 0
    rarer_opcode: int = 0
    rarer_count: int = 0
    """The opcode of the last other requests, and how many of these came in a row."""
    rarer_operations: list[int]
    slow_requests: int = 0
    """How many requests took as long as ``pyzk.slowRequestMs``."""
    ack_latency: dict[str, PercentileSummary]
    """The sid of a learner -> the time from a proposal to its ACK, in ms; one in so many counts
    (leader.ackLoggingFrequency)."""
    unsaved_configs: int = 0
    """How many configurations of the ensemble the files do not have because these cannot be
    written; a reset leaves it."""

    auth_failed_count: int = 0
    """How many clients have failed to show who they are in the handshake of TLS; a reset leaves
    it, and the next two."""
    non_mtls_remote_conn_count: int = 0
    """How many clients have come without TLS, on a server that has it."""
    non_mtls_local_conn_count: int = 0
    """How many clients on the machine of the server have come without TLS, if the server has it."""

    # counters
    watch_bytes: int = 0
    stale_requests_dropped: int = 0
    throttled_ops: int = 0
    insecure_admin_count: int = 0
    connection_rejected: int = 0
    sessionless_connections_expired: int = 0
    dead_watchers_queued: int = 0
    stale_requests: int = 0
    connection_drop_count: int = 0
    response_packet_cache_hits: int = 0
    bytes_received_count: int = 0
    add_dead_watcher_stall_time: int = 0
    request_throttle_wait_count: int = 0
    requests_not_forwarded_to_commit_processor: int = 0
    response_packet_cache_misses: int = 0
    prep_processor_request_queued: int = 0
    stale_replies: int = 0
    response_bytes: int = 0
    ensemble_auth_fail: int = 0
    diff_count: int = 0
    connection_revalidate_count: int = 0
    quit_leading_due_to_disloyal_voter: int = 0
    unrecoverable_error_count: int = 0
    unsuccessful_handshake: int = 0
    commit_count: int = 0
    outstanding_changes_queued: int = 0
    request_commit_queued: int = 0
    ensemble_auth_skip: int = 0
    skip_learner_request_to_next_processor_count: int = 0
    proposal_count: int = 0
    large_requests_rejected: int = 0
    outstanding_changes_removed: int = 0
    restore_error_count: int = 0
    cnxn_closed_without_zk_server_running: int = 0
    looking_count: int = 0
    snapshot_rate_limited_count: int = 0
    learner_proposal_received_count: int = 0
    digest_mismatches_count: int = 0
    dead_watchers_cleared: int = 0
    ensemble_auth_success: int = 0
    learner_commit_received_count: int = 0
    snapshot_error_count: int = 0
    connection_request_count: int = 0
    response_packet_get_children_cache_misses: int = 0
    snap_count: int = 0
    stale_sessions_expired: int = 0
    restore_rate_limited_count: int = 0
    response_packet_get_children_cache_hits: int = 0
    sync_processor_request_queued: int = 0
    tls_handshake_exceeded: int = 0
    revalidate_count: int = 0

    # summaries
    socket_closing_time: Summary
    proposal_process_time: Summary
    leader_unavailable_time: Summary
    node_created_watch_count: Summary
    session_queues_drained: Summary
    write_commit_proc_req_queued: Summary
    connection_token_deficit: Summary
    read_commit_proc_req_queued: Summary
    node_deleted_watch_count: Summary
    startup_txns_load_time: Summary
    sync_processor_queue_size: Summary
    follower_sync_time: Summary
    prep_processor_queue_size: Summary
    fsynctime: Summary
    inflight_snap_count: Summary
    reads_issued_from_session_queue: Summary
    restore_time: Summary
    learner_request_processor_queue_size: Summary
    snapshottime: Summary
    unavailable_time: Summary
    startup_txns_loaded: Summary
    reads_after_write_in_session_queue: Summary
    requests_in_session_queue: Summary
    write_commit_proc_issued: Summary
    prep_process_time: Summary
    pending_session_queue_size: Summary
    time_waiting_empty_pool_in_commit_processor_read_ms: Summary
    commit_process_time: Summary
    dbinittime: Summary
    inflight_diff_count: Summary
    netty_queued_buffer_capacity: Summary
    election_time: Summary
    commit_commit_proc_req_queued: Summary
    sync_processor_batch_size: Summary
    node_children_watch_count: Summary
    write_batch_time_in_commit_processor: Summary
    read_commit_proc_issued: Summary
    concurrent_request_processing_in_commit_processor: Summary
    observer_sync_time: Summary
    node_changed_watch_count: Summary
    sync_process_time: Summary
    startup_snap_load_time: Summary

    # summaries with percentiles
    prep_processor_queue_time_ms: PercentileSummary
    jvm_pause_time_ms: PercentileSummary
    close_session_prep_time: PercentileSummary
    read_commitproc_time_ms: PercentileSummary
    updatelatency: PercentileSummary
    local_write_committed_time_ms: PercentileSummary
    request_throttle_queue_time_ms: PercentileSummary
    readlatency: PercentileSummary
    quorum_ack_latency: PercentileSummary
    om_commit_process_time_ms: PercentileSummary
    read_final_proc_time_ms: PercentileSummary
    commit_propagation_latency: PercentileSummary
    dead_watchers_cleaner_latency: PercentileSummary
    write_final_proc_time_ms: PercentileSummary
    proposal_ack_creation_latency: PercentileSummary
    proposal_latency: PercentileSummary
    om_proposal_process_time_ms: PercentileSummary
    sync_processor_queue_and_flush_time_ms: PercentileSummary
    propagation_latency: PercentileSummary
    server_write_committed_time_ms: PercentileSummary
    sync_processor_queue_time_ms: PercentileSummary
    sync_processor_queue_flush_time_ms: PercentileSummary
    write_commitproc_time_ms: PercentileSummary

    def __init__(self, *, is_member: bool = False) -> None:
        """``is_member``: these are the metrics of a member of an ensemble. As in the original a
        lone server has no numbers of commits."""
        self.latency = Summary()
        self.written = WrittenByNamespace()
        self.rarer_operations = [0] * _OPERATIONS
        self.ack_latency = {}
        for name in SUMMARIES:
            setattr(self, name, PercentileSummary(MEDIAN_RESERVOIR))
        for name in PERCENTILE_SUMMARIES:
            setattr(self, name, PercentileSummary())
        if is_member:
            # All that a read or a write does in between is to wait for that.
            self.read_commitproc_time_ms = self.readlatency
            self.write_commitproc_time_ms = self.updatelatency

    def count_response(self, size: int) -> None:
        """Note the length of one reply."""
        self.last_client_response_size = size
        if self.max_client_response_size < size:
            self.max_client_response_size = size
        if size < self.min_client_response_size or self.min_client_response_size < 0:
            self.min_client_response_size = size

    def count_frames(self, count: int, opcode: int, in_a_row: int) -> None:
        """Note so many frames of a client, the last ``in_a_row`` of which were of one kind; those
        before them are in ``operations`` already."""
        self.packets_received += count
        self.count_operations(opcode, in_a_row)

    def count_operations(self, opcode: int, count: int) -> int:
        """Note so many requests in a row of one kind; return how many."""
        # A plain attribute costs a tenth of a number in a list.
        if opcode == OpCode.GET_DATA:
            self.gets += count
        elif opcode == OpCode.SET_DATA:
            self.sets += count
        elif opcode == OpCode.CREATE:
            self.creates += count
        elif opcode == OpCode.PING:
            self.pings += count
        else:
            if opcode != self.rarer_opcode:
                self._end_row(opcode)
            self.rarer_count += count
        return count

    def _end_row(self, opcode: int) -> None:
        """Put the newest of the rarer requests to the others; what comes now has this opcode."""
        last = self.rarer_opcode
        known = _FIRST_OPCODE <= last <= _LAST_OPCODE
        self.rarer_operations[last & UNKNOWN_OPERATION if known else UNKNOWN_OPERATION] += (
            self.rarer_count
        )
        self.rarer_opcode = opcode
        self.rarer_count = 0

    @property
    def operations(self) -> list[int]:
        """How many requests of clients there were, by opcode; the negative ones stand
        ``_OPERATIONS`` further on."""
        self._end_row(self.rarer_opcode)
        found = list(self.rarer_operations)
        found[OpCode.GET_DATA] = self.gets
        found[OpCode.SET_DATA] = self.sets
        found[OpCode.CREATE] = self.creates
        found[OpCode.PING] = self.pings
        return found

    def count_proposals(self, before: int, last: int) -> int:
        """Note the proposals of this leader behind the zxid ``before`` up to and with ``last``,
        each of which it has prepared; return ``last``."""
        self.proposal_count += last - before
        self.prep_processor_request_queued += last - before
        return last

    def count_ack(self, sid: int, latency_ms: int) -> None:
        """Note how long a learner took to acknowledge a proposal."""
        summary = self.ack_latency.get(str(sid))
        if summary is None:
            summary = self.ack_latency[str(sid)] = PercentileSummary()
        summary.add(latency_ms)

    def counters(self) -> list[tuple[str, int]]:
        """Return every counter, in order."""
        return [(name, getattr(self, name)) for name in COUNTERS]

    def summaries(self) -> list[tuple[str, PercentileSummary]]:
        """Return every summary without percentiles, in order, but not those by namespace."""
        return [(name, getattr(self, name)) for name in SUMMARIES]

    def percentile_summaries(self) -> list[tuple[str, PercentileSummary]]:
        """Return every summary with percentiles, in order."""
        return [(name, getattr(self, name)) for name in PERCENTILE_SUMMARIES]

    def reset_statistics(self) -> None:
        """Set what the original counts apart from its metrics to what it is at the start; that is
        all that srst does where Prometheus is the provider of metrics."""
        self.packets_received = self.packets_sent = self.fsync_threshold_exceed_count = 0
        self.last_client_response_size = -1
        self.min_client_response_size = self.max_client_response_size = -1
        self.latency.reset()

    def reset(self) -> None:
        """Set everything to what it is at the start (srst); the summaries stay the same objects."""
        self.reset_statistics()
        self.written.reset()
        self.ack_latency.clear()
        for name in COUNTERS:
            setattr(self, name, 0)
        for _, summary in self.summaries():
            summary.reset()
        for _, percentiles in self.percentile_summaries():
            percentiles.reset()


_HELD: Final = vars(Metrics)
_NAMES: Final = tuple(_HELD.get("__mypyc_attrs__") or _HELD["__annotations__"])
"""All fields in order: annotations to Python, and attributes to mypyc."""
_COUNTERS_AT: Final = _NAMES.index("watch_bytes")
_SUMMARIES_AT: Final = _NAMES.index("socket_closing_time")
_PERCENTILES_AT: Final = _NAMES.index("prep_processor_queue_time_ms")

COUNTERS: Final[tuple[str, ...]] = _NAMES[_COUNTERS_AT:_SUMMARIES_AT]
SUMMARIES: Final[tuple[str, ...]] = _NAMES[_SUMMARIES_AT:_PERCENTILES_AT]
PERCENTILE_SUMMARIES: Final[tuple[str, ...]] = _NAMES[_PERCENTILES_AT:]
