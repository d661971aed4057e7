"""What SASL is told, for clients and between members.

Pure. The keys, the login file and `krb5.conf` become one record for each of the two. ZooKeeper:
ServerCnxnFactory.configureSaslLogin, SaslServerCallbackHandler, SASLAuthenticationProvider,
KerberosUtil; QuorumPeerConfig and QuorumAuth.

Where this differs from ZooKeeper, on purpose: a Kerberos principal that is no service is an error
(there every client is told that there is no SASL); ``~/.java.login.config`` is not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from pyzk.config.jaas import Login, Module, login_of, parse_jaas
from pyzk.config.security_keys import (
    AUTH_PROVIDER_PREFIX,
    PROVIDER_CLASSES,
    QUORUM_AUTH,
    SASL_KEYS,
    SUPER_USER_PREFIX,
)
from pyzk.config.settings import Setting, Settings
from pyzk.errors import ConfigError

DIGEST_KEY: Final = "sasl.digestMd5.enabled"
LOGIN_FILE_KEY: Final = "java.security.auth.login.config"
KERBEROS_FILE_KEY: Final = "java.security.krb5.conf"
KERBEROS_FILE: Final = "/etc/krb5.conf"
SUPER: Final = "super"
"""The user whose password SASLAuthenticationProvider.superPassword replaces."""
_BY_NAME: Final = {key.name: key for key in (*SASL_KEYS, *QUORUM_AUTH)}
_SERVICE: Final = re.compile(r"[^/@]+/[^/@]+(@[^/@]+)?")
_REALM: Final = re.compile(r"\s*default_realm\s*=\s*(\S+)\s*")

ReadFile = Callable[[str], bytes | None]


@dataclass(frozen=True, kw_only=True)
class SaslConfig:
    """What clients log in with, and who they are then; the defaults are ZooKeeper's."""

    login: Login | None = None
    """What clients log in at; None if they cannot."""
    super_password: str | None = field(default=None, repr=False)
    super_users: tuple[str, ...] = ()
    """The ids that pass every check."""
    any_user: str | None = None
    """The ACL id that stands for everybody who has logged in."""
    allows_failed_clients: bool = False
    """Whether a client may stay whose login fails."""
    removes_host: bool = False
    removes_realm: bool = False
    """Whether an id goes without the host and the realm of a Kerberos principal."""
    auth_to_local: str = "DEFAULT"
    """The rules that make the short name of a principal."""
    default_realm: str = ""
    kerberos_file: str | None = None
    """The file that Kerberos is told by, in place of the usual one."""

    @property
    def is_kerberos(self) -> bool:
        """Whether clients log in by Kerberos."""
        return self.login is not None and self.login.is_kerberos


DEFAULTS: Final = SaslConfig()


@dataclass(frozen=True, kw_only=True)
class QuorumSaslConfig:
    """How the members of an ensemble prove to each other who they are."""

    server: Login
    """What others log in at who connect to this server."""
    learner: Login
    """How this server logs in at those that it connects to."""
    learner_requires: bool = False
    """Whether it does log in there."""
    server_requires: bool = False
    """Whether who connects to this server has to log in."""
    service_principal: str = "zkquorum/localhost"
    """The Kerberos principal of those that it connects to; the host may be ``_HOST``."""
    kerberos_file: str | None = None

    @property
    def is_kerberos(self) -> bool:
        """Whether any of it asks for Kerberos."""
        return self.server.is_kerberos or self.learner.is_kerberos


class LoginFile:
    """The login file of one start; what is asked of it is found in its sections."""

    def __init__(self, settings: Settings, read_file: ReadFile) -> None:
        """Read it. Raises ConfigError if it is named and not there, or cannot be read."""
        self.setting = settings.find(_BY_NAME[LOGIN_FILE_KEY])
        self._takes_digest = _value(settings, DIGEST_KEY) is not False
        self._sections: Mapping[str, tuple[Module, ...]] = {}
        self.path = login_path(settings)
        if self.setting is None or not self.path:
            return
        text = read_file(self.path)
        if text is None:
            raise self.setting.wrong(f"there is no file {self.path}")
        properties = {name: each.value for name, each in settings.properties.items()}
        try:
            self._sections = parse_jaas(text, properties)
        except ConfigError as error:
            raise self._wrong(error) from None

    def login(self, section: str) -> Login | None:
        """Return what a section says, None if there is no such section. Raises ConfigError."""
        modules = self._sections.get(section)
        if not modules:
            return None
        try:
            found = login_of(section, modules)
        except ConfigError as error:
            raise self._wrong(error) from None
        if not found.is_kerberos and not self._takes_digest:
            raise ConfigError(
                f"is false, and the section {section} of {self.path} has DIGEST-MD5 only; a"
                " Krb5LoginModule there logs in with Kerberos",
                key=DIGEST_KEY,
            )
        return replace(found, path=self.path)

    def _wrong(self, error: ConfigError) -> ConfigError:
        where = "" if error.line is None else f" line {error.line}"
        return ConfigError(f"{self.path}{where}: {error.message}", key=LOGIN_FILE_KEY)


