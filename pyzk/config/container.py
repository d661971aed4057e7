"""What the environment of a container asks for: variables to settings of a server.

Pure. The settings are named as keys of `zoo.cfg`, and each carries the name of its variable, so
that whatever is wrong is said of the variable. `pyzk/config/container_variables.py` has the table.
An environment that was written for Bitnami's image gets Bitnami's defaults, any other those of the
official one. An empty variable is the same as none.

Where this differs from the images, on purpose: a member waits for its own name for as long as it is
unknown (the official image ends after 3 s), nothing is written but `myid`, not even passwords, and
what the images pass over in silence is an error or a warning.
ZooKeeper: docker-entrypoint.sh of the image `zookeeper`, libzookeeper.sh of `bitnami/zookeeper`
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from pyzk.config.container_logins import is_yes, login_file
from pyzk.config.container_servers import VARIABLE as SERVERS
from pyzk.config.container_servers import is_about_members, server_lines, shown
from pyzk.config.container_variables import (
    ANY_KEY,
    BY_NAME,
    OF_BITNAMI,
    VARIABLES,
    Form,
    Variable,
    called,
    is_of_a_service,
    unknown_variables,
)
from pyzk.config.keys import KEYS, KNOWN, SECRETS
from pyzk.config.properties import escaped, parse_properties
from pyzk.config.server import ServerConfig, parse_config
from pyzk.config.settings import Property, Resolve
from pyzk.errors import ConfigError

ReadText = Callable[[str], str]
"""Returns the content of a file. Raises OSError."""

CLIENT_PORT: Final = "2181"
LOGIN_FILE: Final = "/environment/jaas.conf"
"""The path of the login file that the environment asks for. There is no such file: it is made in
memory, where its passwords stay."""
KEEP_KEY: Final = "pyzk.configInDataDir"
LOGIN_KEY: Final = "java.security.auth.login.config"

OFFICIAL_DEFAULTS: Final = {
    "dataDir": "/data",
    "dataLogDir": "/datalog",
    "tickTime": "2000",
    "initLimit": "5",
    "syncLimit": "2",
    "autopurge.snapRetainCount": "3",
    "autopurge.purgeInterval": "0",
    "maxClientCnxns": "60",
    "electionPortBindRetry": "0",
}
BITNAMI_DEFAULTS: Final = OFFICIAL_DEFAULTS | {
    "dataDir": "/bitnami/zookeeper/data",
    "dataLogDir": "",
    "initLimit": "10",
    "syncLimit": "5",
    "maxSessionTimeout": "40000",
    "4lw.commands.whitelist": "srvr, mntr",
    "admin.enableServer": "false",
    "admin.serverAddress": "127.0.0.1",
}
BITNAMI_CONFIG: Final = "/opt/bitnami/zookeeper/conf"

_PROMETHEUS: Final = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
_LEVELS: Final = {
    "all": "debug", "trace": "debug", "debug": "debug", "info": "info", "warn": "warning",
    "warning": "warning", "error": "error", "fatal": "error", "off": "error",
}  # fmt: skip
_FIRST_ID: Final = "PYZK_FIRST_ID"
_OF_ADDRESSES: Final = (
    "clientPort",
    "clientPortAddress",
    "secureClientPort",
    "secureClientPortAddress",
    "metricsProvider.httpPort",
    "metricsProvider.httpHost",
)
_ANYWHERE: Final = ("", "0.0.0.0", "[::]", "::")  # noqa: S104 - what a server line says
_ORDINAL: Final = re.compile(r".*-(\d+)")


@dataclass(frozen=True)
class Plan:
    """What an environment asks for. What may be secret is not shown."""

    options: tuple[Property, ...] = field(repr=False)
    """The settings, named as keys of zoo.cfg; none of a key is there twice."""
    properties: tuple[Property, ...] = field(repr=False)
    """System properties of ZooKeeper, by their full names."""
    login: str = field(repr=False)
    """The text of the login file that LOGIN_FILE stands for; "" if there is none."""
    my_id: int
    my_id_label: str
    """The variable that gives the id; "" if none does, and it is the default."""
    log_level: str
    log_format: str
    is_bitnami: bool
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def data_dir(self) -> str:
        """The directory of `myid`."""
        return next(each.value for each in self.options if each.name == "dataDir")

    def members(self) -> bytes:
        """Return the lines of the members, as zoo.cfg has them."""
        lines = [(name, value) for name, value, _ in self.options if is_about_members(name)]
        return "".join(_line(name, value) for name, value in lines).encode("ascii")

    def client_place(self, my_id: int) -> str:
        """Return where a client of this container reaches server ``my_id``: HOST:PORT."""
        found = {name: value for name, value, _ in self.options}
        host, _, port = found.get(f"server.{my_id}", "").partition(";")[2].rpartition(":")
        if not port:
            port = found.get("clientPort", found.get("secureClientPort", CLIENT_PORT))
            host = found.get("clientPortAddress", "")
        return f"{host if host not in _ANYWHERE else '127.0.0.1'}:{port}"

    def called(self, zoo_cfg: str | None) -> dict[str, str]:
        """Return, for each key of an address, the variables to change it by, or the ``zoo_cfg``
        that counts in their place; for a `server.N` of them, where its client port is."""
        if zoo_cfg is not None:
            return {key: f"{key} in {zoo_cfg}" for key in _OF_ADDRESSES}
        given = {name: label for name, _, label in self.options}
        found = {key: called(key, given.get(key, "")) for key in _OF_ADDRESSES}
        port = found["clientPort"]
        for key in given:
            if key.startswith("server."):
                found[key] = f"behind the ; of {key} in {SERVERS}, or {port} where that has no ;"
        return found

    @property
    def is_reconfigurable(self) -> bool:
        """Whether later configurations of the ensemble are kept, beside the data."""
        return any(each.name == KEEP_KEY for each in self.options)

    def text(self) -> str:
        """Return the settings as the lines of a zoo.cfg, behind them the system properties as
        comments, without what is secret."""
        return "".join(_line(name, value) for name, value, _ in self.options) + "".join(
            f"# -D{_line(name, value)}" for name, value, _ in self.properties
        )


def config_paths(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return where a zoo.cfg may lie that somebody has put into the container; the first counts."""
    place = environment.get("ZOO_CONF_DIR") or "/conf"
    folders = [place, BITNAMI_CONFIG] if is_for_bitnami(environment) else [place]
    return tuple(f"{folder.rstrip('/')}/zoo.cfg" for folder in folders)


