"""`pyzk members`: the members of an ensemble, and how they change while it runs.

Shell. The options, and the question; what a change is, what would go wrong with it, and how it is
made are in the modules `members_*`.

ZooKeeper: zkCli.sh reconfig and config
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
import click

from pyzk.cli.access import Access
from pyzk.cli.access_options import access_options
from pyzk.cli.client_addresses import ClientAddress, parse_addresses
from pyzk.cli.members_change import (
    Change,
    add,
    demote,
    parse_server,
    promote,
    remove,
    replacement,
)
from pyzk.cli.members_client import (
    EnsembleClient,
    RefusedError,
    UnavailableError,
    look_at_members,
)
from pyzk.cli.members_report import (
    Outcome,
    Report,
    as_json,
    list_json,
    render_list,
    render_plan,
    render_verdict,
)
from pyzk.cli.members_run import Terms, Wanted, carry_out
from pyzk.cli.number import Number, timeout_option
from pyzk.cli.output import JSON, output_option, print_json, print_out
from pyzk.cli.sources import fail
from pyzk.cli.status import DEFAULT_MAX_LAG, DEFAULT_SERVERS
from pyzk.config.members import Membership, QuorumServer

DEFAULT_WAIT_S: Final = 60.0
AUTH_VARIABLE: Final = "PYZK_AUTH"

Command = Callable[..., None]

_ID: Final = Number("a server id", 0)

_reaching: Final = (
    click.option(
        "-s",
        "--server",
        "servers",
        default=DEFAULT_SERVERS,
        show_default=True,
        metavar="HOST:PORT[,HOST:PORT...]",
        help="Where a member takes clients; one that serves is enough, the others become known.",
    ),
    click.option(
        "--auth",
        envvar=AUTH_VARIABLE,
        metavar="SCHEME:CREDENTIALS",
        help="Who asks, e.g. digest:super:PASSWORD. Other users of this machine may see arguments:"
        f" the environment variable {AUTH_VARIABLE} does the same.",
    ),
    timeout_option("How long to wait for each answer."),
    access_options,
    output_option,
)
_changing: Final = (
    *_reaching,
    click.option("--dry-run", "is_dry", is_flag=True, help="Check and show, and change nothing."),
    click.option("-y", "--yes", is_flag=True, help="Do not ask (only a terminal is asked)."),
    click.option(
        "--force",
        "is_forced",
        is_flag=True,
        help="Go on in spite of what only this command finds wrong, not the servers.",
    ),
    click.option(
        "--wait",
        "wait_s",
        type=Number("a number of seconds", 0.0, 86400),
        default=DEFAULT_WAIT_S,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for a server to be in sync.",
    ),
    click.option(
        "--max-lag",
        type=Number("a number of transactions", 0),
        default=DEFAULT_MAX_LAG,
        show_default=True,
        metavar="N",
        help="Transactions that a member in sync may be behind.",
    ),
)
_grouping: Final = (
    click.option("--group", type=Number("a group id", 0), help="The group of a new voter."),
    click.option(
        "--weight",
        type=Number("a weight", 0),
        default=1,
        show_default=True,
        help="The weight of a new voter, where there are groups.",
    ),
)


def _with_options(options: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    def decorate(function: Command) -> Command:
        return functools.reduce(lambda made, option: option(made), reversed(options), function)

    return decorate


@click.group("members")
def command() -> None:
    """Show and change the members of an ensemble while it runs; pyzk's and Apache ZooKeeper's.

    The servers need reconfigEnabled=true, and changes a superuser: --auth, --sasl or --cert. Codes:
    0 done, 2 wrong arguments, 3 nobody takes writes, 4 refused and nothing changed, 5 not finished:
    the same command goes on.
    """


@command.command("list")
@click.argument("more", nargs=-1, metavar="[HOST:PORT[,HOST:PORT...]]")
@_with_options(_reaching)
def list_command(
    more: tuple[str, ...],
    servers: str,
    auth: str | None,
    timeout_s: float,
    access: Access,
    output: str,
) -> None:
    """Show the configuration in force, and how each member is.

    It takes no session where a server answers conf (4lw.commands.whitelist), and else one.
    """
    addresses = _addresses(",".join(more) or servers)
    report = Report(is_look=True)
    try:
        observed = look_at_members(addresses, timeout_s, access)
        if observed is None:
            with EnsembleClient(addresses, _credentials(auth), timeout_s, access) as client:
                observed = client.observe(max_lag=DEFAULT_MAX_LAG, is_writer=False)
    except UnavailableError as error:
        report.fail(Outcome.UNAVAILABLE, "unavailable", str(error))
    except RefusedError as error:
        report.fail(Outcome.REFUSED, error.check, error.text)
    else:
        if output == JSON:
            print_json(list_json(observed))
        else:
            print_out(render_list(observed))
        return
    _end(report, output)


@command.command("add")
@click.argument("new", nargs=-1, required=True, metavar="ID=ADDRESS...")
@click.option("--observer", "is_observer", is_flag=True, help="Without a vote; promote it later.")
@_with_options(_grouping)
@_with_options(_changing)
def add_command(
    new: tuple[str, ...], is_observer: bool, group: int | None, weight: int, **options: Any
) -> None:
    """Add servers, as voters or as observers.

    For example '4=zk4.example.com:2888:3888;2181'; a server line of zoo.cfg will do. Recommended:
    add it with --observer, start it with the lines that this command prints, and promote it. A
    new voter must be running and in sync.
    """
    servers = []
    for text in new:
        server, has_role = _server(text)
        if is_observer and has_role and not server.is_observer:
            fail(f"{text!r} names a participant, and --observer was given: leave out one of them")
        servers.append(_with_role(server, is_observer or server.is_observer))
    _no_doubles([server.sid for server in servers])
    _change(lambda now: [add(now, servers, group, weight)], servers, **options)


@command.command("remove")
@click.argument("ids", nargs=-1, required=True, type=_ID, metavar="ID...")
@_with_options(_changing)
def remove_command(ids: tuple[int, ...], **options: Any) -> None:
    """Remove members; the rest must be a quorum. Stop them afterwards."""
    _no_doubles(ids)
    _change(lambda now: [remove(now, ids)], (), **options)


@command.command("promote")
@click.argument("ids", nargs=-1, required=True, type=_ID, metavar="ID...")
@_with_options(_grouping)
@_with_options(_changing)
def promote_command(ids: tuple[int, ...], group: int | None, weight: int, **options: Any) -> None:
    """Give observers a vote, as soon as they are in sync. Several get it at once."""
    _no_doubles(ids)
    _change(lambda now: [promote(now, ids, group, weight)], (), **options)


@command.command("demote")
@click.argument("ids", nargs=-1, required=True, type=_ID, metavar="ID...")
@_with_options(_changing)
def demote_command(ids: tuple[int, ...], **options: Any) -> None:
    """Take the vote of participants; they go on as observers."""
    _no_doubles(ids)
    _change(lambda now: [demote(now, ids)], (), **options)


@command.command("replace")
@click.argument("old", type=_ID, metavar="OLD_ID")
@click.argument("new", metavar="ID=ADDRESS")
@_with_options(_grouping)
@_with_options(_changing)
def replace_command(old: int, new: str, group: int | None, weight: int, **options: Any) -> None:
    """Put another server in the place of a member, or move it.

    With a free id: the new server is added as an observer, waited for, and then gets the old one's
    role in the step that removes that. With the id of the member: on the same host only its ports
    change, while it runs; on another host the old one leaves first. Given again, the command goes
    on where it ended. A new voter has the group and weight of the old one.
    """
    server, _ = _server(new)

    def wanted(now: Membership) -> list[Change]:
        return replacement(now, old, server, group, weight)

    _change(wanted, [server], **options)


# --- what they share ------------------------------------------------------------------


def _change(
    wanted: Wanted,
    others: Sequence[QuorumServer],
    *,
    servers: str,
    auth: str | None,
    timeout_s: float,
    access: Access,
    output: str,
    is_dry: bool,
    yes: bool,
    is_forced: bool,
    wait_s: float,
    max_lag: int,
) -> None:
    is_json = output == JSON
    shown: list[str] = []

    def agree(plan: str) -> bool:
        is_asked = is_terminal() and not yes
        shown.append(plan)
        if not is_json:
            print_out(plan + "\n")
        elif is_asked:
            click.echo(plan, err=True)
        return not is_asked or _is_confirmed()

    terms = Terms(is_dry, is_forced, wait_s, max_lag, agree)
    addresses, credentials = _addresses(servers), _credentials(auth)
    try:
        with EnsembleClient(addresses, credentials, timeout_s, access) as client:
            report = carry_out(client, wanted, others, terms)
    except UnavailableError as error:
        report = Report(is_dry)
        report.fail(Outcome.UNAVAILABLE, "unavailable", str(error))
    if not is_json and not shown and (plan := render_plan(report)):
        print_out(plan + "\n")
    _end(report, output)


def is_terminal() -> bool:
    """Return whether a person can be asked."""
    return sys.stdin.isatty()


def _is_confirmed() -> bool:
    try:
        return click.confirm("change the members?", err=True)
    except click.Abort:  # the end of the input, or Ctrl-C
        click.echo(err=True)
        return False


def _end(report: Report, output: str) -> None:
    if output == JSON:
        print_json(as_json(report))
    else:
        print_out(render_verdict(report))
    raise SystemExit(report.outcome)


def _addresses(text: str) -> list[ClientAddress]:
    try:
        return parse_addresses(text)
    except ValueError as error:
        fail(f"--server: {error}")


def _credentials(auth: str | None) -> tuple[str, str] | None:
    """Return scheme and credentials; what is wrong is said without them."""
    if not auth:
        return None
    scheme, colon, credentials = auth.partition(":")
    if not (scheme and colon and credentials):
        fail(f"--auth (or {AUTH_VARIABLE}) is not SCHEME:CREDENTIALS, as in digest:super:PASSWORD")
    if scheme == "digest" and ":" not in credentials:
        fail(f"--auth (or {AUTH_VARIABLE}) is not digest:USER:PASSWORD")
    return scheme, credentials


def _server(text: str) -> tuple[QuorumServer, bool]:
    try:
        return parse_server(text)
    except ValueError as error:
        fail(str(error))


def _with_role(server: QuorumServer, is_observer: bool) -> QuorumServer:
    return attrs.evolve(server, is_observer=is_observer)


def _no_doubles(ids: Sequence[int]) -> None:
    for sid in ids:
        if list(ids).count(sid) > 1:
            fail(f"server {sid} is named twice")
