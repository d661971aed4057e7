"""The handshake: new sessions, re-attaching, what is refused without a word.

client-protocol.md §5, sessions-and-watches.md A2 to A6 and C.
"""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.config.tls import TlsConfig
from pyzk.constants import CreateMode, OpCode
from pyzk.jute.records import ConnectResponse
from pyzk.outsiders import SUBJECT
from pyzk.server.arrival import Arrival
from pyzk.server.passwords import session_password
from tests.certificates import Authority
from tests.frames import connect_frame, create_request, encode_request, frame
from tests.server.calls import ephemerals_of, logged_types, make
from tests.world import START_MS, Client, World, owned_paths

EXPIRED = "00000025" + "00000000" * 2 + "00" * 8 + "00000010" + "00" * 16 + "00"


def reattach(
    world: World, client: Client, password: bytes | None = None, *, timeout_ms: int = 10_000
) -> tuple[Client, ConnectResponse | None]:
    """Open another connection with the session of ``client``."""
    again = world.open()
    response = again.handshake(
        session_id=client.session_id,
        password=client.password if password is None else password,
        timeout_ms=timeout_ms,
    )
    return again, response


def is_stalled(client: Client) -> bool:
    return client.connection.is_stalled


def is_closed(client: Client) -> bool:
    return client.is_closed


# --- new sessions -------------------------------------------------------------------


def test_a_new_session_gets_id_password_and_timeout(world: World) -> None:
    client = world.open()
    response = client.handshake()
    first = START_MS << 24 >> 8 | 1 << 56
    assert response == ConnectResponse(0, 10_000, first, session_password(first), False)
    second = world.open().handshake()
    assert second is not None
    assert second.session_id == first + 1
    assert logged_types(world) == [-10, -10]
    assert world.database.sessions == {first: 10_000, first + 1: 10_000}


def test_a_new_session_is_answered_when_it_is_durable(world: World) -> None:
    world.is_disk_held = True
    client = world.open()
    assert client.handshake() is None
    world.sync()
    assert client.connect_response() is not None


def test_frames_that_come_with_the_handshake_wait_for_it(world: World) -> None:
    world.is_disk_held = True
    client = world.open()
    client.send(
        connect_frame()
        + encode_request(1, OpCode.CREATE, create_request("/a"))
        + encode_request(2, OpCode.WHO_AM_I)
    )
    assert is_stalled(client)
    assert len(world.log) == 1
    client.send(encode_request(3, OpCode.WHO_AM_I)[:5])
    client.send(encode_request(3, OpCode.WHO_AM_I)[5:])
    world.sync()
    assert not is_stalled(client)
    response, *replies = client.frames()
    assert len(response) == 37
    assert [int.from_bytes(reply[:4]) for reply in replies] == [1, 2, 3]


def test_the_connect_response_is_the_first_frame(world: World) -> None:
    client = world.open()
    client.send(connect_frame() + encode_request(1, OpCode.WHO_AM_I))
    first, second = client.frames()
    assert len(first) == 37
    assert second[:4] == b"\0\0\0\x01"


def test_the_password_of_a_new_session_is_not_looked_at(world: World) -> None:
    client = world.open()
    response = client.handshake(password=b"whatever")
    assert response is not None
    assert response.password == session_password(response.session_id)


def test_a_null_password_is_an_empty_one(world: World) -> None:
    client = world.open()
    client.send(connect_frame(0, None))
    assert client.connect_response() is not None
    again = world.open()
    again.send(connect_frame(client.session_id, None))
    assert again.received.hex() == EXPIRED


@pytest.mark.parametrize("read_only", [True, False, None])
def test_the_read_only_byte_is_there_only_for_who_sent_it(
    world: World, read_only: bool | None
) -> None:
    client = world.open()
    client.send(connect_frame(read_only=read_only))
    assert len(client.received) == 4 + (36 if read_only is None else 37)
    response = client.connect_response()
    assert response is not None
    assert response.read_only is (None if read_only is None else False)


