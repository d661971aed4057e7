"""FastLeaderElection, one peer at a time: rounds, proposals, quorums and silence."""

from __future__ import annotations

import pytest

from pyzk.quorum.election import ElectionTimes
from pyzk.quorum.election_messages import MAX_ROUND, Notification
from pyzk.quorum.election_view import ElectionView
from pyzk.quorum.verifier import QuorumHierarchical, QuorumMaj
from pyzk.quorum.vote import NOBODY, UNTRUSTED_ZXID
from tests.quorum.electors import (
    CONFIG,
    FOLLOWING,
    LEADING,
    LOOKING,
    OBSERVING,
    Peer,
    view_of,
)

# --- a round begins -----------------------------------------------------------------------


def test_a_round_begins_with_the_own_proposal_to_all_other_voters() -> None:
    peer = Peer(2, view_of(1, 2, 3, observers=(4,)), zxid=0x100000007, epoch=3)
    own = Notification(LOOKING, 2, 0x100000007, 1, 3, config=CONFIG)
    assert peer.look() == {1: own, 3: own}
    assert peer.look()[1].round == 2, "each election is a round"


def test_the_voters_of_the_next_configuration_are_asked_too() -> None:
    view = ElectionView(QuorumMaj([1, 2], version=5), CONFIG, QuorumMaj([2, 6], version=6))
    assert sorted(Peer(1, view).look()) == [2, 6]


def test_one_voter_elects_itself_at_once() -> None:
    peer = Peer(1, view_of(1))
    assert peer.look() == {}
    assert peer.outcome == (LEADING, 1)
    assert peer.election.deadline is None


@pytest.mark.parametrize(
    ("sid", "is_participant", "expected"),
    [
        (1, True, (1, 10, 1)),
        (1, False, (NOBODY, NOBODY, NOBODY)),
        (9, True, (NOBODY, 10, 1)),
        (9, False, (NOBODY, NOBODY, NOBODY)),
    ],
)
def test_the_own_proposal_depends_on_membership_and_role(
    sid: int, is_participant: bool, expected: tuple[int, int, int]
) -> None:
    sent = Peer(sid, is_participant=is_participant).look()[2]
    assert (sent.leader, sent.zxid, sent.peer_epoch) == expected


# --- repetition ---------------------------------------------------------------------------


def test_notifications_are_repeated_with_doubling_intervals_up_to_the_longest() -> None:
    peer = Peer(1, times=ElectionTimes(max_notification_ms=1000))
    peer.look()
    intervals = []
    for _ in range(6):
        due = peer.election.deadline
        assert due is not None
        intervals.append(due - peer.clock.now_ms)
        assert peer.advance(intervals[-1] - 1) == {}
        assert sorted(peer.advance(1)) == [2, 3, 4, 5]
    assert intervals == [200, 400, 800, 1000, 1000, 1000]


def test_the_intervals_default_to_the_original_s() -> None:
    assert ElectionTimes() == (200, 200, 60_000)


def test_messages_do_not_shorten_or_restart_the_interval_but_a_new_round_does() -> None:
    peer = Peer(1)
    peer.look()
    peer.advance(200)
    peer.advance(399)
    peer.hear(2, LOOKING, 2)
    assert sorted(peer.advance(1)) == [2, 3, 4, 5]
    peer.look()
    assert peer.advance(199) == {}
    assert sorted(peer.advance(1)) == [2, 3, 4, 5]


def test_a_repetition_says_the_present_proposal() -> None:
    peer = Peer(1)
    peer.look()
    peer.hear(2, LOOKING, 2)
    assert peer.advance(200)[5].leader == 2


# --- better, equal and worse proposals ----------------------------------------------------


@pytest.mark.parametrize(
    ("zxid", "epoch", "leader"),
    [(10, 1, 4), (11, 1, 2), (9, 2, 2), (0, 2, 1)],
    ids=["sid", "zxid", "epoch before zxid", "epoch before all"],
)
def test_a_better_proposal_is_taken_over_and_said_to_all(
    zxid: int, epoch: int, leader: int
) -> None:
    peer = Peer(3)
    peer.look()
    sent = peer.hear(2, LOOKING, leader, zxid=zxid, epoch=epoch)
    assert sent == dict.fromkeys(
        (1, 2, 4, 5), Notification(LOOKING, leader, zxid, 1, epoch, config=CONFIG)
    )


@pytest.mark.parametrize(
    ("zxid", "epoch", "leader"), [(10, 1, 3), (10, 1, 2), (9, 1, 5), (0x9_00000000, 0, 5)]
)
def test_a_proposal_that_is_no_better_changes_nothing(zxid: int, epoch: int, leader: int) -> None:
    peer = Peer(3)
    peer.look()
    assert peer.hear(2, LOOKING, leader, zxid=zxid, epoch=epoch) == {}
    assert peer.election.proposal.leader == 3
    assert 2 in peer.election.recvset, "it is counted all the same"


