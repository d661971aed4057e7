"""Writes an answer of `pyzk.admin` to a request of HTTP, piece by piece.

Shell. An answer that is short goes out whole, with its length, as Jetty's do; a longer one in
pieces, between which the loop serves others. ZooKeeper: JettyAdminServer.CommandServlet
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from pyzk.admin.answer import Answer

WHOLE_BYTES: Final = 32 << 10
"""An answer of so many bytes is sent with its length; Jetty has buffers of this size."""


async def send(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Send an answer, and return what was sent."""
    pieces = answer.body
    begun: list[bytes] = []
    size = 0
    is_whole = True
    for piece in pieces:
        begun.append(piece)
        size += len(piece)
        if size > WHOLE_BYTES:
            is_whole = False
            break
        if size > len(piece):
            await asyncio.sleep(0)
    headers = dict(answer.headers)
    if answer.content_type is not None:
        headers["Content-Type"] = answer.content_type
    elif size:
        headers["Content-Type"] = "text/html;charset=iso-8859-1"  # a browser would not guess it
    if is_whole:
        return web.Response(status=answer.status, body=b"".join(begun), headers=headers)
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    if (
        request.method != "HEAD"
    ):  # which asks for what a GET has, and how long that is, is not known
        await response.write(b"".join(begun))
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0)
    await response.write_eof()
    return response
