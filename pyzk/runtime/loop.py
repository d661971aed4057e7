"""Which event loop runs the server, and tasks that nobody awaits.

Shell. uvloop where it can be imported, plain asyncio elsewhere; both run the same code.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Coroutine
from typing import Final, TypeVar

LOOPS: Final = ("auto", "uvloop", "asyncio")

_log = logging.getLogger(__name__)
_tasks: set[asyncio.Task[object]] = set()
_Result = TypeVar("_Result")


def loop_factory(choice: str = "auto") -> Callable[[], asyncio.AbstractEventLoop]:
    """Return the factory of the loop. `uvloop` raises ImportError where it is not installed."""
    assert choice in LOOPS, choice
    if choice != "asyncio":
        try:
            import uvloop
        except ImportError:
            if choice == "uvloop":
                raise
        else:
            factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
            return factory
    return asyncio.new_event_loop


def run(main: Coroutine[object, object, _Result], choice: str = "auto") -> _Result:
    """Run `main` to its end in a loop of its own."""
    try:
        factory = loop_factory(choice)
    except ImportError:
        main.close()
        raise
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.get_loop().set_exception_handler(LoopErrors())
        return runner.run(main)


class LoopErrors:
    """Log an error of the loop that belongs to nobody.

    Out of descriptors, asyncio reports each connection that it cannot accept, a thousand times a
    second, with a trace; this logs one line a second.
    """

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _OUT_OF_RESOURCES:
            loop.default_exception_handler(context)
        elif loop.time() >= self._quiet_until:
            self._quiet_until = loop.time() + 1.0
            _log.error("cannot accept connections: %s", error.strerror)


_OUT_OF_RESOURCES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def spawn(coroutine: Coroutine[object, object, object], name: str) -> asyncio.Task[object]:
    """Start a task that nobody awaits: it is kept from the garbage collector, and its failure is
    logged."""
    task: asyncio.Task[object] = asyncio.get_running_loop().create_task(coroutine, name=name)
    _tasks.add(task)
    task.add_done_callback(_done)
    return task


def _done(task: asyncio.Task[object]) -> None:
    _tasks.discard(task)
    if not task.cancelled() and task.exception() is not None:
        _log.error("task %s failed", task.get_name(), exc_info=task.exception())
