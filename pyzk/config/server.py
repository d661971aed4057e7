"""The configuration of a server: text of `zoo.cfg` and `-D` options to one frozen `ServerConfig`.

Pure. Three sources, the later one wins: system properties (`-D`, or a properties file), the keys of
`zoo.cfg`, command line options, which are written as keys. A key that the original knows is read
from the file; any other key becomes the property `zookeeper.<key>`, as in the original, and then
either a row of the table in `config_keys` takes it or a warning names it.
A wrong value is a ConfigError, also where the original would fall back to the default in silence.
ZooKeeper: QuorumPeerConfig, ServerConfig; ServerCnxnHelper and friends for the properties.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pyzk.config import keys as config_keys
from pyzk.config.keys import KEYS, KNOWN, Key, Status
from pyzk.config.properties import Entry, parse_properties, trim
from pyzk.constants import MAX_REQUEST_BYTES, MAX_TXN_BYTES
from pyzk.errors import ConfigError
from pyzk.four_letter_words import FOUR_LETTER_WORDS

if TYPE_CHECKING:
    from pyzk.config.ensemble import EnsembleConfig, Lone, Resolve
    from pyzk.config.hints import Unknown

__all__ = ["Property", "ServerConfig", "effective_values", "parse_config", "parse_properties"]

Remark = tuple[int | None, str]
"""The line of zoo.cfg, or None, and one sentence."""

_BUILT_IN_PROVIDERS: Final = ("DigestAuthenticationProvider", "IPAuthenticationProvider")
"""Classes of authProvider.* that need no telling: they are always there."""


class Property(NamedTuple):
    """A setting from outside the file; `label` is its name in messages (`-Djute.maxbuffer`)."""

    name: str
    value: str
    label: str


WILDCARD: Final = "0.0.0.0"  # noqa: S104 - what a server line says for "all addresses"
_DERIVED: Final[Any] = None
"""Stands for a default that other fields decide."""


# No attrs: its import takes 9 ms, a fifth of the time until a first test server is ready.
@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Everything a server can be told; the defaults are ZooKeeper's."""

    data_dir: str = ""
    data_log_dir: str = _DERIVED
    client_port: int | None = None
    """0: any free port; None: not set."""
    client_port_address: str | None = None
    """None: all addresses of the machine."""
    client_port_listen_backlog: int = -1
    """-1: the default of the operating system."""
    tick_time_ms: int = 3000
    min_session_timeout_ms: int = _DERIVED
    max_session_timeout_ms: int = _DERIVED
    max_client_cnxns: int = 60
    """Connections of one peer address; 0: no limit."""
    max_cnxns: int = 0
    """Connections in all; 0: no limit."""
    sessionless_cnxn_timeout_ms: int = 10_000
    client_tcp_keep_alive: bool = False
    jute_max_buffer: int = 0xFFFFF
    """Longest frame from a client, inclusive."""
    jute_max_buffer_extra: int = _DERIVED
    """Added to jute_max_buffer for what a transaction has beside the request."""
    global_outstanding_limit: int = 1000
    large_request_max_bytes: int = 104_857_600
    large_request_threshold: int = -1
    """-1: no request is large."""
    four_letter_whitelist: tuple[str, ...] = ("srvr",)
    """The words that answer, sorted; `*` is spelt out and srvr is always among them."""

    snap_count: int = 100_000
    snap_size_limit_kb: int = 4_194_304
    """<= 0: no limit."""
    txn_log_size_limit_kb: int = -1
    """<= 0: no limit."""
    pre_alloc_size_kb: int = 65_536
    force_sync: bool = True
    fsync_warning_threshold_ms: int = 1000
    commit_log_count: int = 500
    snapshot_compression: str = ""
    """"", "gz" or "snappy"."""
    snapshot_trust_empty: bool = False
    datadir_autocreate: bool = True
    db_autocreate: bool = True
    serialize_last_processed_zxid: bool = True
    digest_enabled: bool = True
    close_session_txn_enabled: bool = True
    autopurge_snap_retain_count: int = 3
    autopurge_purge_interval_hours: int = 0
    """0: no purging."""
    flush_delay_ms: int = 0
    max_write_queue_poll_time_ms: int = _DERIVED
    max_batch_size: int = 1000

    extended_types_enabled: bool = False
    emulate_353_ttl_nodes: bool = False
    enforce_quota: bool = False
    container_check_interval_ms: int = 60_000
    container_max_per_minute: int = 10_000
    container_max_never_used_interval_ms: int = 0
    """0: a container that never had a child stays."""

    skip_acl: bool = False
    enable_eager_acl_check: bool = False
    enforce_auth_enabled: bool = False
    enforce_auth_schemes: tuple[str, ...] = ()
    session_require_client_sasl_auth: bool = False
    digest_auth_enabled: bool = True
    digest_alg: str = "SHA1"
    """A Java digest name: SHA1, SHA-256, SHA3-512, MD5, ..."""
    super_digest: str | None = None
    auth_providers: tuple[tuple[str, str], ...] = ()
    """(suffix, class name) of each authProvider.<suffix>, in order of appearance."""

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

    ensemble: EnsembleConfig | None = None
    """The place among others; None: a lone server."""

    warnings: tuple[Remark, ...] = ()
    """What the operator asked for and will not get."""
    notes: tuple[Remark, ...] = ()
    """Settings that nothing here could obey, harmlessly."""

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
    def max_txn_bytes(self) -> int:
        """The longest transaction that a client may cause: what a ZooKeeper server of the same
        jute.maxbuffer and extra size can read."""
        return min(self.jute_max_buffer + self.jute_max_buffer_extra, MAX_TXN_BYTES)


