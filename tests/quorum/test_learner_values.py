"""What a leader may say in a phase, with a value that it cannot have: the end of the link."""

from __future__ import annotations

import logging

import pytest

from pyzk.constants import OpCode
from pyzk.jute.records import SetDataTxn
from pyzk.quorum import packets
from pyzk.zxid import make
from tests.quorum.learner_world import (
    SYNC,
    UPTODATE,
    LearnerWorld,
    both,
    commit,
    diff,
    inform,
    leader_info,
    new_leader,
    proposal,
    snap,
    trunc,
)
from tests.transactions import create, database_of, txn
from tests.transcripts.commands import perform
from tests.transcripts.stage import Stage

E1, E2, E3 = make(1, 0), make(2, 0), make(3, 0)
ENDED = "the link with server 3, the leader, has ended: "
OF_2 = "is not one of epoch 2, the leader's"
UP_TO_2 = "is not one of epoch 2, the leader's, or of an earlier one"


def member(*, is_observer: bool = False) -> LearnerWorld:
    """A member whose log ends at 0x100000003; its leader is to be one of epoch 2."""
    history = [create(E1 + n) for n in (1, 2, 3)]
    return LearnerWorld(history, epochs=(1, 1), is_observer=is_observer)


def fresh(*, is_observer: bool = False) -> LearnerWorld:
    """A member that has nothing."""
    return LearnerWorld(is_observer=is_observer)


def over(world: LearnerWorld) -> str | None:
    reason = world.role.over
    assert world.link.is_closed == (reason is not None)
    return None if reason is None else reason.removeprefix(ENDED)


def bare(kind: int, zxid: int) -> bytes:
    return packets.encode_bare(kind, zxid)


# --- broadcast --------------------------------------------------------------------------------


@pytest.mark.parametrize("is_observer", [False, True], ids=["follower", "observer"])
@pytest.mark.parametrize("zxid", [1, E1 + 4, E3 + 1, E2, -1], ids=hex)
def test_in_broadcast_a_transaction_is_one_of_the_epoch(is_observer: bool, zxid: int) -> None:
    world = member(is_observer=is_observer)
    world.serve(2)
    data = create(zxid)
    world.hear(inform(data) if is_observer else proposal(data))
    assert over(world) == f"the transaction {zxid & (1 << 64) - 1:#x} {OF_2}"
    assert world.take() == []
    assert world.database.last_zxid == E1 + 3


@pytest.mark.parametrize("is_observer", [False, True], ids=["follower", "observer"])
def test_a_member_that_had_nothing_takes_no_transaction_of_epoch_0(is_observer: bool) -> None:
    world = fresh(is_observer=is_observer)
    world.serve(1)
    world.hear(inform(create(1)) if is_observer else proposal(create(1)))
    assert over(world) == "the transaction 0x1 is not one of epoch 1, the leader's"
    assert world.take() == []


@pytest.mark.parametrize("zxid", [1, E1 + 4, E3 + 1], ids=hex)
def test_in_broadcast_a_commit_is_of_a_proposal_of_the_epoch(zxid: int) -> None:
    world = member()
    world.serve(2)
    world.hear(proposal(create(E2 + 1)), commit(zxid))
    assert over(world) == f"COMMIT {zxid:#x}, but 0x200000001 is the oldest proposal"
    assert world.database.last_zxid == E1 + 3


def test_an_activation_tells_an_observer_no_other_epoch_either() -> None:
    world = member(is_observer=True)
    world.serve(2)
    world.hear(packets.encode_inform_and_activate(E3 + 1, 3, create(E3 + 1)))
    assert over(world) == f"the transaction 0x300000001 {OF_2}"
    assert world.take() == []


def test_the_counter_of_an_epoch_does_not_run_into_the_next() -> None:
    world = LearnerWorld(database=database_of([], make(2, 0xFFFFFFFF)), epochs=(2, 2))
    world.serve(2)
    world.hear(proposal(create(E3)))
    assert over(world) == f"the transaction 0x300000000 {OF_2}"


# --- synchronization --------------------------------------------------------------------------


def test_synchronization_may_bring_transactions_of_earlier_epochs_and_of_this_one() -> None:
    world = member()
    world.discover(2)
    world.hear(diff(E2 + 1), both(create(E1 + 4)), both(create(E2 + 1)), new_leader(2))
    world.sync()
    world.hear(UPTODATE)
    assert over(world) is None
    assert world.committed == [E1 + 1, E1 + 2, E1 + 3, E1 + 4, E2 + 1]


