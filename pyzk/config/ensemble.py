"""What a member of an ensemble is told: its place among the others, and the times it lives by.

Pure. Sources: `zoo.cfg`, the dynamic file that it may name, the file `myid`, and system properties.
Keys that a lone server has, too, are the business of `config`; both read the same text. Every
mistake that would let a member start and never join is a ConfigError with the line and with what
to change. ZooKeeper: QuorumPeerConfig, QuorumPeer, and the properties of the quorum package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import attrs

from pyzk.config import keys as config_keys
from pyzk.config.keys import Kind
from pyzk.config.members import (
    PREFIXES,
    WILDCARD,
    MemberLines,
    Membership,
    QuorumServer,
    bracketed,
    canonical_host,
    parse_id,
    same_address,
    version_of_file_name,
)
from pyzk.config.properties import Entry, parse_properties, trim
from pyzk.errors import ConfigError

Remark = tuple[int | None, str]
"""The line of zoo.cfg, or None, and one sentence."""


class _Key(NamedTuple):
    name: str
    kind: Kind
    field: str
    known: bool = False
    """Read from the file only; others are system properties, too, with `zookeeper.` in front."""


_KEYS: Final = (
    _Key("tickTime", config_keys.PLAIN_POSITIVE, "tick_time_ms", known=True),
    _Key("initLimit", config_keys.PLAIN_POSITIVE, "init_limit_ticks", known=True),
    _Key("syncLimit", config_keys.PLAIN_POSITIVE, "sync_limit_ticks", known=True),
    _Key(
        "connectToLearnerMasterLimit",
        config_keys.PLAIN_COUNT,
        "connect_to_learner_master_limit_ticks",
        known=True,
    ),
    _Key("electionAlg", config_keys.ELECTION, "election_alg", known=True),
    _Key("peerType", config_keys.PEER_TYPE, "peer_type", known=True),
    _Key("clientPort", config_keys.PORT, "client_port", known=True),
    _Key("clientPortAddress", config_keys.HOST, "client_port_address", known=True),
    _Key("quorumListenOnAllIPs", config_keys.BOOL, "quorum_listen_on_all_ips", known=True),
    _Key("syncEnabled", config_keys.BOOL, "sync_enabled", known=True),
    _Key("standaloneEnabled", config_keys.BOOL, "standalone_enabled", known=True),
    _Key("reconfigEnabled", config_keys.BOOL, "reconfig_enabled", known=True),
    _Key("multiAddress.enabled", config_keys.BOOL, "multi_address_enabled", known=True),
    _Key("extendedTypesEnabled", config_keys.BOOL, "extended_types_enabled"),
    _Key("leaderServes", config_keys.YES_NO, "leader_serves"),
    _Key("cnxTimeout", config_keys.PLAIN_POSITIVE, "cnx_timeout_ms"),
    _Key("tcpKeepAlive", config_keys.BOOL, "tcp_keep_alive"),
    _Key("quorumCnxnTimeoutMs", config_keys.INT, "quorum_cnxn_timeout_ms"),
    _Key("electionPortBindRetry", config_keys.COUNT, "election_port_bind_retry"),
    _Key("fastleader.minNotificationInterval", config_keys.POSITIVE, "min_notification_ms"),
    _Key("fastleader.maxNotificationInterval", config_keys.POSITIVE, "max_notification_ms"),
    _Key("fastleader.finalizeWaitMs", config_keys.COUNT, "finalize_wait_ms"),
    _Key("observer.syncLimit", config_keys.COUNT, "observer_sync_limit_ticks"),
    _Key("leaderConnectDelayDuringRetryMs", config_keys.COUNT, "leader_connect_delay_ms"),
    _Key("leader.maxTimeToWaitForEpoch", config_keys.INT, "max_time_to_wait_for_epoch_ms"),
    _Key("leader.maxConcurrentSnapSyncs", config_keys.POSITIVE, "max_concurrent_snap_syncs"),
    _Key("leader.maxConcurrentDiffSyncs", config_keys.POSITIVE, "max_concurrent_diff_syncs"),
    _Key("observer.reconnectDelayMs", config_keys.COUNT, "observer_reconnect_delay_ms"),
    _Key("observer.election.DelayMs", config_keys.COUNT, "observer_election_delay_ms"),
    _Key("snapshotSizeFactor", config_keys.NUMBER, "snapshot_size_factor"),
    _Key("forceSnapshotSync", config_keys.BOOL, "force_snapshot_sync"),
)
_BY_NAME: Final = {key.name: key for key in _KEYS}
_SHARED: Final = ("tick_time_ms", "client_port", "reconfig_enabled")
"""Fields that every server has."""
# The original reads this one under another name when it comes as a property.
_ALIASES: Final = {
    "zookeeper.observer.syncEnabled": "syncEnabled",
    "zookeeper.multiAddress.enabled": "multiAddress.enabled",
}


@attrs.frozen(kw_only=True)
class EnsembleConfig:
    """Everything a member is told about its ensemble; the defaults are ZooKeeper's."""

    my_sid: int
    membership: Membership
    is_observer: bool
    client_host: str = WILDCARD
    client_port: int
    dynamic_file: str | None = None

    tick_time_ms: int = 3000
    init_limit_ticks: int
    """For a learner to connect and to be synchronized."""
    sync_limit_ticks: int
    """For a learner to be silent or behind."""
    observer_sync_limit_ticks: int = 0
    """For an observer's leader to be silent; 0: as sync_limit_ticks."""
    connect_to_learner_master_limit_ticks: int = 0
    """For a learner to connect; 0: as init_limit_ticks."""
    quorum_listen_on_all_ips: bool = False
    sync_enabled: bool = True
    """Observers keep a log."""
    reconfig_enabled: bool = False
    multi_address_enabled: bool = False
    leader_serves: bool = True
    """A leader takes clients."""
    cnx_timeout_ms: int = 5000
    """To connect to an election port."""
    tcp_keep_alive: bool = False
    quorum_cnxn_timeout_ms: int = -1
    """For the first message on an election connection; -1: sync_limit_ticks."""
    election_port_bind_retry: int = 3
    """0: for ever."""
    min_notification_ms: int = 200
    max_notification_ms: int = 60_000
    finalize_wait_ms: int = 200
    """Silence that ends an election in which a quorum, but not every voter, agrees."""
    leader_connect_delay_ms: int = 100
    max_time_to_wait_for_epoch_ms: int = -1
    """-1: no guard."""
    max_concurrent_snap_syncs: int = 10
    max_concurrent_diff_syncs: int = 100
    observer_reconnect_delay_ms: int = 0
    observer_election_delay_ms: int = 200
    snapshot_size_factor: float = 0.33
    """Negative: the log on disk is not used to synchronize a learner."""
    force_snapshot_sync: bool = False
    warnings: tuple[Remark, ...] = ()

    @property
    def me(self) -> QuorumServer:
        member = self.membership.member(self.my_sid)
        assert member is not None, self.my_sid
        return member


