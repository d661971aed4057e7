"""A port for HTTP: an application of aiohttp behind sockets that listen.

Shell. TLS is that of the other ports. What strangers may cost has limits: so many connections, so
much time for a request to come, for an answer to be read, and for silence. It is imported only
where a port for HTTP is configured: aiohttp is an extra, and slow to import.

ZooKeeper: Jetty, as JettyAdminServer and PrometheusMetricsProvider set it up
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from pyzk.admin.answer import BAD_REQUEST, FORBIDDEN, SERVER_ERROR, error_page
from pyzk.outsiders import one_line
from pyzk.runtime.addresses import look_up
from pyzk.runtime.http_answer import send
from pyzk.runtime.http_connection import BROKEN_BODY, Connections, HttpConnection
from pyzk.runtime.http_fault import COMMON_HEADERS, Complaints, QuietHandler
from pyzk.runtime.listening import DEFAULT_BACKLOG, Serving, listen_at, serve
from pyzk.runtime.tls_door import Door, Handshakes, Reloading

if TYPE_CHECKING:
    import socket

    from pyzk.runtime.seams import Timer
    from pyzk.runtime.tls import TlsContexts

log = logging.getLogger(__name__)

SHUTDOWN_TIMEOUT_S: Final = 2.0
"""How long the requests under way may take when the port closes."""
LINGERING_S: Final = 2.0
"""How long the body of a request that was refused is still read, so that the answer is, too."""
HANDSHAKE_LIMIT: Final = 100
"""The most handshakes of TLS under way."""
_STRICT: Final = "max-age=86400; includeSubDomains"
"""The header with which an answer by TLS asks for TLS in future, as the original's does."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CallLater = Callable[[float, Callable[[], object]], "Timer"]


class HttpTls:
    """What TLS on a port for HTTP needs."""

    def __init__(
        self,
        contexts: TlsContexts,
        call_later: CallLater,
        *,
        takes_plain: bool,
        reloads: bool,
        came_plain: Callable[[], None],
    ) -> None:
        """``takes_plain``: the port takes plaintext, too, and ``came_plain`` is called for each
        connection that comes so. ``reloads``: changed files are read again."""
        self.contexts = contexts
        self.call_later = call_later
        self.takes_plain = takes_plain
        self.came_plain = came_plain
        self.reloading = Reloading(contexts, call_later) if reloads else None


class HttpPort:
    """One application, and the sockets at which it is served."""

    def __init__(
        self,
        application: web.Application,
        name: str,
        *,
        idle_timeout_s: float | None,
        tls: HttpTls | None = None,
        admits: Callable[[int], bool] = lambda _: True,
    ) -> None:
        """``name`` is what the port is called in the log. ``admits`` is asked whether a connection
        may have this descriptor."""
        application.middlewares.append(self._around)
        application.on_response_prepare.append(self._before_headers)
        self._options: dict[str, Any] = {
            "access_log": None,
            "keepalive_timeout": 3600.0,  # HttpConnection sees to it
            "lingering_time": LINGERING_S,
            "auto_decompress": False,
            "logger": Complaints(name),
        }
        """Those of each connection in aiohttp."""
        self._runner = web.AppRunner(
            application,
            handle_signals=False,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            handler_cancellation=True,
            **self._options,
        )
        self._name = name
        self._tls = tls
        self._door: Door | None = None
        self._serving: list[Serving] = []
        self._connections = Connections(
            name, idle_timeout_s, admits, None if tls is None else tls.came_plain
        )
        self.address: tuple[str, int] = ("", 0)
        """Where the port is, once it is open."""

    @property
    def connection_count(self) -> int:
        """How many connections there are."""
        return self._connections.count

    @property
    def busy_count(self) -> int:
        """On how many connections a request is being answered."""
        return self._connections.busy_count

    # --- the sockets that listen ------------------------------------------------------

    async def open(self, host: str | None, port: int) -> None:
        """Listen at a host, or at all addresses of the machine if it is None, and serve. Raises
        OSError."""
        # A name is looked up aside: clients are served already.
        found = None if host is None else await asyncio.to_thread(look_up, host, port)
        await self.serve(listen_at(found, port, DEFAULT_BACKLOG))

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Serve at sockets that listen already; they belong to the port from now on."""
        name = sockets[0].getsockname()
        try:
            await self._runner.setup()
            self._open_door()
            while sockets:
                self._serving.append(await serve(self._made, sockets.pop(0), DEFAULT_BACKLOG))
        except BaseException:
            for sock in sockets:
                sock.close()
            await self.close()
            raise
        self._connections.start()
        self.address = (name[0], name[1])

    def _open_door(self) -> None:
        tls = self._tls
        if tls is None:
            return
        self._door = Door(
            tls.contexts,
            self._name,
            tls.call_later,
            Handshakes(HANDSHAKE_LIMIT),
            takes_plain=tls.takes_plain,
        )
        if tls.reloading is not None:
            tls.reloading.start()

    def _made(self) -> asyncio.Protocol:
        if self._door is None:
            return self._connection()
        from pyzk.runtime.tls_link import TlsLink

        return TlsLink(self._door, self._connection).itself()

    def _connection(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None:
            return _Late()  # the loop had accepted it when the port closed
        inner = QuietHandler(server, loop=asyncio.get_running_loop(), **self._options)
        return HttpConnection(self._connections, inner)

    def stop_listening(self) -> None:
        """Take no more connections."""
        for serving in self._serving:
            serving.close()
        self._serving.clear()
        if self._tls is not None and self._tls.reloading is not None:
            self._tls.reloading.stop()

    def abort(self) -> None:
        """Drop the port and its connections at once."""
        self.stop_listening()
        self._connections.abort()

    async def close(self) -> None:
        """Take no more connections, and end those that are there, with what they are doing."""
        self.stop_listening()
        await self._runner.cleanup()
        self._connections.abort()

    # --- around each request ----------------------------------------------------------

    @web.middleware
    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answers a request, and sees to it that its connection knows of it."""
        connection = self._connections.of(request.protocol)
        connection.request_begins(request.content)
        try:
            if request.method == "TRACE":
                return web.Response(status=FORBIDDEN)
            return await handler(request)
        except web.HTTPException as error:
            if error.status < BAD_REQUEST:
                raise  # a redirection
            return await self._page(request, error.status, error.reason)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except (web.RequestPayloadError, HttpProcessingError):
            # The text of the error may quote the body, and so would a trace.
            self._connections.drop(connection, BROKEN_BODY)
            raise ConnectionResetError from None
        except Exception:
            path = one_line(request.path[:200])
            log.exception("%s: %s %s has failed", self._name, request.method, path)
            if request.writer.output_size:
                raise ConnectionResetError from None  # the answer has begun
            return await self._page(request, SERVER_ERROR, "Server Error")
        finally:
            connection.request_ends()

    async def _page(self, request: web.Request, status: int, reason: str) -> web.StreamResponse:
        """Answers with the page for what goes wrong outside of any command."""
        return await send(request, error_page(status, request.path, reason))

    async def _before_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(COMMON_HEADERS)
        connection = self._connections.of(request.protocol)
        if connection.is_tls:
            response.headers["Strict-Transport-Security"] = _STRICT
        if connection.is_half_closed:
            response.force_close()


class _Late(asyncio.Protocol):
    """A connection for which there is no server any more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()
