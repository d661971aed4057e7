"""A server from role to role: who is served, what is forgotten, which limits hold."""

from __future__ import annotations

from random import Random

import pytest

from pyzk.clock import Clock
from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.data.database import Database
from pyzk.data.tree import DataTree
from pyzk.server.outbox import Outbox
from pyzk.server.prep import Prep
from pyzk.server.server import Server
from pyzk.server.sessions import LearnerSessions
from tests.frames import connect_frame, create_request
from tests.server.calls import add_watch
from tests.server.members import Ensemble, FakeLeader, FakeLearner, Learner, Member
from tests.world import START_MS, WALL_MS


@pytest.fixture
def member() -> Member:
    return Member(2, Clock(START_MS, WALL_MS), ServerConfig())


def test_before_a_role_begins_connect_requests_are_closed_without_a_word(member: Member) -> None:
    assert not member.server.is_running
    client = member.open()
    client.send(connect_frame())
    assert client.is_closed
    assert client.frames() == []


def test_four_letter_words_are_answered_before_a_role_begins(member: Member) -> None:
    client = member.open()
    client.send(b"srvr")
    assert client.received == b"This ZooKeeper instance is not currently serving requests\n"


def test_after_a_role_has_ended_nobody_is_served(member: Member) -> None:
    FakeLeader(member.server)
    assert member.server.is_running
    member.server.end()
    client = member.open()
    client.send(connect_frame())
    assert client.is_closed
    assert client.frames() == []


def test_the_end_of_a_role_closes_every_connection_without_answers() -> None:
    ensemble = Ensemble()
    follower = ensemble.follower
    writer = ensemble.connect(follower)
    idle = ensemble.connect(follower)
    half = follower.open()
    starting = follower.connect()
    writer.submit(OpCode.CREATE, create_request("/a"))
    follower.server.end()
    follower.settle()
    for client in (writer, idle, half, starting):
        assert client.is_closed
        assert client.frames() == []
    assert not follower.server.connections


def test_the_end_of_a_role_forgets_what_was_on_the_way() -> None:
    config = ServerConfig(large_request_threshold=100, large_request_max_bytes=1000)
    ensemble = Ensemble(config)
    follower = ensemble.follower
    client = ensemble.connect(follower)
    add_watch(client, "/", 1)
    client.submit(OpCode.CREATE, create_request("/a", bytes(500)))
    client.submit(OpCode.CREATE, create_request("/b"))
    moved = follower.resume(client)  # asked about, not answered yet
    server = follower.server
    assert server.outstanding == 2
    assert server.queues.large.bytes > 500
    server.end()
    follower.settle()
    assert moved.is_closed
    assert server.outstanding == 0
    assert server.queues.large.bytes == 0
    assert not server.sessions.sessions
    assert not server.attaching
    assert not server.handshakes
    assert server.tree.watches.watch_count == 0


def test_the_end_of_a_role_forgets_who_was_throttled() -> None:
    ensemble = Ensemble(ServerConfig(global_outstanding_limit=1))
    follower = ensemble.follower
    client = ensemble.connect(follower)
    client.submit(OpCode.CREATE, create_request("/a"))
    client.submit(OpCode.CREATE, create_request("/b"))
    assert follower.server.queues.throttled
    follower.server.end()
    assert not follower.server.queues.throttled
    follower.server.queues.end_batch()


def test_an_end_without_a_begin_does_nothing(member: Member) -> None:
    half = member.open()
    member.server.end()
    member.settle()
    assert half.is_closed
    member.server.end()
    assert not member.server.is_running


def test_the_next_role_serves_again() -> None:
    ensemble = Ensemble()
    follower = ensemble.follower
    client = ensemble.connect(follower)
    follower.server.end()
    follower.role = FakeLearner(follower.server)
    again = ensemble.move(client, follower)
    assert again.session_id == client.session_id
    assert again.ping().err == 0


def test_another_database_is_served_and_counted_from_then_on(member: Member) -> None:
    tree = DataTree()
    tree.last_zxid = member.database.last_zxid
    member.server.attach(Database(tree, {}))
    assert member.server.tree is tree
    FakeLearner(member.server)
    client = member.connect()
    assert client.connection.server.tree is tree
    created = member.server.metrics.node_created_watch_count
    assert tree.watches.fired is not None
    assert tree.watches.fired[1] is created
    assert tree.written is member.server.metrics.written


