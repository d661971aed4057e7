"""Situations in which a member of this project, or all, once looked for a leader for ever.

Shell.

Each begins with members that have different views of the configuration, or are told by a message of
another one what it is.  All must serve afterwards, and also when the leader is lost after that.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import Final

from conformance.mixed import changed
from conformance.mixed.changes import Changes
from conformance.mixed.changing import ChangingMember
from conformance.mixed.members import check, implementation


def _restart(run: Changes, sids: Sequence[int]) -> None:
    """Stops and starts members, one after the other."""
    for sid in sids:
        run.ensemble[sid].stop()
        run.ensemble.start_member(sid)
        run.settled()


def _lose_leader(run: Changes) -> None:
    """Kills the leader; the others serve without it, and it comes back."""
    leader = run.ensemble.leader()
    leader.kill()
    run.settled()
    run.ensemble.start_member(leader.sid)
    run.settled()


def after_removal(names: Sequence[str], leaving: int) -> str:
    """A voter is removed, and each that stays is started again."""
    with Changes(names) as run:
        run.ensemble.reconfig(leave=[leaving])
        run.settled()
        run.ensemble.leave(leaving)
        _restart(run, list(run.ensemble.members))
        return run.finish()


def after_addition(names: Sequence[str], newcomer: str, is_observer: bool) -> str:
    """A member is added, each is started again, and the leader is lost."""
    with Changes(names) as run:
        run.ensemble.come(4, implementation(newcomer), is_observer=is_observer)
        run.ensemble.reconfig(join=[4])
        run.settled()
        _restart(run, list(run.ensemble.members))
        _lose_leader(run)
        return run.finish()


def without_client_part(line: str) -> str:
    """Returns a server line that does not say where clients connect."""
    return line.partition(";")[0]


def with_name(line: str) -> str:
    """Returns a server line with the name of the host."""
    return line.replace("127.0.0.1", "localhost")


SPELLINGS: Final[dict[str, Callable[[str], str]]] = {
    "localhost": with_name,
    "no-client-part": without_client_part,
}


def with_another_spelling(names: Sequence[str], spelling: str) -> str:
    """The first member's files name all members otherwise than the others'; the leader is lost, and
    the next one, too."""

    def prepare(member: ChangingMember) -> None:
        member.spelling = SPELLINGS[spelling]
        member.extra = {"clientPort": str(member.client_port), "clientPortAddress": "127.0.0.1"}

    with Changes(names, {1: prepare}) as run:
        for _ in names:
            _lose_leader(run)
        return run.finish()


def designated(names: Sequence[str]) -> str:
    """The leader gets another quorum port while member 2 is stopped: the first one is designated,
    and all follow it.

    Nobody writes meanwhile.  Who has more than the designated one, as its former leader may, cannot
    follow it, and there is an election instead.
    """
    with Changes(names) as run:
        ensemble = run.ensemble
        run.pause()
        ensemble[2].signal(signal.SIGSTOP)
        ensemble[3].move(quorum=True)
        ensemble.reconfig(join=[3])
        ensemble[2].signal(signal.SIGCONT)
        changed.settle(ensemble)
        check(ensemble.leader().sid == 1, f"{ensemble.leader()} leads, the first was designated")
        run.resume()
        run.settled()
        _lose_leader(run)
        return run.finish()
