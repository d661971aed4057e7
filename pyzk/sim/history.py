"""The requests of the clients, and what they were told, in the order in which it happened.

Pure.
"""

from __future__ import annotations

from typing import Final

from pyzk.constants import OpCode

PING: Final = OpCode.PING
SET_WATCHES: Final = OpCode.SET_WATCHES
WRITES: Final = frozenset(
    {
        OpCode.CREATE,
        OpCode.CREATE2,
        OpCode.DELETE,
        OpCode.SET_DATA,
        OpCode.MULTI,
        OpCode.CLOSE_SESSION,
        OpCode.RECONFIG,
    }
)
DATA: Final = 1
EXISTS: Final = 2
CHILDREN: Final = 3


class Operation:
    """One request, from its sending to its answer."""

    __slots__ = (
        "body",
        "client",
        "error",
        "floor",
        "kind",
        "opcode",
        "path",
        "sent_us",
        "session",
        "sets_watch",
        "xid",
        "zxid",
    )

    def __init__(
        self, client: int, session: int, xid: int, opcode: int, path: str, sets_watch: bool = False
    ) -> None:
        self.client = client
        self.session = session
        self.xid = xid
        self.opcode = opcode
        self.path = path
        self.sets_watch = sets_watch
        self.sent_us = 0
        self.floor = 0
        """The highest zxid of a write that any client had an answer to when this was sent."""
        self.zxid = 0
        self.error = 0
        self.body = b""

    @property
    def is_write(self) -> bool:
        return self.opcode in WRITES

    def __str__(self) -> str:
        return f"c{self.client} #{self.xid} {_NAMES.get(self.opcode, self.opcode)} {self.path}"


_NAMES: Final = {
    OpCode.CREATE: "create",
    OpCode.CREATE2: "create",
    OpCode.DELETE: "delete",
    OpCode.SET_DATA: "set",
    OpCode.GET_DATA: "get",
    OpCode.EXISTS: "exists",
    OpCode.GET_CHILDREN2: "children",
    OpCode.MULTI: "multi",
    OpCode.SYNC: "sync",
    OpCode.CLOSE_SESSION: "close",
    OpCode.RECONFIG: "reconfig",
    OpCode.AUTH: "auth",
    OpCode.PING: "ping",
    OpCode.SET_WATCHES: "setWatches",
}


class Watch:
    """A watch that a client has set and that has not fired."""

    __slots__ = ("kind", "path", "since")

    def __init__(self, kind: int, path: str, since: int) -> None:
        self.kind = kind
        self.path = path
        self.since = since
        """The zxid of the state in which it was set."""


class SessionRecord:
    """What a client knows of one session."""

    __slots__ = (
        "asked_us",
        "client",
        "epoch",
        "is_closed",
        "is_closing",
        "is_read_only",
        "last_xid",
        "last_zxid",
        "session_id",
        "timeout_ms",
        "watches",
    )

    def __init__(self, client: int, session_id: int, *, is_read_only: bool = False) -> None:
        self.client = client
        self.is_read_only = is_read_only
        """Whether it was made at a server that has no leader: no other server knows of it."""
        self.timeout_ms = 0
        self.asked_us = 0
        """When the client sent the last ConnectRequest that was granted: from then on it lives for
        its timeout."""
        self.epoch = 0
        """The epoch in which the server was that has granted it."""
        self.is_closing = False
        """Whether the client has asked for its end."""
        self.session_id = session_id
        self.last_zxid = 0
        """The highest zxid in an answer to this session."""
        self.last_xid = 0
        self.watches: dict[tuple[int, str], Watch] = {}
        self.is_closed = False
        """Whether the client has closed the session, or it has expired."""
