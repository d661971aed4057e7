"""Steps in the wrong order, one at a time: each makes the transcripts that it names fail.

A swap is a change of the source, done to a copy of it (`test_transcripts`). The comment of a
transcript tells, behind "Tried:", which ones were; a transcript that none of them breaks would say
nothing. Who changes the lines that a swap names writes the swap anew. Long because it is a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

LEARNER: Final = "quorum/learner.py"
SYNC: Final = "quorum/learner_sync.py"
FOLLOWER: Final = "quorum/follower.py"
OBSERVER: Final = "quorum/observer.py"
LEADER: Final = "quorum/leader.py"
HANDLER: Final = "quorum/learner_handler.py"
LEADER_SYNC: Final = "quorum/leader_sync.py"
PROPOSALS: Final = "quorum/proposals.py"
EPOCHS: Final = "quorum/epochs.py"
PLAN: Final = "quorum/sync.py"
LIFE: Final = "quorum/lifecycle.py"
SERVER: Final = "server/server.py"
QUEUES: Final = "server/session_queues.py"
CONNECTION: Final = "server/connection.py"
PREP: Final = "server/prep.py"
TREE: Final = "data/tree.py"
RECOVERY: Final = "persistence/recovery.py"
REPLACEMENT: Final = "persistence/replacement.py"
MEMBER_FILES: Final = "persistence/member_files.py"


class Swap(NamedTuple):
    """What is done wrongly, in which file, by which text instead of which."""

    name: str
    file: str
    old: str
    new: str
    fails: str
    """The transcripts, separated by blanks."""

    def apply(self, package: Path) -> str:
        """Change a copy of the package; return the text that was there."""
        path = package / self.file
        text = path.read_text()
        assert self.old in text, f"{self.name}: {self.file} has changed, write the swap anew"
        path.write_text(text.replace(self.old, self.new, 1))
        return text


SWAPS: Final = (
    # --- what a learner stores, and when it says so
    Swap(
        "the epoch saved when NEWLEADER comes, ahead of the data",
        SYNC,
        "        elif member.is_settled:\n            self._save_current()\n        else:\n"
        "            self._is_waiting_for_log = True",
        "        else:\n            self._save_current()",
        "zab/ZOOKEEPER-4643 zab/ZOOKEEPER-3911 zab/ZOOKEEPER-4394",
    ),
    Swap(
        "the ACK of NEWLEADER sent ahead of the data",
        SYNC,
        "        if self.phase == SYNCING:\n            self._store()",
        "        self._send_ack(make(self.epoch, 0))\n"
        "        if self.phase == SYNCING:\n            self._store()",
        "zab/ZOOKEEPER-3911 zab/ZOOKEEPER-3911_snapshot zab/ZOOKEEPER-4643"
        " sync/observer_informed_early",
    ),
    Swap(
        "the ACK of NEWLEADER sent between the data and the epoch",
        SYNC,
        "        self._wait(self.member.save_epoch(CURRENT, self.epoch), self._on_current)",
        "        self._send_ack(make(self.epoch, 0))\n"
        "        self._wait(self.member.save_epoch(CURRENT, self.epoch), self._on_current)",
        "zab/ZOOKEEPER-4643 zab/ZOOKEEPER-3911_snapshot",
    ),
    Swap(
        "the epoch saved ahead of the snapshot",
        SYNC,
        "            self._wait(member.order(StoreDatabase(",
        "            member.save_epoch(CURRENT, self.epoch)\n"
        "            self._wait(member.order(StoreDatabase(",
        "zab/ZOOKEEPER-3911_snapshot sync/forced_snapshot",
    ),
    Swap(
        "the epoch saved ahead of the truncation",
        SYNC,
        "        if self.phase == SYNCING:\n            self._store()\n\n",
        "        if self.phase in (SYNCING, TRUNCATING):\n            self._store()\n\n",
        "sync/deposed_leader",
    ),
    Swap(
        "an answer to PING ahead of the ACK of NEWLEADER",
        SYNC,
        '        """No answer before UPTODATE: the leader would take it for the ACK of'
        ' NEWLEADER."""',
        "        self.link.send(packets.encode_ping_reply(packet.zxid, {}))",
        "zab/ZOOKEEPER-4685",
    ),
    Swap(
        "an ACK of a proposal ahead of the ACK of NEWLEADER",
        SYNC,
        "        self.uncommitted.append((zxid, payload, txn))\n",
        "        self.uncommitted.append((zxid, payload, txn))\n        self._send_ack(zxid)\n",
        "zab/ZOOKEEPER-4685 sync/trunc_and_more zab/ZOOKEEPER-3104",
    ),
    Swap(
        "uncommitted proposals forgotten at NEWLEADER",
        SYNC,
        "        self._is_new_leader_here = True\n        self._floor",
        "        self._is_new_leader_here = True\n        self.uncommitted.clear()\n"
        "        self._floor",
        "zab/ZOOKEEPER-4394 zab/ZOOKEEPER-4685 sync/trunc_and_more pipeline/group_commit",
    ),
    Swap(
        "commits behind NEWLEADER applied and logged at once",
        SYNC,
        "        if self.phase == SYNCING:\n            self._learn(self._take_head())",
        "        if True:\n            self._learn(self._take_head())",
        "zab/ZOOKEEPER-4394 sync/observer_informed_early",
    ),
    Swap(
        "a transaction of another epoch taken",
        SYNC,
        "        if not self._floor_zxid < zxid < self._ceiling_zxid:\n            raise",
        "        if False:\n            raise",
        "zab/another_epoch",
    ),
    Swap(
        "a leader that goes on although no quorum can follow it",
        LEADER,
        "            if not tally.is_quorum(tally.all_bits & ~self._refused):",
        "            if False:",
        "zab/later_configuration",
    ),
    Swap(
        "the zxid of DIFF taken for the own one",
        SYNC,
        "        self._begin_sync(packet, self.member.database.last_zxid)\n",
        "        self._begin_sync(packet, self.member.database.last_zxid)\n"
        "        self.member.database.tree.last_zxid = packet.zxid\n",
        "zab/ZOOKEEPER-2355 sessions/close_session zab/ZOOKEEPER-4925_hole",
    ),
    Swap(
        "a snapshot put in force as soon as it has come",
        SYNC,
        "            self._enter(SYNCING)\n\n    def log_synced",
        "            self.member.replace_database(load.database, load.zxid)\n"
        "            self._enter(SYNCING)\n\n    def log_synced",
        "zab/ZOOKEEPER-3642",
    ),
    Swap(
        "no look at the disk after a snapshot whose storing was not waited for",
        SYNC,
        "            member.is_database_whole = False\n            self._wait(member.order(Store",
        "            self._wait(member.order(Store",
        "zab/ZOOKEEPER-3642",
    ),
    Swap(
        "a failed truncation passed over",
        SYNC,
        "        if database.last_zxid != self._truncated_to:\n",
        "        if False:\n",
        "zab/ZOOKEEPER-3701 zab/ZOOKEEPER-4837",
    ),
    Swap(
        "the committed log not fed during synchronization",
        SYNC,
        "        database.apply(txn)\n        committed = database.committed\n"
        "        if committed is not None:",
        "        database.apply(txn)\n        committed = database.committed\n"
        "        if committed is None:",
        "zab/ZOOKEEPER-4925 zab/ZOOKEEPER-4394 sync/in_the_committed_log",
    ),
    Swap(
        "the committed log not fed afterwards",
        SYNC,
        "        applied = database.apply_txn(txn.header, txn.body, txn.digest)\n"
        "        committed = database.committed\n        if committed is not None:",
        "        applied = database.apply_txn(txn.header, txn.body, txn.digest)\n"
        "        committed = database.committed\n        if committed is None:",
        "zab/ZOOKEEPER-4925 zab/ZOOKEEPER-4394",
    ),
    Swap(
        "a hole taken as it comes",
        SYNC,
        "        if self._is_first_free:\n            return\n",
        "        if True:\n            return\n",
        "zab/ZOOKEEPER-4925_hole",
    ),
    Swap(
        "an observer without log that logs",
        OBSERVER,
        "        if self._has_log:",
        "        if True:",
        "sync/observer_without_log",
    ),
    # --- from role to role
    Swap(
        "no wait for the log ahead of the election",
        LIFE,
        "if not member.is_settled or member.pending:",
        "if member.pending:",
        "zab/ZOOKEEPER-4712 zab/ZOOKEEPER-2845_leader zab/ZOOKEEPER-2355",
    ),
    Swap(
        "no wait for the truncation ahead of the election",
        LIFE,
        "if not member.is_settled or member.pending:",
        "if not member.is_settled:",
        "zab/ZOOKEEPER-5094 zab/ZOOKEEPER-3642",
    ),
    Swap(
        "memory kept as it was ahead of the truncation",
        LIFE,
        "            member.replace_database(database, database.last_zxid)\n"
        "            self._unapplied.clear()",
        "            self._unapplied.clear()",
        "zab/ZOOKEEPER-5094 zab/ZOOKEEPER-3642",
    ),
    Swap(
        "what is logged and not applied left out",
        LIFE,
        "        self._fast_forward()\n",
        "        self._unapplied.clear()\n",
        "zab/ZOOKEEPER-2845 zab/ZOOKEEPER-2845_leader zab/ZOOKEEPER-4712"
        " pipeline/write_that_survives",
    ),
    Swap(
        "the committed log not fed when memory catches up with the log",
        LIFE,
        "            if database.committed is not None:\n"
        "                database.committed.append(zxid, payload)",
        "            pass",
        "zab/ZOOKEEPER-2845 pipeline/write_that_survives",
    ),
    # --- epochs
    Swap(
        "ACKEPOCH sent ahead of acceptedEpoch",
        LEARNER,
        "        self._enter(ACCEPTING)\n"
        "        self._wait(member.save_epoch(ACCEPTED, epoch), self._on_accepted)",
        "        member.save_epoch(ACCEPTED, epoch)\n        self._answer_epoch(answer)",
        "zab/accepted_epoch zab/fresh_start",
    ),
    Swap(
        "LEADERINFO sent ahead of acceptedEpoch",
        LEADER,
        "            self._ticket = self.member.save_epoch(ACCEPTED, self.epoch)\n",
        "            self.member.save_epoch(ACCEPTED, self.epoch)\n"
        "            self._epoch_accepted()\n",
        "zab/accepted_epoch_of_a_leader zab/fresh_start",
    ),
    Swap(
        "synchronization begun ahead of currentEpoch",
        LEADER,
        "            self._ticket = self.member.save_epoch(CURRENT, self.epoch)\n",
        "            self.member.save_epoch(CURRENT, self.epoch)\n"
        "            self._epoch_is_current()\n",
        "zab/accepted_epoch_of_a_leader zab/fresh_start",
    ),
    Swap(
        "an epoch answered that is older than the accepted one",
        EPOCHS,
        "        if new_epoch == self.accepted:",
        "        if new_epoch <= self.accepted:",
        "zab/older_epoch",
    ),
    Swap(
        "an epoch counted that was accepted before",
        EPOCHS,
        "            return NOT_COUNTED",
        "            return self.current",
        "zab/not_counted zab/accepted_epoch",
    ),
    Swap(
        "a learner followed by a leader that lacks what it has",
        PROPOSALS,
        "        if (current_epoch, last_zxid) > (self._current_epoch, self._last_zxid):",
        "        if False:",
        "zab/ahead",
    ),
    Swap(
        "zxids compared without the epoch",
        PROPOSALS,
        "        if (current_epoch, last_zxid) > (self._current_epoch, self._last_zxid):",
        "        if last_zxid > self._last_zxid:",
        "zab/ahead",
    ),
    Swap(
        "a voter left out that has accepted a later epoch",
        LEADER,
        "            self._outranked(handler, accepted)",
        '            raise QuorumProtocolError("it has accepted a later epoch")',
        "zab/outranked",
    ),
    Swap(
        "who has no vote counted",
        LEADER,
        "        if not handler.is_observer:\n            handler.bit = ",
        "        if handler.is_observer:\n            handler.bit = 1\n"
        "        else:\n            handler.bit = ",
        "zab/observer_does_not_count",
    ),
    Swap(
        "served without a quorum of ACKs of NEWLEADER",
        LEADER,
        "        if self._tally.is_quorum(self._new_leader_acks):",
        "        if True:",
        "zab/fresh_start",
    ),
    Swap(
        "the follower's vote left as it was elected",
        SYNC,
        "        member.established(self.epoch)\n",
        "",
        "zab/ZOOKEEPER-1732",
    ),
    Swap(
        "the leader's vote left as it was elected",
        LEADER,
        "        member.established(self.epoch)\n",
        "",
        "zab/ZOOKEEPER-1732",
    ),
    # --- how a leader synchronizes
    Swap(
        "NEWLEADER ahead of what is on its way",
        LEADER_SYNC,
        "        leader.start_forwarding(handler, plan.forward_after)\n"
        "        handler.new_leader(leader.new_leader_packet)",
        "        handler.new_leader(leader.new_leader_packet)\n"
        "        leader.start_forwarding(handler, plan.forward_after)",
        "zab/ZOOKEEPER-3104 sync/trunc_and_more zab/ZOOKEEPER-3911_snapshot",
    ),
    Swap(
        "what is on its way left out",
        LEADER,
        "        for zxid in proposed:\n",
        "        for zxid in proposed[:0]:\n",
        "zab/ZOOKEEPER-3104 sync/trunc_and_more",
    ),
    Swap(
        "traffic behind NEWLEADER not held back",
        HANDLER,
        "        self._held = []\n",
        "        self._held = None\n",
        "zab/ZOOKEEPER-4394_leader zab/ZOOKEEPER-3104 zab/ZOOKEEPER-4685_leader",
    ),
    Swap(
        "an early ACK taken for the ACK of NEWLEADER",
        HANDLER,
        "        if not counter_of(packet.zxid) and self.phase == SYNCING:",
        "        if self.phase == SYNCING:",
        "zab/ZOOKEEPER-4685_leader",
    ),
    Swap(
        "acks of an earlier link counted",
        LEADER,
        "            proposal.acks &= ~handler.bit\n",
        "",
        "zab/ack_of_an_earlier_link",
    ),
    Swap(
        "the plan kept from when the log was asked for",
        LEADER_SYNC,
        "        view = LeaderView(database.last_zxid, list(committed.zxids), disk)",
        "        view = LeaderView(database.last_zxid, list(committed.zxids), disk)\n"
        "        if disk is not None and disk.zxids is not None:\n"
        "            view = self._was\n"
        "        self._was = view",
        "sync/while_the_log_is_read",
    ),
    # --- row by row
    Swap(
        "forceSnapshotSync not looked at",
        PLAN,
        "    if options.force_snapshot:",
        "    if False:",
        "sync/forced_snapshot zab/ZOOKEEPER-3642 zab/ZOOKEEPER-3642_crash",
    ),
    Swap(
        "the row of who lacks nothing left out",
        PLAN,
        "    if peer == last:",
        "    if False:",
        "sync/nothing_lacking",
    ),
    Swap(
        "DIFF instead of TRUNC",
        PLAN,
        "    if peer > high:\n        return _truncate(peer, high, view, options)",
        "    if peer > high:\n        return _nothing(peer)",
        "sync/deposed_leader sync/deposed_leader_of_another_epoch sync/trunc_and_more"
        " sync/trunc_across_files sync/beginning_of_an_epoch pipeline/quorum_lost",
    ),
    Swap(
        "TRUNC of a (N,0)",
        PLAN,
        "    if not counter_of(peer):",
        "    if False:",
        "sync/beginning_of_an_epoch",
    ),
    Swap(
        "TRUNC only within an epoch",
        PLAN,
        "    if peer > high:\n",
        "    if peer > high and epoch_of(peer) == epoch_of(high):\n",
        "sync/deposed_leader_of_another_epoch",
    ),
    Swap(
        "the first record left out",
        PLAN,
        "        history[max(start, on_disk) :],",
        "        history[max(start, on_disk) + 1 :],",
        "sync/in_the_committed_log sync/epoch_in_the_committed_log zab/ZOOKEEPER-2355",
    ),
    Swap(
        "a snapshot for who ends right before the committed log",
        PLAN,
        "    if peer >= low or peer + 1 == low:",
        "    if peer >= low:",
        "sync/right_before_the_committed_log",
    ),
    Swap(
        "no DIFF from a (N,0)",
        PLAN,
        "    if not (is_known or first == peer + 1 or counter_of(peer) == 0):",
        "    if not (is_known or first == peer + 1):",
        "sync/epoch_in_the_committed_log",
    ),
    Swap(
        "DIFF from a record that is not known here",
        PLAN,
        "    if not (is_known or first == peer + 1 or counter_of(peer) == 0):",
        "    if False:",
        "sync/histories_part_in_the_committed_log",
    ),
    Swap(
        "the log on disk never used",
        PLAN,
        "    if disk is None or not options.use_log:",
        "    if True:",
        "sync/from_the_log_on_disk sync/while_the_log_is_read",
    ),
    Swap(
        "the log on disk used though it is forbidden",
        PLAN,
        "    if disk is None or not options.use_log:",
        "    if disk is None:",
        "sync/log_on_disk_forbidden",
    ),
    Swap(
        "the log on disk used however long it is",
        PLAN,
        "    return limit == 0 or further_bytes <= limit",
        "    return True",
        "sync/log_on_disk_too_long",
    ),
    Swap(
        "the log on disk taken for whole",
        PLAN,
        "    if peer < disk.complete_after:",
        "    if False:",
        "sync/log_on_disk_is_not_whole",
    ),
    Swap(
        "what both logs have sent twice",
        PLAN,
        "    older = [zxid for zxid in disk.zxids if peer <= zxid < low]",
        "    older = [zxid for zxid in disk.zxids if peer <= zxid]",
        "sync/from_the_log_on_disk",
    ),
    Swap(
        "DIFF for who has nothing",
        PLAN,
        "    if peer <= 0:",
        "    if False:",
        "sync/nothing_at_all",
    ),
    # --- the disk
    Swap(
        "newer snapshots left in place by TRUNC",
        REPLACEMENT,
        "    newer = [named.name for named in snapshots if named.zxid > kept]",
        "    newer: list[str] = []",
        "zab/ZOOKEEPER-4837",
    ),
    Swap(
        "truncation to a point that is not known to be whole",
        MEMBER_FILES,
        "        if recovered.snapshot_zxid < complete_after:",
        "        if False:",
        "zab/ZOOKEEPER-4837",
    ),
    Swap(
        "what a crash has left undone not done by the next start",
        RECOVERY,
        "            for note in complete_replacement(self.snap_directory, self.log_directory):",
        "            for note in ():",
        "sync/trunc_across_files zab/ZOOKEEPER-3642_crash",
    ),
    Swap(
        "a received snapshot in force ahead of the plan",
        REPLACEMENT,
        'RECEIVED_PREFIX: Final = "received."',
        'RECEIVED_PREFIX: Final = ""',
        "zab/ZOOKEEPER-3642_crash",
    ),
    Swap(
        "a torn record taken for damage",
        RECOVERY,
        "        if scan.ending is Ending.TORN:\n",
        "        if scan.ending is Ending.TORN:\n"
        '            raise Corrupt("it is torn", path=scan.path)\n',
        "zab/torn_record",
    ),
    # --- broadcast
    Swap(
        "a follower's ACK ahead of its disk",
        FOLLOWER,
        "        self._unacknowledged.append(zxid)\n        self.member.server",
        "        self._send_ack(zxid)\n        self.member.server",
        "pipeline/write_at_the_leader zab/ZOOKEEPER-4712",
    ),
    Swap(
        "the leader's own ack ahead of its disk",
        LEADER,
        "        self.member.log_txn(zxid, payload)\n        if counter_of",
        "        self.member.log_txn(zxid, payload)\n"
        "        self._outstanding[zxid].acks |= self._own_bit\n        if counter_of",
        "pipeline/write_at_the_leader zab/ZOOKEEPER-3104",
    ),
    Swap(
        "a commit ahead of the one before it",
        LEADER,
        "            if zxid == self.last_committed + 1:\n                self._commit()",
        "            if proposal.acks & (proposal.acks - 1):\n"
        "                self.last_committed = zxid - 1\n                self._commit()",
        "pipeline/commits_in_order",
    ),
    Swap(
        "a proposal applied ahead of its COMMIT",
        FOLLOWER,
        "        self.member.log_txn(zxid, payload)\n        self._una",
        "        self.member.log_txn(zxid, payload)\n"
        "        self._apply(self.uncommitted[-1])\n        self._una",
        "pipeline/write_at_a_follower pipeline/replies_in_order",
    ),
    Swap(
        "a follower's own disk waited for by the commit",
        FOLLOWER,
        "        self._apply(uncommitted.popleft())",
        "        if packet.zxid > self.member.synced_zxid:\n            return\n"
        "        self._apply(uncommitted.popleft())",
        "pipeline/write_at_the_leader",
    ),
    Swap(
        "the leader's own disk waited for by the commit",
        LEADER,
        "            if proposal is None or not tally.is_quorum(proposal.acks):",
        "            if proposal is None or not proposal.acks & self._own_bit:\n"
        "                break\n"
        "            if not tally.is_quorum(proposal.acks):",
        "pipeline/leaders_disk_is_last",
    ),
    Swap(
        "one ACK for all that was synced",
        FOLLOWER,
        "            acks.append(ack(packets.ACK, waiting.popleft()))",
        "            acks = [ack(packets.ACK, waiting.popleft())]",
        "pipeline/group_commit",
    ),
    Swap(
        "a COMMIT taken for that of the oldest proposal",
        FOLLOWER,
        "        if not uncommitted or uncommitted[0][0] != packet.zxid:",
        "        if not uncommitted:",
        "pipeline/wrong_commit",
    ),
    Swap(
        "SYNC ahead of the commit of what was proposed before",
        LEADER,
        "(self.last_proposed, handler)",
        "(self.last_committed, handler)",
        "pipeline/sync",
    ),
    Swap(
        "a leader that stays without a quorum",
        LEADER,
        "        if not self._tally.is_quorum(alive):",
        "        if False:",
        "pipeline/quorum_lost zab/ZOOKEEPER-2845_leader",
    ),
    Swap(
        "no end to the counter",
        LEADER,
        "LAST_COUNTER: Final = 0xFFFFFFFE",
        "LAST_COUNTER: Final = 0xFFFFFFFFFF",
        "zab/ZOOKEEPER-1277",
    ),
    Swap(
        "stepped down ahead of the last commits",
        LEADER,
        "            self._is_exhausted = True\n",
        '            self._is_exhausted = True\n            self._end("at once")\n',
        "zab/ZOOKEEPER-1277",
    ),
    Swap(
        "INFORM acknowledged",
        OBSERVER,
        "        self._apply(proposal)",
        "        self._apply(proposal)\n        self._send_ack(zxid)",
        "sync/observer",
    ),
    Swap(
        "proposals sent to observers",
        LEADER,
        "            self._observers = [*self._observers, handler]\n            return",
        "            pass",
        "sync/observer",
    ),
    Swap(
        "no zxid for a request that fails",
        PREP,
        "            request.type = OpCode.ERROR\n",
        "            request.type = OpCode.ERROR\n            self.next_zxid = zxid\n",
        "pipeline/failed_request",
    ),
    Swap(
        "a failed multi not rolled back",
        PREP,
        "                    self.changes.rollback()\n",
        "                    self.changes.keep()\n",
        "pipeline/multi",
    ),
    Swap(
        "a failed multi applied in part",
        TREE,
        "        if any(sub.type == OpCode.ERROR for sub in body):",
        "        if False:",
        "pipeline/multi",
    ),
    Swap(
        "a read ahead of its session's write",
        CONNECTION,
        "    def _wait(self, session: Session, read: QueuedRead) -> int:\n",
        "    def _wait(self, session: Session, read: QueuedRead) -> int:\n"
        "        return self.answer_read(read)\n",
        "pipeline/replies_in_order pipeline/write_at_a_follower pipeline/sync",
    ),
    # --- sessions
    Swap(
        "signs of life not passed on",
        LEARNER,
        "        touched = self._sessions.take_touched()",
        "        touched: dict[int, int] = {}",
        "sessions/session_at_a_follower",
    ),
    Swap(
        "a session that is gone called valid",
        HANDLER,
        "        is_valid = self.leader.revalidate_for(self, session_id, timeout_ms)",
        "        self.leader.revalidate_for(self, session_id, timeout_ms)\n        is_valid = True",
        "sessions/expired_while_away",
    ),
    Swap(
        "the owner of a session that moves left as it was",
        SERVER,
        "        session.owner = origin\n",
        "",
        "sessions/moved_session",
    ),
    Swap(
        "no upgrade of a local session",
        QUEUES,
        "        if session is None or not session.is_local or not makes_ephemeral(request):",
        "        if True:",
        "sessions/local_session",
    ),
    Swap(
        "sessions not tracked by the next leader",
        SERVER,
        "            tracker.add(session_id, timeout_ms, now_ms)",
        "            pass",
        "sessions/new_leader sessions/ZOOKEEPER-1367",
    ),
    Swap(
        "a session expired without a transaction",
        SERVER,
        "            self.close_session(session)\n\n",
        "            self.sessions.remove(session.session_id)\n\n",
        "sessions/expiry sessions/ZOOKEEPER-1367",
    ),
)
