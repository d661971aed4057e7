"""One member of a test ensemble, in the test's hands.

Shell. A member offers what `ZooKeeperServer` does, as far as it makes sense for one of several: its
faults hit the requests of its own clients, `stall_disk` its own disk. Sessions belong to the whole
ensemble.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pyzk.testing.core.blocking import WAIT_S, BlockingControls

if TYPE_CHECKING:
    from pyzk.testing.members.engine import EnsembleEngine, MemberEngine

_Result = TypeVar("_Result")


class OwningEnsemble(Protocol):
    """What a member leaves to its ensemble; `ZooKeeperEnsemble` does it."""

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

    def __init__(self, ensemble: OwningEnsemble, engine: MemberEngine) -> None:
        self._ensemble = ensemble
        self._member = engine
        self._take(engine, "ignore")

    # --- what it is -----------------------------------------------------------------

    @property
    def sid(self) -> int:
        """The member's id, ``myid``."""
        return self._member.sid

    @property
    def is_observer(self) -> bool:
        """Whether the member is an observer, which does not vote."""
        return self._member.is_observer

    @property
    def role(self) -> str:
        """``leader``, ``follower``, ``observer``, ``read-only`` or ``looking`` (for a leader);
        while the member is down, its `state`. A member that was cut off may still call itself
        leader for a tick; `ZooKeeperEnsemble.leader` has a quorum behind it."""
        return self._call_or_look(lambda: self._member.role)

    @property
    def is_leader(self) -> bool:
        """Whether the member leads, with a quorum behind it."""
        engine = self._ensemble._engine
        return self._call_or_look(lambda: engine.leader() is self._member)

    @property
    def zxid(self) -> int:
        """The zxid of the last transaction in the member's tree."""
        return self._call_or_look(lambda: self._member.zxid)

    # --- life -----------------------------------------------------------------------

    def kill(self) -> None:
        """End as a process under SIGKILL: what is not synced is lost, sockets are cut."""
        self._ensemble.kill(self.sid)

    def stop(self) -> None:
        """End as production does; `restart` starts the member again."""
        self._ensemble.stop_member(self.sid)

    def restart(self, *, timeout: float = WAIT_S) -> None:
        """Start again with the same data on the same port; return when the member serves or, while
        there is no quorum for it, when it looks for a leader."""
        self._ensemble.restart(self.sid, timeout=timeout)

    def isolate(self, *, silent: bool = False) -> None:
        """Cut the member off from all others."""
        self._ensemble.isolate(self.sid, silent=silent)

    def wait_until_serving(self, *, timeout: float = WAIT_S) -> None:
        """Wait until the member serves clients, under a leader that has a quorum."""
        self._ensemble.wait_until_serving(self.sid, timeout=timeout)

    # --- what is the whole ensemble's -----------------------------------------------

    def expire_session(self, session: object) -> None:
        """Expire a session, which a client of any member may have; return when every member
        knows."""
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
