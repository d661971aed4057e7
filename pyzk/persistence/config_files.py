"""Keeps the configurations of an ensemble in the files of one member, so that a crash finds one.

Pure. Each file is replaced whole and is durable before the next is touched:

    proposed    zoo.cfg.dynamic.next is replaced
    activated   zoo.cfg.dynamic.<version> is written; zoo.cfg is replaced, which names it from then
                on; .next is removed if no later configuration is in it

A crash in between leaves the configuration before or the one behind in force. A .next that is no
later than what is in force says nothing. A member that was not given a zoo.cfg, or whose zoo.cfg is
never written (pyzk.configInDataDir), has no such file to name the configuration: then the latest of
those that were activated is in force. Its zoo.cfg.bak has the configuration that it was given.

Where this differs from ZooKeeper, on purpose: files and names are durable before the next step.

ZooKeeper: QuorumPeer.setQuorumVerifier and setLastSeenQuorumVerifier, QuorumPeerConfig
"""

from __future__ import annotations

from typing import NamedTuple

from pyzk.config import dynamic_files
from pyzk.config.members import Membership
from pyzk.errors import ConfigError, StorageError
from pyzk.persistence.directory import Directory, join, remove_all, save


class Saved(NamedTuple):
    """The configurations that a member without a zoo.cfg, or beside one that is never written, has
    in its files."""

    committed: Membership | None = None
    last_seen: Membership | None = None

    @property
    def newest(self) -> Membership | None:
        """The last one of which this member knows."""
        return self.last_seen or self.committed


class ConfigFiles(NamedTuple):
    """The files of one member. Nothing else may write to them meanwhile."""

    directory: Directory
    name: str
    """The name of zoo.cfg, with which the names of all of them begin."""
    sid: int
    """The id of the member."""
    has_static: bool = True
    """Whether there is a zoo.cfg that is written, and names the configuration in force."""

    def propose(self, membership: Membership) -> None:
        """Write a configuration that is proposed. Raises StorageError."""
        next_name = dynamic_files.next_name(self.name)
        save(self.directory, next_name, dynamic_files.next_text(membership))

    def activate(
        self, membership: Membership, client_address: tuple[str, int] | None = None
    ) -> None:
        """Write a configuration that is in force from now on. ``client_address`` is where this
        server takes clients, also if the configuration does not say it. Raises StorageError."""
        directory = self.directory
        name = dynamic_files.dynamic_name(self.name, membership.version)
        save(directory, name, dynamic_files.dynamic_text(membership))
        if self.has_static:
            self._name_in_static(membership, name, client_address)
        else:
            remove_all(directory, [each for each in self._dynamic_names() if each != name])
        next_name = dynamic_files.next_name(self.name)
        if next_name in directory.names() and self._is_past(next_name, membership.version):
            remove_all(directory, [next_name])

    def _name_in_static(
        self, membership: Membership, name: str, client_address: tuple[str, int] | None
    ) -> None:
        me = membership.member(self.sid)
        has_client_address = me is not None and me.client_port is not None
        static = self._read(self.name)
        path = join(self.directory, name)
        try:
            text = dynamic_files.naming(static, path, has_client_address, client_address)
        except ConfigError as error:
            raise StorageError(
                f"cannot name the present configuration there: {error}",
                path=join(self.directory, self.name),
                remedy="correct the file",
            ) from None
        if text != static:
            save(self.directory, self.name, text)

    def _is_past(self, next_name: str, version: int) -> bool:
        try:
            proposed = dynamic_files.parse_next(self._read(next_name), next_name)
        except ConfigError:
            return True  # it is broken, and would keep the server from starting again
        return proposed.version <= version

    def back_up(self) -> bool:
        """Copy a zoo.cfg that itself has the lines of the members, before it is written the first
        time; tell whether it has. Raises StorageError.

        Such lines are a new beginning: a configuration that was proposed before them, perhaps to an
        ensemble that is gone, is removed. No start by these lines reads it, but one by the files
        that are written from now on would take it for one that is under way, and a leader would
        complete it.
        """
        static = self._read(self.name)
        if not dynamic_files.has_member_lines(static):
            return False
        save(self.directory, dynamic_files.backup_name(self.name), static)
        next_name = dynamic_files.next_name(self.name)
        remove_all(self.directory, [each for each in self.directory.names() if each == next_name])
        return True

    # --- without zoo.cfg ------------------------------------------------------------

    def begin(self, given: Membership) -> Saved:
        """Return what a member without a zoo.cfg has saved since it was given a configuration. If
        it is given another one now, that counts, as server lines in zoo.cfg would. Raises
        StorageError."""
        backup, text = dynamic_files.backup_name(self.name), dynamic_files.dynamic_text(given)
        names = self.directory.names()
        if backup not in names or self._read(backup) != text:
            next_name = dynamic_files.next_name(self.name)
            old = [*self._dynamic_names(), *(each for each in names if each == next_name)]
            remove_all(self.directory, old)
            save(self.directory, backup, text)
        return self._saved()

    def resume(self, given: Membership) -> tuple[Saved, bool]:
        """Return what a member has saved whose zoo.cfg is never written, and whether zoo.cfg has
        other server lines now than when the member was started first, which do not count. Raises
        StorageError."""
        backup, text = dynamic_files.backup_name(self.name), dynamic_files.dynamic_text(given)
        if backup not in self.directory.names():
            save(self.directory, backup, text)
        saved = self._saved()
        newest = saved.newest
        if newest is None or newest.version <= given.version:
            return saved, False
        known = (self._read(backup), dynamic_files.dynamic_text(newest))
        return saved, text not in known

    @property
    def has_saved(self) -> bool:
        """Whether there are configurations of a member without a zoo.cfg, or beside one that is
        never written. Raises StorageError."""
        return bool(self._dynamic_names())

    def _saved(self) -> Saved:
        names = self._dynamic_names()
        committed = last_seen = None
        if names:
            version, name = max((self._version(name), name) for name in names)
            committed = self._parsed(name)
            committed = Membership(committed.members, version, committed.groups, committed.weights)
        next_name = dynamic_files.next_name(self.name)
        if next_name in self.directory.names():
            last_seen = self._parsed(next_name)
            if committed is not None and last_seen.version <= committed.version:
                last_seen = None
        return Saved(committed, last_seen)

    def _dynamic_names(self) -> list[str]:
        return [
            each
            for each in self.directory.names()
            if dynamic_files.dynamic_version(self.name, each) is not None
        ]

    def _version(self, name: str) -> int:
        version = dynamic_files.dynamic_version(self.name, name)
        assert version is not None, name
        return version

    def _parsed(self, name: str) -> Membership:
        content = self._read(name)
        try:
            if name == dynamic_files.next_name(self.name):
                return dynamic_files.parse_next(content, name)
            return dynamic_files.parse_dynamic(content)
        except ConfigError as error:
            raise StorageError(
                f"is broken: {error}",
                path=join(self.directory, name),
                remedy="restore the file from a backup",
            ) from None

    def _read(self, name: str) -> bytes:
        return self.directory.read(name, 0, self.directory.size(name))
