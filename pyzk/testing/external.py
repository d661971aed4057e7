"""Servers that run elsewhere behind the same names: one test suite for pyzk and for the original.

Shell. `ConnectedServer` is one that runs already; `CommandServer` is a process that is started,
stopped, killed and paused. Both offer what goes over the wire; what only a server in this process
can do (faults, time, sessions and watches of others) is refused by name.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from pyzk.data.paths import ROOT
from pyzk.errors import KeeperError, NoAuth, NodeExists, NoNode, NotEmpty, SessionExpired
from pyzk.testing.engine import BROKEN, KILLED, NEW, PAUSED, RUNNING, STOPPED, explain
from pyzk.testing.errors import FixtureError, NotAvailableError, NotRunningError
from pyzk.testing.inspection import flatten, nest
from pyzk.testing.plain_client import PlainClient
from pyzk.testing.ports import HeldPort
from pyzk.testing.server import WAIT_S, ZooKeeperServer
from pyzk.testing.settings import DEFAULTS, PROPERTIES, text_of

START_S: Final = 60.0
"""How long a server may take to start or to stop: a JVM on a busy machine."""
_ORDER_S: Final = 20.0
_POLL_S: Final = 0.01
_ATTEMPT_S: Final = 0.2
"""How long the first handshake may take."""
_RESERVED: Final = "zookeeper"
_SHOWN_LINES: Final = 30


def _raise_unavailable(text: str) -> NoReturn:
    raise NotAvailableError(text)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.strip().rpartition(":")
    if not colon or not port.isdigit():
        raise FixtureError(f"{address!r} is no HOST:PORT")
    return host.strip("[]"), int(port)


class ExternalServer:
    """What goes over the wire. Paths are those that a client with `connect_string` uses."""

    option = ""
    """What the user has asked for it with, for messages."""

    def __init__(self, unavailable: Callable[[str], NoReturn] | None = None) -> None:
        self._unavailable = unavailable or _raise_unavailable
        self.state = NEW
        self._chroot = ""

    def __getattr__(self, name: str) -> object:
        if name.startswith("_") or not hasattr(ZooKeeperServer, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._unavailable(f"{name} is not available with an external server ({self.option})")

    # --- where it is ----------------------------------------------------------------

    @property
    def _address(self) -> tuple[str, int]:
        """Where a client can connect."""
        raise NotImplementedError

    @property
    def host(self) -> str:
        """The address (the first, where there are several)."""
        return self._address[0]

    @property
    def port(self) -> int:
        """The client port (the first, where there are several)."""
        return self._address[1]

    @property
    def connect_string(self) -> str:
        """What a client is given; it may end with a chroot."""
        return _join(*self._address) + self._chroot

    @property
    def data_dir(self) -> str | None:
        """The data directory, where it is known."""
        return None

    @property
    def leaked(self) -> list[object]:
        """Nothing is known of clients."""
        return []

    def _client(self, session: tuple[int, bytes] | None = None) -> PlainClient:
        self._need(RUNNING)
        return PlainClient(*self._address, _ORDER_S, session)

    def _need(self, *states: str) -> None:
        if self.state not in states:
            raise NotRunningError(explain(self.state))

    def _check_new(self) -> None:
        if self.state != NEW:
            raise FixtureError(f"start() is for the first start, once; {explain(self.state)}")

    # --- sessions -------------------------------------------------------------------

    def expire_session(self, session: object) -> None:
        """Expire the session of a kazoo client: its id and its password are taken to end it."""
        client_id = getattr(session, "client_id", None)
        if client_id is None:
            self._unavailable(
                "expire_session takes a connected kazoo client with an external server"
                f" ({self.option}): it needs the password of the session"
            )
        with contextlib.suppress(SessionExpired), self._client(client_id) as client:
            client.end_session()

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
            raise FixtureError("data is asked of a znode that should not exist")
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

    # --- what is told ---------------------------------------------------------------

    @property
    def events(self) -> list[str]:
        """What the server has printed, as far as it is known."""
        return []

    def report(self, events: int | None = None) -> str:
        """Return what is known of the server, for a test that failed."""
        lines = [f"external server ({self.option}), {self.state}"]
        if self.state != NEW:
            lines[0] += f", {self.connect_string}"
        lines += [f"  {line}" for line in self.events[-(events or _SHOWN_LINES) :]]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.option} {self.state}>"

    # --- life -----------------------------------------------------------------------

    def start(self) -> Self:
        """Return when a client can write."""
        raise NotImplementedError

    def stop(self, *, leaks: str | None = None) -> None:
        """Leave nothing behind."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class ConnectedServer(ExternalServer):
    """A server or an ensemble that runs already. Each of these has a chroot of its own there."""

    def __init__(self, hosts: str, unavailable: Callable[[str], NoReturn] | None = None) -> None:
        super().__init__(unavailable)
        self.option = f"--pyzk-connect {hosts}"
        self._hosts, _, chroot = hosts.partition("/")
        self._base = f"/{chroot.strip('/')}" if chroot.strip("/") else ""
        self._addresses = [_split(host) for host in self._hosts.split(",")]
        self._at = self._addresses[0]

    @property
    def _address(self) -> tuple[str, int]:
        return self._at

    @property
    def connect_string(self) -> str:
        return self._hosts + self._chroot

    def start(self) -> Self:
        """Make a chroot; return when a client can write."""
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
                client = PlainClient(*address, _ORDER_S)
            except (OSError, KeeperError) as error:
                problems.append(f"{_join(*address)}: {error}")
            else:
                self._at = address
                return client
        raise FixtureError(f"{self.option}: nobody answers ({'; '.join(problems)})")

    def stop(self, *, leaks: str | None = None) -> None:
        """Delete the chroot and all below it."""
        if self.state == RUNNING:
            with self._client() as client:
                self._delete(client, ROOT)
        self.state = STOPPED


