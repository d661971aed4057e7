"""Members whose configurations differ: who looks adopts the latest, and nobody looks for ever."""

from __future__ import annotations

import attrs
import pytest

from pyzk.config.members import Membership, config_text, parse_member
from pyzk.data.paths import CONFIG
from pyzk.quorum.election_messages import Address, Notification, frame, initial_message
from pyzk.quorum.follower import Follower
from pyzk.quorum.leader import Leader
from pyzk.quorum.lifecycle import ACTIVE, LOOKING, SETTLING, MemberLife
from pyzk.quorum.observer import Observer
from pyzk.quorum.vote import PeerState
from pyzk.zxid import make
from tests.transcripts.commands import perform
from tests.transcripts.stage import Stage

VERSION = make(1, 1)
INIT_MS = 10_000


def server(sid: int, role: str = "participant", host: str = "host") -> str:
    return f"{host}{sid}:{2000 + sid}:{3000 + sid}:{role}"


def config(*sids: int, version: int = VERSION, **lines: str) -> Membership:
    """A configuration of these participants, and of ``s4="line"`` for others."""
    texts = {sid: server(sid) for sid in sids} | {
        int(name[1:]): text for name, text in lines.items()
    }
    return Membership(tuple(parse_member(sid, texts[sid]) for sid in sorted(texts)), version)


def stage_of(configs: dict[int, Membership], *, is_enabled: bool = True) -> Stage:
    """Members that have served; each has a configuration in its files."""
    stage = Stage()
    setting = "reconfigEnabled=true" if is_enabled else ""
    perform(stage, f"ensemble {max(configs)} {setting}")
    for sid, membership in configs.items():
        if membership.version:
            perform(stage, f"restore {sid} accepted=1 current=1 log=0x100000001")
        actor = stage.actors[sid]
        me = membership.member(sid)
        assert me is not None or membership.version, sid
        if not membership.version:
            assert me is not None
            actor.ensemble = attrs.evolve(
                actor.ensemble, membership=membership, is_observer=me.is_observer
            )
        else:
            actor.disk.committed = membership
    return stage


def gather(stage: Stage, *sids: int) -> list[MemberLife]:
    """Start members, and let them find each other."""
    for sid in sids:
        perform(stage, f"start {sid}")
    settle(stage)
    return [stage.actors[sid].life for sid in sids]


def settle(stage: Stage) -> None:
    for _ in range(8):
        perform(stage, "vote 400ms")
        perform(stage, "run")


def roles(lives: list[MemberLife]) -> list[str]:
    return [type(each.role).__name__ for each in lives]


def versions(lives: list[MemberLife]) -> set[int]:
    return {each.member.membership.version for each in lives}


ALL = config(1, 2, 3, version=0)


def test_who_has_missed_that_another_was_removed_learns_it_from_one_voter() -> None:
    stage = stage_of({1: ALL, 2: config(1, 2), 3: ALL})
    lives = gather(stage, 1, 2)
    assert roles(lives) == ["Follower", "Leader"]
    assert versions(lives) == {VERSION}
    assert stage.actors[1].disk.committed == config(1, 2), "it is in the files"


def test_who_has_missed_that_an_observer_was_added_learns_it() -> None:
    later = config(1, 2, 3, s4=server(4, "observer"))
    stage = stage_of({1: ALL, 2: later, 3: later, 4: later})
    lives = gather(stage, 1, 2, 3, 4)
    assert versions(lives) == {VERSION}
    assert [isinstance(each.role, Observer) for each in lives] == [False, False, False, True]
    assert all(each.phase == ACTIVE for each in lives)


def test_other_names_for_the_same_servers_keep_nobody_apart() -> None:
    other = config(s1=server(1, host="h"), s2=server(2, host="h"), s3=server(3, host="h"))
    stage = stage_of({1: ALL, 2: other, 3: other})
    lives = gather(stage, 1, 2, 3)
    assert all(each.phase == ACTIVE for each in lives)
    assert versions(lives) == {VERSION}
    leader = next(sid for sid, each in enumerate(lives, 1) if isinstance(each.role, Leader))
    perform(stage, f"crash {leader}")
    left = [each for sid, each in enumerate(lives, 1) if sid != leader]
    settle(stage)
    settle(stage)
    assert sorted(roles(left)) == ["Follower", "Leader"]


