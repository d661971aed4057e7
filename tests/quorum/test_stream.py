"""Cutting a stream into packets and snapshots: limits, strangers, and bytes in any pieces."""

from __future__ import annotations

import struct
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.constants import MAX_IDENTITIES
from pyzk.data.serialize import encode_nodes, encode_tables
from pyzk.errors import QuorumProtocolError
from pyzk.jute.records import ACL, Id, QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.snapshot_stream import END, SnapshotPart
from pyzk.quorum.stream import MAX_FIRST_BYTES, QuorumStream, StreamItem

STAT = bytes(range(60))
ACLS = [(1, (ACL(1, "world", "anyone"), ACL(31, "digest", "a:b"))), (2, ())]
NODES = [("/", b"", -1, STAT), ("/a", None, 1, STAT), ("/a/b", b"/\0\0\0\x0aBenWasHere", 2, STAT)]
SNAPSHOT = encode_tables([(1, 2), (-3, 4)], ACLS) + encode_nodes(NODES) + END
SNAP = packets.encode_bare(packets.SNAP, 5)
IDS = QuorumPacket(packets.REQUEST, -1, b"x" * 20, [Id("ip", "::1"), Id(None, "")]).encode()

PACKETS = st.builds(
    QuorumPacket,
    st.sampled_from([*range(1, packets.SNAP), *range(packets.SNAP + 1, 20)]),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.none() | st.binary(max_size=40),
    st.none() | st.lists(st.builds(Id, st.none() | st.text("abc"), st.text("xyz")), max_size=3),
)


def feed_all(pieces: list[bytes]) -> list[StreamItem]:
    stream = QuorumStream()
    out: list[StreamItem] = []
    for piece in pieces:
        out += stream.feed(piece)
    assert stream.is_between_packets
    return out


