"""The admin server: one port for HTTP, and the pages that are on it.

Shell. Each page module has a function ``routes(world: AdminWorld) -> list[web.RouteDef]``, or one
``attach(application, world)`` if there is something to begin and to end with the port. They are
imported with this one, which `admin_ports` does on a thread: clients are served meanwhile.
ZooKeeper: JettyAdminServer
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from pyzk.runtime import admin_commands, admin_console, admin_health, admin_metrics
from pyzk.runtime.http_port import CallLater, HttpPort, HttpTls

if TYPE_CHECKING:
    import socket

    from pyzk.config.admin import AdminConfig
    from pyzk.runtime.admin_world import AdminWorld
    from pyzk.runtime.tls import TlsContexts


def application(world: AdminWorld) -> web.Application:
    """Return the application with all pages."""
    made = web.Application()
    # The earlier one has a path that two of them want.
    for routes in (admin_commands.routes, admin_metrics.routes, admin_health.routes):
        made.add_routes(routes(world))
    admin_console.attach(made, world)
    return made


async def open_admin_port(
    world: AdminWorld,
    config: AdminConfig,
    contexts: TlsContexts | None,
    call_later: CallLater,
    admits: Callable[[int], bool],
    sockets: list[socket.socket],
) -> HttpPort:
    """Open the port that the configuration asks for, or take ``sockets`` that listen already; with
    ``contexts`` it takes TLS. Raises OSError."""
    tls = None
    if contexts is not None:
        tls = HttpTls(
            contexts,
            call_later,
            takes_plain=not config.force_https,
            reloads=config.cert_reload,
            came_plain=partial(_count_plain, world),
        )
    port = HttpPort(
        application(world),
        "admin port",
        idle_timeout_s=config.idle_timeout_ms / 1000 if config.idle_timeout_ms > 0 else None,
        tls=tls,
        admits=admits,
    )
    if sockets:
        await port.serve(sockets)
    else:
        await port.open(config.host, config.server_port)
    return port


def _count_plain(world: AdminWorld) -> None:
    world.peer.metrics.insecure_admin_count += 1
