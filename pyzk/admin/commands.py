"""The commands of the admin server: the one list of them, and who may ask for what.

Pure. `answer` gives the answer to a request. There are a few commands that only the shell can carry
out: a snapshot is a file, and who may have it depends on the visitor. For these it is None when
they may go on; the shell looks at `find(asked.name)` and makes the answer with `reply`.

ZooKeeper: Commands, JettyAdminServer.CommandServlet
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pyzk.admin import member_answers as member
from pyzk.admin import process_answers as process
from pyzk.admin import server_answers as server
from pyzk.admin.answer import (
    FORBIDDEN,
    METHOD_NOT_ALLOWED,
    NOT_IMPLEMENTED,
    OK,
    SERVER_ERROR,
    Answer,
    Asked,
    Fields,
    bare,
    error_page,
    reply,
)


class Command:
    """One command, under all its names."""

    def __init__(
        self,
        names: str,
        shows: str,
        fields: Callable[[Asked], Fields | Answer] | None = None,
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
        self.fields: Callable[[Asked], Fields | Answer] | None = fields
        """What makes the answer; None if only the shell can."""
        self.needs_serving: bool = needs_serving
        """Whether a server that does not serve refuses it."""
        self.needs_authorization: bool = needs_authorization
        """Whether all permissions on / are needed, with the identity that the header
        `Authorization` gives."""
        self.method: str = method


COMMANDS: Final = (
    Command("configuration conf config", "a few keys of the configuration", server.configuration),
    Command(
        "connection_stat_reset crst",
        "nothing; resets the numbers of all connections",
        server.connection_stat_reset,
    ),
    Command(
        "connections cons",
        "each client connection, with its session and its numbers",
        server.connections,
    ),
    Command("dirs", "the bytes of the snapshots and of the logs", server.dirs),
    Command(
        "dump",
        "which sessions expire when, and the ephemeral znodes of each session",
        server.dump,
    ),
    Command(
        "environment env envi",
        "the environment of the process",
        process.environment,
        needs_serving=False,
    ),
    Command("get_trace_mask gtmk", "the trace mask", server.get_trace_mask, needs_serving=False),
    Command("hash", "the last digests of the tree", server.hash_of_tree),
    Command(
        "initial_configuration icfg",
        "the text of `zoo.cfg` at the start; null for a member of an ensemble",
        process.initial_configuration,
    ),
    Command("is_read_only isro", "whether only reads are served", server.is_read_only),
    Command("last_snapshot lsnp", "zxid and time of the newest snapshot", server.last_snapshot),
    Command("leader lead", "who leads the ensemble", member.leader),
    Command(
        "monitor mntr",
        "every metric; an error of the server while it does not serve",
        server.monitor,
        needs_serving=False,
    ),
    Command(
        "observer_connection_stat_reset orst",
        "nothing; resets the numbers of the links with observers",
        member.observer_connection_stat_reset,
    ),
    Command("observers obsr", "the observers that follow this server", member.observers),
    Command(
        "restore rest",
        "the last zxid, after the state of this server is replaced by that of a snapshot file",
        needs_authorization=True,
        method="POST",
    ),
    Command("ruok", "nothing; that the server serves is the answer", server.ruok),
    Command("server_stats srvr", "the version, the mode and the numbers", server.server_stats),
    Command(
        "set_trace_mask stmk",
        "the trace mask, after `?traceMask=NUMBER` has set it",
        server.set_trace_mask,
        needs_serving=False,
    ),
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
    Command("stat_reset srst", "nothing; resets the numbers of the server", server.stat_reset),
    Command("stats stat", "what `server_stats` shows, and each connection in brief", server.stats),
    Command(
        "system_properties sysp",
        "the system properties, those of `zoo.cfg` among them",
        process.system_properties,
        needs_serving=False,
    ),
    Command("voting_view", "the servers that vote, and where they are", member.voting_view),
    Command("watch_summary wchs", "how many watches there are", server.watch_summary),
    Command("watches wchc", "the watched paths of each session", server.watches),
    Command("watches_by_path wchp", "the sessions that watch each path", server.watches_by_path),
    Command(
        "zabstate",
        "the place of this server in its ensemble, and how far it is",
        member.zabstate,
        needs_serving=False,
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
    if asked.method in ("PUT", "DELETE"):
        return bare(METHOD_NOT_ALLOWED)
    if asked.method not in ("GET", "HEAD", "POST"):
        return bare(NOT_IMPLEMENTED)
    if not asked.name:
        return index(asked.url)
    command = find(asked.name)
    if command is None:
        return reply(asked.name, error=f"Unknown command: {asked.name}")
    if command.needs_serving and not asked.peer.server.is_running:
        return reply(asked.name, error=server.NOT_SERVING)
    if command.fields is None:
        return None
    if asked.method == "POST":
        return wrong_method(asked)
    found = command.fields(asked)
    return found if isinstance(found, Answer) else reply(command.name, found)


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
