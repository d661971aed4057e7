"""`pyzk members`: from one configuration to the next, and how the command line names servers."""

from __future__ import annotations

import pytest

from pyzk.cli.members_change import (
    Change,
    ImpossibleError,
    add,
    client_place,
    demote,
    parse_server,
    promote,
    remove,
    replacement,
)
from pyzk.config.members import Membership, QuorumServer, parse_membership

THREE = """\
server.1=a:2888:3888:participant;0.0.0.0:2181
server.2=b:2888:3888:participant;0.0.0.0:2181
server.3=c:2888:3888:participant;0.0.0.0:2181
version=100000000"""
GROUPS = """\
server.1=a:2888:3888;2181
server.2=b:2888:3888;2181
server.3=c:2888:3888;2181
server.4=d:2888:3888:observer;2181
group.1=1:2
group.2=3
weight.1=2
version=100000000"""


def membership(text: str = THREE) -> Membership:
    return parse_membership(text.encode())


def server(text: str) -> QuorumServer:
    return parse_server(text)[0]


def shown(after: Membership) -> list[str]:
    return [f"{member.sid} {member}" for member in after.members]


# --- how a server is named ------------------------------------------------------------


@pytest.mark.parametrize("name", ["4", "server.4", " 4 "])
def test_a_server_is_named_by_id_or_by_its_line(name: str) -> None:
    found, has_role = parse_server(f"{name}=d:2888:3888:observer;2181")
    assert str(found) == "d:2888:3888:observer;0.0.0.0:2181"
    assert found.sid == 4
    assert has_role


def test_whether_a_role_is_written_is_known() -> None:
    assert parse_server("4=d:2888:3888;2181")[1] is False
    assert parse_server("4=d:2888:3888:participant;2181")[1] is True
    # A host or port is no role.
    assert parse_server("4=participant:2888:3888;2181")[1] is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("d:2888:3888;2181", "is not ID=HOST:QUORUM_PORT:ELECTION_PORT"),
        ("x=d:2888:3888;2181", "'x' is not a server id"),
        ("4=d:2888:3888", "does not say where the server takes clients"),
        ("4=d:2888;2181", "has no election port"),
        ("4=d:0:3888;2181", "a port is a number from 1 to 65535"),
        ("4=d:2888:3888;0", "a port is a number from 1 to 65535"),
        ("4=0.0.0.0:2888:3888;2181", "the others cannot reach 0.0.0.0"),
        ("4=[::]:2888:3888;2181", "the others cannot reach"),
    ],
)
def test_what_names_no_server_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_server(text)
    assert said in str(caught.value)


def test_clients_are_taken_at_the_host_of_the_server_if_its_line_names_none() -> None:
    assert client_place(server("4=d:2888:3888;2181")) == ("d", 2181)
    assert client_place(server("4=d:2888:3888;e:2181")) == ("e", 2181)
    assert client_place(server("4=[2001:db8::1]:2888:3888;[::]:2181")) == (
        "2001:db8:0:0:0:0:0:1",
        2181,
    )
    assert client_place(membership("server.1=a:1:2\nserver.2=b:1:2").members[0]) is None


# --- one change -----------------------------------------------------------------------


def test_added_servers_join() -> None:
    change = add(
        membership(), [server("5=e:2888:3888:observer;2181"), server("4=d:2888:3888;2181")]
    )
    assert [member.sid for member in change.after.members] == [1, 2, 3, 4, 5]
    assert change.arguments() == (
        "server.4=d:2888:3888:participant;0.0.0.0:2181,server.5=e:2888:3888:observer;0.0.0.0:2181",
        None,
        None,
    )
    assert [member.sid for member in change.new_voters] == [4]


def test_a_member_that_is_added_again_is_left_as_it_is() -> None:
    assert add(membership(), [server("3=c:2888:3888;2181")]).is_empty


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3=d:2888:3888;2181", "a new server needs an id of its own"),
        ("3=c:2888:3888:observer;2181", "promote or demote changes its role"),
    ],
)
def test_the_id_of_a_member_is_taken(text: str, said: str) -> None:
    with pytest.raises(ImpossibleError, match=said) as caught:
        add(membership(), [server(text)])
    assert caught.value.check == "id-taken"


def test_removed_members_leave() -> None:
    change = remove(membership(), [3, 1])
    assert change.after.voters == (2,)
    assert change.arguments() == (None, "1,3", None)
    assert [member.sid for member in change.gone] == [1, 3]


def test_a_role_changes_both_ways() -> None:
    down = demote(membership(), [2])
    assert down.arguments() == ("server.2=b:2888:3888:observer;0.0.0.0:2181", None, None)
    up = promote(down.after, [2])
    assert shown(up.after) == shown(membership())
    assert [member.sid for member in up.new_voters] == [2]
    assert promote(membership(), [2]).is_empty
    assert demote(down.after, [2]).is_empty


@pytest.mark.parametrize("make", [remove, promote, demote])
def test_who_is_no_member_is_told_and_who_is(make: object) -> None:
    assert callable(make)
    with pytest.raises(ImpossibleError, match="server 9 is not a member; the members are 1, 2, 3"):
        make(membership(), [9])


# --- groups ---------------------------------------------------------------------------