def pieces_of(raw: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    return [raw[start:end] for start, end in pairwise(edges)]


@given(st.lists(PACKETS, max_size=6), st.lists(st.integers(0, 1 << 16), max_size=8))
def test_packets_come_out_as_they_went_in(sent: list[QuorumPacket], cuts: list[int]) -> None:
    raw = b"".join(packet.encode() for packet in sent)
    assert feed_all(pieces_of(raw, cuts)) == sent


@given(st.lists(st.integers(0, 1 << 16), max_size=12))
def test_a_snapshot_passes_between_packets(cuts: list[int]) -> None:
    raw = IDS + SNAP + SNAPSHOT + packets.UPTODATE_PACKET + SNAP + SNAPSHOT + IDS
    items = feed_all(pieces_of(raw, cuts))
    parts = [item for item in items if isinstance(item, SnapshotPart)]
    assert [entry for part in parts for entry in part.sessions] == [(1, 2), (-3, 4)] * 2
    assert [entry for part in parts for entry in part.acls] == ACLS * 2
    assert [entry for part in parts for entry in part.nodes] == NODES * 2
    assert sum(part.is_last for part in parts) == 2
    kinds = [item.type for item in items if isinstance(item, QuorumPacket)]
    assert kinds == [packets.REQUEST, packets.SNAP, packets.UPTODATE, packets.SNAP, packets.REQUEST]


def test_a_large_packet_costs_one_join() -> None:
    """A peer that sends byte by byte cannot make each byte cost the whole."""
    raw = packets.encode_packet(packets.PROPOSAL, 1, bytes(200_000))
    stream = QuorumStream()
    stream.feed(packets.UPTODATE_PACKET)
    for offset in range(0, len(raw) - 1, 7):
        assert stream.feed(raw[offset : min(offset + 7, len(raw) - 1)]) == []
    (packet,) = stream.feed(raw[-1:])
    assert isinstance(packet, QuorumPacket)
    assert packet.data == bytes(200_000)


def test_a_first_packet_is_small() -> None:
    """Nobody knows yet who it is: what is kept of it must not matter, however many there are."""
    with pytest.raises(QuorumProtocolError, match=f"{MAX_FIRST_BYTES} is the limit"):
        QuorumStream().feed(struct.pack(">iqi", packets.FOLLOWERINFO, 0, MAX_FIRST_BYTES + 1))
    with pytest.raises(QuorumProtocolError, match=f"{MAX_FIRST_BYTES} is the limit"):
        QuorumStream().feed(struct.pack(">iqiii", 11, 0, -1, 1, MAX_FIRST_BYTES + 1))
    stream = QuorumStream()
    stream.feed(packets.encode_packet(packets.FOLLOWERINFO, 0, bytes(MAX_FIRST_BYTES)))
    assert stream.feed(struct.pack(">iqi", packets.ACK, 0, MAX_FIRST_BYTES + 1)) == []


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (bytes.fromhex("1603010200"), "sslQuorum"),
        (struct.pack(">qq", -65536, 3), "election message"),
        (b"GET / HTTP/1.1\r\n", "HTTP"),
        (b"ruok", "four-letter word"),
        (struct.pack(">iiq", 45, 0, 0), "connect request"),
        (struct.pack(">iqi", 20, 0, -1), "begins with 0x00000014"),
        (packets.UPTODATE_PACKET + struct.pack(">i", 20), "unknown type 20"),
        (struct.pack(">iqi", 2, 0, -2), "PROPOSAL with -2 bytes"),
        (struct.pack(">iqi", 2, 0, 1 << 30), "the limit"),
        (struct.pack(">iqii", 1, 0, -1, -2), "-2 identities"),
        (struct.pack(">iqii", 1, 0, -1, MAX_IDENTITIES + 1), "1001 identities"),
        (struct.pack(">iqiii", 1, 0, -1, 1, -2), "a length of -2"),
        (struct.pack(">iqiii", 1, 0, -1, 1, 1 << 30), "a length of"),
        (SNAP + struct.pack(">i", -1), "snapshot: .* -1 elements"),
        (SNAP + struct.pack(">iiqi", 0, 1, 1, -1), "an ACL list of -1"),
        (SNAP + struct.pack(">iii", 0, 0, -2), "a length of -2"),
        (SNAP + struct.pack(">iii", 0, 0, 1) + b"/" + struct.pack(">i", 99), "a length of 99"),
        (
            SNAP + struct.pack(">iii", 0, 0, 1) + b"/" + struct.pack(">i", 10) + b"BenWasThere",
            "signature",
        ),
    ],
)
def test_what_is_no_packet_is_refused_with_a_reason(raw: bytes, message: str) -> None:
    with pytest.raises(QuorumProtocolError, match=message):
        QuorumStream().feed(raw)
    stream = QuorumStream()
    with pytest.raises(QuorumProtocolError, match=message):
        for offset in range(len(raw)):
            stream.feed(raw[offset : offset + 1])


def test_identities_have_a_limit_in_all() -> None:
    raw = QuorumPacket(packets.REQUEST, -1, b"", [Id("s" * 60, "i" * 60)]).encode()
    with pytest.raises(QuorumProtocolError, match="identities of more than 100 bytes"):
        QuorumStream(100).feed(raw)


def test_a_link_that_ends_inside_something_is_noticed() -> None:
    for whole in (IDS, SNAP + SNAPSHOT):
        for cut in range(1, len(whole)):
            stream = QuorumStream()
            stream.feed(whole[:cut])
            assert not stream.is_between_packets


@given(st.binary(max_size=200), st.booleans())
def test_garbage_raises_nothing_else(raw: bytes, in_snapshot: bool) -> None:
    stream = QuorumStream(1000)
    with suppress(QuorumProtocolError):
        stream.feed((SNAP if in_snapshot else b"") + raw)


@given(st.integers(0, len(SNAPSHOT) - 1), st.integers(1, 255))
def test_a_damaged_snapshot_raises_nothing_else(offset: int, mask: int) -> None:
    raw = bytearray(SNAPSHOT)
    raw[offset] ^= mask
    with suppress(QuorumProtocolError):
        QuorumStream(1 << 20).feed(SNAP + bytes(raw) + packets.UPTODATE_PACKET)
