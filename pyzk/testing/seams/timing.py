"""The time of a test server: real, or standing still until the test lets it pass.

Shell. Both kinds have a list of timers. With real time the loop calls when the first timer is due;
with virtual time timers fire only when the test advances the clock. A real clock can be advanced,
too: from then on it is ahead of the machine's.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable

from pyzk.clock import Clock
from pyzk.testing.seams.gate import Gate


class _Timer:
    __slots__ = ("callback", "due_ms")

    def __init__(self, due_ms: int, callback: Callable[[], object]) -> None:
        self.due_ms = due_ms
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FixtureTime:
    """The monotonic and the wall clock in milliseconds, and the timers. It outlives restarts."""

    def __init__(
        self,
        gate: Gate,
        observe: Callable[[], None],
        *,
        is_virtual: bool,
        monotonic_ms: Callable[[], int] | None = None,
    ) -> None:
        self.is_virtual = is_virtual
        self._monotonic_ms = monotonic_ms or _monotonic_ms
        self._observe = observe
        self._gate = gate
        self._offset_ms = 0
        """How far this clock is ahead of the machine's, or of the frozen one."""
        self._frozen_ms = self._monotonic_ms()
        self._frozen_wall_ms = _wall_ms()
        self._due: list[tuple[int, int, _Timer]] = []
        self._order = itertools.count()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._handle_due_ms = 0
        self._runner_timer: _Timer | None = None

    # --- TimeSource -----------------------------------------------------------------

    def read(self, clock: Clock) -> None:
        """Write both readings into the clock of a peer."""
        clock.now_ms = self.now_ms
        clock.wall_ms = self.wall_ms

    def call_later(self, seconds: float, callback: Callable[[], object]) -> _Timer:
        """Set the runner's timer; it has one at a time."""
        timer = self._runner_timer = self.schedule(seconds, callback)
        return timer

    # --- reading and setting --------------------------------------------------------

    @property
    def now_ms(self) -> int:
        base = self._frozen_ms if self.is_virtual else self._monotonic_ms()
        return base + self._offset_ms

    @property
    def wall_ms(self) -> int:
        base = self._frozen_wall_ms if self.is_virtual else _wall_ms()
        return base + self._offset_ms

    def skip_to(self, now_ms: int) -> None:
        """Put the clock forward to a time; no timer fires."""
        self._offset_ms += max(0, now_ms - self.now_ms)

    def skip(self, milliseconds: int) -> None:
        """Put the clock forward by a time; no timer fires."""
        self._offset_ms += milliseconds

    def schedule(self, seconds: float, callback: Callable[[], object]) -> _Timer:
        """Call back when this clock has advanced by ``seconds``."""
        timer = _Timer(self.now_ms + round(seconds * 1000), callback)
        heapq.heappush(self._due, (timer.due_ms, next(self._order), timer))
        self._arm()
        return timer

    # --- what is due ----------------------------------------------------------------

    def bind(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Use the timers of this loop from now on; with None, drop all timers."""
        self.loop = loop
        if loop is None:
            self._due.clear()
            self._runner_timer = None
            self._disarm()

    def next_due_ms(self) -> int | None:
        """Return when the first timer is due."""
        while self._due and self._due[0][2].callback is None:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def next_scheduled_ms(self) -> int | None:
        """Return when the first timer is due that is not the runner's."""
        return min(
            (
                timer.due_ms
                for _, _, timer in self._due
                if timer.callback is not None and timer is not self._runner_timer
            ),
            default=None,
        )

    def wake_runner(self) -> None:
        """Let the runner's timer be due now."""
        timer, self._runner_timer = self._runner_timer, None
        if timer is not None and timer.callback is not None:
            callback, timer.callback = timer.callback, None
            callback()

    def fire(self) -> None:
        """Fire the timers that are due, oldest first; then ask the loop for the next one."""
        if self._gate.is_closed:
            self._gate.add(self.fire)
            return
        now = self.now_ms
        timers: list[_Timer] = []
        while (due := self.next_due_ms()) is not None and due <= now:
            timers.append(heapq.heappop(self._due)[2])
        for timer in timers:
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
        self._arm()
        self._observe()

    def _arm(self) -> None:
        if self.is_virtual or self.loop is None:
            return
        due = self.next_due_ms()
        if self._handle is not None and due == self._handle_due_ms:
            return
        self._disarm()
        if due is not None:
            self._handle_due_ms = due
            wait_s = max(0, due - self.now_ms) / 1000
            self._handle = self.loop.call_later(wait_s, self._on_loop)

    def _on_loop(self) -> None:
        self._handle = None
        self.fire()

    def _disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class PacedClock:
    """A clock for several servers on one loop, which slows down while the loop stands still.

    On a busy machine a test may be stopped for a second. By a real clock each server would have
    heard nothing of the others for so long, though none of them could have sent anything.
    """

    def __init__(self, most_ms: int, read: Callable[[], int] | None = None) -> None:
        self._most_ms = most_ms
        self._read = read or _monotonic_ms
        self._seen_ms = self._now_ms = self._read()

    def __call__(self) -> int:
        """Return the time, at most ``most_ms`` later than at the last call."""
        seen_ms = self._read()
        self._now_ms += min(seen_ms - self._seen_ms, self._most_ms)
        self._seen_ms = seen_ms
        return self._now_ms


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
