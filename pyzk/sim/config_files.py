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
from pyzk.sim.settings import CLIENT_PORT, OBSERVER_PORT

STATIC = "zoo.cfg"


class MachineFiles:
    """What the machine of server ``sid`` knows of the ensemble when its program starts."""

    def __init__(self, sid: int, options: Options) -> None:
        self.directory = MemoryDirectory(f"h{sid}/conf")
        self.saved = ConfigFiles(self.directory, STATIC, sid)
        """The files, as the program writes them."""
        self.is_read_only = False
        """Whether the program cannot write to the directory."""
        self.unsaved: dict[int, Membership] = {}
        """Version -> a configuration that could not be saved, of which the log may know."""
        self._sid = sid
        self._options = options
        self._contents: dict[str, bytes] = {}
        """The files as they were read last, which is asked far more often than they change."""
        self._found: tuple[EnsembleConfig | None] | None = None
        self._known: tuple[Membership, Membership | None] | None = None

    def write_by_hand(self, membership: Membership) -> None:
        """Lets the operator write the lines of the servers, instead of all that was there. That
        takes a directory that can be written."""
        self.is_read_only = False
        self.unsaved = {}
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
        if self._options.observer_masters and self._sid not in self._options.masterless:
            lines.append(f"observerMasterPort={OBSERVER_PORT}")
        save(self.directory, STATIC, "\n".join(lines).encode())
        self.directory.before = hooks

    def read(self) -> EnsembleConfig | None:
        """Returns what a start finds; None if the program does not start with these files."""
        self._look()
        if self._found is None:
            self._found = (self._find(),)
        return self._found[0]

    def _find(self) -> EnsembleConfig | None:
        settings = Settings(self._contents.get(STATIC) or b"")
        files = start_files(settings, "/sim", f"{self.directory.path}/{STATIC}", self._read)
        try:
            found = read_members(settings, files, no_names)
        except ConfigError:
            return None
        return found if isinstance(found, EnsembleConfig) else None

    def known(self) -> tuple[Membership, Membership | None]:
        """Returns the configuration in force and a later one that was proposed, whether or not a
        start finds itself in them."""
        self._look()
        if self._known is None:
            self._known = self._configurations()
        return self._known

    def _configurations(self) -> tuple[Membership, Membership | None]:
        settings = Settings(self._contents.get(STATIC) or b"")
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
        content = self._contents.get(dynamic_files.next_name(STATIC))
        if content is None:
            return committed, None
        last_seen = dynamic_files.parse_next(content, STATIC)
        return committed, last_seen if last_seen.version > committed.version else None

    @property
    def version(self) -> int:
        """The latest version that a start would find, in the files or, if these could not be
        written, in the log."""
        committed, last_seen = self.known()
        saved = committed.version if last_seen is None else last_seen.version
        return max((saved, *self.unsaved))

    @property
    def names_a_file(self) -> bool:
        """Whether the lines of the servers are in a file of their own, with a version. Lines in
        zoo.cfg itself are a new beginning to a start, whatever its log knows."""
        return self.known()[0].version != 0

    def log_read(self, last_zxid: int) -> None:
        """Takes notice that a start has found the log up to ``last_zxid``."""
        self.unsaved = {each: of for each, of in self.unsaved.items() if each <= last_zxid}

    def tried(self, membership: Membership, *, is_saved: bool) -> None:
        """Takes notice that the program has tried to save a configuration."""
        version = membership.version
        if is_saved:
            self.unsaved = {each: of for each, of in self.unsaved.items() if each > version}
        else:
            self.unsaved[version] = membership

    def _read(self, path: str) -> bytes | None:
        directory, _, name = path.rpartition("/")
        if name == "myid":
            return str(self._sid).encode()
        assert directory == self.directory.path, path
        return self._contents.get(name)

    def _look(self) -> None:
        """Reads the files anew, and forgets what they said if they have changed."""
        directory = self.directory
        contents = {
            name: directory.read(name, 0, directory.size(name)) for name in directory.names()
        }
        if contents != self._contents:
            self._contents = contents
            self._found = self._known = None


def _nothing(operation: str, name: str) -> None:
    """Lets the operation happen."""
