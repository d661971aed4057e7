"""Long lists: in order, in pieces, and kept as long as they are true."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.admin.console import listing
from pyzk.admin.console.listing import (
    KEPT,
    KEPT_MS,
    PIECE,
    SHORT,
    STALE_MS,
    Listing,
    Listings,
    Work,
    containing,
    done,
    index_of,
    sort,
)


def pieces(work: Work[list[str]]) -> int:
    count = 0
    try:
        while True:
            next(work)
            count += 1
    except StopIteration:
        return count


@given(st.lists(st.text(max_size=3), max_size=200))
def test_names_are_sorted_each_once(names: list[str]) -> None:
    assert done(sort(names)) == sorted(set(names))


@pytest.mark.parametrize("count", [PIECE, PIECE + 1, SHORT + 1, 30_000])
@pytest.mark.parametrize("kind", ["random", "sorted", "reversed", "skewed", "equal", "two"])
def test_many_names_are_sorted_in_pieces(count: int, kind: str) -> None:
    rng = Random(3)
    names: dict[str, Callable[[int], str]] = {
        "random": lambda at: f"/p/{rng.random()}",
        "sorted": lambda at: f"/p/{at:09d}",
        "reversed": lambda at: f"/p/{count - at:09d}",
        # What the sample sees is nothing like the rest.
        "skewed": lambda at: f"/p/z{at:09d}" if at % 8 else f"/p/a{at:09d}",
        "equal": lambda at: "/p/same",
        "two": lambda at: f"/p/{at % 2}",
    }
    given = [names[kind](at) for at in range(count)]
    assert done(sort(given)) == sorted(set(given))


def test_no_piece_is_long() -> None:
    names = [f"/p/{number:09d}" for number in range(50_000)]
    Random(1).shuffle(names)
    assert pieces(sort(names)) >= len(names) // PIECE


def test_only_the_name_is_searched_for_a_text() -> None:
    names = ["/abc/x", "/abc/xabc", "/abc/y"]
    assert done(containing(names, "abc", 5)) == ["/abc/xabc"]
    assert done(containing(names, "", 5)) == names


def test_a_place_is_found_by_name() -> None:
    assert index_of(["/a", "/c"], "/c") == 1
    assert index_of(["/a", "/c"], "/b") is None
    assert index_of([], "/b") is None


def long(count: int = SHORT + 1) -> list[str]:
    return [str(number) for number in range(count)]


def test_a_list_is_good_as_long_as_its_token() -> None:
    listings = Listings()
    kept = Listing(long(), "1", 0)
    listings.keep("/a", kept)
    assert listings.find("/a", "1", STALE_MS + 1) is kept
    assert listings.find("/b", "1", 0) is None


def test_a_long_list_is_good_for_a_moment_more() -> None:
    listings = Listings()
    kept = Listing(long(), "1", 0)
    listings.keep("/a", kept)
    assert listings.find("/a", "2", STALE_MS) is kept
    assert listings.find("/a", "2", STALE_MS + 1) is None
    assert listings.find("/a", "1", 0) is None  # it is gone


def test_a_short_list_is_made_anew() -> None:
    listings = Listings()
    listings.keep("/a", Listing(long(SHORT), "1", 0))
    assert listings.find("/a", "2", 0) is None


def test_lists_that_nobody_asks_for_go() -> None:
    listings = Listings()
    for number in range(KEPT + 1):
        listings.keep(number, Listing(long(), "1", number))
    assert listings.find(0, "1", 10) is None
    assert listings.find(1, "1", 10) is not None
    assert listings.find(2, "1", 10 + KEPT_MS) is None
    assert listings.find(1, "1", 10 + KEPT_MS) is not None


def test_a_list_that_is_asked_for_stays() -> None:
    listings = Listings()
    for number in range(KEPT):
        listings.keep(number, Listing(long(), "1", 0))
    assert listings.find(0, "1", 5) is not None
    listings.keep(KEPT, Listing(long(), "1", 6))
    assert listings.find(0, "1", 6) is not None


def test_the_limits_go_together() -> None:
    assert listing.BUCKET < listing.PIECE <= listing.SHORT
