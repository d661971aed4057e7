"""Waiting without sleeping: conditions that are checked after each input of the server.

Shell. Used on the server's loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Condition = Callable[[], object]


class Waiters:
    """The tests that wait, each for a condition of its own."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Condition, asyncio.Future[None]]] = []

    async def wait(self, condition: Condition, timeout: float, seen: Callable[[], str]) -> None:
        """Return when the condition holds. Raises TimeoutError, which says what is ``seen``
        instead."""
        if condition():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (condition, future)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            raise TimeoutError(f"{seen()} (waited {timeout:g} s)") from None
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    def check(self) -> None:
        """End each wait whose condition holds now, or raises."""
        for entry in list(self._waiting):
            condition, future = entry
            if future.done():
                continue
            try:
                if not condition():
                    continue
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(None)

    def fail(self, error: Exception) -> None:
        """End every wait with an error."""
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(error)

    def __bool__(self) -> bool:
        return bool(self._waiting)