@pytest.mark.parametrize("role", ["observer", "participant"])
def test_who_joins_follows_without_a_vote(role: str) -> None:
    """Its own files have the members and itself; the configuration in force does not have it."""
    now = config(1, 2, 3)
    joiner = config(1, 2, 3, version=0, s4=server(4, role))
    stage = stage_of({1: now, 2: now, 3: now, 4: joiner})
    lives = gather(stage, 1, 2, 3, 4)
    assert versions(lives) == {VERSION}
    assert isinstance(lives[3].role, Follower)
    assert lives[3].member.server.is_running
    assert lives[3].member.me.sid == 4
    assert lives[3].election.proposal.leader != 4
    perform(stage, "restart 4")
    settle(stage)
    assert stage.actors[4].life.member.server.is_running
    assert stage.actors[4].disk.committed is None, "files without it would let it start no more"


def test_who_was_removed_meanwhile_follows_without_a_vote() -> None:
    now = config(1, 2)
    stage = stage_of({1: now, 2: now, 3: ALL})
    lives = gather(stage, 1, 2, 3)
    assert isinstance(lives[2].role, Follower)
    assert lives[2].member.membership == now
    assert lives[2].member.server.is_running
    assert lives[2].member.me.sid == 3, "where it is, only its files say"


def test_a_reconfiguration_under_way_needs_both_quorums_after_a_restart() -> None:
    stage = stage_of({sid: config(1, 2, 3, version=0) for sid in (1, 2, 3)})
    for sid in (1, 2, 3):
        stage.actors[sid].disk.proposed = config(1, 2, 3, 4, 5)
    perform(stage, "start 2 3")
    perform(stage, "vote 1000ms")
    lives = [stage.actors[sid].life for sid in (2, 3)]
    assert lives[0].election.view.voters == (1, 2, 3, 4, 5)
    assert {each.phase for each in lives} == {LOOKING}, "two of three, and two of five"
    perform(stage, "start 1")
    perform(stage, "vote 1000ms")
    assert {each.phase for each in lives} == {ACTIVE}, "three are a quorum of both"


def test_without_reconfigenabled_no_configuration_is_adopted() -> None:
    stage = stage_of({1: ALL, 2: ALL, 3: ALL}, is_enabled=False)
    perform(stage, "start 1")
    life = stage.actors[1].life
    tell(life, 3, config(1, 2, 3, 4))
    assert life.member.membership == ALL
    assert life.election.proposal.leader == 3, "the vote counts"


# --- what anybody says ------------------------------------------------------------------------


def tell(life: MemberLife, sid: int, membership: Membership) -> None:
    """A server, or whoever claims to be it, connects and tells a configuration."""
    link = life.election_accepted("10.9.9.9:1")
    text = config_text(membership).encode()
    said = Notification(PeerState.LOOKING, sid, VERSION, 1, 1, config=text).encode()
    hello = initial_message(sid, (Address("10.9.9.9", 1),), multi_address=False)
    life.election_received(link, hello + frame(said))


@pytest.mark.parametrize("sid", [2, 3, 9])
@pytest.mark.parametrize(
    "told",
    [
        config(7, 8, 9, version=(1 << 63) - 1),
        config(9, version=make(1 << 21, 0)),
        config(9, version=VERSION + 1),
    ],
    ids=["the highest", "no epoch", "of others"],
)
@pytest.mark.parametrize("is_looking", [True, False])
def test_nobody_ends_an_election_for_good(sid: int, told: Membership, is_looking: bool) -> None:
    """What a member of the ensemble tells is believed if it can be, as in ZooKeeper; others go on
    in spite of it, and the next later configuration ends it."""
    now = config(1, 2, 3)
    stage = stage_of({1: now, 2: now, 3: now})
    if not is_looking:
        gather(stage, 1, 2, 3)
    else:
        perform(stage, "start 1")
    life = stage.actors[1].life
    assert (life.phase == LOOKING) == is_looking
    tell(life, sid, told)
    is_believed = is_looking and sid != 9 and told.version == VERSION + 1
    assert life.member.membership == (told if is_believed else now)
    if is_looking:
        gather(stage, 2, 3)
    settle(stage)
    if not is_believed:
        assert all(each.life.phase == ACTIVE for each in stage.actors.values())
        return
    assert stage.actors[3].life.phase == ACTIVE
    tell(life, 3, config(1, 2, 3, version=VERSION + 2))
    assert life.member.membership.version == VERSION + 2
    assert life.election.deadline is not None, "the election goes on"


