"""Every configuration key of ZooKeeper 3.9: one table of names, kinds and what pyzk does with them.

Pure. A row is a `Key` of `pyzk/config/kinds.py`; those about security are in
`pyzk/config/security_keys.py`. A row says who reads it: `field` is the field of ServerConfig that
it fills, `member` that of EnsembleConfig. `pyzk/config/settings.py` reads by this table, and
`docs/operations.md` prints it. The defaults are those of the two classes; only a key without a
field names its default here.
ZooKeeper: QuorumPeerConfig, ServerConfig, and the property names scattered over its other classes.
"""

from __future__ import annotations

from typing import Final

from pyzk.config.kinds import (
    ANY_PORT,
    BOOL,
    COMPRESSION,
    CONSOLE,
    COUNT,
    ELECTION,
    HOST,
    HTTP_VERSION,
    INT,
    LIST,
    LOG_LEVEL,
    LONG,
    NUMBER,
    PATH,
    PEER_TYPE,
    PLAIN_COUNT,
    PLAIN_INT,
    PLAIN_POSITIVE,
    PLAIN_WIDE_COUNT,
    PORT,
    POSITIVE,
    RATIO,
    SHORT_TIME,
    TEXT,
    THRESHOLD,
    URL_PATH,
    WIDE_COUNT,
    YES_NO,
    Key,
    Kind,
    Status,
    ensemble,
    later,
    member,
    unused,
)
from pyzk.config.metrics_provider import METRICS, PREFIX
from pyzk.config.security_keys import AUTH, QUORUM_AUTH, SASL, TLS


def _throttle(
    name: str, kind: Kind, documented: str = "", *, unit: str = "", status: Status = Status.YES
) -> Key:
    """Return the row of a key whose field has its name; `documented` is the manual's name, which
    the original itself does not read."""
    aliases = (f"zookeeper.{documented}",) if documented else ()
    return Key(name, kind, name + unit, status, aliases=aliases)


BASIC: Final = (
    Key("dataDir", PATH, "data_dir", known=True),
    Key("dataLogDir", PATH, "data_log_dir", known=True),
    Key("clientPort", PORT, "client_port", known=True),
    Key("clientPortAddress", HOST, "client_port_address", known=True),
    Key("clientPortListenBacklog", PLAIN_INT, "client_port_listen_backlog", known=True),
    Key("tickTime", PLAIN_POSITIVE, "tick_time_ms", known=True, member="tick_time_ms"),
    Key("minSessionTimeout", PLAIN_INT, "min_session_timeout_ms", known=True),
    Key("maxSessionTimeout", PLAIN_INT, "max_session_timeout_ms", known=True),
    Key("maxClientCnxns", PLAIN_INT, "max_client_cnxns", known=True),
    Key("maxCnxns", INT, "max_cnxns"),
    Key("nio.sessionlessCnxnTimeout", POSITIVE, "sessionless_cnxn_timeout_ms"),
    Key("clientTcpKeepAlive", BOOL, "client_tcp_keep_alive"),
    Key("jute.maxbuffer", POSITIVE, "jute_max_buffer", own=True, own_unit="bytes"),
    Key("jute.maxbuffer.extrasize", INT, "jute_max_buffer_extra", own_unit="bytes"),
    Key("globalOutstandingLimit", POSITIVE, "global_outstanding_limit"),
    Key("largeRequestMaxBytes", POSITIVE, "large_request_max_bytes"),
    Key("largeRequestThreshold", THRESHOLD, "large_request_threshold", own_unit="bytes"),
    Key("4lw.commands.whitelist", LIST, "four_letter_whitelist"),
)

