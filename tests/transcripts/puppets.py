"""Packets written as words: what a puppet, a member without a core, says in a transcript.

For what no correct member would send, or another version of ZooKeeper does.
"""

from __future__ import annotations

from pyzk.data.serialize import encode_nodes, encode_tables
from pyzk.quorum import packets
from pyzk.quorum.snapshot_stream import END
from pyzk.zxid import epoch_of
from tests.transactions import database_of
from tests.transcripts.histories import parse_zxids, payload_of

_BARE = {
    "ACK": packets.ACK,
    "COMMIT": packets.COMMIT,
    "DIFF": packets.DIFF,
    "TRUNC": packets.TRUNC,
    "PING": packets.PING,
    "SYNC": packets.SYNC,
}


def encode(words: list[str]) -> bytes:
    """Return a packet: ``LEADERINFO epoch=2``, ``PROPOSAL 0x200000001``, ``ACK 0x200000000``."""
    name, *rest = words
    options = dict(word.split("=", 1) for word in rest if "=" in word)
    zxid = next((int(word, 16) for word in rest if word.startswith("0x")), 0)
    if name in _BARE:
        return packets.encode_bare(_BARE[name], zxid)
    if name in ("FOLLOWERINFO", "OBSERVERINFO"):
        return packets.encode_learner_info(
            int(options["sid"]),
            int(options["accepted"]),
            int(options.get("config", "0"), 16),
            is_observer=name == "OBSERVERINFO",
        )
    if name == "LEADERINFO":
        return packets.encode_leader_info(int(options["epoch"]))
    if name == "ACKEPOCH":
        return packets.encode_ack_epoch(zxid, int(options["current"]))
    if name == "NEWLEADER":
        return packets.encode_new_leader(epoch_of(zxid), b"")
    if name == "UPTODATE":
        return packets.UPTODATE_PACKET
    if name in ("PROPOSAL", "INFORM"):
        kind = packets.PROPOSAL if name == "PROPOSAL" else packets.INFORM
        return packets.encode_packet(kind, zxid, payload_of(zxid))
    raise ValueError(f"a puppet cannot say {name}")


def encode_snapshot(text: str) -> bytes:
    """Return SNAP and the snapshot that holds these transactions."""
    zxids = parse_zxids(text)
    frozen = database_of(map(payload_of, zxids)).freeze()
    nodes = []
    while piece := frozen.nodes.read(100):
        nodes += piece
    frozen.close()
    return b"".join(
        (
            packets.encode_bare(packets.SNAP, zxids[-1] if zxids else 0),
            encode_tables(frozen.sessions, frozen.acls),
            encode_nodes(nodes),
            END,
        )
    )