class CommandServer(ExternalServer):
    """A process of its own. In the command {port}, {host}, {data_dir} and {cfg} (a zoo.cfg with all
    of that and the options) are replaced."""

    def __init__(
        self,
        command: str,
        directory: str | os.PathLike[str],
        *,
        options: Mapping[str, object] | None = None,
        unavailable: Callable[[str], NoReturn] | None = None,
    ) -> None:
        super().__init__(unavailable)
        self.option = f"--pyzk-command {shlex.quote(command)}"
        self._command = command
        self._directory = Path(directory)
        self._options = dict(options or {})
        self._held = HeldPort("127.0.0.1", 0)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def _address(self) -> tuple[str, int]:
        if self._held.port == 0:
            raise NotRunningError(explain(NEW))
        return self._held.host, self._held.port

    @property
    def data_dir(self) -> str:
        return str(self._directory / "data")

    @property
    def _output(self) -> Path:
        return self._directory / "output.log"

    @property
    def events(self) -> list[str]:
        if not self._output.exists():
            return []
        return self._output.read_text(errors="replace").splitlines()

    # --- life -----------------------------------------------------------------------

    def start(self) -> Self:
        """Start the process; return when a client can write."""
        self._check_new()
        Path(self.data_dir).mkdir(parents=True, exist_ok=True)
        # Bound and not listening: nobody else is given the number, a server can have it.
        self._held.hold()
        try:
            self._run()
        except BaseException:
            self._held.release()
            raise
        return self

    def _run(self) -> None:
        arguments = self._arguments()
        with self._output.open("ab") as output:
            try:
                self._process = subprocess.Popen(  # noqa: S603 the user's own command
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            except OSError as error:
                raise FixtureError(f"{self.option}: cannot run it: {error}") from None
        try:
            self._wait_until_ready()
        except BaseException:
            self._end(signal.SIGKILL)
            raise
        self.state = RUNNING

    def _arguments(self) -> list[str]:
        cfg = self._directory / "zoo.cfg"
        cfg.write_text(self._text())
        values = {
            "port": self.port, "host": self.host, "data_dir": self.data_dir, "cfg": cfg
        }  # fmt: skip
        try:
            arguments = [part.format(**values) for part in shlex.split(self._command)]
        except (KeyError, IndexError, ValueError) as error:
            raise FixtureError(
                f"{self.option}: {error!r}; known are {{port}}, {{host}}, {{data_dir}} and {{cfg}}"
            ) from None
        text = " ".join(arguments)
        if str(cfg) not in text and str(self.port) not in text:
            raise FixtureError(f"{self.option}: it names neither {{port}} nor {{cfg}}")
        if self._options and str(cfg) not in text:
            raise FixtureError(f"{self.option}: options need {{cfg}} in it")
        return arguments

    def _text(self) -> str:
        for name in self._options:
            if name in PROPERTIES:
                raise FixtureError(
                    f"option {name} is a system property, which no zoo.cfg takes:"
                    f" write -D{name}=... into the command"
                )
        settings: dict[str, object] = {
            **{name: value for name, value in DEFAULTS.items() if name not in PROPERTIES},
            "admin.enableServer": "false",
            **self._options,
            "dataDir": self.data_dir,
            "clientPort": self.port,
            "clientPortAddress": self.host,
        }
        return "".join(f"{name}={text_of(value)}\n" for name, value in settings.items())

    def _wait_until_ready(self) -> None:
        """A new session is a write: who gets one can write."""
        assert self._process is not None
        deadline = time.monotonic() + START_S
        patience = _ATTEMPT_S
        while True:
            status = self._process.poll()
            if status is not None:
                raise FixtureError(f"{self.option}: it ended with status {status}{self._tail()}")
            # The original may lose a handshake for good while it starts: ask again, not for ever.
            begun = time.monotonic()
            with contextlib.suppress(OSError, KeeperError), PlainClient(*self._address, patience):
                return
            if time.monotonic() - begun >= patience:
                patience *= 2
            if time.monotonic() > deadline:
                raise FixtureError(f"{self.option}: not ready after {START_S:g} s{self._tail()}")
            # Another process: there is nothing to wait on but its port.
            time.sleep(_POLL_S)

    def _tail(self) -> str:
        return "".join(f"\n  {line}" for line in self.events[-_SHOWN_LINES:])

    def stop(self, *, leaks: str | None = None) -> None:
        """End the process by SIGTERM, and give the port back."""
        self._end(signal.SIGTERM)
        self._held.release()
        self.state = STOPPED

    def kill(self) -> None:
        """End the process by SIGKILL."""
        self._need(RUNNING, PAUSED)
        self._end(signal.SIGKILL)
        self.state = KILLED

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._signal(number)
        self._signal(signal.SIGCONT)
        try:
            self._process.wait(START_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._process = None

    def _need(self, *states: str) -> None:
        process = self._process
        if process is not None and process.poll() is not None:
            self._process = None
            self.state = BROKEN
        super()._need(*states)

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group: the command may be a script."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def restart(self) -> None:
        """Come up again with the same data on the same port."""
        if self.state == NEW:
            raise NotRunningError(explain(NEW))
        self._end(signal.SIGTERM)
        self.state = STOPPED
        self._held.hold()
        self._run()

    def reset(self) -> None:
        """Delete all znodes; where an ACL forbids it, start again with an empty directory."""
        self._need(RUNNING, PAUSED)
        if self.state == PAUSED:
            self.resume()
        try:
            super().reset()
        except (FixtureError, KeeperError):
            self._end(signal.SIGTERM)
            shutil.rmtree(self.data_dir)
            Path(self.data_dir).mkdir()
            self._run()

    def pause(self) -> None:
        """SIGSTOP."""
        self._need(RUNNING)
        self._signal(signal.SIGSTOP)
        self.state = PAUSED

    def resume(self) -> None:
        """SIGCONT."""
        if self.state != PAUSED:
            raise FixtureError(f"resume() ends a pause; {explain(self.state)}")
        self._signal(signal.SIGCONT)
        self.state = RUNNING
