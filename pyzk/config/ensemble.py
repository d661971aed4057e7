"""What a member of an ensemble is told: its place among the others, and the times it lives by.

Pure. It comes from the settings that `pyzk/config/settings.py` has read, the file `myid`, and the
dynamic file that zoo.cfg may name. Every mistake that would let a member start and never join is a
ConfigError with the line and with what to change.
ZooKeeper: QuorumPeerConfig, QuorumPeer, and the properties of the quorum package.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import attrs

from pyzk.config.dynamic_files import parse_dynamic, parse_next
from pyzk.config.keys import KEYS, MEMBER_PREFIXES
from pyzk.config.members import (
    WILDCARD,
    MemberLines,
    Membership,
    QuorumServer,
    canonical_host,
    parse_membership,
    version_of_file_name,
)
from pyzk.config.own_id import find_me, find_server, read_own_id
from pyzk.config.places import check_client_address, listening, taken_from_masters
from pyzk.config.properties import Entry
from pyzk.config.settings import Remark, Resolve, Setting, Settings, no_names, of_entry
from pyzk.errors import ConfigError
from pyzk.int64 import hex_digits

if TYPE_CHECKING:
    from pyzk.config.sasl import QuorumSaslConfig
    from pyzk.config.start_files import StartFiles
    from pyzk.config.tls import TlsConfig

_BY_NAME: Final = {key.name: key for key in KEYS}


@attrs.frozen(kw_only=True)
class EnsembleConfig:
    """Everything a member is told about its ensemble; the defaults are ZooKeeper's."""

    my_sid: int
    membership: Membership
    last_seen: Membership | None = None
    """The configuration that was proposed last, if the files have one that is not in force."""
    is_observer: bool
    client_host: str = WILDCARD
    client_port: int | None
    """The client port; None where clients are taken at the secure port only."""
    dynamic_file: str | None = None
    config_file: str | None = None
    """The path of zoo.cfg, beside which configurations are written; None if the configuration did
    not come from a file."""

    tick_time_ms: int = 3000
    init_limit_ticks: int
    """The ticks that a learner may take to connect and to be synchronized."""
    sync_limit_ticks: int
    """The ticks for which a learner may be silent or behind."""
    observer_sync_limit_ticks: int = 0
    """The ticks for which an observer's leader may be silent; 0 stands for sync_limit_ticks."""
    connect_to_learner_master_limit_ticks: int = 0
    """The ticks that a learner may take to connect; 0 stands for init_limit_ticks."""
    quorum_listen_on_all_ips: bool = False
    sync_enabled: bool = True
    """Whether observers keep a log."""
    reconfig_enabled: bool = False
    multi_address_enabled: bool = False
    leader_serves: bool = True
    """Whether a leader takes clients."""
    cnx_timeout_ms: int = 5000
    """The time to connect to an election port."""
    tcp_keep_alive: bool = False
    quorum_cnxn_timeout_ms: int = -1
    """The time to the first message on an election connection; -1 stands for sync_limit_ticks."""
    election_port_bind_retry: int = 3
    """How often the election port is tried; 0 stands for ever."""
    min_notification_ms: int = 200
    max_notification_ms: int = 60_000
    finalize_wait_ms: int = 200
    """The silence that ends an election in which a quorum, but not every voter, agrees."""
    leader_connect_delay_ms: int = 100
    max_time_to_wait_for_epoch_ms: int = -1
    """The longest time in which a leader must get a quorum for its epoch; -1 means no limit."""
    max_concurrent_snap_syncs: int = 10
    max_concurrent_diff_syncs: int = 100
    observer_reconnect_delay_ms: int = 0
    """The longest random time that an observer waits before it connects: with the leader, or with
    observer masters once each of them has been tried."""
    observer_election_delay_ms: int = 200
    """The longest random time that an observer waits, when it has lost whom it followed, before it
    looks for the leader."""
    observer_master_port: int = 0
    """The port at which followers take observers, which then do not connect with the leader; 0 if
    they do."""
    observer_master_limit_bytes: int = 1 << 25
    """The bytes that may wait at an observer master for one of its observers."""
    snapshot_size_factor: float = 0.33
    """The share of the snapshot's size up to which the log on disk is used to synchronize a
    learner; it is not used if this is negative."""
    force_snapshot_sync: bool = False
    ack_logging_frequency: int = 1000
    """One in so many proposals is measured, how soon each learner acknowledges it; 0 measures
    none."""

    ssl_quorum: bool = False
    """Whether this server connects to the others by TLS, and takes only that."""
    port_unification: bool = False
    """Whether it takes TLS and plaintext from the others."""
    quorum_cert_reload: bool = False
    """Whether changed files of keys and certificates are read again."""
    quorum_sasl: QuorumSaslConfig | None = None
    """How the members prove to each other who they are; None if they do not."""
    quorum_tls: TlsConfig | None = None
    """What TLS between members is told; None if there is none."""
    config_in_data_dir: bool = False
    """Whether later configurations are kept in dataDir, and zoo.cfg is never written."""
    warnings: tuple[Remark, ...] = ()
    notes: tuple[Remark, ...] = ()

    @property
    def place(self) -> str:
        """What this server is in the ensemble, in words."""
        count = len(self.membership.members)
        of = f" of {count}"
        if self.membership.member(self.my_sid) is None:
            of = f", being added to {count} servers"
        elif self.my_sid > count:  # a server that joins has the lines of a few, with gaps
            of = f", one of {count} servers"
        return f"server {self.my_sid}{of}, {'observer' if self.is_observer else 'participant'}"

    @property
    def trusts_strangers(self) -> bool:
        """Whether anybody who reaches the ports for members is taken for one of them."""
        sasl, tls = self.quorum_sasl, self.quorum_tls
        if sasl is not None and sasl.server_requires:
            return False
        if tls is None or not self.ssl_quorum or self.port_unification:
            return True
        from pyzk.config.tls import NEED  # few need it

        return tls.client_auth != NEED

    @property
    def me(self) -> QuorumServer:
        """This server; one that is about to be added is in the last seen configuration only."""
        found = find_server(self.my_sid, self.membership, self.last_seen)
        assert found is not None, self.my_sid
        return found

    @property
    def keeps_files(self) -> bool:
        """Whether this server has files of its own for later configurations: what it was started
        with stays as it is."""
        return self.config_file is None or self.config_in_data_dir

    @property
    def client_address(self) -> tuple[str, int] | None:
        """Where this server takes clients; None if only at its secure port."""
        return None if self.client_port is None else (self.client_host, self.client_port)

    def with_saved(
        self, committed: Membership | None, last_seen: Membership | None
    ) -> EnsembleConfig:
        """Return what a member is told that has saved later configurations elsewhere, and was
        started with this one. Raises ConfigError if it is in none of them."""
        found = self.membership
        if committed is not None and committed.version > found.version:
            found = committed
        proposed = [each for each in (self.last_seen, last_seen) if each is not None]
        last_seen = max(proposed, key=lambda each: each.version, default=None)
        if last_seen is not None and last_seen.version <= found.version:
            last_seen = None
        me = find_server(self.my_sid, found, last_seen)
        if me is None:
            raise ConfigError(
                f"server {self.my_sid} is not in version {hex_digits(found.version)} of the"
                " ensemble, which it has saved: it was removed, or stopped before it was added;"
                " give it an empty data directory to let it join",
                key="myid",
            )
        host, port = self.client_host, self.client_port
        if me.client_port is not None:
            host, port = me.client_host, me.client_port
        return attrs.evolve(
            self,
            membership=found,
            last_seen=last_seen,
            is_observer=me.is_observer,
            client_host=host,
            client_port=port,
        )

    def present(self, text: bytes) -> Membership:
        """Return the configuration of this text, which /zookeeper/config has: the one with which
        this server was started, if none was installed since, or one that is no configuration."""
        try:
            found = parse_membership(text)
        except ConfigError:
            return self.membership
        return found if found.members else self.membership


