"""How a leader brings its learners up to date: `quorum.sync` decides, this does it.

Pure. ZooKeeper: the middle of LearnerHandler.run, and LearnerSyncThrottler.

The decision, what it sends, and the registration for what comes later are one step: nothing is
committed in between, so nothing is sent twice or left out (an ambiguity of the DSN'11 paper). Only
a log that has to be read from disk makes it two: then it is decided anew when the records are
there, and what was committed meanwhile is in the committed log.
"""

from __future__ import annotations

import logging
from typing import Final

from pyzk.errors import QuorumProtocolError
from pyzk.quorum import packets
from pyzk.quorum.commands import ReadLog
from pyzk.quorum.learner_handler import HISTORY_QUEUED, LearnerHandler, LearnerMaster
from pyzk.quorum.snapshot_send import SnapshotChunks
from pyzk.quorum.sync import READ_LOG, LeaderView, LogOnDisk, SyncOptions, SyncPlan, plan_sync
from pyzk.zxid import format_zxid

log = logging.getLogger(__name__)

END_OF_LOG: Final = (1 << 63) - 1


class Synchronizer:
    """The synchronizations of one leader, those that wait for the disk among them."""

    def __init__(self, master: LearnerMaster) -> None:
        ensemble = master.member.ensemble
        self._master: LearnerMaster = master
        self._options: SyncOptions = SyncOptions(
            force_snapshot=ensemble.force_snapshot_sync, use_log=ensemble.snapshot_size_factor >= 0
        )
        self._limits: tuple[int, int] = (
            ensemble.max_concurrent_diff_syncs,
            ensemble.max_concurrent_snap_syncs,
        )
        self._reading: dict[int, LearnerHandler] = {}
        """ticket -> the learner for which the log is read."""

    def start(self, handler: LearnerHandler) -> None:
        """Synchronizes a learner whose ACKEPOCH has come."""
        self._run(handler, LogOnDisk(self._master.member.database.log_complete_after), [])

    def start_all(self, handlers: list[LearnerHandler]) -> None:
        """Synchronizes several learners; a failure ends the link of that one."""
        for handler in handlers:
            try:
                self.start(handler)
            except QuorumProtocolError as error:
                handler.link.fail(str(error))

    def log_read(self, ticket: int, records: list[tuple[int, bytes]] | None) -> None:
        """Takes the records of the log, or None if a snapshot is cheaper."""
        handler = self._reading.pop(ticket, None)
        if handler is None or handler.link.is_closed:
            return
        disk = None
        if records is not None:
            complete_after = self._master.member.database.log_complete_after
            disk = LogOnDisk(complete_after, [zxid for zxid, _ in records])
        try:
            self._run(handler, disk, records or [])
        except QuorumProtocolError as error:
            handler.link.fail(str(error))

    def _run(
        self, handler: LearnerHandler, disk: LogOnDisk | None, records: list[tuple[int, bytes]]
    ) -> None:
        master = self._master
        database = master.member.database
        committed = database.committed
        assert committed is not None, "a leader without a committed log"
        master.send_batch()  # what is in there must not reach the learner a second time
        view = LeaderView(database.last_zxid, list(committed.zxids), disk)
        plan = plan_sync(handler.last_zxid, view, self._options)
        if plan.kind == READ_LOG:
            command = ReadLog(master.member.ticket(), plan.zxid, END_OF_LOG)
            self._reading[master.member.order(command)] = handler
            return
        handler.is_snapshot = plan.kind == packets.SNAP
        self._throttle(handler)
        self._count(handler)
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
        metrics = master.member.server.metrics
        if handler.is_snapshot:
            metrics.snap_count += 1
            extra_bytes = self._snapshot(handler, plan)
        else:
            metrics.diff_count += 1
            payloads = dict(records)
            payloads.update(zip(committed.zxids, committed.payloads, strict=True))
            _send_history(handler, plan, payloads)
        handler.make_room(extra_bytes)  # before the first live proposal, which is counted
        master.start_forwarding(handler, plan.forward_after)
        handler.go(HISTORY_QUEUED)
        master.new_leader_queued(handler)

    def _snapshot(self, handler: LearnerHandler, plan: SyncPlan) -> int:
        database = self._master.member.database
        frozen = database.freeze()
        assert frozen.zxid == plan.zxid, (frozen.zxid, plan.zxid)
        chunks = handler.chunks = SnapshotChunks(frozen)
        handler.link.send_stream(chunks)
        return database.tree.data_size

    def _throttle(self, handler: LearnerHandler) -> None:
        """Refuses an observer while too many others are being synchronized; voters never."""
        if not handler.is_observer:
            return
        limit, busy = self._limits[handler.is_snapshot], self._busy(handler)
        if busy >= limit:
            kind = "snapshots" if handler.is_snapshot else "logs"
            raise QuorumProtocolError(
                f"{busy} learners are being sent {kind}; {limit} is the limit"
            )

    def _busy(self, handler: LearnerHandler) -> int:
        """Return how many others are being sent the same."""
        busy = 0
        for each in self._master.handlers:
            if each.is_syncing and each is not handler and each.is_snapshot == handler.is_snapshot:
                busy += 1
        return busy

    def _count(self, handler: LearnerHandler) -> None:
        """Note how many are being sent the same, with this one."""
        metrics = self._master.member.server.metrics
        busy = self._busy(handler) + 1
        if handler.is_snapshot:
            metrics.inflight_snap_count.add(busy)
        else:
            metrics.inflight_diff_count.add(busy)


def _send_history(handler: LearnerHandler, plan: SyncPlan, payloads: dict[int, bytes]) -> None:
    out: list[bytes] = []
    for zxids in (plan.from_disk, plan.from_committed):
        for zxid in zxids:
            out.append(packets.encode_packet(packets.PROPOSAL, zxid, payloads[zxid]))
            out.append(packets.encode_bare(packets.COMMIT, zxid))
    for data in out:
        handler.link.send(data)
