"""The environment variables of container images of ZooKeeper, and what each becomes: one table.

Pure. Two images are widely used, the official one and Bitnami's; a row says whose a variable is.
`pyzk/config/container.py` reads by this table, and a test compares docs/containers.md with it.
ZooKeeper: the entry points of the images `zookeeper` and `bitnami/zookeeper`, and zkEnv.sh.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, NamedTuple


class Image(Enum):
    """Whose a variable is."""

    OFFICIAL = "official"
    BITNAMI = "Bitnami's"
    BOTH = "both"
    OURS = "pyzk"


class Form(Enum):
    """How a value is written in zoo.cfg."""

    TEXT = "as it is"
    YES_NO = "true for yes, true or 1, else false"
    SPECIAL = "by a rule of its own"
    NOTHING = "not at all"


class Variable(NamedTuple):
    """One environment variable."""

    name: str
    image: Image
    key: str = ""
    """The key of zoo.cfg that gets the value; "" if it becomes something else, or nothing."""
    form: Form = Form.TEXT
    remark: str = ""
    """Why the variable has no effect; "" if it has one."""

    @property
    def may_be_in_a_file(self) -> bool:
        """Whether the variable with `_FILE` behind its name is the path of a file that holds the
        value, as in Bitnami's image."""
        return self.image in (Image.BITNAMI, Image.BOTH)


_NO_JVM: Final = "there is no JVM"


def _official(name: str, key: str, form: Form = Form.TEXT) -> Variable:
    return Variable(name, Image.OFFICIAL, key, form)


def _bitnami(name: str, key: str = "", form: Form = Form.TEXT) -> Variable:
    return Variable(name, Image.BITNAMI, key, form if key else Form.SPECIAL)


def _both(name: str, key: str = "", form: Form = Form.TEXT) -> Variable:
    return Variable(name, Image.BOTH, key, form if key else Form.SPECIAL)


def _store(purpose: str, prefix: str) -> tuple[Variable, ...]:
    """Return the rows of the keys and certificates for a purpose."""
    rows = []
    for store, name in (("KEYSTORE", "keyStore"), ("TRUSTSTORE", "trustStore")):
        for part, field in (("FILE", "location"), ("TYPE", "type"), ("PASSWORD", "password")):
            rows.append(_bitnami(f"ZOO_TLS_{purpose}_{store}_{part}", f"{prefix}{name}.{field}"))
    return tuple(rows)


