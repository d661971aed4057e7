"""Clients of an ensemble under faults: sessions that move between members, and what they were told.

Shell.

Each has a thread, and at most one connection, on which it sends a few requests at once and awaits
the answers in their order.  When the connection breaks, whatever had no answer stays unknown and is
never sent again; the session is taken up on another member.  Now and then a session is closed, or
given up without a word.  Some clients only read and change members often: a write would keep them
waiting while their member lags behind, and that is when there is something to see.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from conformance import wire
from conformance.ensemble_history import EPHEMERAL, OF_SESSIONS, SEQUENTIAL, Operation, Stat, Znode
from conformance.frames import Address, Client, Frame, new_session

TOP: Final = "/faults"
FOLDERS: Final = (f"{TOP}/items", f"{TOP}/alive", f"{TOP}/numbered")
REGISTERS: Final = tuple(f"{TOP}/register{number}" for number in range(4))
SESSION_MS: Final = 8000
ANSWER_S: Final = 4.0
PAUSE_S: Final = 0.02
UNSIGNED: Final = 0xFFFFFFFFFFFFFFFF
BATCH: Final = 200
"""How many requests are under way when a tree is read."""


class DisorderError(Exception):
    """An answer that was not due, or a session that is not the one asked for."""


def stat_of(reader: wire.Reader) -> Stat:
    """Returns the statistics that come next."""
    stat = reader.stat()
    czxid, mzxid, owner = (int(str(stat[key]), 16) for key in ("czxid", "mzxid", "ephemeralOwner"))
    return Stat(czxid, mzxid, int(str(stat["version"])), owner)


class Worker:
    """A client with its thread."""

    def __init__(
        self,
        number: int,
        addresses: Sequence[Address],
        chance: random.Random,
        window: int,
        is_reader: bool = False,
    ) -> None:
        self.number = number
        self.addresses = list(addresses)
        self.chance = chance
        self.window = window
        self.is_reader = is_reader
        self.operations: list[Operation] = []
        self.session = 0
        """The session id; 0 while there is none."""
        self.sessions = 0
        self.moves = 0
        self.trouble = ""
        self.is_stopping = threading.Event()
        self.is_over = threading.Event()
        self.is_settled = threading.Event()
        """Set when the client works no more; it keeps its session, if it has one."""
        self._client: Client | None = None
        self._password = bytes(16)
        self._last_zxid = 0
        self._xid = 0
        self._values = 0
        self._versions: dict[str, int] = {}
        self._deletable: list[str] = []
        self.thread = threading.Thread(target=self._run, daemon=True)

    # --- the thread -----------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self.is_stopping.is_set():
                self._step()
                time.sleep(self.chance.uniform(0, 2 * PAUSE_S))
            self._settle()
        except DisorderError as error:
            self.trouble = f"client {self.number}: {error}"
        except Exception as error:
            self.trouble = f"client {self.number}: {error!r}"
        self.is_settled.set()
        while not self.is_over.wait(1.0):
            self._stay()
        if self._client is not None:
            self._client.channel.close()

    def _step(self) -> None:
        if self._client is None:
            self._connect()
            return
        luck = self.chance.random()
        if luck < 0.003:
            self._close()
        elif luck < 0.005:
            self._disconnect()
            self.session = 0  # given up: it ends by itself
        elif luck < (0.15 if self.is_reader else 0.025):
            self._disconnect()
        else:
            self._ask(self._some())

    def _settle(self) -> None:
        """Ends the work: half of the clients close their sessions, the others keep them."""
        while self.session and self._client is None:
            self._connect(may_begin=False)
        while self.session and self.number % 2:
            if self._client is None:
                self._connect(may_begin=False)
            else:
                self._close()

    def _stay(self) -> None:
        """Keeps the session until the end."""
        if not self.session or self.trouble:
            return
        try:
            if self._client is None:
                self._connect(may_begin=False)
            elif self._client.call("ping", xid=-2).xid != -2:
                raise DisorderError("no answer to a ping")
        except OSError:
            self._disconnect()
        except DisorderError as error:
            self.trouble = f"client {self.number}: {error}"

    # --- connections ----------------------------------------------------------------

    def _connect(self, may_begin: bool = True) -> None:
        """Connects to one member; takes up the session, or begins one."""
        if not self.session and not may_begin:
            return
        client: Client | None = None
        try:
            client = Client(self.chance.choice(self.addresses), ANSWER_S)
            client.xid = self._xid
            if client.connect(SESSION_MS, self.session, self._password, self._last_zxid):
                self._connected(client)
                return
            if not self.session:
                raise DisorderError("a new session was refused as expired")
            self.session = 0
        except OSError:
            time.sleep(self.chance.uniform(0.02, 0.2))
        if client is not None:
            client.channel.close()

    def _connected(self, client: Client) -> None:
        session = client.session & UNSIGNED
        if not self.session:
            self.sessions += 1
            self.session, self._password, self._last_zxid = session, client.password, 0
        elif session != self.session:
            raise DisorderError(f"asked for {self.session:#x}, got {session:#x}")
        else:
            self.moves += 1
            self._password = client.password
        self._client = client

    def _disconnect(self) -> None:
        if self._client is not None:
            self._xid = self._client.xid
            self._client.channel.close()
            self._client = None

    # --- requests -------------------------------------------------------------------

    def _value(self) -> bytes:
        self._values += 1
        return b"%d.%d" % (self.number, self._values)

    def _new(self, kind: str, path: str, **rest: object) -> Operation:
        operation = Operation(self.number, self.session, kind, path)
        for name, value in rest.items():
            setattr(operation, name, value)
        return operation

    def _some(self) -> list[Operation]:
        """Returns the next requests."""
        found: list[Operation] = []
        while len(found) < self.window:
            found.extend(self._one())
        return found

    def _one(self) -> list[Operation]:
        register = self.chance.choice(REGISTERS)
        luck = self.chance.random()
        if self.is_reader:
            luck = 0.35 + luck * 0.35
        if luck < 0.35:
            version = self._versions.get(register, -1) if self.chance.random() < 0.7 else -1
            return [self._new("set", register, data=self._value(), version=version)]
        if luck < 0.60:
            return [self._new("get", register)]
        if luck < 0.70:
            return [self._new("sync", register), self._new("get", register)]
        if luck < 0.76 and self._deletable:
            place = self.chance.randrange(len(self._deletable))
            return [self._new("delete", self._deletable.pop(place))]
        flags = self.chance.choice((0, 0, EPHEMERAL, SEQUENTIAL, EPHEMERAL | SEQUENTIAL))
        value = self._value()
        if flags & SEQUENTIAL:
            path = f"{FOLDERS[2]}/n-"
        else:
            path = f"{FOLDERS[1 if flags else 0]}/{value.decode()}"
        return [self._new("create", path, data=value, flags=flags)]

    def _ask(self, operations: list[Operation]) -> None:
        """Sends all requests and takes the answers; what is not answered stays unknown."""
        client = self._client
        assert client is not None
        expected = []
        for each in operations:
            self.operations.append(each)
            each.sent = time.monotonic()
            expected.append(client.send(*_request(each)))
        for each, xid in zip(operations, expected, strict=True):
            try:
                answer = client.receive()
            except OSError:
                self._disconnect()
                return
            if answer.xid != xid:
                raise DisorderError(f"answer {answer.xid} where {xid} was due: {each}")
            self._answered(each, answer)
            if each.error in OF_SESSIONS:
                self._disconnect()
                return

    def _answered(self, each: Operation, answer: Frame) -> None:
        reader = wire.Reader(answer.body)
        if not answer.err:
            if each.kind == "create":
                each.name = reader.string() or ""
                each.stat = stat_of(reader)
                if not each.flags & EPHEMERAL or self.chance.random() < 0.5:
                    self._deletable.append(each.name)
            elif each.kind == "get":
                each.found = reader.buffer() or b""
                each.stat = stat_of(reader)
            elif each.kind == "set":
                each.stat = stat_of(reader)
            if each.stat is not None and each.kind in ("get", "set"):
                self._versions[each.path] = each.stat.version
        each.zxid, each.error = answer.zxid, answer.err
        self._last_zxid = max(self._last_zxid, answer.zxid)
        each.returned = time.monotonic()

    def _close(self) -> None:
        each = self._new("close", "")
        self._ask([each])
        if each.is_done:
            self._disconnect()
            self.session = 0


def _request(each: Operation) -> tuple[str, bytes]:
    if each.kind == "create":
        return "create2", wire.create(each.path, each.data, flags=each.flags)
    if each.kind == "set":
        return "setData", wire.set_data(each.path, each.data, each.version)
    if each.kind == "get":
        return "getData", wire.path_watch(each.path)
    if each.kind == "delete":
        return "delete", wire.path_version(each.path)
    if each.kind == "sync":
        return "sync", wire.string(each.path)
    return "closeSession", b""


def prepare(address: Address) -> None:
    """Creates the nodes that the clients work on."""
    client = new_session(address)
    for path in (TOP, *FOLDERS, *REGISTERS):
        answer = client.call("create", wire.create(path))
        if answer.err:
            raise DisorderError(f"cannot create {path}: error {answer.err}")
    client.close_session()


def read_tree(address: Address) -> dict[str, Znode]:
    """Returns the tree of a member, after a sync."""
    client = new_session(address)
    client.call("sync", wire.string(TOP))
    paths = list(REGISTERS)
    for folder in FOLDERS:
        answer = client.call("getChildren", wire.path_watch(folder))
        if answer.err:
            raise DisorderError(f"cannot list {folder}: error {answer.err}")
        names = wire.Reader(answer.body).strings() or []
        paths.extend(f"{folder}/{name}" for name in sorted(map(str, names)))
    tree = {}
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        for path in batch:
            client.send("getData", wire.path_watch(path))
        for path in batch:
            answer = client.receive()
            if not answer.err:
                reader = wire.Reader(answer.body)
                data = reader.buffer() or b""
                tree[path] = Znode(data, stat_of(reader))
    client.close_session()
    return tree


def run_together(workers: Sequence[Worker], work: Callable[[], None]) -> None:
    """Does something while the clients work; afterwards they stop and keep their sessions."""
    for worker in workers:
        worker.thread.start()
    try:
        work()
    finally:
        for worker in workers:
            worker.is_stopping.set()
    for worker in workers:
        if not worker.is_settled.wait(60):
            worker.trouble = worker.trouble or f"client {worker.number} hangs"
