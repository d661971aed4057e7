"""The configuration files of one machine, in a directory that loses power.

Pure. They are read by the code of production, and written by it but for those that the operator
writes. Of what zoo.cfg has, only the members and their addresses are taken.
"""

from __future__ import annotations

import attrs

from pyzk.config import dynamic_files
from pyzk.config.ensemble import EnsembleConfig, read_members
from pyzk.config.keys import MEMBER_PREFIXES
from pyzk.config.members import MemberLines, Membership, version_of_file_name
from pyzk.config.settings import Settings, no_names
from pyzk.config.start_files import start_files
from pyzk.errors import ConfigError
from pyzk.persistence.config_files import ConfigFiles
from pyzk.persistence.directory import MemoryDirectory, save
from pyzk.sim.options import Options
from pyzk.sim.settings import CLIENT_PORT

STATIC = "zoo.cfg"


class MachineFiles:
    """What the machine of server ``sid`` knows of the ensemble when its program starts."""

    def __init__(self, sid: int, options: Options) -> None:
        self.directory = MemoryDirectory(f"h{sid}/conf")
        self.saved = ConfigFiles(self.directory, STATIC, sid)
        """The files, as the program writes them."""
        self._sid = sid
        self._options = options

    def write_by_hand(self, membership: Membership) -> None:
        """Lets the operator write the lines of the servers, instead of all that was there."""
        hooks, self.directory.before = self.directory.before, _nothing
        for name in self.directory.names():
            self.directory.remove(name)
        me = membership.member(self._sid)
        lines = [
            "dataDir=/sim",
            "initLimit=10",
            "syncLimit=5",
            f"reconfigEnabled={'true' if self._options.reconfig else 'false'}",
            f"standaloneEnabled={'true' if self._options.standalone else 'false'}",
            *membership.lines(),
        ]
        if me is None or me.client_port is None:
            lines.append(f"clientPort={CLIENT_PORT}")
        save(self.directory, STATIC, "\n".join(lines).encode())
        self.directory.before = hooks

    def read(self) -> EnsembleConfig | None:
        """Returns what a start finds; None if the program does not start with these files."""
        settings = Settings(self._content(STATIC) or b"")
        files = start_files(settings, "/sim", f"{self.directory.path}/{STATIC}", self._read)
        try:
            found = read_members(settings, files, no_names)
        except ConfigError:
            return None
        return found if isinstance(found, EnsembleConfig) else None

    def known(self) -> tuple[Membership, Membership | None]:
        """Returns the configuration in force and a later one that was proposed, whether or not a
        start finds itself in them."""
        settings = Settings(self._content(STATIC) or b"")
        path = settings.dynamic_file
        if path is None:
            collector = MemberLines()
            for entry in settings.entries:
                if entry.key.startswith(MEMBER_PREFIXES):
                    collector.add(entry)
            return collector.membership(), None
        committed = attrs.evolve(
            dynamic_files.parse_dynamic(self._read(path) or b""), version=version_of_file_name(path)
        )
        content = self._content(dynamic_files.next_name(STATIC))
        if content is None:
            return committed, None
        last_seen = dynamic_files.parse_next(content, STATIC)
        return committed, last_seen if last_seen.version > committed.version else None

    @property
    def version(self) -> int:
        """The latest version that a start would find."""
        committed, last_seen = self.known()
        return committed.version if last_seen is None else last_seen.version

    def _read(self, path: str) -> bytes | None:
        directory, _, name = path.rpartition("/")
        if name == "myid":
            return str(self._sid).encode()
        assert directory == self.directory.path, path
        return self._content(name)

    def _content(self, name: str) -> bytes | None:
        if name not in self.directory.names():
            return None
        return self.directory.read(name, 0, self.directory.size(name))


def _nothing(operation: str, name: str) -> None:
    """Lets the operation happen."""
