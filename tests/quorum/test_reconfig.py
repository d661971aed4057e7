"""What a reconfig request asks for: the configuration, or the error and that one first."""

from __future__ import annotations

import pytest

from pyzk.config.members import Membership, config_text, parse_membership
from pyzk.errors import BadArguments, KeeperError, MarshallingError
from pyzk.jute.records import ReconfigRequest
from pyzk.quorum import reconfig
from pyzk.quorum.reconfig import plan_reconfig
from tests.quorum.leader_world import membership

OBSERVER = "server.4=10.0.0.4:1:2:observer;3"


def remote(voters: int = 3) -> Membership:
    """Members on hosts of their own."""
    lines = [f"server.{sid}=10.0.0.{sid}:2888:3888;2181" for sid in range(1, voters + 1)]
    return parse_membership("\n".join(lines).encode())


def plan(
    joining: str | None = None,
    leaving: str | None = None,
    members: str | None = None,
    *,
    present: Membership | None = None,
    standalone: bool = True,
    multi_address: bool = False,
) -> Membership:
    return plan_reconfig(
        ReconfigRequest(joining, leaving, members, -1),
        present or membership(),
        0x100000007,
        is_standalone_enabled=standalone,
        is_multi_address_enabled=multi_address,
    )


def test_the_version_is_the_zxid_and_the_text_is_canonical() -> None:
    planned = plan("server.4=10.0.0.4:2888:3888;2181", "2,1")
    assert config_text(planned) == (
        "server.3=127.0.0.1:2030:2031:participant;0.0.0.0:2032\n"
        "server.4=10.0.0.4:2888:3888:participant;0.0.0.0:2181\n"
        "version=100000007"
    )


def test_servers_that_are_unknown_leave_without_harm() -> None:
    assert plan(None, "9, -1 ,").members == membership().members


def test_nothing_at_all_is_a_change_that_changes_nothing() -> None:
    assert plan().members == membership().members


def test_a_server_that_joins_takes_the_place_of_the_one_with_its_id() -> None:
    planned = plan(" server.2 = 10.0.0.9:1:2:observer;3 ,")
    assert planned.voters == (1, 3)
    assert str(planned.member(2)) == "10.0.0.9:1:2:observer;0.0.0.0:3"


def test_a_server_may_leave_and_join_at_once() -> None:
    planned = plan("server.2=10.0.0.1:1:2;3", "1", present=remote())
    assert planned.voters == (2, 3)


@pytest.mark.parametrize(
    "joining",
    [
        "bogus",
        "server.4=127.0.0.1:1",
        "server.4=127.0.0.1:1:2",
        "server.4=127.0.0.1:1:1;3",
        "server.4=127.0.0.1:1:2:voter;3",
        "server.4=127.0.0.1:x:2;3",
        "server.4=a=127.0.0.1:1:2;3",
        "server.4=127.0.0.1:1:2;3;4",
        "server.-4=127.0.0.1:1:2;3",
        "server.4=höst:1:2;3",
        "server.4=10.0.0.4:1:2|10.0.1.4:1:2;3",
    ],
)
def test_a_wrong_joiner(joining: str) -> None:
    with pytest.raises(BadArguments):
        plan(joining)


@pytest.mark.parametrize("number", ["x", "", " 4 4", "9223372036854775808", "٤"])
def test_a_number_that_is_none_is_another_error(number: str) -> None:
    with pytest.raises(MarshallingError):
        plan(f"server.{number}=127.0.0.1:1:2;3")
    with pytest.raises(MarshallingError):
        plan(None, f"3,{number or 'x'}")


@pytest.mark.parametrize("ports", ["70000:2;3", "1:70000;3", "1:2;70000", "-1:2;3"])
def test_a_number_that_is_no_port_is_that_error_too(ports: str) -> None:
    with pytest.raises(MarshallingError):
        plan(f"server.4=127.0.0.1:{ports}")


def test_a_number_of_many_digits_is_refused_like_any_other() -> None:
    many = "9" * 5000
    for text in (f"server.{many}=a:1:2;3", f"server.4=a:{many}:2;3"):
        with pytest.raises(KeeperError):
            plan(text)
        with pytest.raises(KeeperError):
            plan(members=f"{text},version={many}")
    with pytest.raises(MarshallingError):
        plan(None, many)


