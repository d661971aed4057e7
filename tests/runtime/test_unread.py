"""Clients that do not read: how much waits for them, and the end of their connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.jute.records import PathWatchRequest
from pyzk.runtime.client_port import ClientProtocol
from pyzk.runtime.runner import PeerRunner
from pyzk.runtime.seams import Seams
from pyzk.runtime.unread import Unread
from tests.frames import connect_frame, create_request, encode_request
from tests.world import World


class _Reader:
    """A client that reads when told."""

    def __init__(self, unread: Unread) -> None:
        self._unread = unread
        self.unread_bytes = 0
        self.reasons: list[str | None] = []

    def write(self, count: int) -> None:
        self.unread_bytes += count
        self._unread.grew(self)

    def drop(self, reason: str | None) -> None:
        self.reasons.append(reason)


def test_a_client_that_reads_nothing_has_a_limit_of_its_own() -> None:
    unread = Unread(100, 1000)
    one, other = _Reader(unread), _Reader(unread)
    other.write(100)
    one.write(60)
    one.write(40)
    assert one.reasons == []
    one.write(1)
    assert one.reasons == ["more than 100 bytes that the client did not read"]
    assert other.reasons == []


def test_all_clients_together_have_a_limit_and_the_worst_goes() -> None:
    unread = Unread(100, 250)
    readers = [_Reader(unread) for _ in range(4)]
    for reader, count in zip(readers, (60, 90, 100, 0), strict=True):
        reader.write(count)
    assert not any(reader.reasons for reader in readers), "250 is the limit"
    readers[3].write(1)
    assert [len(reader.reasons) for reader in readers] == [0, 0, 1, 0]
    assert readers[2].reasons == [
        "100 bytes that the client did not read, the most of all clients,"
        " whose limit is 250 together"
    ]
    readers[3].write(99)
    assert [len(reader.reasons) for reader in readers] == [0, 0, 1, 0], "what it had is free"
    readers[0].write(1)
    assert [len(reader.reasons) for reader in readers] == [0, 0, 1, 1]


def test_what_was_read_meanwhile_does_not_count() -> None:
    unread = Unread(100, 150)
    one, other, third = _Reader(unread), _Reader(unread), _Reader(unread)
    one.write(100)
    one.unread_bytes = 10
    other.write(100)
    assert not one.reasons + other.reasons
    unread.forget(other)
    third.write(100)
    assert not one.reasons + other.reasons + third.reasons


def test_of_too_many_lingering_connections_the_oldest_goes() -> None:
    unread = Unread(lingering=2)
    readers = [_Reader(unread) for _ in range(4)]
    for reader in readers[:3]:
        unread.linger(reader)
    assert [reader.reasons for reader in readers] == [[None], [], [], []]
    unread.forget(readers[1])
    unread.linger(readers[3])
    assert [reader.reasons for reader in readers] == [[None], [], [], []]


def test_requests_that_wait_for_a_client_to_read_count() -> None:
    connection = World().open().connection
    protocol = ClientProtocol(PeerRunner(ServerConfig()))
    protocol._connection = connection
    assert protocol.unread_bytes == 0
    connection.parked_bytes = 7
    assert protocol.unread_bytes == 7


_HANDSHAKE = connect_frame(timeout_ms=30_000)
_READ = encode_request(2, OpCode.GET_DATA, PathWatchRequest("/big", False))


def _create_big() -> bytes:
    return encode_request(1, OpCode.CREATE, create_request("/big", bytes(900_000)))


async def _connect(runner: PeerRunner, sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await loop.sock_connect(sock, runner.client_address)
    await loop.sock_sendall(sock, _HANDSHAKE)


def _config(directory: Path) -> ServerConfig:
    return ServerConfig(data_dir=str(directory), client_port=0, client_port_address="127.0.0.1")


@pytest.mark.live
def test_the_worst_of_many_that_read_nothing_is_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        runner = PeerRunner(_config(tmp_path))
        runner.unread = Unread(total_bytes=5 << 20)
        await runner.start()
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as sockets:
            for number in range(8):
                sock = sockets.enter_context(socket.socket())
                await _connect(runner, sock)
                if not number:
                    await loop.sock_sendall(sock, _create_big())
                    while "/big" not in runner.peer.server.tree.nodes:
                        await asyncio.sleep(0.001)
                await loop.sock_sendall(sock, _READ * 40)
            for _ in range(5000):
                if "the most of all clients" in caplog.text:
                    break
                await asyncio.sleep(0.001)
            else:
                raise AssertionError("nobody was dropped")
            assert 0 < len(runner.peer.server.connections) < 8
        runner.request_stop()
        assert await runner.serve_until_stopped() == 0

    asyncio.run(asyncio.wait_for(main(), 20))


@pytest.mark.live
def test_a_closed_connection_does_not_keep_what_its_client_never_reads(tmp_path: Path) -> None:
    async def main() -> None:
        runner = PeerRunner(_config(tmp_path))
        await runner.start()
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            await _connect(runner, sock)
            await loop.sock_sendall(sock, _create_big() + _READ * 40)
            server = runner.peer.server
            while not any(connection.is_stalled for connection in server.connections):
                await asyncio.sleep(0.001)
            (connection,) = server.connections
            runner.perform(connection.close)
            assert connection.stats.packets_received > 0
            for _ in range(1000):
                if connection.shell is None:
                    break
                await asyncio.sleep(0.001)
            assert connection.shell is None, "the socket is still there"
        runner.request_stop()
        assert await runner.serve_until_stopped() == 0

    asyncio.run(asyncio.wait_for(main(), 20))


@pytest.mark.live
def test_a_long_last_answer_arrives_whole_though_the_socket_takes_it_in_pieces(
    tmp_path: Path,
) -> None:
    async def main(listener: socket.socket) -> None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # as on a slow line
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        config = ServerConfig(
            data_dir=str(tmp_path),
            client_port=0,
            client_port_address="127.0.0.1",
            four_letter_whitelist=("srvr", "wchp"),
        )
        runner = PeerRunner(config, Seams(listeners=[listener]))
        await runner.start()
        loop = asyncio.get_running_loop()
        paths = [f"/{number:0200}" for number in range(2000)]
        with socket.socket() as watcher, socket.socket() as sock:
            await _connect(runner, watcher)
            for xid, path in enumerate(paths):
                await loop.sock_sendall(
                    watcher, encode_request(xid, OpCode.EXISTS, PathWatchRequest(path, True))
                )
            while runner.peer.server.tree.watches.watch_count < len(paths):
                await loop.sock_recv(watcher, 1 << 16)
            sock.setblocking(False)
            await loop.sock_connect(sock, runner.client_address)
            await loop.sock_sendall(sock, b"wchp")
            answer = b""
            while data := await loop.sock_recv(sock, 1 << 16):
                answer += data
            found = [line.decode() for line in answer.splitlines() if line.startswith(b"/")]
            assert sorted(found) == paths
        runner.request_stop()
        assert await runner.serve_until_stopped() == 0

    with socket.socket() as listener:
        asyncio.run(asyncio.wait_for(main(listener), 20))