Resolve = Callable[[str], str | None]
"""Returns the address that a host name stands for, None if it stands for none."""


def no_names(host: str) -> str | None:
    """Return the host itself: addresses are compared, names are known to nobody."""
    return host


class Sources(NamedTuple):
    """What a start has read before anything is parsed."""

    text: bytes
    """Of zoo.cfg."""
    myid: bytes | None = None
    """Content of the file; None if there is none."""
    myid_path: str = "dataDir/myid"
    dynamic: bytes | None = None
    """Content of the file that `dynamic_file_of` names; None if it names none."""
    properties: Mapping[str, str] = {}
    """System properties, by their full names."""
    options: Iterable[tuple[str, str, str]] = ()
    """(key, value, name in messages) of command line options; they win over the file."""
    resolve: Resolve = no_names


class Lone(NamedTuple):
    """The only server that is named, which makes this a standalone server."""

    member: QuorumServer
    is_me: bool
    """The file `myid` holds its id, so its client address must agree with clientPort."""


def dynamic_file_of(text: bytes) -> str | None:
    """Return the path of the dynamic file that zoo.cfg names, to be read first."""
    found = [entry.value for entry in parse_properties(text) if entry.key == "dynamicConfigFile"]
    return found[-1] or None if found else None


def parse_ensemble(sources: Sources) -> EnsembleConfig | None:
    """Return what a member is told; None if these are the settings of a lone server."""
    found = read_members(sources)
    return found if isinstance(found, EnsembleConfig) else None