VARIABLES: Final = (
    # Who this server is, and who the others are.
    Variable("ZOO_MY_ID", Image.OFFICIAL, form=Form.SPECIAL),
    _bitnami("ZOO_SERVER_ID"),
    Variable("PYZK_FIRST_ID", Image.OURS, form=Form.SPECIAL),
    _both("ZOO_SERVERS"),
    _bitnami("ZOO_PEER_TYPE", "peerType"),
    _official("ZOO_STANDALONE_ENABLED", "standaloneEnabled"),
    _bitnami("ZOO_RECONFIG_ENABLED", "reconfigEnabled", Form.YES_NO),
    _bitnami("ZOO_LISTEN_ALLIPS_ENABLED", "quorumListenOnAllIPs", Form.YES_NO),
    # Where things are.
    _official("ZOO_DATA_DIR", "dataDir"),
    _both("ZOO_DATA_LOG_DIR", "dataLogDir"),
    Variable("ZOO_CONF_DIR", Image.OFFICIAL, form=Form.SPECIAL),
    _official("ZOO_PORT", "clientPort"),  # of the image of 3.4
    _bitnami("ZOO_PORT_NUMBER", "clientPort"),
    # Times and limits.
    _both("ZOO_TICK_TIME", "tickTime"),
    _both("ZOO_INIT_LIMIT", "initLimit"),
    _both("ZOO_SYNC_LIMIT", "syncLimit"),
    _both("ZOO_MAX_CLIENT_CNXNS", "maxClientCnxns"),
    _bitnami("ZOO_MAX_CNXNS", "maxCnxns"),
    _bitnami("ZOO_MAX_SESSION_TIMEOUT", "maxSessionTimeout"),
    # Storage.
    _official("ZOO_AUTOPURGE_PURGEINTERVAL", "autopurge.purgeInterval"),
    _bitnami("ZOO_AUTOPURGE_INTERVAL", "autopurge.purgeInterval"),
    _official("ZOO_AUTOPURGE_SNAPRETAINCOUNT", "autopurge.snapRetainCount"),
    _bitnami("ZOO_AUTOPURGE_RETAIN_COUNT", "autopurge.snapRetainCount"),
    _bitnami("ZOO_PRE_ALLOC_SIZE", "preAllocSize"),
    _bitnami("ZOO_SNAPCOUNT", "snapCount"),
    # Seen from outside.
    _both("ZOO_4LW_COMMANDS_WHITELIST", "4lw.commands.whitelist"),
    _official("ZOO_ADMINSERVER_ENABLED", "admin.enableServer"),
    _bitnami("ZOO_ENABLE_ADMIN_SERVER", "admin.enableServer", Form.YES_NO),
    _bitnami("ZOO_ADMIN_SERVER_ADDRESS", "admin.serverAddress"),
    _bitnami("ZOO_ADMIN_SERVER_PORT_NUMBER", "admin.serverPort"),
    _bitnami("ZOO_ENABLE_PROMETHEUS_METRICS"),
    _bitnami("ZOO_PROMETHEUS_METRICS_PORT_NUMBER"),
    _bitnami("ZOO_LOG_LEVEL"),
    Variable("ZOO_LOG4J_PROP", Image.OFFICIAL, form=Form.SPECIAL),
    Variable("PYZK_LOG_FORMAT", Image.OURS, form=Form.SPECIAL),
    # Who may log in.
    _bitnami("ALLOW_ANONYMOUS_LOGIN"),
    _bitnami("ALLOW_EMPTY_PASSWORD"),
    _bitnami("ZOO_ENABLE_AUTH"),
    _bitnami("ZOO_SERVER_USERS"),
    _bitnami("ZOO_SERVER_PASSWORDS"),
    _bitnami("ZOO_ENABLE_QUORUM_AUTH"),
    _bitnami("ZOO_QUORUM_LEARNER_USER"),
    _bitnami("ZOO_QUORUM_LEARNER_PASSWORD"),
    _bitnami("ZOO_QUORUM_SERVER_USERS"),
    _bitnami("ZOO_QUORUM_SERVER_PASSWORDS"),
    # TLS.
    _bitnami("ZOO_TLS_CLIENT_ENABLE"),
    _bitnami("ZOO_TLS_PORT_NUMBER", "secureClientPort"),
    _bitnami("ZOO_TLS_CLIENT_AUTH", "ssl.clientAuth"),
    *_store("CLIENT", "ssl."),
    _bitnami("ZOO_TLS_QUORUM_ENABLE"),
    _bitnami("ZOO_TLS_QUORUM_CLIENT_AUTH", "ssl.quorum.clientAuth"),
    *_store("QUORUM", "ssl.quorum."),
    _bitnami("ZOO_FIPS_MODE", "fips-mode", Form.YES_NO),
    # Anything else.
    Variable("ZOO_CFG_EXTRA", Image.OFFICIAL, form=Form.SPECIAL),
    _both("JVMFLAGS"),
    Variable("SERVER_JVMFLAGS", Image.BOTH, form=Form.SPECIAL),
    # What nothing here needs.
    Variable("ZOO_HEAP_SIZE", Image.BITNAMI, "", Form.NOTHING, _NO_JVM),
    Variable(
        "ZOO_LOG_DIR", Image.OFFICIAL, "", Form.NOTHING, "the log goes to standard error"
    ),
    Variable("ZOO_USER", Image.OFFICIAL, "", Form.NOTHING, "the user of the container runs pyzk"),
    Variable(
        "ZOO_HC_TIMEOUT",
        Image.BITNAMI,
        "",
        Form.NOTHING,
        "it is for a script of Bitnami's image; pyzk health has --timeout",
    ),
    Variable(
        "ZOO_CLIENT_USER",
        Image.BITNAMI,
        "",
        Form.NOTHING,
        "it is for the zkCli.sh of Bitnami's image",
    ),
    Variable(
        "ZOO_CLIENT_PASSWORD",
        Image.BITNAMI,
        "",
        Form.NOTHING,
        "it is for the zkCli.sh of Bitnami's image",
    ),
)  # fmt: skip

BY_NAME: Final[Mapping[str, Variable]] = {each.name: each for each in VARIABLES}

ANY_KEY: Final = "ZOO_CFG_"
"""What stands in front of a key of zoo.cfg, in Bitnami's image: `ZOO_CFG_snapshot_trust_empty`."""

OF_BITNAMI: Final = (
    "ALLOW_ANONYMOUS_LOGIN",
    "ALLOW_EMPTY_PASSWORD",
    "ZOO_ENABLE_AUTH",
    "ZOO_SERVER_ID",
)
"""Variables that tell that an environment was written for Bitnami's image, which does not start
without one of the first three. Its defaults count then."""

_LINKED: Final = re.compile(r".*_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://.*")
_SIMILAR: Final = 0.8


def is_of_a_service(name: str, value: str) -> bool:
    """Return whether Kubernetes or Docker has made this variable for a service or a link that is
    called zoo: `ZOO_SERVICE_HOST`, `ZOO_PORT=tcp://10.0.0.1:2181`."""
    return _LINKED.fullmatch(name) is not None or _ADDRESS.fullmatch(value) is not None


def unknown_variables(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the variables that begin like those of the images and are none of them, each with the
    name that seems to be meant, or ""."""
    found = []
    for name in sorted(environment):
        if not name.startswith("ZOO_") or name.startswith(ANY_KEY) or name in BY_NAME:
            continue
        bare = name.removesuffix("_FILE")
        is_path = bare != name and bare in BY_NAME and BY_NAME[bare].may_be_in_a_file
        if not is_path and not is_of_a_service(name, environment[name]):
            found.append((name, _closest(name, BY_NAME)))
    return found


def called(key: str, label: str) -> str:
    """Return which variables give a key of zoo.cfg; ``label`` is the one that has given it, or
    ""."""
    names = [each.name for each in VARIABLES if each.key == key]
    if label.startswith(ANY_KEY) or label in names:
        return label
    return " or ".join(names) or label or f"{key}=... in {ANY_KEY}EXTRA"


def _closest(name: str, names: Iterable[str]) -> str:
    import difflib  # a start without mistakes does without it

    return next(iter(difflib.get_close_matches(name, list(names), 1, _SIMILAR)), "")
