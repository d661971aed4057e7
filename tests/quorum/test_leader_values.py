"""What a learner may say in a phase, with a value that it cannot have: the end of the link."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from pyzk.constants import ErrorCode, OpCode
from pyzk.data.txn import decode_txn
from pyzk.jute.records import CreateSessionTxn, ErrorTxn
from pyzk.quorum import packets
from pyzk.quorum.epochs import Epochs
from pyzk.zxid import make
from tests.quorum.leader_world import LeaderWorld, Learner, membership
from tests.transactions import SESSION, create, database_of, new_session

NEW_SESSION = 0x200_0000_0001
HANDLER = "pyzk.quorum.learner_handler"


def leading(members: int = 3) -> LeaderWorld:
    """A server that is about to lead epoch 2; its log ends at 0x100000003."""
    history = [new_session(make(1, 1)), *(create(make(1, n), f"/n{n}") for n in (2, 3))]
    return LeaderWorld(membership(members), database=database_of(history), epochs=Epochs(1, 1))


def established(*, is_observer: bool = False) -> tuple[LeaderWorld, Learner]:
    """A leader of epoch 2 with a follower, and the learner that is to say something wrong."""
    world = leading()
    first = synchronized(world, 2)
    other = synchronized(world, 4 if is_observer else 3, is_observer=is_observer)
    return world, (other if is_observer else first)


def synchronized(world: LeaderWorld, sid: int, *, is_observer: bool = False) -> Learner:
    learner = world.learner(sid, is_observer=is_observer)
    learner.info(accepted=1)
    learner.ack_epoch(make(1, 3), 1)
    learner.ack_new_leader()
    return learner


def ends(learner: Learner, caplog: pytest.LogCaptureFixture, *said: bytes) -> str:
    """Say something that ends the link; return why, from the one line that says so."""
    caplog.clear()
    caplog.set_level(logging.INFO)
    learner.send(*said)
    assert learner.is_closed()
    (record,) = (each for each in caplog.records if each.levelno >= logging.WARNING)
    assert [each for each in caplog.records if "has ended" in each.getMessage()] == [record]
    assert record.name == HANDLER
    return record.getMessage().partition(" has ended: ")[2]


# --- discovery ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sid", "zxid"), [(-1, make(1, 0)), (2, make(1, 5)), (2, -1), (2, make(-1, 0))]
)
def test_a_learner_has_an_id_and_has_accepted_an_epoch(
    sid: int, zxid: int, caplog: pytest.LogCaptureFixture
) -> None:
    world = leading()
    learner = world.learner(2)
    good = packets.encode_learner_info(sid, 1, 0)
    data = good[:4] + zxid.to_bytes(8, "big", signed=True) + good[12:]
    assert ends(learner, caplog, data).endswith("names no server or no epoch")
    assert world.leader.epoch == -1
    late = established()[0].learner(3)
    assert ends(late, caplog, data).endswith("names no server or no epoch")


@pytest.mark.parametrize("current", [2, 3, -2])
@pytest.mark.parametrize("is_late", [False, True])
def test_who_has_not_accepted_the_epoch_is_in_an_earlier_one(
    current: int, is_late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    world = established()[0] if is_late else leading()
    learner = world.learner(3)
    learner.info(accepted=1)
    said = packets.encode_ack_epoch(make(1, 3), current)
    assert ends(learner, caplog, said) == f"ACKEPOCH 0x100000003 current={current} in epoch 2"


@pytest.mark.parametrize("zxid", [make(3, 0), make(3, 1)])
@pytest.mark.parametrize("current", [1, packets.NOT_COUNTED])
def test_a_learner_has_no_history_of_a_later_epoch(
    zxid: int, current: int, caplog: pytest.LogCaptureFixture
) -> None:
    world, _ = established()
    learner = world.learner(3)
    learner.info(accepted=2)
    assert "in epoch 2" in ends(learner, caplog, packets.encode_ack_epoch(zxid, current))
    assert not [line for line in learner.got if line.startswith(("DIFF", "TRUNC", "SNAP"))]


# --- acknowledgements ---------------------------------------------------------------------


def never(world: LeaderWorld, learner: Learner) -> int:
    learner.create("/a")
    return make(2, 2)


def future_epoch(world: LeaderWorld, learner: Learner) -> int:
    return make(3, 1)


def negative(world: LeaderWorld, learner: Learner) -> int:
    return -1


@pytest.mark.parametrize("zxid", [never, future_epoch, negative])
@pytest.mark.parametrize("is_observer", [False, True])
def test_what_was_never_proposed_is_not_acknowledged(
    zxid: Callable[[LeaderWorld, Learner], int],
    is_observer: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    world, learner = established(is_observer=is_observer)
    said = zxid(world, learner)
    reason = ends(learner, caplog, packets.encode_bare(packets.ACK, said))
    assert reason == f"ACK {said & (1 << 64) - 1:#x}, which it was not sent"


def test_what_is_held_back_is_not_acknowledged(caplog: pytest.LogCaptureFixture) -> None:
    """The follower has not got it: its ACK would commit what one server has."""
    world, active = established()
    joining = world.learner(3)
    joining.info(accepted=1)
    joining.ack_epoch(make(1, 3), 1)
    world.is_disk_held = True
    active.create("/a")
    ack = packets.encode_bare(packets.ACK, make(2, 1))
    assert ends(joining, caplog, ack) == "ACK 0x200000001, which it was not sent"
    assert world.leader.last_committed == make(2, 0)


def test_what_was_held_back_and_what_synchronized_may_be_acknowledged() -> None:
    world, active = established()
    joining = world.learner(3)
    joining.info(accepted=1)
    joining.ack_epoch(make(1, 2), 1)
    world.is_disk_held = True
    active.create("/a")
    joining.ack(make(1, 3))
    joining.ack_new_leader()
    joining.ack(make(2, 1))
    assert not joining.is_closed()
    world.sync()
    assert world.leader.last_committed == make(2, 1)


@pytest.mark.parametrize("is_observer", [False, True])
def test_the_ack_of_newleader_is_of_this_epoch(
    is_observer: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for epoch in (1, 3):
        _, learner = established(is_observer=is_observer)
        reason = ends(learner, caplog, packets.encode_bare(packets.ACK, make(epoch, 0)))
        assert reason == f"ACK of NEWLEADER {make(epoch, 0):#x}, another epoch"


def test_an_older_ack_does_not_take_a_later_one_back() -> None:
    world, learner = established()
    for path in ("/a", "/b"):
        learner.create(path)
    learner.ack(make(2, 1), make(2, 2), make(1, 3))
    (line,) = (each for each in world.leader.handlers if each.sid == 2)
    assert line.acked_zxid == make(2, 2)


# --- sessions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        packets.encode_ping_reply(make(2, 0), {SESSION: -1}),
        packets.encode_revalidate(SESSION, -6000),
    ],
    ids=["PING", "REVALIDATE"],
)
def test_no_timeout_is_negative(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    world, learner = established()
    assert "session 0x77 has a timeout of -" in ends(learner, caplog, said)
    assert world.server.sessions.sessions[SESSION].timeout_ms == 6000


def test_a_session_is_not_created_with_a_negative_timeout() -> None:
    """The answer is a transaction: the learner's client waits for one."""
    world, learner = established()
    learner.request(OpCode.CREATE_SESSION, CreateSessionTxn(-1).encode(), session=NEW_SESSION)
    assert not learner.is_closed()
    body = decode_txn(packets.txn_payload(learner.packets[-1])).body
    assert body == ErrorTxn(ErrorCode.BAD_ARGUMENTS)
    assert NEW_SESSION not in world.server.sessions.sessions


# --- one line -----------------------------------------------------------------------------


def test_a_learner_that_just_goes_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world, learner = established()
    caplog.clear()
    learner.link.lost("the other side closed it")
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("INFO", "the link with follower 2 (server-2) has ended: the other side closed it")
    ]
    assert len(world.leader.handlers) == 1
