"""FastLeaderElection among peers that have elected, that only observe, that join or reconfigure."""

from __future__ import annotations

import pytest

from pyzk.config.members import parse_membership
from pyzk.outsiders import SUBJECT
from pyzk.quorum.election import MAX_ASKERS, MAX_CONFIGS
from pyzk.quorum.election_messages import Notification
from pyzk.quorum.election_view import ElectionView, election_view
from pyzk.quorum.epochs import MAX_LEAP
from pyzk.quorum.verifier import QuorumMaj
from pyzk.quorum.vote import NOBODY
from tests.quorum.electors import (
    CONFIG,
    FOLLOWING,
    LEADING,
    LOOKING,
    OBSERVING,
    Peer,
    decided,
    read_config,
    view_of,
)

# --- those who have elected ---------------------------------------------------------------


def test_an_established_leader_is_followed_although_the_own_sid_is_larger() -> None:
    peer = Peer(3, view_of(1, 2, 3), zxid=0, epoch=0)
    peer.look()
    peer.hear(1, FOLLOWING, 2, zxid=0)
    assert peer.decision is None, "the leader itself has not said so"
    peer.hear(2, LEADING, 2, zxid=0)
    assert peer.outcome == (FOLLOWING, 2)
    decision = peer.election.decision
    assert decision is not None
    assert decision.is_established
    assert peer.election.current_vote.peer_epoch == 1


@pytest.mark.parametrize("round_", [1, 7], ids=["same round", "other round"])
def test_a_quorum_without_the_word_of_its_leader_is_not_followed(round_: int) -> None:
    peer = Peer(3)
    peer.look()
    for sid in (1, 2, 4):
        peer.hear(sid, FOLLOWING, 5, round=round_)
    assert peer.decision is None
    peer.hear(5, FOLLOWING, 5, round=round_)
    assert peer.decision is None, "it follows"
    peer.hear(5, LEADING, 5, round=round_)
    assert peer.outcome == (FOLLOWING, 5)


@pytest.mark.parametrize("round_", [1, 7], ids=["same round", "other round"])
def test_a_leader_without_a_quorum_is_not_followed(round_: int) -> None:
    peer = Peer(3)
    peer.look()
    peer.hear(5, LEADING, 5, round=round_)
    peer.hear(4, FOLLOWING, 5, round=round_)
    peer.hear(1, LEADING, 1, round=round_)
    peer.hear(2, FOLLOWING, 1, round=round_)
    peer.advance(10_000)
    assert peer.decision is None, "two leaders, neither with a quorum"
    peer.hear(2, FOLLOWING, 5, round=round_)
    assert peer.outcome == (FOLLOWING, 5)


def test_joining_an_established_ensemble_takes_its_round_over() -> None:
    peer = Peer(3)
    peer.look()
    for sid in (1, 2, 5):
        peer.hear(sid, LEADING if sid == 5 else FOLLOWING, 5, round=7, zxid=sid)
    assert peer.outcome == (FOLLOWING, 5)
    assert peer.election.round == 7
    assert peer.election.current_vote.round == 7
    assert peer.look()[1].round == 8


def test_votes_of_other_rounds_agree_in_leader_and_epoch_whatever_their_zxid_and_round() -> None:
    peer = Peer(3)
    peer.look()
    peer.hear(1, FOLLOWING, 5, round=7, zxid=1, epoch=4)
    peer.hear(2, FOLLOWING, 5, round=8, zxid=2, epoch=3)
    peer.hear(5, LEADING, 5, round=9, zxid=3, epoch=4)
    assert peer.decision is None, "2 is of another epoch"
    peer.hear(2, FOLLOWING, 5, round=8, zxid=2, epoch=4)
    assert peer.outcome == (FOLLOWING, 5)


