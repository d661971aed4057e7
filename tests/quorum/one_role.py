"""A member that has one role and no elections, for the worlds of the leader and of the learner."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pyzk.clock import Clock
from pyzk.config.ensemble import EnsembleConfig
from pyzk.config.server import ServerConfig
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
from pyzk.quorum.election_module import ElectionModule
from pyzk.quorum.epochs import Epochs
from pyzk.quorum.member import Member
from pyzk.quorum.peer import Peer
from pyzk.quorum.role import MemberRole
from pyzk.server.marks import Marks
from pyzk.server.outbox import Outbox, Outgoing
from pyzk.server.server import Server
from tests.world import START_MS, WALL_MS, Driven


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

    def go_on(self) -> None:
        self.role.go_on()

    def wake(self) -> None:
        self.role.wake()

    @property
    def deadline(self) -> int | None:
        return self.role.deadline

    @property
    def status(self) -> tuple[str, int | None]:
        return self.role.mode, None


class NoElections:
    """The effects of a member with `OneRole`: a world overrides those it needs. What a change of
    the configuration orders leads to nothing; the others fail."""

    def order(self, command: StorageCommand) -> None:
        raise AssertionError(command)

    def send(self, link: Outgoing) -> None:
        raise AssertionError(link)

    def dial_leader(self, command: DialLeader) -> None:
        raise AssertionError(command)

    def listen_for_learners(self, command: ListenForLearners) -> None:
        raise AssertionError("a learner listens")

    def stop_listening(self) -> None:
        raise AssertionError("a learner listens")

    def listen_for_observers(self, command: ListenForObservers) -> None:
        raise AssertionError(command)

    def stop_listening_for_observers(self) -> None:
        raise AssertionError("it takes no observers")

    def listen_for_elections(self, command: ListenForElections) -> None:
        """Does nothing."""

    def listen_for_clients(self, command: ListenForClients) -> None:
        """Does nothing."""

    def dial_election(self, command: DialElection) -> None:
        """Does nothing."""

    def send_vote(self, link: ElectionLink, data: bytes) -> None:
        raise AssertionError(data)

    def close_election(self, link: ElectionLink) -> None:
        raise AssertionError(link)


class OneRoleWorld(Driven, NoElections):
    """A peer whose life is one role."""

    def __init__(
        self,
        config: ServerConfig,
        ensemble: EnsembleConfig,
        database: Database,
        epochs: Epochs,
        make_role: Callable[[Member], MemberRole],
        marks: Marks | None = None,
    ) -> None:
        self.config = config
        clock = Clock(START_MS, WALL_MS)
        server = Server(config, database, clock, Outbox(), Random(1))
        server.marks = marks or Marks()
        self.member = Member(config, ensemble, server, epochs, clock, server.outbox, Random(2))
        self.elections = ElectionModule(
            ensemble, self.member.configs, self.member.me, clock, server.outbox
        )
        self.member.elections = self.elections
        self.life = OneRole(self.member, make_role(self.member))
        super().__init__(Peer(server, self.life), self)
