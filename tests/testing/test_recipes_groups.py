"""kazoo's elections, barriers, parties and partitions, with members that are lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from pyzk.testing import ZooKeeperServer
from tests.testing.raw import PATIENCE_S
from tests.testing.recipes import Connect, Heard, Task

kazoo_exceptions = pytest.importorskip("kazoo.exceptions")


# --- Election -------------------------------------------------------------------------


class Candidate:
    """One who leads until told to stop."""

    def __init__(self, client: Any, name: str, leaders: Heard[str]) -> None:
        self.client = client
        self.election = client.Election("/election", name)
        self.enough = threading.Event()
        self._name = name
        self._leaders = leaders
        self.running = Task(lambda: self.election.run(self._lead))

    def _lead(self) -> None:
        self._leaders(self._name)
        self.enough.wait(PATIENCE_S)


def test_another_leads_when_the_leader_expires(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    leaders: Heard[str] = Heard()
    first = Candidate(zk_client_factory(), "first", leaders)
    leaders.wait(lambda names: names == ["first"])
    second = Candidate(zk_client_factory(), "second", leaders)
    zk_server.wait_until(
        lambda: any(watch.session_id == second.client.client_id[0] for watch in zk_server.watches),
        "the second watches the first",
    )
    assert second.election.contenders() == ["first", "second"]
    # A connection is not a session: the leader leads on.
    zk_server.drop_connection(first.client)
    zk_server.wait_for_session(first.client)
    assert second.election.contenders() == ["first", "second"]
    assert leaders.values == ["first"]
    zk_server.expire_session(first.client)
    leaders.wait(lambda names: names == ["first", "second"])
    for candidate in (first, second):
        candidate.enough.set()
        candidate.running.result()


def test_a_candidate_withdraws(zk_server: ZooKeeperServer, zk_client_factory: Connect) -> None:
    leaders: Heard[str] = Heard()
    first = Candidate(zk_client_factory(), "first", leaders)
    leaders.wait(lambda names: names == ["first"])
    second = Candidate(zk_client_factory(), "second", leaders)
    zk_server.wait_until(lambda: len(zk_server.tree("/election")) == 3, "two are candidates")
    second.election.cancel()
    second.running.result()
    assert first.election.contenders() == ["first"]
    first.enough.set()
    first.running.result()
    assert leaders.values == ["first"]


# --- Barrier --------------------------------------------------------------------------


def test_a_barrier_holds_until_it_is_removed(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    keeper, waiter = zk_client_factory(), zk_client_factory()
    barrier = keeper.Barrier("/barrier")
    barrier.create()
    waiting = Task(waiter.Barrier("/barrier").wait)
    zk_server.wait_for_watch("/barrier", client=waiter)
    # The barrier is no ephemeral: it outlives who made it.
    zk_server.expire_session(keeper)
    assert not waiting.is_done
    assert keeper.retry(barrier.remove)
    assert waiting.result() is True


@pytest.mark.zk(virtual_clock=True)
def test_a_barrier_that_falls_is_heard_of_late(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    keeper, waiter = zk_client_factory(), zk_client_factory()
    barrier = keeper.Barrier("/barrier")
    barrier.create()
    waiting = Task(waiter.Barrier("/barrier").wait)
    zk_server.wait_for_watch("/barrier", client=waiter)
    late = zk_server.delay("event", 60)
    barrier.remove()
    zk_server.wait_until(lambda: late.fired, "the event is held")
    zk_server.advance(59, keep_sessions=True)
    assert not waiting.is_done
    zk_server.advance(1, keep_sessions=True)
    assert waiting.result() is True


def test_a_barrier_that_falls_while_the_waiter_is_away(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    """A weakness of the recipe: it does not set its watch again, so nobody tells."""
    keeper, waiter = zk_client_factory(), zk_client_factory()
    barrier = keeper.Barrier("/barrier")
    barrier.create()
    waiting = Task(lambda: waiter.Barrier("/barrier").wait(timeout=0.2))
    zk_server.wait_for_watch("/barrier")
    zk_server.drop_connection(waiter)
    zk_server.wait_for_session(waiter)
    barrier.remove()
    assert zk_server.watches == []
    assert waiting.result() is False
    assert waiter.Barrier("/barrier").wait() is True


def test_a_double_barrier_opens_for_all_and_closes_behind_the_last(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    clients = [zk_client_factory() for _ in range(3)]
    barriers = [client.DoubleBarrier("/barrier", 3) for client in clients]
    entering = [Task(barrier.enter) for barrier in barriers[:2]]
    zk_server.wait_until(lambda: len(zk_server.tree("/barrier")) == 3, "two are there")
    assert not any(task.is_done for task in entering)
    for task in [*entering, Task(barriers[2].enter)]:
        task.result()
    assert zk_server.drop_connections() == 3
    for client in clients:
        zk_server.wait_for_session(client)
    assert all(barrier.participating for barrier in barriers)
    assert len(zk_server.tree("/barrier")) == 5
    leaving = [Task(barrier.leave) for barrier in barriers[:2]]
    zk_server.wait_for_node("/barrier/ready", exists=False)
    assert not all(task.is_done for task in leaving)
    # The third never leaves: it is lost.
    zk_server.expire_session(clients[2])
    for task in leaving:
        task.result()
    assert zk_server.tree() == {"/barrier": b""}


# --- Party ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Party", "ShallowParty"])
def test_a_party_loses_who_expires_and_keeps_who_comes_back(
    zk_server: ZooKeeperServer, zk_client_factory: Connect, kind: str
) -> None:
    names = ["anna", "ben", "cleo"]
    clients = [zk_client_factory() for _ in names]
    parties = [
        getattr(client, kind)("/party", name) for client, name in zip(clients, names, strict=True)
    ]
    for party in parties:
        party.join()
    assert sorted(parties[0]) == names
    zk_server.drop_connection(clients[1])
    zk_server.wait_for_session(clients[1])
    assert sorted(parties[0]) == names
    zk_server.expire_session(clients[1])
    assert sorted(parties[0]) == ["anna", "cleo"]
    assert len(parties[2]) == 2
    parties[2].leave()
    assert list(parties[0]) == ["anna"]
    clients[1].retry(parties[1].join)
    assert sorted(parties[0]) == ["anna", "ben"]


def test_to_join_twice_is_to_join_once(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    """The first request was executed, and its answer lost."""
    client = zk_client_factory()
    client.ensure_path("/party")
    party = client.Party("/party", "anna")
    zk_server.no_response("create")
    joining = Task(party.join)
    zk_server.wait_until(lambda: len(zk_server.tree("/party")) == 2, "anna is there")
    zk_server.drop_connection(client)
    joining.result()
    assert list(party) == ["anna"]


# --- SetPartitioner -------------------------------------------------------------------


class Partitions:
    """A member that works on its partitions, and lets them go when it is asked to."""

    def __init__(self, client: Any, name: str) -> None:
        self.client = client
        self.changed = threading.Event()
        self.partitioner = client.SetPartitioner(
            path="/work",
            set=(1, 2, 3, 4),
            identifier=name,
            time_boundary=0.05,
            max_reaction_time=0.05,
            state_change_event=self.changed,
        )

    def until(self, condition: Callable[[Any], object]) -> list[int]:
        """Go on until the partitioner is so; return the partitions."""
        while not condition(self.partitioner):
            if self.partitioner.release:
                self.partitioner.release_set()
            assert self.changed.wait(PATIENCE_S), self.partitioner.state
            self.changed.clear()
        return list(self.partitioner)


def test_partitions_of_one_who_is_lost_go_to_the_others(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    one = Partitions(zk_client_factory(), "one")
    assert one.until(lambda partitioner: partitioner.acquired) == [1, 2, 3, 4]
    two = Partitions(zk_client_factory(), "two")
    tasks = [
        Task(lambda member=member: member.until(lambda p: p.acquired and len(list(p)) == 2))  # type: ignore[misc]
        for member in (one, two)
    ]
    assert sorted(part for task in tasks for part in task.result()) == [1, 2, 3, 4]
    zk_server.expire_session(two.client)
    assert one.until(lambda p: p.acquired and len(list(p)) == 4) == [1, 2, 3, 4]
    two.until(lambda partitioner: partitioner.failed)
    one.partitioner.finish()


def test_partitions_are_kept_over_a_lost_connection(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    member = Partitions(zk_client_factory(), "one")
    member.until(lambda partitioner: partitioner.acquired)
    locks = zk_server.tree("/work/locks")
    zk_server.drop_connection(member.client)
    # kazoo's partitioner is careful: it lets go, and takes its partitions again.
    member.until(lambda partitioner: not partitioner.acquired)
    assert member.until(lambda partitioner: partitioner.acquired) == [1, 2, 3, 4]
    assert zk_server.tree("/work/locks").keys() != locks.keys()
    member.partitioner.finish()
