"""A whole ensemble on one loop: its life, its partitions, who leads, and who waits for it.

Shell. Theory of operation: each member is an `Engine`, the same that a single test server has, with
the same seams (sockets of clients, time, disk, gate) and one more, its endpoint in the
`MemoryNetwork`. So every member is production's `PeerRunner` and elects, synchronizes and
broadcasts as in production; only its wires are lists of bytes. All members read one `PacedClock`:
when this process is delayed, no member takes the others for dead.

Everything here runs on the loop; `ZooKeeperEnsemble` brings the calls here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from pyzk.int64 import hex_id
from pyzk.quorum.learner import Learner
from pyzk.testing.core import orders
from pyzk.testing.core.engine import BROKEN, KILLED, NEW, PAUSED, RUNNING, STOPPED, Engine
from pyzk.testing.core.inspection import LeakedClient, session_id_of
from pyzk.testing.core.security import NO_SECURITY, Security
from pyzk.testing.core.waiting import Waiters
from pyzk.testing.errors import FixtureError, NotRunningError
from pyzk.testing.members.settings import MemberPlace, check_size, configure, server_line
from pyzk.testing.seams.network import MemoryNetwork
from pyzk.testing.seams.timing import FixtureTime, PacedClock
from pyzk.zxid import counter_of, epoch_of, format_zxid

if TYPE_CHECKING:
    from pyzk.quorum.configurations import Configurations

LOOKING: Final = "looking"
DOWN: Final = (NEW, KILLED, STOPPED, BROKEN)


class MemberEngine(Engine):
    """One member, from its start to its end, any number of times."""

    def __init__(
        self,
        sid: int,
        is_observer: bool,
        data_dir: str | None,
        *,
        host: str,
        options: Mapping[str, object],
        clock: PacedClock,
        security: Security,
    ) -> None:
        super().__init__(
            data_dir,
            host=host,
            port=0,
            virtual_clock=False,
            options=options,
            security=security,
        )
        self.sid = sid
        self._is_observer = is_observer
        self.time = FixtureTime(self.gate, self.observe, is_virtual=False, monotonic_ms=clock)

    @property
    def is_up(self) -> bool:
        """Whether the member runs, paused or not."""
        return self.state in (RUNNING, PAUSED)

    @property
    def configs(self) -> Configurations | None:
        """The configurations that the member goes by; None while it is down."""
        return None if self._runner is None else self._runner.configurations

    @property
    def is_observer(self) -> bool:
        """Whether the member does not vote, as far as it knows or, if it is down, knew; one that
        was removed stays what it was."""
        configs = self.configs
        me = None if configs is None else configs.committed.member(self.sid)
        if me is not None:
            self._is_observer = me.is_observer
        return self._is_observer

    @property
    def place(self) -> MemberPlace:
        """The place of the member among the others."""
        return MemberPlace(self.sid, self.is_observer, self.port.host, self.port.port)

    @property
    def role(self) -> str:
        """``leader``, ``follower``, ``observer``, ``read-only`` or ``looking``; else its state."""
        if not self.is_up:
            return self.state
        server = self.server
        return server.role.mode if server.is_running else LOOKING

    @property
    def serves(self) -> bool:
        """Whether clients of the member can write, as far as it knows."""
        return self.state == RUNNING and self.role in ("leader", "follower", "observer")

    @property
    def zxid(self) -> int:
        """The zxid of the last transaction in the member's tree."""
        return self.server.database.last_zxid if self.is_up else 0

    @property
    def leader_sid(self) -> int | None:
        """The id of the leader that the member follows, or is; None without a leader."""
        if not self.is_up or not self.server.is_running:
            return None
        role = self.server.role
        if role.mode == "leader":
            return self.sid
        return role.leader_sid if isinstance(role, Learner) else None

    def __str__(self) -> str:
        text = f"server {self.sid}: {self.role}"
        if self.state == PAUSED:
            text += ", paused"
        if self.serves:
            text += f", {format_zxid(self.zxid)}"
        return text


