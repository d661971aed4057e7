"""Lines of members: the original's text to the byte, and each mistake with its remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.config.members import (
    Membership,
    QuorumServer,
    ServerAddress,
    config_text,
    hash_order,
    parse_member,
    parse_membership,
    version_of_file_name,
)
from pyzk.errors import ConfigError

THREE = """\
server.1=h1:2888:3888
server.2=h2:2888:3888:PARTICIPANT;2181
server.3=h3:2888:3888;[::1]:2181
"""
THREE_TEXT = """\
server.1=h1:2888:3888:participant
server.2=h2:2888:3888:participant;0.0.0.0:2181
server.3=h3:2888:3888:participant;[0:0:0:0:0:0:0:1]:2181
"""


def text_of(source: str) -> str:
    return config_text(parse_membership(source.encode()))


# What ZooKeeper 3.8.0 and 3.9.3 made of the same lines.
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", ""),
        ("server.4=h4:2888:3888:observer", "server.4=h4:2888:3888:observer\n"),
        (
            "server.4=[2001:db8::1]:2888:3888:observer;2181",
            "server.4=[2001:db8:0:0:0:0:0:1]:2888:3888:observer;0.0.0.0:2181\n",
        ),
        ("server.4=h4:2888:3888;", "server.4=h4:2888:3888:participant\n"),
        ("server.4=h4:2888:3888;0", "server.4=h4:2888:3888:participant;0.0.0.0:0\n"),
        ("server.04=h4:0:3888", "server.4=h4:0:3888:participant\n"),
        ("server.4=:2888:3888", "server.4=localhost:2888:3888:participant\n"),
        ("server.300=h1:2888:3888", "server.300=h1:2888:3888:participant\n"),
        (
            "server.4=h4:2888:3888:observer|h5:2888:3888",
            "server.4=h4:2888:3888|h5:2888:3888:observer\n",
        ),
        (
            "server.4=h5:2888:3888|h4:2889:3889;2181",
            "server.4=h4:2889:3889|h5:2888:3888:participant;0.0.0.0:2181\n",
        ),
        (
            "server.4=h4:2888:3888|h4:2888:3888;2181",
            "server.4=h4:2888:3888:participant;0.0.0.0:2181\n",
        ),
        ("server.4=h4:2888:3888: observer", "server.4=h4:2888:3888:observer\n"),
        ("server.4=h4:2888:3888:\tOBSERVER ;2181", "server.4=h4:2888:3888:observer;0.0.0.0:2181\n"),
        ("server.4=h4:+2888:00000003888", "server.4=h4:2888:3888:participant\n"),
        ("server.4=h4:-0:3888", "server.4=h4:0:3888:participant\n"),
        ("server.+4=h4:2888:3888", "server.4=h4:2888:3888:participant\n"),
        ("server.4=h4:2888:3888::", "server.4=h4:2888:3888:participant\n"),
        ("server.4=h4:2888:3888:observer:", "server.4=h4:2888:3888:observer\n"),
        ("server.4=[::1]:2888:3888:", "server.4=[0:0:0:0:0:0:0:1]:2888:3888:participant\n"),
        ("server.4=h4:2888:3888|", "server.4=h4:2888:3888:participant\n"),
        ("server.4=h4:2888:3888;;", "server.4=h4:2888:3888:participant\n"),
        ("server.4=h4:2888:3888;2181;", "server.4=h4:2888:3888:participant;0.0.0.0:2181\n"),
        ("server.4=h4:2888:3888;+2181:", "server.4=h4:2888:3888:participant;0.0.0.0:2181\n"),
        ("server.4=h4:2888:3888;:2181", "server.4=h4:2888:3888:participant;localhost:2181\n"),
        (
            "group.+1=+1:2:3:\nweight.1=+2\nweight.2=99999999999",
            "group.1=1:2:3\nweight.1=2\nweight.2=99999999999\nweight.3=1\n",
        ),
        (
            "group.1=1:2\ngroup.2=3",
            "group.1=1:2\ngroup.2=3\nweight.1=1\nweight.2=1\nweight.3=1\n",
        ),
        (
            "group.1=1:2:3\nweight.1=3\nweight.2=0",
            "group.1=1:2:3\nweight.1=3\nweight.2=0\nweight.3=1\n",
        ),
        (
            "group.1=1:2:3\nserver.4=h4:2888:3888:observer",
            "server.4=h4:2888:3888:observer\ngroup.1=1:2:3\nweight.1=1\nweight.2=1\nweight.3=1\n",
        ),
        (
            "weight.9=1\ngroup.1=1:2:3",
            "group.1=1:2:3\nweight.1=1\nweight.2=1\nweight.3=1\nweight.9=1\n",
        ),
    ],
)
def test_the_text_is_the_original_s(lines: str, expected: str) -> None:
    assert text_of(THREE + lines) == THREE_TEXT + expected + "version=0"


def test_the_order_of_lines_is_that_of_a_hash_map() -> None:
    source = "\n".join(f"server.{sid}=h:1:2" for sid in (10, 9, 17, 1))
    order = [line.partition("=")[0] for line in text_of(source).splitlines()]
    assert order == ["server.1", "server.17", "server.9", "server.10", "version"]
    assert hash_order(range(40, 0, -1)) == list(range(1, 41))
    assert hash_order([16, 1]) == [16, 1]
    assert hash_order([16, *range(1, 13)]) == [*range(1, 13), 16]


def test_the_version_is_a_zxid() -> None:
    membership = parse_membership((THREE + "version=10000001f").encode())
    assert membership.version == 0x10000001F
    assert config_text(membership).endswith("\nversion=10000001f")
    assert parse_membership(b"version=ffffffffffffffff").version == -1
    assert parse_membership(b"version=-1f").version == -0x1F
    assert config_text(Membership((), -1)) == "version=ffffffffffffffff"


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("zoo.cfg.dynamic.100000005", 0x100000005), ("zoo.cfg.dynamic", 0), ("members", 0),
        ("zoo.cfg.dynamic.next", 0), ("x.", 0), ("x.1ffffffffffffffff", 0), ("x.FF", 255),
        ("x.ffffffffffffffff", -1),
    ],
)  # fmt: skip
def test_the_version_is_the_end_of_the_name(name: str, version: int) -> None:
    assert version_of_file_name(name) == version


def test_members_are_told_apart() -> None:
    membership = parse_membership((THREE + "server.4=h4:1:2:observer;[fe80::1%eth0]:9").encode())
    assert membership.voters == (1, 2, 3)
    assert membership.observers == (4,)
    assert membership.texts()[1] == "h1:2888:3888:participant"
    assert membership.member(4) == QuorumServer(
        4, (ServerAddress("h4", 1, 2),), True, "fe80:0:0:0:0:0:0:1%eth0", 9
    )
    assert membership.member(5) is None
    mapped = parse_member(1, "[::ffff:10.0.0.1]:1:2")
    assert str(mapped) == "10.0.0.1:1:2:participant"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("server.4=h4", "'h4' has no ports; expected host:quorumPort:electionPort"),
        ("server.4=h4:2888", "'h4:2888' has no election port"),
        ("server.4=h4:2888:2888", "quorum port and election port are both 2888; they must differ"),
        ("server.4=h4:99999:3888", "quorum port '99999' is not a number from 0 to 65535"),
        ("server.4=h4:2888:-1", "election port '-1' is not"),
        ("server.4=h4:2888:3888:voter", "role 'voter' is neither participant nor observer"),
        ("server.4=2001:db8::1:2888:3888", "an IPv6 address in brackets"),
        ("server.4=[2001:db8::1:2888:3888", r"has no '\]'"),
        ("server.4=[zz::1]:2888:3888", r"\[zz::1\] is not an IPv6 address"),
        ("server.4= h 4 :2888:3888", "has blanks or '=' in it"),
        ("server.4=h4:2888:3888;2181;2182", "more than one ';'"),
        ("server.4=h4:2888:3888;h5 :2181", "'h5 :2181' has blanks or '=' in it"),
        ("server.4=h4:2888: 3888", "election port ' 3888' is not"),
        ("server.4=h4:2888:3888:\xa0observer", r"role '.xa0observer' is neither"),
        ("server.4=:", "':' has no election port"),
        ("server.4=[::1]:", "has no election port"),
        ("server.4=h4:2888:3888; 2181", "client port ' 2181' is not"),
        ("server.4=h4:2888:3888;h:2181:1", r"'h:2181:1' is not \[host:\]port"),
        ("server.4=h4:1:2:observer|h5:1:2:participant", "participant at one address and observer"),
        ("server.x=h4:1:2", "'x' is not a server id"),
        ("server.-4=h4:1:2", "'-4' is not a server id"),
        ("server.=h4:1:2", "'' is not a server id"),
        ("server.9223372036854775808=h4:1:2", "'9223372036854775808' is not a server id"),
        ("server.1=h4:1:2", "is on line 1 already; give each server an id of its own"),
        ("server.01=h4:1:2", "is on line 1 already"),
        ("version=zz", "'zz' is not a version"),
        ("foo=1", "is unknown here"),
        ("groups=1", "is unknown here"),
        ("group.x=1", "'x' is not a group id"),
        ("group.1=1:x", "'x' is not a server id"),
        ("group.1=1:2:3:9", "there is no server.9"),
        ("group.1=1:1:2:3", "server 1 is in it twice"),
        ("weight.1=x", "'x' is not a weight"),
        ("weight.1=-1", "'-1' is not a weight"),
    ],
)
def test_a_mistake_is_named_with_its_line(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_membership((THREE + line).encode("latin-1"))
    assert caught.value.line == 4
    assert caught.value.key == line.partition("=")[0]


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        ("group.1=1:2\ngroup.2=2:3", 5, "server 2 is in group 1 and group 2"),
        ("group.1=1:2", 3, "is in no group"),
        ("weight.1=2", 1, "is in no group"),
        ("group.1=1:2:3:4\nserver.4=h:1:2:observer", 4, "server 4 is an observer"),
        ("group.1=1:2:3\nweight.1=0\nweight.2=0\nweight.3=0", 5, "no participant has any weight"),
    ],
)
def test_groups_hold_every_participant_once(lines: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_membership((THREE + lines).encode())
    assert caught.value.line == line


HOSTS = st.sampled_from(["h", "zk1.example.com", "10.0.0.1", "2001:db8:0:0:0:0:0:1"])
PORTS = st.integers(0, 65535)
ADDRESSES = st.builds(ServerAddress, HOSTS, PORTS, PORTS).filter(
    lambda address: address.quorum_port != address.election_port
)


@given(
    st.lists(ADDRESSES, min_size=1, max_size=3, unique=True),
    st.booleans(),
    st.none() | st.tuples(HOSTS, PORTS),
)
def test_canonical_text_is_read_back(
    addresses: list[ServerAddress], is_observer: bool, client: tuple[str, int] | None
) -> None:
    ordered = sorted(addresses, key=lambda a: (a.host, a.quorum_port, a.election_port))
    member = QuorumServer(7, tuple(ordered), is_observer, *(client or ()))
    assert parse_member(7, str(member)) == member
