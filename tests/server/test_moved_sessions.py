"""One session, several members: who may speak for it, who keeps it alive."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import ErrorCode, OpCode, Xid
from pyzk.jute.records import ErrorTxn, SetDataRequest
from tests.frames import connect_frame, create_request, multi
from tests.server.members import Ensemble
from tests.world import Client, World

CHANGE = SetDataRequest("/", b"", -1)


@pytest.fixture
def ensemble() -> Ensemble:
    return Ensemble()


def write(ensemble: Ensemble, client: Client) -> int | None:
    """Set some data; return the error, None if the connection was closed instead."""
    client.submit(OpCode.SET_DATA, CHANGE)
    ensemble.commit()
    if client.is_closed:
        assert client.frames() == []
        return None
    (reply,) = client.replies()
    return reply.err


# --- coming back ----------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("then", [0, 1, 2])
def test_a_session_can_be_resumed_on_every_member(
    ensemble: Ensemble, first: int, then: int
) -> None:
    client = ensemble.connect(ensemble.members[first])
    again = ensemble.move(client, ensemble.members[then])
    assert (again.session_id, again.password) == (client.session_id, client.password)
    assert write(ensemble, again) == 0
    assert client.is_closed == (first == then)


def test_a_learner_asks_the_leader_and_the_connection_waits(ensemble: Ensemble) -> None:
    client = ensemble.connect(ensemble.leader)
    again = ensemble.follower.open()
    again.send(connect_frame(client.session_id, client.password, timeout_ms=15_000))
    again.submit(OpCode.PING, xid=Xid.PING)
    role = ensemble.follower.role
    assert ensemble.leader.server.metrics.revalidate_count == 0
    assert role.asked == [(again.connection, client.session_id, 15_000)]
    assert again.frames() == []
    assert again.connection.is_stalled
    ensemble.forward()
    ensemble.follower.settle()
    assert ensemble.leader.server.metrics.revalidate_count == 1
    assert len(again.frames()) == 2
    assert not again.connection.is_stalled


def test_the_leader_gives_the_session_the_timeout_of_its_new_connection(
    ensemble: Ensemble,
) -> None:
    client = ensemble.connect(ensemble.leader)
    again = ensemble.follower.open()
    again.send(connect_frame(client.session_id, client.password, timeout_ms=30_000))
    ensemble.forward()
    assert ensemble.leader.server.sessions.sessions[client.session_id].timeout_ms == 30_000
    assert again.connection.timeout_ms == 30_000


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_session_that_is_over_is_said_to_be(ensemble: Ensemble, place: int) -> None:
    client = ensemble.connect(ensemble.leader)
    client.submit(OpCode.CLOSE_SESSION)
    ensemble.commit()
    again = ensemble.move(client, ensemble.members[place])
    assert (again.session_id, again.timeout_ms, again.password) == (0, 0, bytes(16))
    assert again.is_closed


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_wrong_password_asks_nobody_but_ends_the_other_connection(
    ensemble: Ensemble, place: int
) -> None:
    member = ensemble.members[place]
    client = ensemble.connect(member)
    again = member.open()
    response = again.handshake(session_id=client.session_id, password=b"x" * 16)
    assert response is not None
    assert response.session_id == 0
    assert again.is_closed
    member.settle()
    assert client.is_closed
    assert all(not learner.role.asked for learner in ensemble.learners)


def test_a_second_connection_that_comes_back_ends_the_first_that_still_waits(
    ensemble: Ensemble,
) -> None:
    client = ensemble.connect(ensemble.leader)
    first = ensemble.follower.resume(client)
    second = ensemble.follower.resume(client)
    ensemble.follower.settle()
    assert first.is_closed
    ensemble.forward()
    ensemble.follower.settle()
    assert first.frames() == []
    assert second.connect_response() is not None
    session = ensemble.follower.server.sessions.sessions[client.session_id]
    assert session.connection is second.connection


def test_the_answer_for_a_connection_that_went_is_ignored(ensemble: Ensemble) -> None:
    client = ensemble.connect(ensemble.leader)
    gone = ensemble.follower.resume(client)
    gone.connection.closed()
    assert not ensemble.follower.server.attaching
    ensemble.forward()
    assert client.session_id not in ensemble.follower.server.sessions.sessions


def test_no_session_is_resumed_before_the_answer(ensemble: Ensemble) -> None:
    client = ensemble.connect(ensemble.leader)
    ensemble.follower.resume(client)
    assert client.session_id not in ensemble.follower.server.sessions.sessions


def test_a_session_that_nobody_has_leaves_nothing_behind(ensemble: Ensemble) -> None:
    client = ensemble.connect(ensemble.leader)
    client.session_id += 5
    client.password = bytes.fromhex("00") * 16
    again = ensemble.move(client, ensemble.follower)
    assert again.is_closed
    assert not ensemble.follower.server.sessions.sessions


def test_a_server_that_stands_alone_answers_at_once() -> None:
    world = World()
    client = world.connect()
    again = world.open()
    again.handshake(session_id=client.session_id, password=client.password)
    assert again.session_id == client.session_id
    assert client.is_closed
    assert again.ping().err == 0
    assert not again.connection.is_stalled


# --- the owner ----------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), [(0, 1), (1, 0), (1, 2), (2, 1)])
def test_after_a_move_a_write_of_the_old_connection_closes_it(
    ensemble: Ensemble, old: int, new: int
) -> None:
    client = ensemble.connect(ensemble.members[old])
    again = ensemble.move(client, ensemble.members[new])
    assert write(ensemble, client) is None
    assert write(ensemble, again) == 0


def test_a_write_that_came_too_late_takes_a_zxid(ensemble: Ensemble) -> None:
    client = ensemble.connect(ensemble.follower)
    ensemble.move(client, ensemble.observer)
    before = ensemble.leader.database.last_zxid
    write(ensemble, client)
    body = ensemble.log[-1].body
    assert isinstance(body, ErrorTxn)
    assert body.err == ErrorCode.SESSION_MOVED
    assert ensemble.leader.database.last_zxid == before + 1


def test_a_multi_that_came_too_late_closes_the_connection_too(ensemble: Ensemble) -> None:
    client = ensemble.connect(ensemble.follower)
    ensemble.move(client, ensemble.observer)
    client.submit(OpCode.MULTI, multi((OpCode.SET_DATA, CHANGE)))
    ensemble.commit()
    assert client.is_closed
    assert client.frames() == []


def test_a_multi_at_the_leader_that_was_proposed_late_closes_the_connection(
    ensemble: Ensemble,
) -> None:
    client = ensemble.connect(ensemble.leader)
    session = ensemble.leader.server.sessions.sessions[client.session_id]
    session.owner = ensemble.follower  # moved, but this connection has not noticed
    client.submit(OpCode.MULTI, multi((OpCode.SET_DATA, CHANGE)))
    ensemble.commit()
    assert client.is_closed
    assert client.frames() == []


@pytest.mark.parametrize("opcode", [OpCode.PING, OpCode.GET_CHILDREN, OpCode.SYNC])
def test_at_the_leader_a_read_of_the_old_connection_closes_it(
    ensemble: Ensemble, opcode: int
) -> None:
    client = ensemble.connect(ensemble.leader)
    ensemble.move(client, ensemble.follower)
    assert client.connection in ensemble.leader.server.connections
    client.submit(opcode, b"\0\0\0\1/\0")
    assert client.is_closed
    assert client.frames() == []


def test_at_a_learner_reads_of_the_old_connection_go_on(ensemble: Ensemble) -> None:
    client = ensemble.connect(ensemble.follower)
    ensemble.move(client, ensemble.observer)
    assert client.exists("/").err == 0
    assert client.ping().err == 0


def test_a_session_that_comes_back_to_the_leader_is_the_leaders_again(
    ensemble: Ensemble,
) -> None:
    client = ensemble.connect(ensemble.leader)
    there = ensemble.move(client, ensemble.follower)
    back = ensemble.move(there, ensemble.leader)
    assert back.ping().err == 0
    assert write(ensemble, back) == 0
    assert write(ensemble, there) is None


def test_what_was_proposed_before_the_move_is_answered_to_the_old_connection(
    ensemble: Ensemble,
) -> None:
    client = ensemble.connect(ensemble.follower)
    client.submit(OpCode.CREATE, create_request("/a"))
    ensemble.forward()
    again = ensemble.observer.resume(client)
    ensemble.commit()
    assert len(client.replies()) == 1
    assert again.connect_response() is not None
    assert not client.is_closed


def test_what_a_session_wrote_elsewhere_does_not_answer_what_it_writes_here(
    ensemble: Ensemble,
) -> None:
    client = ensemble.connect(ensemble.follower)
    client.submit(OpCode.SET_DATA, CHANGE, xid=1)
    ensemble.forward()
    again = ensemble.observer.resume(client)
    ensemble.forward()
    ensemble.observer.settle()
    assert again.connect_response() is not None
    again.submit(OpCode.SET_DATA, CHANGE, xid=2)
    ensemble.commit(1)
    assert again.replies() == []
    ensemble.commit()
    assert [reply.xid for reply in again.replies()] == [2]


def test_the_first_who_speaks_for_a_session_after_an_election_owns_it(
    ensemble: Ensemble,
) -> None:
    client = ensemble.connect(ensemble.follower)
    session = ensemble.leader.server.sessions.sessions[client.session_id]
    session.owner = None  # as in the table that a new leader begins with
    assert write(ensemble, client) == 0
    assert session.owner is ensemble.follower


def test_the_servers_own_end_of_a_session_needs_no_owner(ensemble: Ensemble) -> None:
    client = ensemble.connect(ensemble.follower)
    ensemble.advance(60_000)
    ensemble.commit()
    assert client.is_closed
    assert ensemble.log[-1].header.type == OpCode.CLOSE_SESSION


# --- staying alive --------------------------------------------------------------------


def test_every_request_is_a_sign_of_life_for_the_next_ping_of_the_leader(
    ensemble: Ensemble,
) -> None:
    sessions = ensemble.follower.role.sessions
    reader = ensemble.connect(ensemble.follower, timeout_ms=8_000)
    writer = ensemble.connect(ensemble.follower, timeout_ms=9_000)
    silent = ensemble.connect(ensemble.follower)
    sessions.take_touched()
    reader.ping()
    writer.submit(OpCode.SET_DATA, CHANGE)
    assert sessions.take_touched() == {reader.session_id: 8_000, writer.session_id: 9_000}
    assert sessions.take_touched() == {}
    assert not silent.is_closed


def test_the_leader_believes_the_signs_of_life(ensemble: Ensemble) -> None:
    kept = ensemble.connect(ensemble.follower, timeout_ms=10_000)
    lost = ensemble.connect(ensemble.follower, timeout_ms=10_000)
    sessions = ensemble.follower.role.sessions
    for _ in range(6):
        sessions.take_touched()
        ensemble.advance(4_000)
        ensemble.commit()
        if not kept.is_closed:
            kept.ping()
        for session_id, timeout_ms in sessions.take_touched().items():
            ensemble.leader.server.touch_session(session_id, timeout_ms)
    assert not kept.is_closed
    assert lost.is_closed


def test_a_sign_of_life_of_an_unknown_or_ending_session_is_nothing(ensemble: Ensemble) -> None:
    server = ensemble.leader.server
    server.touch_session(99, 10_000)
    client = ensemble.connect(ensemble.leader)
    session = server.sessions.sessions[client.session_id]
    client.submit(OpCode.CLOSE_SESSION)
    server.touch_session(client.session_id, 40_000)
    assert session.timeout_ms == 10_000
    assert server.sessions.deadline is None


def test_a_learner_expires_no_session_of_the_ensemble(ensemble: Ensemble) -> None:
    client = ensemble.connect(ensemble.follower)
    ensemble.follower.server.expire_sessions()
    ensemble.clock.now_ms += 100_000
    ensemble.follower.server.expire_sessions()
    ensemble.follower.settle()
    assert not client.is_closed
    assert ensemble.follower.server.sessions.deadline is None
    assert ensemble.follower.role.sent == []


def test_an_ending_session_gives_no_signs_of_life(ensemble: Ensemble) -> None:
    client = ensemble.connect(ensemble.follower)
    client.submit(OpCode.CLOSE_SESSION)
    sessions = ensemble.follower.role.sessions
    sessions.take_touched()
    client.submit(OpCode.PING, xid=Xid.PING)
    assert sessions.take_touched() == {}


def test_with_local_sessions_the_leader_vouches_for_global_ones_only() -> None:
    config = ServerConfig(local_sessions_enabled=True, local_sessions_upgrading_enabled=True)
    ensemble = Ensemble(config)
    client = ensemble.connect(ensemble.leader)
    again = ensemble.move(client, ensemble.follower)
    assert again.session_id == 0
    client = ensemble.connect(ensemble.leader)
    client.submit(OpCode.CREATE, create_request("/a", flags=1))
    ensemble.commit()
    again = ensemble.move(client, ensemble.follower)
    assert again.session_id == client.session_id
