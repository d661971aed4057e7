"""Whatever a leader sends: the link ends, the learner does not."""

from __future__ import annotations

from random import Random

import pytest

from pyzk.constants import OpCode
from pyzk.jute.records import (
    CloseSessionTxn,
    CreateContainerTxn,
    CreateTTLTxn,
    CreateTxn,
    DeleteTxn,
    MultiTxn,
    SetDataTxn,
    Txn,
)
from pyzk.quorum import packets
from pyzk.zxid import make
from tests.frames import OPEN, Record
from tests.quorum.learner_world import (
    UPTODATE,
    LearnerWorld,
    both,
    new_leader,
    proposal,
    snap,
    syncing,
)
from tests.quorum.links import RecordedLink, links
from tests.quorum.test_learner_recordings import ask, begin, decode, leader_of
from tests.transactions import create, database_of, txn

E1 = make(1, 0)
ROUNDS = 4


@pytest.mark.parametrize("link", links()[::5], ids=lambda link: link.name)
def test_no_broken_byte_of_a_leader_is_more_than_the_end_of_the_link(link: RecordedLink) -> None:
    rng = Random(link.name)
    sent = [frame.raw for frame in link.sent(by_leader=True)]
    theirs = decode(b"".join(frame.raw for frame in link.sent(by_leader=False)))
    for _ in range(ROUNDS):
        broken = list(sent)
        at = rng.randrange(len(sent))
        raw = bytearray(sent[at])
        for _ in range(rng.choice((1, 1, 2, 5))):
            raw[rng.randrange(len(raw))] = rng.choice((0, 255, 47, rng.randrange(256)))
        broken[at] = bytes(raw)
        world = begin(theirs, None, leader_of(link)).world
        world.reach()
        ask(world, theirs)
        for data in broken:
            world.hear(data)
            world.sync()
        assert world.link.is_closed == (world.role.over is not None)
        world.role.stop()


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        (OpCode.CREATE, CreateTxn("a", b"", OPEN, False, 1)),
        (OpCode.CREATE, CreateTxn("", b"", OPEN, False, 1)),
        (OpCode.CREATE, CreateTxn("/", b"", OPEN, False, 1)),
        (OpCode.CREATE_TTL, CreateTTLTxn("a", b"", OPEN, 1, 5)),
        (OpCode.CREATE_CONTAINER, CreateContainerTxn("a", b"", OPEN, 1)),
        (OpCode.DELETE, DeleteTxn("/")),
        (OpCode.CLOSE_SESSION, CloseSessionTxn(["/a", "b"])),
        (OpCode.MULTI, MultiTxn([Txn(OpCode.DELETE, DeleteTxn("a").encode())])),
    ],
)
def test_a_znode_without_a_path_is_neither_made_nor_deleted(kind: int, record: Record) -> None:
    world = LearnerWorld()
    syncing(world)
    world.take()
    world.hear(proposal(txn(E1 + 1, kind, record)))
    assert world.role.over == (
        "the link with server 3, the leader, has ended: the transaction 0x100000001 has a wrong"
        " path"
    )
    assert world.take() == []


def test_a_change_of_a_znode_that_is_not_there_changes_nothing() -> None:
    world = LearnerWorld()
    syncing(world)
    world.hear(both(txn(E1 + 1, OpCode.SET_DATA, SetDataTxn("a", b"", 1))), new_leader())
    world.sync()
    assert world.role.over is None
    assert world.paths() == []


def test_what_follows_a_snapshot_is_beyond_its_zxid() -> None:
    """A leader forwards everything that it applies while it writes the snapshot."""
    for zxid, is_over in ((E1 + 4, True), (E1 + 6, True), (E1 + 5, False)):
        world = LearnerWorld()
        world.discover()
        world.hear(snap(database_of([create(E1 + 1)]), E1 + 4), both(create(E1 + 2)), new_leader())
        world.sync()
        world.hear(UPTODATE, packets.encode_packet(packets.PROPOSAL, zxid, create(zxid)))
        assert (world.role.over is not None) == is_over
