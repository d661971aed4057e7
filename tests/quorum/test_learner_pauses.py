"""What a learner on a slow line, or with a slow disk, makes of its leader's time and bytes."""

from __future__ import annotations

from pyzk.jute.records import QuorumPacket
from pyzk.quorum import packets
from pyzk.quorum.stream import QuorumStream
from pyzk.server.marks import Marks
from pyzk.zxid import make
from tests.quorum.learner_world import (
    INIT_MS,
    SYNC_MS,
    TICK_MS,
    LearnerWorld,
    both,
    broadcast,
    inform,
    proposal,
    syncing,
)
from tests.transactions import create, set_data

E1 = make(1, 0)


def is_paused(world: LearnerWorld) -> bool:
    return world.link.is_paused


def fill(world: LearnerWorld) -> int:
    """Has so much logged that the link pauses; returns the zxid of the last transaction."""
    zxid = E1
    while not is_paused(world):
        zxid += 1
        world.hear(both(set_data(zxid, "/", bytes(500))))
    return zxid


def test_a_part_of_a_packet_is_a_sign_of_life() -> None:
    """One may take longer than syncLimit on a slow line."""
    world = LearnerWorld()
    broadcast(world)
    data = proposal(create(E1 + 1, "/" + "x" * 100))
    for at in range(0, len(data), 20):
        world.advance(SYNC_MS - 1)
        world.hear(data[at : at + 20])
    assert world.role.over is None
    assert len(world.unsynced) == 1


def test_the_leader_waits_while_the_disk_is_behind() -> None:
    """In each phase in which something is logged: what is not read costs this server no memory."""
    for phase in (syncing, broadcast):
        world = LearnerWorld()
        world.server.marks = Marks(log_bytes=2000)
        phase(world)
        zxid = fill(world)
        assert 2000 < sum(map(len, world.unsynced)) < 3000
        assert world.due() == (world.clock.now_ms + TICK_MS // 2 if phase is broadcast else None)
        world.clock.now_ms += 10 * INIT_MS
        world.role.wake()
        assert not world.role.is_over
        world.answer()
        assert not is_paused(world)
        assert world.due() == world.clock.now_ms + (SYNC_MS if phase is broadcast else INIT_MS)
        world.hear(both(set_data(zxid + 1, "/", bytes(500))))
        assert not is_paused(world)


def told(world: LearnerWorld) -> list[list[tuple[int, int]]]:
    """Return the sessions of each PING that was sent."""
    stream = QuorumStream()
    return [
        packets.touched_sessions(item)
        for item in stream.feed(world.received)
        if isinstance(item, QuorumPacket) and item.type == packets.PING
    ]


def test_who_does_not_read_its_leader_still_says_which_sessions_live() -> None:
    """They would expire as long as the disk is behind, for the PINGs are not read either."""
    world = LearnerWorld()
    world.server.marks = Marks(log_bytes=2000)
    broadcast(world)
    fill(world)
    sessions = world.server.sessions
    session = sessions.add(0x7, 6000, world.clock.now_ms)
    for number in range(4):
        assert told(world) == [[(0x7, 6000)]] * number
        sessions.touch(session, world.clock.now_ms)
        world.advance(TICK_MS // 2)
    world.answer()
    world.advance(TICK_MS)
    assert told(world) == [[(0x7, 6000)]] * 4


def test_an_observer_lets_its_leader_wait_too() -> None:
    world = LearnerWorld(is_observer=True)
    world.server.marks = Marks(log_bytes=2000)
    world.serve()
    world.hear(*(inform(set_data(E1 + n, "/", bytes(500))) for n in range(1, 6)))
    assert is_paused(world)
    world.answer()
    assert not is_paused(world)
