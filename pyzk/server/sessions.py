"""Sessions: ids, negotiated timeouts, and the buckets in which they expire.

Pure. Answers to SessionTrackerImpl, ExpiryQueue, LeaderSessionTracker and LearnerSessionTracker.
A session expires in the first bucket (a multiple of tickTime) later than its last touch plus its
timeout. When the whole server stood still the sessions could not be touched in that time: the peer
notices and calls ``postpone``.

Sessions of an ensemble are global: the leader tracks and expires all of them. A learner knows those
that its own clients have, and only notes which of them gave a sign of life; the leader asks for
these notes with each ping. A *local* session is known to no other member than the one its client is
connected to, which expires it itself; the leader has its own local ones beside the global ones.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from pyzk.int64 import MASK64, signed

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.request import QueuedRead, Request
    from pyzk.server.server import Server

log = logging.getLogger(__name__)

_MIN_LONG: Final = -(1 << 63)


def first_session_id(server_id: int, elapsed_ms: int) -> int:
    """Return the signed 64-bit id to count up from: server id, monotonic time, zeros."""
    value = ((elapsed_ms << 24 & MASK64) >> 8) | (server_id & 0xFF) << 56
    first = signed(value)
    return first + 1 if first == _MIN_LONG else first


class Session:
    """One session: who holds it, when it ends, which of its requests are on the way."""

    __slots__ = (
        "bucket_ms",
        "connection",
        "is_closing",
        "is_local",
        "owner",
        "queue",
        "session_id",
        "timeout_ms",
    )

    def __init__(self, session_id: int, timeout_ms: int) -> None:
        self.session_id = session_id
        self.timeout_ms = timeout_ms
        self.bucket_ms = 0
        """The monotonic time at which the session expires unless it is touched; 0: not here."""
        self.is_closing = False
        self.is_local = False
        """Known to this member only."""
        self.owner: object = None
        """On the leader: through whom the client came last, the server itself or the handler of a
        learner; None until it is known."""
        self.connection: Connection | None = None
        self.queue: deque[Request | QueuedRead] = deque()
        """Writes on the way, in order, with the reads that wait behind each."""


class SessionTracker:
    """All live sessions, filed by the bucket in which they expire."""

    def __init__(self, tick_ms: int, next_id: int) -> None:
        self.sessions: dict[int, Session] = {}
        self.buckets: dict[int, dict[int, Session]] = {}
        """Expiry time in ms -> the sessions by id."""
        self._tick_ms = tick_ms
        self._next_id = next_id
        self._next_bucket_ms: int | None = None

    @property
    def next_id(self) -> int:
        """The id that the next session gets."""
        return self._next_id

    def allocate_id(self) -> int:
        """Return an id that no session has."""
        session_id = self._next_id
        following = session_id + 1
        self._next_id = following if following < 1 << 63 else _MIN_LONG + 1
        return session_id

    def add(
        self, session_id: int, timeout_ms: int, now_ms: int, *, is_local: bool = False
    ) -> Session:
        """Track a session with a full timeout from now on; a known one is touched."""
        session = self.sessions.get(session_id)
        if session is None:
            session = self.sessions[session_id] = Session(session_id, timeout_ms)
            session.is_local = is_local
        session.timeout_ms = timeout_ms
        self.touch(session, now_ms)
        return session

    def touch(self, session: Session, now_ms: int) -> None:
        """Give a session its whole timeout again."""
        tick = self._tick_ms
        bucket_ms = ((now_ms + session.timeout_ms) // tick + 1) * tick
        old = session.bucket_ms
        if bucket_ms == old or session.is_closing:
            return
        session.bucket_ms = bucket_ms
        if old:
            self._leave_bucket(session, old)
        bucket = self.buckets.get(bucket_ms)
        if bucket is None:
            bucket = self.buckets[bucket_ms] = {}
            if self._next_bucket_ms is None or bucket_ms < self._next_bucket_ms:
                self._next_bucket_ms = bucket_ms
        bucket[session.session_id] = session

    def _leave_bucket(self, session: Session, bucket_ms: int) -> None:
        bucket = self.buckets.get(bucket_ms)
        if bucket is not None:
            bucket.pop(session.session_id, None)
            if not bucket:
                del self.buckets[bucket_ms]
                if bucket_ms == self._next_bucket_ms:
                    self._next_bucket_ms = min(self.buckets) if self.buckets else None

    @property
    def local_count(self) -> int:
        """How many sessions are known to this member only."""
        return sum(session.is_local for session in self.sessions.values())

    def make_global(self, session: Session) -> None:
        """A local session is to be one of the whole ensemble."""
        session.is_local = False

    def mark_closing(self, session_id: int) -> None:
        """From now on the session can neither be touched nor re-attached."""
        session = self.sessions.get(session_id)
        if session is not None and not session.is_closing:
            session.is_closing = True
            self._leave_bucket(session, session.bucket_ms)

    def remove(self, session_id: int) -> Session | None:
        """Forget a session whose closeSession has been applied."""
        session = self.sessions.pop(session_id, None)
        if session is not None and not session.is_closing:
            self._leave_bucket(session, session.bucket_ms)
        return session

    @property
    def deadline(self) -> int | None:
        """The monotonic ms at which the next bucket is due."""
        return self._next_bucket_ms

    def take_expired(self, now_ms: int) -> list[Session]:
        """Return the sessions whose bucket is due; each is marked as closing."""
        expired: list[Session] = []
        while (due := self._next_bucket_ms) is not None and due <= now_ms:
            for session in list(self.buckets[due].values()):
                self.mark_closing(session.session_id)
                expired.append(session)
        return expired

    def postpone(self, late_ms: int) -> None:
        """Move every expiry by the time (ms) the server stood still, and one tick more."""
        if not self.buckets:
            return
        tick = self._tick_ms
        shift = (late_ms // tick + 2) * tick
        log.warning(
            "the server stood still for about %d ms; %d sessions get %d ms more",
            late_ms,
            sum(map(len, self.buckets.values())),
            shift,
        )
        self.buckets = {bucket_ms + shift: bucket for bucket_ms, bucket in self.buckets.items()}
        for bucket_ms, bucket in self.buckets.items():
            for session in bucket.values():
                session.bucket_ms = bucket_ms
        self._next_bucket_ms = min(self.buckets) if self.buckets else None


class LearnerSessions(SessionTracker):
    """The sessions of a learner's own clients. Of the global ones it notes signs of life and
    expires none; the local ones it expires itself."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.config.tick_time_ms, server.next_session_id())
        self.touched: dict[int, int] = {}
        """Session -> timeout in ms of each global one with a sign of life."""

    def touch(self, session: Session, now_ms: int) -> None:
        """Note a sign of life; a local session gets its whole timeout again."""
        if session.is_local:
            super().touch(session, now_ms)
        elif not session.is_closing:
            self.touched[session.session_id] = session.timeout_ms

    def take_touched(self) -> dict[int, int]:
        """Return session -> timeout in ms of those with a sign of life since the last call."""
        touched, self.touched = self.touched, {}
        return touched

    def make_global(self, session: Session) -> None:
        """From now on the leader expires it."""
        session.is_local = False
        self._leave_bucket(session, session.bucket_ms)
        session.bucket_ms = 0
        self.touched[session.session_id] = session.timeout_ms
