"""A live ensemble of Apache ZooKeeper becomes one of pyzk, and back, as docs/migration.md says.

Shell.

    python -m conformance.mixed.migration [--version 3.9]

Three members on three data directories.  Clients take locks, append, read and hold ephemerals all
the time; none may lose its session, and nothing acknowledged may be missing.  Each member in turn
is stopped and started as the other implementation, with the same zoo.cfg on the same directory.
The leader comes last, so that there is one election in each direction and no more.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from conformance.mixed import compare
from conformance.mixed.ensemble import Ensemble
from conformance.mixed.load import Load
from conformance.mixed.members import PYZK, MixedError, MixedMember, eventually, implementation
from conformance.mixed.transaction_logs import sound_hosts
from conformance.oracle import OracleMissingError
from conformance.servers import Launcher

EnsembleOrChanging = TypeVar("EnsembleOrChanging", bound=Ensemble)


def say(text: str) -> None:
    """Prints one line of what happens."""
    print(f"  {text}", flush=True)


def move_member(ensemble: Ensemble, member: MixedMember, target: Launcher, load: Load) -> None:
    """Stops one member and starts it as the other implementation."""
    before, role = member.launcher.name, member.mode()
    # Two of three go on serving; clients of this member find another one.
    member.stop()
    load.progress()
    member.launcher = target
    # A 3.8 server that joins a 3.8 leader while there are writes may lose some of them, without
    # any help of ours (ZOOKEEPER-4394). That is not what is looked at here.
    is_fragile = "3.8" in target.name and "3.8" in ensemble.leader().launcher.name
    if is_fragile:
        load.pause()
    begin = time.monotonic()
    ensemble.start_member(member.sid)
    # Not before it serves again and has caught up may the next one go: a second one that is away
    # would take the quorum with it.
    ensemble.wait_serving([member])
    _wait_caught_up(ensemble, member)
    took_s = time.monotonic() - begin
    load.resume()
    load.progress()
    say(
        f"member {member.sid}, {role}: {before} -> {target.name}, now {member.mode()}, in step"
        f" after {took_s:.1f} s; member {ensemble.leader().sid} leads"
    )


def _wait_caught_up(ensemble: Ensemble, member: MixedMember) -> None:
    """Waits until a member has what the leader has applied by now."""
    wanted = ensemble.leader().zxid()
    eventually(f"{member} has {wanted:#x}", lambda: member.zxid() >= wanted)


def move_ensemble(ensemble: Ensemble, target: Launcher, load: Load) -> None:
    """Moves every learner, one after the other, and at last the leader."""
    leader = ensemble.leader()
    for member in sorted(ensemble.members.values(), key=lambda m: (m is leader, m.sid)):
        move_member(ensemble, member, target, load)
    # A look at all three, which needs a quiet moment: clients wait, their sessions stay.
    load.pause()
    say(f"all {target.name}: {compare.all_agree(ensemble)}")
    load.resume()


def there_and_back(
    ensemble: EnsembleOrChanging,
    version: str,
    move: Callable[[EnsembleOrChanging, Launcher, Load], None],
) -> str:
    """Moves an ensemble of the original to pyzk and back while clients work; returns a few
    words."""
    original = implementation(version)
    ensemble.start()
    with Load(ensemble.hosts) as load:
        load.start()
        load.progress()
        say(f"three times {original.name}, member {ensemble.leader().sid} leads")
        move(ensemble, implementation(PYZK), load)
        move(ensemble, original, load)
        return load.finish(sound_hosts(ensemble))


def migrate(version: str = "3.9") -> str:
    """Migrates an ensemble and back; returns a few words."""
    with Ensemble([implementation(version)] * 3) as ensemble:
        return there_and_back(ensemble, version, move_ensemble)


def command(module: str, title: str, migrate: Callable[[str], str]) -> int:
    """Runs a migration as the command line of ``module`` asks; returns the exit status: 1 when
    something was lost on the way."""
    parser = argparse.ArgumentParser(prog=f"python -m conformance.mixed.{module}")
    parser.add_argument("--version", default="3.9", help="of the original")
    version = parser.parse_args().version
    begin = time.monotonic()
    try:
        words = migrate(version)
    except OracleMissingError as missing:
        print(f"{title}: SKIPPED: {missing}")
        return 0
    except MixedError as error:
        print(f"{title}: FAILED: {error}")
        return 1
    print(f"{title}, there and back, in {time.monotonic() - begin:.0f} s: {words}")
    return 0


if __name__ == "__main__":
    sys.exit(command("migration", "migration", migrate))
