"""What a leader lets wait while too many bytes are under way: its clients, requests of learners.

Pure. The marks are in `pyzk.server.marks`, the reasons in docs/decisions/0016. What frees bytes
never waits: ACKs, PINGs and commits; nor does the beginning of a session.

Where this differs from ZooKeeper, on purpose: what is under way has a bound in bytes. The
queues of ZooKeeper grow until its heap ends.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pyzk.constants import OpCode

if TYPE_CHECKING:
    from pyzk.quorum.learner_handler import LearnerHandler
    from pyzk.quorum.member import Member
    from pyzk.quorum.packets import ForwardedRequest
    from pyzk.quorum.proposals import AckTally


class LeaderIntake:
    """The bytes that are under way through a leader, and those who wait until they are fewer."""

    def __init__(self, member: Member, tally: AckTally, own_bit: int) -> None:
        self._member: Member = member
        self._tally: AckTally = tally
        self._own_bit: int = own_bit
        self.proposed_bytes: int = 0
        """Bytes of the proposals that are not committed."""
        self._deferred: deque[tuple[LearnerHandler, ForwardedRequest, int]] = deque()
        """Requests of learners, in the order in which they came, each with how often its session
        had moved by then."""
        self._slow: list[LearnerHandler] = []
        """The learners for which more bytes wait than ``marks.queue_bytes``."""

    def end(self) -> None:
        """Forgets everything: the role is over."""
        self._slow = []
        self._deferred.clear()

    def hold_up(self, handler: LearnerHandler) -> None:
        """Takes no further writes until less waits for a learner than its mark, or until the
        learner has gone."""
        if handler not in self._slow:
            self._slow.append(handler)
        self._member.server.queues.is_held = True

    def can_spare(self, handler: LearnerHandler, handlers: list[LearnerHandler]) -> bool:
        """Tells whether those that are alive, and hold up nobody, are a quorum without this one."""
        alive = self._own_bit
        for each in handlers:
            if each is handler or each.holds_up or not each.is_synced:
                continue
            if each.counts_as_alive:
                alive |= each.bit
        return self._tally.is_quorum(alive)

    def look(self) -> bool:
        """Looks, after each input, whether writes are held up. Returns True if they were before and
        are free now."""
        member = self._member
        server = member.server
        queues = server.queues
        was_held = queues.is_held
        if self._slow:
            self._slow = [each for each in self._slow if not each.link.is_closed and each.is_behind]
        queues.is_held = bool(self._slow) or member.unsynced_bytes > server.marks.log_bytes
        return was_held and not queues.is_held

    @property
    def is_full(self) -> bool:
        """Whether no further requests of learners are taken."""
        server = self._member.server
        return server.queues.is_held or self.proposed_bytes > server.marks.proposal_bytes

    def defers(self, handler: LearnerHandler, forwarded: ForwardedRequest) -> bool:
        """Keeps a request of a learner if it has to wait, and tells whether it has."""
        if not self._deferred and not self.is_full:
            return False
        if forwarded.type == OpCode.CREATE_SESSION:
            return False  # nothing of its session can be before it
        session = self._member.server.sessions.sessions.get(forwarded.session)
        if session is not None and session.owner is not None and session.owner is not handler:
            # It is refused, for its session has moved: now, because REVALIDATE does not wait, and
            # could bring the session back, with what it has written elsewhere, before this one.
            return False
        self._deferred.append((handler, forwarded, 0 if session is None else session.moves))
        return True

    def next_deferred(self) -> tuple[LearnerHandler, ForwardedRequest, bool] | None:
        """Returns a request whose wait is over, if there is one, and whether its session has moved
        meanwhile. It may have come back, with what a client of this server wrote, who does not wait
        in this line."""
        if not self._deferred or self.is_full:
            return None
        handler, forwarded, moves = self._deferred.popleft()
        session = self._member.server.sessions.sessions.get(forwarded.session)
        return handler, forwarded, session is not None and session.moves != moves
