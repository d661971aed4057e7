"""A leader that changes its ensemble: what is refused, who counts meanwhile, what is said when."""

from __future__ import annotations

from pyzk.config.members import config_text, parse_membership
from pyzk.constants import ErrorCode, OpCode
from pyzk.data.paths import CONFIG
from pyzk.jute.records import ReconfigRequest, SetDataTxn
from pyzk.quorum import packets
from pyzk.quorum.packets import ForwardedRequest
from pyzk.zxid import make
from tests.quorum.leader_world import SYNC_TICKS, membership
from tests.quorum.reconfig_world import ReconfigWorld, err_of, last_txn, line, numbered, reconfig

# --- the request ----------------------------------------------------------------------


def test_a_change_is_a_transaction_of_its_own_type() -> None:
    world = ReconfigWorld()
    two, _ = world.with_learners(2, 3)
    reconfig(two, line(4, "observer"))
    txn = last_txn(two)
    zxid = make(2, 1)
    planned = parse_membership(
        "\n".join([line(1), line(2), line(3), line(4, "observer"), f"version={zxid:x}"]).encode()
    )
    assert txn.header.type == OpCode.RECONFIG
    assert txn.header.zxid == zxid
    assert txn.body == SetDataTxn(CONFIG, config_text(planned).encode(), -1)
    assert txn.digest == world.server.tree.digest, "it does not cover the znode"
    assert world.member.configs.last_seen == planned
    assert world.member.configs.committed.version == 5


def test_the_error_that_comes_first_counts() -> None:
    """request-order-of-checks.md 4.7, each row against the one behind it."""
    off = ReconfigWorld(config={"reconfig_enabled": False})
    (two, *_) = off.with_learners(2, 3)
    reconfig(two, "bogus", version=77, ids=[])
    assert err_of(two) == ErrorCode.RECONFIG_DISABLED

    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    request = ForwardedRequest(
        0x5555, 1, OpCode.RECONFIG, ReconfigRequest("bogus", None, None, 77).encode(), []
    )
    two.send(packets.encode_request(request))
    assert err_of(two) == ErrorCode.SESSION_EXPIRED
    two.ack_all()
    reconfig(two, "bogus", version=77, ids=[])
    assert err_of(two) == ErrorCode.BAD_VERSION
    reconfig(two, "bogus", version=5, ids=[])
    assert err_of(two) == ErrorCode.BAD_ARGUMENTS
    reconfig(two, None, "2,3", ids=[])
    assert err_of(two) == ErrorCode.BAD_ARGUMENTS
    reconfig(two, f"{line(4)},{line(5)},{line(6)}", "2,3", ids=[])
    assert err_of(two) == ErrorCode.NEW_CONFIG_NO_QUORUM
    reconfig(two, None, "3", ids=[])
    assert err_of(two) == ErrorCode.NO_AUTH
    reconfig(two, None, "3")
    assert err_of(two) == 0
    reconfig(two, "bogus", version=77, ids=[])
    assert err_of(two) == ErrorCode.RECONFIG_IN_PROGRESS
    two.ack_all()
    three.ack_all()
    reconfig(two, "bogus", ids=[])
    assert err_of(two) == ErrorCode.BAD_ARGUMENTS


def test_a_version_that_is_above_all_zxids_is_never_overtaken() -> None:
    world = ReconfigWorld(numbered(membership(), make(7, 7)))
    two, _ = world.with_learners(2, 3)
    reconfig(two, line(4, "observer"))
    assert err_of(two) == ErrorCode.BAD_VERSION


def test_who_is_synced() -> None:
    """A follower that has acknowledged NEWLEADER and is within its deadline."""
    world = ReconfigWorld(numbered(membership(3, 1), 5))
    two, _, _ = world.with_learners(2, 3, observers=(4,))
    reconfig(two, line(4), "2,3")
    assert err_of(two) == ErrorCode.NEW_CONFIG_NO_QUORUM, "an observer is not forwarded to"
    five = world.late(5)
    reconfig(two, line(5), "2,3")
    assert err_of(two) == ErrorCode.NEW_CONFIG_NO_QUORUM, "it has not acknowledged NEWLEADER"
    five.ack_new_leader()
    reconfig(two, line(5), "2,3")
    assert err_of(two) == 0
    assert not five.is_closed()


