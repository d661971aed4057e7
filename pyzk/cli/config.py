"""`pyzk config`: what a configuration means, without starting anything.

Shell.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

import click

from pyzk.cli.output import JSON, output_option, print_json, print_out, print_remarks
from pyzk.cli.sources import fail, load, property_options
from pyzk.config import admin
from pyzk.config.keys import SECRETS
from pyzk.config.members import bracketed
from pyzk.config.security_keys import CLIENT_PREFIX, QUORUM_PREFIX
from pyzk.config.server import DEFAULTS, WILDCARD, ServerConfig, effective_values
from pyzk.config.tls import usual_values
from pyzk.errors import ConfigError
from pyzk.runtime import secret_files
from pyzk.runtime.main import explain, refuse


class _Group(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word not in self.commands and not word.startswith("-"):
            there = "there is check."
            if len(args) == 1:
                there = f"did you mean: pyzk config check {shlex.quote(word)}"
            ctx.fail(f"There is no command {word!r}; {there}")
        return super().resolve_command(ctx, args)


@click.group("config", cls=_Group)
def command() -> None:
    """Look at a configuration."""


@command.command("check")
@click.argument("zoo_cfg", required=False, metavar="[ZOO_CFG]")
@property_options[0]
@property_options[1]
@click.option("--all", "with_defaults", is_flag=True, help="Also print the values nobody set.")
@output_option
@click.option("--strict", is_flag=True, help="Exit with 2 if there is a warning.")
def check(
    zoo_cfg: str | None,
    properties: tuple[str, ...],
    properties_file: str | None,
    with_defaults: bool,
    output: str,
    strict: bool,
) -> None:
    """Say what ZOO_CFG means, whether its values are right, and what of it will be ignored.

    It starts nothing, opens no ports and reads no data but myid, login files and, for TLS, the
    stores of keys and certificates; it looks up no names but those of a client address that is
    given twice. So `pyzk serve` may still meet a port that is taken, a
    name that nobody knows, or a directory that cannot be used.

    Standard output has the effective values that are not ZooKeeper's defaults, one KEY=VALUE a
    line; standard error has notes, warnings and, as its last line, the verdict. With `--output
    json` all of it is on standard output. A wrong value ends it with one line and code 2.
    """
    config = _with_files(load(zoo_cfg, properties, properties_file), zoo_cfg)
    values = {name: _show(name, value) for name, value in _values(config, with_defaults)}
    if output == JSON:
        print_json(_report(config, values))
    else:
        print_out("".join(f"{name}={value}\n" for name, value in values.items()))
        print_remarks("note", config.notes)
        print_remarks("warning", config.warnings)
    warnings = _count(config.warnings, "warning")
    if strict and config.warnings:
        fail(f"refused: {warnings}, and --strict was given")
    if output == JSON:
        return
    counts = ", ".join(filter(None, (warnings, _count(config.notes, "note")))) or "no warnings"
    name = "the defaults" if zoo_cfg is None else zoo_cfg
    click.echo(f"{name}: ok, {counts}: {_place(config)}", err=True)


def _with_files(config: ServerConfig, zoo_cfg: str | None) -> ServerConfig:
    """Return the configuration with a warning for each certificate whose time it is not, and for
    files with secrets that everybody may read; or end the process with one line if a store is no
    use, or a library is missing."""
    found: list[str] = []
    members = None if config.ensemble is None else config.ensemble.quorum_tls
    admin_tls = None if config.admin is None else config.admin.tls
    try:
        for each in (config.client_tls, members, admin_tls):
            if each is not None:
                from pyzk.runtime.tls import TlsContexts  # few need it

                TlsContexts(each, warn=found.append)
        if _is_kerberos(config):
            from pyzk.runtime import kerberos  # likewise

            kerberos.library()
    except ConfigError as error:
        raise SystemExit(refuse(*explain(error, config, zoo_cfg=zoo_cfg))) from None
    secrets = secret_files.warning(config)
    if secrets is not None:
        found.append(secrets)
    return replace(config, warnings=(*config.warnings, *((None, text) for text in found)))


def _is_kerberos(config: ServerConfig) -> bool:
    members = None if config.ensemble is None else config.ensemble.quorum_sasl
    clients = None if config.sasl is None else config.sasl.login
    return (clients is not None and clients.is_kerberos) or (
        members is not None and members.is_kerberos
    )


def _report(config: ServerConfig, values: dict[str, str]) -> dict[str, object]:
    return {
        "place": _place(config),
        "values": values,
        "warnings": [{"line": line, "text": text} for line, text in config.warnings],
        "notes": [{"line": line, "text": text} for line, text in config.notes],
    }


def _values(config: ServerConfig, with_defaults: bool) -> list[tuple[str, object]]:
    values, usual = effective_values(config), dict(effective_values(DEFAULTS))
    usual |= admin.usual_values()
    if config.client_tls is not None:
        usual |= usual_values(CLIENT_PREFIX)
    if config.sasl is not None or config.ensemble is not None:
        from pyzk.config import sasl

        usual |= sasl.usual_values()
    if config.ensemble is not None:
        from pyzk.config.ensemble import ensemble_defaults, ensemble_values

        values += ensemble_values(config.ensemble)
        usual |= ensemble_defaults()
        usual |= usual_values(QUORUM_PREFIX)
    if not with_defaults:
        values = [pair for pair in values if pair[0] not in usual or usual[pair[0]] != pair[1]]
    ports = {
        "clientPortAddress": config.client_port,
        "secureClientPortAddress": config.secure_client_port,
    }
    for at, (name, value) in enumerate(values):
        if value is None and ports.get(name) is not None:
            values[at] = (name, WILDCARD)
    return values + [(f"authProvider.{suffix}", name) for suffix, name in config.auth_providers]


def _place(config: ServerConfig) -> str:
    """Return what the server would be, in the words of the line with which it starts."""
    role = "standalone" if config.ensemble is None else config.ensemble.place
    host = bracketed(config.client_port_address or WILDCARD)
    places = [] if config.client_port is None else [f"{host}:{config.client_port}"]
    if config.secure_client_port is not None:
        host = bracketed(config.secure_client_port_address or WILDCARD)
        places.append(f"{host}:{config.secure_client_port} (TLS)")
    return f"{role}, on {' and '.join(places)}, data in {config.data_dir}"


def _count(remarks: Sequence[object], what: str) -> str:
    return f"{len(remarks)} {what}{'s' if len(remarks) > 1 else ''}" if remarks else ""


def _show(name: str, value: object) -> str:
    if value is None:
        return ""
    if name in SECRETS:
        return "(set)" if value else ""
    if name in ("forceSync", "skipACL", "leaderServes"):
        return "yes" if value else "no"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)
