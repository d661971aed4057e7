"""From role to role: what a member takes along into its next election."""

from __future__ import annotations

from pyzk.quorum.lifecycle import LOOKING, MemberLife
from pyzk.quorum.vote import NOBODY
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
