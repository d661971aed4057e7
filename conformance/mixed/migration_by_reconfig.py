"""A live ensemble of Apache ZooKeeper becomes one of pyzk by reconfiguration, on other machines.

Shell.

    python -m conformance.mixed.migration_by_reconfig [--version 3.9]

For each Apache server a pyzk server with an id, ports and a directory of its own is started, added,
and the old one removed and stopped; the leader comes last.  Clients take locks, append, read and
hold ephemerals all the time, and are told of the new addresses; none may lose its session, and
nothing acknowledged may be missing.  Then it goes back in the same way.  docs/migration.md has the
commands for people.
"""

from __future__ import annotations

import sys
import time

from conformance.mixed import changed
from conformance.mixed.changing import ChangingEnsemble
from conformance.mixed.load import Load
from conformance.mixed.members import MixedMember, eventually, implementation
from conformance.mixed.migration import command, say, there_and_back
from conformance.servers import Launcher


def replace_member(
    ensemble: ChangingEnsemble, old: MixedMember, target: Launcher, load: Load
) -> None:
    """Adds a server of the other implementation, then removes one and stops it."""
    role, begin = old.mode(), time.monotonic()
    # It starts with the present members and itself, follows, and is no member yet.
    new = ensemble.come(max(ensemble.members) + 1, target)
    # A member that is not in step would be refused where its vote is needed, and slow elsewhere.
    wanted = ensemble.leader().zxid()
    eventually(f"{new} has {wanted:#x}", lambda: new.zxid() >= wanted)
    ensemble.reconfig(join=[new.sid])
    changed.settle(ensemble)
    load.use(ensemble.hosts)
    load.progress()
    ensemble.reconfig(leave=[old.sid])
    changed.settle(ensemble)
    # The old one goes on serving its clients until it is stopped; they find another one.
    load.use(",".join(host for host in ensemble.hosts.split(",") if host != _host(old)))
    ensemble.leave(old.sid)
    changed.settle(ensemble)
    load.progress()
    say(
        f"member {old.sid}, {role}, {old.launcher.name} -> member {new.sid}, {new.launcher.name},"
        f" now {new.mode()}, after {time.monotonic() - begin:.1f} s;"
        f" member {ensemble.leader().sid} leads, version {ensemble.version:x}"
    )


def _host(member: MixedMember) -> str:
    return f"{member.address[0]}:{member.address[1]}"


def move_ensemble(ensemble: ChangingEnsemble, target: Launcher, load: Load) -> None:
    """Replaces every learner, one after the other, and at last the leader."""
    leader = ensemble.leader()
    for member in sorted(ensemble.running, key=lambda m: (m is leader, m.sid)):
        replace_member(ensemble, member, target, load)
    load.pause()
    say(f"all {target.name}: {changed.all_agree(ensemble)}")
    load.resume()


def migrate(version: str = "3.9") -> str:
    """Migrates an ensemble and back; returns a few words."""
    with ChangingEnsemble([implementation(version)] * 3) as ensemble:
        return there_and_back(ensemble, version, move_ensemble)


if __name__ == "__main__":
    sys.exit(command("migration_by_reconfig", "migration by reconfiguration", migrate))
