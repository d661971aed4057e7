"""Every configuration key of ZooKeeper 3.9: one table of names, kinds and what pyzk does with them.

Pure. A `Key` is either *known* (read from the file only, as QuorumPeerConfig does) or a *property*:
in `zoo.cfg` under its own name, with `-D` under `zookeeper.` + name, or only with `-D` (`own`).
A row says who reads it: `field` is the field of ServerConfig that it fills, `member` that of
EnsembleConfig. `pyzk/config/settings.py` reads by this table, and `docs/operations.md` prints it.
The defaults are those of the two classes; only a key without a field names its default here.
ZooKeeper: QuorumPeerConfig, ServerConfig, and the property names scattered over its other classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from pyzk.config.properties import trim

_INT32: Final = (-(2**31), 2**31 - 1)
_INT64: Final = (-(2**63), 2**63 - 1)
# Java takes the decimal digits of every script, and so do \\d and int().
_DECIMAL: Final = re.compile(r"[+-]?\d+")
_DECODE: Final = re.compile(r"([+-]?)(0[xX]|#|0(?=.))?([\da-fA-F]+)")
_FLOAT: Final = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fFdD]?")


class Kind(NamedTuple):
    """How a value is read: `parse` raises ValueError, `accepts` completes "expected ..."."""

    accepts: str
    parse: Callable[[str], object]

    def accepted(self, unit: str) -> str:
        """Return ``accepts`` with a unit, which may be ""."""
        if unit and self.accepts.endswith(")"):
            return f"{self.accepts[:-1]}, {unit})"
        return f"{self.accepts} ({unit})" if unit else self.accepts

    def read(self, text: str, unit: str = "") -> object:
        """Return the value. Raises ValueError with a sentence for the operator, who may have
        written another ``unit``."""
        try:
            return self.parse(text)
        except ValueError:
            from pyzk.config import hints  # it is needed only here

            shown = f"{text!r} is not" if text else "empty; expected"
            remark = hints.of_value(text)
            message = hints.extended(f"{shown} {self.accepted(unit)}", remark)
            raise ValueError(message) from None


_UNITS: Final = {
    "_ms": "milliseconds",
    "_ticks": "ticks",
    "_hours": "hours",
    "_kb": "KiB",
    "_bytes": "bytes",
}


def unit_of(field: str) -> str:
    """Return the unit that the name of a field ends with, "" if with none."""
    return next((unit for end, unit in _UNITS.items() if field.endswith(end)), "")


def whole_number(text: str, low: int, high: int) -> int:
    """Return the number that Integer.parseInt or Long.parseLong reads. Raises ValueError."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError(text)
    return _within(int(text), low, high)


def _decoded_number(text: str, low: int, high: int) -> int:
    """Return the number that Integer.decode or Long.decode reads. Raises ValueError."""
    match = _DECODE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    sign, prefix, digits = match.groups()
    value = int(digits, 10 if not prefix else 8 if prefix == "0" else 16)
    return _within(-value if sign == "-" else value, low, high)


