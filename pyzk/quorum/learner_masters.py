"""Whose turn it is to be followed by an observer: the voters in a drawn order, round after round.

Pure. ZooKeeper: QuorumPeer.observerMasters and nextObserverMaster. A member has one and keeps it
from one role to the next, so that an observer that has lost its master tries another one.

Where this differs from ZooKeeper, on purpose: the leader is left out, for it takes no observers at
that port.
"""

from __future__ import annotations

from collections import deque
from random import Random


class LearnerMasters:
    """The voters that may be observer masters."""

    def __init__(self, rng: Random) -> None:
        self._rng: Random = rng
        self._voters: tuple[int, ...] = ()
        self._order: list[int] = []
        self._left: deque[int] = deque()
        """Those whose turn comes in this round."""
        self._tries: int = 0
        """The turns since an observer master was followed last."""
        self._first_try_ms: int = 0
        """The monotonic ms of the first of them."""
        self._followed: tuple[int, int] = (-1, -1)
        """Who led, and the round of its election, when somebody was followed last."""

    def look(self, voters: tuple[int, ...]) -> None:
        """Begins a round in another order if the voters are others than before."""
        if voters != self._voters:
            self._voters = voters
            self._order = list(voters)
            self._rng.shuffle(self._order)
            self._left = deque(self._order)

    def count(self, leader: int) -> int:
        """Returns how many there are while ``leader`` leads."""
        return sum(sid != leader for sid in self._order)

    def take(self, leader: int, now_ms: int) -> int:
        """Returns whose turn it is; there must be somebody beside the leader."""
        assert self.count(leader), self._order
        if not self._tries:
            self._first_try_ms = now_ms
        self._tries += 1
        while True:
            if not self._left:
                self._left.extend(self._order)
            sid = self._left.popleft()
            if sid != leader:
                return sid

    def is_round_over(self, leader: int) -> bool:
        """Tells whether everybody but the leader has had a turn in this round."""
        return all(sid == leader for sid in self._left)

    def have_failed(self, leader: int, now_ms: int, limit_ms: int) -> bool:
        """Tells whether all of them were tried for so long, and none was followed."""
        return self._tries >= self.count(leader) and now_ms - self._first_try_ms >= limit_ms

    def forget_failures(self) -> None:
        """Begins to count the tries anew."""
        self._tries = 0

    def follows(self, leader: int, round_: int) -> None:
        """Takes the news that somebody is followed while ``leader`` leads since that round."""
        self._followed = (leader, round_)
        self._tries = 0

    def has_followed(self, leader: int, round_: int) -> bool:
        """Tells whether somebody was followed since ``leader`` was elected: then it has had a
        quorum since, and whoever is a master takes observers."""
        return self._followed == (leader, round_)
