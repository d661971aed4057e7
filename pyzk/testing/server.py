"""A server in a thread of its own, for tests that are not asyncio's.

Shell. The thread exists while the server runs. Every method may be called from any thread.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from pyzk.testing import engine as states
from pyzk.testing.engine import Engine, explain
from pyzk.testing.errors import FixtureError, NotRunningError

_Result = TypeVar("_Result")


class ZooKeeperServer:
    """A ZooKeeper server for tests.

    With ``data_dir`` None everything is in memory. ``port`` 0 takes a free one. ``options`` are
    keys of zoo.cfg (or names that production takes with -D) and their values. With
    ``virtual_clock`` no time passes for the server except by `advance`.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        virtual_clock: bool = False,
        options: Mapping[str, object] | None = None,
    ) -> None:
        self._engine = Engine(
            None if data_dir is None else os.fspath(data_dir),
            host=host,
            port=port,
            virtual_clock=virtual_clock,
            options=options or {},
        )
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- life -----------------------------------------------------------------------

    def start(self) -> Self:
        """Start; return when a client can write."""
        state = self._engine.state
        if state != states.NEW:
            raise FixtureError(f"start() was called before; {explain(state)}")
        self._start()
        return self

    def stop(self) -> None:
        """End as production does, and give the port back; harmless when it is done already."""
        if self._thread is not None:
            self._end(self._engine.stop())
        self._engine.port.release()
        self._engine.state = states.STOPPED

    def kill(self) -> None:
        """End as a process under SIGKILL: what is not synced is lost, sockets are cut. The port
        stays this server's; clients are refused until `restart`."""
        self._need_thread()
        self._end(self._engine.kill())

    def restart(self) -> None:
        """Come up again with the same data on the same port; a running server is stopped first."""
        if self._engine.state == states.NEW:
            raise NotRunningError(explain(states.NEW))
        if self._thread is not None:
            self._end(self._engine.stop())
        self._start()

    def pause(self) -> None:
        """Stand still, as a process under SIGSTOP: sockets stay open, nothing is answered."""
        raise NotImplementedError

    def resume(self) -> None:
        """Go on after `pause`, with what has come meanwhile."""
        raise NotImplementedError

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
        self.stop()

    # --- where it is ----------------------------------------------------------------

    @property
    def host(self) -> str:
        return self._engine.port.host

    @property
    def port(self) -> int:
        """The client port; known from the first start on, the same ever after."""
        if self._engine.port.port == 0:
            raise NotRunningError(explain(states.NEW))
        return self._engine.port.port

    @property
    def connect_string(self) -> str:
        """What a client is given: ``host:port``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def data_dir(self) -> str | None:
        """The data directory; None: in memory."""
        return self._engine.data_dir

    # --- faults ---------------------------------------------------------------------

    def expire_session(self, session: object) -> None:
        """Expire a session (its id, or a kazoo client); return when its ephemerals are gone."""
        raise NotImplementedError

    def drop_connection(self, client: object) -> None:
        """Cut the connection of a session (its id, or a kazoo client)."""
        raise NotImplementedError

    def drop_connections(self) -> int:
        """Cut every connection; return how many there were."""
        raise NotImplementedError

    def reject_connections(self, on: bool = True) -> None:
        """Close every new connection at once, until told otherwise."""
        raise NotImplementedError

    def delay(
        self,
        operation: str,
        seconds: float,
        *,
        times: int | None = None,
        client: object = None,
        path: str | None = None,
    ) -> object:
        """Hold requests of this name for so long before the server sees them."""
        raise NotImplementedError

    def fail(
        self,
        operation: str,
        error: object,
        times: int | None = 1,
        *,
        client: object = None,
        path: str | None = None,
    ) -> object:
        """Answer requests of this name with an error, without executing them."""
        raise NotImplementedError

    def no_response(
        self,
        operation: str,
        *,
        times: int | None = 1,
        executed: bool = True,
        client: object = None,
        path: str | None = None,
    ) -> object:
        """Leave requests of this name unanswered; their connection is silent from then on."""
        raise NotImplementedError

    def stall_disk(self, on: bool = True) -> None:
        """Let no write become durable, so none is answered, until told otherwise."""
        raise NotImplementedError

    def reset_faults(self) -> None:
        """Undo delay, fail, no_response, reject_connections and stall_disk."""
        raise NotImplementedError

    # --- time -----------------------------------------------------------------------

    def advance(self, seconds: float, *, keep_sessions: bool = False) -> None:
        """Let time pass at once: what falls due happens, in order, before this returns.

        With ``keep_sessions`` clients that are connected count as having sent their pings.
        """
        raise NotImplementedError

    # --- inspection -----------------------------------------------------------------

    @property
    def sessions(self) -> list[object]:
        """All sessions: id, timeout, address, ephemerals."""
        raise NotImplementedError

    @property
    def watches(self) -> list[object]:
        """All watches: path, kind, session id."""
        raise NotImplementedError

    def tree(self, path: str = "/", *, nested: bool = False) -> dict[str, Any]:
        """The znodes at and below ``path`` with their data, without /zookeeper."""
        raise NotImplementedError

    def load(self, tree: Mapping[str, Any]) -> None:
        """Create znodes (or set their data): a dictionary as `tree` returns it, flat or nested."""
        raise NotImplementedError

    @property
    def events(self) -> list[str]:
        """What happened last, one line each: connections, sessions, requests, faults."""
        raise NotImplementedError

    def report(self) -> str:
        """The last events and the open sessions, for a test that failed."""
        raise NotImplementedError

    # --- waiting --------------------------------------------------------------------

    def wait_for_session(
        self, session: object = None, *, exists: bool = True, timeout: float = 10.0
    ) -> object:
        """Wait until a session (any, or this one) is connected, or with ``exists=False`` gone."""
        raise NotImplementedError

    def wait_for_node(
        self,
        path: str,
        *,
        exists: bool = True,
        data: bytes | None = None,
        timeout: float = 10.0,
    ) -> None:
        """Wait until a znode is there (with this data), or with ``exists=False`` is not."""
        raise NotImplementedError

    def wait_for_watch(
        self, path: str, *, kind: str | None = None, client: object = None, timeout: float = 10.0
    ) -> object:
        """Wait until somebody watches ``path``."""
        raise NotImplementedError

    def wait_until_idle(self, *, timeout: float = 10.0) -> None:
        """Wait until everything that clients have sent is served and answered."""
        raise NotImplementedError

    def wait_until(
        self, condition: Callable[[], object], what: str = "", *, timeout: float = 10.0
    ) -> None:
        """Wait until ``condition()``, asked on the server's loop after each of its inputs, holds.
        It may use what this class offers for inspection."""
        raise NotImplementedError

    # --- the thread -----------------------------------------------------------------

    def _start(self) -> None:
        ready = threading.Event()
        failure: list[BaseException] = []

        def run() -> None:
            loop = asyncio.new_event_loop()
            try:
                loop.run_until_complete(self._engine.start())
            except BaseException as error:
                failure.append(error)
            else:
                self._loop = loop
                loop.call_soon(ready.set)
                loop.run_forever()
                loop.run_until_complete(loop.shutdown_default_executor())
            finally:
                loop.close()
                ready.set()

        thread = threading.Thread(target=run, name="pyzk-test-server", daemon=True)
        thread.start()
        ready.wait()
        if failure:
            thread.join()
            raise failure[0]
        self._thread = thread

    def _need_thread(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise NotRunningError(explain(self._engine.state))
        return self._loop

    def _wait(self, coroutine: Coroutine[object, object, _Result]) -> _Result:
        try:
            loop = self._need_thread()
        except NotRunningError:
            coroutine.close()
            raise
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    def _end(self, coroutine: Coroutine[object, object, None]) -> None:
        """Run the last thing on the loop, and end the thread."""
        loop, thread = self._need_thread(), self._thread
        assert thread is not None
        try:
            self._wait(coroutine)
        finally:
            self._loop = self._thread = None
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
