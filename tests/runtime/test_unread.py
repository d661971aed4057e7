"""Connections that are closed while their client does not read: the socket goes all the same."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from pyzk.config import ServerConfig
from pyzk.constants import OpCode
from pyzk.jute.records import ConnectRequest, CreateRequest, PathWatchRequest
from pyzk.runtime.runner import PeerRunner
from tests.world import OPEN, encode_request, frame

pytestmark = pytest.mark.live


def test_a_closed_connection_does_not_keep_what_its_client_never_reads(tmp_path: Path) -> None:
    async def main() -> None:
        config = ServerConfig(
            data_dir=str(tmp_path), client_port=0, client_port_address="127.0.0.1"
        )
        runner = PeerRunner(config)
        await runner.start()
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, runner.client_address)
            request = ConnectRequest(0, 0, 30_000, 0, bytes(16), False)
            await loop.sock_sendall(sock, frame(request.encode()))
            create = CreateRequest("/big", bytes(900_000), OPEN, 0)
            await loop.sock_sendall(sock, encode_request(1, OpCode.CREATE, create))
            read = encode_request(2, OpCode.GET_DATA, PathWatchRequest("/big", False))
            await loop.sock_sendall(sock, read * 40)
            server = runner.peer.server
            while not any(connection.is_stalled for connection in server.connections):
                await asyncio.sleep(0.001)
            (connection,) = server.connections
            connection.close()
            runner._flush()
            assert connection.stats.packets_received > 0
            for _ in range(1000):
                if connection.shell is None:
                    break
                await asyncio.sleep(0.001)
            assert connection.shell is None, "the socket is still there"
        runner.request_stop()
        assert await runner.serve_until_stopped() == 0

    asyncio.run(asyncio.wait_for(main(), 20))