def read_members(sources: Sources) -> EnsembleConfig | Lone | None:
    """Return what a member is told, or the only server there is; None if no server is named."""
    return _Reader(sources).read()


def ensemble_values(ensemble: EnsembleConfig) -> list[tuple[str, object]]:
    """Return (key, value) of the settings that only a member has, then its server lines."""
    values: list[tuple[str, object]] = [
        (key.name, getattr(ensemble, key.field))
        for key in _KEYS
        if key.field not in _SHARED and hasattr(ensemble, key.field)
    ]
    values += [tuple(line.split("=", 1)) for line in ensemble.membership.lines()]  # type: ignore[misc]
    return [*values, ("myid", ensemble.my_sid)]


def ensemble_defaults() -> dict[str, object]:
    """Return key -> default of the settings that only a member has, where there is a default."""
    fields = attrs.fields_dict(EnsembleConfig)
    found = {key.name: fields[key.field].default for key in _KEYS if key.field in fields}
    return {name: default for name, default in found.items() if default is not attrs.NOTHING}


class _Reader:
    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.values: dict[str, Any] = {}  # field -> value of the field's own type
        self.lines: dict[str, Entry] = {}  # key -> its line
        self.warnings: list[Remark] = []

    def read(self) -> EnsembleConfig | Lone | None:
        static = parse_properties(self.sources.text)
        self._settings(static)
        dynamic = self.lines.get("dynamicConfigFile")
        entries = [entry for entry in static if entry.key.startswith(PREFIXES)]
        if dynamic is not None:
            if entries:
                raise _wrong(
                    entries[0],
                    f"belongs into the file that dynamicConfigFile (line {dynamic.line}) names;"
                    " move it there, or remove dynamicConfigFile",
                )
            membership = self._dynamic(dynamic)
        else:
            membership = _membership(entries)
        return self._finish(membership, entries)

    def _settings(self, static: Iterable[Entry]) -> None:
        for name, value in self.sources.properties.items():
            key = _BY_NAME.get(_ALIASES.get(name, name.removeprefix("zookeeper.")))
            if key is not None and (name in _ALIASES or not key.known):
                self._set(key, Entry(0, f"-D{name}", trim(value)))
        for entry in static:
            self.lines[entry.key] = entry
            key = _BY_NAME.get(entry.key)
            if key is not None:
                self._set(key, entry)
        for name, value, label in self.sources.options:
            entry = Entry(0, label, value)
            self.lines[name] = entry
            key = _BY_NAME.get(name)
            if key is not None:
                self._set(key, entry)

    def _set(self, key: _Key, entry: Entry) -> None:
        try:
            self.values[key.field] = key.kind.read(entry.value, config_keys.unit_of(key.field))
        except ValueError as error:
            raise _wrong(entry, str(error)) from None

    def _dynamic(self, setting: Entry) -> Membership:
        """Parse the dynamic file; its lines are counted in it, so messages name it."""
        name = setting.value
        content = self.sources.dynamic
        if not name:
            raise _wrong(setting, "is empty; give the path of the file with the server lines")
        if content is None:
            from pyzk.config import hints as config_hints  # it is needed only here

            message = f"{name} cannot be read; it must hold the server lines"
            raise _wrong(setting, config_hints.extended(message, config_hints.of_value(name)))
        collector = MemberLines()
        try:
            for entry in parse_properties(content):
                collector.add(entry)
            if collector.version_entry is not None:
                raise _wrong(
                    collector.version_entry,
                    "does not belong into the file, its name ends with it; remove the line",
                )
            membership = collector.membership()
        except ConfigError as error:
            raise ConfigError(f"{error.message} (in {name})", error.line, error.key) from None
        if not membership.members:
            raise _wrong(setting, f"{name} has no server lines")
        return attrs.evolve(membership, version=version_of_file_name(name))

    # ---- what concerns more than one value

    def _finish(self, membership: Membership, entries: list[Entry]) -> EnsembleConfig | Lone | None:
        where = entries[0] if entries else self.lines.get("dynamicConfigFile")
        if where is None:
            return None
        standalone = self.values.pop("standalone_enabled", True)
        voters = membership.voters
        if not voters:
            raise _wrong(where, "all servers are observers; at least one must be a participant")
        if len(voters) == 1 and standalone:
            if membership.observers:
                raise _wrong(
                    self._line_of(voters[0], where),
                    "one participant with observers is no ensemble; add participants, or set"
                    " standaloneEnabled=false",
                )
            member = membership.member(voters[0])
            assert member is not None, voters
            return Lone(member, self._read_myid()[1] == member.sid)
        self._limits()
        self._check_members(membership, where)
        sid = self._my_sid(membership)
        me = membership.member(sid)
        assert me is not None, sid
        self._peer_type(me)
        host, port = self._client_address(me)
        self._advise(membership, where)
        dynamic = self.lines.get("dynamicConfigFile")
        return EnsembleConfig(
            my_sid=sid,
            membership=membership,
            is_observer=me.is_observer,
            client_host=host,
            client_port=port,
            dynamic_file=None if dynamic is None else dynamic.value,
            warnings=tuple(sorted(self.warnings, key=_by_line)),
            **self.values,
        )

    def _limits(self) -> None:
        for key, field, usual in (
            ("initLimit", "init_limit_ticks", 10),
            ("syncLimit", "sync_limit_ticks", 5),
        ):
            if field not in self.values:
                raise ConfigError(
                    f"is not set; an ensemble needs it, {usual} (ticks) is usual", key=key
                )
        self.values.pop("election_alg", None)

    def _check_members(self, membership: Membership, where: Entry) -> None:
        extended = self.values.pop("extended_types_enabled", False)
        addresses: dict[str, int] = {}
        for member in membership.members:
            entry = self._line_of(member.sid, where)
            if extended and member.sid > 254:
                raise _wrong(
                    entry, f"server id {member.sid}: with extendedTypesEnabled, 254 is the highest"
                )
            if len(member.addresses) > 1 and not self.values.get("multi_address_enabled", False):
                raise _wrong(
                    entry, "has several addresses; that needs multiAddress.enabled=true on all"
                )
            for text in _listening(member):
                other = addresses.setdefault(text, member.sid)
                if other != member.sid:
                    self._warn(entry, f"{text} is an address of server {other}, too")

    def _my_sid(self, membership: Membership) -> int:
        path = self.sources.myid_path
        sids = [member.sid for member in membership.members]
        listed = ", ".join(str(sid) for sid in sids)
        if self.sources.myid is None:
            import shlex  # it is needed only here

            raise ConfigError(
                f"there is no {path}; it must hold the id of this server, the N of its own"
                f" server.N line, one of {listed}: echo N > {shlex.quote(path)}",
                key="myid",
            )
        first, sid = self._read_myid()
        if sid is None:
            shown = f"holds {first[:40]!r}, no server id" if first else "is empty"
            raise ConfigError(
                f"{path} {shown}; it must hold the id of this server, one of {listed}", key="myid"
            )
        if sid not in sids:
            raise ConfigError(
                f"{path} holds {sid}, but there is no server.{sid}, only {listed}; add the line on"
                " every server, or correct the file",
                key="myid",
            )
        return sid

    def _read_myid(self) -> tuple[str, int | None]:
        """Return the first line of the file and the server id that it is, None if it is none."""
        lines = (self.sources.myid or b"").decode("utf-8", "replace").lstrip("\ufeff").splitlines()
        first = lines[0].strip() if lines else ""
        try:
            return first, parse_id(first, "server id")
        except ValueError:
            return first, None

    def _peer_type(self, me: QuorumServer) -> None:
        asked = self.values.pop("peer_type", None)
        role = "observer" if me.is_observer else "participant"
        if asked is not None and asked != role:
            remedy = (
                f"server.{me.sid} says {role}, which counts; end that line's address with :{asked}"
                " on every server, or remove peerType"
            )
            self._warn(self.lines["peerType"], remedy)

    def _client_address(self, me: QuorumServer) -> tuple[str, int]:
        host: str | None = self.values.pop("client_port_address", None)
        port: int | None = self.values.pop("client_port", None)
        line = self.lines.get("clientPortAddress") or self.lines.get("clientPort")
        if host is not None and port is None:
            assert line is not None
            raise _wrong(line, "clientPortAddress is set but clientPort is not")
        if host is not None:
            assert line is not None
            try:
                host = canonical_host(host.removeprefix("[").removesuffix("]"))
            except ValueError as error:
                raise _wrong(line, str(error)) from None
        if me.client_port is None:
            if port is None:
                raise ConfigError(
                    f"is not set; set it, 2181 is usual, or end the server.{me.sid} line with"
                    " ;2181",
                    key="clientPort",
                )
            return host or WILDCARD, port
        if port is not None:
            assert line is not None
            try:
                check_client_address(host, port, me, self.sources.resolve)
            except ValueError as error:
                raise _wrong(line, str(error)) from None
        return me.client_host, me.client_port

    def _advise(self, membership: Membership, where: Entry) -> None:
        voters = len(membership.voters)
        if membership.groups:
            return
        where = self._line_of(membership.voters[0], where)
        if voters == 2:
            self._warn(where, "two participants: if either fails, no quorum is left; use three")
        elif voters > 2 and voters % 2 == 0:
            self._warn(
                where,
                f"{voters} participants survive no more failures than {voters - 1}; an odd number"
                " is better",
            )

    def _line_of(self, sid: int, where: Entry) -> Entry:
        """Return the line of a server; where the dynamic file has it, ``where`` that is named."""
        return self.lines.get(f"server.{sid}", where)

    def _warn(self, entry: Entry, text: str) -> None:
        self.warnings.append((entry.line or None, f"{entry.key}: {text}"))


