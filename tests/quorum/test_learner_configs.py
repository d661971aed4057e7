"""What a learner does with configurations that its leader tells: seen, put in force, or none."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from pyzk.config.members import Membership, config_text, parse_member
from pyzk.constants import OpCode
from pyzk.jute.records import SetDataTxn
from pyzk.quorum import packets
from pyzk.quorum.commands import SaveConfig
from pyzk.zxid import make
from tests.quorum.learner_world import (
    LEADER,
    UPTODATE,
    LearnerWorld,
    both,
    commit,
    diff,
    leader_info,
    membership,
    proposal,
    snap,
    trunc,
)
from tests.transactions import create, database_of, txn

E1, E2 = make(1, 0), make(2, 0)
NEXT = E1 + 1
"""The version of the configuration to come, and the zxid of its transaction."""


def changed(version: int = NEXT, **lines: str) -> Membership:
    """Another configuration: each of ``s1``, ``s2``, ... is the line of a server, or empty."""
    members = {each.sid: each for each in membership().members}
    for name, text in lines.items():
        sid = int(name[1:])
        members.pop(sid, None)
        if text:
            members[sid] = parse_member(sid, text)
    return Membership(tuple(members[sid] for sid in sorted(members)), version)


JOINED = changed(s5="host5:2888:3888:participant")


def reconfiguration(config: Membership) -> bytes:
    text = config_text(config).encode()
    return txn(config.version, OpCode.RECONFIG, SetDataTxn("/zookeeper/config", text, -1))


def activation(config: Membership, leader: int = LEADER, *, is_observer: bool = False) -> bytes:
    """What a leader sends from the proposal on."""
    payload = reconfiguration(config)
    if is_observer:
        return packets.encode_inform_and_activate(config.version, leader, payload)
    return proposal(payload) + packets.encode_commit_and_activate(config.version, leader)


def learner(*, is_enabled: bool = True, is_observer: bool = False, **settings: Any) -> LearnerWorld:
    return LearnerWorld(is_observer=is_observer, reconfig_enabled=is_enabled, **settings)


def serving(*, is_observer: bool = False, **settings: Any) -> LearnerWorld:
    world = learner(is_observer=is_observer, **settings)
    world.serve()
    return world


def new_leader(config: Membership, epoch: int = 1) -> bytes:
    return packets.encode_new_leader(epoch, config_text(config).encode())


def versions(world: LearnerWorld) -> tuple[int, int]:
    configs = world.member.configs
    return configs.committed.version, configs.last_seen.version


def voters(world: LearnerWorld) -> tuple[int, ...]:
    """Whom this server asks in an election."""
    return world.elections.election.view.voters


def node(world: LearnerWorld) -> bytes | None:
    """The content of /zookeeper/config."""
    return world.database.tree.nodes["/zookeeper/config"].data


# --- seen -------------------------------------------------------------------------------------


def test_a_proposal_is_saved_before_it_is_logged_and_newcomers_are_dialed() -> None:
    world = serving(version=1)
    world.hear(proposal(reconfiguration(JOINED)))
    name = f"log {NEXT:#x}"
    assert sorted(world.take()) == sorted(
        [f"save proposed config {NEXT:x}", "dial election 5", name]
    )
    assert versions(world) == (1, NEXT)
    assert voters(world) == (1, 2, 3, 5)
    assert len(world.elections.election.view.verifiers) == 2
    world.sync()
    assert world.acks[-1] == NEXT


@pytest.mark.source  # the methods of a compiled object cannot be replaced
def test_the_file_of_a_proposal_is_ordered_ahead_of_its_record() -> None:
    world = serving()
    order: list[str] = []
    see, log_txn = world.member.see_config, world.member.log_txn

    def seen(proposed: Membership) -> None:
        order.append("see")
        see(proposed)

    def logged(zxid: int, payload: bytes) -> None:
        order.append("log")
        log_txn(zxid, payload)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.member, "see_config", seen)
        patch.setattr(world.member, "log_txn", logged)
        world.hear(proposal(reconfiguration(JOINED)))
    assert order == ["see", "log"]


@pytest.mark.parametrize("phase", ["synchronizing", "ready"])
def test_a_proposal_before_uptodate_is_seen_at_once(phase: str) -> None:
    world = learner()
    world.discover()
    world.hear(diff(0))
    if phase == "ready":
        world.hear(new_leader(membership()))
        world.sync()
    world.hear(proposal(reconfiguration(JOINED)))
    assert versions(world) == (0, NEXT)


def test_a_diff_with_a_committed_reconfiguration_is_seen_and_activated_at_uptodate() -> None:
    world = learner()
    world.discover(2)
    world.hear(diff(NEXT), both(reconfiguration(JOINED)), new_leader(JOINED, 2))
    world.sync()
    assert versions(world) == (0, NEXT)
    world.hear(UPTODATE)
    assert world.role.over is None
    assert versions(world) == (NEXT, NEXT)
    found = world.database.tree.nodes["/zookeeper/config"]
    assert found.data == config_text(JOINED).encode()
    assert (found.version, found.mzxid) == (-1, NEXT)


@pytest.mark.parametrize(
    "config", [b"junk", b"server.1=x\nversion=100000001", None], ids=["junk", "line", "none"]
)
def test_a_reconfiguration_that_cannot_be_read_is_not_acknowledged(config: bytes | None) -> None:
    world = serving()
    payload = txn(NEXT, OpCode.RECONFIG, SetDataTxn("/zookeeper/config", config, -1))
    world.hear(proposal(payload))
    assert world.role.over is not None
    assert "a reconfiguration that" in world.role.over
    assert world.unsynced == []


def test_another_configuration_replaces_a_proposed_one() -> None:
    world = serving()
    world.hear(proposal(reconfiguration(JOINED)))
    later = changed(NEXT + 1, s6="host6:2888:3888:participant")
    world.take()
    world.member.see_config(later)
    world.settle()
    assert world.take() == [f"save proposed config {NEXT + 1:x}", "dial election 6"]
    world.member.see_config(JOINED)
    world.settle()
    assert world.take() == []


# --- NEWLEADER and UPTODATE -------------------------------------------------------------------


def test_the_configuration_of_newleader_counts_from_then_on() -> None:
    world = learner()
    world.discover()
    world.hear(diff(0), new_leader(JOINED))
    assert f"save proposed config {NEXT:x}" in world.take()
    assert versions(world) == (0, NEXT)
    world.sync()
    world.hear(UPTODATE)
    assert f"save active config {NEXT:x}" in world.take()
    assert versions(world) == (NEXT, NEXT)
    assert world.role.over is None
    assert world.is_serving()


def test_a_proposal_that_the_leader_lacks_is_forgotten_at_newleader() -> None:
    """It was never committed: to ask its voters, too, could leave this server without a leader."""
    world = learner(last_seen=JOINED)
    assert voters(world) == (1, 2, 3, 5)
    world.discover(2)
    world.hear(diff(0), new_leader(membership(), 2))
    assert versions(world) == (0, 0)
    assert voters(world) == (1, 2, 3)
    assert "save proposed config 0" in world.take()
    earlier = changed(E1, s7="host7:1:2:participant")
    world = learner(last_seen=JOINED)
    world.discover(2)
    world.hear(diff(0), new_leader(earlier, 2))
    assert versions(world) == (0, E1)


def test_the_proposal_of_a_leader_that_has_it_stays() -> None:
    world = learner(last_seen=JOINED)
    world.discover(2)
    world.hear(diff(0), new_leader(JOINED, 2))
    assert versions(world) == (0, NEXT)
    assert not any(each.startswith("save proposed") for each in world.take())


def test_a_configuration_in_newleader_that_cannot_be_read_ends_nothing() -> None:
    world = learner()
    world.discover()
    world.hear(diff(0), packets.encode_new_leader(1, b"junk"))
    world.sync()
    world.hear(UPTODATE)
    assert world.role.over is None
    assert versions(world) == (0, 0)


@pytest.mark.parametrize(
    "lines",
    [
        {"s1": ""},
        {"s1": "host1:2888:3888:observer"},
        {"s3": "host3:2889:3888:participant"},
        {"s3": "host3:2888:3888:observer"},
        {"s3": ""},
    ],
    ids=["removed", "observer", "leader-moved", "leader-observes", "leader-removed"],
)
def test_who_has_another_role_or_leader_at_uptodate_looks_again(lines: dict[str, str]) -> None:
    config = changed(NEXT, **lines)
    world = learner()
    world.discover()
    world.hear(diff(0), new_leader(config))
    world.sync()
    world.hear(UPTODATE)
    stays = lines == {"s1": ""}  # it followed as a participant, and does so without a vote
    assert (world.role.over is None) == stays
    if not stays:
        assert (
            world.role.over == f"version {NEXT:x} of the configuration has another leader, or role"
        )
        assert not world.server.is_running
    assert not world.member.knows_leader, "no leader was designated"
    assert world.member.membership == config


def test_what_waited_for_uptodate_and_was_not_logged_is_not_applied_by_who_leaves_then() -> None:
    """Its memory would have what its log lacks, and its next log would go on behind a hole."""
    world = learner()
    world.discover()
    waiting = create(E1 + 1, "/a")
    world.hear(diff(0), new_leader(changed(NEXT, s1="host1:2888:3888:observer")), both(waiting))
    world.sync()
    world.hear(UPTODATE)
    assert world.role.over is not None
    world.role.stop()
    assert not world.role.unapplied


def test_an_observer_that_is_in_no_configuration_is_a_participant_without_a_vote() -> None:
    world = learner(is_observer=True)
    world.discover()
    world.hear(diff(0), new_leader(changed(s4="")))
    world.sync()
    world.hear(UPTODATE)
    assert world.role.over is not None
    assert not world.member.is_observer
    assert world.elections.election.is_participant
    assert world.member.me.sid == 4, "what the files say"


# --- put in force -----------------------------------------------------------------------------


@pytest.mark.parametrize("is_observer", [False, True], ids=["follower", "observer"])
@pytest.mark.parametrize("when", ["synchronizing", "ready", "serving"])
def test_an_activation_puts_the_configuration_in_force(is_observer: bool, when: str) -> None:
    world = learner(is_observer=is_observer)
    if when == "serving":
        world.serve()
    else:
        world.discover()
        world.hear(diff(0))
        if when == "ready":
            world.hear(new_leader(membership()))
            world.sync()
    world.hear(activation(JOINED, is_observer=is_observer))
    assert world.role.over is None
    assert versions(world) == (NEXT, NEXT)
    assert f"save active config {NEXT:x}" in world.take()
    assert world.elections.election.view.config == config_text(JOINED).encode()
    world.sync()
    if when != "serving":
        world.hear(*([] if when == "ready" else [new_leader(JOINED)]))
        world.sync()
        world.hear(UPTODATE)
        world.sync()
    assert world.role.over is None
    assert node(world) == config_text(JOINED).encode()
    assert world.database.last_zxid == NEXT


def test_the_transaction_is_applied_behind_the_activation() -> None:
    """Its time is the same on all members; that of a configuration without transaction is not."""
    world = serving()
    world.hear(activation(JOINED))
    other = database_of([reconfiguration(JOINED)]).tree.nodes["/zookeeper/config"]
    mine = world.database.tree.nodes["/zookeeper/config"]
    assert (mine.mtime, mine.mzxid, mine.version) == (other.mtime, other.mzxid, other.version)


def test_a_snapshot_with_a_later_configuration() -> None:
    world = learner()
    world.discover()
    world.hear(snap(database_of([reconfiguration(JOINED)])), new_leader(JOINED))
    world.sync()
    world.hear(UPTODATE)
    assert world.role.over is None
    assert versions(world) == (NEXT, NEXT)
    assert node(world) == config_text(JOINED).encode()


def test_a_truncated_reconfiguration_is_no_longer_proposed() -> None:
    world = LearnerWorld(
        [create(E1 + 1), reconfiguration(changed(E1 + 2, s5="host5:1:2:participant"))],
        epochs=(1, 1),
        reconfig_enabled=True,
        last_seen=changed(E1 + 2, s5="host5:1:2:participant"),
    )
    assert versions(world) == (0, E1 + 2)
    world.discover(2)
    world.hear(trunc(E1 + 1))
    world.sync()
    world.hear(new_leader(membership(), 2))
    world.sync()
    world.hear(UPTODATE)
    assert world.role.over is None
    assert versions(world) == (0, 0)


@pytest.mark.parametrize("is_observer", [False, True], ids=["follower", "observer"])
def test_another_leader_is_followed_without_an_election(is_observer: bool) -> None:
    world = serving(is_observer=is_observer)
    world.hear(activation(JOINED, 2, is_observer=is_observer))
    assert world.role.over == f"the reconfiguration {NEXT:#x} makes server 2 the leader"
    assert world.member.knows_leader
    assert world.elections.election.current_vote.leader == 2
    assert world.database.last_zxid == NEXT, "it is committed"


def test_another_role_is_taken_without_an_election() -> None:
    for is_observer, line, role in (
        (False, {"s1": "host1:2888:3888:observer"}, "an observer"),
        (True, {"s4": "host4:2888:3888:participant"}, "a participant"),
        (True, {"s4": ""}, "a participant"),
    ):
        world = serving(is_observer=is_observer)
        world.hear(activation(changed(NEXT, **line), is_observer=is_observer))
        assert world.role.over == f"the reconfiguration {NEXT:#x} makes this server {role}"
        assert world.member.knows_leader
        assert world.member.is_observer == (not is_observer)
        assert world.elections.election.is_participant == is_observer


def test_a_follower_that_is_removed_follows_on_without_a_vote() -> None:
    world = serving()
    world.hear(activation(changed(s1="")))
    assert world.role.over is None
    assert world.member.me == membership().member(1)
    world.hear(both(create(NEXT + 1)))
    assert world.database.last_zxid == NEXT + 1


@pytest.mark.parametrize("line", ["host1:2888:3888;0.0.0.0:2181", "host1:2888:3888"])
def test_the_client_port_stays_where_it_is(line: str) -> None:
    world = serving()
    world.hear(activation(changed(s1=line, s5="host5:1:2")))
    assert not any("clients" in each for each in world.take())


def test_the_client_port_goes_where_the_configuration_has_it() -> None:
    world = serving()
    client = world.open()
    world.hear(activation(changed(s1="host1:2888:3888;10.0.0.1:2182")))
    assert "listen for clients at 10.0.0.1:2182" in world.take()
    assert world.role.over is None
    assert client.connection in world.server.connections, "clients stay"
    world.hear(activation(changed(NEXT + 1, s1="host1:2888:3888;10.0.0.1:2182", s5="h:1:2")))
    assert not any("clients" in each for each in world.take())


def test_the_election_port_is_opened_anew_only_where_this_server_has_moved() -> None:
    world = serving()
    world.hear(activation(JOINED))
    assert not any("listen for elections" in each for each in world.take())
    world.hear(activation(changed(NEXT + 1, s1="host1:2888:3999:participant")))
    assert "listen for elections at host1:2888:3999:participant" in world.take()
    assert [each.port for each in world.elections.links.own] == [3999]


def test_the_same_content_changes_only_the_version() -> None:
    world = serving()
    world.hear(activation(changed()))
    assert world.role.over is None
    assert versions(world) == (NEXT, NEXT)
    assert world.elections.election.view.config.endswith(f"version={NEXT:x}".encode())
    assert f"save active config {NEXT:x}" in world.take()


def test_a_configuration_that_is_not_later_is_passed_over() -> None:
    world = serving()
    world.hear(activation(JOINED))
    world.take()
    assert not world.member.activate_config(changed(NEXT, s1=""), 2, NEXT)
    assert not world.member.activate_config(changed(NEXT - 1, s1=""), None, 0)
    world.settle()
    assert world.take() == []
    assert world.elections.election.current_vote.leader == LEADER


# --- reconfigEnabled=false --------------------------------------------------------------------


def test_without_reconfigenabled_nothing_is_taken() -> None:
    world = serving(is_enabled=False)
    world.hear(activation(changed(s1="host1:1:2:observer;1.2.3.4:5")))
    assert world.role.over is None
    assert versions(world) == (0, 0)
    assert not any("config" in each or "listen" in each for each in world.take())
    assert world.database.last_zxid == NEXT


# --- the first words --------------------------------------------------------------------------


def test_the_version_in_force_is_told_to_the_leader() -> None:
    world = learner(last_seen=attrs.evolve(JOINED, version=NEXT + 1))
    world.reach()
    (told,) = world.take()[-1:]
    assert "config_version=0" in told or "config=0" in told, told
    world.hear(leader_info(1))
    world.sync()
    world.hear(diff(0), commit(1))
    assert world.role.over is not None


def test_a_leader_that_only_the_proposed_configuration_has_can_be_dialed() -> None:
    config = changed(s5="host5:2888:3888", s3="moved:2888:3888")
    world = learner(last_seen=config, leader=5)
    assert world.dial().addresses == (("host5", 2888),)
    world = learner(last_seen=config)
    assert world.dial().addresses == (("host3", 2888), ("moved", 2888))
    world = learner(leader=9)
    world.role.start()
    assert world.role.over == "server 9 is not in the configuration"


# --- files that lack this server --------------------------------------------------------------


def test_who_joins_keeps_its_files_until_it_is_added_and_who_is_removed_does_not() -> None:
    world = serving()
    world.hear(activation(changed(s1="")))
    world.hear(activation(changed(NEXT + 1, s1="", s5="h:1:2")))
    assert not any(each.startswith("save active") for each in world.take())
    world.hear(activation(changed(NEXT + 2)))
    assert f"save active config {NEXT + 2:x}" in world.take()
    world.hear(activation(changed(NEXT + 3, s1="")))
    assert f"save active config {NEXT + 3:x}" in world.take()


def test_who_is_about_to_be_added_saves_what_a_start_needs_to_find_the_proposal() -> None:
    """A start reads a proposal only beside a configuration that was in force, and who acknowledges
    the proposal must not forget it. With that configuration alone it could not start."""
    world = serving()
    world.hear(activation(changed(s1="")))
    world.take()
    world.hear(proposal(reconfiguration(changed(NEXT + 1))))
    saves = [each for each in world.take() if each.startswith("save")]
    assert saves == [f"save proposed config {NEXT + 1:x}", f"save active config {NEXT:x}"]


def test_who_was_almost_added_keeps_the_files_with_which_it_can_start() -> None:
    line = "host7:2888:3888:participant"
    world = learner(sid=7, version=1, last_seen=changed(s7=line))
    world.discover()
    world.hear(diff(0), new_leader(membership(1)))
    assert versions(world) == (1, 1)
    world.sync()
    world.hear(UPTODATE, activation(changed(s5="h:1:2")))
    assert "save proposed config 1" not in world.did
    assert not any(each.startswith("save active") for each in world.did)
    world.hear(activation(changed(NEXT + 1, s7=line)))
    assert f"save active config {NEXT + 1:x}" in world.did


def test_a_member_of_a_saved_configuration_saves_that_it_was_removed() -> None:
    world = serving(version=1)
    world.hear(activation(changed(s1="")))
    assert f"save active config {NEXT:x}" in world.take()


PROMOTED = changed(s4="host4:2888:3888:participant")


@pytest.mark.parametrize("config", [PROMOTED, JOINED])
def test_an_observer_without_a_log_stores_what_it_has_before_its_ack_counts(
    config: Membership,
) -> None:
    world = learner(is_observer=True, sync_enabled=False)
    world.discover(2)
    world.hear(diff(E1 + 1), both(create(E1 + 1)))
    world.take()
    world.hear(new_leader(config, 2))
    ordered = world.take()
    if config is JOINED:
        assert ordered[-1] == "save currentEpoch 2"
        return
    assert ordered[-1] == "store 0x100000001"
    world.hear(packets.encode_packet(packets.INFORM, E2 + 1, create(E2 + 1)))
    world.sync()
    assert world.acks == [E2]
    assert world.member.logged_zxid == E1 + 1
    world.hear(UPTODATE)
    assert world.role.over, "it follows from now on"


def test_what_is_saved_in_force_says_where_clients_are_taken_now() -> None:
    world = serving()
    world.hear(activation(JOINED))
    saved = [each for each in world.orders if isinstance(each, SaveConfig)]
    assert [(each.is_active, each.client_address) for each in saved[-3:]] == [
        (False, None),
        (True, ("0.0.0.0", 2181)),
        (True, ("0.0.0.0", 2181)),
    ]
