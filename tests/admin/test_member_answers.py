"""What the admin server tells of a member of an ensemble."""

from __future__ import annotations

from typing import Any

import pytest

from pyzk.config.members import Membership, parse_membership
from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.quorum import packets
from pyzk.server.readonly import ReadOnly
from pyzk.zxid import make
from tests.admin.asking import body_of
from tests.frames import create_request
from tests.quorum.leader_world import LeaderWorld, membership
from tests.quorum.learner_world import LearnerWorld
from tests.quorum.observer_world import MasterWorld
from tests.server.members import Member
from tests.world import WALL_MS, World


def members(*lines: str) -> Membership:
    return parse_membership("\n".join([*lines, "version=0"]).encode())


def leading(members: Membership | None = None, **settings: Any) -> LeaderWorld:
    """Return server 1, which leads and serves: server 2 follows."""
    world = LeaderWorld(members or membership(3, 1), **settings)
    world.joined(2)
    assert world.is_serving()
    return world


# --- who leads -------------------------------------------------------------------------------


def test_a_leader_names_itself() -> None:
    body = body_of(leading().peer, "lead")
    assert list(body.items()) == [
        ("is_leader", True),
        ("leader_id", 1),
        ("leader_ip", "127.0.0.1"),
        ("command", "leader"),
        ("error", None),
    ]


@pytest.mark.parametrize("is_observer", [False, True])
def test_a_learner_names_its_leader_as_the_configuration_does(is_observer: bool) -> None:
    world = LearnerWorld(is_observer=is_observer)
    world.serve()
    body = body_of(world.peer, "leader")
    assert (body["is_leader"], body["leader_id"], body["leader_ip"]) == (False, 3, "host3")


def test_a_leader_with_two_addresses_names_both() -> None:
    world = leading(
        members(
            "server.1=10.0.0.2:1:2|10.0.0.1:1:2;0.0.0.0:3",
            "server.2=10.0.0.3:1:2;0.0.0.0:3",
            "server.3=10.0.0.4:1:2;0.0.0.0:3",
        )
    )
    assert body_of(world.peer, "leader")["leader_ip"] == "10.0.0.1|10.0.0.2"


def test_a_leader_that_is_in_no_configuration_has_no_address() -> None:
    world = LearnerWorld()
    world.serve()
    world.role.leader_sid = 9
    body = body_of(world.peer, "leader")
    assert (body["leader_id"], body["leader_ip"]) == (9, "")


@pytest.mark.parametrize("mode", ["alone", "read only"])
def test_who_has_no_ensemble_or_no_leader_knows_nothing_of_it(mode: str) -> None:
    peer = World().peer
    if mode == "read only":
        member = Member(1, World().clock, ServerConfig())
        member.server.begin(ReadOnly(member.server), member.server.learner_sessions())
        peer = member.peer
    assert list(body_of(peer, "leader").items()) == [
        ("error", "server is not initialized"),
        ("command", "leader"),
    ]
    assert body_of(peer, "voting_view")["current_config"] == {}
    assert body_of(peer, "zabstate") == {
        "voting": False,
        "zabstate": "",
        "command": "zabstate",
        "error": None,
    }
    assert body_of(peer, "obsr")["observers"] == []
    assert body_of(peer, "orst")["error"] is None


def test_a_member_that_does_not_serve_yet_has_no_place() -> None:
    leader = LeaderWorld()
    learner = LearnerWorld()
    learner.discover()
    for peer in (leader.peer, learner.peer):
        assert body_of(peer, "zabstate")["zabstate"] == ""
        assert "not currently serving" in body_of(peer, "leader")["error"]


# --- its place ---------------------------------------------------------------------------------


def test_the_voters_are_listed_with_all_their_addresses() -> None:
    world = leading(
        members(
            "server.1=[::1]:1:2;[::1]:3",
            "server.2=b:1:2|a:4:5;0.0.0.0:3",
            "server.3=c:1:2",
            "server.4=d:1:2:observer;0.0.0.0:3",
        )
    )
    assert body_of(world.peer, "voting_view")["current_config"] == {
        "1": {
            "server_addresses": ["[0:0:0:0:0:0:0:1]:1"],
            "election_addresses": ["[0:0:0:0:0:0:0:1]:2"],
            "client_address": "[0:0:0:0:0:0:0:1]:3",
            "learner_type": "participant",
        },
        "2": {
            "server_addresses": ["a:4", "b:1"],
            "election_addresses": ["a:5", "b:2"],
            "client_address": "0.0.0.0:3",
            "learner_type": "participant",
        },
        "3": {
            "server_addresses": ["c:1"],
            "election_addresses": ["c:2"],
            "client_address": "",
            "learner_type": "participant",
        },
    }


def test_the_client_address_of_a_line_without_one_is_known_of_this_server_only() -> None:
    lines = [f"server.{sid}=10.0.0.{sid}:1:2" for sid in (1, 2, 3)]
    config = body_of(leading(members(*lines)).peer, "voting_view")["current_config"]
    assert [each["client_address"] for each in config.values()] == ["0.0.0.0:2181", "", ""]