def is_for_bitnami(environment: Mapping[str, str]) -> bool:
    """Return whether an environment was written for Bitnami's image."""
    return any(environment.get(name) for name in OF_BITNAMI)


def data_dir_of(zoo_cfg: bytes) -> str | None:
    """Return the dataDir of a zoo.cfg, None if it has none. Raises ConfigError."""
    entries = parse_properties(zoo_cfg)
    return next((each.value for each in reversed(entries) if each.key == "dataDir"), None)


def plan(
    environment: Mapping[str, str], host_name: str, read_text: ReadText, *, has_config: bool
) -> Plan:
    """Return what the environment asks for.

    ``host_name`` is that of the container, ``read_text`` reads the files that hold secrets. If it
    ``has_config``, a zoo.cfg of its own, only the id, the log and the system properties count, as
    in both images. Raises ConfigError with the name of the variable for the first wrong value.
    """
    return _Planner(environment, host_name, read_text).plan(has_config=has_config)


def configure(
    asked: Plan,
    read_file: Callable[[str], bytes | None],
    resolve: Resolve,
    is_directory: Callable[[str], bool],
    has_provider: Callable[[str], bool],
) -> ServerConfig:
    """Return the configuration of a server that has no zoo.cfg; the other parameters are those of
    `parse_config`. Raises ConfigError with the name of the variable."""

    def read(path: str) -> bytes | None:
        return asked.login.encode() if path == LOGIN_FILE else read_file(path)

    options = [each for each in asked.options if not is_about_members(each.name)]
    # There is no such file, and what the server saves is in dataDir/version-2.
    path = f"{asked.data_dir}/zoo.cfg" if asked.is_reconfigurable else None
    try:
        config = parse_config(
            asked.members(),
            asked.properties,
            options,
            read,
            resolve,
            is_directory,
            path,
            has_provider,
        )
    except ConfigError as error:
        if error.line is None:
            raise
        raise ConfigError(f"{error.key}: {error.message}", key=SERVERS) from None
    # No line has a number that anybody could look up.
    return replace(
        config,
        warnings=tuple((None, text) for _, text in config.warnings),
        notes=tuple((None, text) for _, text in config.notes),
    )


