"""The settings of one start, by name: the one reader for lone servers and members.

Pure. There are three sources, of which the later one wins: system properties (`-D`, or a properties
file), the lines of `zoo.cfg`, and command line options, which are written as keys. As in the
original, a key that QuorumPeerConfig knows is read from the file only; any other key of the file
becomes the property `zookeeper.<key>`. The rows of `pyzk/config/keys.py` say which is which.
ZooKeeper: QuorumPeerConfig.parseProperties.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from pyzk.config.keys import KNOWN, KNOWN_PREFIXES, MEMBER_PREFIXES
from pyzk.config.kinds import Key, Kind
from pyzk.config.properties import Entry, parse_properties, trim
from pyzk.errors import ConfigError

Remark = tuple[int | None, str]
"""The line of zoo.cfg, or None, and one sentence."""


Resolve = Callable[[str], str | None]
"""Returns the address that a host name stands for, None if it stands for none."""


def no_names(host: str) -> str | None:
    """Return the host itself: addresses are compared, names are known to nobody."""
    return host


class Property(NamedTuple):
    """A setting from outside the file; `label` is its name in messages (`-Djute.maxbuffer`), "" for
    a default that nobody has given."""

    name: str
    value: str
    label: str


class Setting(NamedTuple):
    """One value as it was given, and where."""

    value: str
    line: int | None
    label: str

    def remark(self, text: str) -> Remark:
        """Return a sentence about this setting, for the operator."""
        return self.line, f"{self.label}: {text}"

    def wrong(self, message: str) -> ConfigError:
        """Return the error that says what is wrong with this setting."""
        return ConfigError(message, self.line, self.label)

    def without_port(self, port_key: str, *, is_secure_there: bool = False) -> ConfigError:
        """Return the error that this, the address of a port, is set and the port is not."""
        key = f"{port_key}Address"
        if self.label == key:
            return self.wrong(f"{key} is set but {port_key} is not")
        remedy = "; for the secure port set secureClientPortAddress in zoo.cfg"
        return self.wrong(
            f"sets {key}, and there is no {port_key}{remedy if is_secure_there else ''}"
        )


def of_entry(entry: Entry) -> Setting:
    """Return a line of zoo.cfg as a setting."""
    return Setting(entry.value, entry.line, entry.key)


class Settings:
    """What was given, for the builders of a ServerConfig and of an EnsembleConfig."""

    def __init__(
        self, text: bytes, properties: Iterable[Property] = (), options: Iterable[Property] = ()
    ) -> None:
        """Read all sources; options are named as keys. Raises ConfigError if ``text``, the content
        of zoo.cfg, is malformed."""
        self.entries = parse_properties(text)
        self.known: dict[str, Setting] = {}
        """The settings by key, for keys that are read from the file only."""
        self.properties: dict[str, Setting] = {}
        """The settings by the full name of the system property."""
        self.members: dict[str, Setting] = {}
        """The settings by key, for the lines of an ensemble and the file that has them."""
        self.repeated: list[Remark] = []
        """A remark for each line that replaces an earlier one."""
        self._used: set[str] = set()
        for name, value, label in properties:
            self.properties[name] = Setting(trim(value), None, label)
        lines: dict[str, int] = {}
        for entry in self.entries:
            setting = of_entry(entry)
            before = lines.get(entry.key)
            if before is not None:
                remark = f"given on line {before} already; this one counts"
                self.repeated.append(setting.remark(remark))
            lines[entry.key] = entry.line
            self._add(entry.key, setting)
        for key, value, label in options:
            self._add(key, Setting(value, None, label))

    def _add(self, key: str, setting: Setting) -> None:
        if key in KNOWN or key.startswith(KNOWN_PREFIXES):
            self.known[key] = setting
        elif key == "dynamicConfigFile" or key.startswith(MEMBER_PREFIXES):
            self.members[key] = setting
        else:
            self.properties[f"zookeeper.{key}"] = setting

    @property
    def dynamic_file(self) -> str | None:
        """The path of the file that has the lines of the members, if they are not in zoo.cfg."""
        setting = self.members.get("dynamicConfigFile")
        return setting.value or None if setting is not None else None

    def find(self, key: Key) -> Setting | None:
        """Return what was given for a row of the table, by the strongest of its names."""
        found = None
        for name in reversed(key.properties):
            setting = self.properties.get(name)
            if setting is not None:
                self._used.add(name)
                found = setting
        return self.known.get(key.name, found) if key.known else found

    def read(self, key: Key, setting: Setting, kind: Kind) -> object:
        """Return the value of a setting. Raises ConfigError."""
        try:
            return kind.read(setting.value, key.unit)
        except ValueError as error:
            raise setting.wrong(str(error)) from None

    def unused(self) -> list[tuple[str, Setting]]:
        """Return (name, setting) of the properties that no row has asked for."""
        return [pair for pair in self.properties.items() if pair[0] not in self._used]
