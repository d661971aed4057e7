"""A member without data: whether the ensemble is new, or this server has lost what it had.

Pure. A server that has lost its data may have acknowledged transactions that only it and one other
server had. If it voted as if it had never had any, a quorum without them could elect a leader, and
they would be lost although the other server still has them. So a member that finds its directory
empty is in doubt: its last zxid is -1, with which no server of either kind counts its vote or its
ACKEPOCH. It follows a leader that the others elect, and is a voter like any other once it has what
the leader has. It begins with an empty database only if every other voter says that it has no data
either, or if whoever starts it says so (``--initialize``, or a file `initialize`).

ZooKeeper: FileTxnSnapLog.restore with db.autocreate=false. There an empty directory is taken for
that of a new server by default (docs/decisions/0027).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyzk.quorum.election import Election
    from pyzk.quorum.member import Member

log = logging.getLogger(__name__)

PATIENCE_MS: Final = 5000
"""How long a member in doubt waits before it says in the log what it waits for."""


class Doubt:
    """What one member knows of whether its ensemble is new."""

    def __init__(self, member: Member, election: Election) -> None:
        self._member: Member = member
        self._election: Election = election
        self.deadline: int | None = None
        """The monotonic ms at which ``wake`` is wanted; None while nothing is to be said."""
        self._said: str | None = None
        """The condition that was said last; None if nothing was said in this election."""

    @property
    def is_open(self) -> bool:
        """Whether this server has no data, and it is not known that it never had any."""
        return self._member.database.last_zxid < 0

    @property
    def _may_begin(self) -> bool:
        """Whether this server may begin anew if no other voter has data. It may not if it has been
        part of an epoch, for then there were data."""
        member = self._member
        return member.config.db_autocreate and member.epochs.current == 0

    @property
    def is_settled(self) -> bool:
        """Whether it has come out that the ensemble is new."""
        return self.is_open and self._may_begin and not self._election.voters_to_hear_of

    def look(self) -> None:
        """Takes the news that an election begins."""
        self.deadline = None
        self._said = None
        if self.is_open and not self._member.is_observer:
            self.deadline = self._member.clock.now_ms + PATIENCE_MS
            log.info(
                "server %d has no data, and does not vote until it has those of a leader, or knows"
                " that the ensemble is new",
                self._member.sid,
            )

    def wake(self) -> None:
        """Says in the log, after a while, what this server waits for, and again when that is
        something else."""
        if self.deadline is None or self._member.clock.now_ms < self.deadline:
            return
        self.deadline = None
        if self.is_open:
            self.deadline = self._member.clock.now_ms + PATIENCE_MS
            condition = self._condition()
            if self._said is not None and condition == self._said:
                return
            self._said = condition
            log.warning(
                "server %d has no data, and no leader yet to get them from. It does not vote before"
                " that, for it may have had some that the others need%s. To begin with an empty"
                " database all the same, start it with --initialize: then nothing is kept that only"
                " this server and those that are down had",
                self._member.sid,
                condition,
            )

    def _condition(self) -> str:
        if not self._may_begin:
            return ""
        others = ", ".join(map(str, self._election.voters_to_hear_of))
        return f"; it would if the other voters said that they have none, and waits for {others}"

    def begin_anew(self) -> None:
        """Orders an empty database to be stored."""
        member = self._member
        log.info("no voter has any data: server %d begins a new database", member.sid)
        member.database.tree.last_zxid = 0
        member.store_database()
