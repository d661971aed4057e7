"""A connection: frames out of bytes, order of replies, misbehaviour, numbers."""

from __future__ import annotations

import logging
import struct

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode, WatchKind, Xid
from pyzk.jute.records import PathWatchRequest, SetDataRequest
from pyzk.server import fourletter
from pyzk.server.connection import ANSWER_BYTES, OUT_HIGH_BYTES, STALL_CHOKED, STALL_THROTTLED
from tests.frames import connect_frame, create_request, encode_request, frame
from tests.server.calls import burst, make
from tests.world import Client, World

SMALL = ServerConfig(jute_max_buffer=200)


# --- frames -------------------------------------------------------------------------


def test_bytes_may_come_one_by_one(world: World) -> None:
    client = world.open()
    for byte in connect_frame() + encode_request(1, OpCode.CREATE, create_request("/a")):
        client.send(bytes([byte]))
    first, second = client.frames()
    assert len(first) == 37
    assert second == struct.pack(">iqi", 1, 2, 0) + b"\0\0\0\x02/a"


def test_the_frames_of_the_specification_are_answered_with_its_bytes(world: World) -> None:
    """client-protocol.md §20."""
    client = world.open()
    client.send(
        bytes.fromhex(
            "0000002d 00000000 0000000000000000 00002710 0000000000000000 00000010" + "00" * 17
        )
    )
    client.frames()
    client.send(
        bytes.fromhex(
            "00000032 00000001 00000001 00000002 2f61 00000001 78 00000001 0000001f"
            "00000005 776f726c64 00000006 616e796f6e65 00000000"
        )
    )
    assert client.received == bytes.fromhex(
        "00000016 00000001 0000000000000002 00000000 00000002 2f61"
    )
    client.received = b""
    client.send(bytes.fromhex("00000008 fffffffe 0000000b"))
    assert client.received == bytes.fromhex("00000010 fffffffe 0000000000000002 00000000")
    client.received = b""
    client.get_data("/a", watch=True)
    client.received = b""
    client.submit(OpCode.SET_DATA, SetDataRequest("/a", b"y", -1))
    assert client.received.startswith(
        bytes.fromhex("0000001e ffffffff 0000000000000003 00000000 00000003 00000003 00000002 2f61")
    )


def test_a_frame_of_the_greatest_length_is_served_and_one_byte_more_closes() -> None:
    """jute.maxbuffer is inclusive."""
    for length, is_good in ((200, True), (201, False)):
        client = World(SMALL).connect()
        size = length - 8 - len(create_request("/a").encode())
        client.submit(OpCode.CREATE, create_request("/a", bytes(size)))
        assert client.is_closed is not is_good
        assert (client.world.tree.find("/a") is not None) is is_good


def test_the_limit_holds_for_the_handshake_too() -> None:
    for extra, is_good in ((200 - 45, True), (201 - 45, False)):
        client = World(SMALL).open()
        client.send(frame(connect_frame()[4:] + bytes(extra)))
        assert client.is_closed is not is_good


def test_replies_are_not_limited() -> None:
    world = World(SMALL)
    client = world.connect()
    client.create("/a")
    world.tree.nodes["/a"].data = bytes(1000)
    assert len(client.get_data("/a").body) == 4 + 1000 + 68


@pytest.mark.parametrize("length", [-1, 0, 1, 7, 0x100000, -(1 << 31), (1 << 31) - 1])
def test_a_length_that_no_request_has_closes_without_reply(client: Client, length: int) -> None:
    client.send(struct.pack(">i", length) + bytes(20))
    assert client.is_closed
    assert client.received == b""


def test_a_bad_length_closes_at_once_and_not_when_its_bytes_have_come(client: Client) -> None:
    client.send(struct.pack(">i", 0x100000))
    assert client.is_closed


def test_requests_before_a_bad_length_are_answered(client: Client) -> None:
    client.send(encode_request(1, OpCode.WHO_AM_I) + struct.pack(">i", -1))
    assert [reply.xid for reply in client.replies()] == [1]
    assert client.is_closed


def test_what_comes_after_the_end_is_not_looked_at(world: World, client: Client) -> None:
    client.send(struct.pack(">i", -1))
    client.send(encode_request(1, OpCode.CREATE, create_request("/a")))
    client.connection.resume(STALL_CHOKED)
    assert world.tree.find("/a") is None
    assert client.received == b""