class Lone(NamedTuple):
    """The only server that is named, which makes this a standalone server."""

    member: QuorumServer
    is_me: bool
    """The file `myid` holds its id, so its client address must agree with clientPort."""


def parse_ensemble(
    settings: Settings, files: StartFiles, resolve: Resolve = no_names
) -> EnsembleConfig | None:
    """Return what a member is told; None if these are the settings of a lone server."""
    found = read_members(settings, files, resolve)
    return found if isinstance(found, EnsembleConfig) else None


def read_members(
    settings: Settings, files: StartFiles, resolve: Resolve
) -> EnsembleConfig | Lone | None:
    """Return what a member is told, or the only server there is; None if no server is named."""
    return _Builder(settings, files, resolve).build()


def ensemble_values(ensemble: EnsembleConfig) -> list[tuple[str, object]]:
    """Return (key, value) of the settings that only a member has, then the lines of its servers."""
    values: list[tuple[str, object]] = [
        (key.name, getattr(ensemble, key.member))
        for key in KEYS
        if key.member is not None and key.field is None
    ]
    if ensemble.quorum_tls is not None:
        from pyzk.config import tls

        values += tls.effective_values(ensemble.quorum_tls)
    if ensemble.quorum_sasl is not None:
        from pyzk.config import sasl

        values += sasl.effective_quorum_values(ensemble.quorum_sasl)
    values += [tuple(line.split("=", 1)) for line in ensemble.membership.lines()]  # type: ignore[misc]
    if ensemble.dynamic_file is not None:
        values.append(("dynamicConfigFile", ensemble.dynamic_file))
        values.append(("version", hex_digits(ensemble.membership.version)))
    return [*values, ("myid", ensemble.my_sid)]


