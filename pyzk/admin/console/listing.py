"""Long lists in order, made in pieces.

Pure. A generator here yields after each piece of its work, about a millisecond, and returns its
result; who drives it serves clients in between. 200,000 names take about a fifth of a second so.

`Listings` keeps the last few of them. A list is used as long as what it was made of is unchanged,
which its token says, and a little longer if it was long to make: otherwise a parent whose children
come and go would be sorted for each look at it. Lists that nobody has asked for in a minute go with
the next request.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Generator, Sequence
from typing import Final, TypeVar

Result = TypeVar("Result")
Work = Generator[None, None, Result]
"""Yields between pieces of work and returns the result."""

PIECE: Final = 2048
"""The names that are looked at in one piece."""
SCANNED: Final = 8 * PIECE
"""The names of a piece in which each is only searched for a text."""
BUCKET: Final = 1024
"""The names that are sorted at once, about."""
STALE_MS: Final = 2000
"""How old a long list may be that is no longer what it was made of."""
SHORT: Final = 2 * PIECE
"""The names of a list that is made anew rather than old."""
KEPT: Final = 6
KEPT_MS: Final = 60_000


def done(work: Work[Result]) -> Result:
    """Return the result of a piece of work, without a pause."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: Result = end.value
            return result


def sort(names: Sequence[str]) -> Work[list[str]]:
    """Return the names in order, each once."""
    if len(names) <= PIECE:
        return sorted(set(names))
    step = max(1, len(names) // (8 * max(2, len(names) // BUCKET)))
    sample = yield from sort(names[::step][: len(names) // 2])
    cuts = sample[8::8]
    if not cuts:
        return sorted(set(names))  # a few names, many times
    buckets: list[list[str]] = [[] for _ in range(len(cuts) + 1)]
    for begin in range(0, len(names), PIECE):
        for name in names[begin : begin + PIECE]:
            buckets[bisect_right(cuts, name)].append(name)
        yield
    ordered: list[str] = []
    sorted_now = 0
    for bucket in buckets:
        if len(bucket) > SHORT and len(bucket) < len(names):
            ordered += yield from sort(bucket)
        else:
            ordered += sorted(set(bucket))
        sorted_now += len(bucket)
        if sorted_now >= PIECE:
            sorted_now = 0
            yield
    return ordered


def containing(names: Sequence[str], text: str, name_at: int) -> Work[list[str]]:
    """Return the names that have ``text`` behind their first ``name_at`` characters, in order."""
    found: list[str] = []
    for begin in range(0, len(names), SCANNED):
        part = names[begin : begin + SCANNED]
        found += [name for name in part if name.find(text, name_at) >= 0]
        yield
    return found


def index_of(ordered: Sequence[str], name: str) -> int | None:
    """Return the place of a name in order; None if it is not there."""
    at = bisect_left(ordered, name)
    return at if at < len(ordered) and ordered[at] == name else None


class Listing:
    """One list in order, and what it was made of."""

    __slots__ = ("hidden", "made_ms", "names", "token", "used_ms")

    def __init__(self, names: list[str], token: str, now_ms: int) -> None:
        self.names = names
        self.token = token
        """What the list was made of, as text."""
        self.made_ms = now_ms
        self.used_ms = now_ms
        self.hidden = 0
        """How many names are not in the list because its visitor may not see them."""


class Listings:
    """The last lists that were made."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[object, Listing] = {}

    def find(self, key: object, token: str, now_ms: int) -> Listing | None:
        """Return the list that is kept under a key, if it is still good for this token."""
        for each, kept in list(self._kept.items()):
            if now_ms - kept.used_ms > KEPT_MS:
                del self._kept[each]
        listing = self._kept.get(key)
        if listing is None:
            return None
        is_old = now_ms - listing.made_ms > STALE_MS or len(listing.names) <= SHORT
        if listing.token != token and is_old:
            del self._kept[key]
            return None
        listing.used_ms = now_ms
        return listing

    def keep(self, key: object, listing: Listing) -> None:
        """Keep a list, in place of the one that was used least lately if there are many."""
        kept = self._kept
        kept[key] = listing
        while len(kept) > KEPT:
            del kept[min(kept, key=lambda each: kept[each].used_ms)]