# --- unknown operations -------------------------------------------------------------


@pytest.mark.parametrize("opcode", [0, -1, 10, 13, 23, 99, 108, 999, -12, (1 << 31) - 1])
def test_an_unknown_operation_is_answered_and_the_end(client: Client, opcode: int) -> None:
    client.send(encode_request(7, opcode) + encode_request(8, OpCode.WHO_AM_I))
    (reply,) = client.replies()
    assert (reply.xid, reply.zxid, reply.err, reply.body) == (7, -1, -6, b"")
    assert client.is_closed
    assert client.world.database.last_zxid == 1


def test_create_session_of_a_client_is_an_unknown_operation(client: Client) -> None:
    """The original takes it and makes a session that nobody holds."""
    reply = client.call(OpCode.CREATE_SESSION, b"\0\0\x27\x10")
    assert (reply.zxid, reply.err) == (-1, -6)
    assert client.is_closed
    assert len(client.world.database.sessions) == 1


def test_an_unknown_operation_behind_a_write_on_its_way(world: World, client: Client) -> None:
    """It is answered when its turn comes, or at once: the write is applied in any case."""
    world.is_disk_held = True
    burst(client, (OpCode.CREATE, create_request("/a")), (999, b""))
    world.sync()
    assert client.is_closed
    assert 102 in [reply.xid for reply in client.replies()]
    assert world.tree.find("/a") is not None


# --- order --------------------------------------------------------------------------


def test_replies_come_in_the_order_of_the_requests(world: World, client: Client) -> None:
    world.is_disk_held = True
    burst(
        client,
        (OpCode.EXISTS, PathWatchRequest("/a", False)),
        (OpCode.CREATE, create_request("/a")),
        (OpCode.EXISTS, PathWatchRequest("/a", False)),
        (OpCode.CREATE, b"unreadable"),
        (OpCode.SET_DATA, SetDataRequest("/a", b"x", 0)),
        (OpCode.GET_DATA, PathWatchRequest("/a", False)),
        (OpCode.GET_DATA, b"unreadable"),
        (OpCode.GET_DATA, PathWatchRequest("/none", False)),
    )
    assert [reply.xid for reply in client.replies()] == [101]
    world.sync()
    replies = client.replies()
    assert [(reply.xid, reply.err, reply.zxid) for reply in replies] == [
        (102, 0, 2),
        (103, 0, 2),
        (104, -5, 2),
        (105, 0, 3),
        (106, 0, 3),
        (107, -5, 3),
        (108, -101, 3),
    ]
    assert replies[4].body[:5] == b"\0\0\0\x01x"  # it reads its own write


def test_reads_of_another_session_do_not_wait(world: World, client: Client) -> None:
    other = world.connect()
    world.is_disk_held = True
    client.submit(OpCode.CREATE, create_request("/a"))
    assert other.exists("/a").err == -101
    assert other.ping().zxid == 2


def test_writes_of_all_sessions_are_applied_in_the_order_they_came(world: World) -> None:
    clients = [world.connect() for _ in range(3)]
    world.is_disk_held = True
    for number in range(6):
        clients[number % 3].submit(OpCode.CREATE, create_request("/s", flags=2), xid=number)
    world.sync()
    zxids = {reply.xid: reply.zxid for client in clients for reply in client.replies()}
    assert zxids == {number: 4 + number for number in range(6)}


def test_nothing_is_answered_before_the_disk_says_so(world: World, client: Client) -> None:
    world.is_disk_held = True
    client.submit(OpCode.CREATE, create_request("/a"))
    assert client.received == b""
    assert world.tree.find("/a") is None
    assert len(world.log) == 2
    world.sync()
    assert len(client.replies()) == 1


def test_a_part_of_the_log_may_be_durable(world: World, client: Client) -> None:
    world.is_disk_held = True
    burst(client, *((OpCode.CREATE, create_request(f"/{name}")) for name in "abc"))
    world.peer.log_synced(3)
    world.settle()
    assert [reply.xid for reply in client.replies()] == [101, 102]
    assert world.tree.find("/c") is None
    world.peer.log_synced(3)
    assert client.replies() == []
    world.sync()
    assert [reply.xid for reply in client.replies()] == [103]


def test_xids_are_echoed_whatever_they_are(client: Client) -> None:
    for xid in (5, 5, 1, 0, -1, -4, -8, (1 << 31) - 1, -(1 << 31)):
        assert client.call(OpCode.WHO_AM_I, xid=xid).xid == xid
        assert client.call(OpCode.CREATE, create_request("/none/x"), xid=xid).xid == xid


