"""Members as each of them knows the others, and nothing that it does not know."""

from __future__ import annotations

from typing import Any

import pytest

from pyzk.admin.console.listing import done
from pyzk.admin.console.members import epochs_view, lag, members_view
from pyzk.admin.console.numbers import numbers_view, server_view
from pyzk.quorum import packets
from pyzk.server.host import Host
from pyzk.zxid import make
from tests.admin.console.looking import world
from tests.quorum.leader_world import LeaderWorld, membership
from tests.quorum.learner_world import LearnerWorld, commit, ping, proposal
from tests.quorum.test_leader_broadcast import own_create
from tests.transactions import create, database_of


def leading(observers: int = 1) -> LeaderWorld:
    made = LeaderWorld(membership(3, observers))
    made.joined(2)
    return made


def rows(of: Any, sid: int, *, shows_addresses: bool = True) -> dict[int, Any]:
    view: Any = members_view(of.peer, of.ensemble.membership, sid, shows_addresses=shows_addresses)
    return {row["sid"]: row for row in view["members"]}


def test_a_lag_is_counted_within_an_epoch() -> None:
    assert lag(make(2, 7), make(2, 4)) == 3
    assert lag(make(2, 7), make(2, 7)) == lag(make(2, 7), make(3, 0)) == 0
    assert lag(make(2, 7), make(1, 4)) is None


def test_a_leader_knows_its_learners() -> None:
    made = leading()
    told = rows(made, 1)
    assert list(told) == [1, 2, 3, 4]
    assert (told[1]["role"], told[1]["self"], told[1]["lag"]) == ("leader", True, 0)
    assert told[1]["zxid"] == "0x100000000"
    assert (told[2]["role"], told[2]["state"], told[2]["lag"]) == ("follower", "serving", 0)
    assert (told[2]["zxid"], told[2]["queuedBytes"]) == ("0x100000000", 0)
    assert told[2]["roundTripMs"] is None  # no PING is answered yet
    assert (told[3]["state"], told[3]["role"]) == ("not connected", None)
    assert told[3]["lag"] is told[3]["zxid"] is told[3]["heardMs"] is None
    assert told[2]["address"] == "127.0.0.1:2020:2021"
    assert told[4]["isObserver"] is True


def test_a_leader_knows_how_far_and_how_near_they_are() -> None:
    made = leading()
    (handler,) = made.leader.handlers
    made.beat()
    made.clock.now_ms += 4
    learner: Any = handler.link.shell
    learner.send(packets.encode_ping_reply(made.leader.last_proposed, {}))
    own_create(made, "/a")
    own_create(made, "/b")
    told = rows(made, 1)[2]
    assert (told["roundTripMs"], told["lag"], told["zxid"]) == (4, None, None)
    learner.ack(make(1, 1))
    told = rows(made, 1)[2]
    assert (told["lag"], told["zxid"]) == (1, "0x100000001")
    learner.ack(make(1, 2))
    assert rows(made, 1)[2]["lag"] == 0
    made.beat(2)
    assert rows(made, 1)[2]["heardMs"] == 100


def test_what_observers_have_is_not_known() -> None:
    made = leading()
    made.joined(4, is_observer=True)
    told = rows(made, 1)[4]
    assert (told["role"], told["lag"], told["zxid"]) == ("observer", None, None)
    assert "acknowledge nothing" in told["note"]


def test_a_learner_that_no_configuration_has_is_shown() -> None:
    made = leading(observers=0)
    made.joined(9, is_observer=True)
    told = rows(made, 1)[9]
    assert (told["role"], told["address"]) == ("observer", None)


def test_addresses_are_for_who_may_read_the_configuration() -> None:
    told = rows(leading(), 1, shows_addresses=False)
    assert all(row["address"] is row["client"] is None for row in told.values())


def test_a_learner_knows_itself_and_its_leader() -> None:
    made = LearnerWorld()
    made.serve()
    view: Any = members_view(made.peer, membership(5), 4, shows_addresses=False)
    told = {row["sid"]: row for row in view["members"]}
    assert told[4]["note"] == "no PING has come yet"
    made.hear(proposal(create(make(1, 1))), commit(make(1, 1)), ping(make(1, 7)))
    made.clock.now_ms += 30
    view = members_view(made.peer, membership(5), 4, shows_addresses=False)
    told = {row["sid"]: row for row in view["members"]}
    assert (told[4]["role"], told[4]["self"]) == ("follower", True)
    assert (told[4]["zxid"], told[4]["lag"]) == ("0x100000001", 6)
    assert told[3] == told[1] | {
        "sid": 3,
        "role": "leader",
        "zxid": "0x100000007",
        "heardMs": 30,
        "note": None,
    }
    assert told[1]["lag"] is told[1]["zxid"] is told[1]["state"] is told[1]["roundTripMs"] is None


def test_a_learner_is_not_behind_before_the_first_transaction_of_an_epoch() -> None:
    made = LearnerWorld(database=database_of([create(make(1, 7))]), epochs=(1, 1))
    made.serve(2)
    made.hear(ping(make(2, 0)))
    view: Any = members_view(made.peer, membership(5), 4, shows_addresses=False)
    told = {row["sid"]: row for row in view["members"]}
    assert (told[4]["zxid"], told[4]["lag"]) == ("0x100000007", 0)


def test_epochs_are_those_of_a_member() -> None:
    assert epochs_view(leading().peer) == {"accepted": 1, "current": 1}
    assert epochs_view(world().peer) is None


def test_a_server_says_what_it_is() -> None:
    told = server_view(world().peer)
    assert (told["mode"], told["sid"], told["serving"]) == ("standalone", None, True)
    assert server_view(leading().peer)["sid"] == 1


def test_numbers_are_those_of_now() -> None:
    made = world()
    client = made.connect()
    client.create("/a", b"x", flags=1)
    client.exists("/a", watch=True)
    told: Any = done(numbers_view(made.server))
    assert told["gauges"] == {
        "connections": 1,
        "secureConnections": 0,
        "sessions": 1,
        "outstanding": 0,
        "znodes": 6,
        "ephemerals": 1,
        "watches": 1,
        "dataBytes": made.tree.data_size,
    }
    assert told["counters"]["packets_received"] == 3
    assert told["summaries"]["latency"]["count"] > 0
    assert set(told["summaries"]["readlatency"]) == {
        *("count", "sum", "min", "max", "average", "p50", "p99")
    }


@pytest.mark.parametrize(
    ("host", "shown"), [("::1", "[::1]:37003"), ("10.0.0.1", "10.0.0.1:37003")]
)
def test_the_address_of_clients_has_brackets_where_it_needs_them(host: str, shown: str) -> None:
    made = world()
    made.peer.run_on(Host(client_address=(host, 37003)))
    assert server_view(made.peer)["clientAddress"] == shown