def test_those_that_leave_are_read_first() -> None:
    with pytest.raises(MarshallingError):
        plan("bogus", "x")


def test_several_addresses_need_multi_address() -> None:
    two = "server.4=10.0.0.4:1:2|10.0.1.4:1:2;3"
    assert len(plan(two, multi_address=True).members) == 4


@pytest.mark.parametrize(
    ("joining", "is_refused"),
    [
        ("server.4=10.0.0.1:2888:3889;2182", True),
        ("server.4=10.0.0.1:1:3888;2182", True),
        ("server.4=10.0.0.1:3888:1;2182", True),
        ("server.4=10.0.0.9:2888:3888;10.0.0.1:2888", True),
        ("server.4=[::ffff:10.0.0.1]:2888:3889;2182", True),
        ("server.4=10.0.0.1:1:2;3", False),
        ("server.4=10.0.0.9:2888:3888;2181", False),
        ("server.1=10.0.0.1:2888:3888;2181", False),
    ],
)
def test_an_address_of_another_member(joining: str, is_refused: bool) -> None:
    if is_refused:
        with pytest.raises(BadArguments):
            plan(joining, present=remote())
    else:
        plan(joining, present=remote())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"])
def test_loopback_and_wildcard_addresses_may_be_the_same(host: str) -> None:
    present = parse_membership(f"server.1={host}:1:2;3\nserver.2={host}:4:5;6".encode())
    assert plan(f"server.3={host}:1:2;3", present=present).voters == (1, 2, 3)


def test_equal_names_are_one_address() -> None:
    present = parse_membership(b"server.1=one:1:2;3\nserver.2=two:1:2;3")
    with pytest.raises(BadArguments):
        plan("server.3=ONE:1:4;5", present=present)


@pytest.mark.parametrize(("standalone", "least"), [(True, 2), (False, 1)])
def test_too_few_participants(standalone: bool, least: int) -> None:
    leaving = ",".join(str(sid) for sid in range(1, 4 - least))
    assert len(plan(None, leaving, standalone=standalone).voters) == least
    with pytest.raises(BadArguments):
        plan(None, leaving + f",{4 - least}", standalone=standalone)


def test_observers_are_no_participants() -> None:
    with pytest.raises(BadArguments):
        plan(OBSERVER, "1,2")


# --- the whole configuration ----------------------------------------------------------


def test_commas_and_line_ends_separate_members() -> None:
    planned = plan(members="server.1=a:1:2;3,server.2=b:1:2;3\nserver.3=c:1:2:observer;3")
    assert (planned.voters, planned.observers) == ((1, 2), (3,))
    assert planned.version == 0x100000007


def test_what_joins_and_leaves_is_ignored_then() -> None:
    assert plan("bogus", "x", "server.1=a:1:2;3,server.2=b:1:2;3").voters == (1, 2)


def test_the_last_line_of_a_server_counts() -> None:
    planned = plan(members="server.1=a:1:2;3,server.2=b:1:2;3,server.1=c:1:2;3")
    assert [str(member) for member in planned.members] == [
        "c:1:2:participant;0.0.0.0:3",
        "b:1:2:participant;0.0.0.0:3",
    ]


def test_a_given_version_is_not_believed() -> None:
    planned = plan(members="server.1=a:1:2;3,server.2=b:1:2;3,version=ff")
    assert planned.version == 0x100000007


