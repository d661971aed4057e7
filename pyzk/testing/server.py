"""A server in a thread of its own, for tests that are not asyncio's.

Shell. The thread exists while the server runs. Every method may be called from any thread: start,
stop and their like one after the other, the rest at any time. Who calls while the server goes away
is told so, for the loop's last turns answer every call that it was given.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
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
_LAST_TURNS: Final = 5
"""Turns of a loop that ends, for calls that came at the last moment."""


class ZooKeeperServer(Controls):
    """A ZooKeeper server for tests.

    `Controls` says what it can be given.
    """

    def _prepare(self) -> None:
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        """None: no call is taken. Changed and used under ``_calls``."""
        self._calls = threading.Lock()
        self._life = threading.RLock()
        """One at a time: start, stop, kill, restart, reset."""
        self._ending: concurrent.futures.Future[None] | None = None
        """The stop or kill that is under way."""

    # --- life -----------------------------------------------------------------------

    def start(self) -> Self:
        """Start; return when a client can write."""
        with self._living():
            self._check_new()
            self._start()
        return self

    def stop(self, *, leaks: str | None = None) -> None:
        """End as production does, and give the port back; harmless when it is done already.
        ``leaks`` says what to do about clients that are connected, instead of what was said when
        it was made."""
        self._check_leaks(leaks)
        with self._living():
            ran = self._thread is not None
            if ran:
                self._end(self._engine.stop)
            self._engine.port.release()
            self._engine.state = states.STOPPED
        if ran:
            self._report_leaks(leaks)

    def kill(self) -> None:
        """End as a process under SIGKILL: what is not synced is lost, sockets are cut. The port
        stays this server's; clients are refused until `restart`."""
        with self._living():
            self._need_loop()
            self._end(self._engine.kill)

    def restart(self) -> None:
        """Come up again with the same data on the same port; a running server is stopped first."""
        with self._living():
            self._check_started()
            if self._thread is not None:
                self._end(self._engine.stop)
            self._start()

    def reset(self) -> None:
        """Be a new server with an empty tree: no session, no connection, no fault. Same port."""
        with self._living():
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

    @contextlib.contextmanager
    def _living(self) -> Iterator[None]:
        self._check_thread()
        with self._life:
            yield

    def _check_thread(self) -> None:
        if threading.current_thread() is self._thread:
            raise FixtureError("a condition is asked on the server's thread: it must not wait")

    def _start(self) -> None:
        started: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        thread = threading.Thread(
            target=self._serve, args=(started,), name="pyzk-test-server", daemon=True
        )
        try:
            thread.start()
            self._loop = started.result()
            self._thread = thread
        except BaseException:
            # Interrupted, perhaps; then it comes up all the same, and nobody would end it.
            with contextlib.suppress(Exception):
                self._loop = started.result(WAIT_S)
                self._thread = thread
                self.stop(leaks="ignore")
            thread.join(WAIT_S)
            raise

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
            loop.run_until_complete(_finish())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()

    def _need_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise NotRunningError(explain(self._engine.state))
        return self._loop

    def _call(self, function: Callable[[], _Result]) -> _Result:
        if threading.current_thread() is self._thread:
            self._need_loop()
            return function()
        future: concurrent.futures.Future[_Result] = concurrent.futures.Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        with self._calls:
            self._need_loop().call_soon_threadsafe(run)
        return future.result()

    def _wait(self, coroutine: Coroutine[object, object, _Result]) -> _Result:
        try:
            return self._post(coroutine).result()
        except concurrent.futures.CancelledError:
            raise NotRunningError(explain(self._engine.state)) from None

    def _post(
        self, coroutine: Coroutine[object, object, _Result]
    ) -> concurrent.futures.Future[_Result]:
        try:
            self._check_thread()
            with self._calls:
                return asyncio.run_coroutine_threadsafe(coroutine, self._need_loop())
        except FixtureError:
            coroutine.close()
            raise

    def _end(self, last: Callable[[], Coroutine[object, object, None]]) -> None:
        """Run the last thing on the loop, and end the thread."""
        thread = self._thread
        assert thread is not None
        # Who was interrupted here has begun it already.
        if self._ending is None and self._loop is not None:
            self._ending = self._post(last())
        problem = None if self._ending is None else self._ending.exception()
        with self._calls:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
        thread.join()
        self._thread = self._ending = None
        if problem is not None:
            raise problem

    def _forget_parent(self) -> None:
        """This is a forked child: the thread, and what it serves, are the parent's."""
        super()._forget_parent()
        self._prepare()


async def _finish() -> None:
    """Let every call that has come still be answered; nobody can make one any more."""
    for _ in range(_LAST_TURNS):
        await asyncio.sleep(0)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others)