def test_a_later_configuration_begins_the_election_anew_only_if_its_content_differs() -> None:
    stage = stage_of({1: config(1, 2, 3), 2: config(1, 2, 3), 3: config(1, 2, 3)})
    perform(stage, "start 1")
    life = stage.actors[1].life
    round_ = life.election.round
    tell(life, 3, config(1, 2, 3, version=VERSION + 1))
    assert (life.election.round, life.election.proposal.leader) == (round_, 3)
    tell(life, 3, config(1, 2, 3, version=VERSION + 2, s4=server(4)))
    assert (life.election.round, life.election.proposal.leader) == (round_ + 1, 1)
    assert life.election.view.voters == (1, 2, 3, 4)


# --- roles without an election ----------------------------------------------------------------


def leave(stage: Stage, sid: int, membership: Membership, leader: int) -> MemberLife:
    """What a learner does at COMMITANDACTIVATE, and its disk then."""
    life = stage.actors[sid].life
    assert life.member.activate_config(membership, leader, membership.version)
    assert life.role is not None
    life.role.over = "the reconfiguration says so"
    life.pump()
    stage.drain(stage.actors[sid])
    perform(stage, f"sync {sid} all")
    return life


def test_the_designated_leader_leads_and_the_others_follow_it() -> None:
    stage = stage_of({1: ALL, 2: ALL, 3: ALL})
    lives = gather(stage, 1, 2, 3)
    (old,) = [each for each in lives if isinstance(each.role, Leader)]
    assert old is lives[2]
    rounds = [each.election.round for each in lives]
    for sid in (1, 2, 3):
        leave(stage, sid, config(1, 2), 1)
    perform(stage, "run")
    assert roles(lives) == ["Leader", "Follower", "Follower"]
    assert all(each.member.server.is_running for each in lives)
    assert [each.election.round for each in lives] == rounds, "nobody has looked"
    assert [each.election.current_vote.peer_epoch for each in lives] == [2, 2, 2]


def test_who_was_designated_and_cannot_lead_is_elected_again_or_not() -> None:
    stage = stage_of({1: ALL, 2: ALL, 3: ALL})
    lives = gather(stage, 1, 2, 3)
    leave(stage, 1, config(1, 2), 1)
    assert isinstance(lives[0].role, Leader)
    perform(stage, f"advance {INIT_MS}ms")
    assert lives[0].phase == LOOKING, "nobody has come within initLimit"
    assert not lives[0].member.knows_leader


def test_who_has_another_role_takes_it_with_the_same_leader() -> None:
    stage = stage_of({1: ALL, 2: ALL, 3: ALL})
    lives = gather(stage, 1, 2, 3)
    leave(stage, 1, config(2, 3, s1=server(1, "observer")), 3)
    role = lives[0].role
    assert isinstance(role, Observer)
    assert role.leader_sid == 3
    assert lives[0].election.state == PeerState.OBSERVING


def observer_without_log() -> Stage:
    """Three voters and an observer, 4, that has a znode in memory only."""
    seen = config(1, 2, 3, s4=server(4, "observer"), version=0)
    stage = stage_of({1: seen, 2: seen, 3: seen, 4: seen})
    actor = stage.actors[4]
    actor.ensemble = attrs.evolve(actor.ensemble, sync_enabled=False)
    life = gather(stage, 1, 2, 3, 4)[3]
    for line in ("client A open 3", "run", "client A create /a x", "run"):
        perform(stage, line)
    assert life.member.database.last_zxid == make(1, 2)
    assert life.member.logged_zxid < make(1, 1)
    return stage


def has_all_on_disk(stage: Stage) -> bool:
    perform(stage, "crash 4")
    perform(stage, "start 4")
    return stage.actors[4].life.member.database.last_zxid == make(1, 2)


def test_who_kept_no_log_as_observer_stores_what_it_has_before_it_votes() -> None:
    """It would acknowledge what only its memory has."""
    stage = observer_without_log()
    actor = stage.actors[4]
    life = actor.life
    assert life.member.activate_config(config(1, 2, 3, 4), 3, VERSION)
    assert life.role is not None
    life.role.over = "the reconfiguration says so"
    life.pump()
    stage.drain(actor)
    perform(stage, "sync 4 all")
    assert isinstance(life.role, Follower)
    assert life.member.is_settled
    assert has_all_on_disk(stage)


