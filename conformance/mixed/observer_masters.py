"""Observers that follow observer masters, of either kind, while clients work.

Shell.

Every member has an address of its own (127.0.0.2 and up): an observer looks for masters at one port
of all voters.  Whom it is connected to is read from the kernel.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from conformance.mixed import changed, exercise
from conformance.mixed.changing import ChangingEnsemble, ChangingMember
from conformance.mixed.load import Load
from conformance.mixed.members import (
    MixedMember,
    check,
    eventually,
    implementation,
)
from conformance.mixed.transaction_logs import sound_hosts
from conformance.servers import Launcher
from pyzk.runtime.free_ports import free_port

ESTABLISHED: Final = "01"
EXERCISES: Final = tuple(part for part in exercise.ALL if part is not exercise.sessions_move)
"""Two observers of one master are one to the leader, which does not see that a session moves."""


class HostedMember(ChangingMember):
    """A member with a host of its own."""

    @property
    def own_host(self) -> str:
        """The address of its host."""
        return f"127.0.0.{self.sid + 1}"

    def server_line(
        self,
        quorum_port: int | None = None,
        election_port: int | None = None,
        *,
        host: str = "",
    ) -> str:
        """Returns what a configuration says of this member."""
        return super().server_line(quorum_port, election_port, host=self.own_host)


class ObservedEnsemble(ChangingEnsemble):
    """Voters that are observer masters, and observers."""

    def __init__(self, voters: Sequence[Launcher], observers: Sequence[Launcher]) -> None:
        self.master_port = free_port()
        super().__init__(voters, observers, {"observerMasterPort": str(self.master_port)})

    def new_member(self, sid: int, launcher: Launcher, is_observer: bool) -> HostedMember:
        return HostedMember(sid, launcher, self.new_folder(sid), is_observer)

    def master_of(self, observer: MixedMember) -> MixedMember | None:
        """Returns the voter whose port for observers an observer is connected to."""
        assert observer.process is not None
        hosts = set(_hosts_at(observer.process.pid, self.master_port))
        found = [m for m in self.members.values() if f"127.0.0.{m.sid + 1}" in hosts]
        return found[0] if len(found) == 1 else None

    def _has_master(self, observer: MixedMember) -> bool:
        return self.master_of(observer) is not None

    def wait_masters(self) -> None:
        """Waits until every observer has a master, which never is the leader."""
        for member in self.running:
            if member.is_observer:
                eventually(f"{member} has a master", partial(self._has_master, member))
                master = self.master_of(member)
                check(master is not self.leader(), f"{member} follows the leader, {master}")


def _hosts_at(pid: int, port: int) -> Iterator[str]:
    """Yields the hosts to which a process has a connection at a port."""
    own = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own.add(os.readlink(descriptor))
        except FileNotFoundError:  # closed meanwhile
            continue
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            host, _, hexadecimal = fields[2].rpartition(":")
            if fields[3] != ESTABLISHED or int(hexadecimal, 16) != port:
                continue
            if f"socket:[{fields[9]}]" in own:
                # An IPv4 address that is mapped into IPv6 stands at the end.
                yield socket.inet_ntoa(struct.pack("<I", int(host[-8:], 16)))


def follow_masters(names: Sequence[str], observers: Sequence[str]) -> str:
    """All exercises through each member; then each observer's master is lost, and the leader; and
    a voter's address changes."""
    voters, others = ([implementation(n) for n in kinds] for kinds in (names, observers))
    with ObservedEnsemble(voters, others) as ensemble:
        ensemble.start(leader=len(names))
        ensemble.wait_masters()
        words = exercise.everything(ensemble, EXERCISES)
        masters = []
        with Load(ensemble.hosts) as load:
            load.start()
            load.progress()
            for observer in [m for m in ensemble.running if m.is_observer]:
                for _ in range(2):
                    master = ensemble.master_of(observer)
                    assert master is not None
                    masters.append(f"{observer.launcher.name} of {master.launcher.name}")
                    master.kill()
                    ensemble.wait_masters()
                    ensemble.start_member(master.sid)
                    changed.settle(ensemble)
                    load.progress()
            leader = ensemble.leader()
            leader.kill()
            ensemble.wait_serving()
            ensemble.start_member(leader.sid)
            changed.settle(ensemble)
            ensemble.wait_masters()
            ensemble[1].move(client=True)
            ensemble.reconfig(join=[1])
            load.use(ensemble.hosts)
            changed.settle(ensemble)
            load.progress()
            words = f"{words}; {load.finish(sound_hosts(ensemble))}"
        return f"{words}; {', '.join(masters)}; {changed.all_agree(ensemble)}"
