"""A leader that changes its ensemble: what is refused, who counts meanwhile, who leads then."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from pyzk.config.members import Membership, config_text, parse_membership
from pyzk.constants import ErrorCode, OpCode
from pyzk.data.paths import CONFIG
from pyzk.data.txn import decode_txn
from pyzk.jute.records import Id, ReconfigRequest, SetDataTxn
from pyzk.quorum import packets
from pyzk.quorum.commands import ListenForLearners, SaveConfig, SaveEpoch
from pyzk.quorum.epochs import Epochs
from pyzk.quorum.packets import ForwardedRequest
from pyzk.zxid import make
from tests.quorum.leader_world import SYNC_TICKS, LeaderWorld, Learner, membership
from tests.transactions import SESSION, database_of, new_session

SUPER = [Id("super", "")]


def line(sid: int, kind: str = "participant", port: int = 0) -> str:
    port = port or 2000 + 10 * sid
    return f"server.{sid}=127.0.0.1:{port}:{port + 1}:{kind};0.0.0.0:{port + 2}"


def numbered(members: Membership, version: int) -> Membership:
    return attrs.evolve(members, version=version)


class ReconfigWorld(LeaderWorld):
    """A leader with ``reconfigEnabled`` whose ensemble, if it is established, has a version."""

    def __init__(self, members: Membership | None = None, **settings: Any) -> None:
        database = settings.pop("database", None) or database_of([new_session(make(1, 1))])
        config = {"reconfig_enabled": True, **settings.pop("config", {})}
        super().__init__(
            members or numbered(membership(), 5),
            database=database,
            epochs=Epochs(1, 1),
            config=config,
            reconfig_enabled=True,
            **settings,
        )

    def with_learners(self, *sids: int, observers: tuple[int, ...] = ()) -> list[Learner]:
        """Bring learners to UPTODATE, all at the same time."""
        learners = [self.learner(sid) for sid in sids]
        learners += [self.learner(sid, is_observer=True) for sid in observers]
        for learner in learners:
            learner.info(accepted=1)
        for learner in learners:
            learner.ack_epoch(make(1, 1), 1)
        for learner in learners:
            learner.ack_new_leader()
        for learner in learners:
            assert learner.fresh()[-1] == "UPTODATE", learner.got
        return learners

    def late(self, sid: int) -> Learner:
        """Bring one more learner to the wait for UPTODATE, or further."""
        learner = self.learner(sid)
        learner.info(accepted=1)
        learner.ack_epoch(make(1, 1), 1)
        return learner

    @property
    def voters(self) -> list[int]:
        return list(self.member.membership.voters)

    @property
    def saved_configs(self) -> list[tuple[int, bool]]:
        return [
            (each.membership.version, each.is_active)
            for each in self.commands
            if isinstance(each, SaveConfig)
        ]


def reconfig(
    learner: Learner,
    joining: str | None = None,
    leaving: str | None = None,
    members: str | None = None,
    version: int = -1,
    ids: list[Id] = SUPER,
) -> None:
    """Ask for a change in the name of a learner's client."""
    body = ReconfigRequest(joining, leaving, members, version).encode()
    request = ForwardedRequest(SESSION, 1, OpCode.RECONFIG, body, ids)
    learner.send(packets.encode_request(request))


def proposals(learner: Learner) -> list[Any]:
    """The transactions that a follower has been sent."""
    return [
        decode_txn(packets.txn_payload(packet))
        for packet in learner.packets
        if packet.type == packets.PROPOSAL
    ]


def last_txn(learner: Learner) -> Any:
    return proposals(learner)[-1]


def err_of(learner: Learner) -> int:
    """The error of the last transaction that was proposed."""
    txn = last_txn(learner)
    return int(txn.body.err) if txn.header.type == OpCode.ERROR else 0


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
    """A handler that gets proposals and is within its deadline; observers get none."""
    world = ReconfigWorld(numbered(membership(3, 1), 5))
    two, _, _ = world.with_learners(2, 3, observers=(4,))
    reconfig(two, line(4), "2,3")
    assert err_of(two) == ErrorCode.NEW_CONFIG_NO_QUORUM, "an observer is not forwarded to"
    five = world.late(5)
    reconfig(two, line(5), "2,3")
    assert err_of(two) == 0, "it counts before it has acknowledged NEWLEADER"
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
    world = ReconfigWorld()
    two, _ = world.with_learners(2, 3)
    four = world.joined(4, accepted=1)
    five = world.joined(5, accepted=1)
    before = world.leader.last_committed
    reconfig(two, f"{line(4)},{line(5)}", "2,3")
    zxid = world.leader.last_proposed
    four.ack(zxid)
    five.ack(zxid)
    assert world.leader.last_committed == before, "the present configuration counts, too"
    two.ack(zxid)
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
    four.ack(zxid, zxid + 1)
    assert world.leader.last_committed == zxid - 1
    two.ack(zxid)
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


# --- who leads then -------------------------------------------------------------------


