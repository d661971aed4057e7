"""A server in a thread of its own, for tests that are not asyncio's.

Shell. The thread exists while the server runs. Every method may be called from any thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from pyzk.testing import engine as states
from pyzk.testing import orders
from pyzk.testing.controls import Controls
from pyzk.testing.engine import explain
from pyzk.testing.errors import FixtureError, NotRunningError
from pyzk.testing.inspection import SessionInfo, WatchInfo

_Result = TypeVar("_Result")

WAIT_S: Final = 10.0
"""How long the wait helpers wait unless they are told."""


class ZooKeeperServer(Controls):
    """A ZooKeeper server for tests.

    `Controls` says what it can be given.
    """

    _thread: threading.Thread | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    # --- life -----------------------------------------------------------------------

    def start(self) -> Self:
        """Start; return when a client can write."""
        self._check_new()
        self._start()
        return self

    def stop(self, *, leaks: str | None = None) -> None:
        """End as production does, and give the port back; harmless when it is done already.
        ``leaks`` says what to do about clients that are connected, instead of what was said when
        it was made."""
        self._check_leaks(leaks)
        ran = self._thread is not None
        if ran:
            self._end(self._engine.stop())
        self._engine.port.release()
        self._engine.state = states.STOPPED
        if ran:
            self._report_leaks(leaks)

    def kill(self) -> None:
        """End as a process under SIGKILL: what is not synced is lost, sockets are cut. The port
        stays this server's; clients are refused until `restart`."""
        self._end(self._engine.kill())

    def restart(self) -> None:
        """Come up again with the same data on the same port; a running server is stopped first."""
        self._check_started()
        if self._thread is not None:
            self._end(self._engine.stop())
        self._start()

    def reset(self) -> None:
        """Be a new server with an empty tree: no session, no connection, no fault. Same port."""
        self._wait(self._engine.reset())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The test's own failure is what should be seen.
        self.stop(leaks=None if error is None else "ignore")

    # --- faults ---------------------------------------------------------------------

    def expire_session(self, session: object) -> None:
        """Expire a session (its id, or a kazoo client); return when its ephemerals are gone."""
        self._wait(orders.expire_session(self._engine, session))

    def drop_connection(self, client: object) -> None:
        """Cut the connection of a session (its id, a kazoo client, or the client's host:port)."""
        self._wait(orders.drop_connection(self._engine, client))

    def drop_connections(self) -> int:
        """Cut every connection; return how many there were."""
        return self._wait(orders.drop_connections(self._engine))

    # --- time -----------------------------------------------------------------------

    def advance(self, seconds: float, *, keep_sessions: bool = False) -> None:
        """Let time pass at once: what falls due happens, in order, before this returns.

        Clients sleep meanwhile, so their sessions expire, too; with ``keep_sessions`` those that
        are connected count as having sent their pings. While the server is paused time passes,
        and nothing happens.
        """
        self._wait(self._engine.advance(seconds, keep_sessions))

    # --- the tree -------------------------------------------------------------------

    def load(self, tree: Mapping[str, Any]) -> None:
        """Create znodes, with their parents, and set the data of those that are there: a
        dictionary as `tree` returns it, flat or nested."""
        self._wait(orders.load(self._engine, tree))

    # --- waiting --------------------------------------------------------------------

    def wait_for_session(
        self, session: object = None, *, exists: bool = True, timeout: float = WAIT_S
    ) -> SessionInfo | None:
        """Wait until a session (any, or this one) is connected; with ``exists=False`` until it is
        gone. A TimeoutError says what there is instead, as with all of these."""
        return self._wait(orders.wait_for_session(self._engine, session, exists, timeout))

    def wait_for_node(
        self,
        path: str,
        *,
        exists: bool = True,
        data: bytes | None = None,
        timeout: float = WAIT_S,
    ) -> None:
        """Wait until a znode is there (with this data), or with ``exists=False`` is not."""
        self._wait(orders.wait_for_node(self._engine, path, exists, data, timeout))

    def wait_for_watch(
        self, path: str, *, kind: str | None = None, client: object = None, timeout: float = WAIT_S
    ) -> WatchInfo:
        """Wait until somebody (or this client) watches ``path``. Kinds are ``data`` (of exists,
        too), ``children``, ``persistent`` and ``recursive``."""
        return self._wait(orders.wait_for_watch(self._engine, path, kind, client, timeout))

    def wait_until_idle(self, *, timeout: float = WAIT_S) -> None:
        """Wait until everything that clients have sent is served and answered."""
        self._wait(orders.wait_until_idle(self._engine, timeout))

    def wait_until(
        self, condition: Callable[[], object], what: str = "", *, timeout: float = WAIT_S
    ) -> None:
        """Wait until ``condition()`` holds. It is asked on the server's loop, after each of its
        inputs; it may use `sessions`, `watches` and `tree`, and must not block."""
        self._wait(orders.wait_until(self._engine, condition, what, timeout))

    # --- the thread -----------------------------------------------------------------

    def _start(self) -> None:
        started: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        thread = threading.Thread(
            target=self._serve, args=(started,), name="pyzk-test-server", daemon=True
        )
        thread.start()
        try:
            self._loop = started.result()
        except BaseException:
            thread.join()
            raise
        self._thread = thread

    def _serve(self, started: concurrent.futures.Future[asyncio.AbstractEventLoop]) -> None:
        # Not uvloop: it starts no faster (1 ms), and serves one client no faster (25 us a read).
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._engine.start())
        except BaseException as error:
            loop.close()
            started.set_exception(error)
            return
        try:
            loop.call_soon(started.set_result, loop)
            loop.run_forever()
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()

    def _need_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise NotRunningError(explain(self._engine.state))
        return self._loop

    def _call(self, function: Callable[[], _Result]) -> _Result:
        loop = self._need_loop()
        if threading.current_thread() is self._thread:
            return function()
        future: concurrent.futures.Future[_Result] = concurrent.futures.Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        loop.call_soon_threadsafe(run)
        return future.result()

    def _wait(self, coroutine: Coroutine[object, object, _Result]) -> _Result:
        try:
            loop = self._need_loop()
            if threading.current_thread() is self._thread:
                raise FixtureError("a condition is asked on the server's thread: it must not wait")
        except FixtureError:
            coroutine.close()
            raise
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    def _end(self, coroutine: Coroutine[object, object, None]) -> None:
        """Run the last thing on the loop, and end the thread."""
        thread = self._thread
        self._wait(coroutine)
        loop = self._need_loop()
        assert thread is not None
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
