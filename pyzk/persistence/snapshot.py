"""Snapshot files: written node by node from a frozen database, read into a fresh one.

Pure. Uncompressed layout, all big-endian:

    header "ZKSN" 2 -1 | sessions | ACL lists | nodes, parents first, root as "" | "/"
    seal | digest section, seal | last zxid section, seal

A seal is the Adler-32 of every byte before it (earlier seals too) and the string "/". Java decides
by its own settings which sections to expect and refuses files of other settings; here the number
of bytes behind the first seal decides.

A snapshot appears under its name only when it is complete and durable: it is written as ``*.tmp``,
synced, renamed, and the directory synced. Java writes it in place and may leave a part of one.
The zxid in the name is what counts: everything up to it is in the file. Java's snapshots may hold
some later effects too (the digest section tells up to where); ours are exact.

ZooKeeper: FileSnap, SnapStream, SerializeUtils, DataTree.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple

from pyzk.constants import MAX_TXN_BYTES
from pyzk.data.database import Database, FrozenDatabase
from pyzk.data.paths import ROOT
from pyzk.data.serialize import encode_nodes, encode_tables
from pyzk.data.snapshot_view import Frozen
from pyzk.data.tree import DataTree
from pyzk.data.tree_load import TreeLoad
from pyzk.data.txn import DIGEST_VERSION
from pyzk.errors import Corrupt, JuteError, StorageError
from pyzk.jute.archive import decode_text
from pyzk.jute.packing import pack_long, unpack_int, unpack_long, unpack_long_int
from pyzk.jute.records import ACL
from pyzk.persistence import compression
from pyzk.persistence.directory import Directory, DirectoryFile, join
from pyzk.persistence.filenames import TEMPORARY, snapshot_name

HEADER: Final = struct.pack(">iiq", 0x5A4B534E, 2, -1)
NODES_PER_READ: Final = 64
"""The bytes that are encoded and written at once: this takes well under a tenth of a millisecond,
during which no other thread of the interpreter runs."""
READ_WINDOW_BYTES: Final = 1 << 20
WRITE_PIECE_BYTES: Final = 1 << 20
SYNC_EVERY_BYTES: Final = 4 << 20
"""The bytes after which a long snapshot is synced as it grows, so that its end does not make the
log's syncs wait."""

_END: Final = b"\x00\x00\x00\x01/"
_SEAL_BYTES: Final = 13
_DIGEST_BYTES: Final = 20
_ZXID_BYTES: Final = 8
_STAT_BYTES: Final = 60
_SLASH: Final = 0x2F

_pack_digest: Final = struct.Struct(">qiQ").pack
_unpack_digest: Final = struct.Struct(">qiQ").unpack_from
_unpack_node: Final = struct.Struct(">qqqqqiiiqq").unpack_from


class SnapshotEncoder:
    """Turns a frozen database into the uncompressed bytes of a file, with its running checksum."""

    def __init__(self) -> None:
        self._adler = 1

    def _add(self, data: bytes) -> bytes:
        self._adler = zlib.adler32(data, self._adler)
        return data

    def _seal(self) -> bytes:
        return self._add(pack_long(self._adler) + _END)

    def begin(
        self, sessions: Iterable[tuple[int, int]], acls: Iterable[tuple[int, tuple[ACL, ...]]]
    ) -> bytes:
        """Return everything before the nodes."""
        return self._add(HEADER + encode_tables(sessions, acls))

    def nodes(self, nodes: Iterable[Frozen]) -> bytes:
        """Return some nodes; parents must come before their children."""
        return self._add(encode_nodes(nodes))

    def finish(self, zxid: int, digest: int | None, *, last_zxid_section: bool = True) -> bytes:
        """Return the end of the tree, the seals and the sections behind."""
        out = self._add(_END) + self._seal()
        if digest is not None:
            out += self._add(_pack_digest(zxid, DIGEST_VERSION, digest if zxid else 0))
            out += self._seal()
        if last_zxid_section:
            out += self._add(pack_long(zxid)) + self._seal()
        return out


