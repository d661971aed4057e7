"""What a learner has asked its leader in its clients' names: syncs, and whether sessions live.

Pure. ZooKeeper: Follower.sync and Learner.pendingRevalidations. The leader answers in the order in
which it was asked, and its answers to syncs carry no name: who asked first is answered first.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pyzk.errors import QuorumProtocolError
from pyzk.quorum import packets

if TYPE_CHECKING:
    from pyzk.jute.records import QuorumPacket
    from pyzk.server.connection import Connection
    from pyzk.server.request import Request
    from pyzk.server.server import Server


class LeaderQuestions:
    """The questions of one learner that its leader has not answered."""

    def __init__(self, server: Server) -> None:
        self._server: Server = server
        self.syncs: deque[Request] = deque()
        self.revalidations: dict[int, deque[tuple[Connection, int]]] = {}
        """session -> (connection, timeout in ms) of each question, in order."""

    def clear(self) -> None:
        """Forgets all questions."""
        self.syncs.clear()
        self.revalidations.clear()

    def revalidate(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        """Notes who has asked whether a session lives."""
        pending = self.revalidations.get(session_id)
        if pending is None:
            pending = self.revalidations[session_id] = deque()
        pending.append((connection, timeout_ms))

    def finish_sync(self, packet: QuorumPacket) -> None:
        """Answers the client that asked first for a sync."""
        if not self.syncs:
            raise QuorumProtocolError(f"{packets.describe(packet)}, and none was asked for")
        self._server.queues.finish_sync(self.syncs.popleft())

    def finish_revalidate(self, packet: QuorumPacket) -> None:
        """Tells the client that asked first about this session whether it lives."""
        session_id, is_valid = packets.validity(packet)
        pending = self.revalidations.get(session_id)
        if pending is None:
            raise QuorumProtocolError(f"{packets.describe(packet)}, and nobody asked")
        connection, timeout_ms = pending.popleft()
        if not pending:
            del self.revalidations[session_id]
        self._server.revalidated(connection, session_id, timeout_ms, is_valid)
