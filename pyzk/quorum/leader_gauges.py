"""What a leader shows of itself and of its learners to people.

Pure. ZooKeeper: the leader's part of MonitorCommand (``mntr``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyzk.quorum.learner_handler import AWAIT_INFO

if TYPE_CHECKING:
    from pyzk.quorum.leader_traffic import LearnerTraffic
    from pyzk.quorum.learner_handler import LearnerHandler
    from pyzk.quorum.proposals import AckTally, ProposalSizes

LearnerLine = tuple[int, str, bool, bool, int, int]
"""(sid, name, is observer, is synced, last acked zxid, bytes that wait)"""


def learner_lines(handlers: Sequence[LearnerHandler]) -> list[LearnerLine]:
    """Returns a line for each learner that has said who it is."""
    return [
        (
            each.sid,
            each.name,
            each.is_observer,
            each.is_synced,
            each.acked_zxid,
            each.queued_bytes,
        )
        for each in handlers
        if each.phase != AWAIT_INFO
    ]


def leader_gauges(
    handlers: Sequence[LearnerHandler],
    tally: AckTally,
    traffic: LearnerTraffic,
    uptime_ms: int,
    sizes: ProposalSizes,
) -> dict[str, int]:
    """Returns the numbers under the names of mntr, without its prefix."""
    synced = [each for each in handlers if each.is_synced]
    voters = sum(not each.is_observer and tally.is_voter(each.sid) for each in synced)
    observers = sum(each.is_observer for each in synced)
    return {
        "learners": len(handlers),
        "synced_followers": voters,
        "synced_non_voting_followers": len(synced) - voters - observers,
        "synced_observers": observers,
        "pending_syncs": len(traffic.syncs),
        "leader_uptime": uptime_ms,
        "last_proposal_size": sizes.last,
        "min_proposal_size": sizes.smallest,
        "max_proposal_size": sizes.largest,
    }
