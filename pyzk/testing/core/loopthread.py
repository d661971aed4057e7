"""A loop in a thread of its own, and how calls from other threads get there.

Shell. The thread exists while something is served. Any thread may call. A call that comes while the
thread ends is answered, too: by its result, or by a NotRunningError.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterator
from typing import Final, Self, TypeVar

from pyzk.testing.errors import FixtureError, NotRunningError

_Result = TypeVar("_Result")

_LAST_TURNS: Final = 5
"""How many turns a loop that ends still makes, for calls that came at the last moment."""
_RESCUE_S: Final = 10.0
"""How long a start that was interrupted may still take."""


class LoopThread:
    """A thread that runs a loop, from `start` to `end`, any number of times."""

    def __init__(self, name: str, explain: Callable[[], str]) -> None:
        """``explain`` returns why there is no loop, and what to do."""
        self._name = name
        self._explain = explain
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        """None while no call is taken. It is read and written under ``_calls``."""
        self._calls = threading.Lock()
        self._ending: concurrent.futures.Future[None] | None = None
        """The end that is under way."""

    @property
    def is_running(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None

    def check(self) -> None:
        """Raise FixtureError on the loop's own thread, which must not wait for itself."""
        if threading.current_thread() is self._thread:
            raise FixtureError("a condition runs on the server's thread and must not wait")

    # --- from start to end ----------------------------------------------------------

    def start(
        self, first: Callable[[], Coroutine[object, object, None]], rescue: Callable[[], None]
    ) -> None:
        """Start the thread with ``first``; return when that is done. If this call is interrupted,
        say by Ctrl-C, and the start succeeds all the same, ``rescue`` is called to end it."""
        started: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        thread = threading.Thread(target=_run, args=(first, started), name=self._name, daemon=True)
        try:
            thread.start()
            self._loop = started.result()
            self._thread = thread
        except BaseException:
            # After an interrupt the thread may still start, and nobody would end it.
            with contextlib.suppress(Exception):
                self._loop = started.result(_RESCUE_S)
                self._thread = thread
                rescue()
            thread.join(_RESCUE_S)
            raise

    def end(self, last: Callable[[], Coroutine[object, object, None]]) -> None:
        """Run ``last`` on the loop, and end the thread."""
        thread = self._thread
        assert thread is not None
        # An earlier call that was interrupted may have begun it.
        if self._ending is None and self._loop is not None:
            self._ending = self.post(last())
        problem = None if self._ending is None else self._ending.exception()
        with self._calls:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
        thread.join()
        self._thread = self._ending = None
        if problem is not None:
            raise problem

    # --- calls from other threads ---------------------------------------------------

    def need_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop. Raises NotRunningError."""
        if self._loop is None:
            raise NotRunningError(self._explain())
        return self._loop

    def call(self, function: Callable[[], _Result]) -> _Result:
        """Run a function on the loop. Raises NotRunningError."""
        if threading.current_thread() is self._thread:
            self.need_loop()
            return function()
        future: concurrent.futures.Future[_Result] = concurrent.futures.Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        with self._calls:
            self.need_loop().call_soon_threadsafe(run)
        return future.result()

    def wait(self, coroutine: Coroutine[object, object, _Result]) -> _Result:
        """Run a coroutine on the loop, and wait for it. Raises NotRunningError."""
        try:
            return self.post(coroutine).result()
        except concurrent.futures.CancelledError:
            raise NotRunningError(self._explain()) from None

    def post(
        self, coroutine: Coroutine[object, object, _Result]
    ) -> concurrent.futures.Future[_Result]:
        """Run a coroutine on the loop. Raises NotRunningError."""
        try:
            self.check()
            with self._calls:
                return asyncio.run_coroutine_threadsafe(coroutine, self.need_loop())
        except FixtureError:
            coroutine.close()
            raise


class OnThread:
    """A server or an ensemble that runs in a `LoopThread`, in the hands of other threads."""

    def _take_thread(self, name: str, explain: Callable[[], str]) -> None:
        """Be as before the first start: with a thread that does not run yet."""
        self._thread = LoopThread(name, explain)
        self._life = threading.RLock()
        """Held by what begins or ends a life: start, stop, kill, restart, reset."""

    @abstractmethod
    def start(self) -> Self:
        """Start; return when a client can write."""

    @abstractmethod
    def stop(self, *, leaks: str | None = None) -> None:
        """End as production does."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # The test's own failure is what should be seen.
        self.stop(leaks=None if error is None else "ignore")

    @contextlib.contextmanager
    def _living(self) -> Iterator[None]:
        self._thread.check()
        with self._life:
            yield

    def _call(self, function: Callable[[], _Result]) -> _Result:
        return self._thread.call(function)

    def _wait(self, coroutine: Coroutine[object, object, _Result]) -> _Result:
        return self._thread.wait(coroutine)


def _run(
    first: Callable[[], Coroutine[object, object, None]],
    started: concurrent.futures.Future[asyncio.AbstractEventLoop],
) -> None:
    # Not uvloop: it starts no faster (1 ms), and serves one client no faster (25 us a read).
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(first())
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


async def _finish() -> None:
    """Answer every call that has come already; new ones are refused."""
    for _ in range(_LAST_TURNS):
        await asyncio.sleep(0)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others)
        await asyncio.sleep(0)  # what they close is told so
