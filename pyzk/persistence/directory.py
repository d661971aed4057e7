"""A flat directory of files as persistence sees it, and one in memory that can lose power.

Pure. The contract is POSIX's, not what file systems happen to do: bytes survive a crash once their
file was synced, a name (created, renamed, removed) once its directory was synced. Implementations
report failures as `StorageError`; nothing here is retried, because after a failed fsync the kernel
may have dropped the dirty pages and a second fsync would claim success for data that is gone.

`runtime.files.FileDirectory` is the real one. `MemoryDirectory` is the one of tests and of the
simulator: `crash()` takes away whatever was not synced.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from typing import Final, Protocol

from pyzk.errors import StorageError
from pyzk.persistence.filenames import TEMPORARY

SECTOR_BYTES: Final = 512
"""The number of bytes that a disk writes whole or not at all."""


class DirectoryFile(Protocol):
    """An open file. Offsets are the caller's; the file keeps no position."""

    def write_at(self, data: bytes, offset: int) -> None:
        """Write all of ``data`` at ``offset``, extending the file with zeros if needed."""
        ...

    def write_durably(self, data: bytes, offset: int) -> None:
        """Write as ``write_at`` does; return once these bytes, and the size needed to read them,
        are on the disk. After an error any part of them may be."""
        ...

    def sync(self) -> None:
        """Return once the content, and the size needed to read it, is on the disk (fdatasync)."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes, or extend it with a hole of zeros."""
        ...

    def close(self) -> None:
        """Release the file; syncs nothing."""
        ...


