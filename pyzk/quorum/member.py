"""What the roles of one member share: its configuration, epochs, database, log and identity.

Pure. ZooKeeper: the fields of QuorumPeer. The life of a member owns it and gives it to each role.
"""

from __future__ import annotations

import logging
from collections import deque
from random import Random
from typing import TYPE_CHECKING

from pyzk.config.members import config_text, parse_membership
from pyzk.data.paths import CONFIG
from pyzk.errors import ConfigError, PyzkError
from pyzk.persistence.txnlog import frame_record
from pyzk.quorum.commands import (
    ListenForClients,
    Reload,
    SaveConfig,
    SaveEpoch,
    StorageCommand,
    StoreDatabase,
)
from pyzk.quorum.configurations import Configurations
from pyzk.quorum.epochs import ACCEPTED
from pyzk.quorum.learner_masters import LearnerMasters
from pyzk.quorum.verifier import QuorumVerifier, verifier_of
from pyzk.server.outbox import Outbox, TakeSnapshot
from pyzk.server.snapshot_trigger import SnapshotTrigger
from pyzk.zxid import counter_of, epoch_of

if TYPE_CHECKING:
    from pyzk.clock import Clock
    from pyzk.config.ensemble import EnsembleConfig
    from pyzk.config.members import Membership, QuorumServer, ServerAddress
    from pyzk.config.server import ServerConfig
    from pyzk.data.database import Database
    from pyzk.quorum.election_module import ElectionModule
    from pyzk.quorum.epochs import Epochs
    from pyzk.server.server import Server

log = logging.getLogger(__name__)