# --- a connection that is gone ------------------------------------------------------


def test_a_write_of_a_connection_that_is_gone_is_applied(world: World, client: Client) -> None:
    world.is_disk_held = True
    burst(client, (OpCode.CREATE, create_request("/a")), (OpCode.WHO_AM_I, b""))
    client.connection.closed()
    world.sync()
    assert world.tree.find("/a") is not None
    assert client.received == b""
    assert world.server.outstanding == 0
    assert client.connection.outstanding == 0


def test_closing_twice_is_closing_once(world: World) -> None:
    first, second = world.open("10.0.0.1"), world.open("10.0.0.1")
    first.connection.close()
    first.connection.close()
    first.connection.closed()
    assert world.server.connections_by_host == {"10.0.0.1": 1}
    assert list(world.server.connections) == [second.connection]


def test_a_connection_shows_its_address_and_its_session(world: World) -> None:
    client = world.open("10.0.0.1")
    assert str(client.connection) == f"/10.0.0.1:{client.connection.port}"
    client.handshake()
    assert str(client.connection).endswith(f" session 0x{client.session_id:x}")


# --- what an operator reads ---------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "an HTTP request (GET / HTTP/1.1)"),
        (b"\x16\x03\x01\x02\x00\x01", "a TLS handshake"),
        (b"SSH-2.0-OpenSSH\r\n", "an SSH client"),
        (b"\xff\xff\xff\xff", "an unknown protocol"),
    ],
)
def test_garbage_costs_its_connection_and_one_line(
    world: World, caplog: pytest.LogCaptureFixture, raw: bytes, text: str
) -> None:
    client, healthy = world.open(), world.connect()
    with caplog.at_level(logging.INFO):
        client.send(raw)
        client.send(raw)
    assert client.is_closed
    assert client.received == b""
    assert len(caplog.records) == 1
    assert text in caplog.messages[0]
    assert healthy.ping().err == 0


def test_a_request_too_long_says_the_limit(caplog: pytest.LogCaptureFixture) -> None:
    client = World(SMALL).connect()
    client.submit(OpCode.CREATE, create_request("/a", bytes(300)))
    assert "jute.maxbuffer is 200" in caplog.text


def test_requests_are_not_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        client.create("/a")
        client.create("/a")
        client.get_data("/none")
        client.submit(OpCode.CREATE, b"unreadable")
    assert caplog.records == []


# --- numbers ------------------------------------------------------------------------


def test_the_numbers_of_a_connection(world: World, client: Client) -> None:
    stats = client.connection.stats
    assert (stats.packets_received, stats.last_op) == (1, "NA")
    client.create("/a")
    assert (stats.last_op, stats.last_cxid, stats.last_zxid) == ("CREA", 1, 2)
    world.is_disk_held = True
    client.submit(OpCode.SET_DATA, SetDataRequest("/a", b"", -1))
    client.submit(OpCode.WHO_AM_I)
    world.advance(40)
    world.sync()
    world.is_disk_held = False
    assert (stats.last_op, stats.last_zxid) == ("HOMI", 3)
    assert (stats.min_latency_ms, stats.max_latency_ms, stats.last_latency_ms) == (0, 40, 40)
    assert stats.average_latency_ms == 80 // 3
    client.replies()
    client.get_data("/none")
    assert stats.last_op == "GETD"
    assert stats.last_latency_ms == 0
    assert stats.packets_received == 5
    client.connection.stats.reset()
    assert (stats.packets_received, stats.last_op, stats.last_cxid, stats.min_latency_ms) == (
        0,
        "NA",
        -1,
        -1,
    )
    assert stats.average_latency_ms == 0


def test_the_numbers_of_the_server(world: World, client: Client) -> None:
    metrics = world.server.metrics
    client.create("/a")
    client.get_data("/a")
    assert metrics.packets_received == 3
    assert metrics.connection_request_count == 1
    again = world.open()
    again.handshake(session_id=client.session_id, password=client.password)
    assert metrics.connection_revalidate_count == 1


# --- clients that do not read -------------------------------------------------------