def _within(value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ValueError(value)
    return value


def _real_number(text: str) -> float:
    """Return the decimal number that Double.parseDouble reads; NaN and hexadecimal are refused.

    Raises ValueError.
    """
    match = _FLOAT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return float(match.group(1))


def _integer(
    low: int | None = None, high: int | None = None, *, wide: bool = False, decode: bool = True
) -> Kind:
    floor, ceiling = _INT64 if wide else _INT32
    least = floor if low is None else low
    most = ceiling if high is None else high
    if low is None and high is None:
        accepts = "an integer" + (" (64 bits)" if wide else "")
    elif high is None:
        accepts = f"an integer of at least {low}"
    else:
        accepts = f"an integer from {least} to {most}"
    number = _decoded_number if decode else whole_number
    return Kind(accepts, lambda text: number(text, least, most))


def _choice(words: dict[str, object], *, fold: bool) -> Kind:
    def parse(text: str) -> object:
        wanted = text.lower() if fold else text
        if wanted not in words:
            raise ValueError(text)
        return words[wanted]

    return Kind(" or ".join(word or "nothing" for word in words), parse)


def _required(text: str) -> object:
    if not text:
        raise ValueError(text)
    return text


def _comma_list(text: str) -> object:
    words = [trim(word) for word in text.split(",")]
    return tuple(word for word in words if word)


def _ratio(text: str) -> object:
    value = _real_number(text)
    if not 0 <= value <= 1:
        raise ValueError(text)
    return value


def _threshold(text: str) -> object:
    value = _decoded_number(text, *_INT32)
    if value < 1 and value != -1:
        raise ValueError(text)
    return value


_DIGESTS: Final = re.compile(
    r"MD5|SHA|SHA-?1|SHA-?(224|256|384|512)|SHA-512/(224|256)|SHA3-(224|256|384|512)", re.IGNORECASE
)


def _digest_name(text: str) -> object:
    if not _DIGESTS.fullmatch(text):
        raise ValueError(text)
    return text


INT: Final = _integer()
LONG: Final = _integer(wide=True)
COUNT: Final = _integer(0)
THRESHOLD: Final = Kind("-1 or an integer of at least 1", _threshold)
WIDE_COUNT: Final = _integer(0, wide=True)
PLAIN_WIDE_COUNT: Final = _integer(0, wide=True, decode=False)
POSITIVE: Final = _integer(1)
PLAIN_INT: Final = _integer(decode=False)
PLAIN_COUNT: Final = _integer(0, decode=False)
PLAIN_POSITIVE: Final = _integer(1, decode=False)
PORT: Final = _integer(0, 65535, decode=False)
BOOL: Final = _choice({"true": True, "false": False}, fold=True)
YES_NO: Final = _choice({"yes": True, "no": False}, fold=False)
COMPRESSION: Final = _choice({"": "", "gz": "gz", "snappy": "snappy"}, fold=True)
PEER_TYPE: Final = _choice({"participant": "participant", "observer": "observer"}, fold=True)
ELECTION: Final = Kind("3", lambda text: whole_number(text, 3, 3))
TEXT: Final = Kind("text", str)
PATH: Final = Kind("a path", _required)
HOST: Final = Kind("a host name or address", _required)
OPTIONAL: Final = Kind("text", lambda text: text or None)
LIST: Final = Kind("a comma-separated list", _comma_list)
NUMBER: Final = Kind("a number", _real_number)
RATIO: Final = Kind("a number from 0 to 1", _ratio)
DIGEST: Final = Kind("a digest name such as SHA1, SHA-256 or SHA3-512", _digest_name)


class Status(Enum):
    """What pyzk does with a key; the value is the word in the documentation."""

    YES = "yes"
    ENSEMBLE = "ensembles only"  # a standalone server reads and checks it, no more
    LATER = "not yet"  # a warning names it
    NO_EFFECT = "no effect"  # there is nothing here that it could tune; a note says so


class Key(NamedTuple):
    """One row: `name` as in zoo.cfg (or as after `-D` where `own`)."""

    name: str
    kind: Kind
    field: str | None = None
    """The field of ServerConfig that it fills."""
    status: Status = Status.YES
    known: bool = False
    own: bool = False
    default: str = ""
    """The default that the documentation shows where no field has one."""
    same: tuple[str, ...] = ()
    """Values of a LATER key that ask for what pyzk does anyway: no warning."""
    aliases: tuple[str, ...] = ()
    """Other property names that reach the same setting, in full."""
    own_unit: str = ""
    """The unit that an integer counts, where the name of no field says it."""
    member: str | None = None
    """The field of EnsembleConfig that it fills."""
    member_kind: Kind | None = None
    """How a member reads the value, if more strictly than a server that has no use for it."""

    @property
    def unit(self) -> str:
        """The unit that an integer counts; "" if it counts things."""
        return self.own_unit or unit_of(self.field or self.member or "")

    @property
    def properties(self) -> tuple[str, ...]:
        """The names with `-D`, the strongest first; a known key has none but its aliases."""
        if self.known:
            return self.aliases
        return (self.name if self.own else f"zookeeper.{self.name}", *self.aliases)


def _later(name: str, default: str = "", *same: str, known: bool = False) -> Key:
    return Key(
        name, TEXT, None, Status.LATER, known=known, default=default, same=same or (default,)
    )


def _ensemble(name: str, kind: Kind, default: str, unit: str = "", *, known: bool = False) -> Key:
    """Return the row of a key that a member checks, and does not keep."""
    return Key(name, kind, None, Status.ENSEMBLE, known=known, default=default, own_unit=unit)


def _member(
    name: str,
    kind: Kind,
    field: str,
    strict: Kind | None = None,
    *,
    known: bool = False,
    alias: str = "",
) -> Key:
    """Return the row of a key that fills a field of EnsembleConfig."""
    return Key(
        name,
        kind,
        None,
        Status.ENSEMBLE,
        known=known,
        aliases=(alias,) if alias else (),
        member=field,
        member_kind=strict,
    )


def _unused(name: str, default: str, *, known: bool = False) -> Key:
    return Key(name, TEXT, None, Status.NO_EFFECT, known=known, default=default)


def _throttle(name: str, kind: Kind, documented: str = "", *, unit: str = "") -> Key:
    """Return the row of a key whose field has its name; `documented` is the manual's name, which
    the original itself does not read."""
    aliases = (f"zookeeper.{documented}",) if documented else ()
    # Connections are throttled; requests wait by globalOutstandingLimit only.
    status = Status.YES if name.startswith("connection_") else Status.LATER
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

AUTH: Final = (
    Key("skipACL", YES_NO, "skip_acl"),
    Key("enableEagerACLCheck", BOOL, "enable_eager_acl_check", Status.LATER),
    Key("enforce.auth.enabled", BOOL, "enforce_auth_enabled"),
    Key("enforce.auth.schemes", LIST, "enforce_auth_schemes"),
    Key("sessionRequireClientSASLAuth", BOOL, "session_require_client_sasl_auth"),
    Key("DigestAuthenticationProvider.enabled", BOOL, "digest_auth_enabled"),
    Key("DigestAuthenticationProvider.digestAlg", DIGEST, "digest_alg"),
    Key("DigestAuthenticationProvider.superDigest", OPTIONAL, "super_digest"),
    _later("IPAuthenticationProvider.usexforwardedfor", "false"),
    _later("X509AuthenticationProvider.superUser"),
    _later("superUser"),
    _later("SASLAuthenticationProvider.superPassword"),
    _later("letAnySaslUserDoX"),
    _later("allowSaslFailedClients", "false"),
    _later("ensembleAuthName"),
    _later("sasl.serverconfig", "Server"),
    _later("kerberos.removeHostFromPrincipal", "false"),
    _later("kerberos.removeRealmFromPrincipal", "false"),
    _later("kerberos.canonicalizeHostNames", "false"),
    _later("kerberos.minReLoginTimeMs", "60000"),
    _later("security.auth_to_local", "DEFAULT"),
    _later("requireKerberosConfig"),
    _later("kinit", "/usr/bin/kinit"),
    _later("fips-mode", "true", "true", "false"),
    Key("java.security.auth.login.config", TEXT, None, Status.LATER, own=True),
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
    _throttle("request_throttle_stall_time", COUNT, "requestThrottleStallTime", unit="_ms"),
    _throttle("request_throttle_drop_stale", BOOL, "requestThrottleDropStale"),
    _throttle("request_stale_latency_check", BOOL, "requestStaleLatencyCheck"),
    _throttle("request_stale_connection_check", BOOL, "requestStaleConnectionCheck"),
    _throttle("throttled_op_wait_time", COUNT, "throttledOpWaitTime", unit="_ms"),
    _unused("request_throttler.shutdownTimeout", "10000"),
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
    _member("initLimit", PLAIN_COUNT, "init_limit_ticks", PLAIN_POSITIVE, known=True),
    _member("syncLimit", PLAIN_COUNT, "sync_limit_ticks", PLAIN_POSITIVE, known=True),
    _member(
        "connectToLearnerMasterLimit",
        PLAIN_COUNT,
        "connect_to_learner_master_limit_ticks",
        known=True,
    ),
    _ensemble("electionAlg", ELECTION, "3", known=True),
    _member("quorumListenOnAllIPs", BOOL, "quorum_listen_on_all_ips", known=True),
    _ensemble("peerType", PEER_TYPE, "participant", known=True),
    _member(
        "syncEnabled", BOOL, "sync_enabled", known=True, alias="zookeeper.observer.syncEnabled"
    ),
    _member("observerMasterPort", PORT, "observer_master_port", known=True),
    _later("sslQuorum", "false", known=True),
    _later("portUnification", "false", known=True),
    _later("sslQuorumReloadCertFiles", "false", known=True),
    _later("quorum.auth.enableSasl", "false", known=True),
    _later("quorum.auth.serverRequireSasl", "false", known=True),
    _later("quorum.auth.learnerRequireSasl", "false", known=True),
    _later("quorum.auth.server.saslLoginContext", "QuorumServer", known=True),
    _later("quorum.auth.learner.saslLoginContext", "QuorumLearner", known=True),
    _later("quorum.auth.kerberos.servicePrincipal", "zkquorum/localhost", known=True),
    _unused("quorum.cnxn.threads.size", "20", known=True),
    _member(
        "multiAddress.enabled",
        BOOL,
        "multi_address_enabled",
        known=True,
        alias="zookeeper.multiAddress.enabled",
    ),
    _ensemble(
        "multiAddress.reachabilityCheckTimeoutMs", PLAIN_INT, "1000", "milliseconds", known=True
    ),
    _ensemble("multiAddress.reachabilityCheckEnabled", BOOL, "true", known=True),
    _later("oraclePath", known=True),
    _member("snapshotSizeFactor", NUMBER, "snapshot_size_factor"),
    _member("leaderServes", YES_NO, "leader_serves"),
    _member("tcpKeepAlive", BOOL, "tcp_keep_alive"),
    _member("cnxTimeout", PLAIN_INT, "cnx_timeout_ms", PLAIN_POSITIVE),
    _member("electionPortBindRetry", INT, "election_port_bind_retry", COUNT),
    _member("fastleader.minNotificationInterval", INT, "min_notification_ms", POSITIVE),
    _member("fastleader.maxNotificationInterval", INT, "max_notification_ms", POSITIVE),
    _member("fastleader.finalizeWaitMs", COUNT, "finalize_wait_ms"),
    _member("observer.syncLimit", COUNT, "observer_sync_limit_ticks"),
    _member("quorumCnxnTimeoutMs", INT, "quorum_cnxn_timeout_ms"),
    _member("leader.maxConcurrentSnapSyncs", INT, "max_concurrent_snap_syncs", POSITIVE),
    _member("leader.maxConcurrentDiffSyncs", INT, "max_concurrent_diff_syncs", POSITIVE),
    _member("leader.maxTimeToWaitForEpoch", INT, "max_time_to_wait_for_epoch_ms"),
    _ensemble("leader.ackLoggingFrequency", INT, "1000"),
    _ensemble("leader.closeSocketAsync", BOOL, "false"),
    _ensemble("learner.closeSocketAsync", BOOL, "false"),
    _ensemble("learner.asyncSending", BOOL, "false"),
    _ensemble("forward_learner_requests_to_commit_processor_disabled", BOOL, "false"),
    _ensemble("follower.skipLearnerRequestToNextProcessor", BOOL, "false"),
    _member("leaderConnectDelayDuringRetryMs", INT, "leader_connect_delay_ms", COUNT),
    _member("observer.reconnectDelayMs", INT, "observer_reconnect_delay_ms", COUNT),
    _member("observer.election.DelayMs", INT, "observer_election_delay_ms", COUNT),
    _member("observerMaster.sizeLimit", INT, "observer_master_limit_bytes", POSITIVE),
    _member("forceSnapshotSync", BOOL, "force_snapshot_sync"),
    _member("pyzk.configInDataDir", BOOL, "config_in_data_dir"),
    Key("leader.nodelay", BOOL, None, Status.ENSEMBLE, own=True, default="true"),
    Key("follower.nodelay", BOOL, None, Status.ENSEMBLE, own=True, default="true"),
)

OTHER: Final = (
    _later("secureClientPort", known=True),
    _later("secureClientPortAddress", known=True),
    _later("client.portUnification", "false"),
    _later("client.certReload", "false"),
    _later("serverCnxnFactory", "", "org.apache.zookeeper.server.NIOServerCnxnFactory"),
    _later("metricsProvider.className", known=True),
    # Only `false` switches the original's admin server off, and off is what pyzk has.
    _later("admin.enableServer", "true", "false"),
    _unused("admin.serverAddress", "0.0.0.0"),  # noqa: S104 - a default to print
    _unused("admin.serverPort", "8080"),
    _unused("admin.idleTimeout", "30000"),
    _unused("admin.commandURL", "/commands"),
    _unused("admin.httpVersion", "11"),
    _later("admin.portUnification", "false"),
    _later("admin.forceHttps", "false"),
    _later("admin.needClientAuth", "false"),
    _unused("admin.snapshot.enabled", "true"),
    _unused("admin.restore.enabled", "true"),
    _unused("admin.rateLimiterIntervalInMS", "300000"),
    _later("audit.enable", "false"),
    _later("audit.impl.class"),
    _later("pathStats.enabled", "false"),
    _unused("pathStats.slotCapacity", "60"),
    _unused("pathStats.slotDuration", "15"),
    _unused("pathStats.maxDepth", "6"),
    _unused("pathStats.sampleRate", "0.1"),
    _unused("pathStats.initialDelay", "5"),
    _unused("pathStats.delay", "5"),
    _unused("pathStats.topPathMax", "20"),
    _later("messageTracker.Enabled", "false"),
    _unused("messageTracker.BufferSize", "10"),
    _unused("jvm.pause.monitor", "false", known=True),
    _unused("jvm.pause.warn-threshold.ms", "10000", known=True),
    _unused("jvm.pause.info-threshold.ms", "1000", known=True),
    _unused("jvm.pause.sleep.time.ms", "500", known=True),
    _unused("nio.numSelectorThreads", ""),
    _unused("nio.numWorkerThreads", ""),
    _unused("nio.directBufferBytes", "65536"),
    _unused("nio.shutdownTimeout", "5000"),
    _unused("netty.advancedFlowControl.enabled", "false"),
    _unused("netty.server.outstandingHandshake.limit", "-1"),
    _unused("netty.server.earlyDropSecureConnectionHandshakes", "false"),
    _unused("watchManagerName", ""),
    _unused("watcherCleanThreadsNum", "2"),
    _unused("watcherCleanThreshold", "1000"),
    _unused("watcherCleanIntervalInSeconds", "600"),
    _unused("maxInProcessingDeadWatchers", "-1"),
    _unused("bitHashCacheSize", "10"),
    _unused("maxResponseCacheSize", "400"),
    _unused("maxGetChildrenResponseCacheSize", "400"),
    _unused("intBufferStartingSizeBytes", "1024"),
    _unused("commitProcessor.numWorkerThreads", ""),
    _unused("commitProcessor.shutdownTimeout", "5000"),
    _unused("commitProcessor.maxReadBatchSize", "-1"),
    _unused("commitProcessor.maxCommitBatchSize", "1"),
)

GROUPS: Final[dict[str, tuple[Key, ...]]] = {
    "Basics and limits": BASIC,
    "Storage": STORAGE,
    "Znodes": ZNODES,
    "Authentication and access": AUTH,
    "Sessions and modes": SESSIONS,
    "Throttling": THROTTLE,
    "Ensembles": ENSEMBLE,
    "TLS, administration, tuning": OTHER,
}

KEYS: Final = tuple(key for group in GROUPS.values() for key in group)
KNOWN: Final = {key.name: key for key in KEYS if key.known}

# Families of keys: what begins so is recognised; none of them is supported yet.
KNOWN_PREFIXES: Final = ("metricsProvider.",)
LATER_PREFIXES: Final = ("zookeeper.ssl.", "zookeeper.superUser.")
AUTH_PROVIDER_PREFIX: Final = "zookeeper.authProvider."
MEMBER_PREFIXES: Final = ("server.", "group.", "weight.")
PROTECTIONS: Final = (
    "sslQuorum",
    "portUnification",
    "quorum.auth.enableSasl",
    "quorum.auth.serverRequireSasl",
    "quorum.auth.learnerRequireSasl",
)
"""The keys that protect the links between members: a member that ignored one would be less safe
than it was told to be."""