# --- rounds -------------------------------------------------------------------------------


def test_a_later_round_is_joined_and_earlier_votes_forgotten() -> None:
    peer = Peer(3)
    peer.look()
    peer.hear(1, LOOKING, 3)
    sent = peer.hear(4, LOOKING, 4, round=7)
    assert (sent[1].leader, sent[1].round) == (4, 7)
    assert sorted(peer.election.recvset) == [3, 4]
    assert peer.look()[1].round == 8


def test_in_a_later_round_the_own_first_proposal_counts_again() -> None:
    peer = Peer(3)
    peer.look()
    peer.hear(5, LOOKING, 5)
    assert peer.election.proposal.leader == 5
    sent = peer.hear(2, LOOKING, 2, round=2)
    assert (sent[1].leader, sent[1].round) == (3, 2), "not 5, which belongs to round 1"


def test_an_earlier_round_is_not_counted_but_told() -> None:
    peer = Peer(3)
    peer.look()
    peer.look()
    sent = peer.hear(5, LOOKING, 5, round=1)
    assert sent == {5: Notification(LOOKING, 3, 10, 2, 1, config=CONFIG)}
    assert 5 not in peer.election.recvset


# --- who counts ---------------------------------------------------------------------------


def test_proposals_of_servers_that_do_not_vote_are_ignored() -> None:
    peer = Peer(3)
    peer.look()
    assert peer.hear(2, LOOKING, 9, zxid=99) == {}
    assert peer.hear(2, LOOKING, NOBODY, zxid=99, round=4) == {}
    assert peer.election.round == 1
    assert sorted(peer.election.recvset) == [3]


@pytest.mark.parametrize("state", [LOOKING, FOLLOWING, LEADING])
def test_votes_of_servers_that_do_not_vote_count_nowhere(state: int) -> None:
    peer = Peer(1, view_of(1, 2, 3, observers=(8,)))
    peer.look()
    for sid in (8, 9):
        peer.hear(sid, state, 3, zxid=99)
    assert peer.election.proposal.leader == 1
    assert (sorted(peer.election.recvset), peer.election.outofelection) == ([1], {})


def test_observing_voters_are_ignored() -> None:
    peer = Peer(1)
    peer.look()
    for sid in (2, 3, 4, 5):
        assert peer.hear(sid, OBSERVING, 2) == {}
    assert peer.decision is None
    assert peer.election.outofelection == {}


def test_a_peer_that_lost_its_data_neither_votes_nor_is_voted_for() -> None:
    peer = Peer(3)
    peer.look()
    assert peer.hear(5, LOOKING, 5, zxid=UNTRUSTED_ZXID, epoch=9) == {}
    assert 5 not in peer.election.recvset
    lost = Peer(5, zxid=UNTRUSTED_ZXID)
    lost.look()
    for sid in (1, 2, 3, 4):
        assert lost.hear(sid, LOOKING, 4, round=3) == {}
    assert lost.decision is None
    assert lost.election.recvset == {}


def test_a_peer_that_lost_its_data_follows_a_leader_but_never_leads_again() -> None:
    lost = Peer(5, zxid=UNTRUSTED_ZXID)
    lost.look()
    for sid in (1, 2, 3, 4):
        lost.hear(sid, FOLLOWING, 5)
    assert lost.decision is None
    for sid in (1, 2, 3):
        lost.hear(sid, LEADING if sid == 1 else FOLLOWING, 1, round=6)
    assert lost.outcome == (FOLLOWING, 1)


def test_what_is_no_notification_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer(1)
    peer.look()
    for payload in (b"", bytes(27), b"\xff" * 44):
        peer.election.notified(2, payload)
    assert peer.sent() == {}
    assert caplog.text.count("ignored a notification from server 2") == 3


def test_even_in_the_last_round_a_leader_can_be_elected() -> None:
    peer = Peer(3, view_of(1, 2, 3))
    peer.look()
    peer.hear(2, LOOKING, 2, round=MAX_ROUND)
    assert peer.look()[2].round == MAX_ROUND
    peer.hear(2, LOOKING, 3, round=MAX_ROUND)
    peer.advance(200)
    assert peer.outcome == (LEADING, 3)


# --- a quorum, silence, a decision --------------------------------------------------------


def test_a_quorum_and_200_ms_of_silence_decide() -> None:
    peer = Peer(5)
    peer.look()
    peer.hear(1, LOOKING, 5)
    assert peer.election.deadline == peer.clock.now_ms + 200
    peer.advance(100)
    peer.hear(2, LOOKING, 5)
    peer.advance(199)
    assert peer.decision is None
    peer.advance(1)
    assert peer.outcome == (LEADING, 5)
    assert peer.election.decision == (LEADING, peer.election.current_vote, (5, 1, 2), False)
    assert peer.election.deadline is None


