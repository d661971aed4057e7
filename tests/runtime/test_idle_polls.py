"""When the loop polls before it sleeps. The loop and its time are the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from pyzk.runtime.idle_polls import MOST_LEFT_OUT, IdlePolls

LASTS_US = 50


class Loop:
    """A loop that calls what is due when it is told to, 20 microseconds later each time."""

    def __init__(self, lasts_us: int = LASTS_US) -> None:
        self.now_s = 0.0
        self.due: list[Callable[[], object]] = []
        self.polls = IdlePolls(lasts_us, lambda: self.now_s)

    def call_soon(self, call: Callable[..., object], *args: object) -> None:
        self.due.append(lambda: call(*args))

    def begin(self) -> None:
        self.polls.has_heard = True
        self.turn_ends()

    def turn_ends(self) -> None:
        self.polls.begin(cast("asyncio.AbstractEventLoop", self))

    def turn(self) -> None:
        self.now_s += 20e-6
        due, self.due = self.due, []
        for call in due:
            call()

    def polled(self) -> int:
        """Polls in vain, if it polls at all; returns how many turns that took."""
        self.begin()
        turns = 0
        while self.due:
            self.turn()
            turns += 1
        return turns


def test_a_poll_lasts_for_its_time() -> None:
    assert Loop().polled() == 3


def test_a_poll_ends_when_a_client_is_heard_and_the_next_begins() -> None:
    loop = Loop()
    for _ in range(3):
        loop.begin()
        loop.turn()
        assert len(loop.due) == 1
        loop.polls.has_heard = True
        loop.turn()
        assert loop.due == []


def test_a_poll_is_begun_once() -> None:
    loop = Loop()
    loop.begin()
    loop.begin()
    assert len(loop.due) == 1
    loop.turn()
    assert loop.due == [], "what was heard meanwhile counts"


def test_a_turn_without_a_client_begins_none() -> None:
    loop = Loop()
    assert loop.polled()
    left_out = loop.polls.to_leave_out
    for _ in range(3):
        loop.turn_ends()
    assert (loop.due, loop.polls.to_leave_out) == ([], left_out)


def test_more_and_more_polls_are_left_out_while_they_are_for_nothing() -> None:
    loop = Loop()
    gaps, left_out = [], 0
    for _ in range(8 * MOST_LEFT_OUT):
        if loop.polled():
            gaps.append(left_out)
            left_out = 0
        else:
            left_out += 1
    assert gaps[:5] == [0, 1, 3, 7, 15]
    assert gaps[10:] == [MOST_LEFT_OUT] * len(gaps[10:])
    assert len(gaps) > 11


def test_a_poll_that_is_worth_it_halves_what_is_left_out() -> None:
    def next_gap(loop: Loop) -> int:
        left_out = 0
        while not loop.polled():
            left_out += 1
        return left_out

    loop = Loop()
    assert [next_gap(loop) for _ in range(4)] == [0, 1, 3, 7]
    for _ in range(15):
        loop.begin()
    loop.begin()
    loop.polls.has_heard = True
    loop.turn()
    assert [next_gap(loop) for _ in range(2)] == [0, 15]


def test_without_a_time_there_is_no_poll() -> None:
    assert Loop(0).polled() == 0