def test_an_old_client_is_refused_without_the_byte_too(world: World) -> None:
    client = world.open()
    client.send(connect_frame(77, read_only=None))
    assert client.received.hex() == "00000024" + EXPIRED[8:-2]


def test_the_protocol_version_is_not_looked_at(world: World) -> None:
    client = world.open()
    payload = connect_frame()[4:]
    client.send(frame(b"\0\0\0\x63" + payload[4:]))
    response = client.connect_response()
    assert response is not None
    assert response.protocol_version == 0


# --- the timeout --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        (-5, 6000),
        (0, 6000),
        (1, 6000),
        (5999, 6000),
        (6000, 6000),
        (6001, 6001),
        (60_000, 60_000),
        (60_001, 60_000),
        ((1 << 31) - 1, 60_000),
    ],
)
def test_the_timeout_is_clamped(world: World, wanted: int, given: int) -> None:
    """C 19; tickTime is 3000 ms, the limits 2 and 20 of it."""
    client = world.connect(timeout_ms=wanted)
    assert client.timeout_ms == given
    assert world.database.sessions == {client.session_id: given}


def test_the_limits_of_the_timeout_can_be_set() -> None:
    world = World(ServerConfig(min_session_timeout_ms=7000, max_session_timeout_ms=8000))
    assert world.connect(timeout_ms=1).timeout_ms == 7000
    assert world.connect(timeout_ms=10_000).timeout_ms == 8000


def test_the_timeout_is_clamped_anew_and_the_session_table_keeps_the_first(world: World) -> None:
    client = world.connect(timeout_ms=10_000)
    again, response = reattach(world, client, timeout_ms=99_000)
    assert response is not None
    assert response.timeout_ms == 60_000
    assert world.database.sessions == {client.session_id: 10_000}
    world.advance(59_000)
    assert again.ping().err == 0


# --- re-attaching -------------------------------------------------------------------


def test_reattaching_needs_no_transaction(world: World, client: Client) -> None:
    """C 3: the first connection is closed, the second goes on with the same id."""
    client.create("/e", flags=CreateMode.EPHEMERAL)
    zxid = world.database.last_zxid
    again, response = reattach(world, client)
    assert response is not None
    assert (response.session_id, response.password) == (client.session_id, client.password)
    assert client.is_closed
    assert client.received == b""
    assert world.database.last_zxid == zxid
    assert ephemerals_of(again) == ["/e"]
    assert again.create("/b", flags=CreateMode.EPHEMERAL).err == 0
    assert owned_paths(world.tree) == {client.session_id: ["/e", "/b"]}


def test_a_connection_that_ended_leaves_its_session(world: World, client: Client) -> None:
    client.create("/e", flags=CreateMode.EPHEMERAL)
    client.connection.closed()
    assert world.tree.find("/e") is not None
    _, response = reattach(world, client)
    assert response is not None
    assert response.session_id == client.session_id


def test_a_wrong_password_closes_the_other_connection_all_the_same(
    world: World, client: Client
) -> None:
    """C 2: the session itself lives on until its timeout."""
    again, _ = reattach(world, client, bytes(16))
    assert again.is_closed
    assert client.is_closed
    third, response = reattach(world, client)
    assert response is not None
    assert response.session_id == client.session_id
    assert third.ping().err == 0


@pytest.mark.parametrize("password", [b"", bytes(16), b"x" * 16])
def test_a_wrong_password_is_answered_as_expired(
    world: World, client: Client, password: bytes
) -> None:
    again = world.open()
    again.send(connect_frame(client.session_id, password))
    assert again.received.hex() == EXPIRED
    assert again.is_closed


def test_a_right_password_with_a_byte_more_is_wrong(world: World, client: Client) -> None:
    again = world.open()
    again.send(connect_frame(client.session_id, client.password + b"\0"))
    assert again.received.hex() == EXPIRED


