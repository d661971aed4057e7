"""The election port of a transcript's members: what they say there waits until `vote` carries it.

Elections have tests of their own; here they only end, so all that is said arrives at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

from pyzk.quorum.election_links import ElectionLink
from pyzk.quorum.peer import Peer

MAX_STEPS = 5000


@attrs.define(eq=False)
class _Side:
    sid: int
    peer: Peer
    link: ElectionLink
    other: _Side | None = None


Hear = Callable[[int, str, Callable[[Peer], None]], None]
"""Gives a member an input: its sid, the line for it, and what to call."""


class Ballots:
    """Dials, writes and closes of all members, in order."""

    def __init__(self, peers: Callable[[int], Peer | None], hear: Hear) -> None:
        self._peers = peers
        self._hear = hear
        self._sides: dict[ElectionLink, _Side] = {}
        self._waiting: deque[Callable[[], None]] = deque()

    def collect(self, sid: int, peer: Peer) -> None:
        """Take what a member wants done."""
        links = peer.election_links
        for dial in links.dials:
            self._later(self._dial, sid, peer, dial.sid)
        for link, data in links.writes:
            self._later(self._write, link, data)
        for link in links.closes:
            self._later(self._close, link)
        links.dials.clear()
        links.writes.clear()
        links.closes.clear()

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

    def _dial(self, sid: int, peer: Peer, target: int) -> None:
        if self._peers(sid) is not peer:
            return  # it has died
        there = self._peers(target)
        if there is None:
            self._hear(
                sid, f"{sid} cannot ask {target}", lambda it: it.election_dial_failed(target)
            )
            return
        near = _Side(sid, peer, peer.election_dialed(target, f"server {target}"))
        far = _Side(target, there, there.election_accepted(f"server {sid}"))
        near.other, far.other = far, near
        self._sides[near.link] = near
        self._sides[far.link] = far
        self.collect(sid, peer)
        self.collect(target, there)

    def _write(self, link: ElectionLink, data: bytes) -> None:
        side = self._sides.get(link)
        if side is None or side.other is None:
            return
        if self._peers(side.sid) is side.peer:
            side.peer.election_written(link)
            self.collect(side.sid, side.peer)
        other = side.other
        if self._peers(other.sid) is other.peer:
            line = f"{other.sid} hears {side.sid}"
            self._hear(other.sid, line, lambda peer: peer.election_received(other.link, data))

    def _close(self, link: ElectionLink) -> None:
        side = self._sides.pop(link, None)
        if side is None or side.other is None:
            return
        other = side.other
        self._sides.pop(other.link, None)
        if self._peers(other.sid) is other.peer:
            other.peer.election_closed(other.link)
            self.collect(other.sid, other.peer)
