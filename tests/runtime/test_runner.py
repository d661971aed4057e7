"""The runner with real sockets, a real disk and the real clock; the few tests that need them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.errors import DirectoryLockedError, StorageError
from pyzk.jute.records import PathWatchRequest
from pyzk.runtime.runner import PeerRunner
from pyzk.testing import ZooKeeperServer
from tests.frames import StreamClient, create_request, encode_request
from tests.runtime.ports import is_closed, run_out
from tests.testing.raw import RawClient

pytestmark = pytest.mark.live

TIMEOUT_S = 20.0
_clients: list[StreamClient] = []
"""Of the present test; closed at its end."""


def _config(directory: Path, **changes: int) -> ServerConfig:
    return ServerConfig(
        data_dir=str(directory),
        client_port=0,
        client_port_address="127.0.0.1",
        tick_time_ms=2000,
        **changes,  # type: ignore[arg-type]
    )


def _run(directory: Path, body: Callable[[PeerRunner], Awaitable[None]], **changes: int) -> int:
    """Start a server, run ``body`` beside it, stop it; return the exit code."""

    async def main() -> int:
        runner = PeerRunner(_config(directory, **changes))
        await runner.start()
        serving = asyncio.ensure_future(runner.serve_until_stopped())
        try:
            await body(runner)
        finally:
            runner.request_stop()
            for client in _clients:
                client.writer.close()
                with contextlib.suppress(OSError):
                    await client.writer.wait_closed()
            _clients.clear()
        return await serving

    return asyncio.run(asyncio.wait_for(main(), TIMEOUT_S))


async def _connect(runner: PeerRunner) -> StreamClient:
    client = await StreamClient.dial(*runner.client_address)
    _clients.append(client)
    return client


@pytest.mark.zk(on_disk=True)
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_acknowledged_and_the_session_are_there_after_a_restart(
    zk_server: ZooKeeperServer, end: str
) -> None:
    with RawClient(zk_server) as client:
        assert client.create("/kept", b"x").err == 0
        zk_server.stop(leaks="ignore") if end == "stop" else zk_server.kill()
    zk_server.restart()
    assert zk_server.tree() == {"/kept": b"x"}
    with RawClient(zk_server, session=client) as again:
        assert again.session_id == client.session_id
        assert again.exists("/kept").err == 0


def test_garbage_costs_that_connection_only(zk_server: ZooKeeperServer) -> None:
    with RawClient(zk_server) as good:
        for garbage in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01",
            b"\xff" * 64,
        ):
            with RawClient(zk_server, greet=False) as bad:
                bad.send(garbage)
                assert bad.is_cut()
        assert good.create("/a").err == 0


def test_the_last_descriptors_are_not_for_clients(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(runner: PeerRunner) -> None:
        good = await _connect(runner)
        await good.handshake()
        runner.first_reserved_descriptor = 1
        refused = await _connect(runner)
        assert await refused.reader.read() == b""
        assert runner.peer.server.metrics.connection_rejected == 1
        assert "too many connections from /127.0.0.1: the process has" in caplog.text
        assert await good.create("/a") == 0

    assert _run(tmp_path, body) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a socket's backlog")
@pytest.mark.parametrize(("configured", "backlog"), [(-1, 1024), (7, 7)])
def test_the_backlog_is_the_configured_one(tmp_path: Path, configured: int, backlog: int) -> None:
    async def body(runner: PeerRunner) -> None:
        (serving,) = runner._clients._plain._served
        info = serving.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
        assert struct.unpack_from("I", info, 28)[0] == backlog  # tcpi_sacked of a listener

    assert _run(tmp_path, body, client_port_listen_backlog=configured) == 0


@pytest.mark.parametrize("end", ["close", "kill"])
@pytest.mark.parametrize("turns", range(6))
def test_who_connects_while_the_server_ends_is_dropped(
    tmp_path: Path, turns: int, end: str
) -> None:
    """The loop takes some turns from a connection to its protocol."""

    async def main() -> None:
        runner = PeerRunner(_config(tmp_path))
        await runner.start()
        with socket.create_connection(runner.client_address) as late:
            for _turn in range(turns):
                await asyncio.sleep(0)
            if end == "kill":
                runner.kill()
                await run_out()
            else:
                await runner.close()  # the loop may end at once
            assert is_closed(late)

    asyncio.run(main())
    gc.collect()  # a socket that was left open would warn


def test_a_client_that_does_not_read_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async def body(runner: PeerRunner) -> None:
        greedy, other = await _connect(runner), await _connect(runner)
        await greedy.handshake()
        await other.handshake()
        record = create_request("/big", bytes(500_000)).encode()
        assert (await other.call(OpCode.CREATE, record)).err == 0
        read = encode_request(5, OpCode.GET_DATA, PathWatchRequest("/big", False))
        greedy.writer.write(read * 400)
        assert await other.create("/a") == 0
        buffered = sum(
            len(data) for connection in runner.peer.server.connections for data in connection.out
        )
        assert buffered < 4 << 20
        for _ in range(400):
            assert len(await greedy.read()) > 500_000

    assert _run(tmp_path, body) == 0


def test_a_second_server_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    async def body(runner: PeerRunner) -> None:
        second = PeerRunner(_config(tmp_path))
        with pytest.raises(DirectoryLockedError, match="in use by process"):
            await second.start()

    assert _run(tmp_path, body) == 0


def test_a_storage_error_on_the_log_ends_service_without_an_answer(tmp_path: Path) -> None:
    async def body(runner: PeerRunner) -> None:
        client = await _connect(runner)
        await client.handshake()
        runner._storage_failed(StorageError("cannot sync", path="log.1"))
        client.submit(OpCode.CREATE, create_request("/a", b"x"))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.read()

    assert _run(tmp_path, body) != 0


def test_a_broken_invariant_ends_service(tmp_path: Path) -> None:
    async def body(runner: PeerRunner) -> None:
        client = await _connect(runner)
        await client.handshake()
        runner.peer.server.role.submit = None  # type: ignore[assignment, method-assign]
        client.submit(OpCode.CREATE, create_request("/a", b"x"))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.read()
        assert isinstance(runner.failure, TypeError)

    assert _run(tmp_path, body) != 0


@pytest.mark.zk(on_disk=True, options={"snapCount": 20})
def test_snapshots_are_taken_while_serving_and_the_directory_loads(
    zk_server: ZooKeeperServer,
) -> None:
    with RawClient(zk_server) as client:
        for number in range(200):
            assert client.create(f"/n{number}").err == 0
    zk_server.stop()
    assert zk_server.data_dir is not None
    snapshots = list(Path(zk_server.data_dir, "version-2").glob("snapshot.*"))
    assert len(snapshots) > 3
    zk_server.restart()
    assert len(zk_server.tree()) == 200


def test_a_stop_in_the_middle_of_writes_answers_what_it_has_taken(tmp_path: Path) -> None:
    """Nothing that comes during the close reaches the closed log; what was answered is there."""
    answered = 0

    async def body(runner: PeerRunner) -> None:
        nonlocal answered
        client = await _connect(runner)
        await client.handshake()
        create = [
            encode_request(n, OpCode.CREATE, create_request(f"/n{n}")) for n in range(1, 2001)
        ]
        client.writer.write(b"".join(create))
        await client.read()
        answered = 1
        runner.request_stop()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await client.read():
                answered += 1
        assert runner.failure is None

    assert _run(tmp_path, body) == 0

    async def count(runner: PeerRunner) -> None:
        assert runner.peer.server.tree.node_count - 5 >= answered

    assert _run(tmp_path, count) == 0
