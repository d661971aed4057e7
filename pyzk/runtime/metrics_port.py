"""The port of its own on which Prometheus asks for metrics, where the configuration names it.

Shell. It is bound before anything else of a start: as in the original there is no start without it.
Nothing here imports aiohttp: that happens on a thread, while the server starts.
ZooKeeper: PrometheusMetricsProvider.start
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
from typing import TYPE_CHECKING, Final

from pyzk.config.record import WILDCARD
from pyzk.errors import ConfigError
from pyzk.extras import the_extra
from pyzk.runtime.addresses import place
from pyzk.runtime.listening import DEFAULT_BACKLOG, open_sockets
from pyzk.runtime.loop import spawn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from pyzk.config.server import ServerConfig
    from pyzk.runtime.admin_world import AdminWorld
    from pyzk.runtime.http_port import HttpPort

log = logging.getLogger(__name__)

LIBRARIES: Final = ("aiohttp", "prometheus_client")


class MetricsPortError(OSError):
    """The port for metrics cannot be opened; the cause says why."""


class MetricsPort:
    """The port of one server."""

    def __init__(self, config: ServerConfig) -> None:
        """Bind the port. Raises ConfigError if a library is missing, and MetricsPortError."""
        missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
        if missing:
            raise ConfigError(f"needs {the_extra('admin')}", key="metricsProvider.className")
        host, port = config.metrics_http_host, config.metrics_http_port
        try:
            self._sockets: list[socket.socket] = open_sockets(
                None if host == WILDCARD else host, port, DEFAULT_BACKLOG
            )
        except OSError as error:
            raise MetricsPortError(error.errno, error.strerror, error.filename) from error
        name = self._sockets[0].getsockname()
        self.address: tuple[str, int] = (name[0], name[1])
        """Where the port is."""
        self._opening: asyncio.Task[object] | None = None
        self._port: HttpPort | None = None
        self._is_over = False

    def open(self, world: AdminWorld, admits: Callable[[int], bool]) -> None:
        """Answer at the port, soon. ``admits`` is asked whether a connection may have this
        descriptor."""
        self._opening = spawn(self._open(world, admits), "port for metrics")

    async def opened(self) -> None:
        """Wait until the port is open."""
        if self._opening is not None:
            await asyncio.wait([self._opening])

    async def _open(self, world: AdminWorld, admits: Callable[[int], bool]) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, importlib.import_module, "pyzk.runtime.admin_metrics")
        if self._is_over:
            return
        from pyzk.runtime.admin_metrics import port_for

        port = port_for(world, admits)
        sockets, self._sockets = self._sockets, []
        await port.serve(sockets)
        self._port = port
        log.info("metrics for Prometheus on http://%s/metrics", place(*self.address))

    async def close(self) -> None:
        """Close the port."""
        self._is_over = True
        await self.opened()
        self._release()
        if self._port is not None:
            await self._port.close()

    def abort(self) -> None:
        """Close the port as the end of a killed process does, or because the start has failed."""
        self._is_over = True
        if self._opening is not None:
            self._opening.cancel()
        self._release()
        if self._port is not None:
            self._port.abort()

    def _release(self) -> None:
        sockets, self._sockets = self._sockets, []
        for sock in sockets:
            sock.close()