def test_a_burst_of_long_replies_stops_the_connection(world: World, client: Client) -> None:
    client.create("/a", bytes(100_000))
    reads = [
        encode_request(xid, OpCode.GET_DATA, PathWatchRequest("/a", False)) for xid in range(30)
    ]
    client.connection.receive(b"".join(reads))
    answered = len(client.connection.out)
    assert answered == OUT_HIGH_BYTES // 100_000 + 1
    assert client.connection.is_stalled
    client.connection.receive(encode_request(30, OpCode.WHO_AM_I))
    assert len(client.connection.out) == answered
    world.settle()
    for _ in range(5):
        client.connection.resume(STALL_CHOKED)
        world.settle()
    assert [reply.xid for reply in client.replies()] == list(range(31))


def test_a_connection_goes_on_when_its_last_reason_to_stop_is_gone(client: Client) -> None:
    connection = client.connection
    connection.stall(STALL_CHOKED)
    connection.stall(STALL_THROTTLED)
    client.submit(OpCode.WHO_AM_I, xid=1)
    connection.resume(STALL_THROTTLED)
    client.world.settle()
    assert client.received == b""
    connection.resume(STALL_THROTTLED)
    connection.resume(STALL_CHOKED)
    client.world.settle()
    assert [reply.xid for reply in client.replies()] == [1]


def test_a_stalled_connection_keeps_the_rest_of_a_frame(client: Client) -> None:
    raw = encode_request(1, OpCode.WHO_AM_I)
    client.send(raw[:5])
    client.connection.stall(STALL_CHOKED)
    client.send(raw[5:9])
    client.connection.resume(STALL_CHOKED)
    client.send(raw[9:])
    assert [reply.xid for reply in client.replies()] == [1]


def test_events_go_to_a_client_that_does_not_read(world: World, client: Client) -> None:
    other = world.connect()
    client.exists("/a", watch=True)
    client.replies()
    client.connection.stall(STALL_CHOKED)
    make(other, "/a")
    assert [reply.xid for reply in client.replies()] == [Xid.NOTIFICATION]


# --- four-letter words --------------------------------------------------------------


WATCHES = 5000


def watched(world: World, client: Client) -> bytes:
    """Set many watches; return the answer to wchp that shows them all."""
    server = client.connection.server
    for number in range(WATCHES):
        world.tree.watches.add_data(f"/node-{number:04d}", client.connection)
    asked = b"".join(fourletter.answer(server, b"wchp", b"", None))
    assert asked.count(b"/node-") == WATCHES
    return asked


def asking(world: World, word: bytes = b"wchp") -> Client:
    asked = world.open()
    asked.connection.receive(word)
    return asked


def read_all(world: World, asked: Client) -> bytes:
    """Read as a client does that reads everything; return it."""
    for _ in range(WATCHES):
        world.settle()
        if asked.is_closed:
            break
        asked.connection.resume(STALL_CHOKED)
    assert asked.is_closed
    return asked.received


def sent_at_once(client: Client) -> int:
    return sum(map(len, client.connection.out))


@pytest.fixture
def words() -> World:
    """A server that answers all four-letter words."""
    return World(ServerConfig(four_letter_whitelist=("wchp", "wchc", "cons", "dump", "srvr")))


def test_a_long_answer_comes_in_pieces_between_which_others_are_served(words: World) -> None:
    client = words.connect()
    whole = watched(words, client)
    asked = asking(words)
    rounds = 0
    while asked.connection.is_answering:
        assert asked.connection.is_stalled
        assert sent_at_once(asked) < ANSWER_BYTES + 100 * fourletter.LINES_PER_PIECE
        words.settle()
        client.submit(OpCode.WHO_AM_I, xid=rounds)
        assert [reply.xid for reply in client.replies()] == [rounds]
        asked.connection.resume(STALL_CHOKED)
        rounds += 1
    assert read_all(words, asked) == whole
    assert rounds >= len(whole) // (ANSWER_BYTES + 100 * fourletter.LINES_PER_PIECE)


def test_long_paths_come_one_by_one(words: World) -> None:
    """Else a client that reads slowly has the server hold hundreds of megabytes."""
    client = words.connect()
    paths = [f"/{number}" + "x" * 100_000 for number in range(30)]
    for path in paths:
        words.tree.watches.add_data(path, client.connection)
    asked = asking(words)
    while asked.connection.is_answering:
        assert sent_at_once(asked) < 2 * 100_000
        words.settle()
        asked.connection.resume(STALL_CHOKED)
    answer = read_all(words, asked)
    assert [line.decode() for line in answer.split(b"\n")[:-2:2]] == paths


