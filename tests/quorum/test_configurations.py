"""The two configurations of a member, one of which may be under way."""

from __future__ import annotations

from pyzk.config.members import Membership, parse_member
from pyzk.quorum.configurations import Configurations


def config(version: int, *sids: int) -> Membership:
    members = tuple(parse_member(sid, f"h{sid}:1:2") for sid in sids or (1, 2, 3))
    return Membership(members, version)


def quorums(configs: Configurations) -> list[int]:
    return [each.version for each in configs.verifiers]


def test_a_proposed_configuration_is_under_way_until_it_is_in_force() -> None:
    configs = Configurations(config(1), None, is_enabled=True)
    assert (configs.is_under_way, quorums(configs)) == (False, [1])
    assert configs.see(config(3, 1, 2))
    assert (configs.is_under_way, quorums(configs)) == (True, [1, 3])
    assert configs.activate(config(2))
    assert quorums(configs) == [2, 3], "another one came in force, which this one follows"
    assert configs.activate(config(3, 1, 2))
    assert (configs.is_under_way, quorums(configs)) == (False, [3])
    assert configs.verifier.voters == (1, 2)


def test_only_later_configurations_are_taken() -> None:
    configs = Configurations(config(5), config(4), is_enabled=True)
    assert configs.last_seen.version == 5
    assert not configs.see(config(5, 1))
    assert not configs.activate(config(5, 1))
    assert not configs.activate(config(4, 1))
    assert configs.verifier.voters == (1, 2, 3)


def test_a_proposal_that_will_not_be_committed_is_forgotten() -> None:
    configs = Configurations(config(1), config(2, 1), is_enabled=True)
    assert configs.forget_proposed()
    assert quorums(configs) == [1]
    assert not configs.forget_proposed()


def test_without_reconfigenabled_nothing_changes() -> None:
    configs = Configurations(config(1), config(2, 1), is_enabled=False)
    assert not configs.is_under_way
    assert not configs.see(config(3))
    assert not configs.activate(config(3))
    assert quorums(configs) == [1]
