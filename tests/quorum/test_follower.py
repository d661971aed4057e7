"""A follower in BROADCAST: log, acknowledge, apply; and what its clients ask for."""

from __future__ import annotations

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.data.txn import decode_txn
from pyzk.jute.records import CreateSessionTxn, PathRequest, PathWatchRequest
from pyzk.quorum import packets
from pyzk.server.passwords import session_password
from pyzk.zxid import make
from tests.frames import create_request
from tests.quorum.learner_world import (
    SYNC,
    LearnerWorld,
    both,
    commit,
    inform,
    ping,
    proposal,
    ready,
)
from tests.transactions import SESSION, create, txn
from tests.world import Client

E1 = make(1, 0)


def serving() -> LearnerWorld:
    world = LearnerWorld()
    world.serve()
    return world


def validity(session: int, is_valid: bool) -> bytes:
    return packets.encode_validity(session, is_valid)


def attached(world: LearnerWorld, session: int = SESSION) -> Client:
    """Return a client that has come back with its session."""
    client = world.open()
    client.handshake(session, session_password(session))
    world.hear(validity(session, True))
    client.frames()
    world.take()
    return client


# --- the log, acknowledgements, commits -------------------------------------------------------


def test_a_proposal_is_logged_and_acknowledged_when_it_is_durable() -> None:
    world = serving()
    world.hear(proposal(create(E1 + 1)))
    assert world.take() == ["log 0x100000001"]
    world.answer()
    assert world.take() == ["disk log 0x100000001", "> ACK 0x100000001"]
    assert world.paths() == []


def test_acknowledgements_of_one_sync_are_one_send_one_for_each_proposal() -> None:
    world = serving()
    before = len(world.received)
    world.hear(*(proposal(create(E1 + n)) for n in range(1, 4)))
    world.answer()
    acks = b"".join(packets.encode_bare(packets.ACK, E1 + n) for n in range(1, 4))
    assert world.received[before:] == acks


def test_only_what_is_durable_is_acknowledged() -> None:
    world = serving()
    world.hear(*(proposal(create(E1 + n)) for n in range(1, 4)))
    world.take()
    world.unsynced, rest = world.unsynced[:2], world.unsynced[2:]
    world.answer()
    assert world.take()[1:] == ["> ACK 0x100000001", "> ACK 0x100000002"]
    world.role.log_synced(E1 + 2)
    world.settle()
    assert world.take() == []
    world.unsynced = rest
    world.answer()
    assert world.take()[1:] == ["> ACK 0x100000003"]


def test_a_commit_is_applied_before_the_own_disk_has_answered() -> None:
    world = serving()
    world.hear(both(create(E1 + 1, "/a")))
    assert world.take() == ["log 0x100000001"]
    assert world.paths() == ["/a"]
    assert world.committed == [E1 + 1]
    assert world.database.last_zxid == E1 + 1


def test_a_write_is_alone_if_all_that_came_before_is_committed() -> None:
    world = serving()
    alone = world.peer.follows_alone
    world.hear(proposal(create(E1 + 1)))
    assert not alone(1, E1 + 1), "the first of an epoch follows nothing that can be counted"
    world.hear(commit(E1 + 1), proposal(create(E1 + 2)))
    assert alone(1, E1 + 2)
    world.hear(proposal(create(E1 + 3)))
    assert not alone(1, E1 + 3)
    assert alone(2, E1 + 3)
    world.hear(commit(E1 + 2))
    assert alone(1, E1 + 3)
    world.hear(commit(E1 + 3))
    assert not alone(1, E1 + 3), "it is committed: nobody waits for it"
    world.hear(proposal(create(E1 + 4)))
    world.server.is_running = False
    assert not alone(1, E1 + 4)


def test_a_write_is_not_alone_while_a_client_here_waits_for_one() -> None:
    world = serving()
    client = attached(world)
    world.hear(both(create(E1 + 1)))
    client.submit(OpCode.CREATE, create_request("/mine"), 5)
    world.hear(proposal(create(E1 + 2, "/other")))
    assert not world.peer.follows_alone(1, E1 + 2)
    world.hear(commit(E1 + 2), both(create(E1 + 3, "/mine", cxid=5)))
    world.hear(proposal(create(E1 + 4, "/more")))
    assert client.xids() == [5]
    assert world.peer.follows_alone(1, E1 + 4)


def test_an_observer_follows_nobody_alone() -> None:
    world = LearnerWorld(is_observer=True)
    world.serve()
    world.hear(inform(create(E1 + 1)))
    assert not world.peer.follows_alone(0, E1 + 1)


def test_commits_come_in_the_order_of_the_proposals() -> None:
    world = serving()
    world.hear(proposal(create(E1 + 1)), proposal(create(E1 + 2)), commit(E1 + 2))
    assert world.role.over is not None
    assert "COMMIT 0x100000002, but 0x100000001 is the oldest proposal" in world.role.over
    assert world.paths() == []