def test_half_of_the_voters_are_no_quorum() -> None:
    peer = Peer(4, view_of(1, 2, 3, 4))
    peer.look()
    peer.hear(1, LOOKING, 4)
    peer.advance(100_000)
    assert peer.decision is None
    peer.hear(2, LOOKING, 4)
    peer.advance(200)
    assert peer.outcome == (LEADING, 4)


def test_a_vote_for_somebody_else_does_not_count_for_the_proposal() -> None:
    peer = Peer(5)
    peer.look()
    peer.hear(1, LOOKING, 4)
    peer.hear(2, LOOKING, 4)
    peer.hear(3, LOOKING, 5, zxid=9)
    peer.advance(100_000)
    assert peer.decision is None


def test_another_vote_restarts_the_silence_the_same_again_does_not() -> None:
    peer = Peer(5)
    peer.look()
    peer.hear(1, LOOKING, 5)
    peer.hear(2, LOOKING, 5)
    due = peer.election.deadline
    peer.advance(150)
    peer.hear(1, LOOKING, 5)
    peer.hear(3, FOLLOWING, 1, round=9)
    assert peer.election.deadline == due
    peer.advance(49)
    peer.hear(3, LOOKING, 5)
    peer.advance(199)
    assert peer.decision is None
    peer.advance(1)
    assert peer.outcome == (LEADING, 5)


def test_a_better_proposal_during_the_silence_undoes_the_quorum() -> None:
    peer = Peer(3)
    peer.look()
    peer.hear(1, LOOKING, 3)
    peer.hear(2, LOOKING, 3)
    peer.advance(199)
    sent = peer.hear(4, LOOKING, 4)
    assert sent[1].leader == 4
    peer.advance(10_000)
    assert peer.decision is None, "1 and 2 have not said that they vote for 4"
    peer.hear(1, LOOKING, 4)
    peer.advance(200)
    assert peer.outcome == (FOLLOWING, 4)


def test_a_voter_that_goes_elsewhere_during_the_silence_takes_its_vote_along() -> None:
    peer = Peer(3, view_of(1, 2, 3))
    peer.look()
    peer.hear(2, LOOKING, 3)
    assert peer.election.deadline == peer.clock.now_ms + 200
    sent = peer.hear(2, LOOKING, 2, round=2)
    assert (sent[2].leader, sent[2].round) == (3, 2)
    peer.advance(10_000)
    assert peer.decision is None
    peer.hear(2, LOOKING, 3, round=2)
    peer.hear(1, FOLLOWING, 1, round=4)
    peer.advance(200)
    assert peer.outcome == (LEADING, 3)
    two = Peer(3, view_of(1, 2, 3))
    two.look()
    two.hear(2, LOOKING, 3)
    two.hear(2, FOLLOWING, 1, round=4)
    two.advance(10_000)
    assert two.decision is None, "2 follows 1"


def test_when_all_voters_agree_there_is_nothing_to_wait_for() -> None:
    peer = Peer(1, view_of(1, 2, 3))
    peer.look()
    peer.hear(2, LOOKING, 3)
    assert peer.decision is None
    peer.hear(3, LOOKING, 3)
    assert peer.outcome == (FOLLOWING, 3)


def test_a_decision_needs_a_quorum_of_the_next_configuration_too() -> None:
    def looking(next_version: int) -> Peer:
        next_one = QuorumMaj([3, 4, 5], version=next_version)
        peer = Peer(3, ElectionView(QuorumMaj([1, 2, 3], version=5), CONFIG, next_one))
        peer.look()
        peer.hear(1, LOOKING, 3)
        peer.advance(200)
        return peer

    assert looking(5).outcome == (LEADING, 3), "the last seen one is no later one"
    peer = looking(6)
    assert peer.decision is None
    peer.hear(5, LOOKING, 3)
    peer.advance(200)
    assert peer.outcome == (LEADING, 3)


def test_votes_are_counted_by_a_changed_view() -> None:
    peer = Peer(3, view_of(1, 2, 3, 4, 5))
    peer.look()
    peer.hear(1, LOOKING, 3)
    peer.election.set_view(view_of(1, 2, 3))
    assert peer.decision is None, "whoever changes it begins the election anew"
    peer.hear(1, LOOKING, 3)
    peer.advance(200)
    assert peer.outcome == (LEADING, 3)


def test_a_server_of_weight_0_is_not_elected() -> None:
    groups = {1: [1, 2, 3]}
    view = ElectionView(
        QuorumHierarchical([1, 2, 3], groups=groups, weights={3: 0}, version=5), CONFIG
    )
    peer = Peer(1, view)
    peer.look()
    assert peer.hear(3, LOOKING, 3, zxid=99, epoch=9) == {}
    assert peer.hear(2, LOOKING, 2)[3].leader == 2
    weightless = Peer(3, view, zxid=99)
    weightless.look()
    assert weightless.hear(1, LOOKING, 1)[2].leader == 1, "any that can be elected is better"
    weightless.hear(2, LOOKING, 1)
    weightless.hear(1, LOOKING, 1)
    assert weightless.outcome == (FOLLOWING, 1)