class _Planner:
    """Collects the settings by key, the first of a key first; what comes later wins."""

    def __init__(self, environment: Mapping[str, str], host_name: str, read_text: ReadText) -> None:
        self.host_name = host_name
        self.is_bitnami = is_for_bitnami(environment)
        self.settings: dict[str, Property] = {}
        self.properties: dict[str, Property] = {}
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.unknown = unknown_variables(environment)
        self.values = self._values(environment, read_text)
        """The variables that are set, and what they are set to."""
        self.keys = {
            name.removeprefix(ANY_KEY): value
            for name, value in sorted(environment.items())
            if name.startswith(ANY_KEY) and name not in BY_NAME
        }

    def _values(self, environment: Mapping[str, str], read_text: ReadText) -> dict[str, str]:
        found = {}
        for variable in VARIABLES:
            name = variable.name
            value = environment.get(name, "")
            path = environment.get(f"{name}_FILE") if variable.may_be_in_a_file else None
            if path and f"{name}_FILE" not in BY_NAME:
                try:
                    value = read_text(path).rstrip("\n")
                except OSError as error:
                    raise ConfigError(
                        f"cannot read {path}: {error.strerror}", key=f"{name}_FILE"
                    ) from None
                except UnicodeDecodeError:
                    raise ConfigError(f"{path} is not in UTF-8", key=f"{name}_FILE") from None
            if value and not is_of_a_service(name, value):
                found[name] = value
        return found

    def plan(self, *, has_config: bool) -> Plan:
        """Return everything; see the function of this name."""
        my_id, label = self._my_id()
        login = ""
        if has_config:
            self._put("dataDir", "", "")  # the file says it
            self._name_ignored()
        else:
            self._defaults()
            self._table()
            self._log_in_or_not()
            self._servers(my_id)
            self._tls()
            self._admin_server()
            self._metrics()
            login = self._login()
            self._any_keys()
            self._client_port()
            self._keep_later_configurations()
        self._flags()
        for name, meant in self.unknown:
            hint = f"; did you mean {meant}?" if meant else ""
            self.warnings.append(f"{name}: unknown, ignored{hint}")
        return Plan(
            options=tuple(each for each in self.settings.values() if each.value),
            properties=tuple(self.properties.values()),
            login=login,
            my_id=my_id,
            my_id_label=label,
            log_level=self._log_level(),
            log_format=self._log_format(),
            is_bitnami=self.is_bitnami,
            warnings=tuple(self.warnings),
            notes=tuple(self.notes),
        )

    # ---- settings

    def _put(self, key: str, value: str, label: str) -> None:
        self.settings[key] = Property(key, value, label)

    def _is_yes(self, name: str) -> bool:
        return is_yes(self.values.get(name, ""))

    def _defaults(self) -> None:
        defaults = BITNAMI_DEFAULTS if self.is_bitnami else OFFICIAL_DEFAULTS
        for key, value in defaults.items():
            self._put(key, value, "")
        whose = "Bitnami's" if self.is_bitnami else "the official"
        self.notes.append(f"defaults are those of {whose} image")

    def _table(self) -> None:
        """Take what becomes the value of one key, by the table. Raises ConfigError if two variables
        want to be the same key with other values."""
        for name, value in self.values.items():
            variable = BY_NAME[name]
            if variable.form is Form.NOTHING:
                self.notes.append(f"{name}: has no effect: {variable.remark}")
            if not variable.key or name.startswith("ZOO_TLS_"):
                continue
            self._take(variable, value)

    def _take(self, variable: Variable, value: str) -> None:
        if variable.form is Form.YES_NO:
            value = "true" if is_yes(value) else "false"
        other = self.settings.get(variable.key)
        if other is not None and other.label and other.value != value:
            raise ConfigError(
                f"both this variable and {other.label} give {variable.key}, and they differ",
                key=variable.name,
            )
        self._put(variable.key, value, variable.name)

    def _any_keys(self) -> None:
        """Take the keys that have no variable of their own; they win over all variables."""
        found = [*self._dotted_keys(), *self._extra()]
        for key, value, label in found:
            before = self.settings.get(key)
            if before is not None and before.label and before.label != label:
                self.notes.append(f"{label} gives {key}; {before.label} has no effect")
            self._put(key, value, label)

    def _dotted_keys(self) -> Iterator[Property]:
        """Yield what Bitnami's image takes: each underscore of the name is a dot of the key, unless
        there is a key with the underscores."""
        names = {key.name for key in KEYS} | set(KNOWN)
        for name, value in self.keys.items():
            key = name if name in names else name.replace("_", ".")
            yield Property(key, value, f"{ANY_KEY}{name}")

    def _extra(self) -> Iterator[Property]:
        """Yield what the official image takes: lines of zoo.cfg, separated by blanks."""
        for word in self.values.get("ZOO_CFG_EXTRA", "").split():
            key, mark, value = word.partition("=")
            if mark:
                yield Property(key, value, f"ZOO_CFG_EXTRA: {key}")
            else:
                self.warnings.append(
                    f"ZOO_CFG_EXTRA: a word of it has no '=', ignored: {shown(word)}; it is split"
                    " at blanks, so no value can have one"
                )

    def _name_ignored(self) -> None:
        kept = ("ZOO_MY_ID", "ZOO_SERVER_ID", "ZOO_CONF_DIR", "ZOO_DATA_DIR")
        ignored = [
            name
            for name in self.values
            if name.startswith("ZOO_") and name not in kept and not name.startswith("ZOO_LOG")
        ]
        ignored += [f"{ANY_KEY}{name}" for name in self.keys]
        if ignored:
            self.notes.append(f"zoo.cfg is there, so it counts, and not: {', '.join(ignored)}")

    # ---- who is who

    def _my_id(self) -> tuple[int, str]:
        """Return the id of this server, and the variable that gives it, "" if none does."""
        given = [name for name in ("ZOO_MY_ID", "ZOO_SERVER_ID", _FIRST_ID) if name in self.values]
        found = [(_number(self.values[name], name), name) for name in given]
        if _FIRST_ID in self.values:
            found[-1] = (found[-1][0] + self._ordinal(), _FIRST_ID)
        for number, name in found[1:]:
            if number != found[0][0]:
                raise ConfigError(
                    f"makes this server {number}, and {found[0][1]} makes it {found[0][0]}",
                    key=name,
                )
        return found[0] if found else (1, "")

    def _ordinal(self) -> int:
        short = self.host_name.partition(".")[0]
        match = _ORDINAL.fullmatch(short)
        if match is None:
            raise ConfigError(
                f"the host name {short!r} does not end in '-' and a number, as that of a pod of a"
                " StatefulSet does; give ZOO_MY_ID instead",
                key=_FIRST_ID,
            )
        return int(match[1])

    def _servers(self, my_id: int) -> None:
        text = self.values.get(SERVERS, "")
        lines = server_lines(text, self._port()) if text else {}
        if text and not lines:
            self.notes.append(f"{SERVERS}: has one server only, which is then a standalone one")
        if not text and self.values.get("ZOO_STANDALONE_ENABLED", "").lower() == "false":
            lines = {f"server.{my_id}": f"localhost:2888:3888;{self._port()}"}
        for key, value in lines.items():
            self._put(key, value, f"{SERVERS}: {key}")

    def _members(self) -> list[str]:
        return [each.value for key, each in self.settings.items() if key.startswith("server.")]

    def _port(self) -> str:
        given = self.settings.get("clientPort")
        return given.value if given is not None else CLIENT_PORT

    def _client_port(self) -> None:
        """Open the usual client port unless something says which ports there are."""
        if any(";" in value for value in self._members()):
            return
        if "clientPort" not in self.settings and "secureClientPort" not in self.settings:
            self._put("clientPort", CLIENT_PORT, "")

    def _keep_later_configurations(self) -> None:
        """Have later configurations of the ensemble kept beside the data: the next container begins
        with the same variables."""
        setting = self.settings.get("reconfigEnabled")
        if setting is not None and setting.value.lower() == "true":
            self._put(KEEP_KEY, "true", KEEP_KEY)

    # ---- security

    def _log_in_or_not(self) -> None:
        if self._is_yes("ZOO_ENABLE_AUTH"):
            return
        for name in ("ALLOW_ANONYMOUS_LOGIN", "ALLOW_EMPTY_PASSWORD"):
            if name in self.values and not self._is_yes(name):
                others = {"ALLOW_ANONYMOUS_LOGIN", "ALLOW_EMPTY_PASSWORD"} - {name}
                if not any(map(self._is_yes, others)):
                    raise ConfigError(
                        "refuses clients that do not log in, but ZOO_ENABLE_AUTH is not yes, so"
                        " nobody has to",
                        key=name,
                    )

    def _tls(self) -> None:
        self._tls_of("CLIENT", "ZOO_TLS_PORT_NUMBER", "ssl.clientAuth")
        self._tls_of("QUORUM", "", "ssl.quorum.clientAuth")
        if self._is_yes("ZOO_TLS_QUORUM_ENABLE"):
            self._put("sslQuorum", "true", "ZOO_TLS_QUORUM_ENABLE")
        if not self._is_yes("ZOO_TLS_CLIENT_ENABLE"):
            return
        if "secureClientPort" not in self.settings:
            self._put("secureClientPort", "3181", "ZOO_TLS_CLIENT_ENABLE")
        port = self._port()
        self.settings.pop("clientPort", None)
        if any(";" in value for value in self._members()):
            self.warnings.append(
                f"ZOO_TLS_CLIENT_ENABLE: the members of the ensemble listen without TLS, too, on"
                f" {port}, as in Bitnami's image; server lines without ;{port} in ZOO_SERVERS close"
                " that port"
            )

    def _tls_of(self, purpose: str, port: str, auth_key: str) -> None:
        """Take the stores for a purpose; without its switch they have no effect."""
        names = [
            name for name in self.values if name.startswith(f"ZOO_TLS_{purpose}_") or name == port
        ]
        switch = f"ZOO_TLS_{purpose}_ENABLE"
        if self._is_yes(switch):
            self.settings[auth_key] = Property(auth_key, "need", "")
            for name in names:
                if BY_NAME[name].key:
                    self._take(BY_NAME[name], self.values[name])
        elif [name for name in names if name != switch]:
            others = ", ".join(name for name in names if name != switch)
            self.warnings.append(f"{switch}: is not yes, so these have no effect: {others}")

    def _login(self) -> str:
        """Return the text of the login file, and take the keys that go with it."""
        text, keys = login_file(self.values)
        for key, value, label in keys:
            self._put(key, value, label)
        if text:
            self.properties[LOGIN_KEY] = Property(LOGIN_KEY, LOGIN_FILE, "ZOO_ENABLE_AUTH")
        return text

    # ---- seen from outside

    def _admin_server(self) -> None:
        """Leave out the usual address of an admin server that there is not."""
        setting = self.settings.get("admin.enableServer")
        address = self.settings.get("admin.serverAddress")
        if setting is not None and setting.value == "false" and address is not None:
            if not address.label:
                del self.settings["admin.serverAddress"]

    def _metrics(self) -> None:
        switch = "ZOO_ENABLE_PROMETHEUS_METRICS"
        if self._is_yes(switch):
            port = self.values.get("ZOO_PROMETHEUS_METRICS_PORT_NUMBER", "7000")
            self._put("metricsProvider.className", _PROMETHEUS, switch)
            self._put("metricsProvider.httpPort", port, "ZOO_PROMETHEUS_METRICS_PORT_NUMBER")
            self._put("metricsProvider.exportJvmInfo", "true", switch)

    def _log_level(self) -> str:
        for name in ("ZOO_LOG_LEVEL", "ZOO_LOG4J_PROP"):
            if name in self.values:
                word = self.values[name].partition(",")[0].strip().lower()
                if word not in _LEVELS:
                    raise ConfigError(
                        f"{word!r} is no level of a log; expected one of {', '.join(_LEVELS)}",
                        key=name,
                    )
                return _LEVELS[word]
        return "info"

    def _log_format(self) -> str:
        form = self.values.get("PYZK_LOG_FORMAT", "text")
        if form not in ("text", "json"):
            raise ConfigError(f"{form!r} is neither text nor json", key="PYZK_LOG_FORMAT")
        return form

    def _flags(self) -> None:
        """Take the system properties that Java would get; of the same name the last one counts."""
        for variable in ("SERVER_JVMFLAGS", "JVMFLAGS"):
            try:
                words = shlex.split(self.values.get(variable, ""))
            except ValueError:
                raise ConfigError("a quotation mark in it is not closed", key=variable) from None
            for word in words:
                self._flag(word, variable)

    def _flag(self, word: str, variable: str) -> None:
        if word.startswith("-D"):
            name, _, value = word.removeprefix("-D").partition("=")
            if name == LOGIN_KEY and name in self.properties:
                raise ConfigError(
                    f"gives {name}, which ZOO_ENABLE_AUTH or ZOO_ENABLE_QUORUM_AUTH gives, too",
                    key=variable,
                )
            self.properties[name] = Property(name, value, f"{variable}: -D{name}")
        elif word.startswith(("-javaagent", "-agent")):
            agent = word.partition(":")[0]
            self.warnings.append(
                f"{variable}: {agent} has no effect: there is no JVM for an agent; the metrics are"
                " at /metrics of the admin port"
            )
        else:
            self.notes.append(f"{variable}: {shown(word)} has no effect: there is no JVM")


def _line(name: str, value: str) -> str:
    is_secret = name.removeprefix("zookeeper.") in SECRETS
    return f"{name}={'(set)' if is_secret else escaped(value)}\n"


def _number(text: str, name: str) -> int:
    if not re.fullmatch(r"\d+", text.strip(), re.ASCII):
        raise ConfigError(f"{text!r} is not a number", key=name)
    return int(text)
