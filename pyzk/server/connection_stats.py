"""The statistics of one connection, as ``cons`` and ``stat`` show them.

Pure. ZooKeeper: ServerCnxn.
"""

from __future__ import annotations

from typing import Final

from pyzk.clock import Clock
from pyzk.constants import OpCode

_NONE: Final = 1 << 31
"""What no client sends as an opcode."""

_TAGS: Final = {
    OpCode.PING: "PING",
    OpCode.CREATE_SESSION: "SESS",
    OpCode.CLOSE_SESSION: "CLOS",
    OpCode.CREATE: "CREA",
    OpCode.CREATE2: "CREA",
    OpCode.CREATE_CONTAINER: "CREA",
    OpCode.CREATE_TTL: "CREA",
    OpCode.DELETE: "DELE",
    OpCode.DELETE_CONTAINER: "DELE",
    OpCode.SET_DATA: "SETD",
    OpCode.SET_ACL: "SETA",
    OpCode.MULTI: "MULT",
    OpCode.MULTI_READ: "MLTR",
    OpCode.RECONFIG: "RECO",
    OpCode.SYNC: "SYNC",
    OpCode.CHECK: "CHEC",
    OpCode.EXISTS: "EXIS",
    OpCode.GET_DATA: "GETD",
    OpCode.GET_ACL: "GETA",
    OpCode.GET_CHILDREN: "GETC",
    OpCode.GET_CHILDREN2: "GETC",
    OpCode.GET_ALL_CHILDREN_NUMBER: "GETACN",
    OpCode.GET_EPHEMERALS: "GETE",
    OpCode.SET_WATCHES: "SETW",
    OpCode.SET_WATCHES2: "STW2",
    OpCode.ADD_WATCH: "ADDW",
    OpCode.CHECK_WATCHES: "CHKW",
    OpCode.REMOVE_WATCHES: "REMW",
    OpCode.WHO_AM_I: "HOMI",
}
"""Opcode -> what ``cons`` shows as the last operation of a connection."""


class ConnectionStats:
    """The counters of one connection, which are filled once a chunk and not once a frame."""

    __slots__ = (
        "_clock",
        "average_count",
        "average_sum",
        "established_wall_ms",
        "last_cxid",
        "last_latency_ms",
        "last_opcode",
        "last_response_ms",
        "last_zxid",
        "max_latency_ms",
        "min_latency_ms",
        "packets_received",
        "packets_sent",
    )

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.established_wall_ms = clock.wall_ms
        self.packets_received = 0
        self.packets_sent = 0
        self.reset_latency()

    def reset_latency(self) -> None:
        """Forget requests and latencies; keep the counts of packets."""
        self.last_opcode = _NONE
        self.last_cxid = -1
        self.last_zxid = -1
        self.last_response_ms = 0
        self.last_latency_ms = 0
        self.min_latency_ms = -1
        self.max_latency_ms = 0
        self.average_count = 0
        self.average_sum = 0

    def reset(self) -> None:
        """Forget everything but when the connection was made (``crst``)."""
        self.packets_received = self.packets_sent = 0
        self.reset_latency()

    def received(self, count: int) -> None:
        """Note that so many frames have come; a four-letter word is one."""
        self.packets_received += count

    def served(self, count: int, replied: int, xid: int, opcode: int, zxid: int) -> None:
        """Note a chunk of ``count`` frames, ``replied`` of them answered at once."""
        self.packets_received += count
        self.last_opcode = opcode
        self.last_cxid = xid
        if replied:
            self.last_zxid = zxid
            self.last_response_ms = self._clock.now_ms
            self.last_latency_ms = self.min_latency_ms = 0
            self.average_count += replied

    def answered(self, zxid: int, latency_ms: int) -> None:
        """Note a reply to a request that had to wait."""
        self.last_zxid = zxid
        self.last_response_ms = self._clock.now_ms
        self.last_latency_ms = latency_ms
        if self.min_latency_ms < 0 or latency_ms < self.min_latency_ms:
            self.min_latency_ms = latency_ms
        if latency_ms > self.max_latency_ms:
            self.max_latency_ms = latency_ms
        self.average_count += 1
        self.average_sum += latency_ms

    @property
    def last_op(self) -> str:
        """The last request, as ``cons`` names it."""
        return _TAGS.get(self.last_opcode, "NA")

    @property
    def average_latency_ms(self) -> int:
        """The mean latency, rounded down."""
        return self.average_sum // self.average_count if self.average_count else 0