def test_in_the_own_round_the_epoch_is_not_compared() -> None:
    peer = Peer(3)
    peer.look()
    peer.hear(1, FOLLOWING, 5, epoch=1)
    peer.hear(2, FOLLOWING, 5, epoch=1)
    peer.hear(5, LEADING, 5, epoch=2)
    assert peer.outcome == (FOLLOWING, 5), "the others are about to learn the epoch"


def test_beside_a_server_of_3_4_only_the_leader_is_compared() -> None:
    peer = Peer(3)
    peer.look()
    peer.hear_old(1, FOLLOWING, 5, zxid=0x3_00000001, round=7)
    peer.hear_old(2, FOLLOWING, 5, zxid=0x2_00000001, round=7)
    peer.hear(5, LEADING, 5, round=7, epoch=9)
    assert peer.outcome == (FOLLOWING, 5)


def test_looking_votes_of_the_round_count_for_a_leader_that_leads() -> None:
    peer = Peer(3)
    peer.look()
    peer.hear(2, LOOKING, 5, zxid=9)
    peer.hear(1, FOLLOWING, 5)
    peer.hear(5, LEADING, 5)
    assert peer.decision is None, "2 votes for another state of 5"
    peer.hear(4, LOOKING, 5)
    peer.hear(5, LEADING, 5)
    assert peer.outcome == (FOLLOWING, 5), "without waiting for silence"


def test_votes_of_the_decided_count_for_the_own_proposal() -> None:
    peer = Peer(3)
    peer.look()
    peer.hear(1, LOOKING, 5)
    peer.hear(4, FOLLOWING, 5)
    peer.advance(200)
    assert peer.outcome == (FOLLOWING, 5), "5 has not been heard; the election decides"
    assert peer.decision is not None
    assert not peer.decision.is_established


def test_a_leader_that_restarted_leads_again_if_its_round_says_so() -> None:
    peer = Peer(5)
    peer.look()
    for sid in (1, 2):
        peer.hear(sid, FOLLOWING, 5, zxid=9)
    assert peer.decision is None
    peer.hear(3, FOLLOWING, 5, zxid=9)
    assert peer.outcome == (LEADING, 5)
    other = Peer(5)
    other.look()
    for sid in (1, 2, 3, 4):
        other.hear(sid, FOLLOWING, 5, round=7)
    assert other.decision is None, "of another round: they are about to notice"


def test_a_witness_that_looks_again_is_none() -> None:
    peer = Peer(3)
    peer.look()
    peer.hear(1, FOLLOWING, 5, round=7)
    peer.hear(2, FOLLOWING, 5, round=7)
    peer.hear(1, LOOKING, NOBODY, round=1)
    peer.hear(5, LEADING, 5, round=7)
    assert peer.decision is None


def test_an_observer_does_not_lead_whatever_others_say() -> None:
    peer = Peer(5, is_participant=False)
    peer.look()
    for sid in (1, 2, 3, 4):
        peer.hear(sid, FOLLOWING, 5)
    assert peer.decision is None


# --- observers and joiners ----------------------------------------------------------------


def test_an_observer_follows_the_election_that_is_running() -> None:
    peer = Peer(9, view_of(1, 2, 3, observers=(9,)), is_participant=False)
    peer.look()
    peer.hear(1, LOOKING, 3)
    peer.hear(2, LOOKING, 3)
    peer.advance(200)
    assert peer.outcome == (OBSERVING, 3)


def test_an_observer_finds_an_established_leader() -> None:
    peer = Peer(9, view_of(1, 2, 3, observers=(9,)), is_participant=False)
    peer.look()
    peer.hear(1, FOLLOWING, 3, round=5)
    peer.hear(3, LEADING, 3, round=5)
    assert peer.outcome == (OBSERVING, 3)


def test_a_joiner_outside_the_configuration_follows() -> None:
    peer = Peer(9, view_of(1, 2, 3), zxid=99)
    peer.look()
    peer.hear(1, LOOKING, 3)
    peer.hear(2, LOOKING, 3)
    peer.advance(200)
    assert peer.outcome == (FOLLOWING, 3), "not 9 itself, though it has the larger zxid"


