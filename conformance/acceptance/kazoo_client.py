"""kazoo on a server: its recipes, and the requests that they use.

Shell.

Each scenario gets a target and raises AssertionError when the client did not get what it should.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import attrs
import kazoo.exceptions
from kazoo.client import KazooClient, KazooState
from kazoo.security import make_digest_acl

from conformance.frames import Address

PATIENCE_S: Final = 15.0


@attrs.frozen
class Target:
    """Where the clients connect, and with what: TLS, a login, or nothing."""

    address: Address
    options: Mapping[str, Any] = attrs.field(factory=dict)


@contextmanager
def client(target: Target, **options: Any) -> Iterator[Any]:
    """Gives a started client, and stops it in the end."""
    host, port = target.address
    made = KazooClient(hosts=f"{host}:{port}", timeout=10.0, **target.options, **options)
    made.start(timeout=PATIENCE_S)
    try:
        yield made
    finally:
        made.stop()
        made.close()


def nodes(target: Target) -> None:
    """Create, read, change, delete; sequences, ephemerals, errors."""
    with client(target) as one, client(target) as two:
        one.ensure_path("/nodes/a/b")
        assert one.create("/nodes/s-", b"x", sequence=True) == "/nodes/s-0000000001"
        path, stat = one.create("/nodes/e", b"data", ephemeral=True, include_data=True)
        assert (path, stat.ephemeralOwner) == ("/nodes/e", one.client_id[0])
        assert two.get("/nodes/e")[0] == b"data"
        changed = two.set("/nodes/e", b"more")
        assert (changed.version, changed.data_length) == (1, 4)
        expect(kazoo.exceptions.BadVersionError, two.set, "/nodes/e", b"", 7)
        expect(kazoo.exceptions.NodeExistsError, two.create, "/nodes/e")
        expect(kazoo.exceptions.NoNodeError, two.get, "/nothing")
        expect(kazoo.exceptions.NotEmptyError, two.delete, "/nodes")
        expect(kazoo.exceptions.NoChildrenForEphemeralsError, two.create, "/nodes/e/f")
        one.stop()
        assert two.exists("/nodes/e") is None
        two.delete("/nodes", recursive=True)


def expect(error: type[Exception], call: Callable[..., Any], *arguments: Any) -> None:
    """Checks that a call fails with an error."""
    try:
        call(*arguments)
    except error:
        return
    raise AssertionError(f"{call.__name__}{arguments} did not raise {error.__name__}")


def transactions(target: Target) -> None:
    """Transactions: all or nothing."""
    with client(target) as one:
        one.create("/transactions")
        batch = one.transaction()
        batch.create("/transactions/a", b"1")
        batch.check("/transactions/a", 0)
        batch.set_data("/transactions/a", b"2")
        batch.delete("/transactions/a")
        results = batch.commit()
        assert results[0] == "/transactions/a", results
        assert not any(isinstance(result, Exception) for result in results), results
        batch = one.transaction()
        batch.create("/transactions/b")
        batch.delete("/transactions/missing")
        batch.create("/transactions/c")
        names = [type(result).__name__ for result in batch.commit()]
        assert names == ["RolledBackError", "NoNodeError", "RuntimeInconsistency"], names
        assert one.get_children("/transactions") == []


def permissions(target: Target) -> None:
    """Digest identities and access control lists."""
    with client(target, auth_data=[("digest", "alice:a")]) as alice, client(target) as other:
        acl = [make_digest_acl("alice", "a", all=True)]
        alice.create("/private", b"secret", acl=acl)
        expect(kazoo.exceptions.NoAuthError, other.get, "/private")
        assert alice.get_acls("/private")[0] == acl
        other.add_auth("digest", "alice:a")
        assert other.get("/private")[0] == b"secret"
        expect(kazoo.exceptions.InvalidACLError, other.set_acls, "/private", [])
        alice.delete("/private")


def watchers(target: Target) -> None:
    """DataWatch, ChildrenWatch and plain watches."""
    with client(target) as one, client(target) as two:
        one.ensure_path("/watchers")
        seen: list[Any] = []
        children: list[list[str]] = []
        got, listed, fired = threading.Event(), threading.Event(), threading.Event()

        def on_data(data: bytes | None, _stat: Any) -> None:
            seen.append(data)
            if data == b"three":
                got.set()

        def on_children(names: list[str]) -> None:
            children.append(sorted(names))
            if names and sorted(names) == ["a", "b"]:
                listed.set()

        one.DataWatch("/watchers", on_data)
        one.ChildrenWatch("/watchers", on_children)
        one.exists("/watchers/later", watch=lambda _event: fired.set())
        two.set("/watchers", b"two")
        two.set("/watchers", b"three")
        two.create("/watchers/a")
        two.create("/watchers/b")
        assert got.wait(PATIENCE_S), seen
        assert listed.wait(PATIENCE_S), children
        two.create("/watchers/later")
        assert fired.wait(PATIENCE_S)


def lock(target: Target) -> None:
    """Lock: four threads on two clients, never two inside."""
    inside: list[int] = []
    together: list[int] = []
    with client(target) as one, client(target) as two:

        def work(which: Any) -> None:
            for _ in range(5):
                with which.Lock("/lock", "worker"):
                    inside.append(1)
                    together.append(len(inside))
                    inside.pop()

        threads = [threading.Thread(target=work, args=(c,)) for c in (one, two, one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S * 4)
        assert together == [1] * 20, together
        semaphore = one.Semaphore("/semaphore", max_leases=1)
        with semaphore:
            assert not two.Semaphore("/semaphore", max_leases=1).acquire(blocking=False)


def election(target: Target) -> None:
    """Election: the next one leads when the first gives up."""
    led: list[str] = []
    with client(target) as one, client(target) as two:
        threads = [
            threading.Thread(target=c.Election("/election", name).run, args=(led.append, name))
            for c, name in ((one, "one"), (two, "two"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert sorted(led) == ["one", "two"], led


def counter_queue_party(target: Target) -> None:
    """Counter, Queue, LockingQueue, Party, Barrier and DoubleBarrier."""
    with client(target) as one, client(target) as two:
        first, second = one.Counter("/counter"), two.Counter("/counter")
        for _ in range(5):
            first += 2
            second -= 1
        assert first.value == 5
        queue = one.Queue("/queue")
        for value in (b"1", b"2", b"3"):
            queue.put(value)
        other = two.Queue("/queue")
        assert [other.get() for _ in range(3)] == [b"1", b"2", b"3"]
        locking = one.LockingQueue("/locking")
        locking.put_all([b"a", b"b"])
        assert two.LockingQueue("/locking").get(PATIENCE_S) == b"a"
        party = one.Party("/party", "one")
        party.join()
        two.Party("/party", "two").join()
        assert sorted(party) == ["one", "two"]
        barrier = one.Barrier("/barrier")
        barrier.create()
        waiter = threading.Thread(target=two.Barrier("/barrier").wait, args=(PATIENCE_S,))
        waiter.start()
        barrier.remove()
        waiter.join(PATIENCE_S)
        assert not waiter.is_alive()
        entering = [
            threading.Thread(target=c.DoubleBarrier("/double", 2).enter) for c in (one, two)
        ]
        for thread in entering:
            thread.start()
        for thread in entering:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def reconnection(target: Target) -> None:
    """A broken connection: the session, its ephemerals and its watches go on."""
    with client(target) as one, client(target) as two:
        one.create("/mine", ephemeral=True)
        one.ensure_path("/watched")
        states: list[str] = []
        back, fired = threading.Event(), threading.Event()

        def on_state(state: str) -> None:
            states.append(state)
            if state == KazooState.CONNECTED:
                back.set()

        one.get("/watched", watch=lambda _event: fired.set())
        one.add_listener(on_state)
        session = one.client_id[0]
        one._connection._socket.shutdown(2)
        assert back.wait(PATIENCE_S), states
        assert states == [KazooState.SUSPENDED, KazooState.CONNECTED], states
        assert one.client_id[0] == session
        assert two.exists("/mine").ephemeralOwner == session
        two.set("/watched", b"changed")
        assert fired.wait(PATIENCE_S)


def bulk(target: Target) -> None:
    """Many requests under way at once."""
    with client(target) as one:
        one.ensure_path("/bulk")
        made = [one.create_async(f"/bulk/n{number:04d}", bytes(100)) for number in range(1000)]
        for result in made:
            result.get(timeout=PATIENCE_S)
        assert len(one.get_children("/bulk")) == 1000
        one.delete("/bulk", recursive=True)


SCENARIOS: Final[tuple[Callable[[Target], None], ...]] = (
    nodes,
    transactions,
    permissions,
    watchers,
    lock,
    election,
    counter_queue_party,
    reconnection,
    bulk,
)