def test_a_follower_times_what_it_hears_logs_and_applies() -> None:
    world = serving()
    payloads = [create(E1 + n, f"/{n}") for n in (1, 2)]
    made_ms, later_ms = (decode_txn(payload).header.time for payload in payloads)
    assert later_ms == made_ms + 1
    world.clock.wall_ms = made_ms + 3
    world.hear(*map(proposal, payloads))
    world.clock.wall_ms += 4
    world.answer()
    world.clock.wall_ms += 5
    world.hear(commit(E1 + 1), commit(E1 + 2))
    metrics = world.server.metrics
    for summary, took_ms in (
        (metrics.proposal_latency, 3),
        (metrics.proposal_ack_creation_latency, 7),
        (metrics.commit_propagation_latency, 12),
        (metrics.propagation_latency, 12),
    ):
        assert (summary.count, summary.min, summary.max) == (2, took_ms - 1, took_ms)
    assert metrics.quorum_ack_latency.count == metrics.proposal_count == 0
    assert metrics.request_commit_queued == metrics.learner_commit_received_count == 2
    assert (metrics.follower_sync_time.count, metrics.observer_sync_time.count) == (1, 0)
    world.clock.wall_ms = made_ms - 1
    world.hear(proposal(create(E1 + 3)))
    assert metrics.proposal_latency.count == 2, "the leader's clock is ahead"


def test_a_payload_of_another_zxid_than_its_packet_ends_the_link() -> None:
    world = serving()
    world.hear(packets.encode_packet(packets.PROPOSAL, E1 + 1, create(E1 + 2)))
    assert world.role.over is not None
    assert world.take() == []


def test_what_is_logged_and_not_committed_is_left_to_be_applied() -> None:
    world = serving()
    world.hear(both(create(E1 + 1)), proposal(create(E1 + 2)), proposal(create(E1 + 3)))
    world.link.lost("reset")
    assert world.role.over is not None
    world.role.stop()
    assert list(world.role.unapplied) == [
        (E1 + 2, create(E1 + 2)),
        (E1 + 3, create(E1 + 3)),
    ]
    assert world.database.last_zxid == E1 + 1


def test_nothing_is_acknowledged_after_the_end() -> None:
    world = serving()
    world.hear(proposal(create(E1 + 1)))
    world.link.lost("reset")
    world.take()
    world.sync()
    assert world.take() == ["disk log 0x100000001"]


def test_a_reconfiguration_is_committed_like_a_transaction() -> None:
    world = serving()
    world.hear(proposal(create(E1 + 1, "/a")), packets.encode_commit_and_activate(E1 + 1, 3))
    assert world.role.over is None
    assert world.paths() == ["/a"]


def test_a_reconfiguration_during_synchronization_too() -> None:
    world = LearnerWorld()
    world.discover()
    world.hear(
        packets.encode_bare(packets.DIFF, 0),
        proposal(create(E1 + 1, "/a")),
        packets.encode_commit_and_activate(E1 + 1, 3),
    )
    assert world.paths() == ["/a"]


# --- becoming a server ------------------------------------------------------------------------


def test_clients_are_served_from_uptodate_on_until_the_end() -> None:
    world = LearnerWorld()
    world.discover()
    world.hear(packets.encode_bare(packets.DIFF, 0), packets.encode_new_leader(1, b""))
    world.sync()
    assert not world.is_serving()
    world.hear(packets.UPTODATE_PACKET)
    assert world.is_serving()
    assert world.server.role is world.role
    assert world.role.mode == "follower"
    client = attached(world)
    world.link.lost("reset")
    world.role.stop()
    world.settle()
    assert not world.is_serving()
    assert client.is_closed
    assert client.frames() == []


def test_the_committed_configuration_is_in_its_znode() -> None:
    world = serving()
    data = world.database.tree.nodes["/zookeeper/config"].data
    assert data is not None
    assert data.startswith(b"server.1=host1:2888:3888:participant\n")
    assert data.endswith(b"version=0")


def test_the_vote_says_the_epoch_from_uptodate_on() -> None:
    world = LearnerWorld()
    election = world.elections.election
    ready(world)
    assert election.current_vote.peer_epoch == 0
    world.hear(packets.UPTODATE_PACKET)
    assert election.current_vote.peer_epoch == 1


def test_the_limit_of_requests_is_shared_by_those_who_vote() -> None:
    world = serving()
    assert world.server.queues.outstanding_limit == ServerConfig().global_outstanding_limit // 2


def test_a_follower_has_no_numbers_of_its_own() -> None:
    assert serving().role.gauges() == {}


# --- sessions ---------------------------------------------------------------------------------


def test_a_ping_is_answered_with_who_gave_a_sign_of_life_since_the_last() -> None:
    world = serving()
    attached(world)
    world.hear(ping(E1 + 7), ping(E1 + 8))
    assert world.take() == ["> PING 0x100000007 sessions=1", "> PING 0x100000008 sessions=0"]


def test_a_session_is_asked_about_and_its_client_goes_on_when_it_lives() -> None:
    world = serving()
    client = world.open()
    client.handshake(SESSION, session_password(SESSION), timeout_ms=6000)
    assert world.take() == ["> REVALIDATE 0x77 timeout=6000"]
    assert client.frames() == []
    world.hear(validity(SESSION, True))
    (response,) = client.frames()
    assert response[8:16] == SESSION.to_bytes(8, "big")