def test_who_is_silent_is_not_synced() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    two.ack_all()
    world.beat(2 * SYNC_TICKS, two)
    three.reads = False
    world.beat(1, two)
    reconfig(two, None, "2")
    assert err_of(two) == ErrorCode.NEW_CONFIG_NO_QUORUM


def test_the_same_change_from_a_client_of_the_leader_is_answered_with_text_and_stat() -> None:
    world = ReconfigWorld(config={"skip_acl": True})
    two, three = world.with_learners(2, 3)
    client = world.open()
    client.handshake()
    two.ack_all()
    client.replies()
    client.submit(OpCode.RECONFIG, ReconfigRequest(None, "3", None, -1))
    assert not client.replies()
    two.ack_all()
    three.ack_all()
    (reply,) = client.replies()
    assert reply.err == 0
    text = config_text(world.member.membership).encode()
    assert reply.body[4 : 4 + len(text)] == text
    node = world.server.tree.nodes[CONFIG]
    assert reply.body[4 + len(text) :] == node.encode_stat()
    assert (node.version, node.mzxid) == (-1, world.member.membership.version)


# --- who counts -----------------------------------------------------------------------


def test_a_change_needs_quorums_of_both_configurations() -> None:
    world = ReconfigWorld(numbered(membership(5), 5))
    two, three, *_ = world.with_learners(2, 3, 4, 5)
    before = world.leader.last_committed
    reconfig(two, None, "3,4,5")
    zxid = world.leader.last_proposed
    two.ack(zxid)
    assert world.leader.last_committed == before, "the present configuration counts, too"
    three.ack(zxid)
    assert world.leader.last_committed == zxid


def test_the_next_configuration_counts_too() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    four = world.joined(4, accepted=1)
    world.joined(5, accepted=1)
    reconfig(two, f"{line(4)},{line(5)}", "2,3")
    zxid = world.leader.last_proposed
    two.ack(zxid)
    three.ack(zxid)
    assert world.leader.last_committed == zxid - 1
    four.ack(zxid)
    assert world.leader.last_committed == zxid


def test_what_was_proposed_before_needs_only_the_present_one() -> None:
    world = ReconfigWorld()
    two, _ = world.with_learners(2, 3)
    world.joined(4, accepted=1)
    world.joined(5, accepted=1)
    two.create("/before")
    before = world.leader.last_proposed
    reconfig(two, f"{line(4)},{line(5)}", "2,3")
    two.create("/behind")
    two.ack_all()
    assert world.leader.last_committed == before


def test_what_is_proposed_behind_a_change_needs_the_next_one_when_that_is_in_force() -> None:
    world = ReconfigWorld()
    two, _ = world.with_learners(2, 3)
    four = world.joined(4, accepted=1)
    world.joined(5, accepted=1)
    reconfig(two, f"{line(4)},{line(5)}", "2,3")
    zxid = world.leader.last_proposed
    two.create("/behind")
    two.ack(zxid)
    assert world.leader.last_committed == zxid - 1
    four.ack(zxid)
    assert world.leader.last_committed == zxid
    four.ack(zxid + 1)
    assert world.leader.last_committed == zxid + 1, "two has not acknowledged it"


def test_two_changes_in_one_epoch() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    four = world.joined(4, accepted=1)
    reconfig(two, line(4))
    first = world.leader.last_proposed
    for learner in (two, three, four):
        learner.ack(first)
    assert world.voters == [1, 2, 3, 4]
    reconfig(two, None, "2", version=first)
    second = world.leader.last_proposed
    two.ack(second)
    assert world.leader.last_committed == first, "no quorum of either"
    three.ack(second)
    assert world.leader.last_committed == second
    assert world.voters == [1, 3, 4]
    assert world.member.membership.version == second