def committed(world: ReconfigWorld, asker: Learner, *acks: Learner, **request: Any) -> int:
    """Ask for a change, and have it acknowledged; returns who leads then."""
    reconfig(asker, **request)
    zxid = world.leader.last_proposed
    for learner in acks:
        learner.ack(zxid)
    assert world.leader.last_committed >= zxid
    for packet in asker.packets:
        if packet.type == packets.COMMITANDACTIVATE and packet.zxid == zxid:
            return packets.designated_leader(packet)
    raise AssertionError(asker.got)


def test_a_leader_that_stays_where_it_is_goes_on() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    moved = line(1).replace(":2011:", ":3011:").replace(":2012", ":3012")
    assert committed(world, two, two, three, joining=moved) == 1
    two.create("/x")
    two.ack_all()
    assert world.leader.last_committed == world.leader.last_proposed


def test_a_name_of_the_same_address_is_no_move() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    named = line(1).replace("127.0.0.1", "LOCALHOST")
    assert committed(world, two, two, three, joining=named) == 1


def test_a_leader_that_moves_and_has_nobody_to_replace_it_listens_where_it_is_now() -> None:
    """Its learners would dial the new address for ever."""
    world = ReconfigWorld(
        numbered(membership(1, observers=1), 5), config={"standalone_enabled": False}
    )
    (two,) = world.with_learners(observers=(2,))
    reconfig(two, joining=line(1, port=4000))
    world.settle()
    assert world.leader.last_committed == world.leader.last_proposed
    listens = [each for each in world.commands if isinstance(each, ListenForLearners)]
    assert [each.server.addresses[0].quorum_port for each in listens] == [2010, 4000]
    assert not world.over()


@pytest.mark.parametrize(
    "request_",
    [
        {"leaving": "1"},
        {"joining": line(1, "observer")},
        {"joining": line(1, port=4000)},
    ],
    ids=["removes itself", "becomes an observer", "moves"],
)
def test_a_leader_that_is_replaced_commits_nothing_more(request_: dict[str, str]) -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    assert committed(world, two, two, three, **request_) == 2
    zxid = world.leader.last_committed
    two.create("/x")
    assert world.leader.last_proposed == zxid, "nothing is proposed"
    two.fresh()
    two.request(OpCode.SYNC, b"")
    assert two.fresh() == ["SYNC 0x0"], "everything proposed is committed"
    world.beat(1, two, three)
    assert not world.over()
    assert two.got[-1].startswith("PING")
    late = world.learner(4)
    late.info(accepted=1)
    assert late.is_closed()
    two.link.lost("it follows server 2")
    three.link.lost("it follows server 2")
    world.beat(2)
    assert world.over() == "it has lost its quorum"


def test_what_is_proposed_behind_is_not_committed_by_a_leader_that_is_replaced() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    reconfig(two, leaving="1")
    change = world.leader.last_proposed
    two.create("/behind")
    two.request(OpCode.SYNC, b"")
    two.fresh()
    three.ack(change, change + 1)
    two.ack(change, change + 1)
    assert world.leader.last_committed == change
    assert [text.split()[0] for text in two.fresh()] == ["COMMITANDACTIVATE"], "and no SYNC"
    world.leader.stop()
    assert [zxid for zxid, _ in world.leader.unapplied] == [change + 1]


def test_a_leader_that_is_replaced_ends_though_learners_stay() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    committed(world, two, two, three, joining=line(1, port=4000))
    world.beat(2 * SYNC_TICKS - 1, two, three)
    assert not world.over()
    world.beat(2, two, three)
    assert world.over() == "another server was made the leader"


def test_who_has_acknowledged_most_is_to_lead() -> None:
    world = ReconfigWorld(numbered(membership(5), 5))
    two, three, four, five = world.with_learners(2, 3, 4, 5)
    reconfig(two, leaving="1")
    change = world.leader.last_proposed
    for path in ("/a", "/b"):
        two.create(path)
    five.ack(change, change + 1, change + 2)
    four.ack(change, change + 1)
    two.ack(change + 2)
    three.ack(change)
    assert world.leader.last_committed == change
    leads = [
        packets.designated_leader(packet)
        for packet in two.packets
        if packet.type == packets.COMMITANDACTIVATE
    ]
    assert leads == [5]


def test_who_has_not_acknowledged_the_change_is_not_to_lead() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    four = world.joined(4, accepted=1)
    assert committed(world, two, three, four, joining=line(4), leaving="1") == 3


# --- learners that come meanwhile -----------------------------------------------------


