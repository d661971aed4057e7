"""What `ZooKeeperServer` and `AsyncZooKeeperServer` have in common: everything that does not wait.

Shell. Each class says in ``_call`` how a function gets to run on the server's loop.
"""

from __future__ import annotations

import os
import warnings
import weakref
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pyzk.extras import the_extra
from pyzk.runtime.addresses import place
from pyzk.testing.core import engine as states
from pyzk.testing.core.engine import MAX_S, Engine, explain
from pyzk.testing.core.inspection import (
    LeakedClient,
    SessionInfo,
    WatchInfo,
    list_sessions,
    list_watches,
    nest,
    read_tree,
    session_id_of,
)
from pyzk.testing.core.security import NO_SECURITY, Secured, Security
from pyzk.testing.core.settings import with_admin
from pyzk.testing.errors import (
    FixtureError,
    LeakedClientsError,
    LeakedClientsWarning,
    NotRunningError,
)
from pyzk.testing.seams.faults import DELAY, FAIL, SILENCE, Fault, find_error

if TYPE_CHECKING:
    from pyzk.testing.core.security import Tls

_Result = TypeVar("_Result")

LEAKS: Final = ("warn", "error", "ignore")


class Controls(Secured):
    """Where the server is, its faults, and what is in it.

    `ZooKeeperServer` explains the arguments of the constructor.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        virtual_clock: bool = False,
        options: Mapping[str, object] | None = None,
        leaks: str = "warn",
        tls: Tls = False,
        sasl: Mapping[str, str] | None = None,
        admin: bool = False,
    ) -> None:
        check_leaks(leaks)
        engine = Engine(
            None if data_dir is None else os.fspath(data_dir),
            host=host,
            port=port,
            virtual_clock=virtual_clock,
            options=with_admin(options, has_admin=admin),
            security=Security(tls, sasl) if tls or sasl else NO_SECURITY,
        )
        self._take(engine, leaks)

    def _take(self, engine: Engine, leaks: str) -> None:
        """Control this engine from now on."""
        self._leaks = leaks
        self._engine = engine
        self._prepare()
        _all.add(self)

    def _prepare(self) -> None:
        """Become as before the first start; the engine stays."""

    def _forget_parent(self) -> None:
        """Forget, in a forked child, the server: it is the parent's."""
        self._engine.forget_parent()

    @abstractmethod
    def _call(self, function: Callable[[], _Result]) -> _Result:
        """Run a function on the server's loop. Raises NotRunningError."""

    @property
    def _security(self) -> Security:
        return self._engine.security

    def _check_new(self) -> None:
        if self._engine.state != states.NEW:
            raise FixtureError(
                f"start() is for the first start, once; {explain(self._engine.state)}"
            )

    def _check_started(self) -> None:
        if self._engine.state in (states.NEW, states.ELSEWHERE):
            raise NotRunningError(explain(self._engine.state))

    def _report_leaks(self, leaks: str | None) -> None:
        report_leaks(self._engine.leaked, leaks or self._leaks)

    def when_broken(self, call: Callable[[], object]) -> None:
        """Set what is called, in the server's thread, when the server stops by itself, because of a
        bug or a failed disk."""
        self._engine.on_broken = call

    # --- where it is ----------------------------------------------------------------

    @property
    def state(self) -> str:
        """``not started``, ``running``, ``paused``, ``killed``, ``stopped`` or ``broken``."""
        return self._engine.state

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._engine.port.host

    @property
    def port(self) -> int:
        """The client port, which stays the same after the first start."""
        if self._engine.port.port == 0:
            raise NotRunningError(explain(states.NEW))
        return self._engine.port.port

    @property
    def connect_string(self) -> str:
        """The connect string for clients: ``host:port``."""
        return place(self.host, self.port)

    @property
    def admin_address(self) -> tuple[str, int]:
        """Host and port of the admin server (HTTP); another port after each start. Raises
        FixtureError if there is none."""
        address = self._engine.admin_address
        if address is None:
            raise FixtureError(
                "there is no admin server; the argument admin=True asks for one, and it needs"
                f" {the_extra('admin')}"
            )
        return address

    @property
    def data_dir(self) -> str | None:
        """The data directory; None if everything is in memory."""
        return self._engine.data_dir

    # --- faults ---------------------------------------------------------------------

    def pause(self) -> None:
        """Stand still, as a process under SIGSTOP: sockets stay open, nothing is answered."""
        self._call(self._engine.pause)

    def resume(self) -> None:
        """Go on after `pause`. As in production, a server that was stopped gives its sessions that
        much more time."""
        self._call(self._engine.resume)

    def reject_connections(self, on: bool = True) -> None:
        """Close every new connection at once, until this is called with False."""

        def reject() -> None:
            self._engine.need(states.RUNNING, states.PAUSED)
            self._engine.faults.rejects = on
            self._engine.note(f"ordered: {'reject' if on else 'take'} connections")

        self._call(reject)

    def delay(
        self,
        operation: str,
        seconds: float,
        *,
        times: int | None = None,
        client: object = None,
        path: str | None = None,
    ) -> Fault:
        """Hold requests of this name for ``seconds`` before the server sees them, with everything
        that follows on the same connection. ``event`` holds watch events on their way out."""
        if not 0 <= seconds < MAX_S:
            raise FixtureError(f"a delay of {seconds} s; give 0 to {MAX_S:g}")
        return self._add(DELAY, operation, times, client, path, seconds=seconds)

    def fail(
        self,
        operation: str,
        error: object,
        times: int | None = 1,
        *,
        client: object = None,
        path: str | None = None,
    ) -> Fault:
        """Answer the next ``times`` requests of this name (None: all of them) with an error instead
        of executing them. The error is a code, its name, or an exception class of kazoo."""
        return self._add(FAIL, operation, times, client, path, error=find_error(error))

    def no_response(
        self,
        operation: str,
        *,
        times: int | None = 1,
        executed: bool = True,
        client: object = None,
        path: str | None = None,
    ) -> Fault:
        """Never answer the next ``times`` requests of this name (None: all of them). Their
        connection is silent from then on. The requests are executed unless ``executed`` is
        False."""
        return self._add(SILENCE, operation, times, client, path, executed=executed)

    def _add(
        self,
        kind: str,
        operation: str,
        times: int | None,
        client: object,
        path: str | None,
        *,
        error: int = 0,
        seconds: float = 0.0,
        executed: bool = True,
    ) -> Fault:
        engine = self._engine
        fault = Fault(
            engine.faults,
            kind,
            operation,
            times=times,
            session_id=None if client is None else session_id_of(client),
            path=path,
            error=error,
            seconds=seconds,
            executed=executed,
        )

        def add() -> None:
            engine.need(states.RUNNING, states.PAUSED)
            engine.faults.add(fault)
            engine.note(f"ordered: {fault}")

        self._call(add)
        return fault

    def stall_disk(self, on: bool = True) -> None:
        """Let no write become durable, so that none is answered, until this is called with
        False."""
        self._call(lambda: self._engine.stall_disk(on))

    def reset_faults(self) -> None:
        """Undo delay, fail, no_response, reject_connections and stall_disk. A request that is held
        still comes in only when its delay is over; a silent connection stays silent."""

        def reset() -> None:
            self._engine.need(states.RUNNING, states.PAUSED)
            self._engine.faults.clear()
            if self._engine.is_disk_stalled:
                self._engine.stall_disk(False)
            self._engine.note("ordered: reset faults")

        self._call(reset)

    @property
    def faults(self) -> list[Fault]:
        """The faults of delay, fail and no_response that are in force."""
        return self._engine.faults.in_force

    # --- inspection -----------------------------------------------------------------

    @property
    def sessions(self) -> list[SessionInfo]:
        """All sessions: id, timeout, address, ephemerals."""
        engine = self._engine
        return self._call(lambda: list_sessions(engine.server, engine.links))

    @property
    def watches(self) -> list[WatchInfo]:
        """All watches: path, kind, session id."""
        return self._call(lambda: list_watches(self._engine.server))

    def tree(self, path: str = "/", *, nested: bool = False) -> dict[str, Any]:
        """Return the znodes at and below ``path`` with their data, without /zookeeper; an empty
        dictionary if there is no such znode.

        The dictionary is flat, path -> bytes. If ``nested``, each znode with children is a
        dictionary of its own, in which its own data, if it has any, stands under "".
        """
        flat = self._call(lambda: read_tree(self._engine.server.tree, path))
        return nest(flat) if nested else dict(flat)

    @property
    def events(self) -> list[str]:
        """The last connections, sessions, requests and faults, one line each."""
        return self._call_or_look(self._engine.event_lines)

    @property
    def leaked(self) -> list[LeakedClient]:
        """The clients that were still connected when the server was last stopped or reset."""
        return list(self._engine.leaked)

    def report(self, events: int | None = None) -> str:
        """Return the open sessions and the last ``events`` (None: all that are kept), for the
        report of a test that failed. Works in any state."""
        return self._call_or_look(lambda: self._engine.report(events))

    def _call_or_look(self, function: Callable[[], _Result]) -> _Result:
        """Call a function that only reads: on the loop or, while the server is down, here."""
        try:
            return self._call(function)
        except NotRunningError:
            return function()

    def __repr__(self) -> str:
        engine = self._engine
        return f"<{type(self).__name__} {engine.port.host}:{engine.port.port} {engine.state}>"


def check_leaks(leaks: str | None) -> None:
    """Check an argument ``leaks``. Raises FixtureError."""
    if leaks not in (None, *LEAKS):
        raise FixtureError(f"leaks is {leaks!r}; give one of {', '.join(LEAKS)}")


def report_leaks(leaked: Sequence[LeakedClient], leaks: str) -> None:
    """Ignore these clients, warn of them or raise LeakedClientsError, as ``leaks`` says."""
    if not leaked or leaks == "ignore":
        return
    text = (
        f"{len(leaked)} client(s) still connected when the server was stopped:"
        f" {'; '.join(map(str, leaked))}. Stop each client (kazoo: client.stop()) first."
    )
    if leaks == "error":
        raise LeakedClientsError(text)
    warnings.warn(text, LeakedClientsWarning, stacklevel=4)


_all: Final[weakref.WeakSet[Controls]] = weakref.WeakSet()


def _after_fork() -> None:
    for server in list(_all):
        server._forget_parent()


os.register_at_fork(after_in_child=_after_fork)
