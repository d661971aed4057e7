"""`pyzk members`: what would go wrong with a change, each found by a check of its own."""

from __future__ import annotations

import attrs
import pytest

from pyzk.cli.client_addresses import ClientAddress
from pyzk.cli.members_change import Change, add, demote, promote, remove, replacement
from pyzk.cli.members_checks import Findings, Observed, check
from pyzk.cli.members_report import render_list
from pyzk.cli.survey import NOT_SERVING, SurveyedServer
from pyzk.config.members import Membership, QuorumServer, parse_membership
from tests.cli.test_members_change import GROUPS, THREE, membership, server

NEW = "4=d:2888:3888;2181"
WATCHER = "4=d:2888:3888:observer;2181"


def surveyed(host: str, mode: str, **more: object) -> SurveyedServer:
    found = SurveyedServer(ClientAddress(host, 2181), mode=mode, version="3.9.3", zxid=0x100000007)
    found.lag = None if mode == "leader" else 0
    for name, value in more.items():
        setattr(found, name, value)
    return found


def dead(host: str) -> SurveyedServer:
    return surveyed(host, "", problem="connection refused: nothing listens there")


def seen(now: Membership, *servers: SurveyedServer, **more: object) -> Observed:
    """What is seen of an ensemble on the hosts a, b, c...: all is well but for these servers."""
    found = {each.address.host: each for each in servers}
    for member in now.members:
        host = member.addresses[0].host
        mode = "leader" if host == "a" else "observer" if member.is_observer else "follower"
        found.setdefault(host, surveyed(host, mode, server_id=member.sid))
    observed = Observed(now, list(found.values()), max_lag=10, has_auth=True, can_write=False)
    for name, value in more.items():
        setattr(observed, name, value)
    return observed


def problems(change: Change, *servers: SurveyedServer, **more: object) -> list[str]:
    return [each.check for each in found(change, *servers, **more).problems]


def found(change: Change, *servers: SurveyedServer, **more: object) -> Findings:
    return check(change, seen(change.before, *servers, **more))


def with_observer(*, voters: int = 3) -> Membership:
    now = remove(membership(), list(range(voters + 1, 4))).after
    return add(now, [server(WATCHER)]).after


RUNNING = surveyed("d", "follower")


# --- nothing is wrong -----------------------------------------------------------------


def test_where_all_is_well_there_is_no_problem() -> None:
    assert problems(add(membership(), [server(NEW)]), RUNNING) == []
    assert problems(add(membership(), [server(WATCHER)]), dead("d")) == []
    assert problems(remove(membership(), [3])) == []
    assert problems(promote(with_observer(), [4])) == []
    assert problems(demote(membership(), [3])) == []


# --- what the servers would refuse ----------------------------------------------------


def test_a_configuration_of_version_0_cannot_be_changed() -> None:
    now = attrs.evolve(membership(), version=0)
    assert problems(remove(now, [3])) == ["reconfig-off"]


def test_who_has_no_permission_is_told() -> None:
    change = remove(membership(), [3])
    assert problems(change, has_auth=False) == ["permission"]
    assert problems(change, has_auth=False, can_write=None) == []
    assert problems(change, has_auth=False, can_write=True) == []
    assert problems(change, is_super=False) == ["permission"]
    assert problems(change, is_super=True) == []
    assert problems(change, is_super=False, can_write=None) == []
    assert problems(change, is_super=False, can_write=True) == []


def test_the_last_voter_stays() -> None:
    result = found(remove(with_observer(), [1, 2, 3]))
    assert [each.check for each in result.problems] == ["last-voter"]
    assert not result.problems[0].can_be_forced
    assert problems(demote(with_observer(voters=1), [1])) == ["last-voter"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("4=C:2888:3889;2182", "servers 3 and 4 would both have C:2888"),
        ("4=c:2889:3888;2182", "servers 3 and 4 would both have c:3888"),
        ("4=c:2889:3889;2181", "servers 3 and 4 would both have c:2181"),
        ("4=c:2181:3889;2182", "servers 3 and 4 would both have c:2181"),
        ("4=d:2888:3888;2888", "server 4 would have d:2888 twice"),
    ],
)
def test_an_address_has_one_owner(text: str, said: str) -> None:
    result = found(add(membership(), [server(f"{text}".replace(";", ":observer;"))]))
    assert said in [each.text for each in result.problems if each.check == "address-taken"]