class Directory(Protocol):
    """Stands for one ``version-2`` directory."""

    @property
    def path(self) -> str:
        """The path of the directory, for messages."""
        ...

    def names(self) -> list[str]:
        """Return the names of the regular files, sorted."""
        ...

    def size(self, name: str) -> int:
        """Return the length of a file in bytes."""
        ...

    def read(self, name: str, offset: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``offset``; fewer only at the end of the file."""
        ...

    def create(self, name: str) -> DirectoryFile:
        """Open a file for writing, empty whatever it held before."""
        ...

    def open(self, name: str) -> DirectoryFile:
        """Open an existing file for writing."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing a file that has it; atomic, durable after sync()."""
        ...

    def remove(self, name: str) -> None:
        """Remove a name; durable after sync()."""
        ...

    def sync(self) -> None:
        """Return once all names are on the disk as they are now."""
        ...


def join(directory: Directory, name: str) -> str:
    """Return the full name of a file, for messages."""
    return f"{directory.path}/{name}"


def save(directory: Directory, name: str, content: bytes) -> None:
    """Write a whole file, or replace it, in one step that a crash cannot halve; it is durable when
    this returns."""
    temporary = name + TEMPORARY
    with closing(directory.create(temporary)) as file:
        file.write_at(content, 0)
        file.sync()
    directory.rename(temporary, name)
    directory.sync()


def remove_all(directory: Directory, names: list[str]) -> list[str]:
    """Remove files, which is durable when this returns; return their names."""
    for name in names:
        directory.remove(name)
    if names:
        directory.sync()
    return names


class _Inode:
    """One file in memory: its content as written, its content as synced, and the writes in
    between."""

    __slots__ = ("content", "pending", "synced")

    def __init__(self) -> None:
        self.content = bytearray()
        self.synced = bytearray()
        self.pending: list[tuple[int, bytes, bool]] = []
        """The writes since the last sync, in order, and whether they are durable nevertheless:
        (offset, data, ...), or (size, b"", False) for a truncation."""


def _apply(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    if data:
        content[offset : offset + len(data)] = data
    else:
        del content[offset:]


class _MemoryFile:
    __slots__ = ("_directory", "_inode", "_name")

    def __init__(self, directory: MemoryDirectory, name: str, inode: _Inode) -> None:
        self._directory = directory
        self._name = name
        self._inode = inode

    def write_at(self, data: bytes, offset: int) -> None:
        self._directory.before("write", self._name)
        if data:
            _apply(self._inode.content, offset, data)
            self._inode.pending.append((offset, data, False))

    def write_durably(self, data: bytes, offset: int) -> None:
        self.write_at(data, offset)
        self._directory.before("sync", self._name)
        pending = self._inode.pending
        if data:
            del pending[-1]
            # What was written before is no more durable by it, but it stays behind that.
            if pending:
                pending.append((offset, data, True))
            else:
                _apply(self._inode.synced, offset, data)

    def sync(self) -> None:
        self._directory.before("sync", self._name)
        self._inode.synced[:] = self._inode.content
        self._inode.pending.clear()

    def truncate(self, size: int) -> None:
        self._directory.before("truncate", self._name)
        _apply(self._inode.content, size, b"")
        self._inode.pending.append((size, b"", False))

    def close(self) -> None:
        pass


def _keep(content: bytearray, offset: int, data: bytes, rng: random.Random | None) -> int:
    """Let some of an unsynced write reach the disk; return how many bytes."""
    if rng is None or rng.random() < 0.3:
        return 0
    if not data or rng.random() < 0.4:
        _apply(content, offset, data)
        return len(data)
    kept = start = 0
    while start < len(data):
        end = min(start + SECTOR_BYTES - (offset + start) % SECTOR_BYTES, len(data))
        if rng.random() < 0.7:
            _apply(content, offset + start, data[start:end])
            kept += end - start
        start = end
    return kept


def _nothing(operation: str, name: str) -> None:
    """Let the operation happen; tests give another function, which may raise."""


class MemoryDirectory:
    """A directory in memory with the durability of a disk at its worst.

    ``before(operation, name)`` is called ahead of every operation that changes something and may
    raise: that is how tests fill the disk, break it, or pull the plug at an exact point.
    """

    def __init__(self, path: str = "memory") -> None:
        self.path = path
        self.before: Callable[[str, str], None] = _nothing
        self._names: dict[str, _Inode] = {}
        self._durable: dict[str, _Inode] = {}
        self._renamed: dict[str, str] = {}
        """The changes of names since the last sync: new name -> old one. A crash keeps both changes
        of a rename or neither."""

    def names(self) -> list[str]:
        return sorted(self._names)

    def size(self, name: str) -> int:
        return len(self._find(name).content)

    def read(self, name: str, offset: int, count: int) -> bytes:
        return bytes(self._find(name).content[offset : offset + count])

    def create(self, name: str) -> DirectoryFile:
        self.before("create", name)
        inode = self._names.get(name)
        if inode is None:
            inode = self._names[name] = _Inode()
        elif inode.content:
            _apply(inode.content, 0, b"")
            inode.pending.append((0, b"", False))
        return _MemoryFile(self, name, inode)

    def open(self, name: str) -> DirectoryFile:
        return _MemoryFile(self, name, self._find(name))

    def rename(self, old: str, new: str) -> None:
        self.before("rename", new)
        inode = self._find(old)
        del self._names[old]
        self._names[new] = inode
        self._renamed[new] = old

    def remove(self, name: str) -> None:
        self.before("remove", name)
        self._find(name)
        del self._names[name]

    def sync(self) -> None:
        self.before("sync", "")
        self._durable = dict(self._names)
        self._renamed.clear()

    def crash(self, rng: random.Random | None = None) -> int:
        """Lose power: forget what was not synced; return how many written bytes were lost.

        With ``rng`` the disk is not at its worst but at its most erratic: each unsynced write may
        survive whole, not at all, or in some of its sectors, and so may each change of a name.
        """
        self.before = _nothing
        lost = 0
        if rng is not None:
            survivors = self._choose_names(rng)
        else:
            survivors = dict(self._durable)
        inodes = {id(inode): inode for inode in (*self._names.values(), *survivors.values())}
        for inode in inodes.values():
            for offset, data, is_durable in inode.pending:
                if is_durable:
                    _apply(inode.synced, offset, data)
                else:
                    lost += len(data) - _keep(inode.synced, offset, data, rng)
            inode.pending.clear()
            inode.content[:] = inode.synced
        self._names = survivors
        self._durable = dict(survivors)
        self._renamed.clear()
        return lost

    def _choose_names(self, rng: random.Random) -> dict[str, _Inode]:
        """Let each change of a name reach the disk or not; both names of a rename go together."""
        chosen: dict[str, bool] = {}
        survivors: dict[str, _Inode] = {}
        for name in dict.fromkeys([*self._durable, *self._names]):
            first = name
            seen = {name}
            while (old := self._renamed.get(first)) is not None and old not in seen:
                first = old
                seen.add(old)
            if first not in chosen:
                chosen[first] = rng.random() < 0.5
            names = self._names if chosen[first] else self._durable
            if name in names:
                survivors[name] = names[name]
        return survivors

    def _find(self, name: str) -> _Inode:
        try:
            return self._names[name]
        except KeyError:
            raise StorageError(
                "no such file", path=f"{self.path}/{name}", remedy="was it removed by hand?"
            ) from None
