"""An observer master: whom it takes, what it sends on, and what goes to the leader."""

from __future__ import annotations

import pytest

from pyzk.config.members import QuorumServer, ServerAddress, config_text
from pyzk.constants import OpCode
from pyzk.jute.packing import pack_int
from pyzk.jute.records import PathRequest
from pyzk.quorum import packets
from pyzk.quorum.learner_handler import STRANGERS
from pyzk.quorum.packets import ForwardedRequest
from pyzk.server.marks import Marks
from pyzk.server.passwords import session_password
from pyzk.zxid import make
from tests.frames import create_request
from tests.quorum.learner_world import (
    INIT_MS,
    SYNC,
    SYNC_MS,
    TICK_MS,
    UPTODATE,
    both,
    commit,
    ping,
    proposal,
)
from tests.quorum.observer_world import PORT, MasterWorld
from tests.transactions import SESSION, create, database_of, new_session

E1 = make(1, 0)
SYNC_BODY = pack_int(1) + b"/"


def serving(*, limit_bytes: int = 1 << 25) -> MasterWorld:
    """A follower of epoch 1 with one session and nothing else."""
    world = MasterWorld([new_session(make(0, 1))], observer_master_limit_bytes=limit_bytes)
    world.begin()
    return world


def validity(session: int, is_valid: bool) -> bytes:
    return packets.encode_validity(session, is_valid)


# --- the port ---------------------------------------------------------------------------------


def test_the_port_is_open_from_uptodate_to_the_end_of_the_role() -> None:
    world = MasterWorld()
    world.discover()
    assert world.ports == []
    world.hear(packets.encode_bare(packets.DIFF, 0), packets.encode_new_leader(1, b"x"))
    world.sync()
    assert world.ports == []
    assert world.follower.observer_accepted("early") is None
    world.hear(UPTODATE)
    assert world.ports == [("host1", PORT)]
    observer = world.joined()
    world.end()
    assert world.ports == []
    assert observer.is_closed()
    assert world.follower.observer_accepted("late") is None


def test_without_the_key_there_is_none() -> None:
    world = MasterWorld(observer_master_port=0)
    world.begin()
    assert world.ports == []
    assert world.follower.observer_accepted("x") is None
    assert world.role.gauges() == {}


def test_an_observer_that_follows_takes_no_observers() -> None:
    world = MasterWorld(is_observer=True, sid=4)
    world.begin()
    assert world.ports == []


# --- joining ----------------------------------------------------------------------------------


def test_an_observer_is_brought_up_to_date_without_the_leader() -> None:
    world = serving()
    world.hear(both(create(E1 + 1, "/a")))
    world.take()
    observer = world.observer()
    observer.info(accepted=0)
    assert observer.fresh() == ["LEADERINFO 0x100000000 epoch=1"]
    observer.ack_epoch(make(0, 1), 0)
    assert observer.fresh() == [
        "DIFF 0x100000001",
        "PROPOSAL 0x100000001 create /a",
        "COMMIT 0x100000001",
        "NEWLEADER 0x100000000 version=0",
    ]
    observer.ack(E1)
    assert observer.fresh() == ["UPTODATE"]
    observer.ack(E1)
    assert not observer.is_closed()
    assert world.take() == []


def test_an_observer_with_nothing_gets_a_snapshot() -> None:
    world = serving()
    world.hear(both(create(E1 + 1, "/a")))
    observer = world.joined()
    assert observer.got[1] == "SNAP 0x100000001"
    assert observer.parts[-1].is_last


def test_what_is_committed_while_an_observer_joins_comes_behind_uptodate() -> None:
    world = serving()
    observer = world.observer()
    observer.info()
    observer.ack_epoch(make(0, 1))
    world.hear(both(create(E1 + 1, "/a")))
    observer.ack(E1)
    assert observer.fresh()[-2:] == ["UPTODATE", "INFORM 0x100000001 create /a"]


def test_newleader_has_the_configuration_in_force() -> None:
    world = serving()
    observer = world.joined()
    (packet,) = (each for each in observer.packets if each.type == packets.NEWLEADER)
    assert packet.data == config_text(world.member.membership).encode()


