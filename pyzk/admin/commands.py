"""The commands of the admin server: the one list of them, and who may ask for what.

Pure. `answer` gives the answer to a request. There are a few commands that only the shell can carry
out: a snapshot is a file, and who may have it depends on the visitor. For these it is None when
they may go on; the shell looks at `find(asked.name)` and makes the answer with `reply`.

ZooKeeper: Commands, JettyAdminServer.CommandServlet
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pyzk.admin.answer import (
    FORBIDDEN,
    METHOD_NOT_ALLOWED,
    OK,
    SERVER_ERROR,
    Answer,
    Asked,
    Fields,
    bare,
    error_page,
    reply,
)

NOT_SERVING: Final = "This ZooKeeper instance is not currently serving requests"


class Command:
    """One command, under all its names."""

    def __init__(
        self,
        names: str,
        shows: str,
        fields: Callable[[Asked], Fields] | None = None,
        *,
        needs_serving: bool = True,
        needs_authorization: bool = False,
        method: str = "GET",
    ) -> None:
        self.name, *others = names.split()
        """The primary name, which every answer has."""
        self.aliases: tuple[str, ...] = tuple(others)
        self.shows: str = shows
        """What it answers, as the documentation tells it."""
        self.fields: Callable[[Asked], Fields] | None = fields
        """What makes the answer; None if only the shell can."""
        self.needs_serving: bool = needs_serving
        """Whether a server that does not serve refuses it."""
        self.needs_authorization: bool = needs_authorization
        """Whether all permissions on / are needed, with the identity that the header
        `Authorization` gives."""
        self.method: str = method


def _ruok(asked: Asked) -> Fields:
    return {}


COMMANDS: Final = (
    Command(
        "restore rest",
        "the last zxid, after this server's state is replaced by that of a snapshot file",
        needs_authorization=True,
        method="POST",
    ),
    Command("ruok", "nothing: that the server serves is the answer", _ruok),
    Command(
        "shed_connections shed",
        "how many connections were closed, of the percentage that was asked for",
        needs_authorization=True,
        method="POST",
    ),
    Command(
        "snapshot snap",
        "the state of this server, as the bytes of a snapshot file",
        needs_authorization=True,
    ),
)
"""All commands, in the order of their names."""

_BY_NAME: Final = {name: each for each in COMMANDS for name in (each.name, *each.aliases)}


def find(name: str) -> Command | None:
    """Return the command with this name, its own or another."""
    return _BY_NAME.get(name)


def answer(asked: Asked) -> Answer | None:
    """Return the answer to a request for a path below commandURL; None for a command that only the
    shell can carry out, once the server serves.

    The shell sees to the authorization first, and only then to the method, as the original does;
    the answer to a wrong one is `wrong_method`.
    """
    if asked.method == "TRACE":
        return bare(FORBIDDEN)
    if asked.method == "OPTIONS":
        return bare(OK, (("Allow", "GET, HEAD, POST, TRACE, OPTIONS"),))
    if asked.method not in ("GET", "HEAD", "POST"):
        return bare(METHOD_NOT_ALLOWED)
    if not asked.name:
        return index(asked.url)
    command = find(asked.name)
    if command is None:
        return reply(asked.name, error=f"Unknown command: {asked.name}")
    if command.needs_serving and not asked.peer.server.is_running:
        return reply(asked.name, error=NOT_SERVING)
    if command.fields is None:
        return None
    if asked.method == "POST":
        return wrong_method(asked)
    return reply(command.name, command.fields(asked))


def wrong_method(asked: Asked) -> Answer:
    """Return the answer to a GET for a command that takes POST, and the other way round."""
    command = find(asked.name)
    assert command is not None, asked.name
    message = f"The command {command.name} takes {command.method} only"
    return error_page(SERVER_ERROR, f"{asked.url}/{asked.name}", message)


def index(url: str) -> Answer:
    """Return the page that has a link for each command."""
    names = [each.name for each in COMMANDS]
    page = "".join(f'<a href="{url}/{name}">{name}</a>\n<br/>\n' for name in names)
    return Answer(OK, iter((page.encode(),)), None)
