"""Whole ensembles whose members prove to each other who they are, with crashes, cuts and changes.

Two members may be one step apart on the way from no logins to required ones.
"""

from __future__ import annotations

from itertools import pairwise

import attrs
import pytest

from pyzk.config.ensemble import EnsembleConfig
from pyzk.config.jaas import Login
from pyzk.config.sasl import QuorumSaslConfig
from pyzk.sim import machine
from pyzk.sim.options import Options
from pyzk.sim.run import simulate
from pyzk.sim.settings import ensemble_config

SERVER = Login(section="QuorumServer", users={"member": "secret"})
LEARNER = Login(section="QuorumLearner", users={}, user="member", password="secret")
WRONG = Login(section="QuorumLearner", users={}, user="member", password="wrong")


def step(learner: bool, server: bool, login: Login = LEARNER) -> QuorumSaslConfig:
    return QuorumSaslConfig(
        server=SERVER, learner=login, learner_requires=learner, server_requires=server
    )


STEPS = (None, step(False, False), step(True, False), step(True, True))


def run(
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    steps: tuple[QuorumSaslConfig | None, ...],
    **options: object,
) -> str:
    """Run a seed in which the members are at these steps in turn; return what was violated."""

    def told(options: Options, found: EnsembleConfig) -> EnsembleConfig:
        made = ensemble_config(options, found)
        return attrs.evolve(made, quorum_sasl=steps[made.my_sid % len(steps)])

    monkeypatch.setattr(machine, "ensemble_config", told)
    result = simulate(seed, overrides=options)
    return result.violation or ""


@pytest.mark.parametrize("seed", range(1, 5))
def test_an_ensemble_with_logins_is_clean(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    assert not run(monkeypatch, seed, STEPS[3:])


@pytest.mark.parametrize("steps", [*pairwise(STEPS)])
@pytest.mark.parametrize("seed", [11, 1010, 1016])
def test_members_one_step_apart_are_clean(
    monkeypatch: pytest.MonkeyPatch, seed: int, steps: tuple[QuorumSaslConfig | None, ...]
) -> None:
    assert not run(monkeypatch, seed, steps)


def test_members_that_do_not_know_the_password_make_no_ensemble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run(monkeypatch, 1, (step(True, True, WRONG),))