def ensemble_defaults() -> dict[str, object]:
    """Return key -> default of the settings that only a member has, where there is a default."""
    fields = attrs.fields_dict(EnsembleConfig)
    found = {
        key.name: fields[key.member].default
        for key in KEYS
        if key.member is not None and key.field is None
    }
    return {name: default for name, default in found.items() if default is not attrs.NOTHING}


class _Builder:
    """Makes the values of the fields, and checks them against each other."""

    def __init__(self, settings: Settings, files: StartFiles, resolve: Resolve) -> None:
        self.settings = settings
        self.files = files
        self.resolve = resolve
        self.values: dict[str, Any] = {}  # field -> value of the field's own type
        self.warnings: list[Remark] = []
        self.notes: list[Remark] = []

    def build(self) -> EnsembleConfig | Lone | None:
        for key in KEYS:
            if key.member is not None:
                setting = self.settings.find(key)
                if setting is not None:
                    kind = key.member_kind or key.kind
                    self.values[key.member] = self.settings.read(key, setting, kind)
        dynamic = self.settings.members.get("dynamicConfigFile")
        entries = [
            entry for entry in self.settings.entries if entry.key.startswith(MEMBER_PREFIXES)
        ]
        if dynamic is None:
            return self._finish(_membership(entries), of_entry(entries[0]) if entries else None)
        if entries:
            raise of_entry(entries[0]).wrong(
                f"must be in the file that dynamicConfigFile (line {dynamic.line}) names;"
                " move it there, or remove dynamicConfigFile"
            )
        return self._finish(self._dynamic(dynamic), dynamic)

    def _given(self, name: str) -> tuple[Any, Setting | None]:
        """Return the value of a key that fills no field of its own, and its setting; both are None
        if it was not given."""
        key = _BY_NAME[name]
        setting = self.settings.find(key)
        return None if setting is None else self.settings.read(key, setting, key.kind), setting

    def _dynamic(self, setting: Setting) -> Membership:
        """Parse the dynamic file. Lines are counted in it, so messages name the file."""
        name = setting.value
        content = self.files.dynamic
        if not name:
            raise setting.wrong("is empty; give the path of the file with the server lines")
        if content is None:
            from pyzk.config import hints  # it is needed only here

            message = f"{name} cannot be read; it must hold the server lines"
            raise setting.wrong(hints.extended(message, hints.of_value(name)))
        try:
            membership = parse_dynamic(content)
        except ConfigError as error:
            raise ConfigError(f"{error.message} (in {name})", error.line, error.key) from None
        if not membership.members:
            raise setting.wrong(f"{name} has no server lines")
        return attrs.evolve(membership, version=version_of_file_name(name))

    # ---- what concerns more than one value

    def _finish(
        self, membership: Membership, where: Setting | None
    ) -> EnsembleConfig | Lone | None:
        """Return the result. ``where`` is the first line about members, None if there is none."""
        if where is None:
            return None
        standalone, _ = self._given("standaloneEnabled")
        voters = membership.voters
        if not voters:
            raise where.wrong("all servers are observers; at least one must be a participant")
        if len(voters) == 1 and standalone is not False:
            if membership.observers:
                raise self._line_of(voters[0], where).wrong(
                    "one participant with observers is not an ensemble; add participants, or set"
                    " standaloneEnabled=false",
                )
            member = membership.member(voters[0])
            assert member is not None, voters
            return Lone(member, read_own_id(self.files)[1] == member.sid)
        self._limits()
        self._check_members(membership, where)
        last_seen = self._last_seen(membership)
        me = find_me(self.files, membership, last_seen, self.settings.dynamic_file)
        self._peer_type(me)
        is_in_force = membership.member(me.sid) is not None
        host, port = self._client_address(me, is_in_force=is_in_force)
        told = attrs.evolve(me, client_host=host, client_port=port)
        self._master_port(membership, told)
        self._advise(membership, where)
        self._config_in_data_dir()
        return EnsembleConfig(
            my_sid=me.sid,
            membership=membership,
            last_seen=last_seen,
            is_observer=me.is_observer,
            client_host=host,
            client_port=port,
            quorum_tls=self._tls(),
            quorum_sasl=self._sasl(),
            dynamic_file=self.settings.dynamic_file,
            config_file=self.files.config_path,
            warnings=tuple(self.warnings),
            notes=tuple(self.notes),
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
        self._given("electionAlg")

    def _tls(self) -> TlsConfig | None:
        """Return what TLS between members is told, if any of it is asked for."""
        for name, field in (("sslQuorum", "ssl_quorum"), ("portUnification", "port_unification")):
            if self.values.get(field):
                from pyzk.config.security_keys import QUORUM_TLS  # few need it
                from pyzk.config.tls import TlsReader

                fips_mode, _ = self._given("fips-mode")
                reader = TlsReader(self.settings, QUORUM_TLS, self._warn)
                return reader.config(f"{name}=true", fips_mode=fips_mode is not False)
        return None

    def _sasl(self) -> QuorumSaslConfig | None:
        """Return how members prove to each other who they are, if they do."""
        if not any(name.startswith("quorum.auth.") for name in self.settings.known):
            return None
        from pyzk.config.sasl import read_quorum_sasl

        return read_quorum_sasl(self.settings, lambda _: self.files.login)

    def _check_members(self, membership: Membership, where: Setting) -> None:
        extended, _ = self._given("extendedTypesEnabled")
        addresses: dict[str, int] = {}
        for member in membership.members:
            entry = self._line_of(member.sid, where)
            if extended and member.sid > 254:
                raise entry.wrong(
                    f"server id {member.sid}: with extendedTypesEnabled, 254 is the highest"
                )
            if len(member.addresses) > 1 and not self.values.get("multi_address_enabled", False):
                raise entry.wrong(
                    "has several addresses; that needs multiAddress.enabled=true on all"
                )
            for text in listening(member):
                other = addresses.setdefault(text, member.sid)
                if other != member.sid:
                    self._warn(entry, f"{text} is an address of server {other}, too")

    def _last_seen(self, membership: Membership) -> Membership | None:
        """Return the configuration that was proposed and is not in force, if there is one. As in
        the original, only a server that has a dynamic file can know one."""
        content = self.files.next
        if content is None or self.settings.dynamic_file is None:
            return None
        if not self.values.get("reconfig_enabled", False):
            return None
        proposed = parse_next(content, self.files.next_path)
        if proposed.version <= membership.version:
            return None
        self.warnings.append((None, _under_way(proposed, self.files.next_path)))
        return proposed

    def _peer_type(self, me: QuorumServer) -> None:
        asked, setting = self._given("peerType")
        role = "observer" if me.is_observer else "participant"
        if setting is not None and asked != role:
            remedy = (
                f"server.{me.sid} says {role}, which counts; end that line's address with :{asked}"
                " on every server, or remove peerType"
            )
            self._warn(setting, remedy)

    def _client_address(self, me: QuorumServer, *, is_in_force: bool) -> tuple[str, int | None]:
        """Return where clients are taken. A line that is only proposed need not agree with zoo.cfg:
        what zoo.cfg says counts until that line is in force."""
        host, host_line = self._given("clientPortAddress")
        port, port_line = self._given("clientPort")
        line = host_line or port_line
        if host is not None and port is None:
            assert line is not None
            secure, _ = self._given("secureClientPort")
            raise line.without_port("clientPort", is_secure_there=secure is not None)
        if host is not None:
            assert line is not None
            try:
                host = canonical_host(host.removeprefix("[").removesuffix("]"))
            except ValueError as error:
                raise line.wrong(str(error)) from None
        if me.client_port is None or (port is not None and not is_in_force):
            if port is None and self._given("secureClientPort")[0] is None:
                raise ConfigError(
                    f"is not set; set it, 2181 is usual, or end the server.{me.sid} line with"
                    " ;2181",
                    key="clientPort",
                )
            return host or WILDCARD, port
        if port is not None:
            assert line is not None
            try:
                check_client_address(host, port, me, self.resolve)
            except ValueError as error:
                raise line.wrong(str(error)) from None
        return me.client_host, me.client_port

    def _master_port(self, membership: Membership, me: QuorumServer) -> None:
        """Refuse a port for observers that a participant could not open, because a member has it
        at the same address."""
        port, setting = self._given("observerMasterPort")
        if not port or setting is None:
            return
        members = [me if member.sid == me.sid else member for member in membership.members]
        is_on_all = self.values.get("quorum_listen_on_all_ips", False)
        taken = taken_from_masters(port, members, is_on_all=is_on_all)
        if taken is None:
            return
        entry = self.settings.members.get(f"server.{taken.sid}")
        line = "" if entry is None else f" (line {entry.line})"
        text = (
            f"{port} is the {taken.what} of server.{taken.sid}{line} at {taken.host}, where a"
            " participant would take observers; choose another one, the same on all servers"
        )
        if not membership.version:
            raise setting.wrong(text)
        # A reconfiguration has led to it, and a member must not fail to start for that.
        self._warn(setting, text)

    def _advise(self, membership: Membership, where: Setting) -> None:
        voters = len(membership.voters)
        if membership.groups or voters % 2:
            return
        # The lines of a server that joins: the present members and itself.
        may_join = self.values.get("reconfig_enabled", False) and not membership.version
        if voters > 2:
            text = f"{voters} participants survive no more failures than {voters - 1}; an odd"
            text += " number is better"
        elif may_join:
            text = "two participants: right if a server joins another one that runs; if either"
            text += " fails, no quorum is left, so use three"
        else:
            text = "two participants: if either fails, no quorum is left; use three"
        remark = self._line_of(membership.voters[0], where).remark(text)
        (self.notes if may_join else self.warnings).append(remark)

    def _config_in_data_dir(self) -> None:
        """Say what the server lines are where they are those of the first start only."""
        is_on, setting = self._given("pyzk.configInDataDir")
        if not is_on or setting is None:
            return
        if not self.values.get("reconfig_enabled", False):
            self._warn(setting, "has no effect without reconfigEnabled=true")
            return
        remark = "the server lines count until a later configuration is in dataDir, in version-2"
        self.notes.append(setting.remark(remark))

    def _line_of(self, sid: int, where: Setting) -> Setting:
        """Return the line of a server, or ``where`` that names the dynamic file that has it."""
        return self.settings.members.get(f"server.{sid}", where)

    def _warn(self, setting: Setting, text: str) -> None:
        self.warnings.append(setting.remark(text))


def _under_way(proposed: Membership, path: str) -> str:
    return (
        f"{path}: a reconfiguration to version {hex_digits(proposed.version)} was under way when"
        " this server stopped; it needs quorums of both until a leader says how that ended"
    )


def _membership(entries: Iterable[Entry]) -> Membership:
    collector = MemberLines()
    for entry in entries:
        collector.add(entry)
    return collector.membership()
