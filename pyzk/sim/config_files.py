"""The configuration files of one machine, in a directory that loses power.

Pure. `SimDisk` carries SaveConfig out here, behind everything that was ordered before.
"""

from __future__ import annotations

from pyzk.config.members import Membership, config_text, parse_membership
from pyzk.persistence.directory import MemoryDirectory, save

STATIC = "zoo.cfg"
NEXT = "zoo.cfg.dynamic.next"


class ConfigFiles:
    """What the machine of server ``sid`` knows of the ensemble when its program starts."""

    def __init__(self, sid: int) -> None:
        self.directory = MemoryDirectory(f"h{sid}/conf")

    def write_by_hand(self, membership: Membership) -> None:
        """Lets the operator write the lines of the servers, instead of all that was there."""
        hooks, self.directory.before = self.directory.before, _nothing
        for name in self.directory.names():
            self.directory.remove(name)
        save(self.directory, STATIC, config_text(membership).encode())
        self.directory.before = hooks

    def save(self, membership: Membership, *, is_active: bool) -> None:
        """Writes a configuration that is proposed, or in force. Raises StorageError, PowerCut."""
        save(self.directory, STATIC if is_active else NEXT, config_text(membership).encode())

    def read(self) -> tuple[Membership, Membership | None]:
        """Returns the configuration in force, and a later one that was proposed."""
        if not self.directory.names():
            return Membership(()), None
        committed = self._parsed(STATIC)
        last_seen = self._parsed(NEXT) if NEXT in self.directory.names() else None
        if last_seen is not None and last_seen.version <= committed.version:
            last_seen = None
        return committed, last_seen

    @property
    def version(self) -> int:
        """The latest version that a start would find."""
        committed, last_seen = self.read()
        return committed.version if last_seen is None else last_seen.version

    def _parsed(self, name: str) -> Membership:
        directory = self.directory
        return parse_membership(directory.read(name, 0, directory.size(name)))


def _nothing(operation: str, name: str) -> None:
    """Lets the operation happen."""
