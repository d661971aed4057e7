"""When the event loop looks for more to do for a moment before it sleeps.

Shell. A client that waits for each answer and asks again at once lets the loop sleep between its
requests. To be woken takes about as long as to serve a read, so behind the reads of a client that
is the only one active the loop polls its sockets for some microseconds (docs/decisions/0045). A
poll in which nothing comes was for nothing, and the next polls are left out: one, then three, up to
``MOST_LEFT_OUT``. Each poll that is worth it halves that again.

ZooKeeper has nothing like it: NIOServerCnxnFactory.SelectorThread sleeps in its selector.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

MOST_LEFT_OUT: Final = 1023
"""How many polls are left out when very many in a row were for nothing."""


class IdlePolls:
    """Polls behind requests that are likely to be followed by another one at once."""

    __slots__ = (
        "_is_polling",
        "_lasts_s",
        "_left_out",
        "_now",
        "_until_s",
        "has_heard",
        "to_leave_out",
    )

    def __init__(self, lasts_us: int, now: Callable[[], float] = time.monotonic) -> None:
        self._lasts_s = lasts_us / 1_000_000
        self._now = now
        self._is_polling = False
        self._until_s = 0.0
        self._left_out = 0
        """How many polls were left out last."""
        self.to_leave_out = 0
        """How many polls are left out from now on."""
        self.has_heard = False
        """Whether a client was heard since the last poll began; the server sets it."""

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Polls until a client is heard, or the time is over; the loop does all else meanwhile.

        What else has ended a turn, a timer or another member, is no reason to expect a request.
        """
        if self._is_polling or not self.has_heard or not self._lasts_s:
            return
        self.has_heard = False
        if self.to_leave_out:
            self.to_leave_out -= 1
            return
        self._is_polling = True
        self._until_s = self._now() + self._lasts_s
        loop.call_soon(self._poll, loop)

    def _poll(self, loop: asyncio.AbstractEventLoop) -> None:
        # A loop that has something to call looks at its sockets, and does not wait for them.
        if self.has_heard:
            self._is_polling = False
            self._left_out >>= 1
        elif self._now() < self._until_s:
            loop.call_soon(self._poll, loop)
        else:
            self._is_polling = False
            self._left_out = min(2 * self._left_out + 1, MOST_LEFT_OUT)
            self.to_leave_out = self._left_out
