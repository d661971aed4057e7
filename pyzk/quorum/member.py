"""What the roles of one member share: its configuration, epochs, database, log and identity.

Pure. ZooKeeper: the fields of QuorumPeer. The life of a member owns it and gives it to each role.
"""

from __future__ import annotations

import logging
from collections import deque
from random import Random
from typing import TYPE_CHECKING

from pyzk.config.members import config_text, parse_membership
from pyzk.errors import PyzkError
from pyzk.persistence.txnlog import frame_record
from pyzk.quorum.commands import Reload, SaveEpoch, StorageCommand
from pyzk.quorum.configurations import Configurations
from pyzk.quorum.epochs import ACCEPTED
from pyzk.quorum.learner_masters import LearnerMasters
from pyzk.quorum.verifier import QuorumVerifier, verifier_of
from pyzk.server.outbox import Outbox, TakeSnapshot
from pyzk.server.snapshot_trigger import SnapshotTrigger

if TYPE_CHECKING:
    from pyzk.clock import Clock
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.config.members import Membership, QuorumServer
    from pyzk.config.server import ServerConfig
    from pyzk.data.database import Database
    from pyzk.quorum.election import Election
    from pyzk.quorum.epochs import Epochs
    from pyzk.server.server import Server

log = logging.getLogger(__name__)


