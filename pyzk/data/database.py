"""The replicated state of one server: the tree, the session table, the digests, the committed log.

Pure. ``commit`` is the only way in which a transaction becomes history, live and at recovery: the
tree, the session table and the committed log change together, and ``last_zxid`` moves after the
whole transaction. ``begin_epoch`` is the only other way in which ``last_zxid`` moves while a server
serves.

ZooKeeper: ZKDatabase.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

from pyzk.constants import OpCode
from pyzk.data.committed_log import CommittedLog
from pyzk.data.pending import PendingNode
from pyzk.data.snapshot_view import SnapshotView
from pyzk.data.tree import Applied, DataTree
from pyzk.data.txn import DIGEST_VERSION, LoggedTxn
from pyzk.jute.records import ACL, CreateSessionTxn, TxnHeader
from pyzk.metrics import Metrics
from pyzk.zxid import format_zxid, make

log = logging.getLogger(__name__)

DIGEST_LOG_INTERVAL: Final = 128
DIGEST_LOG_LIMIT: Final = 1024


class FrozenDatabase:
    """A database at one moment, from which a snapshot is written."""

    def __init__(self, database: Database) -> None:
        tree = database.tree
        self.zxid = tree.last_zxid
        self.digest = tree.digest if tree.digests else None
        """The tree digest modulo 2^64; None when digests are switched off."""
        self.sessions = list(database.sessions.items())
        self.acls: list[tuple[int, tuple[ACL, ...]]] = tree.acls.items()
        self.nodes: SnapshotView = tree.freeze()

    def close(self) -> None:
        """Lets the tree change without saving old znodes for this view."""
        self.nodes.close()


class Database:
    """The tree of znodes, and the table session -> timeout in ms."""

    def __init__(self, tree: DataTree, sessions: dict[int, int] | None = None) -> None:
        self.tree: DataTree = tree
        self.sessions: dict[int, int] = {} if sessions is None else sessions
        self.digest_log: deque[tuple[int, int, int]] = deque(maxlen=DIGEST_LOG_LIMIT)
        """The (zxid, digest version, digest) of every 128th transaction."""
        self.digest_mismatches = 0
        self.metrics: Metrics | None = None
        """What counts further mismatches, too; None until a server has this database."""
        self.fuzzy_until = 0
        """The zxid up to which a loaded fuzzy snapshot may have effects; up to there no digests are
        compared."""
        self.committed: CommittedLog | None = None
        """The last transactions as bytes; None on a server that is not a member of an ensemble."""
        self.log_complete_after: int = 0
        """The zxid from which the log on disk is the whole history: that of the snapshot that was
        loaded, or of one that came over the network."""

    @property
    def last_zxid(self) -> int:
        """The zxid of the last transaction that was applied."""
        return self.tree.last_zxid

    def replay(self, txn: LoggedTxn, payload: bytes = b"") -> Applied:
        """Commits a transaction that was read from ``payload``, which only a database with a
        committed log keeps."""
        return self.commit(txn.header, txn.body, txn.digest, payload)

    def commit(
        self,
        header: TxnHeader,
        body: object,
        digest: int | None,
        payload: bytes,
        foretold: PendingNode | None = None,
    ) -> Applied:
        """Makes a transaction history: applies it to the tree and the session table, compares its
        digest, and adds its bytes, ``payload``, to the committed log where there is one.

        ``foretold`` is what `DataTree.apply` takes under that name."""
        kind = header.type
        tree = self.tree
        if kind < -1:
            self._apply_session(header, body)
        applied = tree.apply(header, body, foretold)
        zxid = header.zxid
        if zxid > tree.last_zxid:
            tree.last_zxid = zxid
        if tree.digests:
            if digest is not None and digest != tree.digest:
                self._digest_differs(zxid, digest)
            if not zxid & DIGEST_LOG_INTERVAL - 1 and zxid > self.fuzzy_until:
                self.digest_log.append((zxid, DIGEST_VERSION, tree.digest))
        committed = self.committed
        if committed is not None:
            committed.append(zxid, payload)
        return applied

    def begin_epoch(self, epoch: int) -> None:
        """Makes (``epoch``, 0), which is no transaction, the last zxid: its leader is
        established."""
        self.tree.last_zxid = make(epoch, 0)

    def _apply_session(self, header: TxnHeader, body: object) -> None:
        """Applies createSession or closeSession, the two types below -1."""
        if header.type == OpCode.CREATE_SESSION:
            assert isinstance(body, CreateSessionTxn), body
            self.sessions[header.client_id] = body.timeout_ms
        else:
            assert header.type == OpCode.CLOSE_SESSION, header.type
            self.sessions.pop(header.client_id, None)

    def _digest_differs(self, zxid: int, expected: int) -> None:
        """Counts and logs a digest that differs. It is never fatal: the original itself mispredicts
        the digests of some multis."""
        if zxid <= self.fuzzy_until:
            return
        self.digest_mismatches += 1
        if self.metrics is not None:
            self.metrics.digest_mismatches_count += 1
        if self.digest_mismatches in (1, 10, 100, 1000) or self.digest_mismatches % 10000 == 0:
            log.error(
                "tree digest differs at zxid %s: transaction says %d, tree has %d (%d so far)",
                format_zxid(zxid),
                expected,
                self.tree.digest,
                self.digest_mismatches,
            )

    def kill_dead_sessions(self) -> int:
        """Deletes the ephemerals whose session is unknown and returns their number. No transaction
        says so: the original does the same when it starts to serve."""
        dead = [owner for owner in self.tree.ephemerals if owner not in self.sessions]
        return sum(self.tree.delete_ephemerals(owner, self.tree.last_zxid) for owner in dead)

    def freeze(self) -> FrozenDatabase:
        """Returns the present state, from which a snapshot can be written."""
        return FrozenDatabase(self)
