"""The configuration of a server: text of `zoo.cfg` and `-D` options to one frozen `ServerConfig`.

Pure. `pyzk/config/settings.py` reads the sources; here their values become fields, and what no row
of `pyzk/config/keys.py` asks for is named in a warning. A wrong value is a ConfigError, also where
the original would fall back to the default in silence.
ZooKeeper: QuorumPeerConfig, ServerConfig; ServerCnxnHelper and friends for the properties.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from pyzk.config import admin
from pyzk.config.keys import KEYS, KNOWN
from pyzk.config.kinds import PATH, Key, Status
from pyzk.config.properties import parse_properties
from pyzk.config.record import DEFAULTS, WILDCARD, ServerConfig
from pyzk.config.security_keys import (
    AUTH_PROVIDER_PREFIX,
    CLIENT_TLS,
    PROVIDER_CLASSES,
    PROVIDER_GROUP,
    SUPER_USER_PREFIX,
    concerns_sasl,
)
from pyzk.config.settings import Property, Remark, Resolve, Setting, Settings, no_names
from pyzk.constants import MAX_REQUEST_BYTES
from pyzk.errors import ConfigError
from pyzk.four_letter_words import FOUR_LETTER_WORDS

if TYPE_CHECKING:
    from pyzk.config.ensemble import EnsembleConfig, Lone
    from pyzk.config.hints import Unknown

__all__ = [
    "DEFAULTS",
    "WILDCARD",
    "Property",
    "ServerConfig",
    "effective_values",
    "parse_config",
    "parse_properties",
]

_AUDIT_LOGGERS: Final = (
    "org.apache.zookeeper.audit.Slf4jAuditLogger",
    "org.apache.zookeeper.audit.Log4jAuditLogger",  # before 3.8
)

_DIGEST_BITS: Final = {1: 160, 5: 128}
"""The lengths of the digests whose names do not end with it: SHA1 (or SHA) and MD5."""


ReadFile = Callable[[str], bytes | None]
"""Returns the content of a file, None if there is none of this name."""


def _no_file(path: str) -> bytes | None:
    return None


def _no_directory(path: str) -> bool:
    return False


def _no_provider(name: str) -> bool:
    return False


def parse_config(
    text: bytes,
    properties: Iterable[Property] = (),
    options: Iterable[Property] = (),
    read_file: ReadFile = _no_file,
    resolve: Resolve | None = None,
    is_directory: Callable[[str], bool] = _no_directory,
    path: str | None = None,
    has_provider: Callable[[str], bool] = _no_provider,
) -> ServerConfig:
    """Return what `text` (of zoo.cfg), `properties` and `options` (their names are keys) ask for.

    A member of an ensemble has more to read: `myid` in its dataDir, and the file that
    dynamicConfigFile names. Host names are resolved where its client address is given twice;
    without ``resolve`` a name is the same as no other. A directory whose name in the file looks
    like a slip is taken if ``is_directory`` says that there is one. ``path`` is where zoo.cfg is;
    beside it are the files of later configurations. ``has_provider`` tells whether there is an
    entry point of this name for a provider of an authentication scheme. Raises ConfigError with the
    line of `text` and the key, for the first wrong value it meets.
    """
    settings = Settings(text, properties, options)
    builder = _Builder(settings, read_file, resolve or no_names, is_directory, path, has_provider)
    builder.values["file_text"] = None if path is None else text
    try:
        return builder.build()
    except ConfigError as error:
        raise builder.explained(error) from None


def effective_values(config: ServerConfig) -> list[tuple[str, object]]:
    """Return (key, value) of every setting that has a field, in the order of the table, then those
    of TLS on the client ports, of SASL, and of the admin server."""
    values = [(key.name, getattr(config, key.field)) for key in KEYS if key.field is not None]
    if config.client_tls is not None:
        from pyzk.config import tls

        values += tls.effective_values(config.client_tls)
    if config.sasl is not None:
        from pyzk.config import sasl

        values += sasl.effective_values(config.sasl)
    return values + admin.effective_values(config.admin)


class _Builder:
    """Makes the values of the fields, row by row; what no row asks for is unknown."""

    def __init__(
        self,
        settings: Settings,
        read_file: ReadFile,
        resolve: Resolve,
        is_directory: Callable[[str], bool],
        path: str | None,
        has_provider: Callable[[str], bool],
    ) -> None:
        self.path = path
        self.has_provider = has_provider
        self.has_custom_providers = False
        self.settings = settings
        self.read_file = read_file
        self.resolve = resolve
        self.is_directory = is_directory
        self.values: dict[str, Any] = {}  # field -> value of the field's own type
        self.given: dict[str, Setting] = {}  # field -> where the value came from
        self.warnings: list[Remark] = list(settings.repeated)
        self.notes: list[Remark] = []
        self.unknown: list[Unknown] = []

    # ---- rows

    def build(self) -> ServerConfig:
        for key in KEYS:
            setting = self.settings.find(key)
            if setting is not None:
                self._apply(key, setting)
        self._take_auth_providers()
        self._take_tls()
        self._take_sasl()
        self.values["admin"] = admin.read_admin(self.settings, self.values, self._warn, self._note)
        self._leftovers()
        if self.settings.members:
            self._members()
        self._adjust()
        self.warnings.sort(key=_by_line)
        self.notes.sort(key=_by_line)
        config = ServerConfig(**self.values, warnings=tuple(self.warnings), notes=tuple(self.notes))
        self._cross_check(config)
        return config

    def _apply(self, key: Key, setting: Setting) -> None:
        value = self.settings.read(key, setting, key.kind)
        if isinstance(value, str | tuple):
            self._look_at(key, setting)
        if key.field is not None:
            self.values[key.field] = value
            self.given[key.field] = setting
        if key.status is Status.LATER and not _asks_for_nothing(key, setting.value, value):
            self._warn(setting, "not supported yet, ignored")
        elif key.status is Status.NO_EFFECT:
            self._note(setting, "has no effect in pyzk")

    def _look_at(self, key: Key, setting: Setting) -> None:
        """Warn of a text in quotation marks, or one that ends in a comment or in the next line: any
        text would be accepted.

        For a directory it is an error, unless there is one of that name: the server would make it,
        and serve an empty tree.
        """
        value, is_path = setting.value, key.kind is PATH
        if is_path and setting.line is None:
            return  # the shell has taken quotation marks and comments away
        if "#" in value or "=" in value or value[-1:] in ("'", '"'):
            from pyzk.config import hints  # a start that is right does without it

            remark = hints.of_value(value)
            if remark and is_path and not self.is_directory(value):
                raise setting.wrong(f"{remark}; if that is meant, make this directory first")
            if remark:
                self._warn(setting, remark)

    def _take_auth_providers(self) -> None:
        providers = []
        for name, setting in self.settings.properties.items():
            if not name.startswith(AUTH_PROVIDER_PREFIX):
                continue
            providers.append((name.removeprefix(AUTH_PROVIDER_PREFIX), setting.value))
            scheme = PROVIDER_CLASSES.get(setting.value)
            if scheme is None:
                if not self.has_provider(setting.value):
                    raise setting.wrong(
                        f"{setting.value!r} is neither an authentication provider of ZooKeeper nor"
                        " the name of an installed entry point; pyzk runs no Java: a Python package"
                        " with this scheme has an entry point of this name in the group"
                        f" {PROVIDER_GROUP}"
                    )
                self.has_custom_providers = True
        self.values["auth_providers"] = tuple(providers)

    def _take_tls(self) -> None:
        is_asked = self.values.get("secure_client_port") is not None or self.values.get(
            "client_port_unification"
        )
        if is_asked or any(map(self.settings.find, CLIENT_TLS.keys.values())):
            from pyzk.config.tls import read_client_tls  # most need it not, and start sooner

            self.values["client_tls"] = read_client_tls(
                self.settings, self.values, self._warn, self._note
            )

    def _take_sasl(self) -> None:
        found = self.settings.properties
        has_provider = any(PROVIDER_CLASSES.get(each.value) == "sasl" for each in found.values())
        if has_provider or any(map(concerns_sasl, found)):
            from pyzk.config.sasl import read_sasl  # most need it not, and start sooner

            self.values["sasl"] = read_sasl(self.settings, self.read_file, self._warn)

    def _leftovers(self) -> None:
        others = []
        for name, setting in self.settings.known.items():
            if name not in KNOWN:
                self._warn(setting, "not supported yet, ignored")
        for name, setting in self.settings.unused():
            if not name.startswith((AUTH_PROVIDER_PREFIX, SUPER_USER_PREFIX)):
                self._unknown(name, setting)
                others.append((name.removeprefix("zookeeper."), setting.value))
        self.values["other_properties"] = tuple(others)
        members = {
            f"zookeeper.{key}": setting
            for key, setting in self.settings.members.items()
            if key != "dynamicConfigFile"
        }
        found = {**self.settings.properties, **members}
        self.values["properties"] = tuple((name, each.value) for name, each in found.items())

    def _unknown(self, name: str, setting: Setting) -> None:
        from pyzk.config import hints  # a start that is right does without it

        is_in_file = name == f"zookeeper.{setting.label}"
        meant = hints.of_file_key(setting.label) if is_in_file else hints.of_property(name)
        if not setting.value:
            setting = setting._replace(label=hints.without_secret(setting.label))
        self.unknown.append(hints.Unknown(setting.line, setting.label, meant))
        if meant.is_harmless:
            self.notes.append((setting.line, f"{setting.label}: {meant.remark}"))
        elif self.has_custom_providers and not meant.remark:
            note = "no key of pyzk; the providers of authProvider.* are told of it"
            self.notes.append((setting.line, f"{setting.label}: {note}"))
        else:
            self._warn(setting, hints.extended("unknown, ignored", meant.remark))

    def explained(self, error: ConfigError) -> ConfigError:
        """Return the error with a remark: on what may stand for a missing key in the file, or, if
        `myid` is missing, on what is wrong with the name of its directory."""
        if error.line is not None or error.key is None:
            return error
        from pyzk.config import hints

        data_dir = self.given.get("data_dir")
        if error.key == "myid" and data_dir is not None and data_dir.line is not None:
            remark = hints.of_value(data_dir.value)
            if remark:
                return data_dir.wrong(f"{remark}; {error.message}")
        remark = hints.of_missing(error.key, self.unknown, self.settings.entries)
        return ConfigError(hints.extended(error.message, remark), None, error.key)

    def _warn(self, setting: Setting, text: str) -> None:
        self.warnings.append(setting.remark(text))

    def _note(self, setting: Setting, text: str) -> None:
        self.notes.append(setting.remark(text))

    # ---- members of an ensemble

    def _members(self) -> None:
        """Read who the other members are; for a lone server, take the client address, as the
        original does."""
        data_dir = self.values.get("data_dir")
        if data_dir is None:
            return  # it is said below
        # A lone server has no use for them, and starts sooner.
        from pyzk.config import ensemble
        from pyzk.config.start_files import start_files

        files = start_files(self.settings, data_dir, self.path, self.read_file)
        found = ensemble.read_members(self.settings, files, self.resolve)
        if isinstance(found, ensemble.EnsembleConfig):
            self._take_ensemble(found)
        elif found is not None:
            self._take_lone(found)

    def _take_ensemble(self, ensemble: EnsembleConfig) -> None:
        values = self.values
        values["ensemble"] = ensemble
        values["client_port"] = ensemble.client_port
        host = ensemble.client_host
        values["client_port_address"] = None if host == WILDCARD else host
        self.warnings += ensemble.warnings
        self.notes += ensemble.notes

    def _take_lone(self, lone: Lone) -> None:
        """Take the client address of the only server line, as the original does, if the line is
        this server's.

        Without `myid` it is used only where clientPort is not set.
        """
        from pyzk.config.places import check_client_address

        member, values, members = lone.member, self.values, self.settings.members
        setting = members.get(f"server.{member.sid}") or members["dynamicConfigFile"]
        self._warn(setting, "only one server given, so it is ignored: this is a standalone server")
        port, host = values.get("client_port"), values.get("client_port_address")
        if member.client_port is None or (port is None and host is not None):
            return
        if port is not None:
            if not lone.is_me:
                return
            try:
                check_client_address(host, port, member, self.resolve)
            except ValueError as error:
                raise self.given["client_port"].wrong(str(error)) from None
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
            setting = self.given.get(field)
            if setting is not None and setting.line is not None and setting.value[0] not in "/.":
                self._warn(setting, "is relative to where the server is started; begin it with ./")
        if values.get("session_require_client_sasl_auth"):
            values["enforce_auth_enabled"] = True
            values["enforce_auth_schemes"] = ("sasl",)
        self._super_digest()
        if values.get("force_sync") is False:
            self._warn(
                self.given["force_sync"],
                "writes are acknowledged before they are on disk: a crash may lose them",
            )

    def _super_digest(self) -> None:
        """Warn of a superDigest that is the digest of no password, such as the password itself."""
        digest: str | None = self.values.get("super_digest")
        setting = self.given.get("super_digest")
        algorithm: str = self.values.get("digest_alg", DEFAULTS.digest_alg)
        if digest is None or setting is None or _is_digest(digest, algorithm):
            return
        label = f"{setting.label}: "
        if any(line == setting.line and text.startswith(label) for line, text in self.warnings):
            return  # what is wrong with the value is said
        self._warn(
            setting,
            f"holds no digest of {algorithm}, so no password is the superuser's; it takes"
            " user:DIGEST, not the password itself (docs/operations.md makes one)",
        )

    def _floor(self, field: str, least: int) -> None:
        if self.values.get(field, least) < least:
            self.values[field] = least
            self._warn(self.given[field], f"raised to the least value, {least}")

    def _ceiling(self, field: str, most: int) -> None:
        if self.values.get(field, most) > most:
            self.values[field] = most
            self._warn(self.given[field], f"lowered to the greatest value, {most}")

    def _whitelist(self) -> None:
        asked: tuple[str, ...] = self.values.get("four_letter_whitelist", ())
        words = set(FOUR_LETTER_WORDS if "*" in asked else asked)
        strange = sorted(words.difference(FOUR_LETTER_WORDS, "*"))
        if strange:
            self._warn(
                self.given["four_letter_whitelist"],
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
        self._check_ports(config)
        for name in ("min_session_timeout_ms", "max_session_timeout_ms"):
            if getattr(config, name) < 0:
                raise self.given[name].wrong("must not be negative; -1 means the default")
        if config.min_session_timeout_ms > config.max_session_timeout_ms:
            setting = self.given.get("min_session_timeout_ms") or self.given.get(
                "max_session_timeout_ms"
            )
            assert setting is not None, config
            raise setting.wrong(
                f"minSessionTimeout ({config.min_session_timeout_ms}) must not be longer than"
                f" maxSessionTimeout ({config.max_session_timeout_ms})",
            )
        if config.audit_enable and config.audit_impl_class not in ("", *_AUDIT_LOGGERS):
            raise self.given["audit_impl_class"].wrong(
                f"{config.audit_impl_class!r} is a Java class that pyzk cannot run; remove it, and"
                " the events go to the logger pyzk.audit (pyzk serve --audit-log FILE)"
            )
        if config.console_write and not config.audit_enable:
            raise self.given["console_write"].wrong(
                "needs audit.enable=true: every change from the console is in the audit log"
            )
        if config.x509_id_type == "SAN" and config.x509_san_match_type is None:
            raise self.given["x509_id_type"].wrong(
                "needs ssl.x509.clientCertIdSanMatchType, the kind of name: 6 for a URI, 2 for DNS"
            )
        if config.enforce_auth_enabled and not config.enforce_auth_schemes:
            raise self.given["enforce_auth_enabled"].wrong(
                "needs enforce.auth.schemes, a comma-separated list such as digest,ip",
            )

    def _check_ports(self, config: ServerConfig) -> None:
        """Check that there is a port, that none has an address only, and that the two differ."""
        port, secure = config.client_port, config.secure_client_port
        for name, key, is_there in (
            ("client_port_address", "clientPort", port is not None),
            ("secure_client_port_address", "secureClientPort", secure is not None),
        ):
            address = self.given.get(name)
            if address is not None and not is_there:
                raise address.without_port(key, is_secure_there=secure is not None)
        if port is None and secure is None:
            raise ConfigError("is not set; 2181 is usual, 0 takes any free port", key="clientPort")
        if secure and secure == port:
            host, other = config.client_port_address, config.secure_client_port_address
            if None in (host, other) or host == other:
                raise self.given["secure_client_port"].wrong(
                    f"{secure} is the clientPort, too; give another one"
                )


def _is_digest(text: str, algorithm: str) -> bool:
    """Return whether this is ``user:`` and the base64 of so many bytes as the algorithm makes."""
    user, colon, digest = text.partition(":")
    numbers = re.findall(r"[0-9]+", algorithm)
    number = int(numbers[-1]) if numbers else 1
    try:
        found = binascii.a2b_base64(digest, strict_mode=True)
    except ValueError:
        return False
    return bool(user and colon) and len(found) * 8 == _DIGEST_BITS.get(number, number)


def _by_line(remark: Remark) -> int:
    return remark[0] or 0


def _asks_for_nothing(key: Key, text: str, value: object) -> bool:
    if key.field is not None:
        return bool(value == getattr(DEFAULTS, key.field))
    return text.lower() in {word.lower() for word in key.same}
