"""Every recorded link between real servers: decoded to the last byte, encoded to the same bytes."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from pyzk import zxid as zxids
from pyzk.config.members import config_text, parse_membership
from pyzk.data.serialize import encode_nodes, encode_tables
from pyzk.data.txn import decode_txn
from pyzk.jute.records import QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.snapshot_stream import END, SnapshotPart
from pyzk.quorum.stream import QuorumStream, StreamItem
from tests.quorum.links import Frame, RecordedLink, links

DIRECTIONS = [(link, by_leader) for link in links() for by_leader in (False, True)]


def unsigned(text: str) -> int:
    value = int(text, 16)
    return value - (1 << 64) if value >= 1 << 63 else value


def encode_again(item: StreamItem) -> bytes:
    """Encode from what was understood, not from the bytes that were kept."""
    if isinstance(item, SnapshotPart):
        return encode_snapshot([item])
    kind, zxid = item.type, item.zxid
    if kind in (packets.FOLLOWERINFO, packets.OBSERVERINFO):
        info = packets.learner_info(item)
        assert info.protocol_version == packets.PROTOCOL_VERSION
        return packets.encode_learner_info(
            info.server_id,
            zxids.epoch_of(zxid),
            info.config_version,
            is_observer=kind == packets.OBSERVERINFO,
        )
    if kind == packets.LEADERINFO:
        return packets.encode_leader_info(packets.leader_info(item)[0])
    if kind == packets.ACKEPOCH:
        return packets.encode_ack_epoch(zxid, packets.ack_epoch(item))
    if kind == packets.NEWLEADER:
        config = packets.new_leader_config(item)
        assert config is not None
        return packets.encode_new_leader(zxids.epoch_of(zxid), config)
    if kind in (packets.PROPOSAL, packets.INFORM):
        return packets.encode_packet(kind, zxid, packets.txn_payload(item))
    if kind == packets.COMMITANDACTIVATE:
        return packets.encode_commit_and_activate(zxid, packets.designated_leader(item))
    if kind == packets.INFORMANDACTIVATE:
        return packets.encode_inform_and_activate(zxid, *packets.inform_and_activate(item))
    if kind == packets.PING and item.data is not None:
        return packets.encode_ping_reply(zxid, dict(packets.touched_sessions(item)))
    if kind == packets.REVALIDATE:
        assert item.data is not None
        if len(item.data) == 9:
            return packets.encode_validity(*packets.validity(item))
        return packets.encode_revalidate(*packets.revalidate(item))
    if kind == packets.REQUEST:
        return packets.encode_request(packets.forwarded_request(item))
    if kind == packets.UPTODATE:
        return packets.UPTODATE_PACKET
    assert item.data is None, item
    return packets.encode_bare(kind, zxid)


def encode_snapshot(parts: list[SnapshotPart]) -> bytes:
    sessions = [entry for part in parts for entry in part.sessions]
    acls = [entry for part in parts for entry in part.acls]
    nodes = [entry for part in parts for entry in part.nodes]
    return encode_tables(sessions, acls) + encode_nodes(nodes) + END


def same_as_seen(item: StreamItem, frame: Frame) -> None:
    """Compare with the decoder of the recording."""
    seen: dict[str, Any] = frame.seen
    if isinstance(item, SnapshotPart):
        sessions = [(hex(session), timeout) for session, timeout in item.sessions]
        assert sessions == [(entry["id"], entry["timeout"]) for entry in seen["sessions"]]
        nodes = [(path.removesuffix("/"), data) for path, data, _, _ in item.nodes]
        assert nodes == [(node["path"], bytes.fromhex(node["data"])) for node in seen["nodes"]]
        assert [str(acl_id) for acl_id, _ in item.acls] == list(seen["acls"])
        return
    assert packets.type_name(item.type) == seen["typeName"]
    assert item.zxid == unsigned(seen["zxid"])
    ids = None if item.authinfo is None else [(i.scheme, i.id) for i in item.authinfo]
    expected = seen["authinfo"]
    assert ids == (None if expected is None else [(i["scheme"], i["id"]) for i in expected])
    assert (item.data is None) == (seen["data"] is None)


@pytest.mark.parametrize(
    ("link", "by_leader"), DIRECTIONS, ids=[f"{link.name}{' back' * b}" for link, b in DIRECTIONS]
)
def test_a_link_decodes_to_the_last_byte_and_encodes_to_the_same(
    link: RecordedLink, by_leader: bool
) -> None:
    frames = link.sent(by_leader=by_leader)
    stream = QuorumStream()
    items = stream.feed(b"".join(frame.raw for frame in frames))
    assert stream.is_between_packets
    assert len(items) == len(frames)
    for item, frame in zip(items, frames, strict=True):
        same_as_seen(item, frame)
        assert encode_again(item) == frame.raw
        if isinstance(item, QuorumPacket):
            assert item.encode() == frame.raw
            assert packets.describe(item).split()[0] == frame.name


def merged(items: list[StreamItem]) -> list[bytes]:
    """Encode again, the parts of one snapshot together."""
    out: list[bytes] = []
    parts: list[SnapshotPart] = []
    for item in items:
        if isinstance(item, QuorumPacket):
            assert not parts
            out.append(encode_again(item))
            continue
        parts.append(item)
        if item.is_last:
            out.append(encode_snapshot(parts))
            parts = []
    assert not parts
    return out


@pytest.mark.parametrize("size", [1, 2, 7, 61, 1000])
def test_how_the_bytes_are_cut_makes_no_difference(size: int) -> None:
    """Every type, and two snapshots."""
    wanted = ("startup3", "join_snap", "trunc ", "reconfig", "observer")
    rng = random.Random(size)
    for link in links():
        if not link.name.startswith(tuple(f"3.9.3/{name}" for name in wanted)):
            continue
        frames = link.sent(by_leader=True)
        raw = b"".join(frame.raw for frame in frames)
        stream = QuorumStream()
        items: list[StreamItem] = []
        offset = 0
        while offset < len(raw):
            step = 1 if size == 1 else rng.randint(1, 2 * size)
            items += stream.feed(raw[offset : offset + step])
            offset += step
        assert stream.is_between_packets
        assert merged(items) == [frame.raw for frame in frames]


def test_the_recordings_have_every_type() -> None:
    seen = Counter(frame.name for link in links() for frame in link.frames)
    assert set(seen) == {*packets.NAMES[1:], "snapshot"}
    assert sum(seen.values()) > 5000


def test_a_proposal_carries_the_transaction_of_its_zxid() -> None:
    for link in links():
        for frame in link.frames:
            if frame.name in ("PROPOSAL", "INFORM"):
                first = packets.encode_bare(packets.PING, 0)  # the first one may not be large
                _, item = QuorumStream().feed(first + frame.raw)
                assert isinstance(item, QuorumPacket)
                txn = decode_txn(packets.txn_payload(item))
                assert txn.header.zxid == item.zxid
                assert txn.header.type == frame.seen["data"]["hdr"]["type"]


def test_a_recorded_configuration_is_written_as_it_was_read() -> None:
    seen: set[bytes] = set()
    for link in links():
        for frame in link.frames:
            if frame.name == "NEWLEADER":
                (item,) = QuorumStream().feed(frame.raw)
                assert isinstance(item, QuorumPacket)
                seen.add(packets.new_leader_config(item) or b"")
    assert len(seen) > 10
    for text in seen:
        assert config_text(parse_membership(text)).encode() == text
