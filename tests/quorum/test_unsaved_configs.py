"""Configurations that cannot be saved: tried again with growing pauses, until a later one comes."""

from __future__ import annotations

from collections.abc import Callable

from pyzk.config.members import parse_membership
from pyzk.errors import StorageError
from pyzk.quorum.commands import SaveConfig
from pyzk.quorum.unsaved_configs import LAST_PAUSE_S, UnsavedConfigs

FULL = StorageError("the disk is full", path="/c/zoo.cfg")


class Planned:
    def __init__(self, pause_s: float, call: Callable[[], object]) -> None:
        self.pause_s = pause_s
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Hands:
    """Keeps what is planned, and what is tried again."""

    def __init__(self) -> None:
        self.planned: list[Planned] = []
        self.again: list[SaveConfig] = []
        self.unsaved = UnsavedConfigs(self.call_later, self.again.append)

    def call_later(self, pause_s: float, call: Callable[[], object]) -> Planned:
        self.planned.append(Planned(pause_s, call))
        return self.planned[-1]

    def order(self, version: int, is_active: bool, failure: StorageError | None) -> SaveConfig:
        membership = parse_membership(f"server.1=h:1:2;3\nversion={version:x}".encode())
        command = SaveConfig(1, membership, is_active)
        self.unsaved.ordered(command)
        self.unsaved.tried(command, failure)
        return command

    def pass_time(self) -> list[SaveConfig]:
        """Let the last timer go off; return what is tried again."""
        planned = self.planned[-1]
        assert not planned.is_cancelled
        planned.call()
        tried, self.again[:] = list(self.again), []
        return tried


def test_what_is_saved_at_once_plans_nothing() -> None:
    hands = Hands()
    hands.order(1, False, None)
    hands.order(1, True, None)
    assert hands.planned == []
    assert len(hands.unsaved) == 0


def test_the_pauses_grow_to_an_end_and_begin_anew() -> None:
    hands = Hands()
    command = hands.order(1, True, FULL)
    for _ in range(12):
        assert hands.pass_time() == [command]
        hands.unsaved.tried(command, FULL)
    pauses = [planned.pause_s for planned in hands.planned]
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == LAST_PAUSE_S
    assert hands.pass_time() == [command]
    hands.unsaved.tried(command, None)
    assert len(hands.unsaved) == 0
    hands.order(2, True, FULL)
    assert hands.planned[-1].pause_s == 1


def test_a_later_one_takes_its_place() -> None:
    hands = Hands()
    first = hands.order(1, True, FULL)
    hands.order(2, True, None)
    assert hands.planned[-1].is_cancelled
    assert len(hands.unsaved) == 0
    # The attempt that was under way changes nothing.
    hands.unsaved.tried(first, FULL)
    assert len(hands.unsaved) == 0
    assert len(hands.planned) == 1


def test_the_one_in_force_is_tried_again_behind_a_later_one_that_is_proposed() -> None:
    """Which may be the only one that has this server."""
    hands = Hands()
    active = hands.order(1, True, FULL)
    proposed = hands.order(2, False, FULL)
    assert len(hands.unsaved) == 2
    assert len(hands.planned) == 1
    assert hands.pass_time() == [proposed, active]
    hands.unsaved.tried(active, None)
    assert len(hands.unsaved) == 1
    hands.unsaved.tried(proposed, FULL)
    assert hands.pass_time() == [proposed]
    # It is in force now: the file for the proposed one is not wanted any more.
    hands.order(2, True, None)
    assert len(hands.unsaved) == 0


def test_what_is_proposed_outlives_an_earlier_one_that_comes_into_force() -> None:
    hands = Hands()
    proposed = hands.order(5, False, FULL)
    hands.order(4, True, None)
    assert len(hands.unsaved) == 1
    assert hands.pass_time() == [proposed]


def test_nothing_is_tried_again_behind_the_end() -> None:
    hands = Hands()
    hands.order(5, False, FULL)
    hands.unsaved.stop()
    assert hands.planned[-1].is_cancelled
