"""What a server asks of its role.

Pure. `ReadOnly` is in `pyzk.server`; standalone, leader, follower and observer are in
`pyzk.quorum`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pyzk.server.request import Request

if TYPE_CHECKING:
    from pyzk.server.connection import Connection


class Role(Protocol):
    """Brings writes from the request to the commit."""

    @property
    def mode(self) -> str:
        """The name that ``srvr`` shows, for example ``standalone`` or ``leader``."""
        ...

    def gauges(self) -> dict[str, int]:
        """Return what ``mntr`` shows of this role alone, by name without ``zk_``.

        A leader: learners, synced_followers, synced_non_voting_followers, synced_observers,
        pending_syncs, leader_uptime, last_proposal_size, min_proposal_size, max_proposal_size (-1
        before the first). A follower that takes observers: synced_observers. An observer:
        observer_master_id. Others have none.
        """
        ...

    def submit(self, request: Request) -> None:
        """Take a write, on a learner also a sync. When its transaction has been applied, the role
        tells ``SessionQueues.finish``, ``committed`` or ``finish_sync``."""
        ...

    def log_synced(self, zxid: int) -> None:
        """Note that the log is durable up to ``zxid``."""
        ...

    def revalidate(self, connection: Connection, session_id: int, timeout_ms: int) -> None:
        """Find out whether the session that a client has come back with still lives, and tell
        ``Server.revalidated``. The password was right."""
        ...
