"""Everything that a server can be told, in one frozen record.

Pure. `pyzk/config/server.py` makes it of `zoo.cfg`. ZooKeeper: QuorumPeerConfig, ServerConfig
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from pyzk.config.metrics_provider import DEFAULT as DEFAULT_METRICS
from pyzk.config.metrics_provider import PROMETHEUS
from pyzk.config.settings import Remark
from pyzk.constants import MAX_TXN_BYTES

if TYPE_CHECKING:
    from pyzk.config.admin import AdminConfig
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.config.sasl import SaslConfig
    from pyzk.config.tls import TlsConfig

WILDCARD: Final = "0.0.0.0"  # noqa: S104 - what a server line says for "all addresses"
_DERIVED: Final[Any] = None
"""A default that other fields decide."""


# No attrs: its import takes 9 ms, a fifth of the time until a first test server is ready.
@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Everything that a server can be told; the defaults are ZooKeeper's."""

    data_dir: str = ""
    data_log_dir: str = _DERIVED
    client_port: int | None = None
    """The client port; 0 stands for any free port, None for a port that is not set."""
    client_port_address: str | None = None
    """The host or address to listen on; None stands for all addresses of the machine."""
    secure_client_port: int | None = None
    """The port that takes TLS only, beside the client port or instead of it."""
    secure_client_port_address: str | None = None
    client_port_unification: bool = False
    """Whether the client port takes TLS, too."""
    client_cert_reload: bool = False
    """Whether changed files of keys and certificates are read again."""
    client_tls: TlsConfig | None = None
    """What TLS on the client ports is told; None if there is none."""
    fips_mode: bool = True
    tls_handshake_limit: int = -1
    """The most handshakes of TLS with clients under way; -1 or 0 means pyzk's own limit."""
    client_port_listen_backlog: int = -1
    """The length of the queue of connections; -1 stands for the default of the operating system."""
    tick_time_ms: int = 3000
    min_session_timeout_ms: int = _DERIVED
    max_session_timeout_ms: int = _DERIVED
    max_client_cnxns: int = 60
    """The most connections of one address; 0 means no limit."""
    max_cnxns: int = 0
    """The most connections in all; 0 means no limit."""
    sessionless_cnxn_timeout_ms: int = 10_000
    client_tcp_keep_alive: bool = False
    jute_max_buffer: int = 0xFFFFF
    """The longest frame from a client, inclusive."""
    jute_max_buffer_extra: int = _DERIVED
    """The bytes added to jute_max_buffer for what a transaction has beside the request."""
    global_outstanding_limit: int = 1000
    large_request_max_bytes: int = 104_857_600
    large_request_threshold: int = -1
    """The size from which on a request is large; -1 means that none is."""
    four_letter_whitelist: tuple[str, ...] = ("srvr",)
    """The words that are answered, sorted; `*` is spelt out, and srvr is always among them."""

    snap_count: int = 100_000
    snap_size_limit_kb: int = 4_194_304
    """The KiB of log after which a snapshot is due; 0 or less means no limit."""
    txn_log_size_limit_kb: int = -1
    """The KiB after which another log is begun; 0 or less means no limit."""
    pre_alloc_size_kb: int = 65_536
    force_sync: bool = True
    fsync_warning_threshold_ms: int = 1000
    commit_log_count: int = 500
    snapshot_compression: str = ""
    """The compression of snapshots: "", "gz" or "snappy"."""
    snapshot_trust_empty: bool = False
    datadir_autocreate: bool = True
    db_autocreate: bool = True
    initialize: bool = False
    """Whether an empty data directory is that of a new server, for whoever starts this says so:
    ``pyzk serve --initialize``."""
    serialize_last_processed_zxid: bool = True
    digest_enabled: bool = True
    close_session_txn_enabled: bool = True
    autopurge_snap_retain_count: int = 3
    autopurge_purge_interval_hours: int = 0
    """The hours between two purges; 0 means no purging."""
    flush_delay_ms: int = 0
    max_write_queue_poll_time_ms: int = _DERIVED
    max_batch_size: int = 1000

    extended_types_enabled: bool = False
    emulate_353_ttl_nodes: bool = False
    enforce_quota: bool = False
    container_check_interval_ms: int = 60_000
    container_max_per_minute: int = 10_000
    container_max_never_used_interval_ms: int = 0
    """The age at which a container that never had a child goes; 0 means that it stays."""

    skip_acl: bool = False
    enable_eager_acl_check: bool = False
    enforce_auth_enabled: bool = False
    enforce_auth_schemes: tuple[str, ...] = ()
    session_require_client_sasl_auth: bool = False
    digest_auth_enabled: bool = True
    digest_alg: str = "SHA1"
    """The name of a digest algorithm in Java: SHA1, SHA-256, SHA3-512, MD5, ..."""
    super_digest: str | None = dataclasses.field(default=None, repr=False)
    x509_super_user: str | None = None
    """The subject, or other id, of the client certificate whose owner is the super user."""
    x509_id_type: str = "SDN"
    """What an x509 id is made from: SDN, the subject, or SAN, an alternative name."""
    x509_san_match_type: int | None = None
    """The kind of alternative name, by its number in the certificate; 6 is a URI."""
    x509_san_match_regex: str = ".*"
    x509_san_extract_regex: str = ".*"
    x509_san_extract_group: int = 0
    ensemble_auth_names: tuple[str, ...] | None = None
    """The names that the scheme ensemble lets pass; None lets every name pass."""
    sasl: SaslConfig | None = None
    """What SASL is told; None if nothing is."""
    auth_providers: tuple[tuple[str, str], ...] = ()
    """The (suffix, value) of each authProvider.<suffix>, in order of appearance: a Java class of
    the original, or an entry point."""
    custom_providers: tuple[tuple[str, object], ...] = ()
    """The (entry point, provider) of those that are no class of the original; whoever runs the
    server makes them, and the registry looks what they are."""
    properties: tuple[tuple[str, str], ...] = dataclasses.field(
        default=(), repr=False, compare=False
    )
    """The (name, value) of the system properties, as they were given or as the lines of zoo.cfg
    become such."""
    file_text: bytes | None = dataclasses.field(default=None, repr=False, compare=False)
    """What stood in zoo.cfg at the start; None if there was none."""
    other_properties: tuple[tuple[str, str], ...] = dataclasses.field(default=(), repr=False)
    """The (name, value) of the settings that no row of the table asks for, which custom providers
    may know; the names are without ``zookeeper.``."""

    local_sessions_enabled: bool = False
    local_sessions_upgrading_enabled: bool = False
    readonlymode_enabled: bool = False
    reconfig_enabled: bool = False
    standalone_enabled: bool = True

    request_throttle_max_requests: int = 0
    request_throttle_stall_time_ms: int = 100
    request_throttle_drop_stale: bool = True
    request_stale_latency_check: bool = False
    request_stale_connection_check: bool = True
    throttled_op_wait_time_ms: int = 0
    connection_throttle_tokens: int = 0
    connection_throttle_fill_time_ms: int = 1
    connection_throttle_fill_count: int = 1
    connection_throttle_freeze_time_ms: int = -1
    connection_throttle_drop_increase: float = 0.02
    connection_throttle_drop_decrease: float = 0.002
    connection_throttle_decrease_ratio: float = 0.0
    connection_throttle_weight_enabled: bool = False
    connection_throttle_global_session_weight: int = 3
    connection_throttle_local_session_weight: int = 1
    connection_throttle_renew_session_weight: int = 2

    log_level: str = "info"
    """The level of the log: debug, info, warning or error."""

    audit_enable: bool = False
    audit_impl_class: str = ""
    """The Java class that writes the audit log; "" stands for the original's own."""

    console_enabled: str = "local"
    """Whom the console is for: local (visitors on this machine), true (everybody who reaches the
    admin port) or false (nobody: there is none)."""
    console_write: bool = False
    """Whether the console changes znodes for who has digest credentials; it never does without an
    audit log."""
    console_hosts: tuple[str, ...] = ()
    """The names of this server by which browsers come to the console, beside those that it
    knows."""
    admin: AdminConfig | None = None
    """What the admin server, by HTTP, is told; None if there is none."""

    metrics_provider: str = DEFAULT_METRICS
    """The class of the original whose way of giving metrics away this server has."""
    metrics_http_host: str = WILDCARD
    """Where Prometheus asks for metrics, if its provider is configured."""
    metrics_http_port: int = 7000
    """The port there; 0 takes any free one."""
    metrics_export_jvm_info: bool = True
    """Whether Prometheus is told of the process, too."""
    metrics_top_paths: int = 0
    """How many of the most frequent paths are told with their requests; 0 counts none."""
    metrics_top_clients: int = 0
    """How many of the busiest clients are told with their requests; 0 counts none."""
    slow_request_ms: int = 0
    """The time from which on a request is slow; 0 means that none is."""
    idle_poll_us: int = 50
    """For how long the loop polls behind the reads of a lone client before it sleeps; 0 turns it
    off."""

    ensemble: EnsembleConfig | None = None
    """The place among the other members; None on a lone server."""

    warnings: tuple[Remark, ...] = ()
    """What the operator asked for and does not get."""
    notes: tuple[Remark, ...] = ()
    """Harmless settings that have no effect here."""

    def __post_init__(self) -> None:
        derived = {
            "data_log_dir": self.data_dir,
            "min_session_timeout_ms": self.tick_time_ms * 2,
            "max_session_timeout_ms": self.tick_time_ms * 20,
            "jute_max_buffer_extra": max(1024, self.jute_max_buffer),
            "max_write_queue_poll_time_ms": self.flush_delay_ms // 3,
        }
        for name, value in derived.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    @property
    def is_told_to_prometheus(self) -> bool:
        """Whether metrics are given away as PrometheusMetricsProvider does, on a port of its own
        and in ``mntr``."""
        return self.metrics_provider == PROMETHEUS

    @property
    def max_txn_bytes(self) -> int:
        """Return the longest transaction that a client may cause: what a ZooKeeper server of the
        same jute.maxbuffer and extra size can read."""
        return min(self.jute_max_buffer + self.jute_max_buffer_extra, MAX_TXN_BYTES)


DEFAULTS = ServerConfig()
