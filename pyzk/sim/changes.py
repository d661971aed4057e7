"""The choice of a change of the configuration that an administrator asks for.

Pure. Some changes are possible, some are not at that moment, some never are: all are answers like
any other. An administrator knows the configuration that is in force and which machines run, as from
looking at them, and may be wrong a moment later.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final, Protocol

from pyzk.config.members import WILDCARD, Membership, QuorumServer, ServerAddress
from pyzk.constants import OpCode
from pyzk.data.paths import CONFIG
from pyzk.jute.records import PathWatchRequest, ReconfigRequest, SetDataRequest
from pyzk.quorum.configurations import Configurations
from pyzk.sim.checks import Checks
from pyzk.sim.settings import CLIENT_PORT, ELECTION_PORT, QUORUM_PORT, host_of
from pyzk.sim.workload import Asked

ALIASES: Final = ("", "", "b", "c")
ANY_VERSION: Final = -1
MOST_VOTERS: Final = 5


class Administered(Protocol):
    """A machine, as an administrator sees it."""

    sid: int
    is_up: bool

    @property
    def configs(self) -> Configurations | None:
        """The configurations that its program has; None while it does not run."""
        ...

    @property
    def role_name(self) -> str: ...


class AdminWorld(Protocol):
    """What an administrator sees."""

    checks: Checks

    @property
    def machines(self) -> Mapping[int, Administered]: ...


def drawn_server(sid: int, rng: Random, *, is_observer: bool) -> QuorumServer:
    """Returns the line of a server with addresses of its machine that are drawn."""
    address = ServerAddress(
        host_of(sid, rng.choice(ALIASES)),
        QUORUM_PORT + rng.randrange(2),
        ELECTION_PORT + rng.randrange(2),
    )
    client_host = WILDCARD if rng.random() < 0.7 else host_of(sid, rng.choice(ALIASES))
    return QuorumServer(
        sid, (address,), is_observer, client_host, client_port=CLIENT_PORT + rng.randrange(2)
    )


class ReconfigWorkload:
    """The requests of one administrator."""

    def __init__(self, client: int, world: AdminWorld, rng: Random) -> None:
        self.client = client
        self.sequential: list[str] = []
        self._world = world
        self._rng = rng
        self._proofs = 0

    def next(self) -> Asked:
        """Returns the next request: a change, or a look at the configuration."""
        if self._rng.random() < 0.15:
            return OpCode.GET_DATA, CONFIG, PathWatchRequest(CONFIG, False).encode(), False
        return OpCode.RECONFIG, CONFIG, self._change().encode(), False

    def proof(self) -> Asked:
        """Returns a write that cannot fail."""
        self._proofs += 1
        record = SetDataRequest("/", b"proof %d.%d" % (self.client, self._proofs), -1)
        return OpCode.SET_DATA, "/", record.encode(), False

    # --- what is seen ---------------------------------------------------------------

    @property
    def _newest(self) -> Membership:
        return self._world.checks.configs.newest

    def _leader(self) -> Administered | None:
        for machine in self._world.machines.values():
            if machine.configs is not None and machine.role_name == "leader":
                return machine
        return None

    def _version(self) -> int:
        """Returns the version on which the change is to build: any, the present one or a wrong
        one."""
        rng = self._rng
        if rng.random() < 0.6:
            return ANY_VERSION
        leader = self._leader()
        known = self._newest.version
        if leader is not None and leader.configs is not None:
            known = leader.configs.committed.version
        return known if rng.random() < 0.8 else known + rng.choice((-1, 1, 1 << 32))

    def _joinable(self) -> list[int]:
        """Returns the servers that run and are no members; at times one that does not run."""
        machines = self._world.machines.values()
        is_bold = self._rng.random() < 0.1
        newest = self._newest
        return [
            each.sid
            for each in machines
            if (each.is_up or is_bold) and newest.member(each.sid) is None
        ]

    def _member(self) -> QuorumServer:
        """Returns a member, the leader more often than others."""
        newest = self._newest
        leader = self._leader()
        if leader is not None and self._rng.random() < 0.35:
            member = newest.member(leader.sid)
            if member is not None:
                return member
        return self._rng.choice(newest.members)

    # --- changes --------------------------------------------------------------------

    def _change(self) -> ReconfigRequest:
        rng = self._rng
        draw = rng.random()
        if draw < 0.07:
            return self._wrong()
        if draw < 0.3 or (self._newest.groups and rng.random() < 0.9):
            return self._whole()
        edits = self._edits()
        joining = ",".join(f"server.{sid}={each}" for sid, each in edits.items() if each)
        leaving = ",".join(str(sid) for sid, each in edits.items() if each is None)
        return ReconfigRequest(joining or None, leaving or None, None, self._version())

    def _edits(self) -> dict[int, QuorumServer | None]:
        """Returns one or two changes: server -> its new line, None if it leaves."""
        edits: dict[int, QuorumServer | None] = {}
        for _ in range(self._rng.choice((1, 1, 1, 2))):
            sid, line = self._edit()
            edits[sid] = line
        return edits

    def _edit(self) -> tuple[int, QuorumServer | None]:
        rng = self._rng
        newest = self._newest
        joinable = self._joinable()
        voters = len(newest.voters)
        kind = rng.random()
        is_full = voters >= MOST_VOTERS
        if joinable and (kind < 0.35 or voters < 3):
            is_observer = is_full or rng.random() < 0.25
            return self._joining(rng.choice(joinable), is_observer=is_observer)
        member = self._member()
        if kind < 0.6:
            moved = drawn_server(member.sid, rng, is_observer=member.is_observer)
            return member.sid, moved
        if kind < 0.8 and (not member.is_observer or not is_full):
            line = QuorumServer(
                member.sid,
                member.addresses,
                not member.is_observer,
                member.client_host,
                member.client_port or CLIENT_PORT,
            )
            return member.sid, line
        return member.sid, None

    def _joining(self, sid: int, *, is_observer: bool) -> tuple[int, QuorumServer]:
        """Returns the line with which a machine joins: mostly where it listens already."""
        configs = self._world.machines[sid].configs
        known = None if configs is None else configs.committed.member(sid)
        if known is None or self._rng.random() < 0.2:
            return sid, drawn_server(sid, self._rng, is_observer=is_observer)
        return sid, QuorumServer(
            sid, known.addresses, is_observer, known.client_host, known.client_port or CLIENT_PORT
        )

    def _whole(self) -> ReconfigRequest:
        """Returns all lines of a configuration: the present one with a few changes, and perhaps
        with groups and weights."""
        rng = self._rng
        lines = {member.sid: member for member in self._newest.members}
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            sid, line = self._edit()
            if line is not None:
                lines[sid] = line
            elif len(lines) > 1:
                lines.pop(sid, None)
        if rng.random() < 0.1:
            sid = rng.choice(list(lines))
            lines[sid] = QuorumServer(sid, lines[sid].addresses, lines[sid].is_observer)
        texts = [f"server.{sid}={line}" for sid, line in lines.items()]
        if rng.random() < 0.3:
            texts += self._quorums([sid for sid, line in lines.items() if not line.is_observer])
        separator = rng.choice((",", "\n"))
        return ReconfigRequest(None, None, separator.join(texts), self._version())

    def _quorums(self, voters: list[int]) -> list[str]:
        """Returns lines with groups and weights."""
        rng = self._rng
        count = rng.choice((1, 1, 3)) if len(voters) >= 3 else 1
        texts = [
            f"group.{group + 1}={':'.join(map(str, voters[group::count]))}"
            for group in range(count)
            if voters[group::count]
        ]
        texts += [f"weight.{sid}={rng.choice((1, 1, 1, 2, 3))}" for sid in voters[1:]]
        if len(voters) > 2 and rng.random() < 0.3:
            texts[-1] = f"weight.{voters[-1]}=0"
        return texts

    def _wrong(self) -> ReconfigRequest:
        """Returns a change that cannot be made."""
        rng = self._rng
        version = self._version()
        everybody = ",".join(str(member.sid) for member in self._newest.members)
        member = rng.choice(self._newest.members)
        other = rng.choice(self._newest.members)
        return rng.choice(
            (
                ReconfigRequest(None, everybody, None, version),
                ReconfigRequest(None, "x", None, version),
                ReconfigRequest(None, "77", None, version),
                ReconfigRequest("server.78=h1:2888", None, None, version),
                ReconfigRequest("bogus", None, None, version),
                ReconfigRequest(f"server.{member.sid}={other}", None, None, version),
                ReconfigRequest(None, None, "server.1=x", version),
                ReconfigRequest(None, None, "", version),
                ReconfigRequest(None, None, None, version),
            )
        )