# --- answers ------------------------------------------------------------------------------


@pytest.mark.parametrize("sid", [1, 5])
def test_who_has_elected_answers_a_looking_voter_with_its_own_vote_and_round(sid: int) -> None:
    peer = decided(sid, round=4)
    peer.election.epoch_established(2)
    state = LEADING if sid == 5 else FOLLOWING
    sent = peer.hear(3, LOOKING, 3, round=9, zxid=999)
    assert sent == {3: Notification(state, 5, 10, 4, 2, config=CONFIG)}
    assert peer.election.round == 4


def test_who_has_elected_does_not_answer_those_who_have_too() -> None:
    peer = decided()
    for state in (FOLLOWING, LEADING, OBSERVING):
        assert peer.hear(3, state, 3) == {}


def test_a_leader_takes_note_of_voters_that_look() -> None:
    leader, follower = decided(5), decided(1)
    for peer in (leader, follower):
        peer.hear(3, LOOKING, 3)
        peer.hear(9, LOOKING, NOBODY)
    assert leader.election.take_lookers() == [3]
    assert leader.election.take_lookers() == []
    assert follower.election.take_lookers() == []


def test_a_follower_takes_note_of_a_leader_that_looks_since_its_election() -> None:
    peer = decided(1, round=4)
    peer.hear(5, LOOKING, 5, round=4)  # on its way since before
    peer.hear(3, LOOKING, 3, round=9)
    assert peer.election.take_lookers() == []
    peer.hear(5, LOOKING, NOBODY, round=5)
    assert peer.election.take_lookers() == [5]


def test_the_epoch_of_the_vote_is_corrected_and_nothing_else() -> None:
    peer = decided(1, round=4)
    peer.election.epoch_established(7)
    vote = peer.election.current_vote
    assert (vote.leader, vote.zxid, vote.round, vote.peer_epoch) == (5, 10, 4, 7)


def test_a_stranger_is_answered_with_the_vote_and_the_logical_clock() -> None:
    peer = decided(1, round=4)
    peer.election.epoch_established(2)
    peer.election.round = 6
    assert peer.hear(9, LOOKING, NOBODY, round=1) == {
        9: Notification(FOLLOWING, 5, 10, 6, 2, config=CONFIG)
    }


def test_a_stranger_learns_the_proposal_of_a_running_election() -> None:
    peer = decided(1, leader=5)
    peer.look()
    peer.hear(3, LOOKING, 3, round=2)
    assert peer.hear(9, LOOKING, NOBODY) == {9: Notification(LOOKING, 3, 10, 2, 1, config=CONFIG)}
    assert 9 not in peer.election.recvset


def test_before_its_first_election_a_peer_answers_with_itself() -> None:
    peer = Peer(1)
    answer = peer.hear(9, LOOKING, NOBODY)[9]
    assert (answer.state, answer.leader, answer.round) == (LOOKING, 1, 0)
    assert peer.hear(2, LOOKING, 2) == {}, "a voter is answered once this one looks itself"


def test_answers_of_strangers_are_not_answered() -> None:
    peer = decided(1)
    for state in (FOLLOWING, LEADING, OBSERVING):
        assert peer.hear(9, state, 9) == {}


def test_two_that_do_not_know_each_other_as_voters_end_their_exchange() -> None:
    one, other = Peer(1, view_of(1, 2)), Peer(9, view_of(8, 9))
    one.look()
    answers = 0
    answer = one.hear(9, LOOKING, 9).get(9)
    other.look()
    while answer is not None and answers < 100:
        answers += 1
        back = other.hear(1, *answer[:2]).get(1)
        answer = one.hear(9, *back[:2]).get(9) if back is not None else None
    assert answers == 1
    one.advance(50)
    assert 9 in one.hear(9, LOOKING, 9), "a question that comes later is a new one"