def login_path(settings: Settings) -> str:
    """Return the path of the login file, "" if none is named."""
    setting = settings.find(_BY_NAME[LOGIN_FILE_KEY])
    # A file that is named so may be a URL; "=" in front of it says that it is the only one.
    path = "" if setting is None else setting.value.removeprefix("=").removeprefix("file:")
    return f"/{path.lstrip('/')}" if path.startswith("//") else path


def check_service(login: Login) -> None:
    """Raise ConfigError unless those who log in here with Kerberos find a service."""
    if login.principal is not None and not _SERVICE.fullmatch(login.principal):
        raise ConfigError(
            f"the principal {login.principal!r} of the section {login.section} is no service; one"
            " has the form zookeeper/HOST@REALM",
            key=LOGIN_FILE_KEY,
        )


def read_sasl(
    settings: Settings, read_file: ReadFile, warn: Callable[[Setting, str], None]
) -> SaslConfig | None:
    """Return what SASL is told; None if nothing concerns it. Raises ConfigError."""
    given = {key.name: _value(settings, key.name) for key in SASL_KEYS}
    super_users = [
        setting.value
        for name, setting in settings.properties.items()
        if name.startswith(SUPER_USER_PREFIX) and setting.value
    ]
    if given["superUser"]:
        super_users.insert(0, str(given["superUser"]))
    path = given.pop(KERBEROS_FILE_KEY)
    if not super_users and not any(value is not None for value in given.values()):
        _say_missing(settings, "", warn)
        return None
    file = LoginFile(settings, read_file)
    section = given["sasl.serverconfig"]
    login = file.login(str(section or "Server"))
    if login is None:
        _say_missing(settings, file.path, warn)
    else:
        check_service(login)
        _advise(login, settings, warn)
    realm = default_realm(str(path or KERBEROS_FILE), read_file)
    if given["requireKerberosConfig"] and not realm:
        raise ConfigError(
            f"is true, and {path or KERBEROS_FILE} names no default_realm",
            key="requireKerberosConfig",
        )
    return SaslConfig(
        login=login,
        super_password=_text(given["SASLAuthenticationProvider.superPassword"]),
        super_users=tuple(super_users),
        any_user=_text(given["letAnySaslUserDoX"]),
        allows_failed_clients=given["allowSaslFailedClients"] is True,
        removes_host=given["kerberos.removeHostFromPrincipal"] is True,
        removes_realm=given["kerberos.removeRealmFromPrincipal"] is True,
        auth_to_local=_text(given["security.auth_to_local"]) or DEFAULTS.auth_to_local,
        default_realm=realm,
        kerberos_file=_text(path),
    )


ENABLE_KEY: Final = "quorum.auth.enableSasl"
LEARNER_KEY: Final = "quorum.auth.learnerRequireSasl"
SERVER_KEY: Final = "quorum.auth.serverRequireSasl"


def is_quorum_sasl_asked(settings: Settings) -> bool:
    """Return whether members are to prove to each other who they are."""
    return _value(settings, ENABLE_KEY) is True


def read_quorum_sasl(settings: Settings, read_file: ReadFile) -> QuorumSaslConfig | None:
    """Return how members prove to each other who they are; None if they do not. Raises ConfigError,
    also where a key asks for less than another one."""
    learner, server = _value(settings, LEARNER_KEY) is True, _value(settings, SERVER_KEY) is True
    is_asked = is_quorum_sasl_asked(settings)
    for is_on, name, needed, is_there in (
        (learner, LEARNER_KEY, ENABLE_KEY, is_asked),
        (server, SERVER_KEY, ENABLE_KEY, is_asked),
        (server, SERVER_KEY, LEARNER_KEY, learner),
    ):
        if is_on and not is_there:
            raise ConfigError(f"needs {needed}=true", key=name)
    if not is_asked:
        return None
    file = LoginFile(settings, read_file)
    logins = []
    for key, usual in (
        ("quorum.auth.server.saslLoginContext", "QuorumServer"),
        ("quorum.auth.learner.saslLoginContext", "QuorumLearner"),
    ):
        section = _text(_value(settings, key)) or usual
        login = file.login(section)
        if login is None:
            where = f"{file.path} has no" if file.path else f"{LOGIN_FILE_KEY} names no file with a"
            raise ConfigError(f"{where} section {section}", key=ENABLE_KEY)
        logins.append(login)
    check_service(logins[0])
    if not logins[1].is_kerberos and logins[1].user is None:
        raise ConfigError(
            f"the section {logins[1].section} has no username, with which this server logs in",
            key=LOGIN_FILE_KEY,
        )
    principal = _text(_value(settings, "quorum.auth.kerberos.servicePrincipal"))
    return QuorumSaslConfig(
        server=logins[0],
        learner=logins[1],
        learner_requires=learner,
        server_requires=server,
        service_principal=principal or QuorumSaslConfig.service_principal,
        kerberos_file=_text(_value(settings, KERBEROS_FILE_KEY)),
    )


