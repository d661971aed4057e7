"""From role to role: what a member takes along into its next election."""

from __future__ import annotations

from pyzk.quorum.election_messages import Notification
from pyzk.quorum.election_view import ElectionView
from pyzk.quorum.leader import BROADCAST, Leader
from pyzk.quorum.lifecycle import ACTIVE, LOOKING, MemberLife
from pyzk.quorum.verifier import QuorumMaj
from pyzk.quorum.vote import NOBODY, PeerState
from tests.transcripts.commands import perform
from tests.transcripts.stage import Stage

INIT_MS = 10_000


def refused() -> tuple[Stage, MemberLife]:
    """A server that was elected, and could not lead: the voters have a later configuration."""
    stage = Stage()
    for line in (
        "ensemble 3",
        "restore 3 accepted=1 current=1 log=0x100000001",
        "puppet 1",
        "puppet 2",
        "elect 3 by 2,3",
        "puppet 1 dials 3",
        "send 1->3 FOLLOWERINFO sid=1 accepted=1 config=100000000",
        "puppet 2 dials 3",
        "send 2->3 FOLLOWERINFO sid=2 accepted=1 config=100000000",
    ):
        perform(stage, line)
    return stage, stage.actors[3].life


def test_who_could_not_lead_votes_for_others_in_the_next_election() -> None:
    _, life = refused()
    assert life.phase == LOOKING
    assert life.election.proposal.leader == NOBODY
    assert life.election.proposal.zxid == 0x100000001


def test_who_could_not_lead_stands_again_if_nobody_else_is_elected_within_initlimit() -> None:
    stage, life = refused()
    perform(stage, f"advance {INIT_MS - 1}ms")
    assert life.election.proposal.leader == NOBODY
    perform(stage, "advance 1ms")
    assert life.election.proposal.leader == 3
    assert life.phase == LOOKING


def test_who_stood_aside_once_stands_in_the_election_after_that() -> None:
    stage, life = refused()
    perform(stage, "elect 3 by 2,3")
    perform(stage, f"advance {INIT_MS}ms")
    assert life.phase == LOOKING, "nobody has come within initLimit"
    assert life.election.proposal.leader == 3


def test_who_has_an_outdated_configuration_does_not_stand_again() -> None:
    stage, life = refused()
    life.member.is_outdated = True
    perform(stage, f"advance {INIT_MS}ms")
    assert life.election.proposal.leader == NOBODY
    perform(stage, "elect 3 by 2,3")
    perform(stage, f"advance {INIT_MS}ms")
    assert life.phase == LOOKING, "nobody has come within initLimit"
    assert life.election.proposal.leader == NOBODY


# --- a quorum port that cannot be had ----------------------------------------------------


def life_after(*lines: str) -> MemberLife:
    """The life of server 3 after these commands."""
    stage = Stage()
    for line in lines:
        perform(stage, line)
    return stage.actors[3].life


def test_a_leader_whom_nobody_can_reach_lets_another_lead() -> None:
    life = life_after("ensemble 3", "puppet 2", "elect 3 by 2,3")
    life.listen_failed("it cannot listen")
    assert life.phase == LOOKING
    assert life.election.proposal.leader == NOBODY


def test_who_follows_a_leader_that_looks_does_not_wait_for_it() -> None:
    life = life_after("ensemble 3", "puppet 2", "elect 2 by 2,3")
    assert life.phase == ACTIVE
    round_ = life.election.current_vote.round
    for later, phase in ((0, ACTIVE), (1, LOOKING)):
        said = Notification(PeerState.LOOKING, NOBODY, 0, round_ + later, 0)
        life.links.messages.append((2, said.encode()))
        life.pump()
        assert life.phase == phase


def test_who_leads_already_goes_on_when_it_cannot_listen() -> None:
    life = life_after("ensemble 3", "elect 3 by 2,3", "run")
    assert isinstance(life.role, Leader)
    assert life.role.phase == BROADCAST
    life.listen_failed("it cannot listen")
    assert life.phase == ACTIVE
    assert not life.member.stands_aside


def test_a_leader_that_needs_nobody_goes_on_when_it_cannot_listen() -> None:
    life = life_after("ensemble 3", "elect 3 by 2,3")
    member = life.member
    life.election.set_view(ElectionView(QuorumMaj([member.sid], [1, 2]), b""))
    life.listen_failed("it cannot listen")
    assert life.phase == ACTIVE
    assert not member.stands_aside


# --- the port of an observer master --------------------------------------------------------


def test_only_a_follower_takes_observers() -> None:
    stage = Stage()
    for line in ("ensemble 3 observerMasterPort=1000", "elect 3 by 1,2,3", "run"):
        perform(stage, line)
    for sid, takes in ((1, True), (2, True), (3, False)):
        assert (stage.actors[sid].life.observer_accepted("x") is not None) is takes
    perform(stage, "crash 3")
    perform(stage, "cut 1-3")
    assert stage.actors[1].life.observer_accepted("x") is None


def test_who_looks_for_a_leader_wakes_for_the_election_and_for_a_stranger_who_says_nothing() -> (
    None
):
    stage = Stage()
    perform(stage, "ensemble 3")
    perform(stage, "start 1")
    life = stage.actors[1].life
    assert life.phase == LOOKING
    assert life.deadline == life.election.deadline
    wanted = life.election.deadline
    assert wanted is not None
    life.links.handshake_timeout_ms = wanted - life.clock.now_ms - 1
    life.election_accepted("stranger")
    assert life.deadline == life.links.deadline == wanted - 1
