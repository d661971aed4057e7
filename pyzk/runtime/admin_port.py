"""The admin server: one port for HTTP, and the pages that are on it.

Shell. Each page module has a function ``routes(world: AdminWorld) -> list[web.RouteDef]``.
ZooKeeper: JettyAdminServer
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Final

from aiohttp import web

from pyzk.runtime.http_port import HttpPort

if TYPE_CHECKING:
    from pyzk.config.admin import AdminConfig
    from pyzk.runtime.admin_world import AdminWorld

PAGES: Final = (
    "pyzk.runtime.admin_commands",
    "pyzk.runtime.admin_metrics",
    "pyzk.runtime.admin_health",
    "pyzk.runtime.admin_console",
)
"""The modules that have pages; an earlier one has a path that two of them want."""


def application(world: AdminWorld) -> web.Application:
    """Return the application with all pages."""
    made = web.Application()
    for name in PAGES:
        if importlib.util.find_spec(name) is not None:
            made.add_routes(importlib.import_module(name).routes(world))
    return made


async def open_admin_port(world: AdminWorld, config: AdminConfig) -> HttpPort:
    """Open the port that the configuration asks for. Raises OSError."""
    port = HttpPort(application(world), max(config.idle_timeout_ms, 0) / 1000 or 30.0)
    await port.open(config.host, config.server_port)
    return port
