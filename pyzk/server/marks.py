"""How many bytes may be on the way before a server takes fewer: nothing ends when one is reached.

Pure. The original counts requests only (globalOutstandingLimit), and bytes if largeRequestThreshold
is set, whose excess it refuses. docs/decisions/0016 has the reasons and the figures.
"""

from __future__ import annotations

from typing import Final

INTAKE_BYTES: Final = 1 << 25
"""Of requests of the server's own clients; like the limit of requests it is for all voters."""
PROPOSAL_BYTES: Final = 1 << 25
"""Of proposals that are not committed; beyond it a leader lets requests of learners wait."""
QUEUE_BYTES: Final = 1 << 26
"""Of what waits for one learner; beyond it a leader takes no further writes."""
LOG_BYTES: Final = 1 << 26
"""Of records that a member's disk was given and has not made durable: beyond it a leader takes no
further writes, a learner does not read what its leader sends."""


class Marks:
    """The marks of one server; a simulation has smaller ones."""

    __slots__ = ("intake_bytes", "log_bytes", "proposal_bytes", "queue_bytes")

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