def test_addresses_that_are_shared_already_are_no_matter_of_this_change() -> None:
    now = parse_membership(
        b"server.1=a:1:2;2181\nserver.2=a:1:3;2182\nserver.3=c:1:2;2181\nversion=1"
    )
    one, two = surveyed("a", "leader"), surveyed("a", "follower")
    two.address = ClientAddress("a", 2182)
    observed = Observed(now, [one, two, surveyed("c", "follower")], 0, has_auth=True)
    assert check(remove(now, [3]), observed).problems == []


# --- the quorum -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "missing",
    [
        dead("b"),
        surveyed("b", NOT_SERVING),
        surveyed("b", "read-only"),
        surveyed("b", "follower", lag=11),
    ],
)
def test_the_voters_that_are_left_must_be_a_quorum(missing: SurveyedServer) -> None:
    result = found(remove(membership(), [3]), missing)
    assert [each.check for each in result.problems] == ["quorum-lost"]
    assert "of the voters that there would be (1, 2) those in sync are no quorum (1)" in (
        result.problems[0].text
    )
    assert problems(demote(membership(), [3]), missing) == ["quorum-lost"]
    # The one that is missing may go.
    assert problems(remove(membership(), [2]), missing) == []


def test_a_lag_that_is_allowed_is_none() -> None:
    assert problems(remove(membership(), [3]), surveyed("b", "follower", lag=10)) == []


def test_groups_have_quorums_of_their_own() -> None:
    now = membership(GROUPS)
    change = demote(now, [2])
    assert problems(change) == []
    # Both groups are needed.
    assert problems(change, dead("c")) == ["quorum-lost"]
    assert problems(change, dead("b")) == []


def test_without_a_leader_nothing_is_known() -> None:
    result = found(remove(membership(), [3]), surveyed("a", "follower", lag=None))
    assert [each.check for each in result.problems] == ["no-leader"]
    assert result.problems[0].may_pass


def test_a_leader_that_is_no_member_is_none() -> None:
    change = remove(membership(), [3])
    servers = [surveyed("a", "follower", lag=None), surveyed("x", "leader")]
    assert problems(change, *servers) == ["no-leader"]


def test_observers_do_not_count_for_the_quorum_of_the_voters_that_they_become() -> None:
    result = found(promote(with_observer(voters=1), [4]))
    assert [each.check for each in result.problems] == ["observers-not-counted"]
    assert "pyzk members remove 4" in result.problems[0].text
    assert problems(promote(with_observer(voters=2), [4])) == []
    # With one of three missing, the fourth would have to count.
    assert problems(promote(with_observer(), [4]), dead("c")) == ["observers-not-counted"]


def test_who_runs_as_an_observer_and_is_added_as_a_voter_does_not_count_either() -> None:
    one = remove(membership(), [2, 3]).after
    change = add(one, [server(NEW)])
    assert problems(change, surveyed("d", "observer")) == ["observers-not-counted"]
    assert problems(change, RUNNING) == []


# --- in sync --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state", [dead("d"), surveyed("d", NOT_SERVING), surveyed("d", "follower", lag=11)]
)
def test_a_new_voter_must_be_in_sync(state: SurveyedServer) -> None:
    for change in (add(membership(), [server(NEW)]), promote(with_observer(), [4])):
        result = found(change, state)
        assert [each.check for each in result.problems] == ["not-in-sync"]
        assert result.problems[0].may_pass
        assert result.problems[0].can_be_forced


