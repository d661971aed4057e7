"""Sessions that move among the clients of a follower and of the observers behind it: the leader
takes them all for one place, so the follower itself sees to the order of each session's writes."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.jute.records import DeleteRequest, SetDataRequest
from pyzk.quorum import packets
from pyzk.quorum.packets import ForwardedRequest
from pyzk.quorum.session_places import SessionPlaces
from pyzk.server.passwords import session_password
from pyzk.zxid import make
from tests.quorum.learner_world import both
from tests.quorum.observer_world import MasterWorld, Puppet
from tests.transactions import SESSION, new_session, set_data

E1 = make(1, 0)
WRITE = SetDataRequest("/", b"x", -1).encode()
REFUSED = DeleteRequest("/", -1).encode()


def serving(config: ServerConfig | None = None) -> MasterWorld:
    """A follower of epoch 1 with one session and nothing else."""
    settings = {} if config is None else {"config": config}
    world = MasterWorld([new_session(make(0, 1))], **settings)
    world.begin()
    return world


def observers(world: MasterWorld) -> tuple[Puppet, Puppet]:
    return world.joined(4, zxid=make(0, 1)), world.joined(5, zxid=make(0, 1))


def comes(world: MasterWorld, observer: Puppet) -> None:
    """The session comes to an observer."""
    observer.revalidate()
    world.hear(packets.encode_validity(SESSION, True))


def writes(world: MasterWorld, observer: Puppet, cxid: int) -> None:
    observer.request(OpCode.SET_DATA, WRITE, cxid=cxid)


def told(world: MasterWorld) -> list[str]:
    """What the leader was asked to write since the last time."""
    return [line for line in world.take() if "REQUEST" in line]


def asked(kind: str, cxid: int) -> str:
    return f"> REQUEST {kind} session={SESSION:#x} cxid={cxid}"


def test_the_follower_serves_nothing_more_of_a_session_that_an_observer_has() -> None:
    world = serving()
    observer, _ = observers(world)
    client = world.open()
    client.handshake(SESSION, session_password(SESSION))
    world.hear(packets.encode_validity(SESSION, True))
    client.submit(OpCode.SET_DATA, SetDataRequest("/", b"x", -1), 1)
    assert told(world) == [asked("setData", 1)]
    comes(world, observer)
    writes(world, observer, 3)
    client.submit(OpCode.SET_DATA, SetDataRequest("/", b"x", -1), 2)
    assert told(world) == [asked("setData", 3)]
    assert client.is_closed


def test_a_session_that_was_gone_when_an_observer_asked_stays_where_it_is() -> None:
    world = serving()
    observer, _ = observers(world)
    client = world.open()
    client.handshake(SESSION, session_password(SESSION))
    world.hear(packets.encode_validity(SESSION, True))
    observer.revalidate()
    world.hear(packets.encode_validity(SESSION, False))
    client.submit(OpCode.SET_DATA, SetDataRequest("/", b"x", -1), 2)
    assert told(world) == [asked("setData", 2)]


def test_a_write_that_an_observer_sends_too_late_fails_at_the_leader() -> None:
    world = serving()
    old, new = observers(world)
    comes(world, old)
    writes(world, old, 1)
    comes(world, new)
    writes(world, old, 2)  # nothing later has been asked for
    writes(world, new, 4)
    assert told(world) == [asked("setData", 1), asked("setData", 2), asked("setData", 4)]
    sent = len(world.received)
    writes(world, old, 3)
    assert told(world) == [asked("delete", 3)]
    refused = ForwardedRequest(SESSION, 3, OpCode.DELETE, REFUSED, None)
    assert packets.encode_request(refused)[:-4] in world.received[sent:]
    writes(world, new, 5)
    assert told(world) == [asked("setData", 5)]


def test_a_write_comes_too_late_also_when_the_follower_s_own_client_has_written() -> None:
    world = serving()
    old, _ = observers(world)
    comes(world, old)
    writes(world, old, 1)
    client = world.open()
    client.handshake(SESSION, session_password(SESSION))
    world.hear(packets.encode_validity(SESSION, True))
    client.submit(OpCode.SET_DATA, SetDataRequest("/", b"x", -1), 3)
    told(world)
    writes(world, old, 2)
    assert told(world) == [asked("delete", 2)]
    client.submit(OpCode.SET_DATA, SetDataRequest("/", b"x", -1), 4)
    assert told(world) == [asked("setData", 4)]


def test_what_waits_in_line_here_fails_once_an_observer_has_written() -> None:
    world = serving(
        ServerConfig(request_throttle_max_requests=1, request_throttle_drop_stale=False)
    )
    observer, _ = observers(world)
    client = world.open()
    client.handshake(SESSION, session_password(SESSION))
    world.hear(packets.encode_validity(SESSION, True))
    for cxid in (1, 2):
        client.submit(OpCode.SET_DATA, SetDataRequest("/", b"x", -1), cxid)
    client.connection.closed()
    comes(world, observer)
    writes(world, observer, 3)
    assert told(world) == [asked("setData", 1), asked("setData", 3)]
    world.hear(both(set_data(E1 + 1, "/", b"x", cxid=1)))
    assert told(world) == [asked("delete", 2)]


@pytest.mark.parametrize(
    ("kind", "name"), [(OpCode.CLOSE_SESSION, "closeSession"), (OpCode.SYNC, "sync")]
)
def test_what_the_leader_takes_from_anybody_is_sent_on(kind: int, name: str) -> None:
    world = serving()
    old, new = observers(world)
    comes(world, old)
    writes(world, old, 1)
    comes(world, new)
    writes(world, new, 3)
    told(world)
    old.request(kind, b"", cxid=2)
    assert told(world) == [asked(name, 2)]


def test_a_question_that_comes_too_late_takes_the_session_from_nobody() -> None:
    """The client has left the first observer before that has asked whether its session lives."""
    world = serving()
    late, used = observers(world)
    comes(world, used)
    writes(world, used, 1)
    comes(world, late)
    writes(world, used, 2)
    assert told(world) == [asked("setData", 1), asked("setData", 2)]


# --- the table --------------------------------------------------------------------------------


def test_who_came_later_than_the_one_that_writes_may_still_write() -> None:
    places = SessionPlaces({SESSION: 1})
    for place in ("a", "b", "c"):
        places.came(SESSION, place)
    assert places.may_write(SESSION, "b")
    assert not places.may_write(SESSION, "a")
    assert places.may_write(SESSION, "c")
    assert not places.may_write(SESSION, "b")
    places.came(SESSION, "b")
    assert places.may_write(SESSION, "c")
    assert places.may_write(SESSION, "b")
    assert not places.may_write(SESSION, "c")


def test_who_comes_twice_came_when_it_came_last() -> None:
    places = SessionPlaces({SESSION: 1})
    for place in ("a", "b", "a"):
        places.came(SESSION, place)
    assert places.may_write(SESSION, "a")
    assert not places.may_write(SESSION, "b")


def test_nobody_is_refused_who_has_begun_the_session_until_another_writes() -> None:
    places = SessionPlaces({SESSION: 1})
    assert places.may_write(SESSION, "a")
    places.came(SESSION, "b")
    assert places.may_write(SESSION, "a")
    assert places.may_write(SESSION, "b")
    assert not places.may_write(SESSION, "a")


def test_sessions_that_are_over_are_forgotten() -> None:
    living = dict.fromkeys(range(10), 1)
    places = SessionPlaces(living)
    for session in range(1000):
        places.came(session, "a")
        if session >= 10:
            assert len(places) <= 2 * len(living) + 100
    assert places.may_write(5, "a")
    assert not places.may_write(5, "b")
