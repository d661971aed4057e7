"""In which order a driver carries out what a peer wants, and when."""

from __future__ import annotations

from random import Random
from typing import cast

import pytest

from pyzk.clock import Clock
from pyzk.config.members import parse_membership
from pyzk.config.server import ServerConfig
from pyzk.constants import CreateMode, OpCode
from pyzk.data.database import Database
from pyzk.jute.records import SetDataRequest
from pyzk.quorum.commands import (
    CloseElection,
    DialElection,
    SaveConfig,
    SaveEpoch,
    SendVote,
    StorageCommand,
)
from pyzk.quorum.driver import MANY_ANSWERED, Driver
from pyzk.quorum.election_link import ElectionLink, LinkState
from pyzk.quorum.epochs import ACCEPTED
from pyzk.quorum.link import LinkOwner, QuorumLink
from pyzk.quorum.standalone import standalone_peer
from pyzk.server.connection import Connection
from pyzk.server.outbox import Outgoing, TakeSnapshot
from tests.frames import encode_request
from tests.quorum.one_role import NoElections
from tests.world import Client, World


class StoppedError(Exception):
    pass


class Hands(NoElections):
    """Effects that are noted, and that stop at one of them."""

    def __init__(self, stops_at: str = "") -> None:
        self.did: list[str] = []
        self.stops_at = stops_at

    def _do(self, what: str) -> None:
        if what.split()[0] == self.stops_at:
            raise StoppedError
        self.did.append(what)

    def append(self, records: list[bytes], last_zxid: int) -> None:
        self._do(f"append {len(records)} {last_zxid:x}")

    def take_snapshot(self, database: Database) -> None:
        self._do("snapshot")

    def write(self, connection: Connection) -> None:
        self._do("write")
        client = connection.shell
        assert isinstance(client, Client)
        client.take(connection)

    def end_turn_soon(self) -> None:
        self._do("soon")

    def wake_at(self, at_ms: int) -> None:
        self._do(f"wake at {at_ms}")

    def order(self, command: StorageCommand) -> None:
        self._do(f"order {command.ticket}")

    def send(self, link: Outgoing) -> None:
        assert isinstance(link, QuorumLink), link
        self._do(f"send {link.take()!r}")

    def dial_election(self, command: DialElection) -> None:
        self._do(f"dial {command.sid}")

    def send_vote(self, link: ElectionLink, data: bytes) -> None:
        self._do(f"vote {data!r}")

    def close_election(self, link: ElectionLink) -> None:
        self._do("close")

    def take(self) -> list[str]:
        did, self.did = self.did, []
        return did


@pytest.fixture
def world() -> World:
    world = World()
    client = world.connect()
    client.create("/a")
    return world


def client_of(world: World) -> Client:
    (connection,) = world.peer.connections
    client = connection.shell
    assert isinstance(client, Client)
    return client


def want_everything(world: World) -> None:
    """One of each kind is in the outbox."""
    peer, connection = world.peer, client_of(world).connection
    link = QuorumLink(peer.outbox, "server 2", cast("LinkOwner", None))  # nothing comes on it
    link.send(b"packet")
    election = ElectionLink("server 2", LinkState.UP, 2)
    peer.outbox.commands += [
        DialElection(3, ()),
        SendVote(election, b"v"),
        CloseElection(election),
        TakeSnapshot(),
    ]
    peer.outbox.log.append(b"record")
    peer.outbox.log_zxid = 0xA
    connection.send(b"reply")


def test_a_configuration_is_saved_ahead_of_the_records_of_its_input(world: World) -> None:
    hands = Hands()
    driver = Driver(world.peer, hands, hands)
    membership = parse_membership(b"server.1=a:1:2;3\nversion=5")
    want_everything(world)
    world.peer.outbox.commands += [
        SaveEpoch(1, ACCEPTED, 1),
        SaveConfig(2, membership, is_active=False),
        SaveConfig(3, membership, is_active=True),
    ]
    driver.flush()
    assert hands.take() == [
        "write",
        "order 2",
        "order 3",
        "append 1 a",
        "dial 3",
        "vote b'v'",
        "close",
        "snapshot",
        "order 1",
        "soon",
    ]


def test_clients_and_commands_go_at_once_links_and_the_log_at_the_end_of_the_turn(
    world: World,
) -> None:
    hands = Hands()
    driver = Driver(world.peer, hands, hands)
    want_everything(world)
    driver.flush()
    # A command is carried out behind every record that was handed out before it.
    assert hands.take() == [
        "write",
        "append 1 a",
        "dial 3",
        "vote b'v'",
        "close",
        "snapshot",
        "soon",
    ]
    world.peer.outbox.log.append(b"another")
    driver.flush()
    assert hands.take() == [], "the turn ends once"
    driver.end_turn()
    assert hands.take() == ["send b'packet'", "append 1 a", f"wake at {world.peer.deadline}"]


@pytest.mark.parametrize(
    ("stops_at", "did"),
    [
        ("write", []),
        ("append", ["write"]),
        ("dial", ["write", "append 1 a"]),
        ("vote", ["write", "append 1 a", "dial 3"]),
        ("close", ["write", "append 1 a", "dial 3", "vote b'v'"]),
        ("snapshot", ["write", "append 1 a", "dial 3", "vote b'v'", "close"]),
    ],
)
def test_nothing_happens_behind_an_effect_that_raises(
    world: World, stops_at: str, did: list[str]
) -> None:
    hands = Hands(stops_at)
    driver = Driver(world.peer, hands, hands)
    want_everything(world)
    with pytest.raises(StoppedError):
        driver.flush()
    assert hands.did == did


