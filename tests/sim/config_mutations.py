"""Mistakes that a change of the configuration invites, each a function in place of a right one.

The simulator has to find every one of them (test_config_mutations.py).
"""

from __future__ import annotations

from functools import partial

import attrs

from pyzk.config.members import Membership
from pyzk.quorum.commands import SaveConfig, StorageCommand
from pyzk.quorum.configurations import Configurations
from pyzk.quorum.leader_config import LeaderConfig
from pyzk.quorum.member import Member
from pyzk.quorum.verifier import QuorumVerifier
from pyzk.sim.disk import SimDisk
from pyzk.zxid import make


def old_quorum_only(configs: Configurations) -> tuple[QuorumVerifier, ...]:
    """A change needs a quorum of the configuration in force only."""
    return (configs.verifier,)


def new_quorum_only(configs: Configurations) -> tuple[QuorumVerifier, ...]:
    """A change needs a quorum of the next configuration only."""
    return (configs.last_seen_verifier,)


_true_see = Member.see_config
_true_plan = LeaderConfig.plan
_true_activate = LeaderConfig.activate


def hasty_see(member: Member, proposed: Membership) -> None:
    """A configuration is in force as soon as it is proposed."""
    _true_see(member, proposed)
    member.activate_config(proposed, None, 0)


def careless_plan(config: LeaderConfig, *arguments: object) -> object:
    """A change is accepted while another one is under way."""
    configs = config._member.configs
    committed = configs.committed
    configs.committed = configs.last_seen
    try:
        return _true_plan(config, *arguments)  # type: ignore[arg-type]
    finally:
        configs.committed = committed


def forgetful_begin(config: LeaderConfig) -> None:
    """A new leader does not complete the change that it finds."""
    config._member.configs.forget_proposed()
    config.tally.use(config._member.configs.verifiers)
    _true_begin(config)


_true_begin = LeaderConfig.begin_epoch


def numbering_begin(config: LeaderConfig) -> None:
    """A new leader gives the version (epoch, 0) to whatever it has in force, not only to lines that
    a person wrote."""
    configs = config._member.configs
    version = make(config._master.epoch, 0)
    config._member.see_config(attrs.evolve(configs.committed, version=version))
    config.tally.use(configs.verifiers)
    _true_begin(config)


def former_begin(config: LeaderConfig) -> None:
    """A new leader that goes by lines of a person numbers them without the observers."""
    configs = config._member.configs
    if not configs.last_seen.version:
        voters = tuple(each for each in configs.committed.members if not each.is_observer)
        configs.committed = configs.last_seen = attrs.evolve(configs.committed, members=voters)
    _true_begin(config)


def told_at_once(*_arguments: object) -> bool:
    """Followers that cannot be elected yet hear of a change at once."""
    return False


def no_adoption(*_arguments: object) -> bool:
    """A member that looks for a leader passes over later configurations of others."""
    return False


class ProposalNotSaved(SimDisk):
    """A configuration that is proposed is not in its file when its record is durable."""

    def command(self, command: StorageCommand) -> None:
        if isinstance(command, SaveConfig) and not command.is_active and self.rng.random() < 0.5:
            self.later(0, partial(self.answers.stored, command.ticket))
        else:
            super().command(command)
