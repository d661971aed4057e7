"""What the roles of one member share: its configuration, epochs, database, log and identity.

Pure. Answers to the fields of QuorumPeer. The `Peer` owns it and changes roles; a role is given it.
"""

from __future__ import annotations

import logging
from random import Random
from typing import TYPE_CHECKING

from pyzk.persistence.txnlog import frame_record
from pyzk.quorum.commands import Reload, SaveEpoch
from pyzk.quorum.verifier import QuorumVerifier, verifier_of
from pyzk.server.outbox import Outbox, TakeSnapshot
from pyzk.server.standalone import SnapshotTrigger

if TYPE_CHECKING:
    from pyzk.clock import Clock
    from pyzk.config import ServerConfig
    from pyzk.config_ensemble import EnsembleConfig
    from pyzk.config_members import Membership
    from pyzk.data.database import Database
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
        self.epochs: Epochs = epochs
        self.clock: Clock = clock
        self.outbox: Outbox = outbox
        self.rng: Random = rng
        self.membership: Membership = ensemble.membership
        """The committed configuration."""
        self.verifier: QuorumVerifier = verifier_of(ensemble.membership)
        self.tick_ms: int = ensemble.tick_time_ms
        self.init_limit_ms: int = ensemble.tick_time_ms * ensemble.init_limit_ticks
        self.sync_limit_ms: int = ensemble.tick_time_ms * ensemble.sync_limit_ticks
        self.logged_zxid: int = server.database.last_zxid
        """Of the last record that was handed to the log."""
        self.synced_zxid: int = self.logged_zxid
        """Of the last one that is durable."""
        self.is_database_whole: bool = True
        """False while a SNAP is being loaded: then memory must not be believed after a break."""
        self._next_ticket: int = 0
        self._trigger: SnapshotTrigger = SnapshotTrigger(
            config.snap_count, config.snap_size_limit_kb * 1024, rng
        )

    @property
    def database(self) -> Database:
        """The replicated state; the server owns it, SNAP and TRUNC replace it."""
        return self.server.database

    # --- the log --------------------------------------------------------------------

    def log_txn(self, zxid: int, payload: bytes) -> None:
        """Hand a transaction to the log; `synced_zxid` tells when it is durable."""
        assert zxid > self.logged_zxid, (zxid, self.logged_zxid)
        record = frame_record(payload)
        outbox = self.outbox
        outbox.log.append(record)
        outbox.log_zxid = zxid
        self.logged_zxid = zxid
        if self._trigger.logged(len(record), len(self.server.tree.nodes)):
            outbox.commands.append(TakeSnapshot())

    @property
    def is_settled(self) -> bool:
        """Whether everything that was handed to the log is durable."""
        return self.synced_zxid >= self.logged_zxid

    def replace_database(self, database: Database, zxid: int) -> None:
        """Take another database, whose log ends at ``zxid`` and is durable."""
        self.server.attach(database)
        self.logged_zxid = self.synced_zxid = zxid
        self.is_database_whole = True

    # --- commands with an answer ----------------------------------------------------

    def ticket(self) -> int:
        """Return a number that no command had."""
        self._next_ticket += 1
        return self._next_ticket

    def save_epoch(self, name: str, epoch: int) -> int:
        """Order an epoch file to be written; return the ticket. The fields of `epochs` are changed
        by the caller when the answer has come."""
        ticket = self.ticket()
        self.outbox.commands.append(SaveEpoch(ticket, name, epoch))
        return ticket

    def reload(self) -> int:
        """Order the database to be loaded again; return the ticket."""
        ticket = self.ticket()
        self.outbox.commands.append(Reload(ticket))
        return ticket
