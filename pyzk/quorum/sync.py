"""How a leader brings one learner up to date: the decision, without doing it.

Pure. ZooKeeper: LearnerHandler.syncFollower and queueCommittedProposals, and ZKDatabase's proposals
from the log. `plan_sync` takes the learner's last zxid P (from ACKEPOCH) and what the leader has,
and returns what to send. In ZooKeeper's order, the first that applies:

    forceSnapshotSync                          SNAP
    P is what the leader last applied          DIFF, nothing behind it
    P above the committed log, no (N, 0)       TRUNC to the end of the committed log
    P in the committed log's range             the records after P; see below
    P below it, the log on disk may be used    the log's records after P, then the committed log's
    otherwise                                  SNAP

"See below": P is one of the records, or it is (N, 0), which no record has: DIFF. Or P is the end of
what a deposed leader had proposed alone: then the histories part somewhere before P, and in another
epoch than P's next record here, so that nobody knows whether the learner has the record to truncate
to: SNAP.

What is sent must continue P without a hole, so both logs are believed only where that can be
shown; else the answer is SNAP, which is never wrong. `is_next` says what continues what. With whole
logs ZooKeeper never truncates inside its walk, and neither does this.

A record that the log lacks is where the learner's own safety ends, too: a learner of ZooKeeper,
told to truncate to a zxid that its log does not have (it came by SNAP), keeps one record too many;
and it may load a newer snapshot again (4837). ``may_truncate=False`` sends SNAP instead.

The zxid of DIFF is for people to read: a learner has what it was sent, no more (2355).

Where this differs from ZooKeeper, on purpose: some of its decisions are known to lose data. Here
the answer is SNAP in each of these cases:

- The committed log has a hole (ZOOKEEPER-4925), does not reach what was applied (3526), or has a
  record at or below 0 (4352). ZooKeeper sends the rest of it as if it were whole.
- The log on disk has a hole. ZooKeeper checks where it meets the committed log (2418), not inside
  it (2846): a member that was brought up to date by SNAP never logged what the snapshot brought.
  Two records may follow each other by their numbers, (1,5) (2,1), and yet have lost (1,6) between
  them. So the log is used only behind ``complete_after``, from where it is known to be whole.
- The target of a TRUNC is (N, 0) or 0, which no log has. A learner of ZooKeeper would keep the
  first record behind it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from pyzk.quorum import packets
from pyzk.zxid import counter_of, epoch_of, format_zxid

READ_LOG: Final = 0
"""The kind of a plan that wants the zxids of the log after P read, and to be asked again."""


def is_next(before: int, zxid: int) -> bool:
    """Tells whether ``zxid`` directly follows ``before`` in a history.

    Then no transaction is between them: every counter is used, from 1 on in each epoch, and failed
    requests use one, too.
    """
    if epoch_of(zxid) == epoch_of(before):
        return zxid == before + 1
    return zxid > before and counter_of(zxid) == 1


def first_hole(zxids: Sequence[int]) -> int:
    """Returns the index of the first zxid that does not follow the one before, 0 if all do."""
    for index in range(1, len(zxids)):
        if not is_next(zxids[index - 1], zxids[index]):
            return index
    return 0


def is_affordable(further_bytes: int, snapshot_bytes: int, factor: float) -> bool:
    """Tells whether reading the log is cheaper than sending a snapshot.

    ``further_bytes`` is the size of the log files behind the one that has P, preallocation
    included; a negative factor forbids the log, a limit of 0 is none.
    """
    if factor < 0:
        return False
    limit = int(snapshot_bytes * factor)
    return limit == 0 or further_bytes <= limit


class SyncOptions:
    """The settings by which an operator decides how learners are synchronized."""

    __slots__ = ("force_snapshot", "may_truncate", "use_log")

    def __init__(
        self, force_snapshot: bool = False, use_log: bool = True, may_truncate: bool = True
    ) -> None:
        self.force_snapshot: bool = force_snapshot
        """The property zookeeper.forceSnapshotSync."""
        self.use_log: bool = use_log
        """Whether zookeeper.snapshotSizeFactor is not negative."""
        self.may_truncate: bool = may_truncate


class LogOnDisk:
    """What is known of the leader's own log."""

    __slots__ = ("complete_after", "zxids")

    def __init__(self, complete_after: int, zxids: Sequence[int] | None = None) -> None:
        self.complete_after: int = complete_after
        """With the state at this zxid, the records after it are the whole history. It is the zxid
        of the snapshot that recovery began with, or of a SNAP that came later."""
        self.zxids: Sequence[int] | None = zxids
        """The zxids of the records from P on, in order, up to the committed log's first or beyond
        (what is in both is sent once); None if they have not been read yet."""


class LeaderView:
    """What a leader has, at one moment."""

    __slots__ = ("committed", "disk", "last_zxid")

    def __init__(
        self, last_zxid: int, committed: Sequence[int], disk: LogOnDisk | None = None
    ) -> None:
        self.last_zxid: int = last_zxid
        """The zxid of the last transaction applied, or (N, 0) before the first of the epoch."""
        self.committed: Sequence[int] = committed
        """The zxids of the committed log, in order."""
        self.disk: LogOnDisk | None = disk
        """The log on disk; None if it cannot be used, or is too large (`is_affordable`)."""


