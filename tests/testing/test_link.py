"""Where frames begin, however they are cut; faults that come into force in the middle of one."""

from __future__ import annotations

import struct
from random import Random

import pytest

from pyzk.constants import ErrorCode, OpCode, Xid
from pyzk.jute.records import MultiHeader, PathWatchRequest
from pyzk.testing import ZooKeeperServer
from pyzk.testing.seams.client_link import describe_chunk, read_path
from tests.frames import connect_frame, create_request, encode_request, multi
from tests.testing.raw import RawClient

pytestmark = pytest.mark.zk(virtual_clock=True, leaks="ignore")


def _requests(count: int) -> bytes:
    """An exists for each number; with errors, so that both kinds of answer are there."""
    return b"".join(
        encode_request(xid, OpCode.EXISTS, PathWatchRequest("/" if xid % 3 else "/no", False))
        for xid in range(1, count + 1)
    )


def _took_all(server: ZooKeeperServer, client: RawClient, sent: int) -> None:
    """Wait until the server has had all that was sent so far."""
    server.wait_until(lambda: sum(link.bytes_heard for link in server._engine.links) >= sent)


@pytest.mark.parametrize("seed", range(8))
def test_a_fault_hits_whole_requests_however_they_are_cut(
    server: ZooKeeperServer, seed: int
) -> None:
    """A rule comes into force and goes at random moments; each answer is right, in its turn."""
    rng = Random(seed)
    with RawClient(server, greet=False) as client:
        hello = connect_frame()
        data = hello + _requests(60)
        sent = 0
        while sent < len(data):
            size = rng.choice((1, 2, 3, 4, 5, 30, 100))
            client.send(data[sent : sent + size])
            sent = min(sent + size, len(data))
            _took_all(server, client, sent)
            if rng.random() < 0.3:
                server.fail("exists", -4, times=rng.randint(1, 2))
            elif rng.random() < 0.2:
                server.reset_faults()
        assert client.welcome()
        for xid in range(1, 61):
            reply = client.reply()
            assert reply.xid == xid
            assert reply.err in (-4, 0 if xid % 3 else ErrorCode.NO_NODE)
            assert len(reply.body) == (68 if reply.err == 0 else 0)


def test_a_request_that_has_begun_is_not_hit(server: ZooKeeperServer) -> None:
    with RawClient(server) as client:
        one, two = (
            encode_request(xid, OpCode.EXISTS, PathWatchRequest("/", False)) for xid in (1, 2)
        )
        before = sum(link.bytes_heard for link in server._engine.links)
        client.send(one[:7])
        _took_all(server, client, before + 7)
        server.fail("exists", -4)
        client.send(one[7:] + two)
        assert [client.reply().err for _ in range(2)] == [0, -4]


def test_four_letter_words_and_garbage_go_by(server: ZooKeeperServer) -> None:
    server.fail("any", -4, times=None)
    for word in (b"ruok", b"ru"):
        with RawClient(server, greet=False) as client:
            client.send(word)
            if word == b"ru":
                _took_all(server, client, 2)
                client.send(b"ok")
            assert client.sock.recv(100) == b"imok"
    with RawClient(server, greet=False) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.is_cut()


def test_a_word_in_pieces_without_faults(server: ZooKeeperServer) -> None:
    with RawClient(server, greet=False) as client:
        client.send(b"ru")
        _took_all(server, client, 2)
        client.send(b"ok")
        assert client.sock.recv(100) == b"imok"


def test_large_frames_go_through_untouched(server: ZooKeeperServer) -> None:
    data = Random(1).randbytes(900_000)
    server.fail("getData", -4, times=None, path="/other")
    with RawClient(server) as client:
        assert client.create("/a", data).err == 0
        assert client.get_data("/a").body[4:-68] == data


def test_the_path_of_a_request() -> None:
    request = encode_request(1, OpCode.CREATE, create_request("/ä", b"x"))
    assert read_path(OpCode.CREATE, request, 12) == "/ä"
    assert describe_chunk(request, False) == "create /ä"
    assert describe_chunk(encode_request(Xid.PING, OpCode.PING), False) == "ping"
    body = multi((OpCode.CREATE, create_request("/a")))
    assert describe_chunk(encode_request(1, OpCode.MULTI, body), False) == "multi"
    assert MultiHeader(1, False, -1).encode() in body
    assert read_path(OpCode.CREATE, request[:13], 12) is None
    assert read_path(OpCode.SYNC, struct.pack(">iiii", 12, 1, 9, -1), 12) is None
    assert describe_chunk(b"ruok", True) == "b'ruok'"
    assert describe_chunk(connect_frame(), True) == "handshake"


def test_a_client_that_does_not_read_is_not_fed_for_ever(server: ZooKeeperServer) -> None:
    """The transport's own limits work through the outlet."""
    server.load({"/big": bytes(500_000)})
    with RawClient(server) as client:
        request = PathWatchRequest("/big", False)
        for _ in range(100):
            client.submit(OpCode.GET_DATA, request)
        server.wait_until(lambda: any(c.stalled for c in server._engine.server.connections))
        for _ in range(100):
            assert len(client.reply().body) == 500_000 + 4 + 68