class SnapshotWriter:
    """Writes one snapshot: `add` until there is nothing more, then `commit`; or `abort`."""

    def __init__(
        self,
        directory: Directory,
        frozen: FrozenDatabase,
        *,
        suffix: str = "",
        last_zxid_section: bool = True,
        prefix: str = "",
    ) -> None:
        self.name = prefix + snapshot_name(frozen.zxid, suffix)
        self._prefix = prefix
        self._suffix = suffix
        self.bytes_written = 0
        self._directory = directory
        self._zxid = frozen.zxid
        self._digest = frozen.digest
        self._last_zxid_section = last_zxid_section
        self._encoder = SnapshotEncoder()
        self._compressor = compression.compressor(suffix)
        self._unsynced = 0
        self._temporary = self.name + TEMPORARY
        self._file: DirectoryFile | None = directory.create(self._temporary)
        self._head: bytes | None = self._encoder.begin(frozen.sessions, frozen.acls)

    def add(self, nodes: list[Frozen]) -> None:
        """Write some nodes, in pieces that keep memory bounded when their data is large."""
        start = size = 0
        for index, node in enumerate(nodes):
            size += len(node[1] or b"")
            if size >= WRITE_PIECE_BYTES:
                self._write(self._encoder.nodes(nodes[start : index + 1]))
                start, size = index + 1, 0
        self._write(self._encoder.nodes(nodes[start:]))

    def sync(self) -> None:
        """Have what was written so far on the disk, so that `commit` takes no time."""
        assert self._file is not None, "the snapshot is closed"
        self._file.sync()
        self._unsynced = 0

    def commit_at(self, zxid: int) -> str:
        """Do what `commit` does, for a state that is given another zxid."""
        self._zxid = zxid
        self.name = self._prefix + snapshot_name(zxid, self._suffix)
        return self.commit()

    def commit(self) -> str:
        """Make the snapshot complete, durable and visible; return its name."""
        end = self._encoder.finish(
            self._zxid, self._digest, last_zxid_section=self._last_zxid_section
        )
        self._write(end)
        self._put(self._compressor.finish())
        file = self._file
        assert file is not None, "the snapshot is closed"
        file.sync()
        file.close()
        self._file = None
        self._directory.rename(self._temporary, self.name)
        self._directory.sync()
        return self.name

    def abort(self) -> None:
        """Give up: remove what was written."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._temporary in self._directory.names():
            self._directory.remove(self._temporary)

    def _write(self, data: bytes) -> None:
        if self._head is not None:
            data, self._head = self._head + data, None
        self._put(self._compressor.feed(data))

    def _put(self, data: bytes) -> None:
        assert self._file is not None, "the snapshot is closed"
        if not data:
            return
        self._file.write_at(data, self.bytes_written)
        self.bytes_written += len(data)
        self._unsynced += len(data)
        if self._unsynced >= SYNC_EVERY_BYTES:
            self._file.sync()
            self._unsynced = 0


def write_snapshot(
    directory: Directory,
    frozen: FrozenDatabase,
    *,
    suffix: str = "",
    last_zxid_section: bool = True,
) -> str:
    """Write a whole snapshot at once; return its name. Closes the view."""
    try:
        writer = SnapshotWriter(
            directory, frozen, suffix=suffix, last_zxid_section=last_zxid_section
        )
        return write_nodes(writer, frozen)
    finally:
        frozen.close()


def write_nodes(writer: SnapshotWriter, frozen: FrozenDatabase) -> str:
    """Write all that the view has, and commit; return the name."""
    try:
        add_nodes(writer, frozen)
        return writer.commit()
    except StorageError:
        writer.abort()
        raise


def add_nodes(writer: SnapshotWriter, frozen: FrozenDatabase) -> None:
    """Write all that the view has. Raises StorageError if it was closed before."""
    count = 0
    while nodes := frozen.nodes.read(NODES_PER_READ):
        count += len(nodes)
        writer.add(nodes)
    if count < frozen.nodes.total:  # and the snapshot would look whole
        raise StorageError("the view was closed before it was written", path=writer.name)


class LoadedSnapshot(NamedTuple):
    """What a snapshot file holds."""

    database: Database
    digest_zxid: int
    """The zxid up to which the content reaches; 0 when the file does not say."""
    digest: int
    """The tree digest at ``digest_zxid``, modulo 2^64."""
    last_zxid: int | None
    """The last zxid section, if there is one. It is used for streams without a name only."""
    longest: int
    """The length of the longest string or data in the file."""


def looks_complete(directory: Directory, name: str, suffix: str | None = None) -> bool:
    """Tell by a few bytes whether a snapshot may be whole, by the same test as Java. ``suffix``
    says how it is compressed, if the name does not."""
    end = name if suffix is None else suffix
    if end.endswith(".gz"):
        return directory.read(name, 0, 2) == compression.GZIP_MAGIC
    if end.endswith(".snappy"):
        return directory.read(name, 0, 8) == compression.SNAPPY_MAGIC
    size = directory.size(name)
    return size >= 10 and directory.read(name, size - len(_END), len(_END)) == _END


def read_snapshot(
    directory: Directory, name: str, zxid: int, tree: DataTree, suffix: str | None = None
) -> LoadedSnapshot:
    """Load a snapshot into an empty tree; ``suffix`` says how it is compressed, if the name does
    not. Raises `Corrupt` for anything but a whole one."""
    if not looks_complete(directory, name, suffix):
        raise Corrupt("the snapshot is not complete", path=join(directory, name))
    reader = _SnapshotReader(directory, name, name if suffix is None else suffix)
    try:
        return reader.load(zxid, tree)
    except (ValueError, JuteError) as error:
        raise reader.corrupt(str(error)) from None


class _SnapshotReader:
    """A window over the uncompressed bytes; everything behind ``position`` has been consumed."""

    def __init__(self, directory: Directory, name: str, kind: str) -> None:
        """``kind`` ends with what says how the file is compressed."""
        self._directory = directory
        self._name = name
        self._decompressor = compression.decompressor(kind)
        self._file_offset = 0
        self._size = directory.size(name)
        self._buffer = b""
        self._position = 0
        self._base = 0
        """The offset of the buffer's first byte in the uncompressed stream."""
        self._adler = 1
        """The Adler-32 of everything before the buffer."""
        self._longest = 0

    def corrupt(self, message: str) -> Corrupt:
        return Corrupt(
            message,
            path=join(self._directory, self._name),
            offset=self._base + self._position,
            remedy="restore it from a backup, or remove it to start from an older snapshot",
        )

    def load(self, zxid: int, tree: DataTree) -> LoadedSnapshot:
        self._need(len(HEADER))
        if self._take(len(HEADER))[:4] != HEADER[:4]:
            self._position = 0
            raise self.corrupt("not a snapshot: wrong magic number")
        sessions = self._sessions()
        load = TreeLoad(tree)
        self._acls(tree)
        self._nodes(load)
        self._check_seal()
        database = Database(tree, sessions)
        digest_zxid, digest, last_zxid = self._sections()
        load.finish()
        tree.last_zxid = zxid
        return LoadedSnapshot(database, digest_zxid, digest, last_zxid, self._longest)

    # --- the window -------------------------------------------------------------------

    def _need(self, count: int) -> None:
        """Read on until ``count`` unread bytes are in the buffer."""
        if len(self._buffer) - self._position < count and self._read(count) < count:
            raise ValueError("the snapshot ends early")

    def _read(self, count: int) -> int:
        """Read on until ``count`` unread bytes are in the buffer, or the stream ends; return how
        many there are."""
        have = len(self._buffer) - self._position
        self._adler = self._checksum()
        self._base += self._position
        pieces = [self._buffer[self._position :]]
        self._position = 0
        while have < count and self._file_offset < self._size:
            data = self._directory.read(self._name, self._file_offset, READ_WINDOW_BYTES)
            if not data:
                break
            self._file_offset += len(data)
            for piece in self._decompressor.feed(data):
                pieces.append(piece)
                have += len(piece)
        self._buffer = b"".join(pieces)
        if have < count:
            self._decompressor.finish()
        return have

    def _checksum(self) -> int:
        """Return the Adler-32 of everything consumed."""
        return zlib.adler32(memoryview(self._buffer)[: self._position], self._adler)

    def _take(self, count: int) -> bytes:
        self._need(count)
        start = self._position
        self._position = start + count
        return self._buffer[start : self._position]

    def _count(self, what: str) -> int:
        count: int = unpack_int(self._take(4), 0)[0]
        if count < 0:
            raise ValueError(f"{count} {what}")
        return count

    # --- the parts --------------------------------------------------------------------

    def _sessions(self) -> dict[int, int]:
        sessions = {}
        for _ in range(self._count("sessions")):
            session, timeout = unpack_long_int(self._take(12), 0)
            sessions[session] = timeout
        return sessions

    def _acls(self, tree: DataTree) -> None:
        for _ in range(self._count("ACL lists")):
            acl_id: int = unpack_long(self._take(8), 0)[0]
            entries = []
            for _ in range(self._count("ACL entries")):
                perms = self._take(4)
                raw = perms + self._string_bytes() + self._string_bytes()
                entries.append(ACL.decode(raw, 0, len(raw))[0])
            tree.acls.load(acl_id, tuple(entries))

    def _string_bytes(self) -> bytes:
        raw = self._take(4)
        length: int = unpack_int(raw, 0)[0]
        if not -1 <= length <= MAX_TXN_BYTES:
            raise ValueError(f"a length of {length} bytes")
        self._longest = max(self._longest, length)
        return raw + self._take(length) if length > 0 else raw

    def _nodes(self, load: TreeLoad) -> None:
        buffer, position = self._buffer, self._position
        end = len(buffer)
        longest = self._longest
        wanted = 4
        while True:
            if end - position < wanted:
                self._position = position
                self._need(wanted)
                buffer, position = self._buffer, self._position
                end = len(buffer)
            (length,) = unpack_int(buffer, position)
            start = position + 4
            stop = start + length
            if not 0 <= length <= MAX_TXN_BYTES:
                self._position = position
                raise ValueError(f"a path of {length} bytes")
            wanted = 8 + length
            if end - position < wanted:
                continue
            if length == 1 and buffer[start] == _SLASH:
                # The end of the tree; the root itself is written as "".
                self._position = stop
                break
            (data_length,) = unpack_int(buffer, stop)
            if not -1 <= data_length <= MAX_TXN_BYTES:
                self._position = position
                raise ValueError(f"data of {data_length} bytes")
            present = max(data_length, 0)
            data_stop = stop + 4 + present
            wanted = data_stop + 8 + _STAT_BYTES - position
            if end - position < wanted:
                continue
            path = decode_text(buffer[start:stop]) or ROOT
            data = None if data_length < 0 else buffer[stop + 4 : data_stop]
            (acl_id, czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, pzxid) = (
                _unpack_node(buffer, data_stop)
            )
            self._position = position
            load.add(
                path,
                data,
                acl_id,
                czxid,
                mzxid,
                ctime,
                mtime,
                version,
                cversion,
                aversion,
                owner,
                pzxid,
            )
            position += wanted
            wanted = 4
            if length > longest or present > longest:
                longest = max(length, present)
        self._longest = longest

    def _check_seal(self) -> None:
        self._need(_SEAL_BYTES)
        expected = self._checksum()
        seal = self._take(_SEAL_BYTES)
        if seal != pack_long(expected) + _END:
            self._position -= _SEAL_BYTES
            raise ValueError("wrong checksum")

    def _sections(self) -> tuple[int, int, int | None]:
        digest_zxid = digest = 0
        last_zxid: int | None = None
        with_digest, with_zxid = _DIGEST_BYTES + _SEAL_BYTES, _ZXID_BYTES + _SEAL_BYTES
        rest = self._read(_DIGEST_BYTES + _ZXID_BYTES + 2 * _SEAL_BYTES + 1)
        if rest not in (0, with_zxid, with_digest, with_digest + with_zxid):
            raise ValueError(f"{rest} bytes behind the tree")
        if rest >= with_digest:
            digest_zxid, version, digest = _unpack_digest(self._take(_DIGEST_BYTES), 0)
            if version != DIGEST_VERSION:
                digest_zxid = digest = 0
            self._check_seal()
        if rest in (with_zxid, with_digest + with_zxid):
            last_zxid = unpack_long(self._take(_ZXID_BYTES), 0)[0]
            self._check_seal()
        return digest_zxid, digest, last_zxid