def test_an_observer_without_log_that_is_promoted_while_it_looks_stores_before_it_votes() -> None:
    """Its log would go on behind what only its memory has."""
    stage = observer_without_log()
    for sid in (1, 2, 3):
        perform(stage, f"crash {sid}")
    settle(stage)
    life = stage.actors[4].life
    assert life.election.is_running
    tell(life, 5, config(1, 2, 3, 4, 5))
    assert not life.member.is_observer
    assert (life.phase, life.election.is_running) == (SETTLING, False)
    stage.drain(stage.actors[4])
    perform(stage, "sync 4 all")
    assert (life.phase, life.election.is_running) == (LOOKING, True)
    assert life.member.logged_zxid == make(1, 2)
    assert has_all_on_disk(stage)


def test_what_was_designated_is_void_once_this_server_looks() -> None:
    stage = stage_of({1: ALL, 2: ALL, 3: ALL})
    (life,) = gather(stage, 1)
    life.member.knows_leader = True
    tell(life, 3, config(1, 2, 3, s4=server(4)))
    assert not life.member.knows_leader


@pytest.mark.parametrize(
    "proposed",
    [config(1, 2, version=VERSION + 1), config(1, 4, 5, version=VERSION + 1)],
    ids=["fewer", "others"],
)
def test_who_alone_knows_of_a_proposed_configuration_follows_a_leader_without_it(
    proposed: Membership,
) -> None:
    """A leader is killed before it has sent what it has proposed, and the others elect another
    one. That one was elected by the quorums that it needs; who only follows adds nothing."""
    now = config(1, 2, 3)
    stage = stage_of({1: now, 2: now, 3: now})
    perform(stage, "restore 1 accepted=1 current=1 log=0x100000002")
    stage.actors[1].disk.proposed = proposed
    others = gather(stage, 2, 3)
    assert all(each.phase == ACTIVE for each in others)
    (life,) = gather(stage, 1)
    assert life.phase == ACTIVE
    assert isinstance(life.role, Follower)
    assert not life.member.configs.is_under_way, "the leader has no such configuration"
    assert life.member.server.is_running


def one_becomes_two(**logs: str) -> Stage:
    """Server 1 has proposed that 2, which follows without a vote, is to be a voter, and ended."""
    stage = stage_of({1: config(1), 2: config(1)})
    for name, log in logs.items():
        perform(stage, f"restore {name[1:]} {log}")
    for sid in (1, 2):
        stage.actors[sid].disk.proposed = config(1, 2, version=VERSION + 1)
    return stage


def test_a_change_is_void_where_only_those_have_it_that_cannot_lead() -> None:
    """The leader has the change in its files and not in its log. Who has it is ahead, so it must
    not be made to follow where its vote is needed, and is no voter yet that could lead."""
    stage = one_becomes_two(s2="accepted=1 current=1 log=0x100000002")
    lives = gather(stage, 1, 2)
    assert roles(lives) == ["Leader", "Follower"]
    assert {each.phase for each in lives} == {ACTIVE}
    assert not any(each.member.configs.is_under_way for each in lives)
    proposed = stage.actors[1].disk.proposed
    assert proposed is not None
    assert proposed.version == VERSION, "nor do the files know of it"
    assert lives[1].member.database.last_zxid == make(1, 1), "its log was cut"


@pytest.mark.parametrize(
    ("log", "is_kept"),
    [
        ("accepted=1 current=1", False),
        ("accepted=2 current=1", False),
        ("accepted=1 current=1 log=0x100000002", True),
        ("accepted=2 current=2", True),
    ],
    ids=["not logged", "not logged, epoch accepted", "logged", "acknowledged with a later epoch"],
)
def test_a_start_knows_the_change_that_it_may_have_acknowledged(log: str, is_kept: bool) -> None:
    (life,) = gather(one_becomes_two(s1=log), 1)
    assert life.member.configs.is_under_way == is_kept
    assert life.phase == (LOOKING if is_kept else ACTIVE)