def test_a_session_that_is_gone_ends_its_client() -> None:
    world = serving()
    client = world.open()
    client.handshake(SESSION, session_password(SESSION))
    world.hear(validity(SESSION, False))
    (response,) = client.frames()
    assert response[8:16] == bytes(8)
    assert client.is_closed


def test_answers_about_a_session_are_for_who_asked_first() -> None:
    world = serving()
    first, second, other = world.open(), world.open(), world.open()
    first.handshake(SESSION, session_password(SESSION))
    other.handshake(0x78, session_password(0x78))
    second.handshake(SESSION, session_password(SESSION))
    # The second closes the first; the first answer is to the first's question.
    world.hear(validity(SESSION, False))
    assert second.frames() == []
    world.hear(validity(SESSION, True), validity(0x78, True))
    assert len(second.frames()) == 1
    assert len(other.frames()) == 1
    assert not second.is_closed


def test_an_answer_whose_client_has_gone_is_nothing() -> None:
    world = serving()
    asking = world.open()
    asking.handshake(SESSION, session_password(SESSION))
    asking.connection.closed()
    world.hear(validity(SESSION, True))
    client = attached(world)
    client.submit(OpCode.SYNC, PathRequest("/"), 1)
    client.connection.closed()
    world.hear(SYNC)
    assert world.role.over is None


def test_a_new_session_is_the_leaders_transaction() -> None:
    world = serving()
    client = world.open()
    client.handshake(timeout_ms=5000)
    (line,) = world.take()
    assert line.startswith("> REQUEST createSession session=0x1")
    assert client.frames() == []
    session = int(line.split("session=")[1].split()[0], 16)
    world.hear(both(txn(E1 + 1, OpCode.CREATE_SESSION, CreateSessionTxn(5000), session=session)))
    (response,) = client.frames()
    assert int.from_bytes(response[8:16], "big") == session


# --- requests ---------------------------------------------------------------------------------


def test_a_write_goes_to_the_leader_and_is_answered_when_it_is_applied() -> None:
    world = serving()
    client = attached(world)
    client.submit(OpCode.CREATE, create_request("/a"), 5)
    assert world.take() == ["> REQUEST create session=0x77 cxid=5"]
    world.hear(proposal(create(E1 + 1, "/a", cxid=5)))
    assert client.frames() == []
    world.hear(commit(E1 + 1))
    assert client.xids() == [5]
    assert world.server.metrics.updatelatency.count == 1


def test_a_transaction_of_somebody_else_answers_nobody_here() -> None:
    world = serving()
    client = attached(world)
    client.submit(OpCode.CREATE, create_request("/a"), 5)
    world.hear(both(create(E1 + 1, "/b", session=0x99, cxid=5)))
    assert client.frames() == []


def test_syncs_are_answered_in_order_and_reads_behind_them() -> None:
    world = serving()
    client, other = attached(world), attached(world, 0x78)
    client.submit(OpCode.SYNC, PathRequest("/"), 1)
    client.submit(OpCode.EXISTS, PathWatchRequest("/a", False), 2)
    other.submit(OpCode.SYNC, PathRequest("/"), 9)
    assert world.take() == [
        "> REQUEST sync session=0x77 cxid=1",
        "> REQUEST sync session=0x78 cxid=9",
    ]
    world.hear(both(create(E1 + 1, "/a")), SYNC)
    assert client.xids() == [1, 2]
    assert other.xids() == []
    world.hear(SYNC)
    assert other.xids() == [9]


def test_a_sync_does_not_take_the_place_of_a_write() -> None:
    world = serving()
    client = attached(world)
    client.submit(OpCode.CREATE, create_request("/a"), 1)
    client.submit(OpCode.SYNC, PathRequest("/"), 2)
    world.hear(both(create(E1 + 1, "/a", cxid=1)), SYNC)
    assert client.xids() == [1, 2]


# --- what is sent first -----------------------------------------------------------------------


def test_acks_and_answers_to_pings_do_not_wait_behind_requests() -> None:
    """In their order: a leader that hears nothing for syncLimit drops this follower."""
    world = serving()
    client = attached(world)
    is_dirty, world.link.is_dirty = world.link.is_dirty, True  # the line takes nothing
    for number in range(3):
        record = create_request(f"/a{number}", bytes(1000))
        client.submit(OpCode.CREATE, record, number + 1)
    for number in (1, 2):
        world.hear(proposal(create(E1 + number)))
        world.answer()
    world.hear(ping(E1 + 2))
    assert world.take()[-1].startswith("disk log")
    world.link.is_dirty = is_dirty
    world.link.send(packets.encode_bare(packets.ACK, E1))
    while data := world.link.take(limit=1):
        world._note(data)
    kinds = [each.split()[1] for each in world.take() if each.startswith(">")]
    assert kinds == ["ACK", "ACK", "PING", "REQUEST", "REQUEST", "REQUEST", "ACK"]
    assert not world.link.queued_bytes
