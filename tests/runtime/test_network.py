"""Names, addresses and descriptors below both ports of a member."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from pyzk.runtime import addresses
from pyzk.runtime import network as networks
from pyzk.runtime.dialing import DialAttempt, Listening, Where
from pyzk.runtime.free_ports import free_ports
from pyzk.runtime.loop import LOOPS, loop_factory
from pyzk.runtime.network import TcpNetwork
from tests.runtime.ports import Core, HangingNetwork, is_closed, run_out

pytestmark = pytest.mark.live


async def test_a_name_server_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    answer = threading.Event()
    real = addresses.look_up

    def lookup(host: str, port: int, flags: int = 0) -> Any:
        if flags:
            return real(host, port, flags)
        asked.append(host)
        answer.wait(10)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(networks, "look_up", lookup)
    network = TcpNetwork()
    waiting = [asyncio.ensure_future(network.check("slow.example")) for _ in range(3)]
    given_up = waiting.pop()
    for _turn in range(5):
        await asyncio.sleep(0)
    given_up.cancel()
    await network.check("127.0.0.1")  # no name, nobody is asked
    assert not any(task.done() for task in waiting)
    answer.set()
    for task in waiting:
        with pytest.raises(OSError, match="Temporary failure"):
            await task
    assert asked == ["slow.example"]
    with pytest.raises(OSError, match="Temporary failure"):
        await network.check("slow.example")
    assert len(asked) == 2  # anew each time


async def test_a_connection_to_itself_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback the system may choose, for the near end, the very port that is dialed."""
    loop = asyncio.get_running_loop()
    (port,) = free_ports(1)
    connect = loop.create_connection

    async def from_the_same_port(make: Any, host: str, number: int) -> Any:
        return await connect(make, host, number, local_addr=(host, number))

    monkeypatch.setattr(loop, "create_connection", from_the_same_port)
    with pytest.raises(ConnectionRefusedError):
        await TcpNetwork().connect(pytest.fail, "127.0.0.1", port)


@pytest.mark.parametrize("name", LOOPS[1:])
def test_a_connection_that_is_closed_at_once_closes_no_other_file(
    tmp_path: Path, name: str
) -> None:
    """A knock on the election port: hello, and the end of it."""
    if name == "uvloop":
        pytest.importorskip("uvloop")
    opened: list[int] = []

    def open_one() -> None:
        opened.append(os.open(tmp_path, os.O_RDONLY))

    class Knock(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.close()
            asyncio.get_running_loop().call_soon(open_one)

    async def main() -> None:
        port = free_ports(1)[0]
        network = TcpNetwork()
        listener = await network.listen(asyncio.Protocol, "127.0.0.1", port)
        for _ in range(20):
            await network.connect(Knock, "127.0.0.1", port)
        listener.close()

    with asyncio.Runner(loop_factory=loop_factory(name)) as runner:
        runner.run(main())
    assert len(opened) == 20
    for descriptor in opened:
        os.close(descriptor)  # an OSError if somebody else did


class Met(asyncio.Protocol):
    """A protocol that knows whether its connection is there."""

    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None


@pytest.mark.parametrize("name", LOOPS[1:])
@pytest.mark.parametrize("turns", range(12))
def test_a_connection_is_either_there_or_was_not_made_in_time(name: str, turns: int) -> None:
    """The time of an attempt may be over in the turn of the loop in which it succeeds. Then uvloop
    closes the handle, as of any task that is cancelled, and tells the protocol nothing."""
    if name == "uvloop":
        pytest.importorskip("uvloop")

    found: list[tuple[int, int]] = []

    async def main() -> None:
        core = Core()
        (port,) = free_ports(1)
        network = TcpNetwork()
        listener = await network.listen(asyncio.Protocol, "127.0.0.1", port)
        made: list[Met] = []
        failed: list[str] = []

        def make() -> Met:
            made.append(Met())
            return made[-1]

        where = [("127.0.0.1", port)]
        attempt = DialAttempt(cast("Any", core), network, make, where, 5.0, failed.append)
        attempt.start()
        for _turn in range(turns):
            await asyncio.sleep(0)
        core.fire()
        for _turn in range(30):
            await asyncio.sleep(0)
        there = [each.transport for each in made if each.transport is not None]
        found.append((len(there), len(failed)))
        for transport in there:
            transport.write(b"x")
            transport.abort()
        listener.close()

    with asyncio.Runner(loop_factory=loop_factory(name)) as runner:
        runner.run(main())
    assert found in ([(1, 0)], [(0, 1)])


async def test_a_listener_that_comes_too_late_is_closed() -> None:
    core = Core()
    gate = asyncio.Event()
    closed = []

    class Late(HangingNetwork):
        async def listen(self, make: object, host: str | None, port: int) -> Any:
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()
            return self

        def close(self) -> None:
            closed.append(True)

    listening = Listening(
        cast("Any", core),
        cast("Any", Late()),
        asyncio.Protocol,
        Where("a", 1, "learners", "server.1"),
    )
    listening.start()
    await asyncio.sleep(0)
    listening.close()
    for _turn in range(5):
        await asyncio.sleep(0)
    assert closed == [True]


@pytest.mark.parametrize("turns", range(4))
async def test_a_port_is_had_again_after_an_attempt_that_was_given_up(turns: int) -> None:
    """It may be given up in the turn of the loop in which it succeeds."""
    core = Core()
    (port,) = free_ports(1)
    where = Where("127.0.0.1", port, "learners", "server.1")
    for _attempt in range(3):  # the next one gets the same descriptors
        given_up = Listening(cast("Any", core), TcpNetwork(), asyncio.Protocol, where)
        given_up.start()
        for _turn in range(turns):
            await asyncio.sleep(0)
        given_up.close()
        await run_out()
    listener = await TcpNetwork().listen(asyncio.Protocol, "127.0.0.1", port)
    with socket.create_connection(("127.0.0.1", port)) as client:
        await run_out()
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        assert not is_closed(client)
        with socket.socket() as squatter:  # the port is free at once
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            squatter.bind(("127.0.0.1", port))
            squatter.listen()


@pytest.mark.parametrize("name", LOOPS[1:])
@pytest.mark.parametrize("turns", range(5))
def test_who_was_accepted_as_the_port_closed_is_given_to_its_protocol(
    name: str, turns: int
) -> None:
    if name == "uvloop":
        pytest.importorskip("uvloop")
    made: list[asyncio.BaseTransport] = []

    class Taker(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.append(transport)

    async def main() -> None:
        (port,) = free_ports(1)
        listener = await TcpNetwork().listen(Taker, "127.0.0.1", port)
        with socket.create_connection(("127.0.0.1", port)) as client:
            for _turn in range(turns):
                await asyncio.sleep(0)
            listener.close()
            await run_out()
            # Taken, or refused by the system; not forgotten.
            assert is_closed(client) != bool(made)
            for transport in made:
                transport.close()
            await run_out()

    with asyncio.Runner(loop_factory=loop_factory(name)) as runner:
        runner.run(main())