class Member:
    """One server of an ensemble, whatever its role is."""

    _has_heard_config: bool = False
    """Whether it is in the log that others go by a later configuration."""

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
        self.configs: Configurations = Configurations.of(ensemble)
        self.masters: LearnerMasters = LearnerMasters(rng)
        """The voters that this server, as an observer, may follow in place of the leader."""
        self.me: QuorumServer = self.configs.committed.member(self.sid) or ensemble.me
        """This server, as the last configuration that had it says, or else as the files do."""
        self.is_observer: bool = ensemble.is_observer
        """Whether this server observes; one that no configuration has follows without a vote."""
        self.client_address: tuple[str, int] | None = ensemble.client_address
        """Where clients are taken."""
        self.knows_leader: bool = False
        """Whether the next role is taken without an election: a configuration has named it."""
        self.was_added: bool = ensemble.membership.version != 0
        """Whether a configuration that no person wrote has had this server: files have it then."""
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
        """Whether a leader has asked for a TRUNC that the disk cannot do: it is asked for SNAP."""
        self.stands_aside: str = ""
        """Why this server, which could not lead, lets others be elected; empty if it stands."""
        self.is_outdated: bool = False
        """Whether other voters than here elect, and this server, reconfigEnabled=false, may not."""
        self.elections: ElectionModule | None = None
        """What must know of new epochs and configurations; the life of the member sets it."""
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

    def addresses_of(self, sid: int) -> tuple[ServerAddress, ...]:
        """Returns where a server listens: as the configuration in force says, then as the proposed
        one does, if that differs; nowhere if neither has it."""
        found: tuple[ServerAddress, ...] = ()
        for membership in (self.configs.committed, self.configs.last_seen):
            server = membership.member(sid)
            if server is not None:
                found += tuple(each for each in server.addresses if each not in found)
        return found

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

    @property
    def is_ahead_of_log(self) -> bool:
        """Whether memory has what the disk lacks, by the choice of an observer without a log."""
        return 0 <= self.logged_zxid < self.database.log_complete_after

    def store_database(self) -> int:
        """Orders the database to be stored that is in use; nothing may be logged meanwhile. Returns
        the ticket."""
        database = self.database
        ticket = self.order(StoreDatabase(self.ticket(), database))
        self.logged_zxid = self.synced_zxid = database.log_complete_after = database.last_zxid
        return ticket

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
        if self.elections is not None:
            self.elections.election.epoch_established(epoch)

    def heard_config(self, text: bytes) -> None:
        """Looks at a configuration that the leader has and this server, by reconfigEnabled=false,
        does not take."""
        try:
            config = verifier_of(parse_membership(text))
        except PyzkError as error:
            log.warning("the leader's configuration cannot be read: %s", error)
            return
        verifier = self.verifier
        if config.version <= verifier.version:
            return
        if not self._has_heard_config:
            self._has_heard_config = True
            log.warning(
                "server %d goes by its own server lines, though version %x of the configuration is"
                " in force: set reconfigEnabled=true in its zoo.cfg, as on the others",
                self.sid,
                config.version,
            )
        if verifier.has_same_quorums(config):
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

    @property
    def election_round(self) -> int:
        """The round in which the present leader was elected, as far as this server knows."""
        return 0 if self.elections is None else self.elections.election.current_vote.round

    def has_quorums_of(self, version: int) -> bool:
        """Tells whether a later version of the configuration is known to have the same quorums."""
        return self.elections is not None and self.elections.election.has_quorums_of(version)

    # --- configurations -------------------------------------------------------------

    def see_config(self, proposed: Membership) -> None:
        """Takes a configuration that is proposed, unless it is not later than the last one: orders
        it to be saved and the servers that are new in it to be dialed. From now on, decisions need
        quorums of both.

        The record of the proposal is given to the log after this, so that it is not durable before
        the file was tried. ZooKeeper: QuorumPeer.setLastSeenQuorumVerifier
        """
        if not self.configs.see(proposed):
            return
        log.info(
            "server %d has seen version %x of the configuration, with the voters %s",
            self.sid,
            proposed.version,
            ", ".join(map(str, proposed.voters)),
        )
        self.order(SaveConfig(self.ticket(), proposed, is_active=False))
        is_added = counter_of(proposed.version) and proposed.member(self.sid) is not None
        if is_added and not self.was_added:
            # A start looks for a proposed one only beside one that was put in force; with that
            # alone, which may lack this server, there is none.
            self.was_added = True
            self._save_active(self.configs.committed)
        if self.elections is not None:
            self.elections.see(self.configs)

    def see_config_of_database(self) -> None:
        """Takes the configuration that the database has, if it is later than those of the files,
        which could not be written when it was proposed: who has acknowledged it must not take a
        quorum of the former one for enough. Server lines in zoo.cfg are a new beginning, unless
        zoo.cfg is never written."""
        known = self._config_of_database()
        configs = self.configs
        if known is None:
            return
        if configs.committed.version or self.ensemble.config_in_data_dir:
            self.see_config(known)
        elif configs.is_enabled and known.voters != configs.committed.voters:
            log.warning(
                "zoo.cfg has server lines with the voters %s, and the database knows a later"
                " configuration with the voters %s: the lines count, as those of a server that"
                " joins or of an ensemble that begins anew. If nobody has meant that, because"
                " zoo.cfg could not be rewritten, stop this server and give it the present lines",
                ", ".join(map(str, configs.committed.voters)),
                ", ".join(map(str, known.voters)),
            )

    def _config_of_database(self) -> Membership | None:
        """Returns the configuration that the database has; None if it is not later than those that
        this server knows."""
        node = self.database.tree.find(CONFIG)
        if node is None or node.data is None or node.mzxid <= self.configs.last_seen.version:
            return None
        try:
            known = parse_membership(node.data)
        except ConfigError:
            return None  # an administrator has written something else there
        return known if known.version == node.mzxid and known.voters else None

    def adopt_config(self, config: Membership) -> None:
        """Puts a later configuration in force that another server has told in an election.

        If the lines in zoo.cfg were a new beginning, they are it no longer: then this server may
        know from its database of a change behind that configuration, which it has acknowledged.
        """
        known = self._config_of_database()  # now, for /zookeeper/config is written
        self.activate_config(config, None, 0)
        if known is not None:
            self.see_config(known)
            self._write_config(known)

    def see_config_of_leader(self, seen: Membership) -> None:
        """Takes the last configuration that the leader has seen (NEWLEADER). A later one that was
        proposed here was never committed, for the leader would have it."""
        if seen.version < self.configs.last_seen.version:
            self._forget_proposed()
        self.see_config(seen)

    def forget_unlogged_config(self) -> None:
        """Forgets, at a start, a proposed configuration whose record did not get to the log in the
        epoch of its proposal: this server has not acknowledged it, so it is as if it had not seen
        it. If it was committed, a quorum of the one in force has the record, and lets nobody lead
        who lacks it. If not, those that have the record may be voters of the proposed one only:
        they cannot lead, and are ahead of those that can, so nobody could lead who asks for them.

        In a later epoch this server has acknowledged a leader that completes the change, with or
        without its record. ZooKeeper: none, the file counts
        """
        configs = self.configs
        version = configs.last_seen.version
        last_zxid = self.database.last_zxid
        if (
            configs.is_under_way
            and counter_of(version)  # a name for the first one has no record
            and 0 <= last_zxid < version
            and self.epochs.current == epoch_of(version)
            and configs.committed.member(self.sid) is not None
        ):
            log.info(
                "server %d has not logged version %x of the configuration, and forgets it",
                self.sid,
                version,
            )
            self._forget_proposed()

    def _forget_proposed(self) -> None:
        configs = self.configs
        if not configs.forget_proposed():
            return
        committed = configs.committed
        is_member = committed.member(self.sid) is not None
        self.was_added = is_member and committed.version != 0
        if is_member:  # else it could not start with what is left
            # It replaces the other one in its file: a start passes over what is not later.
            self.order(SaveConfig(self.ticket(), committed, is_active=False))
        if self.elections is not None:
            self.elections.see(configs)

    def activate_config(self, config: Membership, leader: int | None, zxid: int) -> bool:
        """Puts a configuration in force, unless it is not later than the one that is: in the files,
        in /zookeeper/config, for elections, clients and the role of this server.

        Returns whether its role or the leader has changed: then the role that called this ends
        itself. ``leader`` is whom the leader of the transaction ``zxid`` has designated; None if
        the configuration was learned otherwise. ZooKeeper: QuorumPeer.processReconfig
        """
        configs = self.configs
        before, quorums_before = configs.committed, configs.verifier
        if not configs.activate(config):
            return False
        log.info(
            "server %d: version %x of the configuration is in force, with the voters %s",
            self.sid,
            config.version,
            ", ".join(map(str, config.voters)),
        )
        mine = config.member(self.sid)
        self.was_added = self.was_added or mine is not None
        if self.was_added:
            self._save_active(config)
        # Else this server joins, and could not start again by files that lack it.
        self.install_config()
        if configs.verifier.has_same_content(quorums_before):
            if self.elections is not None:
                self.elections.see(configs)
            return False
        has_other_role = (mine is not None and mine.is_observer) != self.is_observer
        if mine is not None:
            self.me = mine
            self._listen_for_clients(mine)
        if has_other_role:
            self.is_observer = not self.is_observer
        if self.elections is not None:
            self.elections.renew(configs, self.me, is_observer=self.is_observer)
        return self._is_moved_on(has_other_role, leader, zxid, before)

    def _save_active(self, config: Membership) -> None:
        address = self.client_address
        self.order(SaveConfig(self.ticket(), config, is_active=True, client_address=address))

    def _listen_for_clients(self, mine: QuorumServer) -> None:
        """Orders the client port to be opened where the configuration has it now. Where it does not
        say, clients are taken where they are."""
        if mine.client_port is None or self.client_address == (mine.client_host, mine.client_port):
            return
        self.client_address = (mine.client_host, mine.client_port)
        self.outbox.commands.append(ListenForClients(mine.client_host, mine.client_port))

    def _is_moved_on(
        self, has_other_role: bool, leader: int | None, zxid: int, before: Membership
    ) -> bool:
        """Tells whether the present role ends, and notes whether an election follows."""
        elections = self.elections
        if leader is not None:
            has_other_leader = elections is not None and elections.election.designate(leader, zxid)
            self.knows_leader = self.knows_leader or has_other_role or has_other_leader
            return has_other_role or has_other_leader
        self.knows_leader = False
        if elections is None:
            return has_other_role
        present = elections.election.current_vote.leader
        was, now = before.member(present), self.configs.committed.member(present)
        is_same = (
            was is not None
            and now is not None
            and not was.is_observer
            and not now.is_observer
            and was.addresses == now.addresses
        )
        return has_other_role or not is_same

    def kill_dead_sessions(self) -> None:
        """Deletes the ephemerals of sessions that are gone, before this server leads."""
        dead = self.database.kill_dead_sessions()
        if dead:
            log.info("removed %d ephemeral znodes of sessions that are gone", dead)
            # No transaction says so: a later start must find it in a snapshot.
            self.outbox.commands.append(TakeSnapshot())

    def install_config(self) -> None:
        """Writes the committed configuration into /zookeeper/config; no transaction does.

        A change under way that is there by its transaction stays. It was acknowledged, and where it
        is in no file a snapshot without it, of this server or sent to another one, would forget it.
        """
        configs = self.configs
        node = self.database.tree.find(CONFIG)
        is_there = node is not None and node.mzxid == configs.last_seen.version
        if not (configs.is_under_way and is_there):
            self._write_config(configs.committed)

    def _write_config(self, config: Membership) -> None:
        text = config_text(config).encode("utf-8")
        self.database.tree.install_config(text, config.version, self.clock.wall_ms)
