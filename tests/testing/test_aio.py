"""The server in the caller's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
from collections.abc import Awaitable, Callable

import pytest

from pyzk.constants import CreateMode, OpCode
from pyzk.jute.records import PathWatchRequest
from pyzk.runtime.client_port import ClientProtocol
from pyzk.runtime.loop import loop_factory
from pyzk.testing import AsyncZooKeeperServer, FixtureError, LeakedClientsError, NotRunningError
from tests.frames import StreamClient
from tests.testing.raw import PATIENCE_S


async def _connect(server: AsyncZooKeeperServer, timeout_ms: int = 10_000) -> StreamClient:
    return await StreamClient.connect(server.host, server.port, timeout_ms)


def _run(body: Callable[[], Awaitable[None]], loop: str = "asyncio") -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await body()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_life(loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")

    async def body() -> None:
        threads = threading.active_count()
        async with AsyncZooKeeperServer() as server:
            client = await _connect(server)
            assert await client.create("/a") == 0
            assert server.tree() == {"/a": b""}
            assert [session.session_id for session in server.sessions] == [client.session_id]
            fault = server.fail("create", "NoAuth")
            assert await client.create("/b") == -102
            assert fault.fired == 1
            await server.kill()
            assert await client.reader.read() == b""
            await server.restart()
            assert server.tree() == {"/a": b""}
            await server.reset()
            assert server.tree() == {}
            await server.restart()
            await client.close()
            assert threading.active_count() == threads
        await server.stop()
        assert server.state == "stopped"

    _run(body, loop)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_faults_and_waiting(loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")

    async def body() -> None:
        async with AsyncZooKeeperServer(virtual_clock=True, leaks="ignore") as server:
            client = await _connect(server, 4000)
            waiting = asyncio.ensure_future(server.wait_for_node("/e"))
            assert await client.create("/e", flags=CreateMode.EPHEMERAL) == 0
            await waiting
            server.delay("exists", 2)
            client.submit(OpCode.EXISTS, PathWatchRequest("/e", True))
            await server.wait_until(lambda: any(link.is_busy for link in server._engine.links))
            await server.advance(2)
            assert (await client.reply()).err == 0
            watch = await server.wait_for_watch("/e")
            assert watch.session_id == client.session_id
            server.pause()
            client.submit(OpCode.GET_DATA, PathWatchRequest("/e", False))
            await server.advance(100)
            assert len(server.sessions) == 1
            server.resume()
            assert (await client.reply()).err == 0
            await server.wait_until_idle()
            await server.load({"/a": b"x"})
            await server.drop_connection(client.session_id)
            assert await client.reader.read() == b""
            await client.close()
            with pytest.raises(TimeoutError, match="is connected; open are session"):
                await server.wait_for_session(client.session_id, timeout=0.001)

    _run(body, loop)


def test_sessions_expire() -> None:
    async def body() -> None:
        async with AsyncZooKeeperServer(leaks="ignore", virtual_clock=True) as server:
            one = await _connect(server, 4000)
            two = await _connect(server, 8000)
            await server.expire_session(one.session_id)
            assert [session.session_id for session in server.sessions] == [two.session_id]
            await server.advance(9)
            assert server.sessions == []
            assert await server.drop_connections() in (0, 1)
            await one.close()
            await two.close()

    _run(body)


def test_bad_use() -> None:
    async def body() -> None:
        server = AsyncZooKeeperServer(leaks="error")
        with pytest.raises(NotRunningError, match="not started"):
            server.tree()
        with pytest.raises(NotRunningError, match="not started"):
            await server.restart()
        await server.start()
        with pytest.raises(FixtureError, match="is running"):
            await server.start()
        client = await _connect(server)
        with pytest.raises(LeakedClientsError, match=r"test_aio\.py::test_bad_use"):
            await server.stop()
        with pytest.raises(NotRunningError, match="is stopped"):
            await server.kill()
        await client.close()

    _run(body)


def test_another_loop_is_told() -> None:
    server = AsyncZooKeeperServer()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.start())

    async def use() -> None:
        with pytest.raises(FixtureError, match="in the loop that it was started in"):
            await server.load({"/a": "1"})
        with pytest.raises(FixtureError, match="in the loop that it was started in"):
            await server.reset()

    asyncio.run(use())
    loop.run_until_complete(server.stop())
    loop.close()


def test_lives_of_many_tasks_come_one_after_the_other() -> None:
    async def body() -> None:
        server = AsyncZooKeeperServer()
        await server.start()
        await asyncio.gather(
            server.kill(), server.stop(), server.restart(), server.kill(), server.restart()
        )
        await server.load({"/a": "1"})
        await server.stop()

    _run(body)


def test_nothing_is_left_in_the_loop() -> None:
    async def body() -> None:
        for _ in range(5):
            async with AsyncZooKeeperServer() as server:
                client = await _connect(server)
                await client.create("/a")
                await client.close()
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    _run(body)


class Accepted(asyncio.Transport):
    """A socket that the loop has accepted, and tells of later."""

    is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True


@pytest.mark.parametrize("end", ["kill", "stop", "reset"])
def test_a_socket_that_is_told_of_after_the_end_of_its_server_is_cut(end: str) -> None:
    async def main() -> None:
        async with AsyncZooKeeperServer() as server:
            runner = server._engine._runner
            assert runner is not None
            life = server._engine.life
            link = server._engine._wrap(life, ClientProtocol(runner))
            await getattr(server, end)()
            if end != "reset":
                await server.restart()
            late = Accepted()
            link.connection_made(late)
            assert late.is_aborted
            assert not server._engine.links

    asyncio.run(main())


@pytest.mark.parametrize("end", ["kill", "stop", "reset"])
def test_a_client_that_comes_as_the_server_ends_leaves_nothing_open(end: str) -> None:
    """asyncio forgets an open socket if its server is closed between accepting it and serving it;
    that would be told by a ResourceWarning, which is an error here."""

    async def main(turns: int) -> None:
        async with AsyncZooKeeperServer(leaks="ignore") as server:
            ending = asyncio.ensure_future(getattr(server, end)())
            for _ in range(turns):
                await asyncio.sleep(0)
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection((server.host, server.port)).close()
            await ending

    for turns in range(8):
        asyncio.run(main(turns))
    gc.collect()