def test_groups_and_weights() -> None:
    text = (
        "server.1=a:1:2;3,server.2=b:1:2;3,server.3=c:1:2;3,"
        "group.1=1:2,group.2=3,weight.1=2,weight.2=0"
    )
    planned = plan(members=text)
    assert planned.groups == ((1, (1, 2)), (2, (3,)))
    assert planned.weights == ((1, 2), (2, 0), (3, 1))
    with pytest.raises(BadArguments):
        plan(OBSERVER, present=planned)
    assert not plan(members="server.1=a:1:2;3,server.2=b:1:2;3", present=planned).groups


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("server.1=x", BadArguments),
        ("clientPort=3", BadArguments),
        ("server.1=a:1:2;3,servers.2=b:1:2;3", BadArguments),
        ("server.1=a:1:2;3,server.2=b:1:2;3,group.1=1", BadArguments),
        ("server.1=a:1:2;3,server.2=b:1:2;3,group.1=1:2,group.2=1", BadArguments),
        ("server.1=h\u00f6st:1:2;3,server.2=b:1:2;3", BadArguments),
        ("server.1=a:1:2;3", BadArguments),
        ("", BadArguments),
        ("server.x=a:1:2;3", MarshallingError),
        ("server.1=a:1:70000;3,server.2=b:1:2;3", MarshallingError),
        ("server.1=a:1:2;3,server.2=b:1:2;3,version=zz", MarshallingError),
        ("server.1=a:1:2;3,server.2=b:1:2;3,group.1=1:2:7", MarshallingError),
        ("group.1=1", MarshallingError),
        ("server.1=a:1:2;3,server.2=b:1:2;3,group.1=1:x", MarshallingError),
        ("server.1=a:1:2;3,server.2=b:1:2;3,group.1=1:2,weight.1=x", MarshallingError),
        ("server.1=a:1:2;3,server.2=b:1:2:observer;3", MarshallingError),
        ("server.2=b:1:2:observer;3", MarshallingError),
    ],
)
def test_a_wrong_configuration(text: str, error: type[KeeperError]) -> None:
    with pytest.raises(error):
        plan(members=text)


def test_no_participants_where_one_is_enough() -> None:
    with pytest.raises(MarshallingError):
        plan(members="", standalone=False)
    assert plan(members="server.1=a:1:2;3", standalone=False).voters == (1,)


@pytest.mark.parametrize("host", ["h\\u00zz", "h\\x", "\\", "h" * 3000, "h:1:2|" * 1000 + "h"])
def test_a_host_that_members_would_not_read_from_the_text(host: str) -> None:
    """With the text in their files they would not start again, or go by another host; with so many
    addresses they could not say who they are."""
    with pytest.raises(BadArguments):
        plan(f"server.4={host}:1:2;3")


def test_a_text_that_is_too_long_for_an_election() -> None:
    present = remote()
    for sid in range(4, 265):
        present = plan(f"server.{sid}={'h' * 1900}{sid}:1:2;3", present=present)
    with pytest.raises(BadArguments, match="are the most"):
        for sid in range(265, 280):
            present = plan(f"server.{sid}={'h' * 1900}{sid}:1:2;3", present=present)
    with pytest.raises(BadArguments, match="are the most"):
        plan(members="x" * 524_288)


def test_who_joins_twice_may_have_its_own_former_address_and_others_may_have_it_then() -> None:
    planned = plan("server.4=a:1:2;3,server.4=a:1:5;3,server.5=a:2:6;7", present=remote())
    assert planned.voters == (1, 2, 3, 4, 5)
    with pytest.raises(BadArguments):
        plan("server.4=a:1:2;3,server.5=A:4:1;6", present=remote())


def test_thousands_that_join_are_compared_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may connect may ask, for who he is is looked at last."""
    looked_at: list[str] = []
    spelling = reconfig._spelling

    def counted(host: str) -> str:
        looked_at.append(host)
        return spelling(host)

    monkeypatch.setattr(reconfig, "_spelling", counted)
    count = 1000
    planned = plan(",".join(f"server.{sid}=h{sid}:1:2;3" for sid in range(4, count)))
    assert len(planned.members) == count - 1
    assert len(looked_at) <= 5 * count


@pytest.mark.parametrize("ports", ["0:3888:observer;2181", "2888:0:observer;2181", "2888:3888;0"])
def test_port_0_is_taken_as_the_original_takes_it(ports: str) -> None:
    """As 3.9.3 answered, asked for each form; `pyzk members` refuses it before anybody is asked."""
    line = f"server.4=10.0.0.4:{ports}"
    whole = "\n".join([*remote().lines(), line])
    for planned in (plan(line), plan(members=whole)):
        four = planned.member(4)
        assert four is not None
        assert 0 in (
            four.addresses[0].quorum_port,
            four.addresses[0].election_port,
            four.client_port,
        )


@pytest.mark.parametrize("ports", ["0:0:observer;2181", "0:0;0"])
def test_two_ports_0_are_one_port_twice(ports: str) -> None:
    line = f"server.4=10.0.0.4:{ports}"
    with pytest.raises(BadArguments):
        plan(line)
    with pytest.raises(BadArguments):
        plan(members="\n".join([*remote().lines(), line]))
