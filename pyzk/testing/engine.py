"""One server on one loop, and everything a test may do to it.

Shell. Theory of operation: the server is a `PeerRunner`, the same that runs in production. What a
test controls are the things around it, handed in through `pyzk.runtime.seams`:

    sockets   `Link`         sees every frame on its way in and out, and may hold, change or lose it
    time      `FixtureTime`  real, or standing still until `advance`
    disk      `Valve`        in front of `MemoryStorage` or production's `Storage`
    port      `HeldPort`     the same number across restarts

Each of them tells ``observe`` when the server has been given something: that is where waiting
tests are looked after, so no helper sleeps. `Gate` stops all of them at once: a pause.

Everything here runs on the loop; `ZooKeeperServer` and `AsyncZooKeeperServer` bring the calls here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import attrs

from pyzk.config import ServerConfig
from pyzk.runtime.runner import PeerRunner
from pyzk.runtime.seams import Seams, ServerStorage
from pyzk.runtime.storage import Storage
from pyzk.server.server import Server
from pyzk.testing.errors import NotRunningError
from pyzk.testing.gate import Gate
from pyzk.testing.ports import HeldPort
from pyzk.testing.settings import make_config
from pyzk.testing.storage import MemoryStorage, Valve, empty_directories
from pyzk.testing.timing import FixtureTime

NEW: Final = "not started"
RUNNING: Final = "running"
PAUSED: Final = "paused"
KILLED: Final = "killed"
STOPPED: Final = "stopped"
BROKEN: Final = "broken"


class Engine:
    """The server's life, from start to stop, any number of times."""

    def __init__(
        self,
        data_dir: str | None,
        *,
        host: str,
        port: int,
        virtual_clock: bool,
        options: Mapping[str, object],
    ) -> None:
        self.data_dir = data_dir
        self.config: ServerConfig = make_config(data_dir, host, port, options)
        self.state = NEW
        self.gate = Gate()
        self.time = FixtureTime(self.gate, is_virtual=virtual_clock)
        self.port = HeldPort(host, port)
        self._memory = MemoryStorage(self.config) if data_dir is None else None
        self._valve: Valve
        self._runner: PeerRunner | None = None

    # --- life -----------------------------------------------------------------------

    async def start(self) -> None:
        """Serve; return when a client can write."""
        self.port.listen()
        self.config = attrs.evolve(self.config, client_port=self.port.port)
        try:
            await self._run()
        except BaseException:
            self.port.release()
            raise
        self.state = RUNNING

    async def _run(self) -> None:
        self.time.bind(asyncio.get_running_loop())
        # Session ids begin with the time: two lives within one millisecond must not share them.
        self.time.skip(1)
        storage: ServerStorage = self._memory or Storage(self.config)
        self._valve = Valve(storage, self.gate, self.observe)
        runner = PeerRunner(
            self.config,
            Seams(storage=self._valve, time=self.time, listeners=self.port.listeners()),
        )
        await runner.start()
        self._runner = runner

    async def stop(self) -> None:
        """End as production does: what was taken is synced and answered."""
        runner, self._runner = self._runner, None
        self.gate.clear()
        self.state = STOPPED
        self.port.refuse()
        if runner is not None:
            await runner.close()
        self.time.bind(None)

    async def kill(self) -> None:
        """End as a process under SIGKILL: what is not synced is lost, sockets are cut."""
        runner, self._runner = self._runner, None
        self.gate.clear()
        self.state = KILLED
        self.port.refuse()
        if runner is not None:
            runner.kill()
        self.time.bind(None)
        await asyncio.sleep(0)

    async def reset(self) -> None:
        """Be a new server with an empty tree; zxids go on, or clients would not come back."""
        self._need(RUNNING, PAUSED)
        runner, self._runner = self._runner, None
        assert runner is not None
        zxid = runner.peer.database.last_zxid
        self.gate.clear()
        runner.kill()
        self.time.bind(None)
        if self._memory is not None:
            self._memory.reset(zxid)
        else:
            empty_directories(self.config, zxid)
        await self._run()
        self.state = RUNNING

    # --- the server -----------------------------------------------------------------

    @property
    def server(self) -> Server:
        """The core of the running server."""
        assert self._runner is not None
        return self._runner.peer.server

    def observe(self) -> None:
        """The server has been given something."""

    def _need(self, *states: str) -> None:
        if self.state not in states:
            raise NotRunningError(explain(self.state))


def explain(state: str) -> str:
    """Return what is wrong with using a server in this state, and what to do."""
    return {
        NEW: "the server is not started: call start(), or use it as a context manager",
        RUNNING: "the server is running",
        PAUSED: "the server is paused: call resume() first",
        KILLED: "the server is killed: restart() brings it up again with what was synced",
        STOPPED: "the server is stopped: restart() brings it up again with its data",
        BROKEN: "the server has stopped by itself: its log says why",
    }[state]
