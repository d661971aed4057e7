"""kazoo clients that work while members are killed and replaced, and check what they are told.

Shell.

Appenders create numbered nodes, one after the other; lockers raise one number under kazoo's Lock,
and readers look at it through whatever member they have.  All hold an ephemeral.  No session may be
lost, nothing acknowledged may be missing, nobody may meet another under the lock.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    BadVersionError,
    ConnectionClosedError,
    ConnectionLoss,
    NodeExistsError,
    OperationTimeoutError,
)
from kazoo.retry import KazooRetry

from conformance.mixed.members import MixedError, check

SESSION_S = 30.0
PAUSE_S = 0.02
"""The pause between two operations of a client, as this is no test of speed."""
STALL_S = 60.0
"""The longest time of an operation during a change of leaders."""
UNKNOWN_OUTCOME = (ConnectionLoss, ConnectionClosedError, OperationTimeoutError)


class Worker:
    """A client with a thread that repeats one kind of work."""

    def __init__(self, hosts: str, top: str, number: int) -> None:
        self.top = top
        self.number = number
        self.client: Any = KazooClient(
            hosts,
            timeout=SESSION_S,
            connection_retry=KazooRetry(max_tries=-1, delay=0.05, max_delay=0.5),
            command_retry=KazooRetry(max_tries=-1, delay=0.05, max_delay=0.5),
            randomize_hosts=True,
        )
        self.lost = 0
        self.acknowledged = 0
        self.attempted = 0
        self.trouble = ""
        self.last_at = time.monotonic()
        self.slowest_s = 0.0
        self.is_stopping = False
        self.may_work = threading.Event()
        self.may_work.set()
        self.is_idle = threading.Event()
        self.client.add_listener(self._listen)
        self.client.start(timeout=60)
        self.session = self.client.client_id
        self.client.create(self.ephemeral, b"", ephemeral=True)
        self.thread = threading.Thread(target=self._run, daemon=True)

    @property
    def ephemeral(self) -> str:
        """The path of the client's ephemeral node."""
        return f"{self.top}/alive-{self.number}"

    def _listen(self, state: str) -> None:
        if state == KazooState.LOST and not self.is_stopping:
            self.lost += 1

    def _run(self) -> None:
        while not self.is_stopping:
            if not self.may_work.is_set():
                self.is_idle.set()
                self.may_work.wait()
                self.is_idle.clear()
            begin = time.monotonic()
            self.attempted += 1
            try:
                self.step()
            except Exception as error:
                self.trouble = f"{type(error).__name__} {error} in {self}"
                return
            self.acknowledged += 1
            self.last_at = time.monotonic()
            self.slowest_s = max(self.slowest_s, self.last_at - begin)
            time.sleep(PAUSE_S)

    def step(self) -> None:
        """Does one piece of work."""
        raise NotImplementedError

    def finish(self) -> None:
        """Waits until the client has ended its last piece of work."""
        self.is_stopping = True
        self.may_work.set()
        self.thread.join(STALL_S)
        check(not self.thread.is_alive(), f"{self} hangs")

    def close(self) -> None:
        """Ends the session."""
        self.is_stopping = True
        self.may_work.set()
        self.client.stop()
        self.client.close()

    def __str__(self) -> str:
        return f"{type(self).__name__} {self.number}"


class Appender(Worker):
    """Creates numbered nodes; a node that is there after a lost connection was created by it."""

    def path(self, step: int) -> str:
        """Returns the path of a step's node."""
        return f"{self.top}/a{self.number}-{step:06d}"

    def step(self) -> None:
        """Creates the next node, in as many attempts as it takes."""
        path, data = self.path(self.acknowledged), b"%d" % self.acknowledged
        is_first = True
        while True:
            try:
                self.client.create(path, data)
                return
            except NodeExistsError:
                if is_first:
                    raise
                return
            except UNKNOWN_OUTCOME:
                is_first = False
                time.sleep(0.05)


class Locker(Worker):
    """Raises a number under kazoo's Lock; no other client may have raised it meanwhile."""

    def step(self) -> None:
        """Takes the lock, adds one, gives it back."""
        with self.client.Lock(f"{self.top}/lock", f"{self.number}"):
            path = f"{self.top}/locked"
            data, stat = self.client.retry(self.client.get, path)
            self._write(path, b"%d" % (int(data) + 1), stat.version)

    def _write(self, path: str, data: bytes, version: int) -> None:
        """Writes once; after a lost connection a wrong version shows that the write was done."""
        is_first = True
        while True:
            try:
                self.client.set(path, data, version)
                return
            except BadVersionError:
                found, _ = self.client.retry(self.client.get, path)
                if is_first or found != data:
                    raise
                return
            except UNKNOWN_OUTCOME:
                is_first = False
                time.sleep(0.05)


