"""The commands of the admin server: what is below `admin.commandURL`.

Shell. ZooKeeper: JettyAdminServer.CommandServlet, Commands
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from pyzk.runtime.admin_world import AdminWorld


def routes(world: AdminWorld) -> list[web.RouteDef]:
    """Return the routes of the commands."""
    config = world.config.admin
    assert config is not None, "an admin server is configured"
    pages = CommandPages()
    return [
        web.get(config.command_url, pages.index),
        web.get(f"{config.command_url}/", pages.index),
    ]


class CommandPages:
    """Answers of the commands."""

    async def index(self, request: web.Request) -> web.Response:
        """Returns the list of all commands."""
        return web.Response(text="", content_type="text/html")
