"""The pages `/livez` and `/readyz` of the admin port.

Shell. 200 or 503, and one line of JSON that says why; with `?verbose` the lines that Kubernetes
writes, and `?exclude=disk` leaves a check out, as there. No authorization: nothing that is said is
secret. `pyzk.admin.health` has the judgement.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from aiohttp import web

from pyzk.admin.health import LIVE, READY, judge

if TYPE_CHECKING:
    from pyzk.runtime.admin_world import AdminWorld

_HEADERS: Final = {"Cache-Control": "no-store"}


def routes(world: AdminWorld) -> list[web.RouteDef]:
    """Return the two pages."""
    return [
        web.get(f"/{question}", partial(_answer, world, question)) for question in (LIVE, READY)
    ]


async def _answer(world: AdminWorld, question: str, request: web.Request) -> web.Response:
    verdict = judge(world.peer, question).without(request.query.getall("exclude", ()))
    if "verbose" in request.query:
        return web.Response(text=verdict.lines(), status=verdict.status, headers=_HEADERS)
    return web.Response(
        text=verdict.json_text(),
        status=verdict.status,
        headers=_HEADERS,
        content_type="application/json",
    )
