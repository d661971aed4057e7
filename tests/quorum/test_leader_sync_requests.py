"""SYNC at the leader: behind what was proposed before it, ahead of what came later."""

from __future__ import annotations

import pytest

from pyzk.constants import OpCode
from pyzk.jute.packing import pack_int
from pyzk.quorum import packets
from pyzk.zxid import make
from tests.frames import create_request
from tests.quorum.test_leader_broadcast import UNKNOWN, committed, established, own_create, sync
from tests.transactions import SESSION


def test_sync_is_answered_at_once_when_nothing_is_on_its_way() -> None:
    _, (first, second) = established()
    sync(first)
    assert first.fresh() == ["SYNC 0x0"]
    assert second.fresh() == []


def test_sync_is_answered_behind_the_commit_of_what_was_proposed_before_it() -> None:
    world, (first, second) = established()
    own_create(world, "/a")
    own_create(world, "/b")
    sync(second)
    own_create(world, "/c")
    first.fresh()
    second.fresh()
    first.ack(make(2, 1))
    assert second.fresh() == committed(1)
    first.ack(make(2, 2))
    assert second.fresh() == [*committed(2), "SYNC 0x0"]
    assert first.fresh() == committed(1, 2)
    assert world.leader.gauges()["pending_syncs"] == 0


def test_sync_does_not_overtake_a_commit_of_the_same_input() -> None:
    world, (first, _) = established()
    own_create(world, "/a")
    first.fresh()
    request = packets.ForwardedRequest(SESSION, 2, OpCode.SYNC, pack_int(1) + b"/", None)
    first.send(packets.encode_bare(packets.ACK, make(2, 1)), packets.encode_request(request))
    assert first.fresh() == [*committed(1), "SYNC 0x0"]


@pytest.mark.parametrize("is_outstanding", [True, False])
def test_sync_stands_between_the_commits_of_what_was_asked_before_and_behind_it(
    is_outstanding: bool,
) -> None:
    world, (first, second) = established()

    def create(number: int) -> bytes:
        body = create_request(f"/{number}").encode()
        request = packets.ForwardedRequest(SESSION, number, OpCode.CREATE, body, None)
        return packets.encode_request(request)

    def acks(*numbers: int) -> bytes:
        return b"".join(packets.encode_bare(packets.ACK, make(2, n)) for n in numbers)

    asked = packets.encode_request(
        packets.ForwardedRequest(SESSION, 2, OpCode.SYNC, pack_int(1) + b"/", None)
    )
    if is_outstanding:
        first.send(create(1), asked, create(3))
        world.sync()
        second.send(acks(1, 2))
    else:
        first.send(create(1))
        second.send(acks(1))
        first.link.receive(asked + create(3))
        world.leader.flush()
        first.link.receive(acks(2))
        second.send(acks(2))
    told = [each for each in first.fresh() if not each.startswith("PROPOSAL")]
    assert told == [*committed(1), "SYNC 0x0", *committed(2)]


def test_sync_of_an_observer_comes_behind_the_inform() -> None:
    world, (first, observer) = established(observers=1, joined=1)
    own_create(world, "/a")
    sync(observer)
    first.ack(make(2, 1))
    assert observer.fresh() == ["INFORM 0x200000001 create /a", "SYNC 0x0"]


def test_a_sync_of_a_dead_session_is_answered_too() -> None:
    _, (first, _) = established()
    first.request(OpCode.SYNC, pack_int(1) + b"/", session=UNKNOWN)
    assert first.fresh() == ["SYNC 0x0"]
