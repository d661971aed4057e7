"""An ensemble of processes: its members, its leader, and whether all have the same data.

Shell.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from conformance.differential.requests import SUPER, digest_id
from conformance.frames import Address, Client
from conformance.mixed import logs
from conformance.mixed.members import NOT_SERVING, MixedError, MixedMember, check, eventually
from conformance.mixed.proxy import Gate
from conformance.servers import Launcher

TICK_MS: Final = 500
CONFIG: Final[Mapping[str, str]] = {
    "tickTime": str(TICK_MS),
    # Long in real time: two processors may serve three virtual machines.
    "initLimit": "40",
    "syncLimit": "20",
    "maxClientCnxns": "0",
    "maxSessionTimeout": "60000",
    "4lw.commands.whitelist": "*",
    "admin.enableServer": "false",
}
PROPERTIES: Final[Mapping[str, str]] = {
    "zookeeper.extendedTypesEnabled": "true",
    "zookeeper.DigestAuthenticationProvider.superDigest": digest_id(SUPER),
    "znode.container.checkIntervalMs": "1000",
}


class Ensemble:
    """Members by their ids: the voters are 1, 2, …, observers come after them."""

    def __init__(
        self,
        voters: Sequence[Launcher],
        observers: Sequence[Launcher] = (),
        config: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        gated: bool = False,
    ) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="pyzk-mixed-"))
        self.config = {**CONFIG, **(config or {})}
        self.properties = {**PROPERTIES, **(properties or {})}
        self.tops = 0
        """Counts the nodes that were created for exercises."""
        self.former: list[MixedMember] = []
        """Servers that were members, and are stopped."""
        self.members: dict[int, MixedMember] = {}
        for sid, launcher in enumerate((*voters, *observers), 1):
            self.members[sid] = self.new_member(sid, launcher, sid > len(voters))
            self.members[sid].begin_empty()
        self.gates: dict[tuple[int, int], Gate] = {}
        if gated:
            self._make_gates()

    def new_member(self, sid: int, launcher: Launcher, is_observer: bool) -> MixedMember:
        """Returns a member with its directory and its ports."""
        return MixedMember(sid, launcher, self.root, is_observer)

    def _make_gates(self) -> None:
        """Lets every member see the others' quorum ports through a gate."""
        for source in self.members:
            for target, member in self.members.items():
                if source != target:
                    self.gates[source, target] = Gate(("127.0.0.1", member.quorum_port))

    def __getitem__(self, sid: int) -> MixedMember:
        return self.members[sid]

    def __str__(self) -> str:
        return ", ".join(str(member) for member in self.members.values())

    @property
    def voters(self) -> list[MixedMember]:
        """The members that may lead."""
        return [member for member in self.members.values() if not member.is_observer]

    @property
    def everybody(self) -> list[MixedMember]:
        """All members, those of former times, too."""
        return [*self.former, *self.members.values()]

    @property
    def running(self) -> list[MixedMember]:
        """The members with a process."""
        return [member for member in self.members.values() if member.process is not None]

    @property
    def hosts(self) -> str:
        """The connect string of all members."""
        return ",".join(f"127.0.0.1:{member.client_port}" for member in self.members.values())

    def at(self, address: Address) -> MixedMember:
        """Returns the member with a client port."""
        return next(member for member in self.members.values() if member.address == address)

    def start_member(self, sid: int) -> None:
        """Starts one member, and does not wait until it serves."""
        config = dict(self.config)
        for other, member in self.members.items():
            gate = self.gates.get((sid, other))
            port, host = gate.port if gate else None, self.members[sid].host
            config[f"server.{other}"] = member.server_line(port, host=host)
        self.members[sid].start(config, self.properties)

    def start(self, leader: int | None = None, only: Iterable[int] | None = None) -> None:
        """Starts members and waits until all serve.

        The member that is to lead is started first, with just enough others: on equal data the
        highest id is elected, and members that come later follow. The result is checked.
        """
        waiting = [sid for sid in (only or self.members) if self.members[sid].process is None]
        if leader is not None:
            waiting.remove(leader)
            self.start_member(leader)
            eventually(f"{self[leader]} is up", self[leader].answers, 60)
            while waiting and len(self.running) <= len(self.voters) // 2:
                self.start_member(waiting.pop(0))
            self.wait_serving()
        for sid in waiting:
            self.start_member(sid)
        self.wait_serving()
        if leader is not None:
            found = self.leader()
            check(found.sid == leader, f"{found} leads, {self[leader]} was to")

    def wait_serving(self, members: Iterable[MixedMember] | None = None) -> None:
        """Waits until all members that run serve, and exactly one of them leads."""
        wanted = list(members or self.running)

        def all_serve() -> bool:
            for member in wanted:
                member.check_running()
            modes = [member.mode() for member in self.running]
            mine = [member.mode() for member in wanted]
            return NOT_SERVING not in mine and modes.count("leader") == 1

        try:
            eventually("all serve and one leads", all_serve, 90)
        except MixedError as error:
            modes = ", ".join(f"{member}: {member.mode()}" for member in self.running)
            raise MixedError(f"{error} ({modes})") from error

    def leader(self) -> MixedMember:
        """Returns the leader, for which it waits a moment."""
        found: list[MixedMember] = []

        def one_leads() -> bool:
            found[:] = [member for member in self.running if member.mode() == "leader"]
            return len(found) == 1

        eventually("one member leads", one_leads)
        return found[0]

    def learners(self) -> list[MixedMember]:
        """Returns the members that run and do not lead."""
        leader = self.leader()
        return [member for member in self.running if member is not leader]

    def wait_in_step(self) -> int:
        """Waits until all members that run have applied the same last transaction; returns its
        zxid.

        A leader counts the first zxid of its epoch as applied, its learners do so only at the first
        transaction; therefore one is made first.
        """
        last: set[int] = set()

        def same_zxid() -> bool:
            last.clear()
            last.update(member.zxid() for member in self.running)
            return len(last) == 1 and -1 not in last

        self.touch()
        eventually(f"all have the same last zxid: {self}", same_zxid)
        return last.pop()

    def touch(self) -> None:
        """Makes one transaction or two, by a session with the leader."""
        end = time.monotonic() + 30
        while True:
            try:
                self.leader().new_session().close_session()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def client(self, sid: int, timeout_ms: int = 30000) -> Client:
        """Returns a client with a new session with one member."""
        return self[sid].new_session(timeout_ms)

    def cleanup(self, keep: bool = False) -> None:
        """Kills all processes and, unless told otherwise, removes all directories."""
        for member in self.everybody:
            member.kill()
        for gate in self.gates.values():
            gate.close()
        if not keep:
            shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.cleanup(keep=error is not None)
        if error is not None:
            error.add_note(f"directories and logs: {self.root}")
            for words, count in Counter(logs.read(self)[1]).items():
                error.add_note(f"a known fault of the original, {count} times: {words}")
