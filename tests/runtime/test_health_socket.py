"""The socket at which `pyzk health` asks."""

from __future__ import annotations

import asyncio
import json
import socket
import sys

import pytest

from pyzk.runtime import health_socket
from pyzk.runtime.free_ports import free_ports
from pyzk.runtime.health_names import name_of, names_for
from pyzk.runtime.health_socket import MAX_REQUEST, MAX_VISITORS, HealthSocket
from tests.world import World

pytestmark = [
    pytest.mark.live,
    pytest.mark.usefixtures("loop_choice"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract names"),
]


class Server:
    """A lone server that takes clients where a test says."""

    def __init__(self) -> None:
        self.peer = World().peer
        (port,) = free_ports(1)
        self.client_address = ("127.0.0.1", port)
        self.secure_client_address: tuple[str, int] | None = None


@pytest.fixture
def server() -> Server:
    return Server()


async def ask(name: str, request: bytes = b"GET /readyz HTTP/1.0\r\n\r\n") -> bytes:
    reader, writer = await connect(name)
    writer.write(request)
    return await rest_of(reader, writer)


async def connect(name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(name)  # uvloop cannot, itself
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return await asyncio.open_unix_connection(sock=sock)


async def rest_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def test_names_are_those_of_the_address_and_of_everywhere() -> None:
    assert name_of("127.0.0.1", 1) == "\0pyzk/health/127.0.0.1:1"
    assert name_of("0.0.0.0", 1) == name_of("::", 1) == "\0pyzk/health/*:1"
    everywhere = "\0pyzk/health/*:1"
    assert names_for("127.0.0.1", 1, is_loopback=True) == [name_of("127.0.0.1", 1), everywhere]
    assert names_for("10.0.0.1", 1, is_loopback=False) == [name_of("10.0.0.1", 1)]


async def test_it_answers_as_the_admin_port_does(server: Server) -> None:
    health = HealthSocket(server)
    await health.open(may_move=False)
    name = name_of(*server.client_address)
    try:
        head, _, body = (await ask(name)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 200 OK\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert json.loads(body)["role"] == "standalone"
        server.peer.stop_serving()
        assert (await ask(name)).startswith(b"HTTP/1.0 503 Service Unavailable\r\n")
        live = await ask(name, b"GET /livez?verbose HTTP/1.1\r\nHost: x\r\n\r\n")
        assert live.startswith(b"HTTP/1.0 200 OK\r\n")
        for other in (b"GET /x HTTP/1.0\r\n\r\n", b"POST /livez HTTP/1.0\r\n\r\n", b"\xff\r\n\r\n"):
            assert (await ask(name, other)).startswith(b"HTTP/1.0 404 ")
        assert await ask(name, b"x" * (MAX_REQUEST + 1)) == b""
    finally:
        health.close()
    with pytest.raises(ConnectionRefusedError):
        await ask(name)


async def test_each_port_has_one(server: Server) -> None:
    (port,) = free_ports(1)
    server.secure_client_address = ("0.0.0.0", port)
    health = HealthSocket(server)
    await health.open(may_move=False)
    try:
        for place in (server.client_address, server.secure_client_address):
            assert b"200 OK" in await ask(name_of(*place))
    finally:
        health.close()


async def test_it_follows_the_client_port(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_socket, "LOOK_S", 0.001)
    health = HealthSocket(server)
    await health.open(may_move=True)
    before = name_of(*server.client_address)
    (port,) = free_ports(1)
    server.client_address = ("::", port)
    try:
        while True:
            try:
                assert b"200 OK" in await ask(name_of(*server.client_address))
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await ask(before)
    finally:
        health.close()


async def test_a_socket_that_is_opened_meanwhile_ends_with_the_others(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = HealthSocket(server)

    def close_meanwhile(host: str, port: int) -> str:
        health.close()
        return name_of(host, port)

    monkeypatch.setattr(health_socket, "name_of", close_meanwhile)
    await health.open(may_move=True)
    with pytest.raises(ConnectionRefusedError):
        await ask(name_of(*server.client_address))
    assert health._timer is None


async def test_a_name_that_is_taken_is_a_warning(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    health = HealthSocket(server)
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(name_of(*server.client_address))
        for _ in range(3):
            await health.open(may_move=False)
    assert [each.getMessage() for each in caplog.records] == [
        f"pyzk health asks at the client port, 127.0.0.1:{server.client_address[1]}: another"
        " process has the socket for it (Address already in use)"
    ]
    health.close()


async def test_visitors_that_say_nothing_are_few_and_leave_in_the_end(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_socket, "PATIENCE_S", 0.05)
    health = HealthSocket(server)
    await health.open(may_move=False)
    name = name_of(*server.client_address)
    try:
        silent = [await connect(name) for _ in range(MAX_VISITORS)]
        while len(health._visitors) < MAX_VISITORS:
            await asyncio.sleep(0)
        assert await ask(name) == b""
        for reader, writer in silent:
            assert await rest_of(reader, writer) == b""
        while health._visitors:
            await asyncio.sleep(0)
        assert b"200 OK" in await ask(name)
    finally:
        health.close()
