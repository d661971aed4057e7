"""Appends framed records to log files: creation, preallocation, rolling, syncing.

Pure. Owned by the disk thread. The rules that make it safe:

- A file of an earlier process is never appended to, so a torn tail stays harmless; the first append
  makes a new file, named by its first zxid, and refuses to overwrite one that holds a record.
- A new file's header and name are durable (file and directory sync) before its first record, and
  then noted beside the snapshots (`newest_log`).
- After any failure the writer is broken for good: what the disk kept is unknown, and only a new
  process that reads it back may know (fsync reports an error once and then claims success).

Preallocation is Java's: one zero byte far ahead, so the file is sparse and later syncs need no
change of its size. A batch that comes to blocks without storage writes zeros some batches ahead as
well: until they are used up a sync has no blocks to allocate and is a third shorter
(docs/on-disk.md).

ZooKeeper: FileTxnLog, FilePadding.
"""

from __future__ import annotations

import contextlib
from typing import Final

from pyzk.errors import Corrupt, StorageError
from pyzk.persistence import filenames, newest_log
from pyzk.persistence.directory import Directory, DirectoryFile, join
from pyzk.persistence.filenames import TEMPORARY
from pyzk.persistence.txnlog import HEADER, HEADER_BYTES, first_zxid, framed_zxid
from pyzk.zxid import format_zxid

DEFAULT_PREALLOCATE_BYTES: Final = 65536 * 1024
_MARGIN_BYTES: Final = 4096
"""The room that is kept between the last record and the end of the file."""
_FILL_BATCHES: Final = 20
_FILL_MIN_BYTES: Final = 64 << 10
_FILL_MAX_BYTES: Final = 1 << 20
ROOM_BYTES: Final = _FILL_MAX_BYTES
"""The bytes that must be free to begin a log."""
_PROBE: Final = "probe" + TEMPORARY


def check_room(
    directory: Directory, preallocate_bytes: int = 0, *, room_bytes: int = ROOM_BYTES
) -> None:
    """Try with a temporary file what a new log begins with. Raises StorageError if that fails.

    So a server on a full disk says so before clients come, and does not end at the first write.
    """
    try:
        with contextlib.closing(directory.create(_PROBE)) as file:
            if preallocate_bytes > 0:
                file.write_at(b"\0", preallocate_bytes - 1)
            # No zeros: some file systems need no room for those.
            file.write_at(b"\xa5" * room_bytes, 0)
            file.sync()
    except StorageError:
        with contextlib.suppress(StorageError):  # of the first reason; a start removes it, too
            directory.remove(_PROBE)
        raise
    directory.remove(_PROBE)


