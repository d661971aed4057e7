"""Whom the loop takes for the only one that is active."""

from __future__ import annotations

import pytest

from pyzk.runtime.activity import LONE_INPUTS, Activity
from pyzk.server.connection import Connection
from tests.world import World


@pytest.fixture
def clients() -> list[Connection]:
    world = World()
    return [world.open().connection for _ in range(2)]


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


def test_it_knows_what_came_last_an_input_or_a_log(clients: list[Connection]) -> None:
    activity = Activity()

    def seen() -> tuple[bool, bool]:
        return activity.has_heard, activity.has_logged

    assert seen() == (False, False)
    for client in clients:
        activity.hear(client)
        assert seen() == (True, False)
        activity.log()
        assert seen() == (False, True)
