"""The work whose instructions `scripts.bench.core` counts: a lone server's core under 50 clients.

Shell, which runs in valgrind. There are no sockets and no disk: frames are handed to the core, its
answers are checked, and each batch of the log is durable as soon as a turn ends. Before and after
each operation comes a mark, a call of `getpgid` in the C library, at which callgrind writes down
what it has counted since the last mark. The names of the operations go to standard output.
"""

from __future__ import annotations

import gc
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Final, NamedTuple

from pyzk.clock import Clock
from pyzk.config.server import ServerConfig
from pyzk.constants import CreateMode, OpCode
from pyzk.data.database import Database
from pyzk.data.tree import DataTree
from pyzk.jute.records import (
    ACL,
    ConnectRequest,
    CreateRequest,
    MultiHeader,
    PathWatchRequest,
    SetDataRequest,
)
from pyzk.quorum.driver import Driver
from pyzk.quorum.standalone import standalone_peer
from pyzk.server.arrival import Arrival
from pyzk.server.connection import Connection

OPEN: Final = [ACL(31, "world", "anyone")]
DATA: Final = bytes(128)
CLIENTS: Final = 50
PIPELINED: Final = 10
"""Frames that a client sends at once."""
ROUND: Final = CLIENTS * PIPELINED
CHILDREN: Final = 1_000
EPHEMERALS: Final = 100
PARTS: Final = 100
"""Creates in one multi."""


class World:
    """A lone server on production's driver; its disk answers at once."""

    def __init__(self) -> None:
        clock = Clock()
        clock.now_ms, clock.wall_ms = 1_000_000, 1_700_000_000_000
        config = ServerConfig(data_dir="/nowhere", max_client_cnxns=0)
        self._peer = standalone_peer(config, Database(DataTree()), clock, Random(1))
        self._driver = Driver(self._peer, self)
        self._answers: list[bytes] = []
        self._unsynced_zxid = 0
        self._is_turn_due = False
        self._driver.start()
        self.run()

    # --- effects

    def append(self, records: list[bytes], last_zxid: int) -> None:
        del records
        self._unsynced_zxid = last_zxid

    def take_snapshot(self, database: Database) -> None:
        del database

    def write(self, connection: Connection) -> None:
        self._answers += connection.out
        connection.out.clear()

    def end_turn_soon(self) -> None:
        self._is_turn_due = True

    def wake_at(self, at_ms: int) -> None:
        del at_ms

    # --- inputs

    def run(self) -> None:
        """Has everything carried out that the inputs have led to."""
        self._driver.flush()
        while self._is_turn_due or self._unsynced_zxid:
            if self._is_turn_due:
                self._is_turn_due = False
                self._driver.end_turn()
            if self._unsynced_zxid:
                zxid, self._unsynced_zxid = self._unsynced_zxid, 0
                self._peer.log_synced(zxid)
                self._driver.flush()

    def connect(self) -> Connection:
        """Returns the connection of a new session."""
        connection = self._peer.accept(Arrival("127.0.0.1", 1))
        assert connection is not None, "nothing limits the number of clients"
        connection.receive(_frame(ConnectRequest(0, 0, 30_000, 0, bytes(16), False).encode()))
        self.run()
        self._answers.clear()
        return connection

    def send(self, frames: Iterable[tuple[Connection, bytes]]) -> None:
        """Hands frames to the core, in one turn."""
        for connection, data in frames:
            connection.receive(data)
            self._driver.flush()
        self.run()

    def check(self, count: int) -> None:
        """Raises AssertionError unless there are so many answers, without an error, since the last
        time."""
        answered, offset, answers = 0, 0, b"".join(self._answers)
        self._answers.clear()
        while offset < len(answers):
            size, _, _, error = struct.unpack_from(">iiqi", answers, offset)
            assert error == 0, error
            answered += 1
            offset += 4 + size
        assert answered == count, (answered, count)


class Operation(NamedTuple):
    """What is counted: the ``frames`` make it so many ``times``, and lead to ``answers``."""

    name: str
    times: int
    frames: list[tuple[Connection, bytes]]
    answers: int


def _frame(payload: bytes) -> bytes:
    return struct.pack(">i", len(payload)) + payload


def _request(xid: int, kind: int, body: bytes = b"") -> bytes:
    return _frame(struct.pack(">ii", xid, kind) + body)


def _create(path: str, flags: int = CreateMode.PERSISTENT) -> bytes:
    return CreateRequest(path, DATA, OPEN, flags).encode()


def _multi(paths: Iterable[str]) -> bytes:
    header = MultiHeader(OpCode.CREATE, False, -1).encode()
    return b"".join(header + _create(path) for path in paths) + MultiHeader(-1, True, -1).encode()


