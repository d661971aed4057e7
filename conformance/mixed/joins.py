"""Members that come late, and how the leader brings them up to its history.

Shell.

Which way was taken is read in the learner's log: both implementations say it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from conformance import wire
from conformance.mixed import compare, transaction_logs
from conformance.mixed.ensemble import Ensemble
from conformance.mixed.members import MixedMember, check, eventually, implementation

WORDS: Final = (
    (re.compile(r"Getting a diff from the leader|synchronization with server \d+: DIFF"), "DIFF"),
    (re.compile(r"Getting a snapshot from leader|synchronization with server \d+: SNAP"), "SNAP"),
    (re.compile(r"Truncating log to get in sync|synchronization with server \d+: TRUNC"), "TRUNC"),
)
WRITES: Final = 25
NEVER: Final = "/never"
"""The node whose creation a leader logs and no other member hears of."""


def synchronizations(member: MixedMember) -> list[str]:
    """Returns in which ways the last process of a member was brought up to date."""
    found = []
    for line in member.log.read_text(errors="replace").splitlines():
        found += [name for pattern, name in WORDS if pattern.search(line)]
    return found


def write(ensemble: Ensemble, sid: int, top: str, count: int = WRITES) -> None:
    """Creates a node with children and values through one member."""
    client = ensemble.client(sid)
    client.call("create", wire.create(top))
    for number in range(count):
        client.call("create", wire.create(f"{top}/n{number}", b"%d" % number))
        client.call("setData", wire.set_data(top, b"%d" % number))
        if number % 5 == 4:
            client.call("delete", wire.path_version(f"{top}/n{number}"))
    client.close_session()


def _join(ensemble: Ensemble, sid: int, expected: str) -> str:
    """Starts a member; checks the way in which it is brought up to date, and what it then has."""
    ensemble.start_member(sid)
    ensemble.wait_serving()
    member = ensemble[sid]
    ways = synchronizations(member)
    check(ways == [expected], f"{member}, led by {ensemble.leader()}: {ways}, not {expected}")
    write(ensemble, sid, "/through-the-late-one")
    words = compare.all_agree(ensemble)
    # What came by the network only must be on its disk, too.
    member.kill()
    ensemble.start_member(sid)
    ensemble.wait_serving()
    compare.all_agree(ensemble)
    return f"{member} joined {ensemble.leader()} by {expected}; {words}"


def by_diff(names: Sequence[str], observers: Sequence[str] = ()) -> str:
    """The first member (or the observer) was away for some writes."""
    with _ensemble(names, observers) as ensemble:
        ensemble.start(leader=len(names))
        late = len(names) + 1 if observers else 1
        write(ensemble, late, "/before")
        ensemble[late].stop()
        write(ensemble, len(names), "/meanwhile")
        return _join(ensemble, late, "DIFF")


def by_snapshot(names: Sequence[str], observers: Sequence[str] = ()) -> str:
    """The first member (or the observer) comes back with nothing."""
    with _ensemble(names, observers) as ensemble:
        ensemble.start(leader=len(names))
        late = len(names) + 1 if observers else 1
        write(ensemble, late, "/before")
        keeper = ensemble.client(2)
        keeper.call("create", wire.create("/ephemeral", b"e", flags=1))
        ensemble[late].kill()
        ensemble[late].wipe()
        write(ensemble, len(names), "/meanwhile")
        return _join(ensemble, late, "SNAP")


def by_truncation(names: Sequence[str]) -> str:
    """A leader logs what no follower hears, is killed, and comes back when another one leads."""
    with _abandoned(names) as ensemble:
        words = _join(ensemble, 3, "TRUNC")
        _check_forgotten(ensemble)
        return words


def by_snapshot_after_another_epoch(names: Sequence[str]) -> str:
    """A leader comes back as in `by_truncation`, and there was another epoch meanwhile."""
    with _abandoned(names) as ensemble:
        write(ensemble, 1, "/meanwhile")
        words = _join(ensemble, 3, "SNAP")
        _check_forgotten(ensemble)
        return words


def _ensemble(names: Sequence[str], observers: Sequence[str] = ()) -> Ensemble:
    voters = [implementation(name) for name in names]
    return Ensemble(voters, [implementation(name) for name in observers])


def _abandoned(names: Sequence[str]) -> Ensemble:
    """Returns an ensemble whose member 3 led, logged what only it knows, and was killed."""
    ensemble = Ensemble([implementation(name) for name in names], gated=True)
    try:
        ensemble.start(leader=3)
        write(ensemble, 1, "/before")
        ensemble.wait_in_step()
        client = ensemble.client(3)
        ensemble.wait_in_step()
        for gate in ensemble.gates.values():
            gate.hold()
        client.send("create", wire.create(NEVER))
        eventually(f"{ensemble[3]} logs what it proposes", lambda: _has_logged(ensemble[3]), 5)
        ensemble[3].kill()
        for gate in ensemble.gates.values():
            gate.drop()
        ensemble.wait_serving()
        leader = ensemble.leader()
        check(leader.sid == 2, f"{leader} leads, not {ensemble[2]}")
    except BaseException as error:
        ensemble.__exit__(type(error), error, None)
        raise
    return ensemble


def _has_logged(member: MixedMember) -> bool:
    last = list(member.files("log"))[-1]
    return any(NEVER.encode() in payload for _, payload in transaction_logs.read_log(last))


def _check_forgotten(ensemble: Ensemble) -> None:
    for member in ensemble.running:
        check(not _has_logged(member), f"{member} still has what was never committed")