class Member:
    """One server of an ensemble, whatever its role is."""

    def __init__(
        self,
        config: ServerConfig,
        ensemble: EnsembleConfig,
        server: Server,
        epochs: Epochs,
        clock: Clock,
        outbox: Outbox,
        rng: Random,
    ) -> None:
        self.config: ServerConfig = config
        self.ensemble: EnsembleConfig = ensemble
        self.sid: int = ensemble.my_sid
        self.server: Server = server
        server.server_id = self.sid
        self.epochs: Epochs = epochs
        self.clock: Clock = clock
        self.outbox: Outbox = outbox
        self.rng: Random = rng
        self.configs: Configurations = Configurations(
            ensemble.membership, ensemble.last_seen, ensemble.reconfig_enabled
        )
        self.masters: LearnerMasters = LearnerMasters(rng)
        """The voters that this server, as an observer, may follow in place of the leader."""
        self.tick_ms: int = ensemble.tick_time_ms
        self.init_limit_ms: int = ensemble.tick_time_ms * ensemble.init_limit_ticks
        self.sync_limit_ms: int = ensemble.tick_time_ms * ensemble.sync_limit_ticks
        self.logged_zxid: int = server.database.last_zxid
        """The zxid of the last record that was handed to the log."""
        self.synced_zxid: int = self.logged_zxid
        """The zxid of the last record that is durable."""
        self._logged_bytes: int = 0
        """How many bytes all records have that were handed to the log."""
        self._log_marks: deque[tuple[int, int]] = deque()
        """(zxid, bytes of all records up to it) after each input that has led to records."""
        self._synced_bytes: int = 0
        self.is_database_whole: bool = True
        """Whether memory can be trusted if a role ends now; it cannot while a SNAP is stored."""
        self.needs_snapshot: bool = False
        """Whether a leader has asked for a TRUNC that the disk cannot do; then this server
        asks for a SNAP."""
        self.stands_aside: str = ""
        """Why this server does not stand in the next election, empty if it does: as leader it had
        to refuse voters that have a later configuration, or could not listen for them."""
        self.is_outdated: bool = False
        """Whether a leader had a later configuration with other voters. A quorum of the present
        configuration may not be one of that, so this server no longer stands for election."""
        self.election: Election | None = None
        """The election, which must know of a new epoch; the life of the member sets it."""
        self.pending: dict[int, StorageCommand] = {}
        """ticket -> command that the disk has not answered yet."""
        self._next_ticket: int = 0
        self._trigger: SnapshotTrigger = SnapshotTrigger(
            config.snap_count, config.snap_size_limit_kb * 1024, rng
        )

    @property
    def membership(self) -> Membership:
        """The configuration in force."""
        return self.configs.committed

    @property
    def verifier(self) -> QuorumVerifier:
        """The quorums of the configuration in force."""
        return self.configs.verifier

    @property
    def me(self) -> QuorumServer:
        """This server, as the configuration in force has it; as the files had it at the start if it
        is not in that."""
        return self.configs.committed.member(self.sid) or self.ensemble.me

    @property
    def database(self) -> Database:
        """The replicated state, which the server owns; SNAP and TRUNC replace it."""
        return self.server.database

    # --- the log --------------------------------------------------------------------

    def log_txn(self, zxid: int, payload: bytes) -> None:
        """Hands a transaction to the log; `synced_zxid` tells when it is durable."""
        assert zxid > self.logged_zxid, (zxid, self.logged_zxid)
        record = frame_record(payload)
        outbox = self.outbox
        outbox.log.append(record)
        outbox.log_zxid = zxid
        self.logged_zxid = zxid
        self._logged_bytes += len(record)
        if self._trigger.logged(len(record), len(self.server.tree.nodes)):
            outbox.commands.append(TakeSnapshot())

    @property
    def is_settled(self) -> bool:
        """Whether everything that was handed to the log is durable."""
        return self.synced_zxid >= self.logged_zxid

    @property
    def unsynced_bytes(self) -> int:
        """The bytes of the records that the disk has not made durable. The number is
        approximate: it is updated only when it is read, so read it once after each input."""
        marks = self._log_marks
        synced = self.synced_zxid
        total = self._logged_bytes
        if synced >= self.logged_zxid:
            marks.clear()
            self._synced_bytes = total
            return 0
        while marks and marks[0][0] <= synced:
            self._synced_bytes = marks.popleft()[1]
        if total > (marks[-1][1] if marks else self._synced_bytes):
            marks.append((self.logged_zxid, total))
        return total - self._synced_bytes

    def replace_database(self, database: Database, zxid: int) -> None:
        """Takes another database, whose log ends at ``zxid`` and is durable."""
        self.server.attach(database)
        self.logged_zxid = self.synced_zxid = zxid
        self.is_database_whole = True

    # --- commands with an answer ----------------------------------------------------

    def ticket(self) -> int:
        """Returns a number that no command had."""
        self._next_ticket += 1
        return self._next_ticket

    def order(self, command: StorageCommand) -> int:
        """Hands out a command that will be answered; returns its ticket."""
        self.pending[command.ticket] = command
        self.outbox.commands.append(command)
        return command.ticket

    def answered(self, ticket: int) -> StorageCommand:
        """Returns the command that the disk has answered. What it saved is true from now on."""
        command = self.pending.pop(ticket)
        if isinstance(command, SaveEpoch):
            if command.name == ACCEPTED:
                self.epochs.accepted = command.epoch
            else:
                self.epochs.current = command.epoch
        return command

    def save_epoch(self, name: str, epoch: int) -> int:
        """Orders an epoch file to be written; returns the ticket."""
        return self.order(SaveEpoch(self.ticket(), name, epoch))

    def reload(self) -> int:
        """Orders the database to be loaded again; returns the ticket."""
        return self.order(Reload(self.ticket()))

    # --- what changes with an epoch -------------------------------------------------

    def established(self, epoch: int) -> None:
        """Notes in the vote of this server that a quorum has acknowledged the leader of
        ``epoch``."""
        if self.election is not None:
            self.election.epoch_established(epoch)

    def heard_config(self, text: bytes) -> None:
        """Looks at the configuration that the leader has in force, or is about to have."""
        try:
            config = verifier_of(parse_membership(text))
        except PyzkError as error:
            log.warning("the leader's configuration cannot be read: %s", error)
            return
        verifier = self.verifier
        if config.version <= verifier.version or verifier.has_same_quorums(config):
            return
        if not self.is_outdated:
            log.warning(
                "server %d does not stand for election any more: version %x of the configuration"
                " has the voters %s, and this server was started with the voters %s; give it the"
                " new server lines and start it again",
                self.sid,
                config.version,
                ", ".join(map(str, config.voters)),
                ", ".join(map(str, verifier.voters)),
            )
        self.is_outdated = True

    def has_quorums_of(self, version: int) -> bool:
        """Tells whether a later version of the configuration is known to have the same quorums."""
        return self.election is not None and self.election.has_quorums_of(version)

    def kill_dead_sessions(self) -> None:
        """Deletes the ephemerals of sessions that are gone, before this server leads."""
        dead = self.database.kill_dead_sessions()
        if dead:
            log.info("removed %d ephemeral znodes of sessions that are gone", dead)
            # No transaction says so: a later start must find it in a snapshot.
            self.outbox.commands.append(TakeSnapshot())

    def install_config(self) -> None:
        """Writes the committed configuration into /zookeeper/config; no transaction does."""
        text = config_text(self.membership).encode("utf-8")
        self.database.tree.install_config(text, self.membership.version, self.clock.wall_ms)
