"""A server in the caller's own loop, for asyncio tests.

Shell. The server has no thread of its own: with in-memory storage it runs between the turns of the
test's own tasks. Its methods must be called on the loop in which it was started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Self, TypeVar

from pyzk.testing.core import engine as states
from pyzk.testing.core import orders
from pyzk.testing.core.controls import Controls, check_leaks
from pyzk.testing.core.engine import explain
from pyzk.testing.core.inspection import SessionInfo, WatchInfo
from pyzk.testing.errors import FixtureError, NotRunningError
from pyzk.testing.server import WAIT_S

_Result = TypeVar("_Result")
_LIVE = (states.RUNNING, states.PAUSED, states.BROKEN)


class AsyncZooKeeperServer(Controls):
    """A ZooKeeper server in the caller's own asyncio loop.

    It takes the arguments of `ZooKeeperServer` and has the same methods; those that wait are
    awaited here.
    """

    # --- life -----------------------------------------------------------------------

    async def start(self) -> Self:
        """Start; return when a client can write."""
        async with self._living():
            self._check_new()
            await self._engine.start()
        return self

    async def stop(self, *, leaks: str | None = None) -> None:
        """End as production does, and give the port back; a stopped server stays as it is.
        ``leaks`` overrides what the constructor was told about clients that are still
        connected."""
        check_leaks(leaks)
        async with self._living():
            ran = self._engine.state in _LIVE
            if ran:
                await self._engine.stop()
            self._engine.port.release()
            self._engine.state = states.STOPPED
        if ran:
            self._report_leaks(leaks)

    async def kill(self) -> None:
        """End as a process under SIGKILL: what is not synced is lost, sockets are cut."""
        async with self._living():
            self._engine.need(*_LIVE)
            await self._engine.kill()

    async def restart(self) -> None:
        """Start again with the same data on the same port; a running server is stopped first."""
        async with self._living():
            self._check_started()
            if self._engine.state in _LIVE:
                await self._engine.stop()
            await self._engine.start()

    async def reset(self) -> None:
        """Become a new server on the same port: no znode, no session, no connection, no fault."""
        async with self._living():
            await self._order(self._engine.reset())

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # The test's own failure is what should be seen.
        await self.stop(leaks=None if error is None else "ignore")

    # --- faults, time, tree ---------------------------------------------------------

    async def expire_session(self, session: object) -> None:
        """See `ZooKeeperServer.expire_session`."""
        await self._order(orders.expire_session(self._engine, session))

    async def drop_connection(self, client: object) -> None:
        """See `ZooKeeperServer.drop_connection`."""
        await self._order(orders.drop_connection(self._engine, client))

    async def drop_connections(self) -> int:
        """See `ZooKeeperServer.drop_connections`."""
        return await self._order(orders.drop_connections(self._engine))

    async def advance(self, seconds: float, *, keep_sessions: bool = False) -> None:
        """See `ZooKeeperServer.advance`."""
        await self._order(self._engine.advance(seconds, keep_sessions))

    async def load(self, tree: Mapping[str, Any]) -> None:
        """See `ZooKeeperServer.load`."""
        await self._order(orders.load(self._engine, tree))

    # --- waiting --------------------------------------------------------------------

    async def wait_for_session(
        self, session: object = None, *, exists: bool = True, timeout: float = WAIT_S
    ) -> SessionInfo | None:
        """See `ZooKeeperServer.wait_for_session`."""
        return await self._order(orders.wait_for_session(self._engine, session, exists, timeout))

    async def wait_for_node(
        self,
        path: str,
        *,
        exists: bool = True,
        data: bytes | None = None,
        timeout: float = WAIT_S,
    ) -> None:
        """See `ZooKeeperServer.wait_for_node`."""
        await self._order(orders.wait_for_node(self._engine, path, exists, data, timeout))

    async def wait_for_watch(
        self, path: str, *, kind: str | None = None, client: object = None, timeout: float = WAIT_S
    ) -> WatchInfo:
        """See `ZooKeeperServer.wait_for_watch`."""
        return await self._order(orders.wait_for_watch(self._engine, path, kind, client, timeout))

    async def wait_until_idle(self, *, timeout: float = WAIT_S) -> None:
        """See `ZooKeeperServer.wait_until_idle`."""
        await self._order(orders.wait_until_idle(self._engine, timeout))

    async def wait_until(
        self, condition: Callable[[], object], what: str = "", *, timeout: float = WAIT_S
    ) -> None:
        """See `ZooKeeperServer.wait_until`."""
        await self._order(orders.wait_until(self._engine, condition, what, timeout))

    # --- the loop -------------------------------------------------------------------

    def _prepare(self) -> None:
        self._life = asyncio.Lock()
        self._life_loop: asyncio.AbstractEventLoop | None = None

    def _living(self) -> asyncio.Lock:
        """Return the lock under which start, stop, kill, restart and reset run."""
        loop = asyncio.get_running_loop()
        if self._life_loop is not loop:
            self._life_loop, self._life = loop, asyncio.Lock()
        return self._life

    async def _order(self, coroutine: Coroutine[object, object, _Result]) -> _Result:
        loop = self._engine.time.loop
        if loop is not None and loop is not asyncio.get_running_loop():
            coroutine.close()
            raise FixtureError(
                "the server runs in the loop that it was started in, which is another one;"
                " start it in this loop, or take ZooKeeperServer"
            )
        return await coroutine

    def _call(self, function: Callable[[], _Result]) -> _Result:
        if self._engine.state not in _LIVE:
            raise NotRunningError(explain(self._engine.state))
        return function()
