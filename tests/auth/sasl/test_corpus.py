"""The tokens that the fuzz has found, each with what became of it."""

from __future__ import annotations

import pytest

from tests.auth.sasl.fuzz import SECRETS, SIDES, load, outcome

CORPUS = load()


@pytest.mark.parametrize("side", SIDES)
def test_every_token_of_the_corpus_ends_as_it_did(side: str) -> None:
    mine = [each for each in CORPUS if each.side == side]
    assert len(mine) > 1
    assert [(each.token, outcome(side, each.token)) for each in mine] == [
        (each.token, each.outcome) for each in mine
    ]


def test_who_came_in_has_known_a_password() -> None:
    taken = [each for each in CORPUS if not each.outcome.startswith("refused: ")]
    for each in taken:
        if each.side == "digest server":
            assert each.outcome.partition(":")[0] in SECRETS
        elif each.side == "request":
            assert "'sasl'" not in each.outcome or "rspauth" in each.outcome


def test_the_corpus_has_every_kind_of_outcome() -> None:
    for side in SIDES:
        outcomes = {each.outcome.startswith("refused: ") for each in CORPUS if each.side == side}
        assert False in outcomes, side
        assert side in ("kerberos name", "request") or True in outcomes, side