@pytest.mark.parametrize("is_observer", [False, True], ids=["follower", "observer"])
@pytest.mark.parametrize("zxid", [E3 + 1, -1, 0], ids=hex)
def test_synchronization_brings_no_transaction_of_a_later_epoch(
    is_observer: bool, zxid: int
) -> None:
    for has_snapshot in (False, True):
        world = member(is_observer=is_observer)
        world.discover(2)
        begin = snap(database_of([create(E1 + 1)])) if has_snapshot else diff(E1 + 3)
        world.hear(begin, inform(create(zxid)) if is_observer else proposal(create(zxid)))
        assert over(world) == f"the transaction {zxid & (1 << 64) - 1:#x} {UP_TO_2}"
        assert world.unsynced == []


@pytest.mark.parametrize("is_observer", [False, True], ids=["follower", "observer"])
@pytest.mark.parametrize("is_stored", [False, True], ids=["storing", "ready"])
def test_behind_newleader_a_transaction_is_one_of_the_epoch(
    is_observer: bool, is_stored: bool
) -> None:
    world = member(is_observer=is_observer)
    world.discover(2)
    world.hear(diff(E1 + 3), new_leader(2))
    if is_stored:
        world.sync()
    data = create(E1 + 4)
    world.hear(inform(data) if is_observer else proposal(data))
    assert over(world) == f"the transaction 0x100000004 {OF_2}"


@pytest.mark.parametrize("kind", [packets.DIFF, packets.SNAP, packets.TRUNC])
@pytest.mark.parametrize("zxid", [E3, E3 + 7, -1], ids=hex)
def test_a_leader_of_an_epoch_has_no_history_of_a_later_one(kind: int, zxid: int) -> None:
    world = member()
    world.discover(2)
    world.take()
    world.hear(bare(kind, zxid))
    shown = f"{packets.type_name(kind)}" if zxid == -1 else f"{packets.type_name(kind)} {zxid:#x}"
    assert over(world) == f"{shown} in epoch 2"
    assert world.take() == []
    assert world.is_whole()


@pytest.mark.parametrize("zxid", [E1 + 3, E1 + 4, E2 + 1], ids=hex)
def test_a_truncation_goes_back(zxid: int) -> None:
    world = member()
    world.discover(2)
    world.take()
    world.hear(trunc(zxid))
    assert over(world) == f"TRUNC {zxid:#x}, but the last transaction here is 0x100000003"
    assert world.take() == []
    assert world.is_whole()


def test_a_truncation_to_what_is_here_is_done() -> None:
    world = member()
    world.discover(2)
    world.hear(trunc(E1 + 2))
    world.sync()
    assert over(world) is None
    assert world.database.last_zxid == E1 + 2


# --- discovery --------------------------------------------------------------------------------


def test_leaderinfo_names_an_epoch_and_no_transaction() -> None:
    world = member()
    world.reach()
    world.take()
    world.hear(packets.encode_packet(packets.LEADERINFO, E2 + 1, bytes.fromhex("00010000")))
    assert over(world) == "LEADERINFO 0x200000001 begins no epoch"
    assert world.take() == []


@pytest.mark.parametrize("epoch", [0, -1])
def test_an_epoch_below_the_accepted_one_ends_the_link(epoch: int) -> None:
    world = member()
    world.reach()
    world.take()
    world.hear(leader_info(epoch))
    assert over(world) == f"LEADERINFO of epoch {epoch}, but epoch 1 was accepted before"
    assert world.take() == []


@pytest.mark.parametrize("epoch", [1, 3])
def test_newleader_is_of_the_epoch_that_leaderinfo_named(epoch: int) -> None:
    world = member()
    world.discover(2)
    world.take()
    world.hear(diff(E1 + 3), new_leader(epoch))
    assert over(world) == f"NEWLEADER {make(epoch, 0):#x} version=0, but the epoch is 2"
    assert world.take() == []


# --- answers that nobody asked for ------------------------------------------------------------


@pytest.mark.parametrize("is_observer", [False, True], ids=["follower", "observer"])
def test_an_answer_to_no_question_ends_the_link(is_observer: bool) -> None:
    for said, reason in (
        (SYNC, "SYNC 0x0, and none was asked for"),
        (packets.encode_validity(5, True), "REVALIDATE 0x5 valid, and nobody asked"),
    ):
        world = member(is_observer=is_observer)
        world.serve(2)
        world.hear(said)
        assert over(world) == reason


