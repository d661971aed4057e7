"""A learner that gets a snapshot, or must forget what was never committed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.data.database import Database
from pyzk.data.serialize import encode_nodes, encode_tables
from pyzk.data.txn import decode_txn
from pyzk.jute.records import ACL, CreateTxn, SetACLTxn
from pyzk.quorum import learner_dial, learner_phases, packets
from pyzk.quorum.snapshot_stream import END
from pyzk.zxid import make
from tests.frames import OPEN
from tests.quorum.learner_world import (
    INIT_MS,
    UPTODATE,
    LearnerWorld,
    both,
    commit,
    diff,
    leader_info,
    new_leader,
    ping,
    proposal,
    snap,
    trunc,
)
from tests.transactions import create, database_of, set_data, txn

E1 = make(1, 0)
E2 = make(2, 0)
CLOSED = [ACL(31, "digest", "a:b")]


def leaders(*payloads: bytes, last_zxid: int = 0) -> Database:
    """Return the database of a leader, with a session."""
    database = database_of(payloads, last_zxid)
    database.sessions[0x55] = 4000
    return database


# --- SNAP -----------------------------------------------------------------------------------


def test_a_snapshot_is_stored_then_the_epoch_then_the_ack() -> None:
    world = LearnerWorld()
    world.discover()
    world.take()
    world.hear(snap(leaders(create(E1 + 1, "/a"))))
    assert world.take() == []
    world.hear(new_leader())
    assert world.take() == ["store 0x100000001"]
    assert world.paths() == []
    world.answer()
    assert world.take() == ["disk store 0x100000001", "save currentEpoch 1"]
    assert world.paths() == ["/a"]
    world.answer()
    assert world.take() == ["disk save currentEpoch 1", "> ACK 0x100000000"]
    world.hear(UPTODATE)
    assert world.database.sessions == {0x55: 4000}
    assert world.database.last_zxid == world.member.logged_zxid == E1 + 1


def test_a_snapshot_may_come_byte_by_byte() -> None:
    world = LearnerWorld()
    world.discover()
    database = leaders(create(E1 + 1, "/a"), create(E1 + 2, "/a/b"))
    acl = CreateTxn("/closed", b"x", CLOSED, False, -1)
    database.replay(decode_txn(txn(E1 + 3, OpCode.CREATE, acl)))
    for byte in snap(database) + new_leader():
        world.hear(bytes([byte]))
    world.sync()
    assert world.role.over is None
    ours, theirs = world.database.tree, database.tree
    assert world.acks == [E1]
    assert list(ours.nodes) == list(theirs.nodes)
    assert ours.digest == theirs.digest
    assert ours.nodes["/closed"].data == b"x"
    assert ours.acls.get(ours.nodes["/closed"].acl_id) == tuple(CLOSED)


def test_what_follows_a_snapshot_is_stored_with_it_and_not_logged() -> None:
    world = LearnerWorld()
    world.discover()
    world.take()
    world.hear(snap(leaders(create(E1 + 1, "/a"))), both(create(E1 + 2, "/b")), new_leader())
    assert world.take() == ["store 0x100000002"]
    world.sync()
    assert world.disk == []
    assert world.paths() == ["/a", "/b"]
    assert world.committed == [E1 + 2]


def test_the_committed_log_begins_anew_and_the_log_is_whole_from_the_snapshot_on() -> None:
    world = LearnerWorld([create(E1 + 1)], epochs=(1, 1))
    world.discover(2)
    world.hear(snap(leaders(create(E1 + 1), create(E1 + 2))), new_leader(2))
    world.sync()
    assert world.committed == []
    assert world.database.log_complete_after == E1 + 2
    world.hear(UPTODATE, both(create(E2 + 1)))
    assert world.committed == [E2 + 1]


def test_what_the_snapshot_has_already_is_applied_again_without_harm() -> None:
    """The leader goes on while it writes: it forwards from a zxid before the one in SNAP, and the
    snapshot may have more than that one says."""
    a1, a2 = create(E1 + 1, "/a", parent_cversion=1), set_data(E1 + 2, "/a", b"2")
    a3, a4 = set_data(E1 + 3, "/a", b"3", 2), create(E1 + 4, "/a/b", parent_cversion=1)
    world = LearnerWorld()
    world.discover()
    world.hear(snap(leaders(a1, a2, a3, a4), E1 + 3))
    world.hear(both(a2), both(a3), both(a4), new_leader())
    world.sync()
    assert world.role.over is None
    assert world.database.last_zxid == E1 + 4
    assert world.committed == [E1 + 2, E1 + 3, E1 + 4]
    assert world.database.tree.digest == leaders(a1, a2, a3, a4).tree.digest


def test_behind_the_first_one_there_is_no_hole_after_a_snapshot_either() -> None:
    world = LearnerWorld()
    world.discover()
    world.hear(snap(leaders(create(E1 + 3))), both(create(E1 + 2)), proposal(create(E1 + 4)))
    assert world.role.over is not None
    assert "0x100000004 does not follow 0x100000002" in world.role.over


@pytest.mark.parametrize("is_committed", [True, False])
def test_there_is_no_hole_right_behind_a_snapshot(is_committed: bool) -> None:
    world = LearnerWorld()
    world.discover()
    behind = both(create(E1 + 5)) if is_committed else proposal(create(E1 + 5))
    world.hear(snap(leaders(create(E1 + 3))), behind, new_leader())
    assert world.role.over is not None
    assert "0x100000005 does not follow the snapshot of 0x100000003" in world.role.over


def test_digests_are_compared_as_soon_as_all_is_in_that_the_snapshot_may_have() -> None:
    fuzzy = leaders(create(E1 + 1, "/a"), create(E1 + 2, "/b"), create(E1 + 3, "/c"))
    wrong = CreateTxn("/b", b"", OPEN, False, -1)
    world = LearnerWorld()
    world.discover()
    world.hear(snap(fuzzy, E1 + 1), both(txn(E1 + 2, OpCode.CREATE, wrong, digest=1)))
    world.hear(both(create(E1 + 3, "/c")), new_leader())
    world.sync()
    world.hear(UPTODATE)
    assert world.database.fuzzy_until == E1 + 3
    assert world.database.digest_mismatches == 0
    more = CreateTxn("/d", b"", OPEN, False, -1)
    world.hear(both(txn(E1 + 4, OpCode.CREATE, more, digest=1)))
    assert world.database.digest_mismatches == 1


def test_an_uncommitted_proposal_behind_a_snapshot_waits_for_uptodate() -> None:
    world = LearnerWorld()
    world.discover()
    world.take()
    world.hear(snap(leaders(create(E1 + 1))), proposal(create(E1 + 2)), new_leader())
    world.hear(commit(E1 + 2), proposal(create(E1 + 3)))
    assert world.take() == ["store 0x100000001"]
    world.sync()
    world.take()
    world.hear(UPTODATE)
    assert world.take() == ["> ACK 0x100000000", "log 0x100000002", "log 0x100000003"]
    assert world.committed == [E1 + 2]


def test_a_snapshot_cannot_have_what_was_never_committed() -> None:
    world = LearnerWorld()
    world.discover()
    world.hear(snap(leaders(create(E1 + 2))), proposal(create(E1 + 2)), new_leader())
    assert world.role.over is not None
    assert "the proposal 0x100000002 was not committed" in world.role.over
    assert world.orders == []


def test_a_link_that_breaks_in_a_snapshot_leaves_the_old_database_as_it_was() -> None:
    sent = snap(leaders(create(E1 + 1, "/a"), create(E1 + 2, "/b"))) + both(create(E1 + 3))
    for size in (30, len(sent) // 2, len(sent)):
        world = LearnerWorld([create(E1 + 1, "/old")], epochs=(1, 1))
        world.discover(2)
        world.hear(sent[:size])
        world.link.lost("reset")
        world.role.stop()
        assert world.paths() == ["/old"]
        assert world.database.last_zxid == world.member.logged_zxid == E1 + 1
        assert world.is_whole()
        assert world.orders == []


def test_a_database_whose_replacement_may_be_on_disk_is_not_believed() -> None:
    world = LearnerWorld([create(E1 + 1, "/old")], epochs=(1, 1))
    world.discover(2)
    world.hear(snap(leaders(create(E1 + 2, "/new"))), new_leader(2))
    world.link.lost("reset")
    world.role.stop()
    world.sync()
    assert not world.is_whole()
    assert world.member.epochs.current == 1


def test_a_stored_database_is_believed() -> None:
    world = LearnerWorld()
    world.discover()
    world.hear(snap(leaders(create(E1 + 2, "/new"))), new_leader())
    assert not world.is_whole()
    world.answer()
    assert world.is_whole()


def test_the_leader_may_be_silent_for_its_limit_between_parts_not_for_all_of_them() -> None:
    world = LearnerWorld()
    world.discover()
    sent = snap(leaders(*(create(E1 + n) for n in range(1, 9))))
    for start in range(0, len(sent), 100):
        world.advance(INIT_MS // 2)
        world.hear(sent[start : start + 100])
    assert world.role.over is None
    assert world.role.phase == learner_phases.SYNCING
    world.advance(INIT_MS)
    assert world.role.over is not None


def test_the_tree_of_a_snapshot_is_of_the_configured_kind() -> None:
    world = LearnerWorld(config=ServerConfig(digest_enabled=False, extended_types_enabled=True))
    world.discover()
    world.hear(snap(leaders(create(E1 + 1))), new_leader())
    world.sync()
    assert world.database.tree.digest == 0
    assert world.database.tree.is_ttl_owner(-(1 << 56) + 5)


STAT = bytes(60)
BAD_TREES = {
    "no root": [],
    "a child first": [("/a/b", b"", -1, STAT)],
    "no parent": [("/", b"", -1, STAT), ("/a/b", b"", -1, STAT)],
    "twice": [("/", b"", -1, STAT), ("/a", b"", -1, STAT), ("/a", b"", -1, STAT)],
    "the root twice": [("/", b"", -1, STAT), ("/", b"", -1, STAT)],
    "no path": [("/", b"", -1, STAT), ("a", b"", -1, STAT)],
    "no name": [("/", b"", -1, STAT), ("/a", b"", -1, STAT), ("/a/", b"", -1, STAT)],
}


@pytest.mark.parametrize("name", BAD_TREES)
def test_what_is_no_tree_ends_the_link(name: str) -> None:
    world = LearnerWorld()
    world.discover()
    world.hear(
        packets.encode_bare(packets.SNAP, E1),
        encode_tables([], []),
        encode_nodes(BAD_TREES[name]),
        END,
    )
    assert world.role.over is not None
    assert "the snapshot" in world.role.over


def test_the_znodes_that_every_tree_has_need_not_be_in_a_snapshot() -> None:
    world = LearnerWorld()
    world.discover()
    world.hear(
        packets.encode_bare(packets.SNAP, E1),
        encode_tables([], []),
        encode_nodes([("/", b"", -1, STAT)]),
        END,
        new_leader(),
    )
    world.sync()
    world.hear(UPTODATE)
    assert "/zookeeper/config" in world.database.tree.nodes


def unknown_acl(world: LearnerWorld, *more: bytes) -> None:
    world.discover()
    world.hear(
        packets.encode_bare(packets.SNAP, E1 + 1),
        encode_tables([], []),
        encode_nodes([("/", b"", -1, STAT), ("/a", b"", 5, STAT)]),
        END,
        *more,
        new_leader(),
    )


def test_an_acl_list_that_never_comes_ends_the_link() -> None:
    world = LearnerWorld()
    unknown_acl(world)
    assert world.role.over is not None
    assert "lacks the ACL list 5" in world.role.over


def test_an_acl_list_may_come_with_what_follows() -> None:
    world = LearnerWorld()
    unknown_acl(world, both(txn(E1 + 2, OpCode.SET_ACL, SetACLTxn("/a", CLOSED, 1))))
    assert world.role.over is None
    assert [type(order).__name__ for order in world.orders] == ["StoreDatabase"]


# --- TRUNC ----------------------------------------------------------------------------------

HISTORY = [create(E1 + n) for n in range(1, 5)]


def deposed() -> LearnerWorld:
    world = LearnerWorld(HISTORY, epochs=(1, 1))
    world.discover(2)
    world.take()
    return world


def test_the_log_is_cut_then_what_follows_is_logged_then_the_epoch_then_the_ack() -> None:
    world = deposed()
    world.hear(trunc(E1 + 2), both(create(E2 + 1)), new_leader(2))
    assert world.take() == ["truncate 0x100000002"]
    assert not world.is_whole()
    world.answer()
    assert world.take() == ["disk truncate 0x100000002", "log 0x200000001"]
    assert world.is_whole()
    assert world.paths() == ["/n100000001", "/n100000002", "/n200000001"]
    world.answer()
    assert world.take() == ["disk log 0x200000001", "save currentEpoch 2"]
    world.answer()
    assert world.take() == ["disk save currentEpoch 2", "> ACK 0x200000000"]
    assert world.committed == [E1 + 1, E1 + 2, E2 + 1]


def test_what_comes_after_the_cut_goes_on_as_after_diff() -> None:
    world = deposed()
    world.hear(trunc(E1 + 3))
    world.answer()
    world.hear(both(create(E2 + 1)), new_leader(2))
    world.sync()
    assert world.acks == [E2]
    assert world.disk == [*HISTORY[:3], create(E2 + 1)]


def test_a_proposal_that_waited_for_the_cut_waits_on_for_its_commit() -> None:
    world = deposed()
    world.hear(trunc(E1 + 3), both(create(E1 + 4, "/x")), proposal(create(E2 + 1)), ping(0))
    world.sync()
    assert world.paths()[-1] == "/x"
    world.hear(commit(E2 + 1), proposal(create(E2 + 2)), new_leader(2))
    world.sync()
    world.hear(UPTODATE)
    world.sync()
    assert world.acks == [E2, E2, E2 + 2]
    assert world.committed == [E1 + 1, E1 + 2, E1 + 3, E1 + 4, E2 + 1]


def test_newleader_comes_once_also_while_the_log_is_cut() -> None:
    world = deposed()
    world.hear(trunc(E1 + 3), new_leader(2), new_leader(2))
    assert world.role.over is not None
    assert "NEWLEADER comes twice" in world.role.over


def test_what_follows_a_cut_continues_what_is_left() -> None:
    world = deposed()
    world.hear(trunc(E1 + 2), proposal(create(E1 + 4)))
    assert world.role.over is not None
    assert "0x100000004 does not follow 0x100000002" in world.role.over


def again(world: LearnerWorld, epoch: int = 2) -> None:
    """The learner has dialed the same leader; go on up to its ACKEPOCH."""
    dial = world.dials.pop()
    assert dial.link is world.link
    assert world.dials == []
    dial.link.owner.link_up(dial.link)
    world.settle()
    world.hear(leader_info(epoch))
    world.sync()


def test_a_log_that_never_had_the_record_is_told_to_the_same_leader() -> None:
    world = LearnerWorld([create(E1 + 1), create(E1 + 3)], epochs=(1, 1))
    world.discover(2)
    old = world.link
    world.hear(trunc(E1 + 2), both(create(E2 + 1)), new_leader(2))
    world.sync()
    assert old.is_closed
    assert world.is_whole()
    assert world.disk == [create(E1 + 1)]
    again(world)
    assert world.take()[-2:] == [
        "> FOLLOWERINFO 0x200000000 sid=1 accepted=2 config=0",
        "> ACKEPOCH 0x100000001 not counted",
    ]
    world.hear(diff(E1 + 2), both(create(E1 + 2)), both(create(E2 + 1)), new_leader(2))
    world.sync()
    world.hear(UPTODATE)
    assert world.acks == [E2, E2]
    assert world.committed == [E1 + 1, E1 + 2, E2 + 1]
    assert not world.member.needs_snapshot


def uncut() -> LearnerWorld:
    """Return a learner whose disk has no snapshot old enough to be cut back to a TRUNC."""
    world = LearnerWorld(HISTORY, epochs=(1, 1))
    world.truncate = lambda zxid: database_of(HISTORY)  # type: ignore[method-assign]
    world.discover(2)
    world.hear(trunc(E1 + 2), proposal(create(E2 + 1)), new_leader(2))
    world.sync()
    return world


def test_who_cannot_truncate_has_what_it_had() -> None:
    world = uncut()
    assert world.role.over is None
    assert world.is_whole()
    assert world.database.last_zxid == world.member.logged_zxid == E1 + 4
    assert world.member.epochs.current == 1
    assert world.acks == []


def test_it_says_to_the_same_leader_that_it_has_nothing() -> None:
    """No election is between: who leads, alone with this learner, may need it for its quorum."""
    world = uncut()
    again(world)
    assert world.take()[-1] == "> ACKEPOCH 0x0 not counted"
    world.hear(snap(leaders(create(E1 + 1), create(E1 + 2))), proposal(create(E2 + 1)))
    world.hear(new_leader(2))
    world.sync()
    world.hear(UPTODATE)
    world.sync()
    assert world.acks == [E2, E2, E2 + 1]
    assert world.database.last_zxid == E1 + 2
    assert not world.member.needs_snapshot


def test_to_a_new_leader_it_tells_the_truth_for_that_counts() -> None:
    world = uncut()
    again(world, 3)
    assert world.take()[-1] == "> ACKEPOCH 0x100000004 current=1"
    world.hear(diff(E1 + 4), new_leader(3))
    world.sync()
    assert world.acks == [make(3, 0)]
    assert not world.member.needs_snapshot


def test_a_second_truncation_that_cannot_be_done_is_the_end() -> None:
    world = uncut()
    again(world, 3)
    world.hear(trunc(E1 + 2))
    world.sync()
    assert world.role.over == "TRUNC 0x100000002, but the log ends at 0x100000004"
    assert world.link.is_closed


def test_a_leader_that_is_gone_by_then_is_not_waited_for() -> None:
    world = uncut()
    for _ in range(learner_dial.SOON_TRIES + learner_dial.LATER_TRIES + 1):
        world.dials.pop().link.lost("refused")
        world.advance(200)
    assert world.role.over is not None
    assert "cannot be reached after 16 tries" in world.role.over


@pytest.mark.parametrize("choice", [diff, trunc])
def test_who_has_said_that_it_has_nothing_takes_only_a_snapshot(
    choice: Callable[[int], bytes],
) -> None:
    world = uncut()
    again(world)
    world.hear(choice(E1 + 2))
    assert world.role.over is not None
    assert "for a learner that needs a snapshot" in world.role.over


def test_a_cut_that_ends_after_the_role_changes_nothing_in_it() -> None:
    world = deposed()
    world.hear(trunc(E1 + 2), both(create(E2 + 1)))
    world.link.lost("reset")
    world.role.stop()
    world.sync()
    assert world.database.last_zxid == E1 + 4
    assert not world.is_whole()
    assert world.unsynced == []