def test_the_advice_to_add_an_observer_is_given_where_it_can_be_promoted() -> None:
    assert "--observer" in found(add(membership(), [server(NEW)]), dead("d")).problems[0].text
    one = remove(membership(), [2, 3]).after
    assert "--observer" not in found(add(one, [server(NEW)]), dead("d")).problems[0].text


def test_an_observer_that_replaces_another_must_be_in_sync() -> None:
    now = demote(membership(), [3]).after
    now = replacement(now, 3, server(NEW))[0].after
    [last] = replacement(now, 3, server(NEW))
    assert problems(last, dead("d")) == ["not-in-sync"]
    assert problems(last) == []


def test_a_member_whose_clients_nobody_knows_is_found_by_its_id() -> None:
    now = parse_membership(b"server.1=a:1:2;2181\nserver.2=b:1:2\nserver.3=c:1:2;2181\nversion=1")
    change = remove(now, [3])
    known = [surveyed("a", "leader"), surveyed("c", "follower")]
    observed = Observed(now, known, 0, has_auth=True)
    assert "name that with --server" in check(change, observed).problems[0].text
    observed.servers.append(surveyed("x", "follower", server_id=2))
    assert check(change, observed).problems == []


# --- somebody else --------------------------------------------------------------------


def test_an_answer_of_another_member_does_not_count_for_this_one() -> None:
    """As by TLS, where members of one host are looked for at one port."""
    now = membership()
    one = surveyed("a", "leader", server_id=1)
    observed = Observed(now, [one], 0, has_auth=True, place_of=lambda member: one.address)
    members = now.members
    assert [observed.why_not_in_sync(each) is None for each in members] == [True, False, False]
    assert "a:2181: answered as server 1: name with --server" in str(
        observed.why_not_in_sync(members[1])
    )
    assert [row.split()[4:] for row in render_list(observed).splitlines()[1:4]] == [
        ["leader", "0x100000007", "-", "3.9.3"],
        ["answered", "as", "server", "1", "-", "-", "-"],
        ["answered", "as", "server", "1", "-", "-", "-"],
    ]
    assert [each.check for each in check(remove(now, [3]), observed).problems] == ["quorum-lost"]


def test_an_answer_without_an_id_counts_for_none_of_several_members() -> None:
    now = membership()
    one = surveyed("a", "leader")
    observed = Observed(now, [one], 0, has_auth=True, place_of=lambda member: one.address)
    for member in now.members:
        assert "several members are asked here" in str(observed.why_not_in_sync(member))


def test_a_member_that_answers_for_a_new_server_is_a_stranger() -> None:
    state = surveyed("d", "follower", server_id=2)
    for text in (NEW, WATCHER):
        assert problems(add(membership(), [server(text)]), state) == ["stranger"]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (surveyed("d", "standalone"), "stands alone and has a tree of its own"),
        (surveyed("d", "leader"), "leads another ensemble"),
        (surveyed("d", "follower", server_id=7), "says that it is server 7, not 4"),
        (surveyed("d", "read-only"), "does not reach the others"),
    ],
)
def test_a_new_server_must_be_the_one_that_is_meant(state: SurveyedServer, said: str) -> None:
    for text in (NEW, WATCHER):
        result = found(add(membership(), [server(text)]), state)
        assert [each.check for each in result.problems] == ["stranger"]
        assert said in result.problems[0].text


def test_an_observer_that_gets_a_vote_must_be_the_one_that_is_meant() -> None:
    assert problems(promote(with_observer(), [4]), surveyed("d", "observer", server_id=7)) == [
        "stranger"
    ]


# --- reached --------------------------------------------------------------------------


def test_the_election_address_of_a_new_voter_must_be_reachable() -> None:
    closed = {"d:3888": "connection refused"}
    for change in (add(membership(), [server(NEW)]), promote(with_observer(), [4])):
        result = found(change, RUNNING, unreachable=closed)
        assert [each.check for each in result.problems] == ["unreachable"]
        assert "its election address d:3888 cannot be reached" in result.problems[0].text
    assert problems(add(membership(), [server(WATCHER)]), RUNNING, unreachable=closed) == []


