"""What is asked on the admin port, and what is answered.

Pure. The shell makes an `Asked` of a request of HTTP, and writes an `Answer` to it.

ZooKeeper: CommandResponse, JettyAdminServer
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from pyzk.admin import json_text
from pyzk.admin.json_text import Value

if TYPE_CHECKING:
    from pyzk.quorum.peer import Peer

JSON: Final = "application/json"
HTML: Final = "text/html;charset=iso-8859-1"

OK: Final = 200
BAD_REQUEST: Final = 400
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
METHOD_NOT_ALLOWED: Final = 405
TOO_MANY_REQUESTS: Final = 429
SERVER_ERROR: Final = 500
NOT_IMPLEMENTED: Final = 501
UNAVAILABLE: Final = 503

Fields = dict[str, Value]
"""The answer of a command by name, in order, without `command` and, if all is well, `error`."""


class Asked:
    """One request for a path below commandURL."""

    __slots__ = ("method", "name", "peer", "query", "url")

    def __init__(
        self,
        peer: Peer,
        path_info: str,
        query: Mapping[str, str] | None = None,
        method: str = "GET",
        url: str = "/commands",
    ) -> None:
        """Takes the path behind commandURL, decoded: "" or "/" for the index, else "/" and a name;
        the first value of each parameter behind the question mark; and commandURL itself."""
        self.peer: Peer = peer
        self.name: str = path_info.removeprefix("/")
        """The name of the command, as it was given; empty for the index of all commands."""
        self.query: Mapping[str, str] = query or {}
        self.method: str = method
        self.url: str = url


class Answer:
    """An answer, whose body may be made while it is written: status, headers, pieces."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        status: int,
        body: Iterator[bytes],
        content_type: str | None = JSON,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.status: int = status
        self.body: Iterator[bytes] = body
        """The pieces of the body. Each takes about a millisecond to make, and shows the server as
        it is then; between two of them others are served. One that was begun is to be used up, or
        dropped: it holds nothing."""
        self.content_type: str | None = content_type
        """The content type; None if the answer has none, as that of the index."""
        self.headers: tuple[tuple[str, str], ...] = headers


def reply(
    command: str,
    fields: Fields | None = None,
    *,
    error: str | None = None,
    status: int = OK,
    headers: tuple[tuple[str, str], ...] = (),
) -> Answer:
    """Return the answer of a command: its fields, then `command` and `error`.

    A command that finds something wrong itself has `error` among its fields, where it stays.
    """
    whole: Fields = dict(fields or {})
    whole["command"] = command
    whole.setdefault("error", error)
    return Answer(status, json_text.pieces(whole), JSON, headers)


def error_page(status: int, path: str, message: str) -> Answer:
    """Return the page for what goes wrong outside of any command: a path that there is not, a
    command that cannot take this method. It has the layout of Jetty's, without any Java in it."""
    title = f"{status} {message}"
    rows = (("URI", path), ("STATUS", str(status)), ("MESSAGE", message))
    table = "".join(f"<tr><th>{name}:</th><td>{_shown(text)}</td></tr>\n" for name, text in rows)
    page = (
        '<html>\n<head>\n<meta http-equiv="Content-Type" content="text/html;charset=ISO-8859-1"/>\n'
        f"<title>Error {_shown(title)}</title>\n</head>\n"
        f"<body><h2>HTTP ERROR {_shown(title)}</h2>\n<table>\n{table}</table>\n\n</body>\n</html>\n"
    )
    headers = [("Cache-Control", "must-revalidate,no-cache,no-store")]
    if status >= SERVER_ERROR:
        headers.append(("Connection", "close"))
    return Answer(status, iter((page.encode("latin-1", "replace"),)), HTML, tuple(headers))


def bare(status: int, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """Return an answer without a body."""
    return Answer(status, iter(()), None, headers)


def _shown(text: str) -> str:
    return html.escape(text)