def _say_missing(settings: Settings, path: str, warn: Callable[[Setting, str], None]) -> None:
    section = settings.find(_BY_NAME["sasl.serverconfig"])
    if section is not None:
        where = f"{path} has no such section" if path else f"{LOGIN_FILE_KEY} is not set"
        warn(section, f"{where}, so no client can log in with SASL")
        return
    for name, setting in settings.properties.items():
        is_sasl = PROVIDER_CLASSES.get(setting.value) == "sasl"
        if is_sasl and name.startswith(AUTH_PROVIDER_PREFIX):
            where = f"{path} has no section Server" if path else f"-D{LOGIN_FILE_KEY} is not given"
            warn(setting, f"{where}, so no client can log in with SASL")


def _advise(login: Login, settings: Settings, warn: Callable[[Setting, str], None]) -> None:
    file = settings.find(_BY_NAME[LOGIN_FILE_KEY])
    assert file is not None, login
    if not login.is_kerberos and not login.users:
        warn(file, f"the section {login.section} names no user (user_NAME), so nobody can log in")
    password = settings.find(_BY_NAME["SASLAuthenticationProvider.superPassword"])
    if password is not None and SUPER not in login.users:
        warn(password, f"has no effect: the section {login.section} has no option user_super")


def default_realm(paths: str, read_file: ReadFile) -> str:
    """Return the realm of principals that name none, "" if no file says one. Several paths are
    separated by colons; the first file that says it counts."""
    for path in paths.split(":"):
        text = read_file(path) if path else None
        if text is None:
            continue
        section = ""
        for line in text.decode("utf-8", "replace").splitlines():
            if line.startswith("["):
                section = line.strip()
            match = _REALM.fullmatch(line)
            if match is not None and section == "[libdefaults]":
                return match.group(1)
    return ""


def _value(settings: Settings, name: str) -> object:
    """Return the value of a key, None if it was not given or is empty."""
    key = _BY_NAME[name]
    setting = settings.find(key)
    if setting is None or not setting.value:
        return None
    return settings.read(key, setting, key.kind)


def effective_values(config: SaslConfig) -> list[tuple[str, object]]:
    """Return (key, value) of the settings, but for the login file."""
    values: list[tuple[str, object]] = [
        ("sasl.serverconfig", config.login and config.login.section),
        ("SASLAuthenticationProvider.superPassword", config.super_password),
        ("superUser", config.super_users),
        ("letAnySaslUserDoX", config.any_user),
        ("allowSaslFailedClients", config.allows_failed_clients),
        ("kerberos.removeHostFromPrincipal", config.removes_host),
        ("kerberos.removeRealmFromPrincipal", config.removes_realm),
        ("security.auth_to_local", config.auth_to_local),
    ]
    return [(name, value) for name, value in values if value]


def effective_quorum_values(config: QuorumSaslConfig) -> list[tuple[str, object]]:
    """Return (key, value) of the settings of members."""
    return [
        (ENABLE_KEY, True),
        (LEARNER_KEY, config.learner_requires),
        (SERVER_KEY, config.server_requires),
        ("quorum.auth.server.saslLoginContext", config.server.section),
        ("quorum.auth.learner.saslLoginContext", config.learner.section),
        ("quorum.auth.kerberos.servicePrincipal", config.service_principal),
    ]


def usual_values() -> list[tuple[str, object]]:
    """Return (key, value) of what SASL is told where nobody says anything."""
    keys = (*SASL_KEYS, *QUORUM_AUTH)
    switches = {"true": True, "false": False}
    return [(key.name, switches.get(key.default, key.default)) for key in keys]


def _text(value: object) -> str | None:
    return None if value is None else str(value)
