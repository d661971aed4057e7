"""What real leaders sent, replayed to our learners; what real learners answered, compared.

A learner's member lives through all its links of one recording, as long as its last zxid is what
the real one had; else it begins anew, with nothing but that zxid.
"""

from __future__ import annotations

from collections import deque
from functools import cache
from typing import NamedTuple

import pytest

from pyzk.constants import OpCode
from pyzk.data.txn import decode_txn
from pyzk.jute.records import QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.stream import QuorumStream
from pyzk.server.request import Request
from pyzk.server.sessions import Session
from pyzk.zxid import counter_of, epoch_of, make
from tests.quorum.learner_world import LearnerWorld
from tests.quorum.links import RecordedLink, links
from tests.transactions import database_of

NAMES = [link.name for link in links()]
OTHER_DIGESTS = "mixed/mixed_leader39 1->2 #118"
"""Its leader is a 3.8.0 whose tree, since it followed a 3.9.3, has another digest than that one's
transactions told."""

DIED = {
    "3.8.0/join_diff_under_load 1->3 #8": [make(1, 0x11), make(1, 0x12)],
    "3.8.0/join_diff_under_load 1->3 #9": [make(1, 0x14), make(1, 0x15)],
}
"""The real learner ended at a COMMIT between NEWLEADER and UPTODATE (ZOOKEEPER-4394); what ours
acknowledges in its place."""

LEFT = dict.fromkeys(
    (
        "3.8.0/reconfig 1->3 #33", "3.8.0/reconfig 2->3 #34", "3.8.0/reconfig 4->3 #37",
        "3.9.3/reconfig 2->3 #88", "3.9.3/reconfig 1->3 #89", "3.9.3/reconfig 4->3 #92",
    ),
    "the reconfiguration 0x100000013 makes server 1 the leader",
)  # fmt: skip
"""The real learner left its leader, too: that is the last packet of the link."""


class Replay(NamedTuple):
    ours: list[QuorumPacket]
    theirs: list[QuorumPacket]
    over: str | None
    pings: list[int]
    """Zxids of the PINGs after UPTODATE."""
    learned: set[int]
    """Zxids of transactions that were committed before NEWLEADER."""
    digest_mismatches: int
    """0 also where the tree has not everything since the first transaction."""


def decode(raw: bytes) -> list[QuorumPacket]:
    return [item for item in QuorumStream().feed(raw) if isinstance(item, QuorumPacket)]


def zxids(items: list[QuorumPacket], kind: int) -> list[int]:
    return [item.zxid for item in items if item.type == kind]


class Past:
    """A learner's world, between two links."""

    def __init__(self, world: LearnerWorld, is_whole: bool) -> None:
        self.world = world
        self.is_whole = is_whole


@cache
def replays() -> dict[str, Replay]:
    out: dict[str, Replay] = {}
    pasts: dict[str, Past] = {}
    for link in links():
        who = link.name.partition("->")[0]
        theirs = decode(b"".join(frame.raw for frame in link.sent(by_leader=False)))
        past = begin(theirs, pasts.get(who), leader_of(link))
        pasts[who] = past
        out[link.name] = replay(link, theirs, past)
    return out


def leader_of(link: RecordedLink) -> int:
    return int(link.name.split("->")[1].split()[0])


def begin(theirs: list[QuorumPacket], past: Past | None, leader: int) -> Past:
    """Return a world that is where the real learner was when it connected."""
    hello, answer = theirs[:2]
    info = packets.learner_info(hello)
    is_observer = hello.type == packets.OBSERVERINFO
    if past is not None:
        past.world.leader_sid = leader
        member = past.world.member
        if (
            member.database.last_zxid != answer.zxid
            or member.ensemble.is_observer != is_observer
            or member.membership.version != info.config_version
        ):
            past = None
        else:
            past.world.become(is_observer=is_observer)
    if past is None:
        database = database_of([], answer.zxid)
        world = LearnerWorld(
            sid=info.server_id,
            leader=leader,
            database=database,
            is_observer=is_observer,
            version=info.config_version,
        )
        past = Past(world, not answer.zxid)
    epochs = past.world.member.epochs
    epochs.accepted = epoch_of(hello.zxid)
    current = packets.ack_epoch(answer)
    epochs.current = epochs.accepted if current == packets.NOT_COUNTED else current
    return past


