"""What the four-letter words need to know of a server and of a connection.

Pure. ``Server`` and ``Connection`` answer to these protocols; so do the small fakes of the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from pyzk.clock import Clock
    from pyzk.config.server import ServerConfig
    from pyzk.data.database import Database
    from pyzk.metrics import Metrics
    from pyzk.server.connection_stats import ConnectionStats
    from pyzk.server.host import Host
    from pyzk.server.sessions import Session, SessionTracker
    from pyzk.server.throttle import ConnectionThrottle


class ConnectionView(Protocol):
    """One client connection, as ``cons``, ``stat`` and ``dump`` show it."""

    @property
    def host(self) -> str:
        """The peer's address."""
        ...

    @property
    def port(self) -> int:
        """The peer's port."""
        ...

    @property
    def is_stalled(self) -> bool:
        """Whether nothing more is read from it for now."""
        ...

    @property
    def outstanding(self) -> int:
        """Requests taken from the connection and not answered yet."""
        ...

    @property
    def session(self) -> Session | None:
        """The session; None before the handshake and after the session's end."""
        ...

    @property
    def session_id(self) -> int:
        """The session id, signed; 0 before the handshake."""
        ...

    @property
    def timeout_ms(self) -> int:
        """The negotiated session timeout."""
        ...

    @property
    def stats(self) -> ConnectionStats:
        """The numbers of the connection; the word itself is counted as received, the answer not yet
        as sent."""
        ...


class HasMode(Protocol):
    """A role, as far as reports look at it."""

    @property
    def mode(self) -> str:
        """The mode: standalone, leader, follower, observer, read-only."""
        ...

    def gauges(self) -> dict[str, int]:
        """Return what the role knows of what ``mntr`` shows, by name without ``zk_``.

        A leader: learners, synced_followers, synced_non_voting_followers, synced_observers,
        pending_syncs, leader_uptime, last_proposal_size, min_proposal_size, max_proposal_size (-1
        before the first). An observer: observer_master_id. Others have none.
        """
        ...


class ServerView(Protocol):
    """One server, as all the words show it."""

    trace_mask: int
    """The trace mask, set by stmk and shown by gtmk, 306 at the start; nothing else looks at it."""

    @property
    def config(self) -> ServerConfig: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def metrics(self) -> Metrics: ...

    @property
    def database(self) -> Database:
        """The tree, the session table and the digest log."""
        ...

    @property
    def sessions(self) -> SessionTracker:
        """The sessions with their buckets of expiry, for dump."""
        ...

    @property
    def has_local_sessions(self) -> bool:
        """Whether new sessions are known to this member only."""
        ...

    @property
    def connections(self) -> Collection[ConnectionView]:
        """Every open client connection, also the asking one, in order of acceptance."""
        ...

    @property
    def throttle(self) -> ConnectionThrottle: ...

    @property
    def role(self) -> HasMode: ...

    @property
    def is_serving(self) -> bool:
        """Whether clients are served: False before the database is loaded and after the shutdown
        began."""
        ...

    @property
    def server_id(self) -> int:
        """The number of ``myid``; 0 in standalone mode (the 1 in session ids is another matter)."""
        ...

    @property
    def host(self) -> Host:
        """The process and the machine that the server runs on."""
        ...

    @property
    def started_ms(self) -> int:
        """Monotonic time at which serving began."""
        ...

    @property
    def outstanding(self) -> int:
        """The number of requests of clients in progress."""
        ...