def test_a_learner_that_comes_meanwhile_is_told_of_the_change_behind_uptodate() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    two.create("/before")
    reconfig(two, None, "3")
    two.create("/behind")
    three.link.lost("gone")
    again = world.late(3)
    change = make(2, 2)
    said = [text.split()[0] for text in again.fresh()]
    assert said == ["LEADERINFO", "DIFF", "PROPOSAL", "NEWLEADER"]
    new_leader = [p for p in again.packets if p.type == packets.NEWLEADER][-1]
    assert parse_membership(new_leader.data or b"").version == 5, "what is in force"
    again.ack(make(2, 1))
    assert world.leader.last_committed == make(2, 1)
    again.ack_new_leader()
    said = [text.split()[0] for text in again.fresh()]
    assert said == ["UPTODATE", "PROPOSAL", "PROPOSAL", "COMMIT"]
    again.ack(change)
    two.ack(change)
    assert world.leader.last_committed == change


def test_a_learner_that_comes_later_is_told_what_is_in_force() -> None:
    world = ReconfigWorld()
    two, three = world.with_learners(2, 3)
    committed(world, two, two, three, joining=line(4, "observer"))
    late = world.late(4)
    new_leader = [p for p in late.packets if p.type == packets.NEWLEADER][-1]
    assert new_leader.data == config_text(world.member.membership).encode()


def test_a_learner_with_the_configuration_that_was_seen_last_is_taken() -> None:
    world = ReconfigWorld(last_seen=numbered(membership(4), 9))
    two = world.learner(2)
    two.info(accepted=1, version=9)
    assert not two.is_closed()
    three = world.learner(3)
    three.info(accepted=1, version=10)
    assert three.is_closed()


# --- a new leader ---------------------------------------------------------------------


def test_the_first_configuration_gets_the_version_of_the_epoch() -> None:
    world = ReconfigWorld(membership())
    two, _ = world.with_learners(2, 3)
    version = make(2, 0)
    saves = [type(each) for each in world.commands if isinstance(each, (SaveEpoch, SaveConfig))]
    assert saves == [SaveEpoch, SaveConfig, SaveEpoch, SaveConfig]
    assert world.saved_configs == [(version, False), (version, True)]
    assert world.member.membership == numbered(membership(), version)
    new_leader = [p for p in two.packets if p.type == packets.NEWLEADER][-1]
    assert new_leader.data == config_text(numbered(membership(), version)).encode()
    node = world.server.tree.nodes[CONFIG]
    assert (node.data, node.mzxid) == (new_leader.data, version)


def test_without_reconfiguration_the_version_stays_0() -> None:
    world = LeaderWorld()
    two = world.joined(2)
    assert world.is_serving()
    assert world.member.membership.version == 0
    new_leader = [p for p in two.packets if p.type == packets.NEWLEADER][-1]
    assert new_leader.data == config_text(membership()).encode()
    assert not [each for each in world.commands if isinstance(each, SaveConfig)]


def unfinished(next_text: str, **settings: Any) -> ReconfigWorld:
    """A new leader that has seen a change which is not in force."""
    return ReconfigWorld(last_seen=parse_membership(next_text.encode()), **settings)


def test_an_unfinished_change_needs_both_quorums_at_each_step() -> None:
    text = "\n".join([line(1), line(4), line(5), "version=9"])
    world = unfinished(text)
    two = world.learner(2)
    four = world.learner(4)
    two.info(accepted=1)
    assert world.leader.epoch < 0
    four.info(accepted=1)
    assert world.leader.epoch == 2
    two.ack_epoch(make(1, 1), 1)
    assert world.saved[-1] == ("acceptedEpoch", 2)
    four.ack_epoch(make(1, 1), 1)
    assert world.saved[-1] == ("currentEpoch", 2)
    new_leader = [p for p in two.packets if p.type == packets.NEWLEADER][-1]
    assert parse_membership(new_leader.data or b"").version == 9
    two.ack_new_leader()
    assert not world.is_serving()
    assert world.member.membership.version == 5
    four.ack_new_leader()
    assert world.is_serving()
    assert world.member.membership.version == 9
    assert not world.member.configs.is_under_way
    assert world.saved_configs == [(9, True)]
    for learner in (two, four):
        assert learner.fresh()[-1] == "UPTODATE"
    two.create("/x")
    four.ack_all()
    assert world.leader.last_committed == world.leader.last_proposed


def test_who_is_ahead_in_the_next_configuration_stops_a_leader_that_is_not() -> None:
    world = unfinished("\n".join([line(1), line(4), line(5), "version=9"]))
    two, four = world.learner(2), world.learner(4)
    for learner in (two, four):
        learner.info(accepted=1)
    two.ack_epoch(make(1, 1), 1)
    four.ack_epoch(make(1, 2), 1)
    assert four.is_closed()
    assert world.saved[-1] == ("acceptedEpoch", 2)


def test_a_leader_that_an_unfinished_change_removes_leads_no_longer() -> None:
    world = unfinished("\n".join([line(2), line(3), "version=9"]))
    two, three = world.with_learners(2, 3)
    assert world.is_serving()
    two.create("/x")
    assert world.leader.last_proposed == make(2, 0)
    assert world.member.membership.version == 9
    world.beat(2 * SYNC_TICKS + 1, two, three)
    assert world.over() == "another server was made the leader"
