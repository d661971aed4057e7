"""Real directories: POSIX files with their durability, the lock of a data directory.

Shell. Every failure of the operating system becomes a `StorageError` that says what to do. Nothing
is retried: after a failed fsync Linux drops the dirty pages and the next fsync succeeds for data
that never reached the disk, so a second try would be a lie.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import threading
from collections.abc import Iterator
from typing import Final

import attrs

from pyzk.errors import DirectoryLockedError, StorageError
from pyzk.persistence.directory import Directory, DirectoryFile
from pyzk.persistence.filenames import INITIALIZE_NAME, VERSION_DIRECTORY

LOCK_NAME: Final = ".pyzk.lock"
"""The name of the lock file in ``version-2`` of both directories. Java looks at names that begin
with log and snapshot only."""

_REMEDIES: Final = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: raise it or free some space",
    errno.EROFS: "the file system is read-only: it was mounted so, or disk errors made it so (see"
    " the kernel log)",
    errno.EIO: "the disk failed: look in the kernel log; its content must not be trusted",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
    errno.ENFILE: "too many open files in the system",
    errno.EBUSY: "it is a mount of its own, as containers have them: mount its directory instead",
    errno.ENOENT: "a part of the path is missing; was it removed or unmounted?",
}


def storage_error(
    error: OSError, action: str, path: str, offset: int | None = None
) -> StorageError:
    """Return the error to raise for a failed call of the operating system."""
    number = error.errno or 0
    if number in (errno.EACCES, errno.EPERM):
        remedy = _ownership(path, number)
    else:
        remedy = _REMEDIES.get(number, "")
    reason = error.strerror or str(error)
    return StorageError(f"cannot {action}: {reason}", path=path, offset=offset, remedy=remedy)


def full_disk_error(error: StorageError, root: str, need: str) -> StorageError | None:
    """Return the error for a disk without room below `root`; None for other errors.

    It says what is needed and what is free, and not which file was tried.
    """
    cause = error.__cause__
    if not isinstance(cause, OSError) or cause.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    what, _, remedy = _REMEDIES[cause.errno].partition(": ")
    free = ""
    if cause.errno == errno.ENOSPC:
        with contextlib.suppress(OSError):
            disk = os.statvfs(_existing(root))
            free = f", {disk.f_bavail * disk.f_frsize >> 10} KiB are free"
    return StorageError(f"{what}: {need}{free}", path=root, remedy=remedy)


def _existing(path: str) -> str:
    """Return the path, or the nearest directory above it that exists."""
    while not os.path.exists(path) and os.path.dirname(path) not in (path, ""):
        path = os.path.dirname(path)
    return path


def _ownership(path: str, number: int) -> str:
    """Return who owns what could not be used, and who tried, or what else forbids it."""
    where = _existing(path)
    try:
        owner = os.stat(where)
    except OSError:
        return "check owner and permissions"
    if number == errno.EPERM and owner.st_uid == os.geteuid():
        return (
            f"{where} belongs to the server's user: an attribute forbids it, perhaps (Linux: lsattr"
            " shows immutable files, chattr -i changes them)"
        )
    return (
        f"{where} belongs to uid {owner.st_uid} (mode {owner.st_mode & 0o7777:o}), the server runs"
        f" as uid {os.geteuid()}: correct owner or permissions, or run it as the owner"
    )


@contextlib.contextmanager
def _told(action: str, path: str, offset: int | None = None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(error, action, path, offset) from error


if sys.platform == "darwin":

    def _sync_data(fd: int) -> None:
        # Plain fsync leaves the data in the drive's cache there.
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)

else:

    def _sync_data(fd: int) -> None:
        os.fdatasync(fd)


_DSYNC: Final[int] = getattr(os, "RWF_DSYNC", 0)
"""The flag of a write that is on the disk when it returns, as after fdatasync; Linux has it."""
_NOT_TAKEN: Final = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"""What a kernel or a file system that does not have the flag answers, before it writes."""


class _File:
    __slots__ = ("_dsync", "_fd", "_has_taken_dsync", "_path")

    def __init__(self, path: str, fd: int) -> None:
        self._path = path
        self._fd = fd
        self._dsync = _DSYNC
        self._has_taken_dsync = False

    def write_at(self, data: bytes, offset: int) -> None:
        try:
            written = os.pwrite(self._fd, data, offset)
            while written < len(data):
                # A full disk takes a part first and tells the reason at the next call.
                written += os.pwrite(self._fd, data[written:], offset + written)
        except OSError as error:
            raise storage_error(error, "write", self._path, offset) from error

    def write_durably(self, data: bytes, offset: int) -> None:
        if self._dsync:
            try:
                written = os.pwritev(self._fd, [data], offset, self._dsync)
                self._has_taken_dsync = True
                while written < len(data):
                    rest = [memoryview(data)[written:]]
                    written += os.pwritev(self._fd, rest, offset + written, self._dsync)
                return
            except OSError as error:
                # A file that has taken the flag once takes it always: that is a failure of the
                # disk, which is never tried again.
                if self._has_taken_dsync or error.errno not in _NOT_TAKEN:
                    raise storage_error(error, "write", self._path, offset) from error
                self._dsync = 0
        self.write_at(data, offset)
        self.sync()

    def sync(self) -> None:
        try:
            _sync_data(self._fd)
        except OSError as error:
            raise storage_error(error, "sync", self._path) from error

    def truncate(self, size: int) -> None:
        with _told("truncate", self._path, size):
            os.ftruncate(self._fd, size)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with _told("close", self._path):
                os.close(fd)


class FileDirectory:
    """One directory of the file system."""

    def __init__(self, path: str) -> None:
        self.path = path

    def _join(self, name: str) -> str:
        return f"{self.path}/{name}"

    def names(self) -> list[str]:
        with _told("list", self.path), os.scandir(self.path) as entries:
            return sorted(entry.name for entry in entries if entry.is_file())

    def size(self, name: str) -> int:
        path = self._join(name)
        with _told("examine", path):
            return os.stat(path).st_size

    def read(self, name: str, offset: int, count: int) -> bytes:
        path = self._join(name)
        with _told("read", path, offset):
            fd = os.open(path, os.O_RDONLY)
            try:
                data = os.pread(fd, count, offset)
                while 0 < len(data) < count:
                    more = os.pread(fd, count - len(data), offset + len(data))
                    if not more:
                        break
                    data += more
                return data
            finally:
                os.close(fd)

    def create(self, name: str) -> DirectoryFile:
        path = self._join(name)
        with _told("create", path):
            return _File(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666))

    def open(self, name: str) -> DirectoryFile:
        path = self._join(name)
        with _told("open", path):
            return _File(path, os.open(path, os.O_RDWR))

    def rename(self, old: str, new: str) -> None:
        path = self._join(new)
        with _told("rename to", path):
            os.replace(self._join(old), path)

    def remove(self, name: str) -> None:
        path = self._join(name)
        with _told("remove", path):
            os.unlink(path)

    def sync(self) -> None:
        with _told("sync", self.path):
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


class ConfigDirectory(FileDirectory):
    """The directory of zoo.cfg. What is written there may be read by whom zoo.cfg may: there may be
    passwords in it, and in its copy."""

    def __init__(self, path: str, config_name: str) -> None:
        super().__init__(path)
        self._config_name = config_name

    def create(self, name: str) -> DirectoryFile:
        path = self._join(name)
        with _told("create", path):
            like = os.stat(self._join(self._config_name))
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            file = _File(path, fd)
            if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
                with contextlib.suppress(PermissionError):  # it stays with whom the server runs as
                    os.fchown(fd, like.st_uid, like.st_gid)
            os.fchmod(fd, like.st_mode & 0o777)
            return file


@attrs.define
class DataDirectories:
    """The opened and locked directories of one server. `close` unlocks them."""

    snapshots: Directory
    logs: Directory
    """The directory of the logs; the same object as ``snapshots`` without a separate dataLogDir."""
    initialize: bool
    """Whether an ``initialize`` file was there; `initialized` removes it."""
    is_foreign: bool
    """Whether no pyzk has locked the snapshot directory before."""
    _locks: list[int]
    _markers: list[str]

    def initialized(self) -> None:
        """Remove the ``initialize`` files: they count once."""
        for marker in self._markers:
            with _told("remove", marker):
                os.unlink(marker)
        self._markers.clear()

    def close(self) -> None:
        """Unlock the directories."""
        for fd in self._locks:
            # Not by closing alone: a process forked from this one may have it open, too.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)
        self._locks.clear()


def open_data_directories(
    data_dir: str, data_log_dir: str | None = None, *, autocreate: bool = True
) -> DataDirectories:
    """Make the directories if needed, check that they can be used, and lock them.

    ``autocreate`` is zookeeper.datadir.autocreate. Raises `StorageError`; `DirectoryLockedError` if
    another server has one of them.
    """
    log_root = data_log_dir or data_dir
    locks: list[int] = []
    lock_name = os.path.join(data_dir, VERSION_DIRECTORY, LOCK_NAME)
    is_foreign = not os.path.exists(lock_name)
    try:
        snapshots = _open_version_directory(data_dir, autocreate, locks, _DATA_DIR)
        logs = snapshots
        if os.path.realpath(log_root) != os.path.realpath(data_dir):
            logs = _open_version_directory(log_root, autocreate, locks, _DATA_LOG_DIR)
    except BaseException:
        for fd in locks:
            os.close(fd)
        raise
    markers = [
        marker
        for root in dict.fromkeys((data_dir, log_root))
        if os.path.exists(marker := os.path.join(root, INITIALIZE_NAME))
    ]
    return DataDirectories(snapshots, logs, bool(markers), is_foreign, locks, markers)


_DATA_DIR: Final = "--data-dir, or dataDir in zoo.cfg"
_DATA_LOG_DIR: Final = "--data-log-dir, or dataLogDir in zoo.cfg"


def _open_version_directory(
    root: str, autocreate: bool, locks: list[int], setting: str
) -> FileDirectory:
    path = os.path.join(root, VERSION_DIRECTORY)
    if not os.path.isdir(path):
        if os.path.lexists(path):
            raise StorageError("not a directory", path=path, remedy="move it out of the way")
        if not autocreate:
            raise StorageError(
                "the directory is missing and zookeeper.datadir.autocreate is false",
                path=path,
                remedy="mount or make it, or allow the server to",
            )
        _make_directory(path)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        is_read_only = os.statvfs(path).f_flag & os.ST_RDONLY
        remedy = _REMEDIES[errno.EROFS] if is_read_only else _ownership(path, errno.EACCES)
        raise StorageError("not readable and writable", path=path, remedy=remedy)
    locks.append(_lock(path, setting))
    return FileDirectory(path)


def _make_directory(path: str) -> None:
    """Make a directory and its parents; their names are durable when this returns."""
    missing = []
    while not os.path.isdir(path):
        if os.path.exists(path):
            raise StorageError(
                "a file, not a directory", path=path, remedy="name a directory for the data"
            )
        missing.append(path)
        path = os.path.dirname(path) or "."
    for directory in reversed(missing):
        with _told("make the directory", directory):
            os.mkdir(directory)
        FileDirectory(os.path.dirname(directory) or ".").sync()


def _lock(path: str, setting: str) -> int:
    """Lock a directory; return the descriptor that holds the lock as long as it is open."""
    name = os.path.join(path, LOCK_NAME)
    with _told("lock", name):
        fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise DirectoryLockedError(
            f"the data directory is in use by process {holder or '(unknown)'}",
            path=path,
            remedy=f"stop that server, or give this one another directory: {setting}",
        ) from None
    except OSError as error:
        os.close(fd)
        raise storage_error(error, "lock", name) from error
    return fd


class FilesLock:
    """Held while files of a data directory appear or go: by a thread of the server that has the
    directory, or by `pyzk purge` beside it. The process waits for its turn.

    It is the directory itself that is locked, so there is no further file, and who may read the
    directory may take the lock. Some file systems over a network know no such lock.
    """

    def __init__(self, path: str, *, is_required: bool = False) -> None:
        """``path`` is the directory of the snapshots. The server of a directory goes on where the
        file system has no lock; whoever comes beside it must have the lock (``is_required``)."""
        self._path = path
        self._is_required = is_required
        self._among_threads = threading.Lock()
        self._fd = -1

    def __enter__(self) -> None:
        """Raises StorageError if a lock that is required cannot be had."""
        self._among_threads.acquire()
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError as error:
            if self._is_required:
                self.__exit__()
                raise storage_error(error, "lock the files of", self._path) from error

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._among_threads.release()
