"""Transactions that a member of the original has applied and never logged: ZOOKEEPER-4712.

Pure.

A follower that loses its leader does not stop the thread that writes its log.  What this has in its
queue may never be written, for instance as the thread ends in ZOOKEEPER-4409.  The follower has
applied these transactions, begins the election with the zxid of the last one, and gets what comes
after it.  Its log has a hole from then on, and what it has loaded after its next start lacks them.

A hole of another origin looks alike on disk: a leader may have left transactions out.  Therefore
the member's own words are asked for: it must have followed, and then begun an election with the
last zxid of the hole.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

import attrs

ISSUE: Final = "ZOOKEEPER-4712"
VERSIONS: Final = re.compile(r"3\.(8\.[0-4]|9\.[0-2])")
"""The versions that are known to have this fault; 3.9.3 has it no more."""

FOLLOWS: Final = re.compile(r" INFO QuorumPeer (?:- )?Peer state changed: following - broadcast$")
ELECTION: Final = re.compile(
    r" INFO FastLeaderElection (?:- )?New election\. My id = \d+, proposed zxid=0x([0-9a-f]+)$"
)
DIGEST: Final = re.compile(
    r" DataTree (?:.*Digests are not matching\. Value is Zxid\. (?:V|Last v)alue: ?"
    r"|First digest mismatch on txn: -?\d+,-?\d+,)(\d+)\b"
)
"""An entry about a transaction after which the tree has another digest than the leader's had."""


def has_fault(version: str) -> bool:
    """Tells whether a version of the original is known to have this fault."""
    return VERSIONS.fullmatch(version) is not None


@attrs.frozen
class History:
    """What is known of one member."""

    who: str
    votes: bool
    logged: Iterable[int]
    """The zxids in its logs."""
    snapshots: Iterable[int] = ()
    """The zxids in the names of its snapshots."""
    applied: Mapping[int, str] = attrs.field(factory=dict)
    """What it had applied when it lost a leader: zxid -> which implementation it was."""


@attrs.frozen
class Hole:
    """Successive transactions of one epoch that a member has applied and not logged."""

    index: int
    """The position of the member's history."""
    who: str
    implementation: str
    first: int
    last: int

    def __str__(self) -> str:
        count = self.last - self.first + 1
        return (
            f"{ISSUE} in {self.implementation}, {count} transactions: {self.who} has applied and"
            f" not logged {self.first:#x} to {self.last:#x}"
        )


def applied_at_losses(text: str) -> set[int]:
    """Returns the zxids with which a process began an election after it had followed, from its
    log."""
    found = set()
    follows = False
    for line in text.splitlines():
        if FOLLOWS.search(line):
            follows = True
        elif began := ELECTION.search(line):
            if follows:
                found.add(int(began[1], 16))
            follows = False
    return found


def find(histories: Sequence[History]) -> list[Hole]:
    """Returns the holes in one member's log.

    There are none to return when two members' logs have holes, or when one hole is not explained.
    """
    logged = [set(history.logged) for history in histories]
    holders = Counter(
        zxid
        for zxids, history in zip(logged, histories, strict=True)
        if history.votes
        for zxid in zxids
    )
    quorum = sum(history.votes for history in histories) // 2 + 1
    established = sorted(zxid for zxid, count in holders.items() if count >= quorum)
    found = []
    for index, history in enumerate(histories):
        for run in _missing(established, sorted(logged[index]), sorted(history.snapshots)):
            hole = _explained(index, history, run)
            if hole is None:
                return []
            found.append(hole)
    return found if len({hole.index for hole in found}) == 1 else []


def _missing(
    established: Iterable[int], logged: Sequence[int], snapshots: Sequence[int]
) -> Iterable[list[int]]:
    """Yields what is established and lies between two transactions that were logged one after the
    other, unless a snapshot between the two has it."""
    have = set(logged)
    lacking = (zxid for zxid in established if zxid not in have)
    for place, zxids in groupby(lacking, lambda zxid: bisect(logged, zxid)):
        run = list(zxids)
        if 0 < place < len(logged) and not any(run[-1] <= s < logged[place] for s in snapshots):
            yield run


def _explained(index: int, history: History, run: Sequence[int]) -> Hole | None:
    """Returns what a run of missing transactions is if this fault explains it."""
    first, last = run[0], run[-1]
    implementation = history.applied.get(last)
    # Successive numbers are of one epoch: none has a counter of 0.
    if implementation is None or last - first + 1 != len(run):
        return None
    return Hole(index, history.who, implementation, first, last)


def is_consequence(entry: str, version: str, holes: Iterable[Hole]) -> bool:
    """Tells whether an entry in a log of a version of the original says no more than that the tree
    of a member with holes differs after one of them."""
    differs = DIGEST.search(entry)
    return (
        differs is not None
        and has_fault(version)
        and any(int(differs[1]) > hole.last for hole in holes)
    )
