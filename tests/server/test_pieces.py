"""Work in pieces: what is long holds nobody up, and nobody sees it half done or out of order."""

from __future__ import annotations

import pytest

from pyzk.constants import EventType, OpCode
from pyzk.jute.records import CreateRequest, PathWatchRequest, SetDataRequest
from tests.frames import OPEN, create_request, encode_request
from tests.server.calls import burst, make, split_replies
from tests.world import Client, World

WATCHERS = 5


class SlowTurns(World):
    """A world in which a test ends each turn."""

    ends_turns = True

    def flush(self) -> None:
        if self.ends_turns:
            super().flush()
        else:
            self.driver.flush()

    def end_turn(self) -> None:
        assert self._is_turn_due
        self._is_turn_due = False
        self.driver.end_turn()


@pytest.fixture
def world() -> SlowTurns:
    return SlowTurns()


@pytest.fixture
def watchers(world: SlowTurns) -> list[Client]:
    """Clients that watch /a and /b, in pieces of one transaction and two clients."""
    world.server.marks.piece_work = 1
    world.server.marks.told_at_once = 2
    clients = [world.connect() for _ in range(WATCHERS)]
    make(clients[0], "/a", "/b")
    for client in clients:
        client.exists("/a", watch=True)
        client.exists("/b", watch=True)
        client.replies()
    return clients


def change(world: SlowTurns, writer: Client, *paths: str) -> None:
    """Set the data of these znodes at once; the disk answers, and no turn ends after that."""
    world.is_disk_held = True
    burst(writer, *((OpCode.SET_DATA, SetDataRequest(path, b"new", -1)) for path in paths))
    world.ends_turns = False
    world.unsynced = []
    world.peer.log_synced(world.log_zxid)
    world.flush()


def told(clients: list[Client]) -> list[int]:
    """Return how many events each client has been sent."""
    return [client.received.count(b"\xff\xff\xff\xff\0") for client in clients]


def test_events_are_written_to_some_clients_a_turn(
    world: SlowTurns, watchers: list[Client]
) -> None:
    writer = world.connect()
    change(world, writer, "/a")
    assert len(writer.replies()) == 1  # who waits is answered first
    assert told(watchers) == [1, 1, 0, 0, 0]
    world.end_turn()
    assert told(watchers) == [1, 1, 1, 1, 0]
    world.end_turn()
    assert told(watchers) == [1, 1, 1, 1, 1]
    assert not world._is_turn_due


def test_transactions_are_applied_in_pieces(world: SlowTurns, watchers: list[Client]) -> None:
    writer = world.connect()
    change(world, writer, "/a", "/b", "/a")
    assert [reply.err for reply in writer.replies()] == [0]
    node = world.tree.find("/b")
    assert node is not None
    assert node.version == 0
    world.end_turn()
    assert node.version == 1
    assert len(writer.replies()) == 1
    world.end_turn()
    assert len(writer.replies()) == 1
    world.ends_turns = True
    world._is_turn_due = True
    world.flush()
    assert told(watchers) == [2] * WATCHERS


def test_a_client_has_its_events_before_it_can_see_the_new_state(
    world: SlowTurns, watchers: list[Client]
) -> None:
    change(world, world.connect(), "/a")
    last = watchers[-1]
    assert told([last]) == [0]
    last.connection.receive(
        encode_request(7, OpCode.GET_DATA, PathWatchRequest("/a", False).encode())
    )
    world.flush()
    seen, replies = split_replies(last)
    assert seen == [(EventType.NODE_DATA_CHANGED, "/a")]
    assert len(replies) == 1
    world.end_turn()
    world.end_turn()
    assert told([last]) == [0]  # not told twice


def test_a_write_is_answered_behind_the_events_of_its_client(
    world: SlowTurns, watchers: list[Client]
) -> None:
    last = watchers[-1]
    change(world, last, "/a")
    frames = last.frames()
    assert [frame[:4] == b"\xff" * 4 for frame in frames] == [True, False]


def test_a_watch_set_after_the_change_does_not_get_its_event(
    world: SlowTurns, watchers: list[Client]
) -> None:
    change(world, world.connect(), "/a")
    last = watchers[-1]
    last.connection.receive(
        encode_request(7, OpCode.GET_DATA, PathWatchRequest("/a", True).encode())
    )
    world.flush()
    world.end_turn()
    world.end_turn()
    assert told([last]) == [1]
    assert world.tree.watches.watch_count == WATCHERS + 1  # of /b, and the new one


def test_a_client_that_leaves_before_it_is_told_is_written_to_once(
    world: SlowTurns, watchers: list[Client]
) -> None:
    change(world, world.connect(), "/a")
    last = watchers[-1]
    last.connection.closed()
    world.flush()
    assert last.is_closed
    assert told([last]) == [0]
    world.end_turn()
    world.end_turn()
    assert told(watchers) == [1, 1, 1, 1, 0]


def test_a_server_that_ends_does_and_tells_everything(
    world: SlowTurns, watchers: list[Client]
) -> None:
    writer = world.connect()
    world.is_disk_held = True
    burst(
        writer,
        (OpCode.SET_DATA, SetDataRequest("/a", b"new", -1)),
        (OpCode.CREATE, CreateRequest("/c", b"", OPEN, 0)),
    )
    world.driver.close()
    world.peer.log_synced(world.log_zxid)
    world.driver.flush()
    assert [reply.err for reply in writer.replies()] == [0, 0]
    assert told(watchers) == [1] * WATCHERS


def test_a_server_that_ends_between_two_pieces_does_and_tells_the_rest(
    world: SlowTurns, watchers: list[Client]
) -> None:
    writer = world.connect()
    change(world, writer, "/a", "/b")
    assert len(writer.replies()) == 1
    world.driver.close()  # the disk has nothing more to answer
    assert [reply.err for reply in writer.replies()] == [0]
    assert told(watchers) == [2] * WATCHERS


def test_an_abandoned_server_applies_nothing_more(world: SlowTurns, watchers: list[Client]) -> None:
    writer = world.connect()
    change(world, writer, "/a", "/b")
    world.driver.abandon()
    world.end_turn()
    world.flush()
    node = world.tree.find("/b")
    assert node is not None
    assert node.version == 0


def test_sessions_that_expire_together_are_closed_some_a_turn(world: SlowTurns) -> None:
    world.server.marks.ended_at_once = 2
    clients = [world.connect() for _ in range(WATCHERS)]
    for at, client in enumerate(clients):
        client.send(encode_request(1, OpCode.CREATE, create_request(f"/e{at}", flags=1).encode()))
        client.connection.closed()
    tracker = world.server.sessions
    due = tracker.deadline
    assert due is not None
    world.is_disk_held = True
    world.advance(due - world.clock.now_ms - 1)
    world.pass_time(due)
    world.log.clear()
    for closed in (2, 4, 5):
        assert tracker.deadline is not None
        assert tracker.deadline <= due
        world.wake()
        assert len(world.log) == closed
        assert all(session.is_closing for session in tracker.sessions.values())
    assert tracker.deadline is None
    assert world.server.metrics.stale_sessions_expired == WATCHERS
    world.sync()
    assert not tracker.sessions
    assert world.tree.ephemeral_count == 0
