"""Logins on the quorum port: what the owner of a link hears, and when."""

from __future__ import annotations

import pytest

from pyzk.jute.records import QuorumPacket
from pyzk.quorum.authentication import IN_PROGRESS, encode_packet
from pyzk.quorum.link import QuorumLink
from pyzk.quorum.packets import encode_learner_info
from pyzk.quorum.snapshot_stream import SnapshotPart
from pyzk.server.outbox import Outbox
from tests.quorum.logins import logins

INFO = encode_learner_info(3, 0, 0, is_observer=False)


class Side:
    """The owner of a link: a learner or a leader that notes what it hears."""

    def __init__(self) -> None:
        self.is_up = False
        self.packets: list[int] = []
        self.bytes_heard = 0
        self.end = ""
        self.link = QuorumLink(Outbox(), "server 1", self)

    def link_up(self, link: QuorumLink) -> None:
        assert link is self.link
        self.is_up = True
        link.send(INFO)

    def bytes_came(self, link: QuorumLink) -> None:
        self.bytes_heard += 1

    def packet(self, link: QuorumLink, packet: QuorumPacket) -> None:
        self.packets.append(packet.type)

    def snapshot_part(self, link: QuorumLink, part: SnapshotPart) -> None:
        raise AssertionError(part)

    def link_down(self, link: QuorumLink, reason: str) -> None:
        self.end = reason


def carry(learner: Side, leader: Side) -> None:
    while True:
        up, down = learner.link.take(), leader.link.take()
        if not up and not down:
            return
        leader.link.receive(up)
        learner.link.receive(down)


def test_a_learner_says_who_it_is_behind_its_login() -> None:
    learner, leader = Side(), Side()
    leader.link.accepted(logins())
    learner.link.dialed(logins())
    learner_up_before = learner.is_up
    carry(learner, leader)
    assert (learner_up_before, learner.is_up) == (False, True)
    assert leader.packets == [11]
    assert leader.link.has_received


def test_without_logins_nothing_comes_first() -> None:
    learner, leader = Side(), Side()
    leader.link.accepted(None)
    learner.link.dialed(None)
    assert learner.is_up
    carry(learner, leader)
    assert leader.packets == [11]


def test_who_need_not_log_in_is_heard() -> None:
    learner, leader = Side(), Side()
    leader.link.accepted(logins(server_requires=False))
    learner.link.dialed(logins(learner_requires=False, server_requires=False))
    carry(learner, leader)
    assert leader.packets == [11]


def test_a_wrong_login_ends_that_link() -> None:
    learner, leader = Side(), Side()
    leader.link.accepted(logins())
    learner.link.dialed(logins(password="wrong"))
    carry(learner, leader)
    assert "the password of 'learner' is wrong" in leader.end
    assert "does not accept the login" in learner.end
    assert leader.link.is_closed
    assert learner.link.is_closed
    assert leader.link.has_failed
    assert not learner.is_up
    assert leader.packets == []


def test_packets_without_a_login_are_not_heard() -> None:
    leader = Side()
    leader.link.accepted(logins())
    leader.link.receive(INFO)
    assert leader.packets == []
    assert "serverRequireSasl" in leader.end


def test_bytes_of_a_login_are_no_sign_of_life() -> None:
    """Otherwise somebody could keep a link for ever, a byte at a time."""
    leader = Side()
    leader.link.accepted(logins())
    for byte in encode_packet(IN_PROGRESS, b""):
        leader.link.receive(bytes([byte]))
    assert leader.bytes_heard == 0
    assert leader.link.has_output


@pytest.mark.parametrize("how", ["close", "lost"])
def test_nothing_is_heard_behind_the_end(how: str) -> None:
    learner, leader = Side(), Side()
    leader.link.accepted(logins())
    learner.link.dialed(logins())
    leader.link.receive(learner.link.take())
    challenge = leader.link.take()
    if how == "close":
        learner.link.close()
    else:
        learner.link.lost("cut")
    learner.link.receive(challenge)
    assert not learner.is_up
    assert not learner.link.has_output