class SyncPlan:
    """What to send: a packet, records from disk, records of the committed log, then live ones."""

    __slots__ = ("forward_after", "from_committed", "from_disk", "kind", "reason", "zxid")

    def __init__(
        self,
        kind: int,
        zxid: int,
        reason: str,
        forward_after: int,
        from_disk: Sequence[int] = (),
        from_committed: Sequence[int] = (),
    ) -> None:
        self.kind: int = kind
        """The kind: packets.DIFF, TRUNC or SNAP; or READ_LOG, which sends nothing yet."""
        self.zxid: int = zxid
        """The zxid of the packet; for READ_LOG, the one after which the log is wanted."""
        self.reason: str = reason
        """Why the learner is synchronized in this way, for the log."""
        self.forward_after: int = forward_after
        """The zxid after which everything that the leader proposes or commits follows."""
        self.from_disk: Sequence[int] = from_disk
        """The zxids of records to send from disk, each as PROPOSAL and COMMIT."""
        self.from_committed: Sequence[int] = from_committed
        """The zxids of records to send from the committed log, behind those from disk."""

    def __repr__(self) -> str:
        name = packets.type_name(self.kind) if self.kind else "READ_LOG"
        sent = [format_zxid(zxid) for zxid in (*self.from_disk, *self.from_committed)]
        return f"SyncPlan({name} {format_zxid(self.zxid)}, {sent}, {self.reason})"


def plan_sync(peer: int, view: LeaderView, options: SyncOptions) -> SyncPlan:
    """Decides how to synchronize a learner whose last zxid is ``peer``."""
    last = view.last_zxid
    committed = view.committed
    if options.force_snapshot:
        return _snap(view, "forceSnapshotSync is set")
    if peer == last:
        return SyncPlan(packets.DIFF, peer, "it has everything", peer)
    if peer <= 0:
        return _snap(view, "it has nothing")
    doubt = _doubt("committed log", committed, last)
    if doubt:
        return _snap(view, doubt)
    low = committed[0] if committed else last
    high = committed[-1] if committed else last
    if peer > high:
        return _truncate(peer, high, view, options)
    if peer >= low or peer + 1 == low:
        return _diff(peer, committed, 0, False, view)
    return _from_disk(peer, low, view, options)


def _doubt(what: str, history: Sequence[int], last: int) -> str:
    """Returns why ``history`` is not all that led to ``last``, or nothing."""
    if not history:
        return ""
    if history[0] <= 0:
        return f"the {what} begins with {format_zxid(history[0])}"
    hole = first_hole(history)
    if hole:
        before, behind = format_zxid(history[hole - 1]), format_zxid(history[hole])
        return f"the {what} has a hole between {before} and {behind}"
    high = history[-1]
    # A leader that begins its epoch has applied (N, 0), of which there is no record.
    if last == high or (last > high and counter_of(last) == 0):
        return ""
    return f"the {what} ends at {format_zxid(high)}, the tree at {format_zxid(last)}"


def _truncate(peer: int, high: int, view: LeaderView, options: SyncOptions) -> SyncPlan:
    """Plans for a ``peer`` that lies behind the end of what was committed here."""
    if not counter_of(peer):
        return _snap(view, "it began an epoch that left nothing here")
    if not counter_of(high):
        return _snap(view, "it has uncommitted transactions, and there is none to truncate to")
    if not options.may_truncate:
        return _snap(view, "it has uncommitted transactions, and TRUNC is not wanted")
    return SyncPlan(packets.TRUNC, high, "it has uncommitted transactions", high)


def _from_disk(peer: int, low: int, view: LeaderView, options: SyncOptions) -> SyncPlan:
    """Plans for a ``peer`` that is older than the committed log: the log on disk may reach it."""
    disk = view.disk
    if disk is None or not options.use_log:
        return _snap(view, "it is older than the committed log")
    if peer < disk.complete_after:
        return _snap(view, f"the log is known whole after {format_zxid(disk.complete_after)} only")
    if disk.zxids is None:
        return SyncPlan(READ_LOG, peer, "it is older than the committed log", peer)
    older = [zxid for zxid in disk.zxids if peer <= zxid < low]
    history = [*older, *view.committed]
    doubt = _doubt("log", history, view.last_zxid)
    if doubt:
        return _snap(view, doubt)
    return _diff(peer, history, len(older), peer == disk.complete_after, view)


def _diff(
    peer: int, history: Sequence[int], on_disk: int, is_known: bool, view: LeaderView
) -> SyncPlan:
    """Plans to send what follows ``peer``, if it is known to be a point of ``history``.

    The first ``on_disk`` records are on disk, the rest in the committed log.
    """
    start = bisect_right(history, peer)
    if start and history[start - 1] == peer:
        is_known = True
    if start == len(history):
        return _snap(view, "the log has nothing after it") if not is_known else _nothing(peer)
    first = history[start]
    # A (N, 0) has no record. Its leader was established, so all before it is committed.
    if not (is_known or first == peer + 1 or counter_of(peer) == 0):
        return _snap(view, "it has uncommitted transactions of an older epoch")
    if not is_next(peer, first):
        return _snap(view, f"the log has a hole after {format_zxid(peer)}")
    end = history[-1]
    return SyncPlan(
        packets.DIFF,
        end,
        "it lacks some",
        end,
        history[start:on_disk],
        history[max(start, on_disk) :],
    )


def _nothing(peer: int) -> SyncPlan:
    return SyncPlan(packets.DIFF, peer, "it has everything that was committed", peer)


def _snap(view: LeaderView, reason: str) -> SyncPlan:
    return SyncPlan(packets.SNAP, view.last_zxid, reason, view.last_zxid)
