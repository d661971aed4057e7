"""The console on the admin port: one page, and what it asks for.

Shell. The files of the page are in `pyzk/admin/console/page`, those below are all that is served of
it. What the page asks for is made by `pyzk.admin.console`, on the loop of the server; what is long,
one at a time and in pieces, so that clients are served in between.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from aiohttp import web

from pyzk.admin.console import Json, View, error_name, guard, nodes, sessions
from pyzk.admin.console.listing import Listings, Work
from pyzk.admin.console.members import epochs_view, members_view
from pyzk.admin.console.numbers import numbers_view, server_view
from pyzk.admin.console.visitor import RefusedCredentials, Visitor, visitor
from pyzk.admin.console.writing import Conversation, operation
from pyzk.admin.hosts import host_reason
from pyzk.constants import ErrorCode, Perms
from pyzk.data.paths import CONFIG
from pyzk.errors import KeeperError
from pyzk.int64 import signed
from pyzk.runtime.addresses import is_loopback, peer_of
from pyzk.runtime.admin_world import identifying, names_of
from pyzk.runtime.console_client import ConsoleClient
from pyzk.runtime.recent_log import RecentLog

if TYPE_CHECKING:
    from pyzk.data.tree import DataTree
    from pyzk.quorum.peer import Peer
    from pyzk.runtime.admin_world import AdminWorld

log = logging.getLogger(__name__)

Result = TypeVar("Result")

FILES: Final = {
    "console.css": "text/css",
    "app.js": "text/javascript",
    "api.js": "text/javascript",
    "charts.js": "text/javascript",
    "data.js": "text/javascript",
    "dom.js": "text/javascript",
    "json.js": "text/javascript",
    "lists.js": "text/javascript",
    "members.js": "text/javascript",
    "node.js": "text/javascript",
    "overview.js": "text/javascript",
    "sessions.js": "text/javascript",
    "tree.js": "text/javascript",
    "write.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
"""The files of the page by name, beside index.html, and their types."""

PAGE_HEADERS: Final = {
    # Nothing but the files of this server, and nothing that stands in the page itself, is run.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",
}
DATA_HEADERS: Final = PAGE_HEADERS | {"Cache-Control": "no-store"}
PROXY_HEADERS: Final = ("forwarded", "via", "x-real-ip")
"""The headers with which a proxy passes a request on, beside all that begin with x-forwarded-."""
MAX_BODY_BYTES: Final = 1 << 20
"""The longest request that writes."""
MAX_QUESTION_BYTES: Final = 1 << 18
"""The longest request that reads: its JSON is parsed in one go."""
MAX_WRITES: Final = 16
"""How many writes of visitors may be under way."""
MAX_LOG_EVENTS: Final = 200
LOGS_WITH_PATHS: Final = ("pyzk.data.quota",)
"""Loggers whose lines name znodes: only who may read everything is shown them."""
LOG_LEVELS: Final = ("INFO", "WARNING", "ERROR", "CRITICAL")


class _Refused(Exception):  # noqa: N818 - what has happened
    """A request is answered with an error."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error


def attach(application: web.Application, world: AdminWorld) -> None:
    """Put the console into an application, if there is one."""
    if world.config.console_enabled == guard.NOBODY:
        return
    console = Console(world)
    application.add_routes(console.routes())
    application.on_startup.append(console.begin)
    application.on_cleanup.append(console.end)


Handler = Callable[["_Asked"], Awaitable[View]]
Answer = Callable[[web.Request], Awaitable[web.Response]]


class _Asked:
    """One request for data: its body and its visitor."""

    def __init__(self, request: web.Request, body: dict[str, Json], who: Visitor, tls: Any) -> None:
        """``tls`` is what has shown the certificates of the visitor; None if they identify nobody,
        or there are none."""
        self.request = request
        self.visitor = who
        self.tls = tls
        self._body = body

    @property
    def body(self) -> dict[str, Json]:
        return self._body

    def text(self, name: str, otherwise: str | None = None) -> str:
        value = self._body.get(name, otherwise)
        if not isinstance(value, str):
            raise _Refused(400, "BAD_REQUEST", f"{name} must be text")
        return value

    def number(self, name: str, otherwise: int) -> int:
        value = self._body.get(name, otherwise)
        if not isinstance(value, int):
            raise _Refused(400, "BAD_REQUEST", f"{name} must be a whole number")
        return value

    def texts(self, name: str) -> list[str]:
        value = self._body.get(name, [])
        if not isinstance(value, list):
            raise _Refused(400, "BAD_REQUEST", f"{name} must be a list of texts")
        return [each for each in value if isinstance(each, str)]


