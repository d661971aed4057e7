"""Quorums: majorities, weights, groups; who is counted, and for which configurations."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.config.members import parse_membership
from pyzk.errors import ConfigError
from pyzk.quorum.proposals import AckTally
from pyzk.quorum.verifier import (
    QuorumHierarchical,
    QuorumMaj,
    QuorumVerifier,
    verifier_of,
)

NINE = range(1, 10)
THREE_GROUPS = {1: (1, 2, 3), 2: (4, 5, 6), 3: (7, 8, 9)}


def subsets(sids: tuple[int, ...]) -> list[set[int]]:
    sizes = range(len(sids) + 1)
    return [set(each) for each in chain.from_iterable(combinations(sids, size) for size in sizes)]


@pytest.mark.parametrize(
    ("voters", "needed"), [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)]
)
def test_a_majority_is_more_than_half(voters: int, needed: int) -> None:
    verifier = QuorumMaj(range(1, voters + 1))
    assert verifier.has_quorum(set(range(1, needed + 1))) is (needed <= voters)
    assert not verifier.has_quorum(set(range(1, needed)))


def test_observers_and_strangers_do_not_count() -> None:
    verifier = QuorumMaj([1, 2, 3], observers=[4, 5])
    assert not verifier.has_quorum({1, 4, 5, 6})
    assert verifier.has_quorum({1, 2, 4})
    groups = QuorumHierarchical([1, 2, 3], [4, 5], groups={1: [1, 2, 3, 4, 5]})
    assert not groups.has_quorum({1, 4, 5, 6})
    assert groups.has_quorum({1, 2}), "observers do not weigh in the whole either"


def test_a_majority_weighs_everybody_alike_even_the_unknown() -> None:
    assert [QuorumMaj([1, 2, 3], [4]).weight(sid) for sid in (1, 4, 99)] == [1, 1, 1]


def test_groups_need_a_majority_of_groups_with_a_majority_in_each() -> None:
    verifier = QuorumHierarchical(NINE, groups=THREE_GROUPS)
    assert verifier.has_quorum({1, 2, 4, 5}), "four of nine, but two groups of three"
    assert not verifier.has_quorum({1, 2, 3, 4, 7}), "five of nine, but one group"
    assert not verifier.has_quorum(set())


def test_weights_count_instead_of_heads() -> None:
    verifier = QuorumHierarchical([1, 2, 3], groups={1: [1, 2, 3]}, weights={1: 3})
    assert verifier.has_quorum({1}), "3 of 5"
    assert not verifier.has_quorum({2, 3}), "2 of 5"
    even = QuorumHierarchical([1, 2], groups={1: [1, 2]}, weights={1: 2, 2: 2})
    assert not even.has_quorum({1}), "2 of 4 is not more than half"
    assert even.has_quorum({1, 2})


def test_a_group_without_weight_is_no_group() -> None:
    weights = {4: 0, 5: 0, 6: 0, 7: 0, 8: 0, 9: 0}
    verifier = QuorumHierarchical(NINE, groups=THREE_GROUPS, weights=weights)
    assert verifier.has_quorum({1, 2})
    assert not verifier.has_quorum({1, *range(4, 10)})
    nothing = QuorumHierarchical([1], groups={1: [1]}, weights={1: 0})
    assert not nothing.has_quorum({1})


def test_weights_default_to_1_and_the_unknown_weighs_nothing() -> None:
    verifier = QuorumHierarchical([1, 2], groups={1: [1, 2]}, weights={1: 0})
    assert [verifier.weight(sid) for sid in (1, 2, 3)] == [0, 1, 0]


@pytest.mark.parametrize(
    "verifier",
    [
        QuorumMaj([1, 2, 3, 4]),
        QuorumMaj([1, 2, 3, 4, 5]),
        QuorumHierarchical(NINE, groups=THREE_GROUPS),
        QuorumHierarchical(range(1, 8), groups={1: [1, 2, 3], 2: [4, 5], 3: [6, 7]}),
        QuorumHierarchical(range(1, 6), groups={1: range(1, 6)}, weights={1: 4, 2: 0}),
    ],
    ids=["4", "5", "groups", "uneven groups", "weights"],
)
def test_two_quorums_have_a_voter_in_common(verifier: QuorumVerifier) -> None:
    quorums = [each for each in subsets(verifier.voters) if verifier.has_quorum(each)]
    assert quorums
    for left in quorums:
        assert all(left & right for right in quorums)


@given(st.sets(st.integers(1, 9)), st.sets(st.integers(1, 9)), st.lists(st.integers(0, 4)))
def test_more_acks_never_end_a_quorum(few: set[int], more: set[int], weights: list[int]) -> None:
    verifiers = [
        QuorumMaj(range(1, 8)),
        QuorumHierarchical(
            NINE, groups=THREE_GROUPS, weights=dict(zip(NINE, weights, strict=False))
        ),
    ]
    for verifier in verifiers:
        assert not verifier.has_quorum(few) or verifier.has_quorum(few | more)


def test_mistakes_in_a_configuration_are_named() -> None:
    with pytest.raises(ConfigError, match="server 2 is both a participant and an observer"):
        QuorumMaj([1, 2], observers=[2])
    with pytest.raises(ConfigError, match="server 2 is in group 1 and in group 2"):
        QuorumHierarchical([1, 2], groups={1: [1, 2], 2: [2]})
    with pytest.raises(ConfigError, match="weight of server 1 is negative: -1"):
        QuorumHierarchical([1], groups={1: [1]}, weights={1: -1})


def test_one_version_is_one_configuration_whatever_it_holds() -> None:
    assert QuorumMaj([1, 2], version=7).is_same_config(QuorumMaj([1, 2, 3], version=7))


def test_other_versions_are_one_configuration_if_their_content_is_equal() -> None:
    servers = {1: "a:1:2:participant", 2: "b:1:2:observer"}
    base = QuorumMaj([1], [2], version=1, servers=servers)

    def maj(*args: list[int], addresses: dict[int, str] = servers) -> QuorumMaj:
        return QuorumMaj(*args, version=2, servers=addresses)

    assert base.is_same_config(maj([1], [2], addresses=dict(reversed(servers.items()))))
    assert not base.is_same_config(maj([1, 2]))
    assert not base.is_same_config(maj([1], [2], addresses=servers | {1: "c:1:2:participant"}))
    assert not base.is_same_config(maj([1], [3]))


def test_groups_and_weights_are_part_of_a_configuration() -> None:
    def groups(
        members: dict[int, list[int]], weights: dict[int, int], version: int
    ) -> QuorumVerifier:
        return QuorumHierarchical([1, 2], groups=members, weights=weights, version=version)

    base = groups({1: [1, 2]}, {1: 2}, 1)
    assert base.is_same_config(groups({1: [2, 1]}, {1: 2, 2: 1}, 2))
    assert not base.is_same_config(groups({1: [1], 2: [2]}, {1: 2}, 2))
    assert not base.is_same_config(groups({1: [1, 2]}, {1: 3}, 2))
    assert not base.is_same_config(QuorumMaj([1, 2], version=2))
    assert not QuorumMaj([1, 2], version=2).is_same_config(base)


def test_a_configuration_with_groups_makes_a_hierarchical_verifier() -> None:
    lines = [
        "server.1=a:1:2:participant;1", "server.2=b:1:2:participant;1",
        "server.3=c:1:2:participant;1", "server.4=d:1:2:observer;1",
    ]  # fmt: skip
    plain = verifier_of(parse_membership("\n".join([*lines, "version=1f"]).encode()))
    assert isinstance(plain, QuorumMaj)
    assert (plain.voters, plain.observers, plain.version) == ((1, 2, 3), (4,), 31)
    assert plain.servers[4] == "d:1:2:observer;0.0.0.0:1"
    lines += ["group.1=1:2:3", "weight.1=3", "weight.2=1", "weight.3=1"]
    groups = verifier_of(parse_membership("\n".join(lines).encode()))
    assert isinstance(groups, QuorumHierarchical)
    assert groups.has_quorum({1})
    assert not groups.has_quorum({2, 3, 4})


def test_members_are_voters_and_observers() -> None:
    verifier = QuorumMaj([3, 1, 3], [5])
    assert verifier.voters == (1, 3)
    assert [verifier.is_member(sid) for sid in (1, 2, 5)] == [True, False, True]


def test_a_tally_needs_a_quorum_of_every_verifier() -> None:
    tally = AckTally([QuorumMaj([1, 2, 3], [4]), QuorumMaj([3, 4, 5])])
    acks = tally.bit(1) | tally.bit(2)
    assert not tally.is_quorum(acks), "the next configuration has none"
    acks |= tally.bit(4)
    assert not tally.is_quorum(acks | tally.bit(4)), "again is no second ack"
    assert tally.is_quorum(acks | tally.bit(3))


def test_a_tally_counts_voters_only() -> None:
    tally = AckTally([QuorumMaj([1, 2, 3], [4]), QuorumMaj([1, 2, 4])])
    assert tally.bit(9) == 0
    assert not tally.is_quorum(tally.bit(1) | tally.bit(4)), "4 observes in the first"
    assert tally.is_quorum(tally.bit(1) | tally.bit(2))
