"""What a learner has asked its leader in its clients' names: syncs, and whether sessions live.

Pure. ZooKeeper: FollowerZooKeeperServer.pendingSyncs, Learner.pendingRevalidations and
ObserverMaster.pendingRevalidations. The leader answers in the order in which it was asked, and its
answers to syncs carry no name: who asked first is answered first, be it a client of this server or
an observer that follows it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pyzk.errors import QuorumProtocolError
from pyzk.quorum import packets
from pyzk.quorum.learner_handler import LearnerHandler

if TYPE_CHECKING:
    from pyzk.jute.records import QuorumPacket
    from pyzk.quorum.session_places import SessionPlaces
    from pyzk.server.connection import Connection
    from pyzk.server.request import Request
    from pyzk.server.server import Server


class LeaderQuestions:
    """The questions of one learner that its leader has not answered."""

    def __init__(self, server: Server) -> None:
        self._server: Server = server
        self.syncs: deque[Request | LearnerHandler] = deque()
        self.revalidations: dict[int, deque[tuple[Connection | LearnerHandler, int]]] = {}
        """session -> (who asked, timeout in ms) of each question, in order."""
        self.places: SessionPlaces | None = None
        """Where sessions are behind a follower that takes observers; None for other learners."""

    def clear(self) -> None:
        """Forgets all questions."""
        self.syncs.clear()
        self.revalidations.clear()

    def revalidate(
        self, asker: Connection | LearnerHandler, session_id: int, timeout_ms: int
    ) -> None:
        """Notes who has asked whether a session lives."""
        pending = self.revalidations.get(session_id)
        if pending is None:
            pending = self.revalidations[session_id] = deque()
        pending.append((asker, timeout_ms))

    def finish_sync(self, packet: QuorumPacket) -> None:
        """Answers the client or the observer that asked first for a sync."""
        if not self.syncs:
            raise QuorumProtocolError(f"{packets.describe(packet)}, and none was asked for")
        asker = self.syncs.popleft()
        if isinstance(asker, LearnerHandler):
            asker.master.send_batch()
            asker.send(packets.encode_bare(packets.SYNC, 0))
        else:
            self._server.queues.finish_sync(asker)

    def finish_revalidate(self, packet: QuorumPacket) -> None:
        """Tells the client or the observer that asked first about this session whether it lives."""
        session_id, is_valid = packets.validity(packet)
        pending = self.revalidations.get(session_id)
        if pending is None:
            raise QuorumProtocolError(f"{packets.describe(packet)}, and nobody asked")
        asker, timeout_ms = pending.popleft()
        if not pending:
            del self.revalidations[session_id]
        if isinstance(asker, LearnerHandler):
            master = asker.master
            if is_valid:
                master.touched([(session_id, timeout_ms)])
                self._came(session_id, asker)
                self._server.session_moved(session_id)
            master.send_batch()
            asker.send(packets.encode_validity(session_id, is_valid))
        else:
            if is_valid and self._server.attaching.get(session_id) is asker:
                self._came(session_id, self._server)
            self._server.revalidated(asker, session_id, timeout_ms, is_valid)

    def _came(self, session_id: int, place: object) -> None:
        if self.places is not None:
            self.places.came(session_id, place)
