"""Which packet a learner takes in which phase; every other one ends the link."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pyzk.constants import OpCode
from pyzk.jute.records import PathRequest
from pyzk.quorum import learner, packets
from pyzk.server.passwords import session_password
from pyzk.zxid import make
from scripts import gen_zab
from tests.quorum.learner_world import (
    UPTODATE,
    LearnerWorld,
    accepting,
    broadcast,
    choosing,
    diff,
    discovery,
    leader_info,
    new_leader,
    ping,
    proposal,
    ready,
    saving,
    storing,
    syncing,
    trunc,
    truncating,
)
from tests.transactions import create

E1 = make(1, 0)
P1 = create(E1 + 1)
PACKETS = {
    "LEADERINFO": leader_info(),
    "DIFF": diff(0),
    "TRUNC": trunc(0),
    "SNAP": packets.encode_bare(packets.SNAP, 0),
    "NEWLEADER": new_leader(),
    "UPTODATE": UPTODATE,
    "PROPOSAL": proposal(P1),
    "INFORM": packets.encode_packet(packets.INFORM, E1 + 1, P1),
    "INFORMANDACTIVATE": packets.encode_inform_and_activate(E1 + 1, 3, P1),
    "PING": ping(0),
    "SYNC": packets.encode_bare(packets.SYNC, 0),
    "REVALIDATE": packets.encode_validity(5, True),
    "ACK": packets.encode_bare(packets.ACK, 0),
    "REQUEST": packets.encode_packet(packets.REQUEST, -1, bytes(16)),
    "FOLLOWERINFO": packets.encode_learner_info(2, 0, 0),
    "OBSERVERINFO": packets.encode_learner_info(2, 0, 0, is_observer=True),
    "ACKEPOCH": packets.encode_ack_epoch(0, 0),
}
ANSWERS = ("SYNC", "REVALIDATE")
"""Answers to what this server has asked."""
IN_SYNC = {"PROPOSAL", "PING"}
ALLOWED: dict[Callable[[LearnerWorld], None], set[str]] = {
    discovery: {"LEADERINFO"},
    accepting: set(),
    choosing: {"DIFF", "TRUNC", "SNAP"},
    syncing: IN_SYNC | {"NEWLEADER"},
    truncating: IN_SYNC | {"NEWLEADER"},
    storing: IN_SYNC,
    saving: IN_SYNC,
    ready: IN_SYNC | {"UPTODATE"},
    broadcast: {"PROPOSAL", "PING", "SYNC", "REVALIDATE"},
}
NO_PACKETS = {"CONNECTING", "LOADING", "OVER"}
"""There is no connection yet, what comes is the snapshot, or nothing is looked at any more."""


@pytest.mark.source
def test_every_phase_is_among_these() -> None:
    names = {getattr(learner, name): name for name in gen_zab.phases(learner)}
    found = set()
    for enter in ALLOWED:
        world = LearnerWorld([create(1)])
        enter(world)
        assert names[world.role.phase] == enter.__name__.upper()
        found.add(names[world.role.phase])
    assert found | NO_PACKETS == set(names.values())


@pytest.mark.parametrize("phase", ALLOWED, ids=lambda phase: phase.__name__)
@pytest.mark.parametrize("name", PACKETS)
def test_a_packet_is_taken_in_its_phase_and_ends_the_link_in_any_other(
    phase: Callable[[LearnerWorld], None], name: str
) -> None:
    world = LearnerWorld([create(1)])
    phase(world)
    assert world.role.over is None
    if phase is broadcast and name in ANSWERS:
        client = world.open()
        client.handshake(5, session_password(5))
        if name == "SYNC":
            world.hear(PACKETS["REVALIDATE"])
            client.submit(OpCode.SYNC, PathRequest("/"), 1)
    world.hear(PACKETS[name])
    assert (world.role.over is None) == (name in ALLOWED[phase]), world.role.over
    assert world.link.is_closed == (world.role.over is not None)


def test_what_follows_a_packet_that_ends_the_link_is_not_looked_at() -> None:
    world = LearnerWorld()
    world.discover()
    world.hear(diff(0), UPTODATE, new_leader(), diff(0))
    assert world.role.over is not None
    assert "UPTODATE in the phase 'synchronization'" in world.role.over
    assert world.orders == []
