"""Whom the loop takes for the only one that is active. A client is anything here."""

from __future__ import annotations

import pytest

from pyzk.runtime.activity import LONE_INPUTS, Activity
from pyzk.server.connection import Connection


@pytest.fixture
def clients() -> list[Connection]:
    # Nobody asks them anything: only who they are counts.
    return [Connection.__new__(Connection) for _ in range(2)]


def test_a_client_is_alone_when_it_has_sent_the_last_four_inputs(clients: list[Connection]) -> None:
    activity = Activity()
    for _ in range(LONE_INPUTS):
        assert not activity.is_of_one
        activity.hear(clients[0])
    assert activity.is_of_one
    activity.hear(clients[1])
    assert not activity.is_of_one


def test_another_connection_of_a_client_that_is_gone_counts_anew(clients: list[Connection]) -> None:
    activity = Activity()
    for _ in range(LONE_INPUTS):
        activity.hear(clients[0])
    activity.forget(clients[1])
    activity.hear(clients[0])
    assert activity.is_of_one
    activity.forget(clients[0])
    activity.hear(clients[0])
    assert not activity.is_of_one


def test_it_knows_whether_something_was_logged_behind_the_last_input(
    clients: list[Connection],
) -> None:
    activity = Activity()
    seen = [activity.has_logged]
    for client in clients:
        activity.log()
        seen.append(activity.has_logged)
        activity.hear(client)
        seen.append(activity.has_logged)
    assert seen == [False, True, False, True, False]


def test_activity_is_low_with_one_input_for_each_log(clients: list[Connection]) -> None:
    activity = Activity()
    seen = [activity.is_low]
    for number in range(2 * LONE_INPUTS):
        activity.hear(clients[number % 2])
        seen.append(activity.is_low)
        activity.log()
    assert all(seen)
    activity.hear(clients[0])
    activity.hear(clients[1])
    seen = [activity.is_low]
    activity.log()
    seen.append(activity.is_low)
    assert seen == [False, True]


def test_activity_is_low_however_much_a_lone_client_reads(clients: list[Connection]) -> None:
    activity = Activity()
    for number in range(2 * LONE_INPUTS):
        activity.hear(clients[0])
        assert activity.is_low == (number == 0 or number + 1 >= LONE_INPUTS)