def test_a_member_tells_its_place_in_the_ensemble() -> None:
    world = leading()
    body = body_of(world.peer, "zabstate")
    assert (body["myid"], body["is_leader"], body["voting"]) == (1, True, True)
    assert body["client_address"] == "0.0.0.0:2181"
    assert (body["last_zxid"], body["zab_epoch"], body["zab_counter"]) == ("0x100000000", 1, 0)
    assert body["zabstate"] == "broadcast"
    assert body["quorum_address"] == {
        "empty": False,
        "all_addresses": ["127.0.0.1:2010"],
        "wildcard_addresses": ["0.0.0.0:2010"],
        "all_ports": [2010],
        "all_host_strings": ["127.0.0.1"],
        "reachable_address": "127.0.0.1:2010",
        "all_reachable_addresses": ["127.0.0.1:2010"],
        "all_reachable_addresses_or_all": ["127.0.0.1:2010"],
        "reachable_or_one": "127.0.0.1:2010",
        "one": "127.0.0.1:2010",
    }
    assert body["election_address"]["one"] == "127.0.0.1:2011"


def test_ports_that_two_addresses_share_are_listed_once() -> None:
    line = "server.1=10.0.0.1:1:2|10.0.0.2:1:3;0.0.0.0:3"
    world = leading(members(line, *(f"server.{sid}=h{sid}:1:2;0.0.0.0:3" for sid in (2, 3))))
    body = body_of(world.peer, "zabstate")
    assert body["quorum_address"]["all_addresses"] == ["10.0.0.1:1", "10.0.0.2:1"]
    assert body["quorum_address"]["all_ports"] == [1]
    assert body["quorum_address"]["wildcard_addresses"] == ["0.0.0.0:1"]
    assert body["election_address"]["all_ports"] == [2, 3]


def test_an_observer_does_not_vote() -> None:
    world = LearnerWorld(is_observer=True)
    world.serve()
    assert body_of(world.peer, "zabstate")["voting"] is False


def test_a_member_without_a_client_port_has_no_client_address() -> None:
    world = leading()
    world.member.client_address = None
    assert body_of(world.peer, "zabstate")["client_address"] is None


# --- observers -----------------------------------------------------------------------------------


def observer_of(world: LeaderWorld | MasterWorld) -> dict[str, Any]:
    (found,) = body_of(world.peer, "observers")["observers"]
    assert isinstance(found, dict)
    return found


def test_a_leader_shows_the_observers_that_follow_it() -> None:
    world = leading()
    world.joined(4, is_observer=True)
    body = body_of(world.peer, "observers")
    assert body["synced_observers"] == 1
    assert observer_of(world) == {
        "remote_socket_address": "/server-4",
        "sid": 4,
        "established": WALL_MS,
        "queued_packets": 0,
        "queued_packets_size": 0,
        "packets_received": 3,  # OBSERVERINFO, ACKEPOCH, ACK of NEWLEADER
        "packets_sent": 4,  # LEADERINFO, SNAP or DIFF, NEWLEADER, UPTODATE
        "requests": 0,
        "last_zxid": -1,
    }


def test_the_packets_of_an_observer_are_counted_also_when_they_are_sent_together() -> None:
    world = leading()
    observer = world.joined(4, is_observer=True)
    before = observer_of(world)["packets_sent"]
    follower = world.joined(3)
    body = create_request("/a").encode()
    observer.request(OpCode.CREATE, body, cxid=1)
    observer.request(OpCode.CREATE, create_request("/b").encode(), cxid=2)
    follower.ack_all()
    informs = [each for each in observer.got if each.startswith("INFORM")]
    shown = observer_of(world)
    assert (shown["requests"], len(informs)) == (2, 2)
    assert shown["packets_sent"] == before + 2
    assert shown["packets_received"] == 5
    assert shown["last_zxid"] == make(1, 2)


def test_a_ping_is_a_packet_and_has_a_zxid() -> None:
    world = leading()
    observer = world.joined(4, is_observer=True)
    before = observer_of(world)["packets_sent"]
    world.beat(1, observer)
    shown = observer_of(world)
    assert shown["packets_sent"] == before + 1
    assert shown["last_zxid"] == world.leader.last_proposed


def test_what_an_observer_does_not_read_waits_for_it() -> None:
    world = leading()
    observer = world.joined(4, is_observer=True)
    observer.reads = False
    world.beat(1, observer)
    shown = observer_of(world)
    assert shown["queued_packets"] == 1
    assert shown["queued_packets_size"] > 0
    observer.reads = True
    world.beat(1, observer)
    assert observer_of(world)["queued_packets"] == 0


def test_the_numbers_of_observers_can_be_reset() -> None:
    world = leading()
    observer = world.joined(4, is_observer=True)
    observer.request(OpCode.CREATE, create_request("/a").encode())
    body_of(world.peer, "orst")
    shown = observer_of(world)
    assert [shown[each] for each in ("packets_received", "packets_sent", "requests")] == [0, 0, 0]
    assert (shown["last_zxid"], shown["established"]) == (-1, WALL_MS)
    observer.send(packets.encode_ping_reply(0, {}))
    assert observer_of(world)["packets_received"] == 1


def test_a_follower_shows_the_observers_it_takes() -> None:
    world = MasterWorld()
    world.begin()
    assert body_of(world.peer, "observers")["observers"] == []
    world.joined(4)
    body = body_of(world.peer, "observers")
    assert body["synced_observers"] == 1
    assert observer_of(world)["sid"] == 4
    body_of(world.peer, "orst")
    assert observer_of(world)["packets_received"] == 0


def test_a_follower_that_takes_no_observers_has_no_observers() -> None:
    world = LearnerWorld()
    world.serve()
    body = body_of(world.peer, "observers")
    assert (body["synced_observers"], body["observers"]) == (0, [])
