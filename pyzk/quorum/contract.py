"""The contract of a peer: what decides its role, and what a world does for it.

Pure. The module has nothing but protocols. It is imported for types only, so a start does not pay
for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pyzk.data.database import Database
    from pyzk.quorum.commands import (
        DialElection,
        DialLeader,
        ListenForClients,
        ListenForElections,
        ListenForLearners,
        ListenForObservers,
        StorageCommand,
    )
    from pyzk.quorum.election_link import ElectionLink
    from pyzk.server.connection import Connection
    from pyzk.server.outbox import Outgoing


class Life(Protocol):
    """What decides which role a server has: `Standalone` or `MemberLife`."""

    @property
    def moves_deadline(self) -> bool:
        """Whether any input may bring the deadline nearer, so that a driver has to look at it."""
        ...

    def start(self) -> None:
        """Takes the first role, or begins to look for a leader."""
        ...

    def flush(self) -> None:
        """Sends and answers what the inputs since the last call have led to."""
        ...

    def log_synced(self, zxid: int) -> None:
        """Takes the news that the log is durable up to ``zxid``."""
        ...

    def go_on(self) -> None:
        """Does the next piece of what it has left unfinished, as it said in the outbox."""
        ...

    def wake(self) -> None:
        """Does what is due at this time."""
        ...

    @property
    def deadline(self) -> int | None:
        """The monotonic ms at which this life wants ``wake``; None while it waits for no time."""
        ...

    @property
    def status(self) -> tuple[str, int | None]:
        """The mode while no clients are served; and the sid of another server that leads."""
        ...


class Effects(Protocol):
    """What a world does for any peer."""

    def append(self, records: list[bytes], last_zxid: int) -> None:
        """Makes framed log records durable; `Peer.log_synced` answers."""
        ...

    def take_snapshot(self, database: Database) -> None:
        """Rolls the log and writes a snapshot of the present state."""
        ...

    def write(self, connection: Connection) -> None:
        """Writes what a client's connection has; pauses, resumes or closes it as it wants."""
        ...

    def end_turn_soon(self) -> None:
        """Calls `Driver.end_turn` when what has come already has been taken in."""
        ...

    def wake_at(self, at_ms: int) -> None:
        """Calls `Driver.wake` at this monotonic ms, and no longer at the one set before."""
        ...


class MemberEffects(Protocol):
    """What a world does for a member of an ensemble, beside the `Effects` of any peer."""

    def order(self, command: StorageCommand) -> None:
        """Carries out a command on the disk, which answers as `quorum.commands` says."""
        ...

    def send(self, link: Outgoing) -> None:
        """Writes what a link of the quorum port has; pauses, resumes or closes it as it wants."""
        ...

    def dial_leader(self, command: DialLeader) -> None:
        """Connects to the quorum port of the leader, or to an observer master."""
        ...

    def listen_for_learners(self, command: ListenForLearners) -> None:
        """Opens the quorum port."""
        ...

    def stop_listening(self) -> None:
        """Closes the quorum port; its open links stay."""
        ...

    def listen_for_observers(self, command: ListenForObservers) -> None:
        """Opens the port of an observer master."""
        ...

    def stop_listening_for_observers(self) -> None:
        """Closes the port of an observer master; its open links stay."""
        ...

    def listen_for_elections(self, command: ListenForElections) -> None:
        """Closes the election port, and opens it where the member is now."""
        ...

    def listen_for_clients(self, command: ListenForClients) -> None:
        """Closes the client port, and opens it where the member takes clients now."""
        ...

    def dial_election(self, command: DialElection) -> None:
        """Connects to the election port of another member."""
        ...

    def send_vote(self, link: ElectionLink, data: bytes) -> None:
        """Writes to an election link."""
        ...

    def close_election(self, link: ElectionLink) -> None:
        """Closes an election link when the bytes that were written to it have left."""
        ...