class _Steps(Generic[Result]):
    """Something long, of which each call does the next piece."""

    result: Result

    def __init__(self, work: Work[Result]) -> None:
        self._work = work

    def is_over(self) -> bool:
        """Does a piece; tells whether it was the last, and ``result`` is there."""
        try:
            next(self._work)
        except StopIteration as end:
            self.result = end.value
            return True
        return False


class Console:
    """The pages of one server."""

    def __init__(self, world: AdminWorld) -> None:
        self._world = world
        self._listings = Listings()
        self._one_at_a_time = asyncio.Lock()
        self._writes = 0
        self._log = RecentLog()

    @property
    def _peer(self) -> Peer:
        return self._world.peer

    @property
    def _can_write(self) -> bool:
        config = self._world.config
        return config.console_write and config.audit_enable

    def routes(self) -> list[web.RouteDef]:
        """Return the routes: the page, its files, and a route for each thing that it asks for."""
        folder = resources.files("pyzk.admin.console") / "page"
        pages = {"/": ("index.html", "text/html")}
        pages |= {f"/console/{name}": (name, kind) for name, kind in FILES.items()}
        made = [
            web.get(path, self._showing(_file((folder / name).read_bytes(), kind)))
            for path, (name, kind) in pages.items()
        ]
        for name, handler in {
            "state": self._state,
            "node": self._node,
            "data": self._data,
            "children": self._children,
            "sessions": self._sessions,
            "session": self._session,
            "watches": self._watches,
            "write": self._write,
        }.items():
            made.append(web.post(f"/console/api/{name}", self._answering(handler)))
        return made

    async def begin(self, application: web.Application) -> None:
        """Keeps the last events of the log from now on."""
        self._log.begin()

    async def end(self, application: web.Application) -> None:
        """Keeps them no longer."""
        self._log.end()

    # --- a request --------------------------------------------------------------------

    def _is_for(self, request: web.Request) -> bool:
        """Tell whether the console is for the visitor who asks."""
        return guard.is_for(
            self._world.config.console_enabled,
            is_loopback=is_loopback(_peer_of(request)[0]),
            is_forwarded=_is_forwarded(request),
        )

    def _showing(self, page: Answer) -> Answer:
        """Return what answers with a page, to those whom it is for."""

        async def answer(request: web.Request) -> web.Response:
            try:
                if not self._is_for(request):
                    return _told(403, guard.NOT_LOCAL)
                is_secure = _tls_of(request) is not None
                names = names_of(self._world)
                reason = host_reason(request.headers, names, is_secure=is_secure)
            except _Refused as refused:
                return _told(refused.status, f"{refused}\n")
            return await page(request) if reason is None else _told(403, f"{reason}\n")

        return answer

    def _answering(self, handler: Handler) -> Answer:
        """Return what answers a request as JSON, whatever becomes of it."""

        async def answer(request: web.Request) -> web.Response:
            try:
                if not self._is_for(request):
                    return _told(403, guard.NOT_LOCAL)
                asked = await self._asked(request, is_write=handler == self._write)
                return _json(200, await handler(asked))
            except _Refused as refused:
                return _json(refused.status, {"error": refused.error, "message": str(refused)})
            except RefusedCredentials as refused:
                return _json(401, {"error": "AUTH_FAILED", "message": str(refused)})
            except KeeperError as error:
                view: View = {"error": error_name(error.code), "message": str(error)[:_SHOWN]}
                return _json(_STATUS.get(error.code, 400), view)

        return answer

    async def _asked(self, request: web.Request, *, is_write: bool) -> _Asked:
        """Return the request, if it is one that the console takes. Raises _Refused."""
        tls = _tls_of(request)
        reason = guard.refusal(
            request.headers, names_of(self._world), is_secure=tls is not None, is_write=is_write
        )
        if reason is not None:
            raise _Refused(403, "FORBIDDEN", reason)
        limit = MAX_BODY_BYTES if is_write else MAX_QUESTION_BYTES
        told = b"" if (request.content_length or 0) > limit else await request.read()
        if (request.content_length or 0) > limit or len(told) > limit:
            raise _Refused(413, "TOO_LARGE", f"a request of this kind has up to {limit} bytes")
        try:
            body = json.loads(told or b"{}")
        except (ValueError, RecursionError):
            raise _Refused(400, "BAD_REQUEST", "the body must be JSON") from None
        if not isinstance(body, dict):
            raise _Refused(400, "BAD_REQUEST", "the body must be a JSON object")
        host, is_forwarded = _peer_of(request)[0], _is_forwarded(request)
        # A proxy has a certificate of its own, as it has an address.
        certificates = () if is_forwarded else await identifying(self._world, tls, host)
        who = visitor(
            self._peer.server,
            host,
            request.headers.get("Authorization"),
            certificates,
            is_forwarded=is_forwarded,
        )
        return _Asked(request, body, who, tls if certificates else None)

    def _tree_for(self, asked: _Asked) -> DataTree:
        """Return the tree, if the visitor may ask for it now. Raises _Refused."""
        server = self._peer.server
        if not server.is_running:
            raise _Refused(503, "NOT_SERVING", "this server does not serve now")
        if asked.visitor.is_refused:
            raise _Refused(
                403,
                "SESSION_CLOSED_REQUIRE_AUTH",
                "this server serves only who has authenticated as enforce.auth.schemes demands",
            )
        return server.tree

    async def _in_pieces(self, work: Work[Result]) -> Result:
        """Returns the result of something long; clients are served between its pieces."""
        steps = _Steps(work)
        if steps.is_over():  # most of it is short, and done now
            return steps.result
        async with self._one_at_a_time:
            while True:
                await asyncio.sleep(0)
                if steps.is_over():
                    return steps.result

    # --- what is asked for ------------------------------------------------------------

    async def _state(self, asked: _Asked) -> View:
        """Returns what changes all the time, and what has changed of the open znodes."""
        peer, world = self._peer, self._world
        clock = world.clock
        server = peer.server
        view: View = {
            "time": clock.wall_ms,
            "server": server_view(peer),
            "epochs": epochs_view(peer),
            "visitor": asked.visitor.view() | {"canWrite": self._can_write},
            "members": None,
            "tokens": {},
            "log": self._events(asked),
        }
        configurations, ensemble = world.configurations, world.config.ensemble
        if configurations is not None and ensemble is not None:
            node = server.tree.nodes.get(CONFIG)
            shows = node is None or asked.visitor.may(node, Perms.READ)
            view["members"] = members_view(
                peer, configurations.committed, ensemble.my_sid, shows_addresses=shows
            )
        if server.is_running and not asked.visitor.is_refused:
            view["tokens"] = nodes.tokens_view(server.tree, asked.visitor, asked.texts("open"))
        view["numbers"] = await self._in_pieces(numbers_view(server))
        return view

    def _events(self, asked: _Asked) -> Json:
        """Return the last lines of the log that the visitor has not got yet."""
        after = asked.number("log", 0)
        shows_paths = asked.visitor.is_super
        told: list[Json] = [
            {
                "number": each.number,
                "time": int(each.time_s * 1000),
                "level": each.level,
                "logger": each.logger,
                "message": each.message,
            }
            for each in self._log.events(after)
            if each.level in LOG_LEVELS and (shows_paths or each.logger not in LOGS_WITH_PATHS)
        ]
        return told[-MAX_LOG_EVENTS:]

    async def _node(self, asked: _Asked) -> View:
        return nodes.node_view(self._tree_for(asked), asked.visitor, asked.text("path"))

    async def _data(self, asked: _Asked) -> View:
        return nodes.data_view(
            self._tree_for(asked),
            asked.visitor,
            asked.text("path"),
            asked.number("offset", 0),
            asked.number("length", nodes.PIECE_BYTES),
        )

    async def _children(self, asked: _Asked) -> View:
        window = nodes.Window(
            asked.text("path"),
            asked.number("start", 0),
            asked.number("count", nodes.WINDOW),
            asked.text("filter", ""),
            asked.texts("locate"),
        )
        tree, now_ms = self._tree_for(asked), self._world.clock.now_ms
        return await self._in_pieces(
            nodes.children(tree, asked.visitor, window, self._listings, now_ms)
        )

    async def _sessions(self, asked: _Asked) -> View:
        self._tree_for(asked)
        return await self._in_pieces(
            sessions.sessions(
                self._peer.server,
                asked.number("start", 0),
                asked.number("count", sessions.WINDOW),
                asked.text("filter", ""),
                self._listings,
                self._world.clock.now_ms,
            )
        )

    async def _session(self, asked: _Asked) -> View:
        self._tree_for(asked)
        try:
            number = int(asked.text("id"), 16)
        except ValueError:
            raise _Refused(400, "BAD_REQUEST", "id must be a hexadecimal number") from None
        found = await self._in_pieces(
            sessions.session_view(
                self._peer.server,
                asked.visitor,
                signed(number & (1 << 64) - 1),
                self._world.clock.now_ms,
            )
        )
        if found is None:
            raise _Refused(404, "NO_SESSION", "there is no such session: it has ended or expired")
        return found

    async def _watches(self, asked: _Asked) -> View:
        self._tree_for(asked)
        return await self._in_pieces(
            sessions.watches(
                self._peer.server,
                asked.visitor,
                asked.number("start", 0),
                asked.number("count", sessions.WINDOW),
                asked.text("filter", ""),
                self._listings,
                self._world.clock.now_ms,
            )
        )

    # --- writing ----------------------------------------------------------------------

    async def _write(self, asked: _Asked) -> View:
        """Has a write done in the visitor's name."""
        if not self._can_write:
            raise _Refused(403, "READ_ONLY", "the console is read only: pyzk.console.write=false")
        authorization = asked.request.headers.get("Authorization")
        if authorization is None:
            raise _Refused(401, "AUTH_FAILED", "a write needs digest credentials")
        self._tree_for(asked)
        conversation = Conversation(operation(asked.body), authorization.partition(" ")[2])
        if self._writes >= MAX_WRITES:
            raise _Refused(503, "BUSY", f"{MAX_WRITES} writes of the console are under way")
        self._writes += 1
        try:
            client = ConsoleClient(
                self._world.clients,
                conversation,
                _peer_of(asked.request),
                asked.tls,
                has_address=not _is_forwarded(asked.request),
            )
            outcome = await client.run()
        finally:
            self._writes -= 1
        if outcome.error:
            status = 409 if outcome.is_known else 504
            raise _Refused(status, outcome.error, _meaning(outcome.error, outcome.is_known))
        return outcome.view()


