"""How much may be under way before a server takes less, and what it does before others have a turn.

Pure. ZooKeeper has no counterpart: it counts requests (globalOutstandingLimit), and bytes only if
largeRequestThreshold is set, and then it refuses the excess. docs/decisions/0016 has the reasons
and the figures.
"""

from __future__ import annotations

from typing import Final

INTAKE_BYTES: Final = 1 << 25
"""The mark for requests of the server's own clients; all voters share it, as they share
globalOutstandingLimit."""
PROPOSAL_BYTES: Final = 1 << 25
"""The mark for proposals that are not committed: beyond it a leader lets requests of learners
wait."""
QUEUE_BYTES: Final = 1 << 26
"""The mark for what waits for one learner: beyond it a leader takes no further writes."""
LOG_BYTES: Final = 1 << 26
"""The mark for records that a member's disk was given and has not made durable: beyond it a leader
takes no further writes, and a learner does not read what its leader sends."""
PIECE_WORK: Final = 8000
"""Transactions are applied until they have caused so much work (`WatchManager.work`), about 5 ms of
it; then other clients have their turn. The writes of all clients that may be under way are one such
piece."""
ENDED_AT_ONCE: Final = 100
"""The number of expired sessions that are closed in one turn."""
TOLD_AT_ONCE: Final = 64
"""The number of connections whose watch events are written in one turn; each costs a system
call."""


class Marks:
    """The marks of one server; a simulation has smaller ones."""

    __slots__ = (
        "ended_at_once",
        "intake_bytes",
        "log_bytes",
        "piece_work",
        "proposal_bytes",
        "queue_bytes",
        "told_at_once",
    )

    def __init__(
        self,
        intake_bytes: int = INTAKE_BYTES,
        proposal_bytes: int = PROPOSAL_BYTES,
        queue_bytes: int = QUEUE_BYTES,
        log_bytes: int = LOG_BYTES,
    ) -> None:
        self.intake_bytes: int = intake_bytes
        self.proposal_bytes: int = proposal_bytes
        self.queue_bytes: int = queue_bytes
        self.log_bytes: int = log_bytes
        self.piece_work: int = PIECE_WORK
        self.ended_at_once: int = ENDED_AT_ONCE
        self.told_at_once: int = TOLD_AT_ONCE

    def divide_nothing(self) -> None:
        """Has everything done at once, however long that takes: in a test others see all of it."""
        self.piece_work = self.ended_at_once = self.told_at_once = 1 << 60
