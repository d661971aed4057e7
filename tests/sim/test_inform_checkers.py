"""Tests of the checker of what an observer master sends."""

from __future__ import annotations

import pytest

from pyzk.quorum import packets
from pyzk.quorum.authentication import MAGIC_BYTES
from pyzk.sim.checkers import Violation
from pyzk.sim.checkers.chain import Chain
from pyzk.sim.checkers.informs import InformChecker
from pyzk.zxid import make


def informs(beginning: int, zxid: int, *following: int) -> bytes:
    return packets.encode_bare(beginning, zxid) + b"".join(
        packets.encode_packet(packets.INFORM, each, b"") for each in following
    )


def test_an_observer_hears_of_everything_behind_what_it_was_given() -> None:
    checker = InformChecker(Chain(lambda _zxid, _payload: None))
    checker.sent("h2", "one", informs(packets.DIFF, make(1, 2), make(1, 3), make(1, 4)))
    data = informs(packets.TRUNC, make(1, 1), make(1, 2))
    checker.sent("h2", "two", data[:30])
    checker.sent("h2", "two", data[30:])


@pytest.mark.parametrize("size", [1, 7, 19, 200])
def test_members_may_log_in_first(size: int) -> None:
    token, nothing = (MAGIC_BYTES + b"\0\0\0\1" + each for each in (b"\0\0\0\3abc", b"\xff" * 4))
    data = token + nothing + token + informs(packets.DIFF, make(1, 2), make(1, 3), make(1, 5))
    checker = InformChecker(Chain(lambda _zxid, _payload: None))
    with pytest.raises(Violation, match="h2 sends 0x100000005"):
        for at in range(0, len(data), size):
            checker.sent("h2", "one", data[at : at + size])


@pytest.mark.parametrize("following", [(4,), (3, 5), (3, 3), (2,)])
def test_a_hole_in_what_an_observer_hears_is_a_violation(following: tuple[int, ...]) -> None:
    checker = InformChecker(Chain(lambda _zxid, _payload: None))
    with pytest.raises(Violation, match="h2 sends"):
        zxids = [make(1, each) for each in following]
        checker.sent("h2", "one", informs(packets.DIFF, make(1, 2), *zxids))