def test_an_unknown_session_is_expired_even_with_its_password(world: World) -> None:
    client = world.open()
    client.send(connect_frame(77, session_password(77)))
    assert client.received.hex() == EXPIRED
    assert client.is_closed
    assert logged_types(world) == []


def test_a_closed_session_is_expired(world: World, client: Client) -> None:
    client.call(OpCode.CLOSE_SESSION)
    again = world.open()
    again.send(connect_frame(client.session_id, client.password))
    assert again.received.hex() == EXPIRED


def test_a_closing_session_cannot_be_reattached_before_it_is_applied(
    world: World, client: Client
) -> None:
    world.is_disk_held = True
    client.submit(OpCode.CLOSE_SESSION)
    again = world.open()
    again.send(connect_frame(client.session_id, client.password))
    assert again.received.hex() == EXPIRED


def test_a_session_survives_a_restart(world: World, client: Client) -> None:
    """Passwords and timeouts are known anew; the ephemerals are there."""
    client.create("/e", flags=CreateMode.EPHEMERAL)
    restarted = World(world.config, world.database)
    again, response = reattach(restarted, client)
    assert response is not None
    assert response.session_id == client.session_id
    assert ephemerals_of(again) == ["/e"]


def test_writes_of_the_connection_before_are_applied_but_not_answered(
    world: World, client: Client
) -> None:
    world.is_disk_held = True
    client.submit(OpCode.CREATE, create_request("/a"))
    again, response = reattach(world, client)
    assert response is not None
    again.submit(OpCode.WHO_AM_I, xid=9)
    assert again.replies() == []  # it waits behind the session's own write
    world.sync()
    assert client.received == b""
    assert [reply.xid for reply in again.replies()] == [9]
    assert world.tree.find("/a") is not None


def test_reattaching_while_the_session_is_being_made(world: World) -> None:
    """The first connection was lost before its answer came: nobody knows the id yet but a test."""
    world.is_disk_held = True
    client = world.open()
    client.handshake()
    session_id = client.connection.session_id
    again = world.open()
    response = again.handshake(session_id=session_id, password=session_password(session_id))
    assert response is not None
    assert response.session_id == session_id
    world.sync()
    assert client.is_closed
    assert client.received == b""
    world.is_disk_held = False
    assert again.ping().err == 0


# --- refused without a word ---------------------------------------------------------


def test_a_client_that_has_seen_more_is_closed_without_reply(world: World) -> None:
    """C 1."""
    make(world.connect(), "/a")
    for seen, is_refused in ((2, False), (3, True), ((1 << 63) - 1, True), (-1, False)):
        client = world.open()
        client.send(connect_frame(last_zxid_seen=seen))
        assert client.is_closed is is_refused, seen
        assert (client.received == b"") is is_refused
        world.database.tree.last_zxid = 2


def test_a_session_is_not_touched_by_a_client_that_has_seen_more(
    world: World, client: Client
) -> None:
    other = world.open()
    other.send(connect_frame(client.session_id, client.password, last_zxid_seen=99))
    assert other.is_closed
    assert not client.is_closed


@pytest.mark.parametrize("cut", range(44))
def test_a_connect_request_cut_at_any_byte_is_closed_without_reply(world: World, cut: int) -> None:
    client = world.open()
    client.send(frame(connect_frame(read_only=None)[4 : 4 + cut]))
    assert client.is_closed
    assert client.received == b""
    assert logged_types(world) == []


@pytest.mark.parametrize("length", [-1, -2, 0x100000, (1 << 31) - 1, -(1 << 31)])
def test_a_length_that_no_frame_has_is_closed_without_reply(world: World, length: int) -> None:
    client = world.open()
    client.send(length.to_bytes(4, signed=True))
    assert client.is_closed
    assert client.received == b""


