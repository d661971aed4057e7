"""Mistakes of observer masters, and of members whose configuration cannot be saved.

The simulator has to find every one of them (test_master_mutations.py).
"""

from __future__ import annotations

import pytest

from pyzk.quorum.follower import Follower
from pyzk.quorum.member import Member
from pyzk.quorum.observer_master import ObserverMaster
from pyzk.quorum.unsaved_configs import UnsavedConfigs


def forget_pending(patched: pytest.MonkeyPatch) -> None:
    """A new observer master does not send on what was proposed before it (ZOOKEEPER-5088)."""
    pending: dict[ObserverMaster, set[int]] = {}
    true_take, true_committed = Follower._take_observers, ObserverMaster.committed

    def take(follower: Follower) -> None:
        true_take(follower)
        if follower.observers is not None:
            queue = follower.sync.uncommitted.queue
            pending[follower.observers] = {zxid for zxid, _, _ in queue}

    def committed(master: ObserverMaster, zxid: int, payload: bytes) -> None:
        if zxid not in pending[master]:
            true_committed(master, zxid, payload)

    patched.setattr(Follower, "_take_observers", take)
    patched.setattr(ObserverMaster, "committed", committed)


def never_try_again(patched: pytest.MonkeyPatch) -> None:
    """A configuration that could not be saved is not tried again."""
    patched.setattr(UnsavedConfigs, "_try_again", _nothing)


def pass_over_the_log(patched: pytest.MonkeyPatch) -> None:
    """A start goes by its files, although its log knows of a later configuration."""
    patched.setattr(Member, "see_config_of_database", _nothing)


def _nothing(_owner: object) -> None:
    """Does nothing."""