def test_liveness_needs_both_quorums_while_a_change_is_under_way() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    four = world.joined(4, accepted=1)
    five = world.joined(5, accepted=1)
    reconfig(two, f"{line(4)},{line(5)}", "2,3")
    for learner in (four, five):
        learner.link.lost("gone")
    world.beat(2, two, three)
    assert world.over() == "it has lost its quorum"


def test_the_new_voters_keep_a_leader_alive_when_the_change_is_in_force() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    four = world.joined(4, accepted=1)
    reconfig(two, line(4), "2,3")
    zxid = world.leader.last_proposed
    for learner in (two, four):
        learner.ack(zxid)
    for learner in (two, three):
        learner.link.lost("gone")
    world.beat(4, four)
    assert not world.over()
    four.link.lost("gone")
    world.beat(2)
    assert world.over()


def test_an_ack_of_an_earlier_link_does_not_count_for_a_voter_that_was_removed() -> None:
    world = ReconfigWorld(numbered(membership(5), 5))
    two, three, four, _ = world.with_learners(2, 3, 4, 5)
    reconfig(two, None, "2,3")
    change = world.leader.last_proposed
    two.create("/x")
    two.ack(change + 1)
    for learner in (three, four):
        learner.ack(change)
    assert world.leader.last_committed == change
    two.link.lost("gone")
    again = world.late(2)
    again.ack_new_leader()
    assert not world.leader._outstanding[change + 1].acks & world.leader._tally.bit(2)


# --- the order of what is written and said --------------------------------------------


def test_the_files_are_tried_before_the_record_is_durable() -> None:
    world = ReconfigWorld()
    two, _ = world.with_learners(2, 3)
    world.is_disk_held = True
    reconfig(two, None, "3")
    zxid = world.leader.last_proposed
    assert world.saved_configs == [(zxid, False)]
    assert world.log[-1:] != [zxid] or world.unsynced
    two.ack(zxid)
    world.sync()
    world.sync()
    assert world.saved_configs == [(zxid, False), (zxid, True)]


def test_commits_and_activations_come_in_order() -> None:
    world = ReconfigWorld(numbered(membership(3, 1), 5))
    two, three, observer = world.with_learners(2, 3, observers=(4,))
    two.create("/before")
    reconfig(two, None, "3")
    two.create("/behind")
    two.fresh()
    observer.fresh()
    for learner in (two, three):
        learner.ack_all()
    change = make(2, 2)
    assert [" ".join(text.split()[:2]) for text in two.fresh()] == [
        f"COMMIT {make(2, 1):#x}",
        f"COMMITANDACTIVATE {change:#x}",
        f"COMMIT {make(2, 3):#x}",
    ]
    informs = [packet for packet in observer.packets if packet.type != packets.PING][-3:]
    assert [packet.type for packet in informs] == [
        packets.INFORM,
        packets.INFORMANDACTIVATE,
        packets.INFORM,
    ]
    assert packets.inform_and_activate(informs[1])[0] == 1


def test_a_sync_behind_a_change_stands_behind_its_activation() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    reconfig(two, None, "3")
    two.request(OpCode.SYNC, b"")
    two.fresh()
    for learner in (two, three):
        learner.ack_all()
    assert [text.split()[0] for text in two.fresh()] == ["COMMITANDACTIVATE", "SYNC"]


def test_watches_see_the_activation_and_the_transaction() -> None:
    """Recorded of the original (ens_reconfig): a persistent watch is told twice."""
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    client = world.open()
    client.handshake()
    two.ack_all()
    assert client.connect_response() is not None
    client.add_watch("/zookeeper", 1)
    reconfig(two, None, "3")
    for learner in (two, three):
        learner.ack_all()
    change = world.member.membership.version
    events = client.replies()
    assert [(each.zxid, each.event) for each in events] == [(change, (3, CONFIG))] * 2
