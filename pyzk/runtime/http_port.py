"""A port for HTTP: an application of aiohttp behind sockets that listen.

Shell. It is imported only where a port for HTTP is configured: aiohttp is an extra, and slow to
import. ZooKeeper: Jetty, as JettyAdminServer and PrometheusMetricsProvider set it up
"""

from __future__ import annotations

import logging
from typing import Final

from aiohttp import web

from pyzk.runtime.listening import DEFAULT_BACKLOG, Serving, open_sockets, serve

log = logging.getLogger(__name__)

SHUTDOWN_TIMEOUT_S: Final = 2.0
"""How long the requests under way may take when the port closes."""


class HttpPort:
    """One application, and the sockets at which it is served."""

    def __init__(self, application: web.Application, idle_timeout_s: float) -> None:
        self._runner = web.AppRunner(
            application,
            handle_signals=False,
            access_log=None,
            keepalive_timeout=idle_timeout_s,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        )
        self._serving: list[Serving] = []
        self.address: tuple[str, int] = ("", 0)
        """Where the port is, once it is open."""

    async def open(self, host: str | None, port: int) -> None:
        """Listen at a host, or at all addresses of the machine if it is None, and serve. Raises
        OSError."""
        sockets = open_sockets(host, port, DEFAULT_BACKLOG)
        name = sockets[0].getsockname()
        try:
            await self._runner.setup()
            factory = self._runner.server
            assert factory is not None, "it is set up"
            while sockets:
                self._serving.append(await serve(factory, sockets.pop(0), DEFAULT_BACKLOG))
        except BaseException:
            for sock in sockets:
                sock.close()
            await self.close()
            raise
        self.address = (name[0], name[1])

    def stop_listening(self) -> None:
        """Take no more connections."""
        for serving in self._serving:
            serving.close()
        self._serving.clear()

    def abort(self) -> None:
        """Drop the port and its connections at once."""
        self.stop_listening()
        server = self._runner.server
        for connection in () if server is None else server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def close(self) -> None:
        """Take no more connections, and end those that are there, with what they are doing."""
        self.stop_listening()
        await self._runner.cleanup()