def test_a_log_that_was_read_meanwhile_brings_what_was_committed_meanwhile() -> None:
    history = [create(make(0, n)) for n in range(1, 5)]
    world = MasterWorld(database=database_of(history, committed_limit=2))
    world.begin()
    observer = world.observer()
    observer.info()
    observer.ack_epoch(make(0, 1))
    assert observer.fresh() == ["LEADERINFO 0x100000000 epoch=1"]
    world.hear(both(create(E1 + 1, "/a")))
    world.records = [(make(0, n), history[n - 1]) for n in range(1, 5)]
    world.answer_log()
    assert observer.fresh() == [
        "DIFF 0x100000001",
        *[line for n in (2, 3, 4) for line in (f"PROPOSAL {n:#x} create /n{n}", f"COMMIT {n:#x}")],
        "PROPOSAL 0x100000001 create /a",
        "COMMIT 0x100000001",
        "NEWLEADER 0x100000000 version=0",
    ]


def test_a_log_that_comes_too_late_is_for_nobody() -> None:
    history = [create(make(0, n)) for n in range(1, 5)]
    world = MasterWorld(database=database_of(history, committed_limit=2))
    world.begin()
    observer = world.observer()
    observer.info()
    observer.ack_epoch(make(0, 1))
    observer.link.lost("reset")
    world.answer_log()
    assert observer.fresh() == ["LEADERINFO 0x100000000 epoch=1"]
    world.end()
    world.role.log_read(99, None)


def test_too_many_that_join_at_once_are_refused() -> None:
    world = MasterWorld([new_session(make(0, 1))], max_concurrent_snap_syncs=1)
    world.begin()
    first, second = world.observer(4), world.observer(5)
    for each in (first, second):
        each.info()
        each.ack_epoch(0)
    assert not first.is_closed()
    assert second.is_closed()


def test_who_has_not_said_who_it_is_may_be_dropped_for_others() -> None:
    world = serving()
    strangers = [world.observer(sid) for sid in range(STRANGERS + 1)]
    assert [each.is_closed() for each in strangers] == [True, *[False] * STRANGERS]


@pytest.mark.parametrize(
    ("sid", "accepted", "version", "is_observer"),
    [(2, 1, 0, False), (1, 1, 0, True), (4, 2, 0, True), (4, 1, 5, True)],
    ids=["a follower", "itself", "a later epoch", "a later configuration"],
)
def test_who_is_refused(sid: int, accepted: int, version: int, is_observer: bool) -> None:
    world = serving()
    observer = world.observer(sid)
    observer.info(accepted, version, is_observer=is_observer)
    assert observer.is_closed()
    assert observer.got == []
    assert world.role.over is None


def test_an_observer_that_connects_anew_has_left_its_old_link() -> None:
    world = serving()
    old = world.joined()
    new = world.joined()
    assert old.is_closed()
    assert not new.is_closed()
    assert world.role.gauges() == {"synced_observers": 1}


# --- an observer that is ahead ----------------------------------------------------------------


def test_an_observer_that_is_ahead_waits_until_this_follower_has_caught_up() -> None:
    world = serving()
    observer = world.observer()
    observer.info()
    observer.ack_epoch(E1 + 2)
    world.hear(both(create(E1 + 1)))
    assert observer.fresh() == ["LEADERINFO 0x100000000 epoch=1"]
    world.hear(proposal(create(E1 + 2)), proposal(create(E1 + 3)), commit(E1 + 2))
    assert observer.fresh() == ["DIFF 0x100000002", "NEWLEADER 0x100000000 version=0"]
    observer.ack(E1)
    world.hear(commit(E1 + 3))
    assert observer.fresh() == ["UPTODATE", "INFORM 0x100000003 create /n100000003"]


def test_an_observer_that_is_ahead_does_not_wait_for_ever() -> None:
    world = serving()
    observer = world.observer()
    observer.info()
    observer.ack_epoch(E1 + 5)
    half_ticks = 2 * INIT_MS // TICK_MS
    world.beat(times=half_ticks)
    assert not observer.is_closed()
    world.beat()
    assert observer.is_closed()
    world.hear(both(create(E1 + 1)))
    assert observer.fresh() == ["LEADERINFO 0x100000000 epoch=1"]


def test_an_observer_that_goes_while_it_waits_is_forgotten() -> None:
    world = serving()
    observer = world.observer()
    observer.info()
    observer.ack_epoch(E1 + 1)
    observer.link.lost("reset")
    world.hear(both(create(E1 + 1)))
    assert observer.fresh() == ["LEADERINFO 0x100000000 epoch=1"]


def test_one_that_waited_may_be_one_too_many() -> None:
    world = MasterWorld([new_session(make(0, 1))], max_concurrent_diff_syncs=1)
    world.begin()
    observers = [world.observer(sid) for sid in (4, 5)]
    for each in observers:
        each.info()
        each.ack_epoch(E1 + 1)
    world.hear(both(create(E1 + 1)))
    assert [each.is_closed() for each in observers] == [False, True]


