"""The snapshot that follows a SNAP packet, which is made piece by piece and read as it arrives.

Pure. ZooKeeper: ZKDatabase.serializeSnapshot and Learner.syncWithLeader. In the stream of packets
it is not framed and has no length; its structure alone tells where it ends:

    int count, { long session, int timeout ms }
    int count, { long ACL id, list of ACL }
    { string path, buffer data, long ACL id, 60 bytes of stat }   parents first, the root as ""
    string "/"                                                    end of the tree
    string "BenWasHere"                                           end of the snapshot

Unlike the file it has no header, no checksum, and no digest; TCP and the signature at the end are
all that speaks for it. A leader that serves meanwhile may have put later effects in it: what is
proposed after the zxid of the SNAP packet is applied on top, also where it is already there.

Nothing here believes a count or a length: memory grows with the bytes that did arrive.
"""

from __future__ import annotations

from typing import Final

from pyzk.data.paths import ROOT
from pyzk.data.snapshot_view import Frozen
from pyzk.errors import TooLong
from pyzk.jute.archive import NULL, decode_text, encode_string
from pyzk.jute.packing import unpack_int, unpack_long, unpack_long_int
from pyzk.jute.records import ACL

SIGNATURE: Final = "BenWasHere"
STAT_BYTES: Final = 60

END: Final = encode_string("/") + encode_string(SIGNATURE)
"""The end of the tree and the signature."""


class SnapshotPart:
    """The elements that some bytes of a snapshot held, in order; the last part is marked."""

    __slots__ = ("acls", "is_last", "nodes", "sessions")

    def __init__(self) -> None:
        self.sessions: list[tuple[int, int]] = []
        """(session, timeout in ms) of each session"""
        self.acls: list[tuple[int, tuple[ACL, ...]]] = []
        self.nodes: list[Frozen] = []
        """(path, data, ACL id, encoded stat) of each znode; the root is "/"."""
        self.is_last: bool = False

    def is_empty(self) -> bool:
        return not (self.sessions or self.acls or self.nodes or self.is_last)


def end_of_buffer(buffer: bytes, offset: int, end: int, limit: int) -> int:
    """Returns where the string or buffer at ``offset`` ends.

    That may lie behind ``end``: then it is the least that must have arrived to know more.
    Raises TooLong for a length that is negative (other than -1) or over ``limit``.
    """
    start = offset + 4
    if start > end:
        return start
    length: int = unpack_int(buffer, offset)[0]
    if length < -1 or length > limit:
        raise TooLong(f"a length of {length} bytes; {limit} is the limit")
    return start + length if length > 0 else start


_SESSION_COUNT: Final = 0
_SESSIONS: Final = 1
_ACL_COUNT: Final = 2
_ACL_HEAD: Final = 3
_ACL_ENTRIES: Final = 4
_NODES: Final = 5
_SIGNATURE: Final = 6
_DONE: Final = 7


class SnapshotParser:
    """Consumes whole elements of a snapshot from a buffer that grows at its end."""

    def __init__(self, limit: int) -> None:
        self._limit: int = limit
        self._stage: int = _SESSION_COUNT
        self._left: int = 0
        """The number of elements of this stage that are still to come."""
        self._lists_left: int = 0
        self._acl_id: int = 0
        self._entries: list[ACL] = []
        self.part: SnapshotPart = SnapshotPart()
        self.want: int = 0
        """Where the buffer must reach before another call can get further."""

    def take(self) -> SnapshotPart:
        """Returns what has been consumed since the last call."""
        part = self.part
        self.part = SnapshotPart()
        return part

    @property
    def is_done(self) -> bool:
        return self._stage == _DONE

    def consume(self, buffer: bytes, offset: int, end: int) -> int:
        """Takes what is whole; returns the offset behind it. Raises JuteError for what is no
        snapshot."""
        while self._stage != _DONE:
            stage = self._stage
            if stage == _NODES:
                behind = self._node(buffer, offset, end)
            elif stage == _SESSIONS:
                behind = self._session(buffer, offset, end)
            elif stage == _ACL_HEAD:
                behind = self._acl_head(buffer, offset, end)
            elif stage == _ACL_ENTRIES:
                behind = self._acl_entry(buffer, offset, end)
            elif stage == _SIGNATURE:
                behind = self._signature(buffer, offset, end)
            else:
                behind = self._count(buffer, offset, end)
            if behind > end:
                self.want = behind
                return offset
            offset = behind
        return offset

    # Each returns where its element ends; nothing is consumed if that lies behind ``end``.

    def _count(self, buffer: bytes, offset: int, end: int) -> int:
        behind = offset + 4
        if behind > end:
            return behind
        count: int = unpack_int(buffer, offset)[0]
        if count < 0:
            raise TooLong(f"a snapshot with {count} elements in a table")
        if self._stage == _SESSION_COUNT:
            self._stage = _SESSIONS if count else _ACL_COUNT
            self._left = count
        else:
            self._stage = _ACL_HEAD if count else _NODES
            self._lists_left = count
        return behind

    def _session(self, buffer: bytes, offset: int, end: int) -> int:
        behind = offset + 12
        if behind > end:
            return behind
        session, timeout = unpack_long_int(buffer, offset)
        self.part.sessions.append((session, timeout))
        self._left -= 1
        if not self._left:
            self._stage = _ACL_COUNT
        return behind

    def _acl_head(self, buffer: bytes, offset: int, end: int) -> int:
        behind = offset + 12
        if behind > end:
            return behind
        acl_id, count = unpack_long_int(buffer, offset)
        if count < 0:
            raise TooLong(f"an ACL list of {count} entries")
        self._acl_id = acl_id
        self._left = count
        self._entries = []
        self._stage = _ACL_ENTRIES
        if not count:
            self._end_acl()
        return behind

    def _acl_entry(self, buffer: bytes, offset: int, end: int) -> int:
        behind = end_of_buffer(buffer, offset + 4, end, self._limit)
        if behind <= end:
            behind = end_of_buffer(buffer, behind, end, self._limit)
        if behind > end:
            return behind
        self._entries.append(ACL.decode(buffer, offset, behind)[0])
        self._left -= 1
        if not self._left:
            self._end_acl()
        return behind

    def _end_acl(self) -> None:
        self.part.acls.append((self._acl_id, tuple(self._entries)))
        self._lists_left -= 1
        self._stage = _ACL_HEAD if self._lists_left else _NODES

    def _node(self, buffer: bytes, offset: int, end: int) -> int:
        path_end = end_of_buffer(buffer, offset, end, self._limit)
        if path_end > end:
            return path_end
        raw = buffer[offset + 4 : path_end]
        if raw == b"/":
            self._stage = _SIGNATURE
            return path_end
        data_end = end_of_buffer(buffer, path_end, end, self._limit)
        behind = data_end + 8 + STAT_BYTES
        if behind > end:
            return behind
        data = None if buffer[path_end : path_end + 4] == NULL else buffer[path_end + 4 : data_end]
        acl_id: int = unpack_long(buffer, data_end)[0]
        path = decode_text(raw) if raw else ROOT
        self.part.nodes.append((path, data, acl_id, buffer[data_end + 8 : behind]))
        return behind

    def _signature(self, buffer: bytes, offset: int, end: int) -> int:
        behind = end_of_buffer(buffer, offset, end, len(SIGNATURE))
        if behind > end:
            return behind
        if buffer[offset + 4 : behind] != SIGNATURE.encode():
            raise TooLong("a snapshot that does not end with its signature")
        self._stage = _DONE
        self.part.is_last = True
        return behind