STORAGE: Final = (
    Key("snapCount", INT, "snap_count"),
    Key("snapSizeLimitInKb", LONG, "snap_size_limit_kb"),
    Key("txnLogSizeLimitInKb", LONG, "txn_log_size_limit_kb"),
    Key("preAllocSize", PLAIN_WIDE_COUNT, "pre_alloc_size_kb"),
    Key("forceSync", YES_NO, "force_sync"),
    Key(
        "fsync.warningthresholdms",
        LONG,
        "fsync_warning_threshold_ms",
        aliases=("fsync.warningthresholdms",),
    ),
    Key("commitLogCount", PLAIN_INT, "commit_log_count", Status.ENSEMBLE),
    Key("snapshot.compression.method", COMPRESSION, "snapshot_compression"),
    Key("snapshot.trust.empty", BOOL, "snapshot_trust_empty"),
    Key("datadir.autocreate", BOOL, "datadir_autocreate"),
    Key("db.autocreate", BOOL, "db_autocreate"),
    Key("serializeLastProcessedZxid.enabled", BOOL, "serialize_last_processed_zxid"),
    Key("digest.enabled", BOOL, "digest_enabled"),
    Key("closeSessionTxn.enabled", BOOL, "close_session_txn_enabled"),
    Key("autopurge.snapRetainCount", PLAIN_INT, "autopurge_snap_retain_count", known=True),
    Key("autopurge.purgeInterval", PLAIN_INT, "autopurge_purge_interval_hours", known=True),
    Key("flushDelay", WIDE_COUNT, "flush_delay_ms", Status.NO_EFFECT),
    Key("maxWriteQueuePollTime", WIDE_COUNT, "max_write_queue_poll_time_ms", Status.NO_EFFECT),
    Key("maxBatchSize", COUNT, "max_batch_size", Status.NO_EFFECT),
)

ZNODES: Final = (
    Key("extendedTypesEnabled", BOOL, "extended_types_enabled"),
    Key("emulate353TTLNodes", BOOL, "emulate_353_ttl_nodes"),
    Key("enforceQuota", BOOL, "enforce_quota"),
    Key("znode.container.checkIntervalMs", POSITIVE, "container_check_interval_ms", own=True),
    Key("znode.container.maxPerMinute", POSITIVE, "container_max_per_minute", own=True),
    Key(
        "znode.container.maxNeverUsedIntervalMs",
        WIDE_COUNT,
        "container_max_never_used_interval_ms",
        own=True,
    ),
)

SESSIONS: Final = (
    Key("localSessionsEnabled", BOOL, "local_sessions_enabled", Status.ENSEMBLE, known=True),
    Key(
        "localSessionsUpgradingEnabled",
        BOOL,
        "local_sessions_upgrading_enabled",
        Status.ENSEMBLE,
        known=True,
    ),
    Key("readonlymode.enabled", BOOL, "readonlymode_enabled", Status.ENSEMBLE, own=True),
    Key("reconfigEnabled", BOOL, "reconfig_enabled", known=True, member="reconfig_enabled"),
    Key("standaloneEnabled", BOOL, "standalone_enabled", known=True),
)

THROTTLE: Final = (
    _throttle("request_throttle_max_requests", COUNT, "requestThrottleLimit"),
    # The line is looked at whenever something is answered.
    _throttle(
        "request_throttle_stall_time",
        COUNT,
        "requestThrottleStallTime",
        unit="_ms",
        status=Status.NO_EFFECT,
    ),
    _throttle("request_throttle_drop_stale", BOOL, "requestThrottleDropStale"),
    _throttle("request_stale_latency_check", BOOL, "requestStaleLatencyCheck"),
    _throttle("request_stale_connection_check", BOOL, "requestStaleConnectionCheck"),
    _throttle("throttled_op_wait_time", COUNT, "throttledOpWaitTime", unit="_ms"),
    unused("request_throttler.shutdownTimeout", "10000"),
    _throttle("connection_throttle_tokens", COUNT, "connectionMaxTokens"),
    _throttle("connection_throttle_fill_time", POSITIVE, "connectionTokenFillTime", unit="_ms"),
    _throttle("connection_throttle_fill_count", POSITIVE, "connectionTokenFillCount"),
    _throttle("connection_throttle_freeze_time", INT, "connectionFreezeTime", unit="_ms"),
    _throttle("connection_throttle_drop_increase", RATIO, "connectionDropIncrease"),
    _throttle("connection_throttle_drop_decrease", RATIO, "connectionDropDecrease"),
    _throttle("connection_throttle_decrease_ratio", RATIO, "connectionDecreaseRatio"),
    _throttle("connection_throttle_weight_enabled", BOOL),
    _throttle("connection_throttle_global_session_weight", POSITIVE),
    _throttle("connection_throttle_local_session_weight", POSITIVE),
    _throttle("connection_throttle_renew_session_weight", POSITIVE),
)