def test_what_only_an_older_epoch_had_is_cut_off() -> None:
    world = MasterWorld([create(make(1, 1))], epochs=(1, 1))
    world.begin(epoch=2)
    observer = world.observer()
    observer.info()
    observer.ack_epoch(make(1, 7), 1)
    assert observer.fresh()[1] == "TRUNC 0x100000001"


def test_the_beginning_of_an_epoch_is_nothing_to_wait_for() -> None:
    world = serving()
    observer = world.observer()
    observer.info()
    observer.ack_epoch(E1)
    assert observer.fresh()[1] == "SNAP 0x1"


# --- what the leader commits ------------------------------------------------------------------


def test_a_commit_is_sent_on_as_inform_and_a_proposal_is_not() -> None:
    world = serving()
    observer = world.joined(zxid=make(0, 1))
    payload = create(E1 + 1, "/a")
    world.hear(proposal(payload))
    assert observer.fresh() == []
    world.hear(commit(E1 + 1))
    assert observer.packets[-1].type == packets.INFORM
    assert observer.packets[-1].zxid == E1 + 1
    assert observer.packets[-1].data == payload


def test_what_was_proposed_before_this_follower_served_reaches_observers() -> None:
    """ZOOKEEPER-5088: the proposal is pending when the port opens; observers join before and after
    its commit."""
    world = MasterWorld([new_session(make(0, 1))])
    world.begin(proposal(create(E1 + 1, "/pending")), proposal(create(E1 + 2, "/next")))
    early = world.joined(4, zxid=make(0, 1))
    world.hear(commit(E1 + 1))
    assert early.fresh() == ["INFORM 0x100000001 create /pending"]
    late = world.joined(5, zxid=make(0, 1))
    assert "PROPOSAL 0x100000001 create /pending" in late.got
    world.hear(commit(E1 + 2))
    assert early.fresh() == late.fresh() == ["INFORM 0x100000002 create /next"]


def test_what_was_committed_together_with_uptodate_is_there() -> None:
    world = MasterWorld([new_session(make(0, 1))])
    world.begin(both(create(E1 + 1, "/a")))
    observer = world.joined(zxid=make(0, 1))
    assert observer.got[1:4] == [
        "DIFF 0x100000001",
        "PROPOSAL 0x100000001 create /a",
        "COMMIT 0x100000001",
    ]


def test_a_reconfiguration_is_sent_on_as_such() -> None:
    world = serving()
    observer = world.joined(zxid=make(0, 1))
    payload = create(E1 + 1, "/a")
    activate = packets.encode_commit_and_activate(E1 + 1, 3)
    world.hear(proposal(payload), activate, both(create(E1 + 2, "/b")))
    assert observer.fresh() == [
        "INFORMANDACTIVATE 0x100000001 leader=3 create /a",
        "INFORM 0x100000002 create /b",
    ]


def test_the_port_moves_along_with_the_server() -> None:
    world = serving()
    activate = packets.encode_commit_and_activate
    world.hear(proposal(create(E1 + 1, "/a")), activate(E1 + 1, 3))
    assert world.ports == [("host1", PORT)]
    world.member.me = QuorumServer(1, (ServerAddress("elsewhere", 2888, 3888),))
    world.hear(both(create(E1 + 2, "/b")))
    assert world.ports == [("host1", PORT)]
    world.hear(proposal(create(E1 + 3, "/c")), activate(E1 + 3, 3))
    assert world.ports == [("elsewhere", PORT)]


def test_what_ends_the_role_reaches_observers_first() -> None:
    world = serving()
    observer = world.joined(zxid=make(0, 1))
    half = world.observer(5)
    half.info()
    half.ack_epoch(0)
    observer.reads = False
    world.hear(
        both(create(E1 + 1, "/a")),
        proposal(create(E1 + 2, "/b")),
        packets.encode_commit_and_activate(E1 + 2, 2),
    )
    assert world.role.over is not None
    world.role.stop()
    world.settle()
    assert observer.is_closed()
    assert half.is_closed()
    observer.reads = True
    observer.take()
    assert observer.fresh() == [
        "INFORM 0x100000001 create /a",
        "INFORMANDACTIVATE 0x100000002 leader=2 create /b",
    ]


def test_commits_are_counted() -> None:
    world = serving()
    world.hear(both(create(E1 + 1)), both(create(E1 + 2)))
    assert world.server.metrics.om_commit_process_time_ms.count == 2


# --- what observers ask -----------------------------------------------------------------------