def test_a_short_answer_needs_no_second_turn(words: World) -> None:
    asked = asking(words, b"srvr")
    words.settle()
    assert asked.is_closed
    assert asked.received.startswith(b"Zookeeper version: ")


def test_a_long_answer_shows_what_there_was_and_still_is(words: World) -> None:
    client = words.connect()
    watched(words, client)
    asked = asking(words)
    words.tree.watches.remove(f"/node-{WATCHES - 1:04d}", WatchKind.ANY, client.connection)
    words.tree.watches.add_data("/late", client.connection)
    read_all(words, asked)
    assert asked.received.count(b"/node-") == WATCHES - 1
    assert b"/late" not in asked.received


@pytest.mark.parametrize("word", [b"wchp", b"wchc"])
def test_who_goes_while_the_answer_is_given_is_left_out(words: World, word: bytes) -> None:
    first, second = words.connect(), words.connect()
    watched(words, first)
    words.tree.watches.add_data("/last", second.connection)
    asked = asking(words, word)
    second.connection.closed()
    read_all(words, asked)
    assert asked.received.count(b"/node-") == WATCHES
    assert f"0x{second.session_id:x}".encode() not in asked.received
    assert b"/last" not in asked.received


def test_nothing_more_is_produced_when_the_client_has_gone(words: World) -> None:
    watched(words, words.connect())
    asked = asking(words)
    assert asked.connection.is_answering
    asked.connection.closed()
    asked.connection.resume(STALL_CHOKED)
    assert asked.connection.out == []
    assert not asked.connection.is_answering


def test_what_follows_a_word_is_not_looked_at_while_its_answer_comes(words: World) -> None:
    whole = watched(words, words.connect())
    asked = asking(words)
    asked.connection.receive(b"srvr")
    assert read_all(words, asked) == whole


def test_an_answer_that_is_not_read_ends_with_the_time_for_the_handshake(
    words: World, caplog: pytest.LogCaptureFixture
) -> None:
    watched(words, words.connect())
    asked = asking(words)
    words.advance(words.config.sessionless_cnxn_timeout_ms + 1)
    assert asked.is_closed
    assert "the answer to its four-letter word was not read in time" in caplog.text


def test_a_word_is_known_by_its_four_bytes_alone(world: World) -> None:
    """No newline is needed, and what follows is not looked at; the words are tested elsewhere."""
    for raw in (b"srvr", b"srvr\n", b"srvrsrvr"):
        client = world.open()
        client.send(raw)
        assert client.received.startswith(b"Zookeeper version: ")
        assert b"Mode: standalone\n" in client.received
        assert client.received.count(b"Zookeeper version: ") == 1
        assert client.is_closed


def test_a_word_may_come_byte_by_byte(world: World) -> None:
    client = world.open()
    for byte in b"srv":
        client.send(bytes([byte]))
    assert client.received == b""
    client.send(b"r")
    assert client.received.startswith(b"Zookeeper version: ")


def test_the_argument_of_a_word_is_waited_for() -> None:
    world = World(ServerConfig(four_letter_whitelist=("srvr", "stmk")))
    client = world.open()
    client.send(b"stmk\0\0\0\0")
    assert client.received == b""
    client.send(b"\0\0\0\x7f")
    assert client.received == b"127"
    assert client.is_closed


def test_the_telnet_close_ends_without_a_word(world: World) -> None:
    client = world.open()
    client.send(bytes.fromhex("fff4fffd"))
    assert client.is_closed
    assert client.received == b""


def test_a_word_behind_the_handshake_is_a_length(client: Client) -> None:
    client.send(b"srvr")
    assert client.is_closed
    assert client.received == b""


def test_a_closed_connection_sends_nothing(client: Client) -> None:
    client.connection.close()
    client.connection.send(b"late")
    client.connection.stall(STALL_CHOKED)
    client.connection.resume(STALL_CHOKED)
    client.world.settle()
    assert client.received == b""


def test_a_new_session_of_a_connection_that_is_gone_waits_for_its_timeout(world: World) -> None:
    world.is_disk_held = True
    client = world.open()
    client.send(connect_frame())
    client.connection.closed()
    world.sync()
    assert client.received == b""
    assert len(world.database.sessions) == 1
    world.is_disk_held = False
    world.advance(15_000)
    assert world.database.sessions == {}