def replay(link: RecordedLink, theirs: list[QuorumPacket], past: Past) -> Replay:
    world = past.world
    world.received = b""
    mismatches = world.database.digest_mismatches
    world.reach()
    ask(world, theirs)
    pings: list[int] = []
    learned: set[int] = set()
    seen: set[str] = set()
    for frame in link.sent(by_leader=True):
        world.hear(frame.raw)
        world.sync()
        seen.add(frame.name)
        if frame.name == "SNAP":
            past.is_whole, mismatches = True, 0
        elif frame.name == "TRUNC":
            past.is_whole = False
        for item in decode(frame.raw) if frame.name in ("PING", "COMMIT") else ():
            if item.type == packets.PING and "UPTODATE" in seen:
                pings.append(item.zxid)
            elif item.type == packets.COMMIT and "NEWLEADER" not in seen:
                learned.add(item.zxid)
    over = world.role.over
    world.role.stop()
    world.settle()
    database = world.database
    for _, payload in world.role.unapplied:
        database.replay(decode_txn(payload), payload)
    mismatches = database.digest_mismatches - mismatches if past.is_whole else 0
    return Replay(decode(world.received), theirs, over, pings, learned, mismatches)


def ask(world: LearnerWorld, theirs: list[QuorumPacket]) -> None:
    """Let this learner wait for the answers that the real one asked for, for clients of its own."""
    connection = world.open().connection
    for packet in theirs:
        if packet.type == packets.REVALIDATE:
            session_id, timeout_ms = packets.revalidate(packet)
            pending = world.role.asked.revalidations.setdefault(session_id, deque())
            pending.append((connection, timeout_ms))
        elif packet.type == packets.REQUEST:
            asked = packets.forwarded_request(packet)
            if asked.type == OpCode.SYNC:
                session = Session(asked.session, 10_000)
                request = Request(connection, session, asked.cxid, OpCode.SYNC, b"", (), 0)
                world.role.asked.syncs.append(request)


def test_every_recording_is_followed_to_its_end() -> None:
    assert {name: each.over for name, each in replays().items() if each.over is not None} == LEFT


@pytest.mark.parametrize("name", NAMES)
def test_discovery_and_the_ack_of_newleader_are_what_the_real_learner_sent(name: str) -> None:
    each = replays()[name]
    ours = [packets.describe(item) for item in each.ours[:3]]
    theirs = [packets.describe(item) for item in each.theirs[:3]]
    assert ours == theirs
    assert len(ours) < 3 or ours[2].startswith("ACK ")


@pytest.mark.parametrize("name", NAMES)
def test_the_same_proposals_are_acknowledged(name: str) -> None:
    each = replays()[name]
    ours = zxids(each.ours, packets.ACK)
    theirs = zxids(each.theirs, packets.ACK)
    proposals = [zxid for zxid in ours if counter_of(zxid)]
    if name in DIED:
        assert proposals == DIED[name]
        return
    assert len(ours) - len(proposals) == sum(not counter_of(zxid) for zxid in theirs)
    assert proposals == sorted(set(proposals))
    # 3.8.0 acknowledges also what it was synchronized with.
    assert set(theirs) - each.learned <= set(ours)
    # The real learner was killed, or its leader, before it could say these.
    assert all(zxid > max(theirs) for zxid in set(ours) - set(theirs))


@pytest.mark.parametrize("name", NAMES)
def test_each_ping_after_uptodate_is_answered_with_its_zxid(name: str) -> None:
    each = replays()[name]
    ours = zxids(each.ours, packets.PING)
    assert ours == each.pings
    theirs = zxids(each.theirs, packets.PING)
    assert theirs == ours[: len(theirs)]


def test_the_trees_have_the_digests_that_the_leaders_told() -> None:
    found = {name: each.digest_mismatches for name, each in replays().items()}
    assert {name: count for name, count in found.items() if count} == {OTHER_DIGESTS: 3}
