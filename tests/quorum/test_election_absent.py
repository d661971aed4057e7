"""FastLeaderElection: no silence is waited for in honour of servers that cannot be reached."""

from __future__ import annotations

from tests.quorum.electors import FOLLOWING, LEADING, LOOKING, Peer, view_of


def test_a_quorum_decides_at_once_when_nobody_else_can_be_reached() -> None:
    peer = Peer(2, view_of(1, 2, 3))
    peer.look()
    peer.election.not_reached(3)
    peer.hear(1, LOOKING, 2)
    assert peer.outcome == (LEADING, 2)


def test_the_news_that_a_server_cannot_be_reached_ends_the_silence() -> None:
    peer = Peer(1, view_of(1, 2, 3))
    peer.look()
    peer.hear(2, LOOKING, 2)
    assert peer.outcome is None, "server 3 may have a better vote"
    peer.election.not_reached(3)
    assert peer.outcome == (FOLLOWING, 2)


def test_servers_that_cannot_be_reached_are_no_supporters() -> None:
    peer = Peer(2, view_of(1, 2, 3, 4, 5))
    peer.look()
    peer.hear(1, LOOKING, 2)
    for sid in (3, 4, 5):
        peer.election.not_reached(sid)
    assert peer.outcome is None, "two of five are no quorum"


def test_a_server_with_a_connection_again_is_waited_for() -> None:
    peer = Peer(2, view_of(1, 2, 3))
    peer.look()
    peer.election.not_reached(3)
    peer.election.reached(3)
    peer.hear(1, LOOKING, 2)
    assert peer.outcome is None


def test_a_server_that_is_heard_again_is_waited_for() -> None:
    peer = Peer(2, view_of(1, 2, 3))
    peer.look()
    peer.election.not_reached(3)
    peer.hear(3, LOOKING, 3, round=0)
    peer.hear(1, LOOKING, 2)
    assert peer.outcome is None


def test_a_lost_connection_is_tried_again_at_once_but_once() -> None:
    peer = Peer(2, view_of(1, 2, 3))
    peer.look()
    peer.election.lost(3)
    assert list(peer.sent()) == [3], "what was sent may have gone with the connection"
    peer.election.lost(3)
    assert not peer.sent(), "a server that closes every connection costs no more than one each time"
    peer.advance(200)
    peer.election.lost(3)
    assert 3 in peer.sent()


def test_a_lost_connection_means_nothing_after_the_election() -> None:
    peer = Peer(2, view_of(1, 2, 3))
    peer.look()
    for sid in (1, 3):
        peer.hear(sid, LOOKING, 2)
    peer.election.lost(3)
    assert peer.outcome == (LEADING, 2)
    assert not peer.sent()