def test_bytes_behind_the_connect_request_are_not_looked_at(world: World) -> None:
    client = world.open()
    client.send(frame(connect_frame()[4:] + b"more"))
    assert client.connect_response() is not None


# --- no handshake at all ------------------------------------------------------------


def test_a_connection_without_handshake_is_closed_after_ten_seconds(world: World) -> None:
    early = world.open()
    world.advance(5000)
    late = world.open()
    half = world.open()
    half.send(connect_frame()[:20])
    world.advance(4999)
    assert not is_closed(early)
    world.advance(1)
    assert is_closed(early)
    assert not is_closed(late)
    world.advance(5000)
    assert is_closed(late)
    assert is_closed(half)
    assert early.received == late.received == b""
    assert world.server.metrics.sessionless_connections_expired == 3


def test_a_connection_with_handshake_is_not(world: World, client: Client) -> None:
    world.advance(9000)
    client.ping()
    world.advance(9000)
    assert not client.is_closed


# --- how many connections -----------------------------------------------------------


def test_connections_of_one_address_are_limited() -> None:
    world = World(ServerConfig(max_client_cnxns=2))
    first, _ = world.connect("10.0.0.1"), world.connect("10.0.0.1")
    assert world.peer.accept(Arrival("10.0.0.1", 1)) is None
    world.connect("10.0.0.2")
    assert world.server.metrics.connection_rejected == 1
    first.connection.closed()
    world.connect("10.0.0.1")
    assert world.peer.accept(Arrival("10.0.0.1", 1)) is None


def test_connections_in_all_are_limited() -> None:
    world = World(ServerConfig(max_cnxns=2))
    world.connect("10.0.0.1")
    second = world.open("10.0.0.2")
    assert world.peer.accept(Arrival("10.0.0.3", 1)) is None
    second.connection.closed()
    assert world.peer.accept(Arrival("10.0.0.3", 1)) is not None


@pytest.mark.parametrize("config", [ServerConfig(max_cnxns=1), ServerConfig(max_client_cnxns=1)])
def test_each_of_the_two_ports_has_the_limits_for_itself(config: ServerConfig) -> None:
    world = World(config)
    secure = Arrival("10.0.0.1", 1, is_secure=True, is_on_secure_port=True)
    unified = Arrival("10.0.0.1", 1, is_secure=True)
    first = world.peer.accept(secure)
    assert first is not None
    assert world.peer.accept(secure) is None
    second = world.peer.accept(unified)
    assert second is not None
    assert world.peer.accept(unified) is None
    assert world.peer.accept(Arrival("10.0.0.1", 1)) is None
    first.closed()
    assert world.peer.accept(secure) is not None
    second.closed()
    assert world.peer.accept(unified) is not None
    assert world.server.metrics.connection_rejected == 3


def test_a_connection_keeps_what_its_client_has_shown() -> None:
    world = World(ServerConfig(client_tls=TlsConfig(key_store="/k")))
    chain = (Authority().issue("bob").der, b"issuer")
    shown = Arrival("10.0.0.1", 1, is_secure=True, certificates=chain)
    connection = world.peer.accept(shown)
    assert connection is not None
    assert connection.is_secure
    assert connection.certificates == chain
    assert not world.open().connection.is_secure
    assert world.open().connection.certificates == ()


def test_refused_connections_are_told_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    world = World(ServerConfig(max_cnxns=1))
    world.connect("10.0.0.1")
    for _ in range(3):
        world.peer.accept(Arrival("10.0.0.2", 1))
    assert caplog.messages == ["too many connections from /10.0.0.2: maxCnxns=1"] * 3
    assert {record.__dict__[SUBJECT] for record in caplog.records} == {"10.0.0.2"}
    assert world.server.metrics.connection_rejected == 3


def test_zero_is_no_limit() -> None:
    world = World(ServerConfig(max_client_cnxns=0, max_cnxns=0))
    for _ in range(100):
        world.open()
    assert len(world.server.connections) == 100
