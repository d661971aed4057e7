"""An ensemble inside a test: three servers or more that elect, replicate and fail on order.

Shell. One background thread has the loop of all members. Every method may be called from any
thread.

    with ZooKeeperEnsemble(3) as ensemble:
        client = KazooClient(ensemble.connect_string)
        ensemble.leader.kill()
        ensemble.wait_for_leader()
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from pyzk.testing.core import engine as states
from pyzk.testing.core.blocking import WAIT_S
from pyzk.testing.core.controls import check_leaks, report_leaks
from pyzk.testing.core.inspection import LeakedClient
from pyzk.testing.core.loopthread import OnThread
from pyzk.testing.core.security import NO_SECURITY, Secured, Security
from pyzk.testing.core.settings import with_admin
from pyzk.testing.errors import FixtureError, NotRunningError
from pyzk.testing.members.changes import add_member, remove_member
from pyzk.testing.members.engine import EnsembleEngine, MemberEngine
from pyzk.testing.members.member import EnsembleMember

if TYPE_CHECKING:
    from pyzk.testing.core.security import Tls

_NOT_STARTED = "the ensemble is not started: call start(), or use it as a context manager"
_STOPPED = "the ensemble is stopped; make another one"
_ELSEWHERE = (
    "the ensemble runs in the process from which this one was forked: clients can connect from"
    " here, the methods of the ensemble work only there"
)

Side = Iterable["int | EnsembleMember"]


class _Listed(Protocol):
    @property
    def role(self) -> str: ...

    @property
    def is_observer(self) -> bool: ...


_Member = TypeVar("_Member", bound=_Listed)


class MemberList(Generic[_Member]):
    """An ensemble as the list of its members, in this process or elsewhere."""

    @property
    @abstractmethod
    def members(self) -> list[_Member]:
        """All members, in the order of the connect string."""

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[_Member]:
        return iter(self.members)

    @property
    def followers(self) -> list[_Member]:
        """Voters that follow a leader now."""
        return [member for member in self.members if member.role == "follower"]

    @property
    def observers(self) -> list[_Member]:
        """Members that do not vote, whatever they do now."""
        return [member for member in self.members if member.is_observer]


class ZooKeeperEnsemble(OnThread, MemberList[EnsembleMember], Secured):
    """A ZooKeeper ensemble for tests.

    The voters have the ids 1, 2, 3..., the observers the ids after them. With ``data_dir`` None
    everything is in memory; otherwise each member has a directory there, named after its id.
    ``options`` are keys of zoo.cfg for all members. ``leaks`` says what ``stop`` does about clients
    that are still connected: ``warn``, ``error`` (LeakedClientsError) or ``ignore``. ``tls`` and
    ``sasl`` are for clients, as those of `ZooKeeperServer`; with the option sslQuorum the members
    talk TLS with each other, too. ``admin`` gives each member an admin server.
    """

    def __init__(
        self,
        voters: int = 3,
        *,
        observers: int = 0,
        data_dir: str | os.PathLike[str] | None = None,
        host: str = "127.0.0.1",
        options: Mapping[str, object] | None = None,
        leaks: str = "warn",
        tls: Tls = False,
        sasl: Mapping[str, str] | None = None,
        admin: bool = False,
    ) -> None:
        check_leaks(leaks)
        self._leaks = leaks
        self._engine = EnsembleEngine(
            voters,
            observers,
            data_dir=None if data_dir is None else os.fspath(data_dir),
            host=host,
            options=with_admin(options, has_admin=admin),
            security=Security(tls, sasl) if tls or sasl else NO_SECURITY,
        )
        self._why_not = _NOT_STARTED
        self._prepare()
        self._members = {
            sid: EnsembleMember(self, engine) for sid, engine in self._engine.members.items()
        }

    def _prepare(self) -> None:
        self._take_thread("pyzk-test-ensemble", lambda: self._why_not)

    def _forget_parent(self) -> None:
        """Forget, in a forked child, the thread and what it serves: they are the parent's."""
        if self._thread.is_running:
            self._why_not = _ELSEWHERE
        self._prepare()

    # --- life -----------------------------------------------------------------------

    def start(self) -> Self:
        """Start all members; return when they have a leader and a client of any member can
        write."""
        with self._living():
            if self._why_not is not _NOT_STARTED or self._thread.is_running:
                raise FixtureError(f"start() is for the first start, once; {self!r}")
            self._thread.start(self._engine.start, lambda: self.stop(leaks="ignore"))
        return self

    def stop(self, *, leaks: str | None = None) -> None:
        """End all members as production does, and give the ports back; a stopped ensemble stays as
        it is. ``leaks`` is as for the constructor."""
        check_leaks(leaks)
        with self._living():
            ran = self._thread.is_running
            if self._why_not is _NOT_STARTED:
                self._why_not = _STOPPED
            if ran:
                self._thread.end(self._engine.stop)
        if ran:
            report_leaks(self._engine.leaked(), leaks or self._leaks)

    def kill(self, member: int | EnsembleMember) -> None:
        """End a member as a process under SIGKILL: what it has not synced is lost, sockets are
        cut. It keeps its port, where clients are refused until `restart`."""
        with self._living():
            self._wait(self._engine.kill(sid_of(member)))

    def stop_member(self, member: int | EnsembleMember) -> None:
        """End a member as production does; `restart` starts it again."""
        with self._living():
            self._wait(self._engine.stop_member(sid_of(member)))

    def restart(self, member: int | EnsembleMember, *, timeout: float = WAIT_S) -> None:
        """Start a member again with the same data on the same port; one that runs is stopped
        first. Return when it serves or, while there is no quorum for it, when it looks for a
        leader."""
        sid = sid_of(member)
        with self._living():
            self._wait(self._engine.restart(sid, timeout))

    # --- members --------------------------------------------------------------------

    def add_member(self, *, observer: bool = False, timeout: float = WAIT_S) -> EnsembleMember:
        """Start another member, with the next id, and let it join by a reconfiguration; return it
        when it serves, with a vote unless it is an ``observer``. Clients do not hear of it by
        themselves. The ensemble needs ``options={"reconfigEnabled": True}``."""
        with self._living():
            engine = self._wait(add_member(self._engine, observer, timeout))
            member = self._members[engine.sid] = EnsembleMember(self, engine)
        return member

    def remove_member(self, member: int | EnsembleMember, *, timeout: float = WAIT_S) -> None:
        """Take a member out of the ensemble by a reconfiguration, and stop it for good; return when
        the others serve. It may be the leader, or down."""
        sid = sid_of(member)
        with self._living():
            self._wait(remove_member(self._engine, sid, timeout))
            self._members.pop(sid)

    @property
    def connect_string(self) -> str:
        """The connect string for clients: ``host:port`` of every member, in the order of ids."""
        return ",".join(member.connect_string for member in self.members)

    @property
    def _security(self) -> Security:
        return self._engine.security

    @property
    def members(self) -> list[EnsembleMember]:
        """All members, in the order of their ids."""
        return list(self._members.values())

    def __getitem__(self, sid: int) -> EnsembleMember:
        self._engine.member(sid)
        return self._members[sid]

    @property
    def leader(self) -> EnsembleMember:
        """The member that leads now, with a quorum behind it. Raises NotRunningError while there is
        none; `wait_for_leader` waits for one."""
        return self._members[self._call(lambda: self._engine.need_leader().sid)]

    def server_of(self, client: object) -> EnsembleMember:
        """The member that a client (a kazoo client, or a session id) is connected to now."""
        return self._members[self._call(lambda: self._engine.server_of(client).sid)]

    # --- faults ---------------------------------------------------------------------

    def pause(self, member: int | EnsembleMember) -> None:
        """Stop a member as under SIGSTOP: its sockets stay open, and it hears nothing."""
        self[sid_of(member)].pause()

    def resume(self, member: int | EnsembleMember) -> None:
        """Let a member go on after `pause`."""
        self[sid_of(member)].resume()

    def partition(self, *sides: Side, silent: bool = False) -> None:
        """Let nothing pass between these groups of members; each member is in one of them. This
        partition replaces an earlier one. Clients still reach every member.

        Connections between the groups are cut at once, as when a host reports that a network is
        gone. With ``silent`` nobody is told: packets are lost, and members notice when they have
        heard nothing for syncLimit ticks; what was sent arrives after `heal`.
        """
        groups = [[sid_of(member) for member in side] for side in sides]
        self._call(lambda: self._engine.partition(groups, silent=silent))

    def isolate(self, member: int | EnsembleMember, *, silent: bool = False) -> None:
        """Cut one member off from all others, as partition({member}, the others) does."""
        sid = sid_of(member)
        self[sid]
        others = [each for each in self._members if each != sid]
        self.partition([sid], others, silent=silent)

    def heal(self) -> None:
        """End every partition."""
        self._call(self._engine.heal)

    def elect_new_leader(self, *, timeout: float = WAIT_S) -> EnsembleMember:
        """Make another member the leader; return it when all members serve again. The old leader is
        cut off from the others until they have replaced it; its clients are disconnected."""
        with self._living():
            engine = self._wait(self._engine.elect_new_leader(timeout))
        return self._members[engine.sid]

    def expire_session(self, session: object, *, timeout: float = WAIT_S) -> None:
        """Expire a session, named by its id or a kazoo client; return when its ephemerals are gone
        from every member that serves."""
        self._wait(self._engine.expire_session(session, timeout))

    def drop_connection(self, client: object) -> None:
        """Cut the connection of a session, named by its id or a kazoo client, at any member."""
        self._wait(self._engine.drop_connection(client))

    def drop_connections(self) -> int:
        """Cut every client's connection; return how many there were."""
        return self._wait(self._engine.drop_connections())

    def reset_faults(self) -> None:
        """Undo the faults of all members, and every partition. Members that are paused or down stay
        so."""
        for member in self.members:
            if member.state in (states.RUNNING, states.PAUSED):
                member.reset_faults()
        self.heal()

    # --- the tree -------------------------------------------------------------------

    def load(self, tree: Mapping[str, Any], *, timeout: float = WAIT_S) -> None:
        """Create znodes, with their parents, and set the data of those that exist; return when
        every member that serves has them."""
        self._wait(self._engine.load(tree, timeout))

    def tree(self, path: str = "/", *, nested: bool = False) -> dict[str, Any]:
        """Return the znodes at and below ``path`` as the leader has them; `EnsembleMember.tree`
        returns those of one member."""
        return self.leader.tree(path, nested=nested)

    # --- waiting --------------------------------------------------------------------

    def wait_for_leader(self, *, timeout: float = WAIT_S) -> EnsembleMember:
        """Wait until a member leads, with a quorum behind it; return it. The TimeoutError, here as
        in every wait, says what each member is instead."""
        return self._members[self._wait(self._engine.wait_for_leader(timeout)).sid]

    def wait_until_serving(self, *members: int | EnsembleMember, timeout: float = WAIT_S) -> None:
        """Wait until these members serve clients, under one leader. If none is named, wait for all
        that run and are not paused."""
        sids = [sid_of(member) for member in members]
        self._wait(self._engine.wait_until_serving(sids, timeout))

    def wait_until_synced(self, *, timeout: float = WAIT_S) -> None:
        """Wait until all members that serve have every write that is committed at this moment."""
        self._wait(self._engine.wait_until_synced(timeout))

    def wait_for_node(
        self,
        path: str,
        *,
        exists: bool = True,
        data: bytes | None = None,
        timeout: float = WAIT_S,
    ) -> None:
        """Wait until all members that serve have a znode (with this data) or, with
        ``exists=False``, none of them has it."""
        self._wait(self._engine.wait_for_node(path, exists, data, timeout))

    # --- what is seen ---------------------------------------------------------------

    @property
    def state(self) -> str:
        """``running`` from start to stop; before and after, ``not started`` and ``stopped``."""
        if self._thread.is_running:
            return states.RUNNING
        return states.NEW if self._why_not is _NOT_STARTED else states.STOPPED

    @property
    def leaked(self) -> list[LeakedClient]:
        """The clients that were still connected when the ensemble was stopped."""
        return self._engine.leaked()

    def report(self, events: int | None = None) -> str:
        """Return the role, the sessions and the last ``events`` of each member, for the report of a
        test that failed. Works in any state."""

        def told() -> str:
            engines = self._engine.members.values()
            texts = [f"{engine}\n{engine.report(events)}" for engine in engines]
            return "\n".join([self._engine.state(), *texts])

        try:
            return self._call(told)
        except NotRunningError:
            return told()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)}, {self.state}>"


def sid_of(member: object) -> int:
    """Return the id of a member, given the id or the member. Raises FixtureError."""
    if isinstance(member, EnsembleMember | MemberEngine):
        return member.sid
    if isinstance(member, int) and not isinstance(member, bool):
        return member
    raise FixtureError(f"{member!r} does not name a member; give its id or the member itself")