def test_the_memory_of_questions_is_bounded() -> None:
    peer = decided(1)
    for sid in range(100, 100 + 3 * MAX_ASKERS):
        assert sid in peer.hear(sid, LOOKING, NOBODY)
    assert len(peer.election._answered_at) <= MAX_ASKERS


# --- configurations -----------------------------------------------------------------------


LATER = b"version=6 1 2 3 4"


def adopt(peer: Peer) -> None:
    """Put in force what the election asks for, as the life of a member does."""
    newer = peer.election.newer_config
    assert newer is not None
    peer.election.set_view(ElectionView(read_config(newer), newer, None, read_config))
    peer.election.newer_config = None


def test_who_looks_adopts_a_later_configuration_in_place_of_the_vote() -> None:
    peer = Peer(1, view_of(1, 2, 3))
    peer.look()
    assert peer.hear(2, LOOKING, 2, config=LATER) == {}
    adopt(peer)
    assert sorted(peer.look()) == [2, 3, 4]
    assert peer.hear(2, LOOKING, 2, round=2, config=LATER)[4].leader == 2
    assert peer.election.newer_config is None
    peer.hear(4, LOOKING, 2, round=2, config=LATER)
    peer.advance(200)
    assert peer.outcome == (FOLLOWING, 2)


def test_a_later_configuration_of_the_same_content_costs_no_vote() -> None:
    peer = Peer(1, view_of(1, 2, 3))
    peer.look()
    peer.hear(2, LOOKING, 2, config=b"version=6 1 2 3")
    adopt(peer)
    assert peer.hear(2, LOOKING, 2, config=b"version=6 1 2 3")[3].leader == 2
    peer.hear(3, LOOKING, 2)
    assert peer.outcome == (FOLLOWING, 2)


@pytest.mark.parametrize("state", [LEADING, FOLLOWING])
def test_who_has_elected_passes_a_later_configuration_over(state: int) -> None:
    peer = decided(1, leader=1 if state == LEADING else 2, state=state)
    answer = peer.hear(3, LOOKING, 3, config=LATER)
    assert answer[3].state == state
    assert peer.election.newer_config is None


def test_a_new_round_forgets_a_configuration_that_was_not_taken() -> None:
    peer = Peer(1, view_of(1, 2, 3))
    peer.look()
    peer.hear(2, LOOKING, 2, config=LATER)
    peer.look()
    assert peer.election.newer_config is None


@pytest.mark.parametrize(
    ("sid", "config", "is_adopted"),
    [
        (2, b"version=6 7 8", True),  # a member that has left it, as this server has
        (9, b"version=6 1 2 9", True),  # a member that this server does not know yet
        (9, b"version=6 2 3 9", False),
        (9, b"version=6 1 2 3", False),
    ],
)
def test_who_may_bring_a_later_configuration(sid: int, config: bytes, is_adopted: bool) -> None:
    peer = Peer(1, view_of(1, 2, 3))
    peer.look()
    peer.hear(sid, LOOKING, sid, config=config)
    assert peer.election.newer_config == (config if is_adopted else None)