def test_who_only_the_proposed_configuration_has_keeps_it() -> None:
    stage = one_becomes_two(s2="accepted=1 current=1")
    (life,) = gather(stage, 2)
    assert life.member.configs.is_under_way


def two_removed(version: int, removed: tuple[int, int] = (1, 2), keys: str = "") -> Stage:
    """Five members that have removed two of them, and ended. The files of those and of 3 have all
    five, in this version."""
    stage = Stage()
    perform(stage, f"ensemble 5 reconfigEnabled=true skipACL=yes{keys}")
    everybody = (1, 2, 3, 4, 5)
    gather(stage, *everybody)
    perform(stage, "client A open 3")
    settle(stage)
    perform(stage, f"client A reconfig {removed[0]},{removed[1]}")
    for _ in range(3):
        for sid in everybody:
            perform(stage, f"sync {sid} all")
        settle(stage)
    left = tuple(sid for sid in everybody if sid not in removed)
    assert stage.actors[3].life.member.membership.voters == left
    for sid in everybody:
        perform(stage, f"crash {sid}")
    for sid in (*removed, 3):
        disk = stage.actors[sid].disk
        disk.committed, disk.proposed = config(*everybody, version=version), None
    return stage


@pytest.mark.parametrize(("version", "keys"), [(make(1, 0), ""), (0, " pyzk.configInDataDir=true")])
def test_who_could_not_write_its_files_knows_a_change_from_its_database(
    version: int, keys: str
) -> None:
    """Three have acknowledged that 1 and 2 are removed and, started again, have the former
    configuration in their files, or the server lines of a zoo.cfg that is never written. They were
    a quorum of that one, and must not serve by it."""
    stage = two_removed(version, keys=keys)
    lives = gather(stage, 1, 2, 3)
    assert {each.phase for each in lives} == {LOOKING}
    proposed = stage.actors[1].disk.proposed
    assert proposed is not None
    assert proposed.voters == (3, 4, 5), "the file is tried again"
    lives += gather(stage, 4, 5)
    assert {each.phase for each in lives} == {ACTIVE}
    assert {each.member.membership.voters for each in lives} == {(3, 4, 5)}


def test_server_lines_in_zoo_cfg_are_a_new_beginning(caplog: pytest.LogCaptureFixture) -> None:
    stage = two_removed(0)
    lives = gather(stage, 1, 2, 3)
    assert {each.phase for each in lives} == {ACTIVE}
    said = "the voters 1, 2, 3, 4, 5, and the database knows a later configuration with the voters"
    assert any(f"{said} 3, 4, 5: the lines count" in line for line in caplog.messages)


def test_who_was_given_new_lines_and_its_old_data_remembers_what_it_has_acknowledged() -> None:
    """Server 5 has helped to remove itself and 4, and then got lines as for a server that joins.
    Who tells it the configuration before makes it a member of an ensemble that it has served in."""
    stage = two_removed(make(1, 0), (4, 5))
    stage.actors[5].disk.committed = config(1, 2, 3, 4, 5, version=0)
    lives = gather(stage, 3, 4, 5)
    assert {each.phase for each in lives} == {LOOKING}, "a quorum of the one before only"
    assert [each.member.configs.is_under_way for each in lives] == [True, True, True]
    lives += gather(stage, 1, 2)
    assert {each.phase for each in lives} == {ACTIVE}
    assert {each.member.membership.voters for each in lives} == {(1, 2, 3)}


@pytest.mark.parametrize("version", [make(1, 0), 0])
def test_what_was_acknowledged_stays_in_the_database_until_it_is_in_force(version: int) -> None:
    """The files lack it, so a snapshot of the configuration in force would forget it: one that this
    server takes, or sends to a learner as the next leader."""
    (life,) = gather(two_removed(version), 3)
    member = life.member
    known = member.database.tree.nodes[CONFIG].data
    member.adopt_config(config(1, 2, 3, 4, 5, version=make(1, 1)))
    member.install_config()  # as a leader does
    node = member.database.tree.nodes[CONFIG]
    assert member.membership.version == make(1, 1)
    assert (node.data, node.mzxid) == (known, member.configs.last_seen.version)
    later = config(1, 3, 4, version=make(2, 7))
    member.activate_config(later, None, 0)
    assert member.database.tree.nodes[CONFIG].data == config_text(later).encode()
