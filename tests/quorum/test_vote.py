"""Votes: the total order, and which votes count for one leader."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyzk.quorum.vote import NOBODY, PeerState, Vote

LOOKING, FOLLOWING, LEADING = PeerState.LOOKING, PeerState.FOLLOWING, PeerState.LEADING
numbers = st.integers(-2, 2)
votes = st.builds(Vote, numbers, numbers, numbers, numbers)


def key(vote: Vote) -> tuple[int, int, int]:
    return vote.peer_epoch, vote.zxid, vote.leader


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Vote(1, 0, 1, 2), Vote(9, 99, 1, 1)),  # the epoch first
        (Vote(1, 0x1_00000000, 1, 1), Vote(9, 5, 1, 1)),  # then the zxid
        (Vote(2, 5, 1, 1), Vote(1, 5, 1, 1)),  # then the sid
        (Vote(1, 5, 1, 2), Vote(1, 0x9_00000000, 1, 1)),  # not the epoch of the zxid
        (Vote(1, 0, 1, 0), Vote(NOBODY, NOBODY, 1, NOBODY)),  # all signed
    ],
)
def test_the_order_is_epoch_zxid_sid(better: Vote, worse: Vote) -> None:
    assert better.is_greater(worse)
    assert not worse.is_greater(better)


def test_the_round_does_not_make_a_vote_better() -> None:
    assert not Vote(1, 5, 9, 1).is_greater(Vote(1, 5, 1, 1))


@given(votes, votes)
def test_the_order_is_total(one: Vote, other: Vote) -> None:
    assert one.is_greater(other) == (key(one) > key(other))


def test_looking_votes_agree_in_all_four_fields() -> None:
    base = Vote(1, 5, 2, 1)
    assert base.agrees_with(Vote(1, 5, 2, 1))
    for other in (Vote(2, 5, 2, 1), Vote(1, 6, 2, 1), Vote(1, 5, 3, 1), Vote(1, 5, 2, 2)):
        assert not base.agrees_with(other)


@pytest.mark.parametrize("states", [(LOOKING, FOLLOWING), (LEADING, LOOKING)])
def test_one_looking_vote_makes_the_comparison_strict(states: tuple[int, int]) -> None:
    ours, theirs = states
    assert Vote(1, 5, 2, 1, ours, 2).agrees_with(Vote(1, 5, 2, 1, theirs, 2))
    assert not Vote(1, 5, 2, 1, ours, 2).agrees_with(Vote(1, 6, 2, 1, theirs, 2))
    assert not Vote(1, 5, 2, 1, ours, 0).agrees_with(Vote(1, 5, 3, 1, theirs, 2))


def test_votes_of_those_who_have_elected_agree_in_leader_and_epoch() -> None:
    base = Vote(1, 5, 2, 1, FOLLOWING, 2)
    assert base.agrees_with(Vote(1, 6, 3, 1, LEADING, 2)), "zxid and round are unreliable"
    assert not base.agrees_with(Vote(1, 5, 2, 2, LEADING, 2))
    assert not base.agrees_with(Vote(2, 5, 2, 1, LEADING, 2))
    old = Vote(1, 5, 2, 1, FOLLOWING, 0)
    assert not old.agrees_with(Vote(1, 5, 2, 2, LEADING, 0)), "both old: the epoch counts"


def test_beside_a_vote_in_an_old_format_only_the_leader_counts() -> None:
    old = Vote(1, 5, 2, 7, FOLLOWING, 0)
    for version in (1, 2):
        assert old.agrees_with(Vote(1, 9, 3, 1, LEADING, version))
        assert not old.agrees_with(Vote(2, 5, 2, 7, LEADING, version))


def test_agreement_is_mutual() -> None:
    fields = product((1, 2), (5, 6), (1, 2), (LOOKING, FOLLOWING), (0, 2))
    every = [Vote(leader, 5, round_, epoch, state, version)
             for leader, round_, epoch, state, version in fields]  # fmt: skip
    for one, other in product(every, every):
        assert one.agrees_with(other) == other.agrees_with(one)
        assert one.agrees_with(one)


def test_a_vote_shows_what_matters() -> None:
    assert repr(Vote(3, -1, 2, 1, LEADING)) == (
        "LEADING for 3 (epoch 1, zxid 0xffffffffffffffff, round 2)"
    )
