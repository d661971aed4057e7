"""The statistics of one connection, as ``cons`` and ``stat`` show them.

Pure. ZooKeeper: ServerCnxn.
"""

from __future__ import annotations

from pyzk.clock import Clock


class ConnectionStats:
    """The counters of one connection, which are filled once a chunk and not once a frame."""

    __slots__ = (
        "_clock",
        "average_count",
        "average_sum",
        "established_wall_ms",
        "last_cxid",
        "last_latency_ms",
        "last_op",
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
        self.last_op = "NA"
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

    def served(self, count: int, replied: int, xid: int, last_op: str, zxid: int) -> None:
        """Note a chunk of ``count`` frames, ``replied`` of them answered at once."""
        self.packets_received += count
        self.last_op = last_op
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
    def average_latency_ms(self) -> int:
        """The mean latency, rounded down."""
        return self.average_sum // self.average_count if self.average_count else 0
