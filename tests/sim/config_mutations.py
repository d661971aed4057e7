"""Mistakes that a change of the configuration invites, each a function in place of a right one.

The simulator has to find every one of them (test_config_mutations.py).
"""

from __future__ import annotations

from functools import partial

from pyzk.config.members import Membership
from pyzk.quorum.commands import SaveConfig, StorageCommand
from pyzk.quorum.configurations import Configurations
from pyzk.quorum.leader_config import LeaderConfig
from pyzk.quorum.member import Member
from pyzk.quorum.verifier import QuorumVerifier
from pyzk.sim.disk import SimDisk


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
