"""What the admin server tells of the process: its environment, properties and configuration.

Pure. Each function makes the fields of one command. Passwords and digests of passwords are never
shown: the admin server asks nobody who he is.

ZooKeeper: EnvCommand, SystemPropertiesCommand, InitialConfigurationCommand
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pyzk.config.keys import KEYS, SECRETS
from pyzk.config.properties import with_values_hidden
from pyzk.server.fourletter import ENVIRONMENT_KEYS, VERSION

if TYPE_CHECKING:
    from pyzk.admin.answer import Asked, Fields

HIDDEN: Final = "(hidden)"
"""What is shown in place of a secret."""

_NOT_PROPERTIES: Final = (
    *("zookeeper.version", "host.name", "java.compiler"),
    *("os.memory.free", "os.memory.max", "os.memory.total"),
)
"""What the environment has, and no JVM of today has among its system properties."""
_CONSTANT: Final = {
    "file.encoding": "UTF-8",
    "file.separator": "/",
    "line.separator": "\n",
    "path.separator": ":",
}
_LOOKS_SECRET: Final = re.compile(
    r"(?i)(passw(or)?d|passphrase|superdigest|secret|token|credential|(api|access|private)[._-]?key)s?\Z"
)
_HOLDS_SECRET: Final = re.compile(
    r"(?i)(passw(or)?d|passphrase|superdigest|secret|token|credential)s?\s*[=:]"
)
"""A value with the next line in it: a line break is missing, or a blank ends the key."""
_SIMILAR: Final = 0.85
_ARE_SHOWN: Final = frozenset(key.name for key in KEYS if not key.is_secret)
"""The keys whose values are known to be no secrets, whatever their names look like."""


def environment(asked: Asked) -> Fields:
    """Returns what ``envi`` shows."""
    values = asked.peer.server.host.environment()
    fields: Fields = {key: values.get(key, "<NA>") for key in ENVIRONMENT_KEYS}
    fields["zookeeper.version"] = VERSION
    return fields


def system_properties(asked: Asked) -> Fields:
    """Returns the system properties that ZooKeeper would have: those that were given, those that
    the lines of zoo.cfg become, and of the JVM's own those that have a meaning without a JVM."""
    server = asked.peer.server
    values = dict(server.host.environment()) | _CONSTANT
    for name in _NOT_PROPERTIES:
        values.pop(name, None)
    for name, value in server.config.properties:
        values[name] = HIDDEN if value and is_secret(name, value) else value
    return dict(sorted(values.items()))


def initial_configuration(asked: Asked) -> Fields:
    """Returns the text of zoo.cfg as it was at the start; none for a member of an ensemble."""
    config = asked.peer.server.config
    text = None if config.ensemble is not None else config.file_text
    shown = None
    if text is not None:
        shown = with_values_hidden(text, is_secret, HIDDEN).decode("utf-8", "replace")
    return {"initial_configuration": shown}


def is_secret(name: str, value: str = "") -> bool:
    """Returns whether the value of a key or a property is shown to nobody."""
    plain = name.removeprefix("zookeeper.")
    if _HOLDS_SECRET.search(value) is not None:
        return True
    if plain in _ARE_SHOWN:
        return False
    if plain in SECRETS or _LOOKS_SECRET.search(name) is not None:
        return True
    return _resembles_a_secret(plain)


def _resembles_a_secret(name: str) -> bool:
    """Returns whether an unknown name may be that of a secret, with a mistake in it."""
    import difflib  # its import is slow, and few need it

    secrets = [each.lower() for each in SECRETS]
    return bool(difflib.get_close_matches(name.lower(), secrets, n=1, cutoff=_SIMILAR))