def test_a_host_must_have_an_address() -> None:
    for text in (NEW, WATCHER):
        change = add(membership(), [server(text)])
        assert problems(change, RUNNING, unreachable={"d": "Name or service not known"}) == [
            "unreachable"
        ]


# --- notes ----------------------------------------------------------------------------


def notes(change: Change, *servers: SurveyedServer) -> str:
    return "; ".join(found(change, *servers).notes)


def test_an_even_number_of_voters_is_a_note() -> None:
    assert "4 voters survive the loss of 1, no more than 3 would" in notes(
        add(membership(), [server(NEW)]), RUNNING
    )
    assert "voters survive" not in notes(add(membership(), [server(WATCHER)]), RUNNING)
    five = add(membership(), [server(NEW), server("5=e:2888:3888;2181")])
    assert "voters survive" not in notes(five, RUNNING, surveyed("e", "follower"))


def test_a_single_voter_is_a_note() -> None:
    change = remove(membership(), [2, 3])
    assert "unless all have standaloneEnabled=false" in notes(change)
    beside_one = add(change.after, [server(WATCHER)])
    assert "beside a single voter an observer cannot be promoted" in notes(beside_one, dead("d"))
    assert "beside a single voter" not in notes(add(membership(), [server(WATCHER)]), dead("d"))


def test_who_is_missing_is_a_note_and_what_one_more_loss_would_do() -> None:
    said = notes(add(membership(), [server(WATCHER)]), dead("c"))
    assert "not in sync: server 3: c:2181: connection refused" in said
    assert "the loss of one of servers 1, 2 stops all writes" in said
    five = add(membership(), [server(NEW), server("5=e:2888:3888;2181")])
    said = notes(five, dead("c"), RUNNING, surveyed("e", "follower"))
    assert "not in sync: server 3" in said
    assert "stops all writes" not in said


def test_that_the_leader_changes_is_a_note() -> None:
    said = "server 1 leads: another one takes over"
    assert said in notes(remove(membership(), [1]))
    assert said in notes(demote(membership(), [1]))
    assert said in notes(replacement(membership(), 1, server("1=a:2889:3888;2181"))[0])
    # Clients are taken elsewhere; that changes no leader.
    assert said not in notes(replacement(membership(), 1, server("1=a:2888:3888;2182"))[0])
    assert said not in notes(remove(membership(), [2]))


def test_that_a_removed_server_goes_on_is_a_note_if_it_runs() -> None:
    assert "server 3 goes on running, without a vote: stop it" in notes(remove(membership(), [3]))
    assert "goes on" not in notes(remove(membership(), [3]), dead("c"))


def test_an_observer_that_does_not_run_yet_is_a_note() -> None:
    change = add(membership(), [server(WATCHER)])
    assert "server 4 is not running yet" in notes(change, dead("d"))
    assert "not running" not in notes(change, surveyed("d", "observer"))


def test_a_loopback_address_beside_others_is_a_note() -> None:
    said = "server 4 has an address that means another machine on each machine: localhost"
    local = server("4=localhost:2888:3888:observer;2181")
    assert said in notes(add(membership(), [local]))
    here = parse_membership(
        THREE.replace("=a:", "=127.0.0.1:")
        .replace("=b:", "=127.0.0.1:")
        .replace("=c:", "=127.0.0.1:")
        .encode()
    )
    assert said not in "; ".join(check(add(here, [local]), Observed(here, [], 0)).notes)


def test_an_id_beside_which_no_znode_can_have_a_ttl_is_a_note() -> None:
    big: QuorumServer = server("255=d:2888:3888:observer;2181")
    assert "beside an id above 254" in notes(add(membership(), [big]))
    assert "beside an id" not in notes(add(membership(), [attrs.evolve(big, sid=254)]))