class Reader(Worker):
    """Reads through its member and never sees a number go back, also when it changes members."""

    seen = -1

    def step(self) -> None:
        """Reads the number that the lockers raise."""
        data, _ = self.client.retry(self.client.get, f"{self.top}/locked")
        check(int(data) >= self.seen, f"{self} read {int(data)} after {self.seen}")
        self.seen = int(data)


class Load:
    """Some clients of each kind, on a node of their own."""

    def __init__(self, hosts: str, top: str = "/load", of_each: int = 2) -> None:
        logging.getLogger("kazoo").setLevel(logging.CRITICAL)
        self.top = top
        self.admin: Any = KazooClient(hosts, timeout=SESSION_S)
        self.admin.start(timeout=60)
        self.admin.ensure_path(top)
        self.admin.create(f"{top}/locked", b"0")
        self.workers: list[Worker] = []
        for _ in range(of_each):
            for kind in (Appender, Locker, Reader):
                self.workers.append(kind(hosts, top, len(self.workers)))

    def start(self) -> None:
        """Starts all clients."""
        for worker in self.workers:
            worker.thread.start()

    def use(self, hosts: str) -> None:
        """Tells all clients where the members are from now on; connections stay."""
        for client in (self.admin, *(worker.client for worker in self.workers)):
            client.set_hosts(hosts)

    def pause(self) -> None:
        """Lets all clients end their piece of work and wait; their sessions stay."""
        for worker in self.workers:
            worker.may_work.clear()
        for worker in self.workers:
            check(worker.is_idle.wait(STALL_S), f"{worker} hangs")
        self.check_alive()

    def resume(self) -> None:
        """Lets all clients go on."""
        for worker in self.workers:
            worker.may_work.set()

    def progress(self, seconds: float = 1.0, timeout: float = STALL_S) -> None:
        """Waits until every client has done a piece of work from now on, and a little longer."""
        begin = time.monotonic()
        before = [worker.acknowledged for worker in self.workers]
        while True:
            self.check_alive()
            done = all(w.acknowledged > b for w, b in zip(self.workers, before, strict=True))
            passed = time.monotonic() - begin
            if done and passed >= seconds:
                return
            if passed > timeout:
                idle = [
                    str(w) for w, b in zip(self.workers, before, strict=True) if w.acknowledged == b
                ]
                raise MixedError(f"nothing done for {timeout:g} s by {', '.join(idle)}")
            time.sleep(0.05)

    def check_alive(self) -> None:
        """Checks that no client has found a fault or lost its session."""
        for worker in self.workers:
            check(not worker.trouble, worker.trouble)
            check(not worker.lost, f"{worker} lost its session")

    def finish(self, hosts: str) -> str:
        """Ends the work and compares what clients were told with the tree that the members at
        ``hosts`` have; returns a few words."""
        for worker in self.workers:
            worker.finish()
        self.check_alive()
        names, value = self._found(hosts)
        raised = 0
        for worker in self.workers:
            check(worker.client.client_id == worker.session, f"{worker} has another session")
            check(worker.ephemeral.rsplit("/", 1)[1] in names, f"{worker.ephemeral} is gone")
            if isinstance(worker, Appender):
                for step in range(worker.acknowledged):
                    name = worker.path(step).rsplit("/", 1)[1]
                    check(name in names, f"{name} was acknowledged and is not there")
                beyond = worker.path(worker.attempted).rsplit("/", 1)[1]
                check(beyond not in names, f"{beyond} was never sent")
            elif isinstance(worker, Locker):
                raised += worker.acknowledged
        check(value == raised, f"the number under the lock is {value}, raised {raised} times")
        done = sum(worker.acknowledged for worker in self.workers)
        slowest = max(worker.slowest_s for worker in self.workers)
        return (
            f"{len(self.workers)} kazoo clients did {done} pieces of work, none lost, no session"
            f" lost, longest wait {slowest:.1f} s"
        )

    def _found(self, hosts: str) -> tuple[set[str], int]:
        """Returns the names of the nodes and the number that the lockers raise."""
        client: Any = KazooClient(hosts, timeout=SESSION_S)
        client.start(timeout=60)
        try:
            client.retry(client.sync, self.top)
            names = set(client.retry(client.get_children, self.top))
            return names, int(client.retry(client.get, f"{self.top}/locked")[0])
        finally:
            client.stop()
            client.close()

    def close(self) -> None:
        """Ends all sessions."""
        for worker in self.workers:
            worker.close()
        self.admin.stop()
        self.admin.close()

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