def test_another_database_below_clients_is_a_mistake(member: Member) -> None:
    FakeLearner(member.server)
    with pytest.raises(AssertionError, match="a role is running"):
        member.server.attach(Database(DataTree()))


@pytest.mark.parametrize(
    ("voters", "limit"), [(0, 100), (1, 100), (2, 100), (3, 50), (4, 33), (5, 25)]
)
def test_voters_share_the_limit_of_requests_on_the_way(
    member: Member, voters: int, limit: int
) -> None:
    config = ServerConfig(global_outstanding_limit=100)
    member = Member(2, Clock(START_MS, WALL_MS), config)
    FakeLearner(member.server, voters=voters)
    assert member.server.queues.outstanding_limit == limit
    member.server.end()
    FakeLeader(member.server, voters=voters)
    assert member.server.queues.outstanding_limit == limit


def test_a_leader_that_takes_no_clients_answers_four_letter_words_only() -> None:
    ensemble = Ensemble()
    server = ensemble.leader.server
    server.end()
    server.begin(ensemble.leader_role, server.tracked_sessions(), takes_clients=False)
    assert server.is_running
    client = ensemble.leader.open()
    client.send(connect_frame())
    assert client.is_closed
    assert client.frames() == []
    word = ensemble.leader.open()
    word.send(b"srvr")
    assert word.received == b"This ZooKeeper instance is not currently serving requests\n"
    ensemble.leader_role.prep = Prep(server)
    assert ensemble.connect(ensemble.follower).session_id


# --- ids ----------------------------------------------------------------------------


def test_a_session_id_begins_with_the_number_of_the_server() -> None:
    ensemble = Ensemble()
    for member, sid in zip(ensemble.members, (1, 2, 3), strict=True):
        assert ensemble.connect(member).session_id >> 56 == sid


def test_a_server_with_a_large_number_gives_negative_ids() -> None:
    ensemble = Ensemble()
    ensemble.follower.server.end()
    big = Learner(200, ensemble.clock, ensemble.config, "follower")
    ensemble.learners = (big, ensemble.observer)
    client = ensemble.connect(big)
    assert client.session_id < 0
    assert client.session_id >> 56 & 0xFF == 200


def test_the_next_role_gives_no_id_again_even_if_the_wall_clock_goes_back(member: Member) -> None:
    FakeLearner(member.server)
    first = [member.server.sessions.allocate_id() for _ in range(3)]
    member.server.end()
    member.clock.wall_ms -= 60_000
    FakeLearner(member.server)
    assert member.server.sessions.allocate_id() == first[-1] + 1
    member.server.end()
    member.clock.wall_ms += 120_000
    FakeLearner(member.server)
    assert member.server.sessions.allocate_id() > first[-1] + 1000


def test_ids_of_a_member_come_from_the_wall_clock(member: Member) -> None:
    FakeLearner(member.server)
    assert member.server.sessions.allocate_id() == 2 << 56 | (WALL_MS & (1 << 40) - 1) << 16


# --- a new leader --------------------------------------------------------------------


def test_a_new_leader_gives_every_session_its_full_timeout(member: Member) -> None:
    member.database.sessions.update({77: 10_000, 78: 40_000})
    FakeLeader(member.server)
    sessions = member.server.sessions
    assert sorted(sessions.sessions) == [77, 78]
    tick = member.server.config.tick_time_ms
    for session_id, timeout_ms in member.database.sessions.items():
        bucket_ms = sessions.sessions[session_id].bucket_ms
        assert START_MS + timeout_ms < bucket_ms <= START_MS + timeout_ms + tick
        assert sessions.sessions[session_id].owner is None


def test_a_learner_tracks_no_session_of_the_database(member: Member) -> None:
    member.database.sessions[77] = 10_000
    FakeLearner(member.server)
    assert isinstance(member.server.sessions, LearnerSessions)
    assert not member.server.sessions.sessions
    assert member.server.sessions.deadline is None


def test_a_server_that_stands_alone_has_the_number_1_in_its_ids() -> None:
    server = Server(
        ServerConfig(), Database(DataTree()), Clock(START_MS, WALL_MS), Outbox(), Random(1)
    )
    assert server.next_session_id() == 1 << 56 | START_MS << 16