class LogWriter:
    """Writes a log: `commit`, or `append` and then `sync`; only then is anything durable."""

    def __init__(
        self,
        directory: Directory,
        *,
        preallocate_bytes: int = DEFAULT_PREALLOCATE_BYTES,
        size_limit_bytes: int = 0,
        force_sync: bool = True,
        snap_directory: Directory | None = None,
    ) -> None:
        self.file_bytes = 0
        """The bytes of header and records in the current file; 0 if there is none."""
        self.name: str | None = None
        """The current file."""
        self._directory = directory
        self._preallocate_bytes = preallocate_bytes
        self._size_limit_bytes = size_limit_bytes
        self._force_sync = force_sync
        self._snap_directory = snap_directory
        """The directory in which each new log is noted; None: nowhere."""
        self._file: DirectoryFile | None = None
        self._allocated = 0
        self._filled = 0
        """The offset up to which the file has storage, and not only length."""
        self._dirty = False
        self._broken: StorageError | None = None

    def commit(self, records: list[bytes]) -> None:
        """Append framed records, in zxid order, and make them and what was appended before
        durable."""
        self._write(records, is_durable=self._force_sync and not self._dirty)
        self.sync()

    def append(self, records: list[bytes]) -> None:
        """Write framed records, in zxid order, as one write."""
        self._write(records, is_durable=False)

    def _write(self, records: list[bytes], *, is_durable: bool) -> None:
        self._check()
        if not records:
            return
        try:
            file = self._file or self._create(framed_zxid(records[0]))
            data = b"".join(records)
            end = self.file_bytes + len(data)
            if self._preallocate_bytes > 0 and end + _MARGIN_BYTES > self._allocated:
                # A durable write of the records alone would leave the new size to later ones: each
                # of them would have to change it, which costs a third of its time.
                is_durable = False
                self._preallocate(file, end)
            if end > self._filled:
                data += bytes(self._fill_bytes(len(data), end))
                self._filled = self.file_bytes + len(data)
            if is_durable:
                file.write_durably(data, self.file_bytes)
            else:
                self._dirty = True
                file.write_at(data, self.file_bytes)
            self.file_bytes = end
        except StorageError as error:
            self._broken = error
            raise

    def is_ready_for(self, byte_count: int) -> bool:
        """Return whether so many bytes of records can be committed by one write into blocks that
        the current file has."""
        return (
            self._file is not None
            and not self._dirty
            and self.file_bytes + byte_count <= self._filled
            and self.file_bytes + byte_count + _MARGIN_BYTES <= self._allocated
        )

    def sync(self) -> None:
        """Make every appended record durable; begin another file if this one has outgrown its
        limit."""
        self._check()
        file = self._file
        if file is None:
            return
        if self._dirty:
            try:
                if self._force_sync:
                    file.sync()
            except StorageError as error:
                self._broken = error
                raise
            self._dirty = False
        if 0 < self._size_limit_bytes < self.file_bytes:
            self._leave()

    def roll(self) -> None:
        """End the current file and sync what is pending; the next append begins another file."""
        self.sync()
        self._leave()

    def close(self) -> None:
        """Sync and release the file. A broken writer only releases it."""
        if self._broken is None:
            self.sync()
        self._leave()

    def abandon(self) -> None:
        """Release the file without syncing, as the death of the process would."""
        with contextlib.suppress(StorageError):
            self._leave()
        self._broken = StorageError("the log was abandoned", path=self._directory.path)

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _leave(self) -> None:
        file, self._file, self.name = self._file, None, None
        self.file_bytes = self._allocated = self._filled = 0
        self._dirty = False
        if file is not None:
            file.close()

    def _create(self, zxid: int) -> DirectoryFile:
        name = filenames.log_name(zxid)
        if name in self._directory.names():
            holds = first_zxid(self._directory, name)
            if holds is not None:
                raise Corrupt(
                    f"a log that begins with zxid {format_zxid(holds)} is in the way of a new one",
                    path=join(self._directory, name),
                    remedy="the directory changed while the server ran; restart it to read it anew",
                )
        file = self._file = self._begin(name)
        if self._force_sync:
            # Before the file is extended: a power failure never leaves a log of zeros only.
            file.sync()
            self._directory.sync()
            if self._snap_directory is not None:
                newest_log.write(self._snap_directory, self._directory, name)
        self.name = name
        self.file_bytes = self._allocated = HEADER_BYTES
        return file

    def _begin(self, name: str) -> DirectoryFile:
        """Create the file of a log and return it; it holds the header only."""
        directory = self._directory
        if name in directory.names() and directory.size(name) >= HEADER_BYTES:
            # It may be the log that is noted: without its header for a moment, a start would
            # remove it and then miss it.
            file = directory.open(name)
            file.truncate(HEADER_BYTES)
        else:
            file = directory.create(name)
        file.write_at(HEADER, 0)
        return file

    def _fill_bytes(self, batch_bytes: int, end: int) -> int:
        """Return how many zeros to write behind a batch."""
        wanted = min(max(batch_bytes * _FILL_BATCHES, _FILL_MIN_BYTES), _FILL_MAX_BYTES)
        return max(0, min(wanted, self._allocated - end))

    def _preallocate(self, file: DirectoryFile, end: int) -> None:
        """Extend the file as Java does: by whole steps, so that a first file has 16 bytes more."""
        step, size = self._preallocate_bytes, self._allocated
        assert self.file_bytes <= size, (self.file_bytes, size)
        while size < end + _MARGIN_BYTES:
            size += step
        file.write_at(b"\0", size - 1)
        self._allocated = size
