"""The ports for HTTP of one server: opened once clients are served, closed at the end.

Shell. Nothing here imports aiohttp, which is an extra and takes a while: that happens on a thread,
when the server serves already, and only if a port is configured.
ZooKeeper: AdminServerFactory
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from pyzk.errors import ConfigError
from pyzk.extras import the_extra
from pyzk.runtime.addresses import place
from pyzk.runtime.client_port import ClientInputs
from pyzk.runtime.loop import spawn

if TYPE_CHECKING:
    import socket

    from pyzk.clock import Clock
    from pyzk.config.admin import AdminConfig
    from pyzk.config.server import ServerConfig
    from pyzk.quorum.configurations import Configurations
    from pyzk.quorum.peer import Peer
    from pyzk.runtime.http_port import HttpPort
    from pyzk.runtime.metrics_port import MetricsPort
    from pyzk.runtime.seams import ServerStorage, Timer
    from pyzk.runtime.tls import TlsContexts

log = logging.getLogger(__name__)

LIBRARY: Final = "aiohttp"


class Runner(Protocol):
    """What the ports ask of pyzk.runtime.runner.PeerRunner."""

    config: ServerConfig
    peer: Peer
    clock: Clock
    client_address: tuple[str, int]
    secure_client_address: tuple[str, int] | None
    first_reserved_descriptor: int

    @property
    def configurations(self) -> Configurations | None: ...
    @property
    def storage(self) -> ServerStorage: ...
    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer: ...
    def perform(self, order: Callable[[], None]) -> None: ...
    def read_clock(self) -> None: ...


class RunnerWorld:
    """A runner, as the pages see it: `pyzk.runtime.admin_world.AdminWorld`."""

    def __init__(self, runner: Runner, client_keys: TlsContexts | None) -> None:
        self._runner = runner
        self._client_keys = client_keys

    @property
    def config(self) -> ServerConfig:
        return self._runner.config

    @property
    def peer(self) -> Peer:
        return self._runner.peer

    @property
    def clock(self) -> Clock:
        """Returns the clock of the core, set to now."""
        self._runner.read_clock()
        return self._runner.clock

    @property
    def client_address(self) -> tuple[str, int]:
        return self._runner.client_address

    @property
    def secure_client_address(self) -> tuple[str, int] | None:
        return self._runner.secure_client_address

    @property
    def client_keys(self) -> TlsContexts | None:
        return self._client_keys

    @property
    def configurations(self) -> Configurations | None:
        return self._runner.configurations

    @property
    def clients(self) -> ClientInputs:
        """Returns what takes the bytes of clients: the runner itself."""
        runner = self._runner
        assert isinstance(runner, ClientInputs), runner
        return runner

    @property
    def storage(self) -> ServerStorage:
        return self._runner.storage

    def take_in(self, call: Callable[[], None]) -> None:
        """Gives the peer an input."""
        self._runner.perform(call)


class AdminPorts:
    """The ports for HTTP that a server's configuration asks for."""

    def __init__(
        self,
        runner: Runner,
        client_keys: TlsContexts | None = None,
        sockets: Sequence[socket.socket] | None = None,
    ) -> None:
        """Look whether what the configuration asks for can be had, and bind the port for metrics.
        ``client_keys`` are those of the ports for clients, if they take TLS; ``sockets`` listen
        already for the admin server, if there are any. Raises ConfigError, and MetricsPortError."""
        self._runner = runner
        self._world = RunnerWorld(runner, client_keys)
        self._sockets = list(sockets or ())
        config = runner.config.admin
        if config is not None and config.is_required and not _has_library():
            raise ConfigError(f"true needs {the_extra('admin')}", key="admin.enableServer")
        self._metrics: MetricsPort | None = None
        self._contexts: TlsContexts | None = None
        if config is not None and config.tls is not None and _has_library():
            from pyzk.runtime.tls import TlsContexts  # few need it

            self._contexts = TlsContexts(config.tls)
        self._opening: asyncio.Task[object] | None = None
        self._port: HttpPort | None = None
        self._is_over = False
        if runner.config.is_told_to_prometheus:
            from pyzk.runtime.metrics_port import MetricsPort  # few need it

            self._metrics = MetricsPort(runner.config)

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Where Prometheus asks for metrics; None if the configuration has no port for that."""
        return None if self._metrics is None else self._metrics.address

    @property
    def port(self) -> HttpPort | None:
        """The port of the admin server; None while it is not open."""
        return self._port

    @property
    def address(self) -> tuple[str, int] | None:
        """Where the admin server is; None while it is not open."""
        return None if self._port is None else self._port.address

    def reload_keys(self) -> bool:
        """Read the files of keys and certificates again if they have changed; return whether there
        are new ones."""
        return self._contexts is not None and self._contexts.reload_if_changed()

    def open(self) -> None:
        """Open the ports, soon."""
        if self._metrics is not None:
            self._metrics.open(self._world, self._admits)
        config = self._runner.config.admin
        if config is None:
            return
        if not _has_library():
            needed = the_extra(
                "admin", "for make serve: make admin; admin.enableServer=false ends this line"
            )
            log.info("no admin server: it needs %s", needed)
            self._close_sockets()
            return
        self._opening = spawn(self._open(config), "admin port")

    async def opened(self) -> None:
        """Wait until the ports are open, or cannot be."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._metrics is not None:
            await self._metrics.opened()

    async def _open(self, config: AdminConfig) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, importlib.import_module, "pyzk.runtime.admin_port")
        if self._is_over:
            return
        from pyzk.admin.console.guard import NOBODY
        from pyzk.runtime.admin_port import open_admin_port

        try:
            self._port = await open_admin_port(
                self._world,
                config,
                self._contexts,
                self._runner.call_later,
                self._admits,
                self._sockets,
            )
        except OSError as error:
            # A name that does not resolve has a negative number, of another list than errno's.
            number = error.errno or 0
            reason = os.strerror(number) if number > 0 else error.strerror or str(error)
            log.warning(
                "no admin server on %s: %s; choose another place with admin.serverPort and"
                " admin.serverAddress, or none with admin.enableServer=false",
                place(config.server_address, config.server_port),
                reason,
            )
            return
        log.info(
            "admin server on %s://%s%s%s",
            "https" if config.force_https else "http",
            place(*self._port.address),
            config.command_url,
            "" if self._runner.config.console_enabled == NOBODY else ", console at /",
        )

    def _close_sockets(self) -> None:
        """Close the sockets that were handed over and are not served."""
        while self._sockets:
            self._sockets.pop().close()

    def _admits(self, descriptor: int) -> bool:
        """Tell whether a connection may have this descriptor: the last ones are for the disk."""
        return descriptor < self._runner.first_reserved_descriptor

    async def close(self) -> None:
        """Close the ports."""
        self._is_over = True
        await self.opened()
        self._close_sockets()
        if self._port is not None:
            await self._port.close()
        if self._metrics is not None:
            await self._metrics.close()

    def abort(self) -> None:
        """Close the ports as the end of a killed process does."""
        self._is_over = True
        self._close_sockets()
        if self._opening is not None:
            self._opening.cancel()
        if self._port is not None:
            self._port.abort()
        if self._metrics is not None:
            self._metrics.abort()


def _has_library() -> bool:
    return importlib.util.find_spec(LIBRARY) is not None
