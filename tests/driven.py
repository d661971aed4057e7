"""A peer on production's driver, whose disk, time and sockets a test has in its hands.

`tests.world` puts a lone server on it, `tests.quorum.leader_world` and `learner_world` one role of
a member without elections, `tests.transcripts.stage` whole members.
"""

from __future__ import annotations

from typing import Protocol

from pyzk.clock import Clock
from pyzk.data.database import Database
from pyzk.quorum.commands import DialElection, DialLeader, StorageCommand
from pyzk.quorum.contract import MemberEffects
from pyzk.quorum.driver import Driver
from pyzk.quorum.election_link import ElectionLink
from pyzk.quorum.member import Member
from pyzk.quorum.peer import Peer
from pyzk.quorum.role import MemberRole
from pyzk.server.connection import Connection
from pyzk.server.outbox import Outgoing

START_MS = 1_000_000
WALL_MS = 1_700_000_000_000


class TakesReplies(Protocol):
    """A client in a test: the shell of its connection."""

    def take(self, connection: Connection) -> None:
        """Takes what the connection has for the socket."""
        ...


class Driven:
    """One peer; what it does to the world is noted."""

    def __init__(self, peer: Peer, member: MemberEffects | None = None) -> None:
        self.peer = peer
        self.clock: Clock = peer.clock
        self.server = peer.server
        self.driver = Driver(peer, self, member)
        self.unsynced: list[bytes] = []
        """Framed records that the disk has not answered."""
        self.log_zxid = 0
        """The zxid of the last of them."""
        self.woken_at_ms = 0
        self.snapshots_wanted = 0
        self._is_turn_due = False

    # --- effects

    def append(self, records: list[bytes], last_zxid: int) -> None:
        self.unsynced += records
        self.log_zxid = last_zxid

    def take_snapshot(self, database: Database) -> None:
        self.snapshots_wanted += 1

    def write(self, connection: Connection) -> None:
        client: TakesReplies = connection.shell  # type: ignore[assignment]  # what a test put there
        client.take(connection)

    def end_turn_soon(self) -> None:
        self._is_turn_due = True

    def wake_at(self, at_ms: int) -> None:
        self.woken_at_ms = at_ms

    # --- inputs

    def flush(self) -> None:
        """Has everything carried out that the inputs have led to."""
        self.driver.flush()
        while self._is_turn_due:
            self._is_turn_due = False
            self.driver.end_turn()

    def settle(self) -> None:
        """Has everything carried out; worlds whose disk answers by itself let it."""
        self.flush()

    def pass_time(self, now_ms: int) -> None:
        """Sets both clocks; nothing wakes."""
        self.clock.wall_ms += now_ms - self.clock.now_ms
        self.clock.now_ms = now_ms

    def advance(self, milliseconds: int) -> None:
        """Lets time pass, and wakes the peer whenever it has asked for it."""
        end = self.clock.now_ms + milliseconds
        while self.woken_at_ms <= end:
            self.pass_time(max(self.woken_at_ms, self.clock.now_ms))
            self.wake()
        self.pass_time(end)

    def jump(self, milliseconds: int) -> None:
        """Lets time pass while the whole server stands still; then wakes it."""
        self.pass_time(self.clock.now_ms + milliseconds)
        self.wake()

    def wake(self) -> None:
        """Wakes the peer now."""
        self.driver.wake()
        self.settle()


class OneRole:
    """The life of a member that has one role and no elections."""

    moves_deadline = True

    def __init__(self, member: Member, role: MemberRole) -> None:
        self.member = member
        self.role = role

    def start(self) -> None:
        self.role.start()

    def flush(self) -> None:
        self.role.flush()

    def log_synced(self, zxid: int) -> None:
        self.member.synced_zxid = zxid
        self.role.log_synced(zxid)

    def wake(self) -> None:
        self.role.wake()

    @property
    def deadline(self) -> int | None:
        return self.role.deadline

    @property
    def status(self) -> tuple[str, int | None]:
        return self.role.mode, None


class NoElections:
    """The effects of a member that has `OneRole`, but for those that the role needs."""

    def order(self, command: StorageCommand) -> None:
        raise AssertionError(command)

    def send(self, link: Outgoing) -> None:
        raise AssertionError(link)

    def dial_leader(self, command: DialLeader) -> None:
        raise AssertionError(command)

    def listen_for_learners(self) -> None:
        raise AssertionError("a learner listens")

    def stop_listening(self) -> None:
        raise AssertionError("a learner listens")

    def dial_election(self, command: DialElection) -> None:
        raise AssertionError(command)

    def send_vote(self, link: ElectionLink, data: bytes) -> None:
        raise AssertionError(data)

    def close_election(self, link: ElectionLink) -> None:
        raise AssertionError(link)
