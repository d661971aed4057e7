"""The commands of the admin server: what is below `admin.commandURL`.

Shell. `pyzk.admin.commands` answers most of them; those that only a process can carry out are here,
behind the authorization that they need. ZooKeeper: JettyAdminServer.CommandServlet, Commands
"""

from __future__ import annotations

import logging
from random import SystemRandom
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from aiohttp import web

from pyzk.admin import commands, shedding
from pyzk.admin.answer import Asked
from pyzk.admin.hosts import outside_reason
from pyzk.admin.visitors import Visitor, address_of, refusal
from pyzk.outsiders import about
from pyzk.runtime.addresses import peer_of
from pyzk.runtime.admin_restore import RestoreCommand
from pyzk.runtime.admin_snapshot import SnapshotCommand
from pyzk.runtime.admin_world import identifying, names_of
from pyzk.runtime.environment import HOST_NAME
from pyzk.runtime.http_answer import send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pyzk.runtime.admin_world import AdminWorld

    Carry = Callable[[web.Request, Asked], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)

MOST_BYTES: Final = 1 << 16
"""The longest body of a command that takes one, but for restore."""
_READING: Final = ("GET", "HEAD")


def routes(world: AdminWorld) -> list[web.RouteDef]:
    """Return the routes of the commands."""
    config = world.config.admin
    assert config is not None, "an admin server is configured"
    pages = CommandPages(world)
    url = config.command_url
    return [
        web.route("*", url, pages.answer),
        web.route("*", f"{url}/{{name:[\\s\\S]*}}", pages.answer),
    ]


async def visitor_of(world: AdminWorld, request: web.Request) -> Visitor:
    """Returns who asks."""
    config = world.config.admin
    assert config is not None, "an admin server is configured"
    transport = request.transport
    host, tls = "", None
    if transport is not None:
        host = peer_of(transport)[0]
        tls = transport.get_extra_info("tls")
    address = address_of(
        host, request.headers.get("X-Forwarded-For"), counts=config.use_x_forwarded_for
    )
    return Visitor(
        request.headers.get("Authorization"),
        address,
        await identifying(world, tls, host),
        outside_reason(request.headers, names_of(world), is_secure=tls is not None),
    )


class CommandPages:
    """Answers of the commands."""

    def __init__(self, world: AdminWorld) -> None:
        config = world.config.admin
        assert config is not None, "an admin server is configured"
        self._world = world
        self._url = config.command_url
        self._carried: dict[str, Carry] = {
            "restore": RestoreCommand(world, config).answer,
            "snapshot": SnapshotCommand(world, config).answer,
            "shed_connections": self._shed,
        }
        """Name of a command -> what carries it out."""
        HOST_NAME.look_up()  # now, so that nobody who asks for the environment holds the loop up

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers a request for a command, or for the list of all."""
        world = self._world
        path_info = unquote(request.rel_url.raw_path.removeprefix(self._url))
        query = {name: request.query[name] for name in request.query}  # the first of each
        _ = world.clock  # what is shown is how things are now
        asked = Asked(world.peer, path_info, query, request.method, self._url)
        found = commands.answer(asked)
        if found is not None:
            return await send(request, found)
        visitor = await visitor_of(world, request)
        refused = refusal(world.peer.server, visitor, asked.name)
        if refused is not None:
            log.warning(
                "%s is refused to %s: %d",
                asked.name,
                visitor.address,
                refused.status,
                extra=about(visitor.address),
            )
            return await send(request, refused)
        command = commands.find(asked.name)
        assert command is not None, asked.name
        method = "GET" if request.method in _READING else request.method
        if method != command.method:
            return await send(request, commands.wrong_method(asked))
        log.info("%s, asked for by %s", command.name, visitor.address, extra=about(visitor.address))
        return await self._carried[command.name](request, asked)

    async def _shed(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        """Closes part of the connections of clients."""
        body = bytearray()
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > MOST_BYTES:
                raise web.HTTPRequestEntityTooLarge(MOST_BYTES, len(body))
        found = shedding.percentage_in(bytes(body))
        if not isinstance(found, int):
            return await send(request, found)
        world = self._world
        counts: list[int] = []

        def close_some() -> None:
            counts.append(shedding.shed(world.peer.server, found, SystemRandom()))

        world.take_in(close_some)
        log.info("closed %d connections (%d %% were asked for)", counts[0], found)
        return await send(request, shedding.shed_answer(found, counts[0]))
