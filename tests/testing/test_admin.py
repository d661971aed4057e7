"""The admin server of a test server, for those who ask for one."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket

import pytest

from pyzk.testing import AsyncZooKeeperServer, FixtureError, ZooKeeperEnsemble, ZooKeeperServer
from tests.runtime.members import run


def ruok(address: tuple[str, int]) -> object:
    connection = http.client.HTTPConnection(*address, timeout=30)
    try:
        connection.request("GET", "/commands/ruok")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


ANSWER = {"command": "ruok", "error": None}


def test_nobody_has_one_unasked(zk_server: ZooKeeperServer) -> None:
    with pytest.raises(FixtureError, match="admin=True asks for one"):
        _ = zk_server.admin_address


def test_who_asks_has_one_on_the_same_address() -> None:
    with ZooKeeperServer(admin=True) as server:
        host, port = server.admin_address
        assert host == server.host
        assert port not in (0, server.port)
        assert ruok(server.admin_address) == ANSWER
        server.kill()
        with pytest.raises(FixtureError):
            _ = server.admin_address
        server.restart()
        assert ruok(server.admin_address) == ANSWER
        server.reset()
        assert ruok(server.admin_address) == ANSWER


@pytest.mark.zk(options={"admin.enableServer": True, "admin.commandURL": "/c"})
def test_its_keys_are_options(zk_server: ZooKeeperServer) -> None:
    connection = http.client.HTTPConnection(*zk_server.admin_address, timeout=30)
    connection.request("GET", "/c/ruok")
    assert connection.getresponse().status == 200
    connection.close()


def test_one_for_asyncio() -> None:
    async def body() -> None:
        import asyncio

        async with AsyncZooKeeperServer(admin=True) as server:
            assert await asyncio.to_thread(ruok, server.admin_address) == ANSWER

    run(body(), "asyncio")


def test_each_member_of_an_ensemble_has_its_own() -> None:
    with ZooKeeperEnsemble(admin=True) as ensemble:
        addresses = [member.admin_address for member in ensemble]
        assert len(set(addresses)) == 3
        for address in addresses:
            assert ruok(address) == ANSWER


def test_a_visitor_of_a_killed_server_is_cut_off() -> None:
    with ZooKeeperServer(admin=True) as server:
        for end in (server.kill, server.restart, server.reset):
            with socket.create_connection(server.admin_address, 30) as visitor:
                visitor.sendall(b"GET /commands/ruok HTTP/1.1\r\nHost: x\r\n\r\n")
                assert visitor.recv(1 << 16).startswith(b"HTTP/1.1 200")
                end()
                with contextlib.suppress(ConnectionError):
                    assert visitor.recv(1) == b""
            if server.state == "killed":
                server.restart()