ENSEMBLE: Final = (
    member("initLimit", PLAIN_COUNT, "init_limit_ticks", PLAIN_POSITIVE, known=True),
    member("syncLimit", PLAIN_COUNT, "sync_limit_ticks", PLAIN_POSITIVE, known=True),
    member(
        "connectToLearnerMasterLimit",
        PLAIN_COUNT,
        "connect_to_learner_master_limit_ticks",
        known=True,
    ),
    ensemble("electionAlg", ELECTION, "3", known=True),
    member("quorumListenOnAllIPs", BOOL, "quorum_listen_on_all_ips", known=True),
    ensemble("peerType", PEER_TYPE, "participant", known=True),
    member("syncEnabled", BOOL, "sync_enabled", known=True, alias="zookeeper.observer.syncEnabled"),
    member("observerMasterPort", PORT, "observer_master_port", known=True),
    unused("quorum.cnxn.threads.size", "20", known=True),
    member(
        "multiAddress.enabled",
        BOOL,
        "multi_address_enabled",
        known=True,
        alias="zookeeper.multiAddress.enabled",
    ),
    ensemble(
        "multiAddress.reachabilityCheckTimeoutMs", PLAIN_INT, "1000", "milliseconds", known=True
    ),
    ensemble("multiAddress.reachabilityCheckEnabled", BOOL, "true", known=True),
    later("oraclePath", known=True),
    member("snapshotSizeFactor", NUMBER, "snapshot_size_factor"),
    member("leaderServes", YES_NO, "leader_serves"),
    member("tcpKeepAlive", BOOL, "tcp_keep_alive"),
    member("cnxTimeout", PLAIN_INT, "cnx_timeout_ms", PLAIN_POSITIVE),
    member("electionPortBindRetry", INT, "election_port_bind_retry", COUNT),
    member("fastleader.minNotificationInterval", INT, "min_notification_ms", POSITIVE),
    member("fastleader.maxNotificationInterval", INT, "max_notification_ms", POSITIVE),
    member("fastleader.finalizeWaitMs", COUNT, "finalize_wait_ms"),
    member("observer.syncLimit", COUNT, "observer_sync_limit_ticks"),
    member("quorumCnxnTimeoutMs", INT, "quorum_cnxn_timeout_ms"),
    member("leader.maxConcurrentSnapSyncs", INT, "max_concurrent_snap_syncs", POSITIVE),
    member("leader.maxConcurrentDiffSyncs", INT, "max_concurrent_diff_syncs", POSITIVE),
    member("leader.maxTimeToWaitForEpoch", INT, "max_time_to_wait_for_epoch_ms"),
    member("leader.ackLoggingFrequency", INT, "ack_logging_frequency"),
    ensemble("leader.closeSocketAsync", BOOL, "false"),
    ensemble("learner.closeSocketAsync", BOOL, "false"),
    ensemble("learner.asyncSending", BOOL, "false"),
    ensemble("forward_learner_requests_to_commit_processor_disabled", BOOL, "false"),
    ensemble("follower.skipLearnerRequestToNextProcessor", BOOL, "false"),
    member("leaderConnectDelayDuringRetryMs", INT, "leader_connect_delay_ms", COUNT),
    member("observer.reconnectDelayMs", INT, "observer_reconnect_delay_ms", COUNT),
    member("observer.election.DelayMs", INT, "observer_election_delay_ms", COUNT),
    member("observerMaster.sizeLimit", INT, "observer_master_limit_bytes", POSITIVE),
    member("forceSnapshotSync", BOOL, "force_snapshot_sync"),
    member("pyzk.configInDataDir", BOOL, "config_in_data_dir"),
    Key("leader.nodelay", BOOL, None, Status.ENSEMBLE, own=True, default="true"),
    Key("follower.nodelay", BOOL, None, Status.ENSEMBLE, own=True, default="true"),
)

