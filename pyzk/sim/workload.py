"""The choice of a client's next request.

Pure. The client does not know which znodes exist: many requests fail, and that is an answer like
any other. No data is written twice, so that a reader can tell which write it sees.
"""

from __future__ import annotations

from random import Random
from typing import Final, Protocol

from pyzk.constants import CreateMode, OpCode
from pyzk.jute.records import (
    ACL,
    CheckVersionRequest,
    CreateRequest,
    DeleteRequest,
    MultiHeader,
    PathRequest,
    PathWatchRequest,
    SetDataRequest,
)
from pyzk.sim.options import Options

OPEN: Final = [ACL(31, "world", "anyone")]
CHILD_NAMES: Final = 3

Asked = tuple[int, str, bytes, bool]
"""(opcode, path, body, whether the request sets a watch)."""


class Record(Protocol):
    def encode(self) -> bytes: ...


class Workload:
    """The requests of one client."""

    def __init__(self, client: int, options: Options, rng: Random) -> None:
        self.client = client
        self.options = options
        self.rng = rng
        self.sequential: list[str] = []
        """Sequential znodes that the client has created and may delete."""
        self._count = 0

    def next(self) -> Asked:
        """Return the next request."""
        options, rng = self.options, self.rng
        draw = rng.random()
        if draw < options.writes:
            return self.write()
        if rng.random() < options.syncs:
            return OpCode.SYNC, "/", PathRequest("/").encode(), False
        return self._read()

    def write(self) -> Asked:
        """Return a write."""
        options, rng = self.options, self.rng
        if rng.random() < options.multis:
            return self._multi()
        opcode, path, record = self._write()
        return opcode, path, record.encode(), False

    def proof(self) -> Asked:
        """Return a write that cannot fail: its answer proves that the client is served."""
        self._count += 1
        record = SetDataRequest("/", b"proof %d.%d" % (self.client, self._count), -1)
        return OpCode.SET_DATA, "/", record.encode(), False

    # --- pieces ---------------------------------------------------------------------

    def _data(self) -> bytes:
        self._count += 1
        text = b"%d.%d." % (self.client, self._count)
        return text + b"x" * self.rng.randrange(self.options.data_bytes)

    def _top(self) -> str:
        return f"/n{self.rng.randrange(self.options.paths)}"

    def _path(self) -> str:
        top = self._top()
        if self.rng.random() < 0.4:
            return f"{top}/c{self.rng.randrange(CHILD_NAMES)}"
        return top

    def _write(self) -> tuple[int, str, Record]:
        rng = self.rng
        if self.sequential and rng.random() < 0.1:
            path = self.sequential.pop(rng.randrange(len(self.sequential)))
            return OpCode.DELETE, path, DeleteRequest(path, -1)
        kind = rng.random()
        if kind < 0.45:
            path = self._path()
            version = rng.choice((-1, -1, 0, 1, 2))
            return OpCode.SET_DATA, path, SetDataRequest(path, self._data(), version)
        if kind < 0.65:
            path = self._path()
            return OpCode.DELETE, path, DeleteRequest(path, rng.choice((-1, -1, 0, 1)))
        return self._create()

    def _create(self) -> tuple[int, str, Record]:
        options, rng = self.options, self.rng
        is_ephemeral = rng.random() < options.ephemerals
        opcode = rng.choice((OpCode.CREATE, OpCode.CREATE2))
        if rng.random() < options.sequentials:
            mode = CreateMode.EPHEMERAL_SEQUENTIAL if is_ephemeral else 0
            path = f"{self._top()}/s-"
            mode = mode or CreateMode.PERSISTENT_SEQUENTIAL
        else:
            mode = CreateMode.EPHEMERAL if is_ephemeral else CreateMode.PERSISTENT
            path = self._path()
        return opcode, path, CreateRequest(path, self._data(), OPEN, mode)

    def _multi(self) -> Asked:
        rng = self.rng
        parts = []
        first = ""
        for _ in range(rng.randint(1, 4)):
            if rng.random() < 0.2:
                path = self._path()
                opcode: int = OpCode.CHECK
                record: Record = CheckVersionRequest(path, rng.choice((-1, 0, 1)))
            else:
                opcode, path, record = self._write()
            first = first or path
            parts.append(MultiHeader(opcode, False, -1).encode() + record.encode())
        parts.append(MultiHeader(-1, True, -1).encode())
        return OpCode.MULTI, first, b"".join(parts), False

    def _read(self) -> Asked:
        options, rng = self.options, self.rng
        sets_watch = rng.random() < options.watches
        path = self._path()
        kind = rng.random()
        if kind < 0.5:
            opcode = OpCode.GET_DATA
        elif kind < 0.75:
            opcode = OpCode.EXISTS
        else:
            opcode, path = OpCode.GET_CHILDREN2, self._top() if rng.random() < 0.7 else "/"
        return opcode, path, PathWatchRequest(path, sets_watch).encode(), sets_watch
