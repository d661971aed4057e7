"""How a learner tries to connect with its leader, which may open its port a moment later.

Pure. ZooKeeper: Learner.connectToLeader.

Where this differs from ZooKeeper, on purpose: the first tries follow each other sooner, and there
are more than five. A leader that refuses longer has died since the election, and the others wait
for a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk.quorum.commands import DialLeader

if TYPE_CHECKING:
    from pyzk.quorum.link import QuorumLink
    from pyzk.quorum.member import Member

SOON_TRIES: Final = 5
SOON_MS: Final = 20
"""The first tries follow each other quickly: who has won the election may not know it yet."""
LATER_TRIES: Final = 10
"""The number of tries that follow, leaderConnectDelayDuringRetryMs apart."""

MOMENT_MS: Final = 250
"""A connection that lasted no longer and brought nothing was a refusal: what stands between, a
proxy, has taken it, and found the leader's port closed."""


class LeaderDial:
    """The tries of one learner, from the first to a connection or to the end of its patience."""

    def __init__(self, member: Member, leader_sid: int) -> None:
        self._member: Member = member
        self.sid: int = leader_sid
        """The id of the server that is dialed."""
        self._tries: int = 0
        self._give_up_ms: int = 0
        self.at_ms: int | None = None
        """When the next try is due; None while one is under way."""

    def begin(self) -> None:
        """Counts tries and time anew."""
        member = self._member
        ticks = member.ensemble.connect_to_learner_master_limit_ticks
        limit_ms = ticks * member.tick_ms if ticks > 0 else member.init_limit_ms
        self._give_up_ms = member.clock.now_ms + limit_ms
        self._tries = 0

    def dial(self, link: QuorumLink) -> str:
        """Orders a connection; returns why there can be none, empty if it is ordered."""
        member = self._member
        found = member.addresses_of(self.sid)
        if not found:
            return f"server {self.sid} is not in the configuration"
        self.at_ms = None
        self._tries += 1
        addresses = tuple((each.host, each.quorum_port) for each in found)
        left_ms = max(1, self._give_up_ms - member.clock.now_ms)
        member.outbox.commands.append(DialLeader(link, addresses, left_ms))
        return ""

    def refused(self, reason: str) -> str:
        """Sets the time of the next try; returns why there is none, empty if there is one."""
        member = self._member
        delay_ms = max(1, member.ensemble.leader_connect_delay_ms)
        if self._tries <= SOON_TRIES:
            delay_ms = min(delay_ms, SOON_MS)
        at_ms = member.clock.now_ms + delay_ms
        if self._tries > SOON_TRIES + LATER_TRIES or at_ms >= self._give_up_ms:
            return (
                f"server {self.sid}, the leader, cannot be reached after"
                f" {self._tries} tries: {reason}"
            )
        self.at_ms = at_ms
        return ""

    @property
    def deadline(self) -> int:
        """The monotonic ms of the next try, or of the end of the present one."""
        return self._give_up_ms if self.at_ms is None else self.at_ms
