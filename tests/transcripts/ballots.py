"""The election port of a transcript's members: what they say there waits until `vote` carries it.

Elections have tests of their own; here they only end, so all that is said arrives at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import attrs

from pyzk.quorum.election_link import ElectionLink
from pyzk.quorum.lifecycle import MemberLife

MAX_STEPS = 5000


class Running(Protocol):
    """A member that runs, as `tests.transcripts.stage` has it."""

    life: MemberLife

    def flush(self) -> None: ...


@attrs.define(eq=False)
class _Side:
    sid: int
    running: Running
    link: ElectionLink
    other: _Side | None = None


Hear = Callable[[int, str, Callable[[Any], None]], None]
"""Gives a member an input: its sid, the line for it, and what to call."""


class Ballots:
    """The dials, writes and closes of all members, in order."""

    def __init__(self, running: Callable[[int], Running | None], hear: Hear) -> None:
        self._running = running
        self._hear = hear
        self._sides: dict[ElectionLink, _Side] = {}
        self._waiting: deque[Callable[[], None]] = deque()

    def dial(self, sid: int, running: Running, target: int) -> None:
        """Take an order of a member."""
        self._later(self._dial, sid, running, target)

    def write(self, link: ElectionLink, data: bytes) -> None:
        """Take an order of a member."""
        self._later(self._write, link, data)

    def close(self, link: ElectionLink) -> None:
        """Take an order of a member."""
        self._later(self._close, link)

    def crashed(self, sid: int) -> None:
        """A member has died: the others lose their connections with it."""
        for side in list(self._sides.values()):
            if side.sid == sid:
                self._later(self._close, side.link)

    def run(self) -> None:
        """Carry everything until nothing more is said."""
        for _ in range(MAX_STEPS):
            if not self._waiting:
                return
            self._waiting.popleft()()
        raise AssertionError("an election without end")

    def _later(self, action: Callable[..., None], *arguments: object) -> None:
        self._waiting.append(lambda: action(*arguments))

    def _dial(self, sid: int, running: Running, target: int) -> None:
        if self._running(sid) is not running:
            return  # it has died
        there = self._running(target)
        if there is None:
            self._hear(
                sid, f"{sid} cannot ask {target}", lambda it: it.life.election_dial_failed(target)
            )
            return
        near = _Side(sid, running, running.life.election_dialed(target, f"server {target}"))
        far = _Side(target, there, there.life.election_accepted(f"server {sid}"))
        near.other, far.other = far, near
        self._sides[near.link] = near
        self._sides[far.link] = far
        running.flush()
        there.flush()

    def _write(self, link: ElectionLink, data: bytes) -> None:
        side = self._sides.get(link)
        if side is None or side.other is None:
            return
        if self._running(side.sid) is side.running:
            side.running.life.election_written(link)
            side.running.flush()
        other = side.other
        if self._running(other.sid) is other.running:
            line = f"{other.sid} hears {side.sid}"
            self._hear(other.sid, line, lambda it: it.life.election_received(other.link, data))

    def _close(self, link: ElectionLink) -> None:
        side = self._sides.pop(link, None)
        if side is None or side.other is None:
            return
        other = side.other
        self._sides.pop(other.link, None)
        if self._running(other.sid) is other.running:
            other.running.life.election_closed(other.link)
            other.running.flush()
