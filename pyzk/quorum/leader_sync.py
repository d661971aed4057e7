"""How a leader brings its learners up to date: `quorum.sync` decides, this does it.

Pure. Answers to the middle of LearnerHandler.run and to LearnerSyncThrottler.

The decision, what it sends, and the registration for what comes later are one step: nothing is
committed in between, so nothing is sent twice or left out (an ambiguity of the DSN'11 paper). Only
a log that has to be read from disk makes it two: then it is decided anew when the records are
there, and what was committed meanwhile is in the committed log.

A snapshot is of one moment, that of the SNAP packet's zxid (`data.snapshot_view`); the original's
is fuzzy. It is made piece by piece as the learner takes it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pyzk.data.database import FrozenDatabase
from pyzk.errors import QuorumProtocolError
from pyzk.quorum import packets
from pyzk.quorum.commands import ReadLog
from pyzk.quorum.snapshot_stream import encode_begin, encode_end, encode_nodes
from pyzk.quorum.sync import READ_LOG, LeaderView, LogOnDisk, SyncOptions, SyncPlan, plan_sync
from pyzk.zxid import format_zxid

if TYPE_CHECKING:
    from pyzk.quorum.leader import Leader
    from pyzk.quorum.learner_handler import LearnerHandler

log = logging.getLogger(__name__)

PIECE_BYTES: Final = 1 << 16
"""A piece of a snapshot has at least so many, but for the last."""
PIECE_ZNODES: Final = 16
"""Encoded at a time: each may have a mebibyte."""
END_OF_LOG: Final = (1 << 63) - 1


class SnapshotChunks:
    """The bytes behind a SNAP packet, made when they are taken."""

    def __init__(self, frozen: FrozenDatabase) -> None:
        self._frozen: FrozenDatabase = frozen
        self._has_begun: bool = False
        self._taken: int = 0
        self._seen: int = 0
        self.is_exhausted: bool = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next piece."""
        if self.is_exhausted:
            raise StopIteration
        frozen = self._frozen
        self._taken += 1
        out: list[bytes] = []
        size = 0
        if not self._has_begun:
            self._has_begun = True
            out.append(encode_begin(frozen.sessions, frozen.acls))
        while size < PIECE_BYTES:
            nodes = frozen.nodes.read(PIECE_ZNODES)
            if not nodes:
                out.append(encode_end())
                self.close()
                break
            piece = encode_nodes(nodes)
            out.append(piece)
            size += len(piece)
        return b"".join(out)

    def has_progressed(self) -> bool:
        """Whether a piece was taken since this was asked last."""
        taken, self._seen = self._seen, self._taken
        return taken != self._seen

    def close(self) -> None:
        """Let the tree go on without saving for this snapshot; the link must be gone, too."""
        self.is_exhausted = True
        self._frozen.close()


class Synchronizer:
    """The synchronizations of one leader, those that wait for the disk among them."""

    def __init__(self, leader: Leader) -> None:
        ensemble = leader.member.ensemble
        self._leader: Leader = leader
        self._options: SyncOptions = SyncOptions(
            force_snapshot=ensemble.force_snapshot_sync, use_log=ensemble.snapshot_size_factor >= 0
        )
        self._limits: tuple[int, int] = (
            ensemble.max_concurrent_diff_syncs,
            ensemble.max_concurrent_snap_syncs,
        )
        self._reading: dict[int, LearnerHandler] = {}
        """Ticket -> who waits for the log to be read."""

    def start(self, handler: LearnerHandler) -> None:
        """Synchronize a learner whose ACKEPOCH has come."""
        self._run(handler, LogOnDisk(self._leader.member.database.log_complete_after), [])

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        """The log has been read, or is too long."""
        handler = self._reading.pop(ticket, None)
        if handler is None or handler.link.is_closed:
            return
        if records is None:
            self._run(handler, None, [])
            return
        zxids = [zxid for zxid, _ in records]
        complete_after = self._leader.member.database.log_complete_after
        try:
            self._run(handler, LogOnDisk(complete_after, zxids), records)
        except QuorumProtocolError as error:
            handler.link.fail(str(error))

    def _run(
        self, handler: LearnerHandler, disk: LogOnDisk | None, records: list[tuple[int, bytes]]
    ) -> None:
        leader = self._leader
        database = leader.member.database
        committed = database.committed
        assert committed is not None, "a leader without a committed log"
        leader.send_batch()  # what is in there must not reach the learner a second time
        view = LeaderView(database.last_zxid, list(committed.zxids), disk)
        plan = plan_sync(handler.last_zxid, view, self._options)
        if plan.kind == READ_LOG:
            command = ReadLog(leader.member.ticket(), plan.zxid, END_OF_LOG)
            self._reading[leader.member.order(command)] = handler
            return
        handler.is_snapshot = plan.kind == packets.SNAP
        self._throttle(handler)
        log.info(
            "%r, last zxid %s, is sent %s %s: %s",
            handler,
            format_zxid(handler.last_zxid),
            packets.type_name(plan.kind),
            format_zxid(plan.zxid),
            plan.reason,
            extra=handler.subject,
        )
        handler.link.send(packets.encode_bare(plan.kind, plan.zxid))
        extra_bytes = 0
        metrics = leader.member.server.metrics
        if handler.is_snapshot:
            metrics.snap_count += 1
            extra_bytes = self._snapshot(handler, plan)
        else:
            metrics.diff_count += 1
            payloads = dict(records)
            payloads.update(zip(committed.zxids, committed.payloads, strict=True))
            _send_history(handler, plan, payloads)
        handler.make_room(extra_bytes)  # before the first live proposal, which is counted
        leader.start_forwarding(handler, plan.forward_after)
        handler.new_leader(leader.new_leader_packet)

    def _snapshot(self, handler: LearnerHandler, plan: SyncPlan) -> int:
        database = self._leader.member.database
        frozen = database.freeze()
        assert frozen.zxid == plan.zxid, (frozen.zxid, plan.zxid)
        chunks = handler.chunks = SnapshotChunks(frozen)
        handler.link.send_stream(chunks)
        return database.tree.data_size

    def _throttle(self, handler: LearnerHandler) -> None:
        """Refuse an observer while too many others are being synchronized; voters never."""
        if not handler.is_observer:
            return
        limit = self._limits[handler.is_snapshot]
        busy = 0
        for each in self._leader.handlers:
            if each.is_syncing and each.is_snapshot == handler.is_snapshot:
                busy += 1
        if busy >= limit:
            kind = "snapshots" if handler.is_snapshot else "logs"
            raise QuorumProtocolError(
                f"{busy} learners are being sent {kind}; {limit} is the limit"
            )


def _send_history(handler: LearnerHandler, plan: SyncPlan, payloads: dict[int, bytes]) -> None:
    out: list[bytes] = []
    for zxids in (plan.from_disk, plan.from_committed):
        for zxid in zxids:
            out.append(packets.encode_packet(packets.PROPOSAL, zxid, payloads[zxid]))
            out.append(packets.encode_bare(packets.COMMIT, zxid))
    for data in out:
        handler.link.send(data)
