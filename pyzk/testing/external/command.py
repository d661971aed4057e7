"""A server that is a process of its own, behind the names of `ZooKeeperServer`.

Shell. The user's command starts it; signals to its process group stop, kill and pause it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from pyzk.cli.access_options import AccessOptions
from pyzk.errors import KeeperError
from pyzk.testing.core.engine import BROKEN, KILLED, NEW, PAUSED, RUNNING, STOPPED, explain
from pyzk.testing.core.security import UNIFICATION, Security
from pyzk.testing.core.settings import DEFAULTS, PROPERTIES, text_of
from pyzk.testing.errors import FixtureError, NotRunningError
from pyzk.testing.external.plain_client import PlainClient
from pyzk.testing.external.server import POLL_S, SHOWN_LINES, ExternalServer
from pyzk.testing.seams.ports import HeldPort

if TYPE_CHECKING:
    from pyzk.testing.core.certificates import Certificates, GivenCertificates
    from pyzk.testing.core.security import Tls

START_S: Final = 60.0
"""How long a server may take to start or to stop; it may be a JVM on a busy machine."""
_WITH_TLS: Final = "org.apache.zookeeper.server.NettyServerCnxnFactory"
"""The class by which the original has TLS."""
_ATTEMPT_S: Final = 0.2
"""How long the first handshake may take."""


def skip_properties(
    options: Mapping[str, object], command: str, skip: Callable[[str], NoReturn]
) -> None:
    """Skip a test that asks for system properties: they are no keys of zoo.cfg, and the command is
    the same for all tests."""
    for name in options:
        if name in PROPERTIES:
            skip(
                f"{name} is not available with an external server (--pyzk-command {command}): it"
                " is a system property, which only the command can set"
            )


class CommandServer(ExternalServer):
    """A process of its own. In the command {port}, {host}, {data_dir} and {cfg} are replaced; the
    last is a zoo.cfg with the other three and the options."""

    def __init__(
        self,
        command: str,
        directory: str | os.PathLike[str],
        *,
        options: Mapping[str, object] | None = None,
        unavailable: Callable[[str], NoReturn] | None = None,
        access: AccessOptions | None = None,
        tls: Tls = False,
    ) -> None:
        """With ``tls`` the zoo.cfg has a secureClientPort, and no clientPort; who comes in how is
        then known, and ``access`` is for a command that has TLS of its own."""
        self._security = Security(tls, None)
        certificates = self._security.certificates
        if certificates is not None:
            own = certificates.client()
            access = AccessOptions(tls=True, ca=own.ca_file, cert=own.cert_file, key=own.key_file)
        super().__init__(unavailable, access)
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
    def tls(self) -> Certificates | GivenCertificates:
        """See `ZooKeeperServer.tls`."""
        return self._security.need_certificates()

    def kazoo_options(self, certificate: Any = None, *, user: str | None = None) -> dict[str, Any]:
        """See `ZooKeeperServer.kazoo_options`."""
        __tracebackhide__ = True
        found: dict[str, Any] = super().kazoo_options(
            None if self._security.certificates is not None else certificate, user=user
        )
        if self._security.certificates is not None:
            found |= self._security.certificate(certificate).kazoo_options()
        return found

    def client_ssl_context(self, certificate: Any = None) -> ssl.SSLContext:
        """See `ZooKeeperServer.client_ssl_context`."""
        __tracebackhide__ = True
        if self._security.certificates is None:
            return super().client_ssl_context(certificate)
        return self._security.certificate(certificate).ssl_context()

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
        # A socket that is bound and does not listen keeps the number for the server.
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
        if str(cfg) not in text and self._options:
            raise FixtureError(f"{self.option}: options need {{cfg}} in it")
        if str(cfg) not in text and self._security.certificates is not None:
            raise FixtureError(f"{self.option}: tls needs {{cfg}} in it")
        return arguments

    def _text(self) -> str:
        for name in self._options:
            if name in PROPERTIES and f"{name}=" not in self._command:
                raise FixtureError(
                    f"option {name} is a system property, which no zoo.cfg takes:"
                    f" write -D{name}=... into the command"
                )
        settings: dict[str, object] = {
            **{name: value for name, value in DEFAULTS.items() if name not in PROPERTIES},
            "admin.enableServer": "false",
            **{name: value for name, value in self._options.items() if name not in PROPERTIES},
            "dataDir": self.data_dir,
        }
        if self._security.certificates is None:
            settings |= {"clientPort": self.port, "clientPortAddress": self.host}
        else:
            stores = self._security.options(self.host, {})
            del stores[UNIFICATION]
            settings |= {
                "secureClientPort": self.port,
                "secureClientPortAddress": self.host,
                "serverCnxnFactory": _WITH_TLS,
                **stores,
            }
        return "".join(f"{name}={text_of(value)}\n" for name, value in settings.items())

    def _wait_until_ready(self) -> None:
        """Wait until a client gets a session, which is a write."""
        assert self._process is not None
        deadline = time.monotonic() + START_S
        patience = _ATTEMPT_S
        while True:
            status = self._process.poll()
            if status is not None:
                raise FixtureError(f"{self.option}: it ended with status {status}{self._tail()}")
            # The original may never answer a handshake that comes while it starts.
            begun = time.monotonic()
            with contextlib.suppress(OSError, KeeperError), self._first_session(patience):
                return
            if time.monotonic() - begun >= patience:
                patience *= 2
            if time.monotonic() > deadline:
                raise FixtureError(f"{self.option}: not ready after {START_S:g} s{self._tail()}")
            # The server is another process: only its port tells that it serves.
            time.sleep(POLL_S)

    def _first_session(self, patience: float) -> PlainClient:
        return PlainClient(*self._address, patience, access=self.access)

    def _tail(self) -> str:
        return "".join(f"\n  {line}" for line in self.events[-SHOWN_LINES:])

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
        """Send a signal to the whole group, as the command may be a script."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def restart(self) -> None:
        """Start again with the same data on the same port."""
        if self.state == NEW:
            raise NotRunningError(explain(NEW))
        self._end(signal.SIGTERM)
        self.state = STOPPED
        self._held.hold()
        self._run()

    def reset(self) -> None:
        """Delete all znodes; if an ACL forbids it, start again with an empty directory."""
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
        """Stop the process by SIGSTOP."""
        self._need(RUNNING)
        self._signal(signal.SIGSTOP)
        self.state = PAUSED

    def resume(self) -> None:
        """Let the process go on, by SIGCONT."""
        if self.state != PAUSED:
            raise FixtureError(f"resume() ends a pause; {explain(self.state)}")
        self._signal(signal.SIGCONT)
        self.state = RUNNING