_SHOWN: Final = 500
"""The characters that are shown of what a message is about."""
_STATUS: Final = {
    ErrorCode.NO_NODE: 404,
    ErrorCode.NO_AUTH: 403,
    ErrorCode.BAD_ARGUMENTS: 400,
}


def _meaning(error: str, is_known: bool) -> str:
    if is_known:
        return f"the server has refused the write: {error}"
    return f"nobody knows whether the write has happened: {error}"


def _peer_of(request: web.Request) -> tuple[str, int]:
    transport = request.transport
    if transport is None:
        raise _Refused(400, "GONE", "the connection has ended")
    return peer_of(transport)


def _tls_of(request: web.Request) -> Any:
    """Return what the handshake of TLS has shown of the visitor; None without TLS."""
    transport = request.transport
    return None if transport is None else transport.get_extra_info("tls")


def _is_forwarded(request: web.Request) -> bool:
    """Tell whether a proxy has passed the request on; who says so without need gains nothing."""
    names = [name.lower() for name in request.headers]
    return any(name in PROXY_HEADERS or name.startswith("x-forwarded-") for name in names)


def _json(status: int, view: View) -> web.Response:
    body = json.dumps(view, separators=(",", ":")).encode("ascii")
    return web.Response(
        status=status, body=body, content_type="application/json", headers=DATA_HEADERS
    )


def _told(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers=DATA_HEADERS)


def _file(body: bytes, kind: str) -> Answer:
    """Return what answers with a file, or says that the browser has it already."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
    headers = PAGE_HEADERS | {"ETag": tag}

    async def answer(request: web.Request) -> web.Response:
        if tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    return answer