class EnsembleEngine:
    """All members, from start to stop."""

    def __init__(
        self,
        voters: int,
        observers: int,
        *,
        data_dir: str | None,
        host: str,
        options: Mapping[str, object],
        security: Security = NO_SECURITY,
    ) -> None:
        check_size(voters, observers)
        self.security = security
        self._given_options = dict(options)
        self.options = security.options(host, options)
        """What the lines of each member's configuration say."""
        self.network = MemoryNetwork()
        self.waiters = Waiters()
        self.is_started = False
        self._data_dir = data_dir
        self._host = host
        self._clock = PacedClock(PACE_MS)
        self._roles: dict[int, str] = {}
        self._last_sid = 0
        self.members: dict[int, MemberEngine] = {}
        for sid in range(1, voters + observers + 1):
            self.members[sid] = self.make(is_observer=sid > voters)

    def make(self, *, is_observer: bool) -> MemberEngine:
        """Return a new member, with an id that none has had, which is not started."""
        self._last_sid += 1
        sid = self._last_sid
        directory = None if self._data_dir is None else os.path.join(self._data_dir, str(sid))
        engine = MemberEngine(
            sid,
            is_observer,
            directory,
            host=self._host,
            options=self._given_options,
            clock=self._clock,
            security=self.security,
        )
        engine.network = self.network.endpoint(sid, engine.gate, engine.observe)
        engine.on_observed = self.observed
        return engine

    # --- life -----------------------------------------------------------------------

    async def start(self) -> None:
        """Start all members; return when each of them serves."""
        try:
            self._configure()
            await self._start_members()
            self.is_started = True
            await self.wait_until_serving((), START_S)
        except BaseException:
            await self.stop()
            raise

    async def _start_members(self) -> None:
        if self.security.certificates is None:
            for engine in self.members.values():
                await engine.start()
            return
        # To read keys takes a member longer than an election takes: all read theirs first.
        starts = [engine.start() for engine in self.members.values()]
        for found in await asyncio.gather(*starts, return_exceptions=True):
            if found is not None:
                raise found

    def _configure(self) -> None:
        """Give all members their ports, and each the configuration that names them."""
        for engine in self.members.values():
            engine.port.hold()
        lines = [server_line(engine.place) for engine in self.members.values()]
        for engine in self.members.values():
            engine.config = configure(engine.config, engine.place, lines, self.options)

    async def stop(self) -> None:
        """End all members at once, as production does."""
        self.waiters.fail(NotRunningError("the ensemble is stopped"))
        engines = [engine for engine in self.members.values() if engine.state not in DOWN]
        self.network.heal()
        await asyncio.gather(*(engine.stop() for engine in engines))
        for engine in self.members.values():
            engine.port.release()
            engine.state = STOPPED
        # What is told to the ends of connections in memory is told in the next turns.
        for sid in self.members:
            self.network.leave(sid)
        await asyncio.sleep(0)
        self.is_started = False

    def leaked(self) -> list[LeakedClient]:
        """Return the clients that were connected at the last stop."""
        return [client for engine in self.members.values() for client in engine.leaked]

    async def kill(self, sid: int) -> None:
        """End a member as a process under SIGKILL."""
        engine = self.member(sid)
        engine.need(RUNNING, PAUSED, BROKEN)
        await engine.kill()
        self.network.leave(sid)
        self.observed()

    async def stop_member(self, sid: int) -> None:
        """End a member as production does; it keeps its port."""
        engine = self.member(sid)
        if engine.is_up:
            await engine.stop()
            self.network.leave(sid)
            self.observed()

    async def restart(self, sid: int, timeout: float) -> None:
        """Start a member again; return when it serves, if there is a quorum for it."""
        engine = self.member(sid)
        await self.stop_member(sid)
        await engine.start()
        self.observed()
        if self._could_serve(engine):
            await self.wait_until_serving([sid], timeout)

    def _could_serve(self, engine: MemberEngine) -> bool:
        """Tell whether a quorum of voters runs and can be reached from a member."""
        configs = self.newest_configs()
        if configs is None or configs.committed.member(engine.sid) is None:
            return False
        near = [
            each.sid
            for each in self.members.values()
            if each.state == RUNNING and not self.network.is_blocked(each.sid, engine.sid)
        ]
        return is_quorum(configs, near)

    def newest_configs(self) -> Configurations | None:
        """Return the configurations of that member that runs and knows the latest one in force."""
        found = [each.configs for each in self.members.values()]
        known = [configs for configs in found if configs is not None]
        return max(known, key=lambda configs: configs.committed.version, default=None)

    # --- partitions -----------------------------------------------------------------

    def partition(self, groups: Iterable[Iterable[int]], *, silent: bool) -> None:
        """Let nothing pass between these groups; each member is in one of them."""
        sides = [sorted(set(group)) for group in groups]
        self._check_sides(sides)
        self.network.heal()
        for at, side in enumerate(sides):
            for other in sides[at + 1 :]:
                self.network.separate(side, other, silent=silent)
        text = " | ".join(" ".join(map(str, side)) for side in sides)
        self.note(f"partition: {text}{' (silent)' if silent else ''}")
        self.observed()

    def _check_sides(self, sides: list[list[int]]) -> None:
        if len(sides) < 2 or not all(sides):
            raise FixtureError("a partition has at least two sides: partition({1}, {2, 3})")
        named = sorted(sid for side in sides for sid in side)
        for sid in named:
            self.member(sid)
            if named.count(sid) > 1:
                raise FixtureError(f"server {sid} is on two sides of the partition")
        missing = [sid for sid in self.members if sid not in named]
        if missing:
            raise FixtureError(
                f"say on which side of the partition server {missing[0]} is; members are"
                f" {', '.join(map(str, self.members))}"
            )

    def heal(self) -> None:
        """End every partition."""
        if self.network.partitions:
            self.network.heal()
            self.note("healed")

    # --- who leads ------------------------------------------------------------------

    def member(self, sid: int) -> MemberEngine:
        """Return a member. Raises FixtureError."""
        engine = self.members.get(sid)
        if engine is None:
            raise FixtureError(
                f"there is no server {sid}; members are {', '.join(map(str, self.members))}"
            )
        return engine

    def leader(self) -> MemberEngine | None:
        """Return the member that leads, with a quorum behind it."""
        leaders = [
            engine
            for engine in self.members.values()
            if engine.serves and engine.role == "leader" and self._has_quorum(engine)
        ]
        return max(leaders, key=lambda engine: epoch_of(engine.zxid), default=None)

    def _has_quorum(self, leader: MemberEngine) -> bool:
        configs = leader.configs
        return configs is not None and is_quorum(configs, self.behind(leader))

    def behind(self, leader: MemberEngine) -> list[int]:
        """Return the ids of a leader and of all who serve under it, voters or not."""
        return [
            engine.sid
            for engine in self.members.values()
            if engine is leader
            or (
                engine.serves
                and engine.leader_sid == leader.sid
                and not self.network.is_blocked(engine.sid, leader.sid)
            )
        ]

    def need_leader(self) -> MemberEngine:
        """Return the member that leads. Raises NotRunningError."""
        leader = self.leader()
        if leader is None:
            raise NotRunningError(
                f"no member leads now; wait_for_leader() waits for one; {self.state()}"
            )
        return leader

    async def wait_for_leader(self, timeout: float, other_than: int | None = None) -> MemberEngine:
        """Wait until a member leads, with a quorum behind it."""

        def found() -> MemberEngine | None:
            leader = self.leader()
            return None if leader is None or leader.sid == other_than else leader

        await self.wait(lambda: found() is not None, timeout, "no member leads")
        leader = found()
        assert leader is not None
        return leader

    async def wait_until_serving(self, sids: Iterable[int], timeout: float) -> None:
        """Wait until these members serve, under one leader. If none is named, wait for all that run
        and are not paused."""
        named = [self.member(sid) for sid in sids]

        def all_serve() -> bool:
            engines = named or [each for each in self.members.values() if each.state == RUNNING]
            leader = self.leader()
            return leader is not None and all(
                engine.serves and engine.leader_sid == leader.sid for engine in engines
            )

        await self.wait(all_serve, timeout, "not all serve")

    async def wait_until_synced(self, timeout: float) -> None:
        """Wait until all members that serve have every transaction that is committed now."""

        def is_synced() -> bool:
            leader = self.leader()
            return leader is not None and all(
                engine.zxid >= target for engine in self.members.values() if engine.serves
            )

        target = (await self.wait_for_leader(timeout)).zxid
        if not counter_of(target):
            return  # who serves has what was before its leader's epoch
        await self.wait(is_synced, timeout, f"not all have {format_zxid(target)}")

    async def elect_new_leader(self, timeout: float) -> MemberEngine:
        """Make another member the leader: the present one is cut off until it is replaced."""
        old = await self.wait_for_leader(timeout)
        if self.network.partitions:
            raise FixtureError("elect_new_leader() within a partition; heal() it first")
        others = [sid for sid in self.members if sid != old.sid]
        self.partition([[old.sid], others], silent=False)
        try:
            new = await self.wait_for_leader(timeout, old.sid)
        finally:
            self.heal()
        await self.wait_until_serving((), timeout)
        return new

    # --- sessions and the tree ------------------------------------------------------

    async def expire_session(self, session: object, timeout: float) -> None:
        """Expire a session; return when every member that serves has heard of it."""
        session_id = session_id_of(session)
        leader = await self.wait_for_leader(timeout)
        await orders.expire_session(leader, session_id)
        await self.wait(
            lambda: (
                not any(
                    session_id in engine.server.database.sessions
                    for engine in self.members.values()
                    if engine.serves
                )
            ),
            timeout,
            f"session {hex_id(session_id)} does not end everywhere",
        )

    async def load(self, tree: Mapping[str, object], timeout: float) -> None:
        """Create znodes and set data; return when every member that serves has them."""
        leader = await self.wait_for_leader(timeout)
        await orders.load(leader, tree)
        await self.wait_until_synced(timeout)

    async def wait_for_node(
        self, path: str, exists: bool, data: bytes | None, timeout: float
    ) -> None:
        """Wait until all members that serve have a znode, or do not have it."""
        for engine in list(self.members.values()):
            if engine.serves:
                await orders.wait_for_node(engine, path, exists, data, timeout)

    def server_of(self, client: object) -> MemberEngine:
        """Return the member that a client is connected to. Raises FixtureError."""
        session_id = session_id_of(client)
        for engine in self.members.values():
            for link in engine.links:
                if link.session_id == session_id and link.connection is not None:
                    return engine
        raise FixtureError(
            f"session {hex_id(session_id)} is not connected to any member now; {self.state()}"
        )

    async def drop_connection(self, client: object) -> None:
        """Cut a client's connection, at whatever member it is."""
        engine = self.server_of(client)
        await orders.drop_connection(engine, session_id_of(client))

    async def drop_connections(self) -> int:
        """Cut every client's connection."""
        dropped = 0
        for engine in list(self.members.values()):
            if engine.is_up:
                dropped += await orders.drop_connections(engine)
        return dropped

    # --- what is seen ---------------------------------------------------------------

    async def wait(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        """Wait for a condition of the ensemble; ``what`` says what holds instead."""
        if not self.is_started:
            raise NotRunningError("the ensemble is not started: call start(), or use it in a with")
        await self.waiters.wait(condition, timeout, lambda: f"{what}; {self.state()}")

    def observed(self) -> None:
        """Follow what an input of a member has changed: roles, and the conditions that tests wait
        for."""
        for sid, engine in self.members.items():
            role = engine.role
            if self._roles.get(sid) != role:
                self._roles[sid] = role
                engine.note(f"server {sid} is {role}")
        if self.waiters:
            self.waiters.check()

    def note(self, text: str) -> None:
        """Keep an event in the report of every member."""
        for engine in self.members.values():
            engine.note(text)

    def state(self) -> str:
        """Return the roles of all members, and what separates them, in one line."""
        text = "; ".join(str(engine) for engine in self.members.values())
        if self.network.partitions:
            pairs = ", ".join(f"{one} and {other}" for one, other in self.network.partitions)
            text += f"; nothing passes between {pairs}"
        return text


def is_quorum(configs: Configurations, sids: Iterable[int]) -> bool:
    """Tell whether these servers are a quorum by the configurations that a member goes by."""
    found = dict.fromkeys(sids)
    return all(verifier.has_quorum(found) for verifier in configs.verifiers)


PACE_MS: Final = 100
"""The most time that passes between two readings of the members' clock; each member reads it twice
a tick."""
START_S: Final = 30.0
"""How long the members may take until all of them serve."""
