"""Members of an ensemble for the tests of the shells: configurations, and real ones on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from pyzk.config.ensemble import EnsembleConfig
from pyzk.config.server import ServerConfig, parse_config
from pyzk.constants import OpCode
from pyzk.jute.records import PathRequest, PathWatchRequest
from pyzk.runtime.free_ports import free_ports
from pyzk.runtime.loop import loop_factory
from pyzk.runtime.runner import PeerRunner
from pyzk.runtime.seams import Seams
from tests.frames import StreamClient

TIMEOUT_S = 20.0


def member_config(
    directory: Path, sid: int = 1, count: int = 3, ports: list[int] | None = None, extra: str = ""
) -> ServerConfig:
    """Return what server ``sid`` of ``count``, a new ensemble, is told; three ports for each, in
    ``ports``."""
    ports = ports or [1, 2, 0] * count
    lines = [
        f"server.{each + 1}=127.0.0.1:{ports[3 * each]}:{ports[3 * each + 1]}"
        f";127.0.0.1:{ports[3 * each + 2]}"
        for each in range(count)
    ]
    text = (
        f"dataDir={directory}\ntickTime=500\ninitLimit=10\nsyncLimit=10\npreAllocSize=64\n"
        f"standaloneEnabled=false\nadmin.enableServer=false\n{extra}\n" + "\n".join(lines)
    )
    myid = str(sid).encode()
    config = parse_config(text.encode(), (), (), lambda _: myid)
    return replace(config, initialize=True)


def ensemble_of(config: ServerConfig) -> EnsembleConfig:
    ensemble = config.ensemble
    assert ensemble is not None
    return ensemble


class Ensemble:
    """Members in one loop, with real sockets and disks."""

    def __init__(self, directory: Path, count: int = 3, extra: str = "") -> None:
        ports = free_ports(3 * count)
        self.configs = {
            sid: member_config(directory / str(sid), sid, count, ports, extra)
            for sid in range(1, count + 1)
        }
        self.runners: dict[int, PeerRunner] = {}

    async def start(self, sid: int, seams: Seams | None = None) -> PeerRunner:
        runner = PeerRunner(self.configs[sid], seams)
        self.runners[sid] = runner
        await runner.start()
        return runner

    async def start_all(self) -> None:
        for sid in self.configs:
            await self.start(sid)

    async def kill(self, sid: int) -> None:
        self.runners.pop(sid).kill()
        await asyncio.sleep(0)

    async def wait_for(self, done: Callable[[], bool]) -> None:
        """Wait until something is so that changes with the members' inputs only."""
        while not done():
            await asyncio.sleep(0.005)

    def roles(self) -> list[str]:
        return sorted(runner.role.partition(" ")[0] for runner in self.runners.values())

    async def wait_until_whole(self) -> None:
        count = len(self.runners)
        expected = sorted(["leader", *["follower"] * (count - 1)])
        await self.wait_for(lambda: self.roles() == expected)

    @property
    def leader(self) -> int:
        return next(sid for sid, runner in self.runners.items() if runner.role == "leader")

    async def close(self) -> None:
        for runner in self.runners.values():
            await runner.close()


@contextlib.asynccontextmanager
async def ensemble(directory: Path, count: int = 3, extra: str = "") -> AsyncIterator[Ensemble]:
    """Members that are started by the test and end with it."""
    made = Ensemble(directory, count, extra)
    try:
        yield made
    finally:
        await made.close()


@contextlib.asynccontextmanager
async def whole(directory: Path, extra: str = "") -> AsyncIterator[Ensemble]:
    """Three members that have elected."""
    async with ensemble(directory, extra=extra) as made:
        await made.start_all()
        await made.wait_until_whole()
        yield made


def run(main: Awaitable[None], loop: str = "asyncio") -> None:
    """Run one test's coroutine in a loop of this kind, not for ever."""

    async def bounded() -> None:
        await asyncio.wait_for(main, TIMEOUT_S)

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(bounded())


async def connect(runner: PeerRunner) -> StreamClient:
    return await StreamClient.connect(*runner.client_address)


async def is_there(client: StreamClient, path: str) -> bool:
    """Whether a znode is in what the leader has committed by now."""
    await client.call(OpCode.SYNC, PathRequest("/"))
    return (await client.call(OpCode.EXISTS, PathWatchRequest(path, False))).err == 0
