"""A mailbox: what the threads of a disk have for the event loop, in the order in which it came.

Shell. `call_soon_threadsafe` would do, but it makes a handle with a context for each call and has
the loop go round once more: a lone write took 70 us longer (scripts/bench, set 1x1). Here a thread
appends to a deque, and writes a byte to a pipe if the loop has not been told yet; the loop calls
what is there while it looks at its sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable
from typing import Final

_MAX_TOLD: Final = 16
"""No more bytes are ever in the pipe: each thread may tell the loop once too often."""


class Mailbox:
    """Takes calls from any thread, and makes them on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[Callable[[], None]] = deque()
        self._is_told = False
        """Whether a byte is in the pipe, or about to be."""
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        loop.add_reader(self._reader, self._take)

    @property
    def is_empty(self) -> bool:
        """Whether the loop has made every call that was posted."""
        return not self._calls

    def post(self, call: Callable[[], None]) -> None:
        """Has the loop make a call. Nothing may be posted any more when ``close`` is called."""
        self._calls.append(call)
        if not self._is_told:
            self._is_told = True
            os.write(self._writer, b"\0")

    def close(self) -> None:
        """Has the loop make the calls that are left, and releases the pipe. Any thread may ask for
        it; of a loop that is closed nobody is there to be called."""
        try:
            self._loop.call_soon_threadsafe(self._end)
        except RuntimeError:
            self._release()

    # --- on the loop ----------------------------------------------------------------

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, _MAX_TOLD)
        # Now, and not behind the calls: what is posted while they are made is told again.
        self._is_told = False
        self._make_calls()

    def _make_calls(self) -> None:
        calls = self._calls
        try:
            while calls:
                calls.popleft()()
        finally:
            if calls:  # one has raised, which the loop logs; the others are made nevertheless
                self._loop.call_soon(self._make_calls)

    def _end(self) -> None:
        self._loop.remove_reader(self._reader)
        self._release()
        self._make_calls()

    def _release(self) -> None:
        os.close(self._reader)
        os.close(self._writer)
