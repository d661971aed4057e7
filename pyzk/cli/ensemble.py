"""`pyzk ensemble`: a whole ensemble on this machine, with one command.

Shell. It is for trying things out and for tests in other languages: every member is on loopback, in
a process of its own. `ensemble_layout` says where the ensemble is kept, `ensemble_processes` how it
runs.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from pyzk import __version__
from pyzk.cli.ensemble_layout import (
    MAX_MEMBERS,
    MAX_PORT,
    MIN_VOTERS,
    LayoutError,
    MemberFolder,
    admin_addresses,
    connect_string,
    prepare,
)
from pyzk.cli.ensemble_processes import Supervisor
from pyzk.cli.number import Number
from pyzk.cli.sources import fail, property_options
from pyzk.exit_codes import ExitCode
from pyzk.runtime import logs
from pyzk.runtime.main import announce, refuse
from pyzk.runtime.process import SIGNALS


@click.command("ensemble")
@click.argument(
    "voters",
    type=Number("a number of servers", MIN_VOTERS, MAX_MEMBERS),
    required=False,
    metavar="[N]",
)
@click.option(
    "--observers",
    type=Number("a number of servers", 0, MAX_MEMBERS),
    metavar="N",
    help="Observers: members that do not vote.",
)
@click.option(
    "--dir",
    "directory",
    metavar="DIR",
    help="Keep the ensemble in this directory, and go on with what is there.",
)
@click.option(
    "--base-port",
    type=Number("a port", 0, MAX_PORT),
    metavar="PORT",
    help="The first client port, 2181; 0 takes free ones.",
)
@click.option(
    "--reconfig-enabled",
    is_flag=True,
    help="Let members be added and removed while it runs (pyzk members).",
)
@click.option("--admin", is_flag=True, help="Give each member an admin server (HTTP).")
@click.option("--restart", is_flag=True, help="Start a member again when it has died.")
@property_options[0]
@click.option("--log-level", type=click.Choice(logs.LEVELS), default="info", show_default=True)
@click.option(
    "--print-connect-string", is_flag=True, help="When ready, print the connect string only."
)
@click.option("--exit-with-parent", is_flag=True, help="Stop when the parent process is gone.")
def command(
    voters: int | None,
    observers: int | None,
    directory: str | None,
    base_port: int | None,
    reconfig_enabled: bool,
    admin: bool,
    restart: bool,
    properties: tuple[str, ...],
    log_level: str,
    print_connect_string: bool,
    exit_with_parent: bool,
) -> None:
    """Run an ensemble of N servers (3) on this machine until Ctrl-C.

    Each member is a process of `pyzk serve`. Without --dir the ensemble is in a temporary
    directory, and gone at the end. Standard output says who leads, each time that changes.
    """
    with ExitStack() as ends:
        # Before any thread starts: a signal waits until it can stop the members, and what was made
        # is removed.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        ends.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        if exit_with_parent:
            from pyzk.runtime.parent import exit_with_parent as watch_parent

            watch_parent()
        place = _place(directory, ends)
        members = _prepare(
            place, voters, observers, base_port, can_change=reconfig_enabled, has_admin=admin
        )
        options = [*(f"-D{each}" for each in properties), "--log-level", log_level]
        if not print_connect_string:
            kept = "" if directory is not None else ", removed at the end"
            announce(f"pyzk {__version__}: an ensemble of {len(members)} in {place}{kept}")
            announce(f"client ports {connect_string(members)}")
            if admin:
                announce(f"admin servers {admin_addresses(members)}")
        supervisor = Supervisor(
            members,
            options,
            announce,
            restart=restart,
            is_kept=directory is not None,
            connect_string_only=print_connect_string,
            with_parent=exit_with_parent,
        )
        code = asyncio.run(supervisor.run())
    raise SystemExit(code)


def _place(directory: str | None, ends: ExitStack) -> Path:
    if directory is not None:
        return Path(directory).absolute()
    made = Path(tempfile.mkdtemp(prefix="pyzk-ensemble-"))
    ends.callback(shutil.rmtree, made, ignore_errors=True)
    return made


def _prepare(
    place: Path,
    voters: int | None,
    observers: int | None,
    base_port: int | None,
    *,
    can_change: bool,
    has_admin: bool,
) -> list[MemberFolder]:
    try:
        return prepare(
            place, voters, observers, base_port, can_change=can_change, has_admin=has_admin
        )
    except LayoutError as error:
        fail(str(error))
    except OSError as error:
        code = ExitCode.UNABLE_TO_ACCESS_DATADIR
        raise SystemExit(refuse(f"{error.filename or place}: {error.strerror}", code)) from None
