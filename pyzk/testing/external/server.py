"""Servers that run elsewhere behind the same names: one test suite for pyzk and for the original.

Shell. `ConnectedServer` is a server that runs already; `pyzk.testing.external.command` starts one
as a process. Both offer what a client can do. What only a server in this process can do (faults,
time, sessions and watches of others) is refused by name when a test asks for it.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, Self

from pyzk.cli.access import AccessError, explain_tls
from pyzk.cli.access_options import AccessOptions
from pyzk.data.paths import ROOT
from pyzk.errors import (
    KeeperError,
    NoAuth,
    NodeExists,
    NoNode,
    NotEmpty,
    SaslError,
    SessionExpired,
)
from pyzk.int64 import hex_id
from pyzk.runtime.addresses import place
from pyzk.testing.core.engine import NEW, PAUSED, RUNNING, STOPPED, explain
from pyzk.testing.core.inspection import SessionInfo, WatchInfo, flatten, nest, session_id_of
from pyzk.testing.errors import FixtureError, NotAvailableError, NotRunningError
from pyzk.testing.external import sight as external_sight
from pyzk.testing.external.plain_client import PlainClient
from pyzk.testing.server import WAIT_S, ZooKeeperServer

ORDER_S: Final = 20.0
"""How long a server may take to answer."""
POLL_S: Final = 0.01
"""How often a condition is checked that nothing tells of."""
_RESERVED: Final = "zookeeper"
SHOWN_LINES: Final = 30


def _raise_unavailable(text: str) -> NoReturn:
    raise NotAvailableError(text)


def _explained(error: Exception) -> str:
    """Return what was wrong, with the options of this plugin."""
    told = explain_tls(error) if isinstance(error, OSError) else None
    return str(error) if told is None else told.replace("--", "--pyzk-")


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.strip().rpartition(":")
    if not colon or not port.isdigit():
        raise FixtureError(f"{address!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


class ExternalServer:
    """What a client can do. Paths are those of a client that uses `connect_string`."""

    option = ""
    """The option that asked for this server, for messages."""
    offers: type[object] = ZooKeeperServer
    """The class whose other names are refused by name."""

    def __init__(
        self,
        unavailable: Callable[[str], NoReturn] | None = None,
        access: AccessOptions | None = None,
    ) -> None:
        self.unavailable = unavailable or _raise_unavailable
        self.access_options = access or AccessOptions()
        try:
            self.access = self.access_options.read()
        except AccessError as error:
            raise FixtureError(str(error)) from None
        self.state = NEW
        self._chroot = ""

    def __getattr__(self, name: str) -> object:
        __tracebackhide__ = True  # pytest then shows the line of the test as the skipped one.
        if name.startswith("_") or not hasattr(self.offers, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self.unavailable(f"{name} is not available with an external server ({self.option})")

    # --- where it is ----------------------------------------------------------------

    @property
    def _address(self) -> tuple[str, int]:
        """The host and port of the server, or of one of several."""
        raise NotImplementedError

    @property
    def host(self) -> str:
        """The host name or address; of the first server if there are several."""
        return self._address[0]

    @property
    def port(self) -> int:
        """The client port; of the first server if there are several."""
        return self._address[1]

    @property
    def _servers(self) -> list[tuple[str, int]]:
        """The hosts and ports of all servers that clients may be connected to."""
        return [self._address]

    @property
    def chroot(self) -> str:
        """The path below which the test works; empty if it has the whole tree."""
        return self._chroot

    @property
    def connect_string(self) -> str:
        """The connect string for clients; it may end with a chroot."""
        return place(*self._address) + self._chroot

    @property
    def data_dir(self) -> str | None:
        """The data directory, if it is known."""
        return None

    @property
    def leaked(self) -> list[object]:
        """No clients: nothing is known of them."""
        return []

    def kazoo_options(self, certificate: object = None, *, user: str | None = None) -> Any:
        """See `ZooKeeperServer.kazoo_options`; what the server itself asks for is given with the
        run, and is the same for all clients."""
        __tracebackhide__ = True
        if certificate is not None or user is not None:
            self.unavailable(
                "kazoo_options of a certificate or a user is not available with an external server"
                f" ({self.option}): its clients come in as the run says"
            )
        return {"hosts": self.connect_string, **self.access_options.kazoo_options()}

    def client_ssl_context(self, certificate: object = None) -> ssl.SSLContext:
        """See `ZooKeeperServer.client_ssl_context`."""
        __tracebackhide__ = True
        if certificate is not None or self.access.tls is None:
            self.unavailable(
                "client_ssl_context is not available with an external server"
                f" ({self.option}), but for its own certificate (--pyzk-tls, --pyzk-cert)"
            )
        return self.access.tls

    def _client(self, session: tuple[int, bytes] | None = None) -> PlainClient:
        self._need(RUNNING)
        return PlainClient(*self._address, ORDER_S, session, self.access)

    def _need(self, *states: str) -> None:
        if self.state not in states:
            raise NotRunningError(explain(self.state))

    def _check_new(self) -> None:
        if self.state != NEW:
            raise FixtureError(f"start() is for the first start, once; {explain(self.state)}")

    # --- sessions -------------------------------------------------------------------

    def expire_session(self, session: object) -> None:
        """Expire the session of a kazoo client: take it over by its password, and close it."""
        __tracebackhide__ = True
        client_id = getattr(session, "client_id", None)
        if client_id is None:
            self.unavailable(
                "expire_session of anything but a connected kazoo client is not available with an"
                f" external server ({self.option}): it needs the password of the session"
            )
        deadline = time.monotonic() + ORDER_S
        with contextlib.suppress(SessionExpired):
            while True:
                try:
                    with self._client(client_id) as client:
                        client.end_session()
                    return
                except ConnectionError:
                    # The client has taken its session back, or the answer was lost.
                    if time.monotonic() > deadline:
                        raise

    def drop_connection(self, client: object) -> None:
        """Cut the connection of a kazoo client, at the client's end."""
        __tracebackhide__ = True
        connection = external_sight.socket_of(client)
        if connection is None:
            self.unavailable(
                "drop_connection of anything but a connected kazoo client is not available with an"
                f" external server ({self.option}): it is cut at its own end"
            )
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    @property
    def faults(self) -> list[object]:
        """No faults: this server has none."""
        return []

    def reset_faults(self) -> None:
        """Do nothing: there are no faults."""
        self._need(RUNNING, PAUSED)

    # --- the tree -------------------------------------------------------------------

    def tree(self, path: str = ROOT, *, nested: bool = False) -> dict[str, Any]:
        """See `ZooKeeperServer.tree`."""
        flat: dict[str, bytes] = {}
        with self._client() as client:
            todo = [path]
            while todo:
                at = todo.pop()
                with contextlib.suppress(NoNode):
                    data = client.get_data(self._full(at))
                    if at != ROOT or data:
                        flat[at] = data
                    todo += reversed(self._below(client, at))
        return nest(flat) if nested else flat

    def _below(self, client: PlainClient, path: str) -> list[str]:
        base = "" if path == ROOT else path
        is_top = path == ROOT and not self._chroot
        return [
            f"{base}/{name}"
            for name in client.children(self._full(path))
            if not (is_top and name == _RESERVED)
        ]

    def load(self, tree: Mapping[str, Any]) -> None:
        """See `ZooKeeperServer.load`."""
        with self._client() as client:
            for path, data in flatten(tree).items():
                try:
                    client.create(self._full(path), data)
                except NodeExists:
                    client.set_data(self._full(path), data)

    def reset(self) -> None:
        """Delete all znodes. Clients stay connected, and keep their sessions."""
        with self._client() as client:
            for path in self._below(client, ROOT):
                self._delete(client, path)

    def _delete(self, client: PlainClient, path: str) -> None:
        with contextlib.suppress(NoNode):
            while True:
                for below in self._below(client, path):
                    self._delete(client, below)
                try:
                    client.delete(self._full(path))
                except NotEmpty:  # Somebody is still writing.
                    continue
                except NoAuth:
                    raise FixtureError(f"{self._full(path)}: its parent's ACL keeps it") from None
                return

    def _full(self, path: str) -> str:
        return self._chroot + path if path != ROOT else self._chroot or ROOT

    # --- waiting --------------------------------------------------------------------

    def wait_for_node(
        self,
        path: str,
        *,
        exists: bool = True,
        data: bytes | None = None,
        timeout: float = WAIT_S,
    ) -> None:
        """See `ZooKeeperServer.wait_for_node`."""
        if data is not None and not exists:
            raise FixtureError("data= is for a znode that should exist")
        deadline = time.monotonic() + timeout
        full = self._full(path)
        with self._client() as client:
            while True:
                found = client.exists(full, watch=True)
                seen = client.get_data(full) if found and data is not None else data
                if found == exists and seen == data:
                    return
                if not client.wait_for_event(deadline):
                    what = f"exists, its data is {seen!r}" if found else "does not exist"
                    raise TimeoutError(f"{path} {what} (waited {timeout:g} s)")

    def wait_until(
        self, condition: Callable[[], object], what: str = "", *, timeout: float = WAIT_S
    ) -> None:
        """Wait until ``condition()`` is true; it is called again and again."""
        deadline = time.monotonic() + timeout
        while not condition():
            self._need(RUNNING)
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{what or repr(condition)} does not hold (waited {timeout:g} s)"
                )
            # The server is another process, and tells nothing.
            time.sleep(POLL_S)

    def wait_for_watch(
        self, path: str, *, kind: str | None = None, client: object = None, timeout: float = WAIT_S
    ) -> WatchInfo:
        """Wait until the server has answered this kazoo client that it watches ``path``."""
        __tracebackhide__ = True
        kinds = tuple(external_sight.WATCHERS) if kind is None else (kind,)
        if not external_sight.has_watches(client) or kinds[0] not in external_sight.WATCHERS:
            self.unavailable(
                "wait_for_watch without client=, a kazoo client, and the kind data or children is"
                f" not available with an external server ({self.option}): the client is asked"
            )
        seen: list[WatchInfo] = []

        def is_set() -> bool:
            found = external_sight.watch_of(client, self._full(path), kinds)
            seen.extend([] if found is None else [found._replace(path=path)])
            return found is not None

        self.wait_until(is_set, f"a watch of the client on {path}", timeout=timeout)
        return seen[0]

    def wait_for_session(
        self, session: object = None, *, exists: bool = True, timeout: float = WAIT_S
    ) -> SessionInfo | None:
        """Wait until this session is connected or, with ``exists=False``, over. The server must
        answer the four-letter words cons and dump."""
        __tracebackhide__ = True
        if session is None:
            self.unavailable(
                "wait_for_session of any session is not available with an external server"
                f" ({self.option}): others may have sessions there, too"
            )
        session_id = session_id_of(session)
        found: list[SessionInfo] = []

        def is_there() -> bool:
            if not exists:
                return not external_sight.is_session_known(
                    self._servers, session_id, ORDER_S, self.access
                )
            one = external_sight.find_session(self._servers, session_id, ORDER_S, self.access)
            found.extend([] if one is None else [one])
            return one is not None

        try:
            what = f"session {hex_id(session_id)} {'connected' if exists else 'over'}"
            self.wait_until(is_there, what, timeout=timeout)
        except external_sight.NotAllowedError as error:
            self.unavailable(
                f"wait_for_session is not available with an external server ({self.option}) that"
                f" does not allow it: {error}"
            )
        return found[0] if exists else None

    # --- what is told ---------------------------------------------------------------

    @property
    def events(self) -> list[str]:
        """The output of the server, as far as it is known."""
        return []

    def report(self, events: int | None = None) -> str:
        """Return what is known of the server, for the report of a test that failed."""
        lines = [f"external server ({self.option}), {self.state}"]
        if self.state != NEW:
            lines[0] += f", {self.connect_string}"
        lines += [f"  {line}" for line in self.events[-(events or SHOWN_LINES) :]]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.option} {self.state}>"

    # --- life -----------------------------------------------------------------------

    def start(self) -> Self:
        """Return when a client can write."""
        raise NotImplementedError

    def stop(self, *, leaks: str | None = None) -> None:
        """End, and leave nothing behind."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class ConnectedServer(ExternalServer):
    """A server or an ensemble that runs already; this object works in a chroot of its own there."""

    def __init__(
        self,
        hosts: str,
        unavailable: Callable[[str], NoReturn] | None = None,
        *,
        on_disk: bool = False,
        access: AccessOptions | None = None,
    ) -> None:
        super().__init__(unavailable, access)
        self._is_on_disk = on_disk
        self.option = f"--pyzk-connect {hosts}"
        self._hosts, _, chroot = hosts.partition("/")
        self._base = f"/{chroot.strip('/')}" if chroot.strip("/") else ""
        self._addresses = [_split(host) for host in self._hosts.split(",")]
        self._at = self._addresses[0]

    @property
    def _address(self) -> tuple[str, int]:
        return self._at

    @property
    def _servers(self) -> list[tuple[str, int]]:
        return self._addresses

    @property
    def data_dir(self) -> str | None:
        __tracebackhide__ = True
        if self._is_on_disk:
            self.unavailable(f"data_dir is not available with an external server ({self.option})")
        return None

    @property
    def connect_string(self) -> str:
        return self._hosts + self._chroot

    def start(self) -> Self:
        """Create the chroot, which shows that a client can write."""
        self._check_new()
        with self._first() as client:
            at = ""
            for name in [*self._base.split("/")[1:], f"pyzk-test-{secrets.token_hex(8)}"]:
                at += f"/{name}"
                with contextlib.suppress(NodeExists):
                    client.create(at, b"")
        self._chroot = at
        self.state = RUNNING
        return self

    def _first(self) -> PlainClient:
        """Connect to the first server that answers."""
        problems = []
        for address in self._addresses:
            try:
                client = PlainClient(*address, ORDER_S, access=self.access)
            except (OSError, KeeperError, SaslError) as error:
                problems.append(f"{place(*address)}: {_explained(error)}")
            else:
                self._at = address
                return client
        raise FixtureError(f"{self.option}: no server answers ({'; '.join(problems)})")

    def stop(self, *, leaks: str | None = None) -> None:
        """Delete the chroot and all below it."""
        if self.state == RUNNING:
            with self._client() as client:
                self._delete(client, ROOT)
        self.state = STOPPED