def check_client_address(
    host: str | None, port: int, member: QuorumServer, resolve: Resolve
) -> None:
    """Check that `clientPortAddress` and `clientPort` agree with what the line of `member` says.

    Where they do, the line counts: clientPortAddress need not be set, and may be all addresses.
    Raises ValueError. ZooKeeper: QuorumPeerConfig.setupClientPort.
    """
    assert member.client_port is not None, member
    mine, its = (host or WILDCARD).removeprefix("[").removesuffix("]"), member.client_host
    shown = [f"{bracketed(mine)}:{port}", f"{bracketed(its)}:{member.client_port}"]
    if port == member.client_port:
        if mine.lower() == its.lower():
            return
        # What has colons is an address, perhaps with a scope that a resolver would not take.
        address = mine if ":" in mine else resolve(mine)
        if same_address(address, WILDCARD) or same_address(address, "::"):
            return
        other = its if ":" in its else resolve(its)
        if same_address(address, other):
            return
        for at, (name, found) in enumerate(((mine, address), (its, other))):
            if found != name:
                shown[at] += f" ({found or 'unknown host'})"
    raise ValueError(
        f"{shown[0]} differs from {shown[1]} in server.{member.sid}; remove clientPort and"
        " clientPortAddress here, or make them the same"
    )


def _membership(entries: Iterable[Entry]) -> Membership:
    collector = MemberLines()
    for entry in entries:
        collector.add(entry)
    return collector.membership()


def _listening(member: QuorumServer) -> list[str]:
    out = []
    for address in member.addresses:
        host = bracketed(address.host)
        out += [f"{host}:{address.quorum_port}", f"{host}:{address.election_port}"]
    return out


def _by_line(remark: Remark) -> int:
    return remark[0] or 0


def _wrong(entry: Entry, message: str) -> ConfigError:
    return ConfigError(message, entry.line or None, entry.key)