def test_a_request_goes_to_the_leader_as_it_came() -> None:
    world = serving()
    observer = world.joined(zxid=make(0, 1))
    body = create_request("/a").encode()
    sent = len(world.received)
    observer.request(OpCode.CREATE, body, cxid=7)
    expected = ForwardedRequest(SESSION, 7, OpCode.CREATE, body, None)
    assert world.take() == [f"> REQUEST create session={SESSION:#x} cxid=7"]
    assert packets.encode_request(expected)[:-4] in world.received[sent:]
    assert observer.fresh() == []


def test_syncs_are_answered_in_the_order_in_which_they_were_asked() -> None:
    world = serving()
    client = world.open()
    client.handshake(SESSION, session_password(SESSION))
    world.hear(validity(SESSION, True))
    client.frames()
    first, second = world.joined(4, zxid=make(0, 1)), world.joined(5, zxid=make(0, 1))
    first.request(OpCode.SYNC, SYNC_BODY)
    client.submit(OpCode.SYNC, PathRequest("/"), 1)
    second.request(OpCode.SYNC, SYNC_BODY)
    asked = [line for line in world.take() if "sync" in line]
    assert len(asked) == 3
    world.hear(both(create(E1 + 1, "/a")), SYNC, both(create(E1 + 2, "/b")))
    assert first.fresh() == [
        "INFORM 0x100000001 create /a",
        "SYNC 0x0",
        "INFORM 0x100000002 create /b",
    ]
    assert client.frames() == []
    world.hear(SYNC)
    assert len(client.frames()) == 1
    assert "SYNC 0x0" not in second.got
    world.hear(SYNC)
    assert second.fresh()[-1] == "SYNC 0x0"


def test_the_answer_to_an_observer_that_has_gone_is_for_nobody_else() -> None:
    world = serving()
    first, second = world.joined(4, zxid=make(0, 1)), world.joined(5, zxid=make(0, 1))
    first.request(OpCode.SYNC, SYNC_BODY)
    first.revalidate()
    second.request(OpCode.SYNC, SYNC_BODY)
    second.revalidate()
    first.link.lost("reset")
    world.hear(SYNC, validity(SESSION, True))
    assert second.fresh() == []
    world.hear(SYNC, validity(SESSION, False))
    assert second.fresh() == ["SYNC 0x0", f"REVALIDATE {SESSION:#x} gone"]


def test_whether_a_session_lives_is_asked_of_the_leader() -> None:
    world = serving()
    observer = world.joined(zxid=make(0, 1))
    observer.revalidate()
    assert world.take() == [f"> REVALIDATE {SESSION:#x} timeout=6000"]
    world.hear(both(create(E1 + 1, "/a")), validity(SESSION, True))
    assert observer.fresh() == [
        "INFORM 0x100000001 create /a",
        f"REVALIDATE {SESSION:#x} valid",
    ]
    world.hear(ping(E1))
    assert world.take()[-1] == "> PING 0x100000000 sessions=1"


def test_a_session_that_does_not_live_is_not_said_to_live() -> None:
    world = serving()
    observer = world.joined(zxid=make(0, 1))
    observer.revalidate()
    world.hear(validity(SESSION, False), ping(E1))
    assert observer.fresh() == [f"REVALIDATE {SESSION:#x} gone"]
    assert world.take()[-1] == "> PING 0x100000000 sessions=0"


def test_questions_about_one_session_are_answered_in_order() -> None:
    world = serving()
    observer = world.joined(zxid=make(0, 1))
    observer.revalidate()
    client = world.open()
    client.handshake(SESSION, session_password(SESSION))
    world.hear(validity(SESSION, False))
    assert observer.fresh() == [f"REVALIDATE {SESSION:#x} gone"]
    assert client.frames() == []
    world.hear(validity(SESSION, True))
    assert len(client.frames()) == 1
    assert observer.fresh() == []


def test_the_leader_is_told_which_sessions_of_observers_live() -> None:
    world = serving()
    observer = world.joined(zxid=make(0, 1))
    observer.pings({SESSION: 6000, 0x5555: 6000})
    world.hear(ping(E1))
    assert packets.encode_ping_reply(E1, {SESSION: 6000}) in world.received
    world.take()
    world.hear(ping(E1))
    assert world.take() == ["> PING 0x100000000 sessions=0"]