class Work:
    """The clients and their requests. Every call makes new ones, on paths of its own."""

    def __init__(self) -> None:
        self.world = World()
        self._clients = [self.world.connect() for _ in range(CLIENTS)]
        self._rounds = 0
        first = self._clients[0]
        self.world.send([(first, _request(1, OpCode.CREATE, _create("/many")))])
        paths = [f"/many/{number:05}" for number in range(CHILDREN)]
        self.world.send((first, _request(1, OpCode.CREATE, _create(path))) for path in paths)
        self.world.check(1 + CHILDREN)
        self._paths = paths

    def operations(self) -> Iterator[Operation]:
        """Prepare one operation after the other: each must be made before the next is taken."""
        self._rounds += 1
        yield self._pipelined("get", OpCode.GET_DATA, self._get)
        yield self._pipelined("set", OpCode.SET_DATA, self._set)
        yield self._pipelined("create", OpCode.CREATE, self._create)
        yield self._multi()
        yield self._children()
        yield self._changed_children()
        yield self._event()
        yield self._close()

    def _get(self, number: int) -> bytes:
        return PathWatchRequest(self._paths[number], False).encode()

    def _set(self, number: int) -> bytes:
        return SetDataRequest(self._paths[number], DATA, -1).encode()

    def _create(self, number: int) -> bytes:
        return _create(f"/c{self._rounds}-{number}")

    def _pipelined(self, name: str, kind: int, body: Callable[[int], bytes]) -> Operation:
        frames = []
        for first, client in zip(range(0, ROUND, PIPELINED), self._clients, strict=True):
            numbers = range(first, first + PIPELINED)
            data = b"".join(_request(number, kind, body(number)) for number in numbers)
            frames.append((client, data))
        return Operation(name, ROUND, frames, ROUND)

    def _multi(self) -> Operation:
        bodies = [
            _multi(f"/m{self._rounds}-{number}-{part}" for part in range(PARTS))
            for number in range(4)
        ]
        frames = [
            (client, _request(1, OpCode.MULTI, body))
            for client, body in zip(self._clients, bodies, strict=False)
        ]
        return Operation(f"multi of {PARTS} creates", len(frames), frames, len(frames))

    def _children(self) -> Operation:
        request = _request(1, OpCode.GET_CHILDREN, PathWatchRequest("/many", False).encode())
        client = self._clients[0]
        return Operation(f"getChildren of {CHILDREN:,}", 10, [(client, request)] * 10, 10)

    def _changed_children(self) -> Operation:
        """A child comes before each: no answer is that of the last time."""
        ask = _request(1, OpCode.GET_CHILDREN, PathWatchRequest("/many", False).encode())
        frames = []
        for number in range(10):
            body = _create(f"/many/{self._rounds}-{number}")
            frames.append((self._clients[0], _request(1, OpCode.CREATE, body) + ask))
        name = f"create and getChildren of {CHILDREN:,}"
        return Operation(name, len(frames), frames, 2 * len(frames))

    def _event(self) -> Operation:
        """A write that everybody watches: the share of one event in it."""
        path = self._paths[0]
        watch = _request(1, OpCode.GET_DATA, PathWatchRequest(path, True).encode())
        self.world.send((client, watch) for client in self._clients)
        self.world.check(CLIENTS)
        change = _request(1, OpCode.SET_DATA, SetDataRequest(path, DATA, -1).encode())
        return Operation("watch event", CLIENTS, [(self._clients[0], change)], CLIENTS + 1)

    def _close(self) -> Operation:
        frames: list[tuple[Connection, bytes]] = []
        for client in [self.world.connect() for _ in range(3)]:
            first = len(frames) * EPHEMERALS
            paths = [f"/e{self._rounds}-{first + part}" for part in range(EPHEMERALS)]
            bodies = [_create(path, CreateMode.EPHEMERAL) for path in paths]
            self.world.send((client, _request(1, OpCode.CREATE, body)) for body in bodies)
            self.world.check(EPHEMERALS)
            frames.append((client, _request(1, OpCode.CLOSE_SESSION)))
        name = f"closeSession with {EPHEMERALS} ephemerals"
        return Operation(name, len(frames), frames, len(frames))


def mark() -> None:
    """Has callgrind write down what it has counted."""
    os.getpgid(0)


def main() -> None:
    """Do every operation twice: CPython fits its byte code to what it does in the first round."""
    work = Work()
    for is_counted in (False, True):
        for operation in work.operations():
            # What a collection costs hangs on everything that has been made before.
            gc.collect()
            gc.freeze()
            mark()
            work.world.send(operation.frames)
            mark()
            work.world.check(operation.answers)
            if is_counted:
                print(operation.times, operation.name)


if __name__ == "__main__":
    main()