DEFAULTS = ServerConfig()


ReadFile = Callable[[str], bytes | None]
"""Returns the content of a file, None if there is none of this name."""


def _no_file(path: str) -> bytes | None:
    return None


def _no_directory(path: str) -> bool:
    return False


def parse_config(
    text: bytes,
    properties: Iterable[Property] = (),
    options: Iterable[Property] = (),
    read_file: ReadFile = _no_file,
    resolve: Resolve | None = None,
    is_directory: Callable[[str], bool] = _no_directory,
) -> ServerConfig:
    """Return what `text` (of zoo.cfg), `properties` and `options` (their names are keys) ask for.

    A member of an ensemble has more to read: `myid` in its dataDir, and the file that
    dynamicConfigFile names. Host names are resolved where its client address is given twice;
    without ``resolve`` a name is the same as no other. A directory whose name in the file looks
    like a slip is taken if ``is_directory`` says that there is one. Raises ConfigError with the
    line of `text` and the key, for the first wrong value it meets.
    """
    properties, options = list(properties), list(options)
    reader = _Reader(_Given(text, properties, options, read_file, resolve, is_directory))
    for name, value, label in properties:
        reader.add_property(name, value, label)
    for entry in parse_properties(text):
        reader.add_line(entry)
    for key, value, label in options:
        reader.add_entry(key, _Setting(value, None, label))
    try:
        return reader.finish()
    except ConfigError as error:
        raise reader.explained(error) from None


def effective_values(config: ServerConfig) -> list[tuple[str, object]]:
    """Return (key, value) of every setting that has a field, in the order of the table."""
    return [(key.name, getattr(config, key.field)) for key in KEYS if key.field is not None]


class _Given(NamedTuple):
    text: bytes
    properties: list[Property]
    options: list[Property]
    read_file: ReadFile
    resolve: Resolve | None
    is_directory: Callable[[str], bool]


class _Setting(NamedTuple):
    value: str
    line: int | None
    label: str