@pytest.mark.parametrize("epoch", [0, MAX_LEAP - 1])
def test_an_observer_and_a_server_that_is_proposed_may_bring_it_too(epoch: int) -> None:
    last_seen = QuorumMaj([1, 2, 3, 8], version=6)
    view = ElectionView(QuorumMaj([1, 2, 3], [7], version=5), CONFIG, last_seen, read_config)
    for sid in (7, 8):
        peer = Peer(1, view, epoch=epoch)
        peer.look()
        config = b"version=%x 2 3" % (7 + (epoch + MAX_LEAP << 32))
        peer.hear(sid, LOOKING, sid, config=config)
        assert peer.election.newer_config == config


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (b"version=7fffffffffffffff 1 2 3 4", "no counting of elections leads from epoch 1 to it"),
        (b"version=%x 1 2 3 4" % (2 + MAX_LEAP << 32), "no counting of elections"),
        (b"version=6 none", "it has no voters"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_and_the_vote_counts(
    config: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer = Peer(1, view_of(1, 2, 3))
    peer.look()
    assert peer.hear(2, LOOKING, 2, config=config)[3].leader == 2
    assert peer.election.newer_config is None
    assert why in caplog.text


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (LATER, "which this server does not adopt: reconfigEnabled is false"),
        (b"version=6 1 2 3", ""),
        (b"version=5 1 2 3 4", ""),
        (b"junk", "sent a configuration that cannot be read"),
    ],
)
def test_a_configuration_that_is_never_adopted_is_spoken_of_once(
    config: bytes, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    view = view_of(1, 2, 3)
    view.is_reconfig_enabled = False
    peer = Peer(1, view)
    for _ in range(3):
        peer.look()
        for sid in (2, 3, 9):
            peer.hear(sid, LOOKING, 3, config=config)
            peer.hear(sid, FOLLOWING, 3, config=config)
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert len(warnings) == bool(said)
    assert said in "".join(warnings)


@pytest.mark.parametrize("config", [b"version=6 2 3 4", b"junk"])
def test_what_is_said_of_a_configuration_names_who_told_it(
    config: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody may connect and tell any number of them: one line a minute about each server."""
    peer = Peer(1, view_of(1, 2, 3))
    peer.look()
    peer.hear(9, LOOKING, 9, config=config)
    (warning,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert warning.__dict__[SUBJECT] == "server 9"


def test_the_memory_of_configurations_is_bounded() -> None:
    peer = Peer(1, view_of(1, 2, 3))
    peer.look()
    for version in range(6, 6 + 3 * MAX_CONFIGS):
        peer.hear(2, LOOKING, 2, config=b"version=%x 1 2 3 4" % version)
    assert len(peer.election._configs) == MAX_CONFIGS


@pytest.mark.parametrize(
    ("configs", "is_known"),
    [
        ((), False),
        ((b"version=6 1 2 3",), True),
        ((LATER,), False),
        ((b"version=7 1 2 3",), False),
        ((b"version=6 1 2 3", LATER), False),
        ((b"junk",), False),
    ],
)
def test_whether_a_version_has_the_same_quorums_is_what_others_have_told(
    configs: tuple[bytes, ...], is_known: bool
) -> None:
    peer = decided(1, leader=1)
    peer.election.view = view_of(1, 2, 3)
    for config in configs:
        peer.hear(2, LOOKING, 2, config=config)
    assert peer.election.has_quorums_of(6) == is_known


# --- who does not stand -------------------------------------------------------------------


def test_who_does_not_stand_votes_for_others_and_is_not_elected() -> None:
    peer = Peer(5)
    peer.election.look(10, 1, stands=False)
    assert {each.leader for each in peer.sent().values()} == {NOBODY}
    peer.hear(1, LOOKING, 5)
    peer.hear(2, LOOKING, 5)
    peer.hear(3, FOLLOWING, 5)
    assert peer.hear(4, LOOKING, 5) == {}
    assert peer.decision is None
    assert peer.hear(2, LOOKING, 2)[1].leader == 2
    peer.hear(3, LOOKING, 2)
    peer.hear(1, LOOKING, 2)
    peer.hear(4, LOOKING, 2)
    assert peer.outcome == (FOLLOWING, 2)
    peer.look()
    assert peer.election.proposal.leader == 5, "it stands again"


def test_who_does_not_stand_draws_others_into_its_round() -> None:
    """Others do not hear a vote for nobody: they would stay in their round, and it in its own."""
    peer = Peer(5)
    for _ in range(3):
        peer.election.look(10, 1, stands=False)
    peer.sent()
    assert peer.hear(4, LOOKING, 5, round=1)[4].leader == NOBODY, "a vote for this peer is none"
    said = peer.hear(2, LOOKING, 2, round=1)
    assert {(each.leader, each.round) for each in said.values()} == {(2, 3)}
    assert peer.election.recvset.keys() == {5}, "its vote was one of an earlier round"
    for sid in (1, 2, 3):
        peer.hear(sid, LOOKING, 2, round=3)
    peer.advance(200)
    assert peer.outcome == (FOLLOWING, 2)


def test_who_does_not_vote_draws_others_into_its_round() -> None:
    """A change that is under way makes it a voter for others, which need its vote."""
    peer = Peer(5, view_of(1, 2))
    for _ in range(3):
        peer.look()
    peer.sent()
    said = peer.hear(2, LOOKING, 2, round=1)
    assert {(each.leader, each.round) for each in said.values()} == {(2, 3)}


# --- other configurations -----------------------------------------------------------------


@pytest.mark.parametrize("config", [b"version=5 1 2 3 4", b"version=4 1 2 3 4", b"", None, b"junk"])
def test_other_configurations_are_ignored_and_the_vote_counts(config: bytes | None) -> None:
    peer = Peer(1, view_of(1, 2, 3))
    peer.look()
    assert peer.hear(2, LOOKING, 2, config=config)[3].leader == 2
    assert peer.election.newer_config is None


def test_where_configurations_do_not_change_a_later_one_is_not_to_be_adopted() -> None:
    peer = Peer(1, ElectionView(QuorumMaj([1, 2, 3], version=5), CONFIG, is_reconfig_enabled=False))
    peer.look()
    assert peer.hear(2, LOOKING, 2, config=b"version=6 1 2 3 9")[3].leader == 2
    assert peer.election.newer_config is None


def test_the_view_of_a_peer_is_made_of_its_configurations() -> None:
    def member(sid: int, role: str) -> str:
        return f"server.{sid}=h{sid}:2888:3888:{role};0.0.0.0:2181\n"

    def text(count: int, version: int) -> bytes:
        servers = "".join(member(sid, "participant") for sid in range(1, count + 1))
        return (servers + member(9, "observer") + f"version={version:x}").encode()

    committed, proposed = parse_membership(text(3, 10)), parse_membership(text(4, 11))
    view = election_view(committed, proposed, True)
    assert (view.voters, view.committed.observers) == ((1, 2, 3, 4), (9,))
    assert [verifier.version for verifier in view.verifiers] == [10, 11]
    assert view.config == text(3, 10)
    peer = Peer(1, election_view(committed, None, True))
    peer.look()
    peer.hear(2, LOOKING, 2, config=b"server.1=x\nversion=b")
    peer.hear(2, LOOKING, 2, config=b"\xff\xfe=\\u12")
    assert peer.election.deadline is not None, "neither can be read: the election goes on"
    peer.hear(2, LOOKING, 2, config=text(4, 11))
    assert peer.election.newer_config == text(4, 11)
    assert not election_view(committed, None, False).is_reconfig_enabled


def test_a_change_of_configuration_may_name_the_leader() -> None:
    peer = decided(1, leader=5, round=4)
    assert not peer.election.designate(5, 77)
    assert peer.election.current_vote.round == 4
    assert peer.election.designate(1, 77)
    peer.election.take_role(LEADING)
    answer = peer.hear(3, LOOKING, 3)[3]
    assert answer == Notification(LEADING, 1, 77, -1, -1, config=CONFIG)
    assert peer.election.deadline is None


# --- the end ------------------------------------------------------------------------------


def test_a_stopped_election_does_nothing_by_itself() -> None:
    peer = Peer(1)
    peer.look()
    peer.election.stop()
    assert peer.election.deadline is None
    peer.election.wake()
    assert (peer.sent(), peer.decision) == ({}, None)


def test_waking_early_does_nothing() -> None:
    peer = Peer(1)
    peer.look()
    peer.clock.now_ms += 199
    peer.election.wake()
    assert peer.sent() == {}


def test_votes_are_not_kept_after_the_end() -> None:
    peer = decided()
    assert (peer.election.recvset, peer.election.outofelection) == ({}, {})