def test_a_link_that_cannot_be_written_to_keeps_the_log_back(world: World) -> None:
    hands = Hands("send")
    driver = Driver(world.peer, hands, hands)
    want_everything(world)
    world.peer.outbox.commands.clear()
    driver.flush()
    with pytest.raises(StoppedError):
        driver.end_turn()
    assert hands.did == ["write", "soon"]


def test_the_end_of_a_turn_flushes_its_last_input(world: World) -> None:
    hands = Hands()
    driver = Driver(world.peer, hands, hands)
    want_everything(world)
    world.peer.outbox.commands.clear()
    driver.end_turn()
    assert hands.take() == [
        "write",
        "send b'packet'",
        "append 1 a",
        f"wake at {world.peer.deadline}",
    ]


def test_the_log_waits_while_writes_keep_coming(world: World) -> None:
    hands = Hands()
    driver = Driver(world.peer, hands, gathering_turns=3)
    client = client_of(world)

    def turn(writes: int = 1) -> list[str]:
        for _ in range(writes):
            client.connection.receive(_set_data())
        driver.end_turn()
        return hands.take()

    assert turn(2) == ["soon"]
    assert turn() == ["soon"]
    assert turn() == ["soon"]
    zxid = world.peer.outbox.log_zxid
    assert turn() == [f"append 5 {zxid + 1:x}", f"wake at {world.peer.deadline}"]


def test_a_lone_write_waits_for_others_only_if_the_last_ones_came_together(world: World) -> None:
    hands = Hands()
    driver = Driver(world.peer, hands, gathering_turns=3)
    client = client_of(world)

    def turn(writes: int) -> str:
        for _ in range(writes):
            client.connection.receive(_set_data())
        driver.end_turn()
        return hands.take()[0]

    zxid = world.peer.outbox.log_zxid
    assert turn(1) == f"append 1 {zxid + 1:x}"
    assert turn(1) == f"append 1 {zxid + 2:x}"
    assert turn(2) == "soon"
    assert turn(0) == f"append 2 {zxid + 4:x}"
    assert turn(1) == "soon"
    assert turn(0) == f"append 1 {zxid + 5:x}"
    assert turn(1) == f"append 1 {zxid + 6:x}"


def test_what_is_handed_over_leaves_before_the_turn_ends(world: World) -> None:
    hands = Hands()
    driver = Driver(world.peer, hands, gathering_turns=3)
    client = client_of(world)
    for _ in range(3):
        client.connection.receive(_set_data())
    driver.flush()
    assert hands.take() == ["soon"]
    driver.hand_over()
    zxid = world.peer.outbox.log_zxid
    assert hands.take() == [f"append 3 {zxid:x}"]
    driver.end_turn()
    assert not any(what.startswith("append") for what in hands.take()), "it is handed out once"


@pytest.mark.parametrize("readers", [MANY_ANSWERED - 1, MANY_ANSWERED])
def test_a_write_does_not_wait_for_the_next_turn_while_many_clients_read(
    world: World, readers: int
) -> None:
    hands = Hands()
    driver = Driver(world.peer, hands, gathering_turns=3)
    writer = client_of(world)
    clients = [world.connect() for _ in range(readers)]
    for client in clients:
        client.connection.send(b"reply")
    writer.connection.receive(_set_data())
    writer.connection.receive(_set_data())
    driver.end_turn()
    assert hands.take()[readers:][:1] == [
        "soon" if readers < MANY_ANSWERED else f"append 2 {world.peer.outbox.log_zxid:x}"
    ]


def test_reads_of_a_lone_server_need_no_turn(world: World) -> None:
    hands = Hands()
    driver = Driver(world.peer, hands)
    client_of(world).connection.send(b"reply")
    driver.flush()
    assert hands.take() == ["write"]


def test_the_timer_is_set_again_when_something_falls_due_sooner(world: World) -> None:
    hands = Hands()
    driver = Driver(world.peer, hands, hands)
    driver.wake()
    due = world.peer.deadline
    assert hands.take()[-1] == f"wake at {due}"
    world.advance(1)
    want_everything(world)
    driver.flush()
    driver.end_turn()
    assert not any(what.startswith("wake") for what in hands.take()), "it is set well"
    driver.wake()
    assert hands.take()[-1] == f"wake at {world.peer.deadline}"


def test_what_is_closed_hands_out_the_log_and_then_writes_to_clients_alone(world: World) -> None:
    hands = Hands()
    driver = Driver(world.peer, hands, hands)
    want_everything(world)
    driver.close()
    assert hands.take() == ["append 1 a"]
    driver.flush()
    driver.end_turn()
    assert hands.take() == ["write"]


def test_what_is_abandoned_hands_out_nothing(world: World) -> None:
    hands = Hands()
    driver = Driver(world.peer, hands, hands)
    want_everything(world)
    driver.abandon()
    driver.close()
    driver.hand_over()
    driver.end_turn()
    assert hands.take() == []


@pytest.mark.parametrize("has_dead_session", [False, True])
def test_a_start_that_has_read_much_wants_one_snapshot(has_dead_session: bool) -> None:
    world = World()
    client = world.connect()
    client.create("/e", flags=CreateMode.EPHEMERAL)
    database = world.database
    if has_dead_session:
        del database.sessions[client.session_id]
    hands = Hands()
    peer = standalone_peer(ServerConfig(), database, Clock(5000, 7), Random(1))
    Driver(peer, hands).start(wants_snapshot=True)
    assert hands.did.count("snapshot") == 1


def _set_data() -> bytes:
    return encode_request(5, OpCode.SET_DATA, SetDataRequest("/a", b"x", -1))