class _Reader:
    """Collects settings by name, then takes them out row by row; what is left is unknown."""

    def __init__(self, given: _Given) -> None:
        self.given = given
        self.lines: dict[str, int] = {}  # key -> the last line of zoo.cfg that has it
        self.known: dict[str, _Setting] = {}
        self.properties: dict[str, _Setting] = {}
        self.members: dict[str, _Setting] = {}
        self.asked: dict[str, _Setting] = {}
        """Those of PROTECTIONS that were given."""
        self.values: dict[str, Any] = {}  # field -> value of the field's own type
        self.settings: dict[str, _Setting] = {}  # field -> where the value came from
        self.warnings: list[Remark] = []
        self.notes: list[Remark] = []
        self.unknown: list[Unknown] = []

    # ---- sources

    def add_property(self, name: str, value: str, label: str) -> None:
        self.properties[name] = _Setting(trim(value), None, label)

    def add_line(self, entry: Entry) -> None:
        """Take a line of zoo.cfg; of two with the same key the last counts, as in Java."""
        setting = _Setting(entry.value, entry.line, entry.key)
        before = self.lines.get(entry.key)
        if before is not None:
            self._warn(setting, f"given on line {before} already; this one counts")
        self.lines[entry.key] = entry.line
        self.add_entry(entry.key, setting)

    def add_entry(self, key: str, setting: _Setting) -> None:
        if key in KNOWN or key.startswith(config_keys.KNOWN_PREFIXES):
            self.known[key] = setting
        elif key == "dynamicConfigFile" or key.startswith(config_keys.MEMBER_PREFIXES):
            self.members[key] = setting
        else:
            self.properties[f"zookeeper.{key}"] = setting

    # ---- rows

    def finish(self) -> ServerConfig:
        for key in KEYS:
            setting = self._take(key)
            if setting is not None:
                self._apply(key, setting)
        self._take_auth_providers()
        self._leftovers()
        if self.members:
            self._members()
        self._adjust()
        self.warnings.sort(key=_by_line)
        self.notes.sort(key=_by_line)
        config = ServerConfig(**self.values, warnings=tuple(self.warnings), notes=tuple(self.notes))
        self._cross_check(config)
        return config

    def _take(self, key: Key) -> _Setting | None:
        if key.known:
            found = self.known.pop(key.name, None)
            if found is not None and key.name in config_keys.PROTECTIONS:
                self.asked[key.name] = found
            return found
        found = None
        for name in reversed(key.properties):
            found = self.properties.pop(name, None) or found
        return found

    def _apply(self, key: Key, setting: _Setting) -> None:
        try:
            value = key.kind.read(setting.value, key.unit)
        except ValueError as error:
            raise _wrong(setting, str(error)) from None
        if isinstance(value, str | tuple):
            self._look_at(key, setting)
        if key.field is not None:
            self.values[key.field] = value
            self.settings[key.field] = setting
        if key.status is Status.LATER and not _asks_for_nothing(key, setting.value, value):
            self._warn(setting, "not supported yet, ignored")
        elif key.status is Status.NO_EFFECT:
            self.notes.append((setting.line, f"{setting.label}: has no effect in pyzk"))

    def _look_at(self, key: Key, setting: _Setting) -> None:
        """Warn of a text that is in quotation marks, or ends in a comment or in the next line: any
        text would be accepted.

        Of a directory it is an error, unless there is one of that name: the server would make it,
        and serve an empty tree.
        """
        value, is_path = setting.value, key.kind is config_keys.PATH
        if is_path and setting.line is None:
            return  # the shell has taken quotation marks and comments away
        if "#" in value or "=" in value or value[-1:] in ("'", '"'):
            from pyzk.config import hints as config_hints  # a start that is right does without it

            remark = config_hints.of_value(value)
            if remark and is_path and not self.given.is_directory(value):
                raise _wrong(setting, f"{remark}; if that is meant, make this directory first")
            if remark:
                self._warn(setting, remark)

    def _take_auth_providers(self) -> None:
        prefix = config_keys.AUTH_PROVIDER_PREFIX
        names = [name for name in self.properties if name.startswith(prefix)]
        providers = []
        for name in names:
            setting = self.properties.pop(name)
            providers.append((name.removeprefix(prefix), setting.value))
            if not setting.value.endswith(_BUILT_IN_PROVIDERS):
                self._warn(setting, f"{setting.value} is not supported yet, ignored")
        self.values["auth_providers"] = tuple(providers)

    def _leftovers(self) -> None:
        for setting in self.known.values():
            self._warn(setting, "not supported yet, ignored")
        for name, setting in self.properties.items():
            if name.startswith(config_keys.LATER_PREFIXES):
                self._warn(setting, "not supported yet, ignored")
            else:
                self._unknown(name, setting)

    def _unknown(self, name: str, setting: _Setting) -> None:
        from pyzk.config import hints as config_hints  # a start that is right does without it

        is_in_file = name == f"zookeeper.{setting.label}"
        meant = (
            config_hints.of_file_key(setting.label)
            if is_in_file
            else config_hints.of_property(name)
        )
        self.unknown.append(config_hints.Unknown(setting.line, setting.label, meant))
        if meant.is_harmless:
            self.notes.append((setting.line, f"{setting.label}: {meant.remark}"))
        else:
            self._warn(setting, config_hints.extended("unknown, ignored", meant.remark))

    def explained(self, error: ConfigError) -> ConfigError:
        """Return the error; if a key is missing, with what may stand for it in the file, and if
        `myid` is, with what is wrong with the name of its directory."""
        if error.line is not None or error.key is None:
            return error
        from pyzk.config import hints as config_hints

        data_dir = self.settings.get("data_dir")
        if error.key == "myid" and data_dir is not None and data_dir.line is not None:
            remark = config_hints.of_value(data_dir.value)
            if remark:
                return _wrong(data_dir, f"{remark}; {error.message}")
        entries = parse_properties(self.given.text)
        remark = config_hints.of_missing(error.key, self.unknown, entries)
        return ConfigError(config_hints.extended(error.message, remark), None, error.key)

    def _warn(self, setting: _Setting, text: str) -> None:
        self.warnings.append((setting.line, f"{setting.label}: {text}"))

    # ---- members of an ensemble

    def _members(self) -> None:
        """Find out who the others are; of a lone server take the client address, as the original
        does."""
        from pyzk.config import (
            ensemble as config_ensemble,  # a lone server has no use for it, and starts sooner
        )

        given = self.given
        data_dir = self.values.get("data_dir")
        if data_dir is None:
            return  # it is said below
        dynamic = config_ensemble.dynamic_file_of(given.text)
        myid_path = f"{data_dir}/myid"
        found = config_ensemble.read_members(
            config_ensemble.Sources(
                given.text,
                given.read_file(myid_path),
                myid_path,
                given.read_file(dynamic) if dynamic else None,
                {name: value for name, value, _ in given.properties},
                given.options,
                given.resolve or config_ensemble.no_names,
            )
        )
        if isinstance(found, config_ensemble.EnsembleConfig):
            self._take_ensemble(found)
        elif found is not None:
            self._take_lone(found)

    def _take_ensemble(self, ensemble: EnsembleConfig) -> None:
        for name in config_keys.PROTECTIONS:
            setting = self.asked.get(name)
            if setting is not None and setting.value.lower() == "true":
                raise _wrong(
                    setting,
                    "is not supported yet, and without it the links between the servers would be"
                    " open; remove it on all servers if that is acceptable",
                )
        values = self.values
        values["ensemble"] = ensemble
        values["client_port"] = ensemble.client_port
        host = ensemble.client_host
        values["client_port_address"] = None if host == WILDCARD else host
        self.warnings += ensemble.warnings

    def _take_lone(self, lone: Lone) -> None:
        """Take the client address of the only server line, as the original does: if it is this
        server's. Without `myid` it is of use only where clientPort is not set."""
        from pyzk.config import ensemble as config_ensemble

        member, values = lone.member, self.values
        setting = self.members.get(f"server.{member.sid}") or self.members["dynamicConfigFile"]
        self._warn(setting, "only one server given, so it is ignored: this is a standalone server")
        port, host = values.get("client_port"), values.get("client_port_address")
        if member.client_port is None or (port is None and host is not None):
            return
        if port is not None:
            if not lone.is_me:
                return
            resolve = self.given.resolve or config_ensemble.no_names
            try:
                config_ensemble.check_client_address(host, port, member, resolve)
            except ValueError as error:
                raise _wrong(self.settings["client_port"], str(error)) from None
        host = member.client_host
        values["client_port"] = member.client_port
        values["client_port_address"] = None if host == WILDCARD else host

    # ---- what concerns more than one value

    def _adjust(self) -> None:
        """Apply the original's floors and derived values."""
        values = self.values
        self._floor("snap_count", 2)
        self._floor("commit_log_count", DEFAULTS.commit_log_count)
        self._floor("autopurge_snap_retain_count", 3)
        self._floor("jute_max_buffer_extra", 1024)
        self._ceiling("jute_max_buffer", MAX_REQUEST_BYTES)
        for field in ("min_session_timeout_ms", "max_session_timeout_ms"):
            if values.get(field) == -1:
                del values[field]
        self._whitelist()
        for field in ("data_dir", "data_log_dir"):
            setting = self.settings.get(field)
            if setting is not None and setting.line is not None and setting.value[0] not in "/.":
                self._warn(setting, "is relative to where the server is started; begin it with ./")
        if values.get("session_require_client_sasl_auth"):
            values["enforce_auth_enabled"] = True
            values["enforce_auth_schemes"] = ("sasl",)
        if values.get("force_sync") is False:
            self._warn(
                self.settings["force_sync"],
                "writes are acknowledged before they are on disk: a crash may lose them",
            )

    def _floor(self, field: str, least: int) -> None:
        if self.values.get(field, least) < least:
            self.values[field] = least
            self._warn(self.settings[field], f"raised to the least value, {least}")

    def _ceiling(self, field: str, most: int) -> None:
        if self.values.get(field, most) > most:
            self.values[field] = most
            self._warn(self.settings[field], f"lowered to the greatest value, {most}")

    def _whitelist(self) -> None:
        asked: tuple[str, ...] = self.values.get("four_letter_whitelist", ())
        words = set(FOUR_LETTER_WORDS if "*" in asked else asked)
        strange = sorted(words.difference(FOUR_LETTER_WORDS, "*"))
        if strange:
            self._warn(
                self.settings["four_letter_whitelist"],
                f"no such four-letter word: {', '.join(strange)}",
            )
        words = words.intersection(FOUR_LETTER_WORDS) | {"srvr"}
        if self.values.get("readonlymode_enabled"):
            words.add("isro")
        self.values["four_letter_whitelist"] = tuple(sorted(words))

    def _cross_check(self, config: ServerConfig) -> None:
        if not config.data_dir:
            raise ConfigError(
                "is not set; give the directory for snapshots and logs", key="dataDir"
            )
        if config.client_port is None:
            address = self.settings.get("client_port_address")
            if address is not None:
                raise _wrong(address, "clientPortAddress is set but clientPort is not")
            raise ConfigError("is not set; 2181 is usual, 0 takes any free port", key="clientPort")
        for field in ("min_session_timeout_ms", "max_session_timeout_ms"):
            if getattr(config, field) < 0:
                raise _wrong(self.settings[field], "must not be negative; -1 means the default")
        if config.min_session_timeout_ms > config.max_session_timeout_ms:
            setting = self.settings.get("min_session_timeout_ms") or self.settings.get(
                "max_session_timeout_ms"
            )
            assert setting is not None, config
            raise _wrong(
                setting,
                f"minSessionTimeout ({config.min_session_timeout_ms}) must not be longer than"
                f" maxSessionTimeout ({config.max_session_timeout_ms})",
            )
        if config.enforce_auth_enabled and not config.enforce_auth_schemes:
            raise _wrong(
                self.settings["enforce_auth_enabled"],
                "needs enforce.auth.schemes, a comma-separated list such as digest,ip",
            )


def _by_line(remark: Remark) -> int:
    return remark[0] or 0


def _wrong(setting: _Setting, message: str) -> ConfigError:
    return ConfigError(message, setting.line, setting.label)


def _asks_for_nothing(key: Key, text: str, value: object) -> bool:
    if key.field is not None:
        return bool(value == getattr(DEFAULTS, key.field))
    return text.lower() in {word.lower() for word in key.same}
