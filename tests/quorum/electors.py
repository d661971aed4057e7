"""One peer of an election, its clock, and a hand that feeds it notifications."""

from __future__ import annotations

import struct

from pyzk.clock import Clock
from pyzk.errors import ConfigError
from pyzk.quorum.election import Decision, Election, ElectionTimes
from pyzk.quorum.election_messages import Notification, decode_notification
from pyzk.quorum.election_view import ElectionView
from pyzk.quorum.verifier import QuorumMaj, QuorumVerifier
from pyzk.quorum.vote import PeerState
from tests.world import START_MS

LOOKING, FOLLOWING = PeerState.LOOKING, PeerState.FOLLOWING
LEADING, OBSERVING = PeerState.LEADING, PeerState.OBSERVING
CONFIG = b"version=5"


def read_config(text: bytes) -> QuorumVerifier:
    """Version and voters in a form of the tests' own: ``version=<hex>[ sid ...| none]``."""
    version, *voters = text.decode().split()
    if not version.startswith("version="):
        raise ConfigError(f"no configuration: {text!r}")
    sids = [] if voters == ["none"] else voters or "12345"
    return QuorumMaj(map(int, sids), version=int(version[8:], 16))


def view_of(*voters: int, observers: tuple[int, ...] = ()) -> ElectionView:
    return ElectionView(QuorumMaj(voters, observers, version=5), CONFIG, None, read_config)


class Peer:
    """One election and its clock; the rest of the ensemble is the test."""

    def __init__(
        self,
        sid: int,
        view: ElectionView | None = None,
        *,
        zxid: int = 10,
        epoch: int = 1,
        is_participant: bool = True,
        times: ElectionTimes | None = None,
    ) -> None:
        self.clock = Clock(START_MS)
        self.election = Election(
            sid, view or view_of(1, 2, 3, 4, 5), self.clock, times, is_participant
        )
        self.zxid, self.epoch = zxid, epoch

    def look(self) -> dict[int, Notification]:
        self.election.look(self.zxid, self.epoch)
        return self.sent()

    def sent(self) -> dict[int, Notification]:
        """The newest notification to each server since the last call."""
        return {sid: decode_notification(data) for sid, data in self.election.take_sends()}

    def hear(
        self,
        sid: int,
        state: int,
        leader: int,
        *,
        zxid: int = 10,
        round: int = 1,
        epoch: int = 1,
        config: bytes | None = CONFIG,
    ) -> dict[int, Notification]:
        """Take one notification in; return what is sent because of it."""
        notification = Notification(state, leader, zxid, round, epoch, config=config)
        self.election.notified(sid, notification.encode())
        return self.sent()

    def hear_old(
        self, sid: int, state: int, leader: int, *, zxid: int = 10, round: int = 1
    ) -> None:
        """Take a notification of 3.4's first form in."""
        self.election.notified(sid, struct.pack(">iqqq", state, leader, zxid, round))

    def advance(self, milliseconds: int) -> dict[int, Notification]:
        end = self.clock.now_ms + milliseconds
        sent = self.sent()
        while (due := self.election.deadline) is not None and due <= end:
            self.clock.now_ms = due
            self.election.wake()
            sent |= self.sent()
        self.clock.now_ms = end
        return sent

    @property
    def decision(self) -> Decision | None:
        return self.election.decision

    @property
    def outcome(self) -> tuple[int, int] | None:
        """(state, leader) of the decision."""
        return None if self.decision is None else (self.decision.state, self.decision.vote.leader)


def decided(sid: int = 1, leader: int = 5, *, round: int = 1, state: int | None = None) -> Peer:
    """A peer that has just elected ``leader`` with everybody's vote."""
    peer = Peer(sid)
    peer.look()
    for other in {1, 2, 3, 4, 5} - {sid}:
        peer.hear(other, LOOKING, leader, round=round)
    assert peer.outcome == (LEADING if leader == sid else FOLLOWING, leader)
    return peer
