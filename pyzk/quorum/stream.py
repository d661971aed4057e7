"""A link's bytes cut into packets, and the snapshot between them into parts.

Pure. ZooKeeper: the loop around BinaryInputArchive.readRecord in Learner and LearnerHandler.
Packets have no length in front, their fields delimit themselves; so a cut packet is kept as pieces
until as many bytes are there as its own lengths ask for, and no byte is looked at twice before.

Whatever a member can log or be asked for, the others can receive: MAX_PACKET_BYTES, MAX_IDENTITIES.
Nothing that arrives can make this allocate more than arrived, loop, or raise anything but
QuorumProtocolError, which is the end of the link. The first bytes decide whether the other side
speaks this protocol at all: what operators mix up (TLS, the election port, a client) is named.

Where this differs from ZooKeeper, on purpose: a packet may have as many bytes as any member can log
or be asked for. The limit of ZooKeeper is jute.maxbuffer and its extra size, about 2 MiB.
"""

from __future__ import annotations

from typing import Final

from pyzk.constants import MAX_IDENTITIES, MAX_PACKET_BYTES
from pyzk.errors import JuteError, QuorumProtocolError
from pyzk.jute.packing import unpack_int, unpack_iqi
from pyzk.jute.records import Id, QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.snapshot_stream import SnapshotParser, SnapshotPart, end_of_buffer

MAX_FIRST_BYTES: Final = 1024
"""The most bytes of the first packet, FOLLOWERINFO or LEADERINFO: what a stranger sends must not
take much memory."""

_HEAD_BYTES: Final = 16

StreamItem = QuorumPacket | SnapshotPart


class QuorumStream:
    """One direction of one link."""

    def __init__(self, max_bytes: int = MAX_PACKET_BYTES) -> None:
        self._max_bytes: int = max_bytes
        self._limit: int = min(max_bytes, MAX_FIRST_BYTES)
        """The most bytes of the next packet."""
        self._pieces: list[bytes] = []
        """The bytes that have arrived of an element that is not whole."""
        self._size: int = 0
        self._want: int = 0
        """The least number of bytes that this element has."""
        self._snapshot: SnapshotParser | None = None
        self._has_begun: bool = False

    @property
    def is_between_packets(self) -> bool:
        """Whether the link may end here without anything being cut off."""
        return not self._size and self._snapshot is None

    def feed(self, data: bytes) -> list[StreamItem]:
        """Takes the next bytes; returns what became whole, in order.

        After a SNAP packet come the parts of its snapshot, the last one marked, then packets again.
        Raises QuorumProtocolError; the link must be closed then.
        """
        if self._size:
            self._pieces.append(data)
            self._size += len(data)
            if self._size < self._want:
                return []
            data = b"".join(self._pieces)
            self._pieces = []
        out: list[StreamItem] = []
        try:
            offset = self._scan(data, out)
        except JuteError as error:
            what = "packet" if self._snapshot is None else "snapshot"
            raise QuorumProtocolError(f"unreadable {what}: {error}") from None
        rest = len(data) - offset
        self._size = rest
        self._want -= offset
        if rest:
            self._pieces.append(data[offset:] if offset else data)
        return out

    def _scan(self, data: bytes, out: list[StreamItem]) -> int:
        """Cuts ``data`` up; returns the offset of what is not whole, and sets how far that goes."""
        offset, end = 0, len(data)
        while offset < end:
            snapshot = self._snapshot
            if snapshot is None:
                behind = self._packet(data, offset, end, out)
                if behind > end:
                    self._want = behind
                    return offset
                offset = behind
                continue
            offset = snapshot.consume(data, offset, end)
            if not snapshot.part.is_empty():
                out.append(snapshot.take())
            if not snapshot.is_done:
                self._want = snapshot.want
                return offset
            self._snapshot = None
        return offset

    def _packet(self, data: bytes, offset: int, end: int, out: list[StreamItem]) -> int:
        """Takes one packet; returns where it ends, behind ``end`` if it is not whole."""
        start = offset + _HEAD_BYTES
        if start > end:
            if offset + 4 > end:
                return offset + 4
            self._check_type(unpack_int(data, offset)[0])
            return start
        kind, zxid, length = unpack_iqi(data, offset)
        if kind < packets.FIRST_TYPE or kind > packets.LAST_TYPE:
            self._check_type(kind)
        limit = self._limit
        if length < -1 or length > limit:
            raise QuorumProtocolError(
                f"{packets.type_name(kind)} with {length} bytes of data; {limit} is the limit"
            )
        data_end = start + length if length > 0 else start
        behind = data_end + 4
        if behind > end:
            return behind
        (count,) = unpack_int(data, data_end)
        ids: list[Id] | None = None
        if count != -1:
            behind = self._ids(data, data_end, end, count)
            if behind > end:
                return behind
            ids = _decode_ids(data, data_end + 4, behind, count)
        out.append(QuorumPacket(kind, zxid, None if length < 0 else data[start:data_end], ids))
        if not self._has_begun:
            self._has_begun = True
            self._limit = self._max_bytes
        if kind == packets.SNAP:
            self._snapshot = SnapshotParser(self._max_bytes)
        return behind

    def _ids(self, data: bytes, offset: int, end: int, count: int) -> int:
        if count < 0 or count > MAX_IDENTITIES:
            raise QuorumProtocolError(
                f"a packet with {count} identities; {MAX_IDENTITIES} is the limit"
            )
        behind = offset + 4
        limit = self._limit
        for _ in range(2 * count):
            behind = end_of_buffer(data, behind, end, limit)
            if behind > end:
                break
            if behind - offset > limit:
                raise QuorumProtocolError(f"identities of more than {limit} bytes")
        return behind

    def _check_type(self, kind: int) -> None:
        if packets.FIRST_TYPE <= kind <= packets.LAST_TYPE:
            return
        if self._has_begun:
            raise QuorumProtocolError(f"a packet of unknown type {kind}")
        raise QuorumProtocolError(f"not the quorum protocol: {_guess(kind)}")


def _decode_ids(data: bytes, offset: int, end: int, count: int) -> list[Id]:
    ids: list[Id] = []
    for _ in range(count):
        entry, offset = Id.decode(data, offset, end)
        ids.append(entry)
    return ids


def _guess(first: int) -> str:
    """Says what a stranger's first four bytes look like."""
    raw = first.to_bytes(4, "big", signed=True)
    if raw[:2] == b"\x16\x03":
        return "it begins like TLS (does the peer have sslQuorum=true?)"
    if first == -1:
        return (
            "it begins like an election message"
            " (are quorumPort and electionPort swapped in a server.N line?)"
        )
    if raw in (b"GET ", b"POST", b"HEAD", b"PUT "):
        return "it begins like an HTTP request"
    if raw.isalpha():
        return f"it begins with {raw.decode()!r}, like a four-letter word"
    if 40 <= first < 256:
        return "it begins like a client's connect request (is a client sent to the quorum port?)"
    return f"it begins with 0x{raw.hex()}"