# Read by pyzk/config/admin.py, into one record, which has the defaults, too.
ADMIN: Final = (
    Key("admin.enableServer", BOOL, default="true"),
    Key("admin.serverAddress", HOST, default="0.0.0.0"),  # noqa: S104 - a default to print
    Key("admin.serverPort", ANY_PORT, default="8080"),
    Key("admin.idleTimeout", INT, default="30000", own_unit="milliseconds"),
    Key("admin.commandURL", URL_PATH, default="/commands"),
    Key("admin.httpVersion", HTTP_VERSION, default="11"),
    Key("admin.portUnification", BOOL, default="false"),
    Key("admin.forceHttps", BOOL, default="false"),
    Key("admin.needClientAuth", BOOL, default="false"),
    Key("admin.snapshot.enabled", BOOL, default="true"),
    Key("admin.restore.enabled", BOOL, default="true"),
    Key("admin.rateLimiterIntervalInMS", INT, default="300000", own_unit="milliseconds"),
)

OTHER: Final = (
    later(
        "serverCnxnFactory",
        "",
        "org.apache.zookeeper.server.NIOServerCnxnFactory",
        "org.apache.zookeeper.server.NettyServerCnxnFactory",
    ),
    Key("pyzk.logLevel", LOG_LEVEL, "log_level"),
    Key("pyzk.idlePollMicros", SHORT_TIME, "idle_poll_us"),
    Key("audit.enable", BOOL, "audit_enable"),
    Key("audit.impl.class", TEXT, "audit_impl_class"),
    Key("pyzk.console.enabled", CONSOLE, "console_enabled"),
    Key("pyzk.console.write", BOOL, "console_write"),
    Key("pyzk.console.hosts", LIST, "console_hosts"),
    later("pathStats.enabled", "false"),
    unused("pathStats.slotCapacity", "60"),
    unused("pathStats.slotDuration", "15"),
    unused("pathStats.maxDepth", "6"),
    unused("pathStats.sampleRate", "0.1"),
    unused("pathStats.initialDelay", "5"),
    unused("pathStats.delay", "5"),
    unused("pathStats.topPathMax", "20"),
    later("messageTracker.Enabled", "false"),
    unused("messageTracker.BufferSize", "10"),
    unused("jvm.pause.monitor", "false", known=True),
    unused("jvm.pause.warn-threshold.ms", "10000", known=True),
    unused("jvm.pause.info-threshold.ms", "1000", known=True),
    unused("jvm.pause.sleep.time.ms", "500", known=True),
    unused("nio.numSelectorThreads", ""),
    unused("nio.numWorkerThreads", ""),
    unused("nio.directBufferBytes", "65536"),
    unused("nio.shutdownTimeout", "5000"),
    unused("netty.advancedFlowControl.enabled", "false"),
    unused("watchManagerName", ""),
    unused("watcherCleanThreadsNum", "2"),
    unused("watcherCleanThreshold", "1000"),
    unused("watcherCleanIntervalInSeconds", "600"),
    unused("maxInProcessingDeadWatchers", "-1"),
    unused("bitHashCacheSize", "10"),
    unused("maxResponseCacheSize", "400"),
    unused("maxGetChildrenResponseCacheSize", "400"),
    unused("intBufferStartingSizeBytes", "1024"),
    unused("commitProcessor.numWorkerThreads", ""),
    unused("commitProcessor.shutdownTimeout", "5000"),
    unused("commitProcessor.maxReadBatchSize", "-1"),
    unused("commitProcessor.maxCommitBatchSize", "1"),
)

GROUPS: Final[dict[str, tuple[Key, ...]]] = {
    "Basics and limits": BASIC,
    "Storage": STORAGE,
    "Znodes": ZNODES,
    "Authentication and access": AUTH,
    "SASL of clients": SASL,
    "Sessions and modes": SESSIONS,
    "Throttling": THROTTLE,
    "Ensembles": ENSEMBLE,
    "Authentication between members": QUORUM_AUTH,
    "TLS": TLS,
    "Admin server": ADMIN,
    "Metrics": METRICS,
    "Administration and tuning": OTHER,
}

KEYS: Final = tuple(key for group in GROUPS.values() for key in group)
KNOWN: Final = {key.name: key for key in KEYS if key.known}
SECRETS: Final = frozenset(key.name for key in KEYS if key.is_secret)
"""The keys whose values are shown to nobody."""

KNOWN_PREFIXES: Final = (PREFIX,)
MEMBER_PREFIXES: Final = ("server.", "group.", "weight.")
