"""Sessions: ids, negotiated timeouts, and the buckets in which they expire.

Pure. ZooKeeper: SessionTrackerImpl, ExpiryQueue, LeaderSessionTracker, LearnerSessionTracker.
A session expires with the first bucket (a multiple of tickTime) that is later than its last sign of
life plus its timeout. While a server stands still no session can give a sign of life: the peer
notices it afterwards and calls ``postpone``.

Sessions of an ensemble are global: the leader tracks and expires all of them. A learner knows those
of its own clients, and only notes which of them gave a sign of life; the leader asks for these
notes with each PING. A *local* session is known only to the member that its client is connected to,
which expires it; the leader has local ones of its own beside the global ones.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from pyzk.int64 import MASK64, signed

if TYPE_CHECKING:
    from pyzk.server.connection import Connection
    from pyzk.server.request import QueuedRead, Request

log = logging.getLogger(__name__)

_MIN_LONG: Final = -(1 << 63)


def first_session_id(server_id: int, elapsed_ms: int) -> int:
    """Return the first session id of a server, which counts up from it: a signed 64-bit number of
    the server id, the time and zeros."""
    value = ((elapsed_ms << 24 & MASK64) >> 8) | (server_id & 0xFF) << 56
    first = signed(value)
    return first + 1 if first == _MIN_LONG else first


class Session:
    """One session: its connection, when it expires, which of its requests are under way."""

    __slots__ = (
        "bucket_ms",
        "connection",
        "is_closing",
        "is_local",
        "is_tracked",
        "moves",
        "owner",
        "queue",
        "session_id",
        "timeout_ms",
    )

    def __init__(self, session_id: int, timeout_ms: int) -> None:
        self.session_id = session_id
        self.timeout_ms = timeout_ms
        self.bucket_ms = 0
        """The monotonic time in ms at which the session expires unless it is touched; 0 if another
        member expires it."""
        self.is_closing = False
        self.is_local = False
        """Whether only this member knows the session."""
        self.is_tracked = False
        """Whether a tracker has this session, which it does from its begin to its end."""
        self.owner: object = None
        """On the leader: the server through which the client came last, as the server itself or the
        handler of a learner; None until it is known."""
        self.moves = 0
        """On the leader: how often it has come through another server than before."""
        self.connection: Connection | None = None
        self.queue: list[Request | QueuedRead] = []
        """The writes under way, in order, each with the reads that wait behind it; only
        `SessionQueues` changes it. (A list: there are few, and an idle session should be small.)"""

    def move(self, owner: object) -> None:
        """Note that the client comes through this server from now on."""
        if self.owner is not owner:
            self.owner = owner
            self.moves += 1


class SessionTracker:
    """All live sessions, and the buckets in which they expire."""

    def __init__(self, tick_ms: int, next_id: int) -> None:
        self.sessions: dict[int, Session] = {}
        self.buckets: dict[int, dict[int, Session]] = {}
        """Expiry time in ms -> session id -> session."""
        self._tick_ms = tick_ms
        self._next_id = next_id
        self._next_bucket_ms: int | None = None
        self._expired: deque[Session] = deque()
        """Sessions that have expired and are to be closed."""
        self._expired_ms = 0
        """When the last of them were due."""

    @property
    def next_id(self) -> int:
        """The id that the next new session gets."""
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
        """Track a session with its full timeout from now on, and return it; it may be known."""
        session = self.sessions.get(session_id)
        if session is None:
            session = self.sessions[session_id] = Session(session_id, timeout_ms)
            session.is_local = is_local
            session.is_tracked = True
        session.timeout_ms = timeout_ms
        self.touch(session, now_ms)
        return session

    def touch(self, session: Session, now_ms: int) -> None:
        """Give a session its full timeout again."""
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
        """How many of the sessions are local."""
        return sum(session.is_local for session in self.sessions.values())

    def make_global(self, session: Session) -> None:
        """Make a local session one of the whole ensemble."""
        session.is_local = False

    def mark_closing(self, session_id: int) -> None:
        """Have the session neither touched nor resumed from now on."""
        session = self.sessions.get(session_id)
        if session is not None and not session.is_closing:
            session.is_closing = True
            self._leave_bucket(session, session.bucket_ms)

    def remove(self, session_id: int) -> Session | None:
        """Forget a session whose closeSession has been applied."""
        session = self.sessions.pop(session_id, None)
        if session is not None:
            session.is_tracked = False
            if not session.is_closing:
                self._leave_bucket(session, session.bucket_ms)
        return session

    @property
    def deadline(self) -> int | None:
        """The monotonic ms at which the next bucket is due, or was if not all are closed yet."""
        return self._expired_ms if self._expired else self._next_bucket_ms

    def expire(self, now_ms: int) -> list[Session]:
        """Mark the sessions whose bucket is due as closing, and return them; ``take_expired`` hands
        them out."""
        expired: list[Session] = []
        while (due := self._next_bucket_ms) is not None and due <= now_ms:
            self._expired_ms = due
            for session in list(self.buckets[due].values()):
                self.mark_closing(session.session_id)
                expired.append(session)
        self._expired += expired
        return expired

    def take_expired(self, limit: int) -> list[Session]:
        """Return the next sessions that have expired, up to ``limit``; they are to be closed."""
        expired = self._expired
        return [expired.popleft() for _ in range(min(limit, len(expired)))]

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
    """The sessions of a learner's own clients. It notes the signs of life of the global ones and
    leaves it to the leader to expire them; it expires the local ones itself."""

    def __init__(self, tick_ms: int, next_id: int) -> None:
        super().__init__(tick_ms, next_id)
        self.touched: dict[int, int] = {}
        """Id -> timeout in ms of each global session with a sign of life since the last PING."""

    def touch(self, session: Session, now_ms: int) -> None:
        """Note a sign of life of a global session; give a local one its full timeout again."""
        if session.is_local:
            super().touch(session, now_ms)
        elif not session.is_closing:
            self.touched[session.session_id] = session.timeout_ms

    def take_touched(self) -> dict[int, int]:
        """Return id -> timeout in ms of the global sessions with a sign of life since the last
        call."""
        touched, self.touched = self.touched, {}
        return touched

    def make_global(self, session: Session) -> None:
        """Make a local session one that the leader expires."""
        session.is_local = False
        self._leave_bucket(session, session.bucket_ms)
        session.bucket_ms = 0
        self.touched[session.session_id] = session.timeout_ms