def test_where_there_are_groups_the_whole_configuration_is_given() -> None:
    change = promote(membership(GROUPS), [4], group=2, weight=3)
    joining, leaving, members = change.arguments()
    assert joining is leaving is None
    assert members is not None
    assert members.split(",") == change.after.lines()
    assert "group.2=3:4" in members
    assert "weight.4=3" in members
    # It can be read again, and is what was meant.
    assert parse_membership(members.replace(",", "\n").encode()).groups == change.after.groups


def test_a_voter_that_leaves_leaves_its_group() -> None:
    for change in (remove(membership(GROUPS), [3]), demote(membership(GROUPS), [3])):
        assert change.after.groups == ((1, (1, 2)),)
        assert dict(change.after.weights) == {1: 2, 2: 1}


def test_a_new_voter_needs_a_group_where_there_are_groups_and_only_there() -> None:
    with pytest.raises(ImpossibleError, match=r"has groups \(1, 2\): say with --group"):
        promote(membership(GROUPS), [4])
    with pytest.raises(ImpossibleError, match="leave out --group"):
        add(membership(), [server("4=d:2888:3888;2181")], group=1)
    # An observer needs none.
    observer = server("5=e:2888:3888:observer;2181")
    assert add(membership(GROUPS), [observer]).after.groups == membership(GROUPS).groups


# --- replacing ------------------------------------------------------------------------

NEW = "4=d:2888:3888;2181"


def carried_out(now: Membership, old: int, new: str) -> list[Change]:
    """The changes of a replacement that is interrupted behind each of them."""
    made = []
    while changes := replacement(now, old, server(new)):
        made.append(changes[0])
        now = changes[0].after
    return made


def test_another_server_is_an_observer_first_and_then_takes_the_place_at_once() -> None:
    planned = replacement(membership(), 3, server(NEW))
    assert planned == carried_out(membership(), 3, NEW)
    first, last = planned
    assert first.title == "add server 4 as an observer"
    assert first.after.observers == (4,)
    assert not first.needed
    assert last.title == "give server 4 a vote and remove server 3"
    assert last.after.voters == (1, 2, 4)
    assert last.needed == (4,)


def test_the_role_is_that_of_the_old_server() -> None:
    before = demote(membership(), [3]).after
    first, last = carried_out(before, 3, NEW)
    assert first.after.observers == (3, 4)
    assert (last.after.voters, last.after.observers) == ((1, 2), (4,))
    assert last.title == "remove server 3"
    assert last.needed == (4,)


def test_a_voter_that_the_new_quorum_needs_is_never_an_observer() -> None:
    """The leader counts no observer: two voters, of which one is replaced, need the new one."""
    before = remove(membership(), [3]).after
    [only] = carried_out(before, 2, NEW)
    assert only.title == "add server 4 and remove server 2"
    assert only.after.voters == (1, 4)
    assert only.needed == (4,)


def test_a_replacement_goes_on_where_somebody_has_ended_it() -> None:
    voter = add(membership(), [server(NEW)]).after
    [change] = replacement(voter, 3, server(NEW))
    assert change.title == "remove server 3"
    assert replacement(change.after, 3, server(NEW)) == []


def test_a_voter_in_the_place_of_an_observer_keeps_its_vote() -> None:
    before = demote(membership(), [3]).after
    [change] = replacement(before, 3, server("2=b:2888:3888;2181"))
    assert change.title == "remove server 3"
    assert change.after.voters == (1, 2)


def test_the_new_server_takes_the_group_and_weight_of_the_old_one() -> None:
    last = carried_out(membership(GROUPS), 1, "5=e:2888:3888;2181")[-1]
    assert last.after.groups == ((1, (2, 5)), (2, (3,)))
    assert dict(last.after.weights) == {2: 1, 3: 1, 5: 2}


def test_a_replacement_of_nobody_is_refused_and_so_is_a_taken_id() -> None:
    with pytest.raises(ImpossibleError, match="server 9 is not a member"):
        replacement(membership(), 9, server(NEW))
    with pytest.raises(ImpossibleError, match="the new server needs a free id"):
        replacement(membership(), 3, server("2=d:2888:3888;2181"))


def test_on_its_host_a_member_changes_its_ports_while_it_runs() -> None:
    [change] = carried_out(membership(), 3, "3=C:2889:3889;2182")
    assert change.arguments() == ("server.3=C:2889:3889:participant;0.0.0.0:2182", None, None)
    assert not change.needed
    assert "goes on running" in change.title


def test_on_another_host_the_old_server_of_an_id_leaves_first() -> None:
    leave, join = carried_out(membership(), 3, "3=d:2888:3888;2181")
    assert leave.after.voters == (1, 2)
    assert join.after.voters == (1, 2, 3)
    assert join.needed == (3,)
    assert replacement(join.after, 3, server("3=d:2888:3888;2181")) == []


def test_a_moved_voter_stays_in_its_group() -> None:
    leave, join = replacement(membership(GROUPS), 1, server("1=x:2888:3888;2181"))
    assert leave.after.groups == ((1, (2,)), (2, (3,)))
    assert join.after.groups == membership(GROUPS).groups
    assert join.after.weights == membership(GROUPS).weights
    # Half done, nobody knows the group any more.
    with pytest.raises(ImpossibleError, match="say with --group where server 1 belongs"):
        replacement(leave.after, 1, server("1=x:2888:3888;2181"))
    [join] = replacement(leave.after, 1, server("1=x:2888:3888;2181"), group=1, weight=2)
    assert join.after.groups == membership(GROUPS).groups
    assert join.after.weights == membership(GROUPS).weights
