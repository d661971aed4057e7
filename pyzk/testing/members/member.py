"""One member of a test ensemble, in the test's hands.

Shell. What `ZooKeeperServer` can, as far as it makes sense for one of several: its faults hit what
clients of this member ask, `stall_disk` this member's disk. Sessions are the whole ensemble's.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pyzk.testing.core.blocking import WAIT_S, BlockingControls

if TYPE_CHECKING:
    from pyzk.testing.members.engine import EnsembleEngine, MemberEngine

_Result = TypeVar("_Result")


class Ensemble(Protocol):
    """What a member leaves to its ensemble, a `ZooKeeperEnsemble`."""

    _engine: EnsembleEngine

    def kill(self, member: int) -> None: ...

    def stop_member(self, member: int) -> None: ...

    def restart(self, member: int, *, timeout: float) -> None: ...

    def isolate(self, member: int, *, silent: bool) -> None: ...

    def wait_until_serving(self, *members: int, timeout: float) -> None: ...

    def expire_session(self, session: object) -> None: ...

    def load(self, tree: Mapping[str, Any]) -> None: ...

    def _call(self, function: Callable[[], _Result]) -> _Result: ...

    def _wait(self, coroutine: Coroutine[object, object, _Result]) -> _Result: ...

    def _forget_parent(self) -> None: ...


class EnsembleMember(BlockingControls):
    """A member of a `ZooKeeperEnsemble`, which makes it and lives longer."""

    def __init__(self, ensemble: Ensemble, engine: MemberEngine) -> None:
        self._ensemble = ensemble
        self._member = engine
        self._take(engine, "ignore")

    # --- what it is -----------------------------------------------------------------

    @property
    def sid(self) -> int:
        """Its id, ``myid``."""
        return self._member.sid

    @property
    def is_observer(self) -> bool:
        """Whether it does not vote."""
        return self._member.is_observer

    @property
    def role(self) -> str:
        """``leader``, ``follower``, ``observer``, ``read-only``, ``looking`` (for a leader), or,
        when it is down, its `state`. A member that was cut off may call itself leader for a tick;
        `ZooKeeperEnsemble.leader` has a quorum behind it."""
        return self._call_or_look(lambda: self._member.role)

    @property
    def is_leader(self) -> bool:
        """Whether it leads, with a quorum behind it."""
        engine = self._ensemble._engine
        return self._call_or_look(lambda: engine.leader() is self._member)

    @property
    def zxid(self) -> int:
        """Of the last transaction in its tree."""
        return self._call_or_look(lambda: self._member.zxid)

    # --- life -----------------------------------------------------------------------

    def kill(self) -> None:
        """End as under SIGKILL: what is not synced is lost, sockets are cut."""
        self._ensemble.kill(self.sid)

    def stop(self) -> None:
        """End as production does; `restart` brings it up again."""
        self._ensemble.stop_member(self.sid)

    def restart(self, *, timeout: float = WAIT_S) -> None:
        """Come up again with the same data on the same port; return when it serves, or, where
        there is no quorum for it, when it looks for one."""
        self._ensemble.restart(self.sid, timeout=timeout)

    def isolate(self, *, silent: bool = False) -> None:
        """Be cut off from all other members."""
        self._ensemble.isolate(self.sid, silent=silent)

    def wait_until_serving(self, *, timeout: float = WAIT_S) -> None:
        """Wait until it serves clients, under a leader that has a quorum."""
        self._ensemble.wait_until_serving(self.sid, timeout=timeout)

    # --- what is the whole ensemble's -----------------------------------------------

    def expire_session(self, session: object) -> None:
        """Expire a session, of a client of any member; return when every member knows."""
        self._ensemble.expire_session(session)

    def load(self, tree: Mapping[str, Any]) -> None:
        """Create znodes and set data, on every member."""
        self._ensemble.load(tree)

    # --- the loop -------------------------------------------------------------------

    def _call(self, function: Callable[[], _Result]) -> _Result:
        return self._ensemble._call(function)

    def _wait(self, coroutine: Coroutine[object, object, _Result]) -> _Result:
        return self._ensemble._wait(coroutine)

    def _forget_parent(self) -> None:
        super()._forget_parent()
        self._ensemble._forget_parent()

    def __repr__(self) -> str:
        return f"<server {self.sid} {self.host}:{self._engine.port.port} {self.role}>"