# --- what observers must not do ---------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        packets.encode_bare(packets.ACK, E1 + 1),
        packets.encode_bare(packets.ACK, make(2, 0)),
        packets.encode_ping_reply(0, {SESSION: -1}),
        packets.encode_revalidate(SESSION, -1),
        packets.encode_packet(packets.REQUEST, -1, b"short"),
        packets.encode_bare(packets.COMMIT, E1 + 1),
        b"\xff" * 40,
    ],
    ids=[
        "an ACK of a transaction",
        "an ACK of another epoch",
        "a session without end",
        "a question about one",
        "no request",
        "a COMMIT",
        "garbage",
    ],
)
def test_what_is_wrong_costs_the_observer_its_link_and_nobody_else(data: bytes) -> None:
    world = serving()
    wrong, other = world.joined(4, zxid=make(0, 1)), world.joined(5, zxid=make(0, 1))
    world.hear(both(create(E1 + 1)))
    world.take()
    wrong.send(data)
    assert wrong.is_closed()
    assert not other.is_closed()
    assert world.role.over is None
    assert [line for line in world.take() if not line.startswith(("log", "disk"))] == []


def test_pings_come_each_half_tick_with_the_last_zxid() -> None:
    world = serving()
    observer = world.joined(zxid=make(0, 1))
    world.hear(both(create(E1 + 1)))
    seen = len(observer.packets)
    world.beat(observer, times=3)
    found = [each.zxid for each in observer.packets[seen:] if each.type == packets.PING]
    assert found == [E1 + 1] * 3


def test_an_observer_that_is_silent_for_too_long_is_dropped() -> None:
    world = serving()
    silent, other = world.joined(4, zxid=make(0, 1)), world.joined(5, zxid=make(0, 1))
    world.beat(other, times=2 * SYNC_MS // TICK_MS)
    assert not silent.is_closed()
    world.beat(other)
    assert silent.is_closed()
    assert not other.is_closed()
    assert world.role.gauges() == {"synced_observers": 1}


def test_the_peer_is_woken_for_the_leader_and_for_observers() -> None:
    world = serving()
    assert world.due() == world.clock.now_ms + TICK_MS // 2
    world.pass_time(world.clock.now_ms + TICK_MS // 4)
    world.wake()
    assert world.due() == world.clock.now_ms + TICK_MS // 4
    world.clock.now_ms += 2 * SYNC_MS
    world.role.wake()
    assert world.role.over is not None


def test_an_observer_that_lets_too_much_wait_is_dropped_at_once() -> None:
    payload = create(E1 + 1, "/a", b"x" * 1000)
    size = len(packets.encode_packet(packets.INFORM, E1 + 1, payload))
    for spare in (0, -1):
        world = serving(limit_bytes=size + spare)
        slow = world.joined(zxid=make(0, 1))
        world.beat(slow)  # the mark of who was just synchronized is higher
        slow.reads = False
        world.hear(both(payload))
        assert slow.is_closed() == (spare < 0)
        assert world.role.over is None


def test_nobody_is_held_up_by_an_observer() -> None:
    world = serving(limit_bytes=100)
    slow = world.joined(zxid=make(0, 1))
    slow.reads = False
    world.hear(both(create(E1 + 1, "/a", b"x" * 1000)), both(create(E1 + 2, "/b")))
    assert slow.is_closed()
    assert world.paths() == ["/a", "/b"]
    assert not world.server.queues.is_held


def test_a_snapshot_that_takes_long_is_not_the_observer_s_fault() -> None:
    world = serving(limit_bytes=2000)
    world.hear(both(create(E1 + 1, "/a", b"x" * 1000)))
    observer = world.observer()
    observer.info()
    observer.reads = False
    observer.ack_epoch(0)
    world.hear(both(create(E1 + 2, "/b", b"x" * 1000)), both(create(E1 + 3, "/c", b"x" * 500)))
    assert not observer.is_closed()
    world.hear(both(create(E1 + 4, "/d", b"x" * 2000)))
    assert observer.is_closed()


def test_observers_are_not_read_while_too_much_waits_for_the_leader() -> None:
    world = serving()
    world.server.marks = Marks(queue_bytes=1000)
    observer = world.joined(zxid=make(0, 1))
    world.leader_reads = False
    observer.request(OpCode.CREATE, create_request("/a", b"x" * 500).encode())
    assert not observer.is_paused()
    observer.request(OpCode.CREATE, create_request("/b", b"x" * 500).encode())
    assert observer.is_paused()
    world.beat(times=4 * SYNC_MS // TICK_MS)
    assert not observer.is_closed()
    world.leader_reads = True
    world.send(world.link)
    world.settle()
    assert not observer.is_paused()


def test_a_follower_that_stood_still_does_not_blame_its_observers() -> None:
    world = serving()
    observer = world.joined(zxid=make(0, 1))
    world.hear(ping(E1))
    world.clock.now_ms += 10 * SYNC_MS
    world.hear(ping(E1))
    world.wake()
    assert not observer.is_closed()
