"""kazoo's locks over the fixture and its faults: whoever holds one and is lost holds it no more."""

from __future__ import annotations

import pytest

from pyzk.testing import ZooKeeperServer
from tests.testing.recipes import Connect, Task

kazoo_exceptions = pytest.importorskip("kazoo.exceptions")


def children(server: ZooKeeperServer, path: str) -> list[str]:
    """The names below a znode, in the order of their sequence numbers."""
    names = [name[len(path) + 1 :] for name in server.tree(path) if name != path]
    return sorted((name for name in names if "/" not in name), key=lambda name: name[-10:])


# --- Lock -----------------------------------------------------------------------------


def test_a_lock_goes_to_the_next_when_its_holder_expires(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    holder, waiter = zk_client_factory(), zk_client_factory()
    assert holder.Lock("/lock", "holder").acquire()
    lock = waiter.Lock("/lock", "waiter")
    acquiring = Task(lock.acquire)
    first, second = _both(zk_server)
    zk_server.wait_for_watch(f"/lock/{first}", client=waiter)
    assert lock.contenders() == ["holder", "waiter"]
    assert not acquiring.is_done
    zk_server.expire_session(holder)
    assert acquiring.result()
    assert children(zk_server, "/lock") == [second]


def _both(server: ZooKeeperServer) -> list[str]:
    server.wait_until(lambda: len(children(server, "/lock")) == 2, "two contend for the lock")
    return children(server, "/lock")


def test_a_lock_is_kept_over_a_lost_connection(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    holder, waiter = zk_client_factory(), zk_client_factory()
    lock = holder.Lock("/lock")
    lock.acquire()
    acquiring = Task(waiter.Lock("/lock").acquire)
    zk_server.wait_for_watch(f"/lock/{_both(zk_server)[0]}")
    zk_server.drop_connection(holder)
    zk_server.wait_for_session(holder)
    assert not acquiring.is_done
    lock.release()
    assert acquiring.result()


def test_a_lock_is_kept_over_a_crash_of_the_server(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    """The waiter sets its watch again on the restarted server, and hears of the release."""
    holder, waiter = zk_client_factory(), zk_client_factory()
    lock = holder.Lock("/lock")
    lock.acquire()
    acquiring = Task(waiter.Lock("/lock").acquire)
    first = f"/lock/{_both(zk_server)[0]}"
    zk_server.wait_for_watch(first)
    zk_server.kill()
    zk_server.restart()
    zk_server.wait_for_watch(first, client=waiter)
    assert not acquiring.is_done
    zk_server.wait_for_session(holder)
    lock.release()
    assert acquiring.result()


def test_a_lock_whose_create_was_not_answered_is_taken_once(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    """The request was executed, its answer was lost with the connection: kazoo looks for its own
    znode before it makes another."""
    client = zk_client_factory()
    client.ensure_path("/lock")
    zk_server.no_response("create")
    lock = client.Lock("/lock")
    acquiring = Task(lock.acquire)
    zk_server.wait_until(lambda: children(zk_server, "/lock"), "the lock's znode is there")
    zk_server.drop_connection(client)
    assert acquiring.result()
    assert len(children(zk_server, "/lock")) == 1
    lock.release()
    assert children(zk_server, "/lock") == []


@pytest.mark.zk(virtual_clock=True)
def test_a_lock_whose_event_is_late(zk_server: ZooKeeperServer, zk_client_factory: Connect) -> None:
    holder, waiter = zk_client_factory(), zk_client_factory()
    lock = holder.Lock("/lock")
    lock.acquire()
    acquiring = Task(waiter.Lock("/lock").acquire)
    zk_server.wait_for_watch(f"/lock/{_both(zk_server)[0]}")
    late = zk_server.delay("event", 30, client=waiter)
    lock.release()
    zk_server.wait_until(lambda: late.fired == 1, "the event is held")
    zk_server.advance(29, keep_sessions=True)
    assert not acquiring.is_done
    zk_server.advance(1, keep_sessions=True)
    assert acquiring.result()


def test_a_lock_in_spite_of_errors(zk_server: ZooKeeperServer, zk_client_factory: Connect) -> None:
    client = zk_client_factory()
    lock = client.Lock("/lock")
    with zk_server.fail("create", kazoo_exceptions.ConnectionLoss, times=3) as fault:
        assert lock.acquire()
    assert fault.fired == 3
    zk_server.fail("getChildren", "NoAuth")
    with pytest.raises(kazoo_exceptions.NoAuthError):
        client.Lock("/lock").acquire(blocking=False)


def test_a_lock_that_is_held_is_not_waited_for_for_ever(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    holder, waiter = zk_client_factory(), zk_client_factory()
    holder.Lock("/lock").acquire()
    lock = waiter.Lock("/lock")
    with pytest.raises(kazoo_exceptions.LockTimeout):
        lock.acquire(timeout=0.01)
    assert lock.acquire(blocking=False) is False
    acquiring = Task(lock.acquire)
    _both(zk_server)
    lock.cancel()
    with pytest.raises(kazoo_exceptions.CancelledError):
        acquiring.result()
    assert len(children(zk_server, "/lock")) == 1


# --- ReadLock, WriteLock --------------------------------------------------------------


def test_a_writer_waits_for_all_readers_however_they_go(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    one, two, writer, late = (zk_client_factory() for _ in range(4))
    reading = two.ReadLock("/lock")
    assert one.ReadLock("/lock").acquire()
    assert reading.acquire()
    readers = children(zk_server, "/lock")
    writing = writer.WriteLock("/lock")
    acquiring = Task(writing.acquire)
    watched = zk_server.wait_for_watch(f"/lock/{readers[1]}", client=writer)
    zk_server.expire_session(one)
    assert not acquiring.is_done
    assert watched in zk_server.watches
    late_reader = Task(late.ReadLock("/lock").acquire)
    reading.release()
    assert acquiring.result()
    assert not late_reader.is_done
    zk_server.expire_session(writer)
    assert late_reader.result()


def test_a_reader_that_comes_back_still_reads(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    reader, writer = zk_client_factory(), zk_client_factory()
    reader.ReadLock("/lock").acquire()
    acquiring = Task(writer.WriteLock("/lock").acquire)
    first = f"/lock/{_both(zk_server)[0]}"
    zk_server.wait_for_watch(first)
    assert zk_server.drop_connections() == 2
    zk_server.wait_for_session(reader)
    zk_server.wait_for_watch(first, client=writer)
    assert not acquiring.is_done
    zk_server.expire_session(reader)
    assert acquiring.result()


# --- Semaphore ------------------------------------------------------------------------


def test_a_lease_is_free_when_its_holder_expires(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    one, two, three = (zk_client_factory() for _ in range(3))
    semaphores = [
        client.Semaphore("/semaphore", str(number), max_leases=2)
        for number, client in enumerate((one, two, three))
    ]
    assert semaphores[0].acquire()
    assert semaphores[1].acquire()
    acquiring = Task(semaphores[2].acquire)
    zk_server.wait_for_watch("/semaphore", kind="children", client=three)
    zk_server.drop_connection(one)
    zk_server.wait_for_session(one)
    assert not acquiring.is_done
    zk_server.expire_session(one)
    assert acquiring.result()
    assert sorted(semaphores[1].lease_holders()) == ["1", "2"]


def test_one_who_waits_for_a_lease_and_expires_waits_again(
    zk_server: ZooKeeperServer, zk_client_factory: Connect
) -> None:
    holder, waiter = zk_client_factory(), zk_client_factory()
    semaphore = holder.Semaphore("/semaphore")
    semaphore.acquire()
    acquiring = Task(waiter.Semaphore("/semaphore").acquire)
    zk_server.wait_for_watch("/semaphore", kind="children", client=waiter)
    old = waiter.client_id[0]
    zk_server.expire_session(waiter)
    zk_server.wait_until(
        lambda: [watch for watch in zk_server.watches if watch.session_id != old],
        "the waiter watches in its new session",
    )
    assert not acquiring.is_done
    semaphore.release()
    assert acquiring.result()
