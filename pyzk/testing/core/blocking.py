"""The calls that wait for a server, for tests that are not asyncio's.

Shell. Each call runs on the server's loop and returns when it is done; `ZooKeeperServer` and the
members of `ZooKeeperEnsemble` say how it gets to the loop.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

from pyzk.testing.core import orders
from pyzk.testing.core.controls import Controls
from pyzk.testing.core.inspection import SessionInfo, WatchInfo

_Result = TypeVar("_Result")

WAIT_S: Final = 10.0
"""How long the wait helpers wait unless a test gives a timeout."""


class BlockingControls(Controls):
    """A server that is reached from other threads."""

    @abstractmethod
    def _wait(self, coroutine: Coroutine[object, object, _Result]) -> _Result:
        """Run a coroutine on the server's loop, and wait for it. Raises NotRunningError."""

    # --- faults ---------------------------------------------------------------------

    def expire_session(self, session: object) -> None:
        """Expire a session, named by its id or a kazoo client; return when its ephemerals are
        gone."""
        self._wait(orders.expire_session(self._engine, session))

    def drop_connection(self, client: object) -> None:
        """Cut the connection of a client, named by its session's id, its host:port or a kazoo
        client."""
        self._wait(orders.drop_connection(self._engine, client))

    def drop_connections(self) -> int:
        """Cut every connection; return how many there were."""
        return self._wait(orders.drop_connections(self._engine))

    # --- the tree -------------------------------------------------------------------

    def load(self, tree: Mapping[str, Any]) -> None:
        """Create znodes, with their parents, and set the data of those that exist. The dictionary
        is as `tree` returns it, flat or nested."""
        self._wait(orders.load(self._engine, tree))

    # --- waiting --------------------------------------------------------------------

    def wait_for_session(
        self, session: object = None, *, exists: bool = True, timeout: float = WAIT_S
    ) -> SessionInfo | None:
        """Wait until a session (any, or this one) is connected; with ``exists=False`` until it is
        gone. The TimeoutError, here as in every wait, says what there is instead."""
        return self._wait(orders.wait_for_session(self._engine, session, exists, timeout))

    def wait_for_node(
        self,
        path: str,
        *,
        exists: bool = True,
        data: bytes | None = None,
        timeout: float = WAIT_S,
    ) -> None:
        """Wait until a znode exists (with this data) or, with ``exists=False``, until it does
        not."""
        self._wait(orders.wait_for_node(self._engine, path, exists, data, timeout))

    def wait_for_watch(
        self, path: str, *, kind: str | None = None, client: object = None, timeout: float = WAIT_S
    ) -> WatchInfo:
        """Wait until a client (any, or this one) watches ``path``. The kinds are ``data`` (which
        exists sets, too), ``children``, ``persistent`` and ``recursive``."""
        return self._wait(orders.wait_for_watch(self._engine, path, kind, client, timeout))

    def wait_until_idle(self, *, timeout: float = WAIT_S) -> None:
        """Wait until everything that clients have sent is served and answered."""
        self._wait(orders.wait_until_idle(self._engine, timeout))

    def wait_until(
        self, condition: Callable[[], object], what: str = "", *, timeout: float = WAIT_S
    ) -> None:
        """Wait until ``condition()`` is true. It is called on the server's loop after each input of
        the server; it may use `sessions`, `watches` and `tree`, and must not block."""
        self._wait(orders.wait_until(self._engine, condition, what, timeout))