# --- the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_observer", [False, True], ids=["follower", "observer"])
@pytest.mark.parametrize("is_serving", [False, True], ids=["synchronizing", "serving"])
def test_a_reconfiguration_that_names_another_leader_ends_the_role(
    is_observer: bool, is_serving: bool
) -> None:
    """The leader of before commits nothing more, and leads on as long as its learners stay."""
    world = member(is_observer=is_observer)
    if is_serving:
        world.serve(2)
    else:
        world.discover(2)
        world.hear(diff(E2 + 1))
    data = create(E2 + 1)
    if is_observer:
        world.hear(packets.encode_inform_and_activate(E2 + 1, 2, data), inform(create(E2 + 2)))
    else:
        said = proposal(data), packets.encode_commit_and_activate(E2 + 1, 2)
        world.hear(*said, proposal(create(E2 + 2)))
    assert over(world) == "the reconfiguration 0x200000001 makes server 2 the leader"
    assert world.database.last_zxid == E2 + 1


def test_the_end_of_a_link_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    for line in (
        "ensemble 3",
        "restore 1 accepted=1 current=1 log=0x100000001",
        "puppet 3",
        "elect 3 by 1,3",
        "run",
        "send 3->1 LEADERINFO epoch=2",
        "sync 1",
        "send 3->1 DIFF 0x100000001",
        "send 3->1 NEWLEADER 0x200000000",
        "sync 1",
        "send 3->1 UPTODATE",
    ):
        perform(stage, line)
    caplog.clear()
    caplog.set_level(logging.INFO)
    perform(stage, "send 3->1 PROPOSAL 0x300000001")
    said = [each.getMessage() for each in caplog.records if each.name.startswith("pyzk")]
    assert said == [
        "server 1 is no longer follower: the link with server 3, the leader, has ended: the"
        " transaction 0x300000001 is not one of epoch 2, the leader's",
        "server 1 looks for a leader; last zxid 0x100000001, epoch 2",
    ]


# --- a later configuration ----------------------------------------------------------------------


def later(*voters: int, observer: int = 4) -> bytes:
    """The text of a later configuration than this server's, whose voters are 1, 2 and 3."""
    lines = [f"server.{sid}=other{sid}:2888:3888:participant" for sid in voters]
    return "\n".join([*lines, f"server.{observer}=x:1:2:observer", "version=100000000"]).encode()


def reconfiguration(zxid: int, text: bytes) -> bytes:
    return txn(zxid, OpCode.RECONFIG, SetDataTxn("/zookeeper/config", text, -1))


def activated(world: LearnerWorld, text: bytes) -> None:
    data = reconfiguration(E2 + 1, text)
    if world.role.is_observer:
        world.hear(packets.encode_inform_and_activate(E2 + 1, 3, data))
    else:
        world.hear(proposal(data), packets.encode_commit_and_activate(E2 + 1, 3))


@pytest.mark.parametrize("is_observer", [False, True], ids=["follower", "observer"])
@pytest.mark.parametrize("when", ["synchronizing", "ready", "serving"])
@pytest.mark.parametrize(
    ("text", "is_outdated"), [(later(1, 2, 3), False), (later(1, 2, 5), True), (b"junk", False)]
)
def test_an_activated_configuration_with_other_voters_makes_this_one_outdated(
    is_observer: bool, when: str, text: bytes, is_outdated: bool
) -> None:
    world = member(is_observer=is_observer)
    if when == "serving":
        world.serve(2)
    else:
        world.discover(2)
        world.hear(diff(E1 + 3))
        if when == "ready":
            world.hear(new_leader(2))
            world.sync()
    activated(world, text)
    assert over(world) is None
    assert world.member.is_outdated == is_outdated


@pytest.mark.parametrize(
    ("text", "is_outdated"),
    [
        (later(1, 2, 3), False),
        (later(1, 2), True),
        (later(1, 2, 5).replace(b"version=1", b"version=-"), False),
        (b"", False),
        (b"junk", False),
    ],
)
def test_a_leader_whose_configuration_has_other_voters_makes_this_one_outdated(
    text: bytes, is_outdated: bool
) -> None:
    world = member()
    world.discover(2)
    world.hear(diff(E1 + 3), packets.encode_new_leader(2, text))
    world.sync()
    assert not world.member.is_outdated
    world.hear(UPTODATE)
    assert over(world) is None
    assert world.member.is_outdated == is_outdated


def test_that_this_configuration_is_outdated_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    world = member()
    world.serve(2)
    caplog.clear()
    world.member.heard_config(later(1, 2, 3))
    world.member.heard_config(later(1, 2, 5))
    world.member.heard_config(later(1, 2, 6))
    assert [each.getMessage() for each in caplog.records] == [
        "server 1 goes by its own server lines, though version 100000000 of the configuration is in"
        " force: set reconfigEnabled=true in its zoo.cfg, as on the others",
        "server 1 does not stand for election any more: version 100000000 of the configuration has"
        " the voters 1, 2, 5, and this server was started with the voters 1, 2, 3; give it the new"
        " server lines and start it again",
    ]
