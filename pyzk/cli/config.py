"""`pyzk config`: what a configuration means, without starting anything.

Shell.
"""

from __future__ import annotations

import sys

import click

from pyzk.cli.sources import fail, load, property_options
from pyzk.config import effective_values
from pyzk.runtime.main import ExitCode, abandon_output, refuse


@click.group("config")
def command() -> None:
    """Look at a configuration."""


@command.command("check")
@click.argument("zoo_cfg", required=False, metavar="[ZOO_CFG]")
@property_options[0]
@property_options[1]
@click.option("--strict", is_flag=True, help="Exit with 2 if there is a warning.")
def check(
    zoo_cfg: str | None, properties: tuple[str, ...], properties_file: str | None, strict: bool
) -> None:
    """Print the effective values of ZOO_CFG, and what of it will be ignored.

    Exits with 2 and one line on standard error where a value is wrong.
    """
    config = load(zoo_cfg, properties, properties_file)
    lines = [f"{name}={_show(name, value)}\n" for name, value in effective_values(config)]
    if config.ensemble is not None:
        from pyzk.config_ensemble import ensemble_values

        lines += [
            f"{name}={_show(name, value)}\n" for name, value in ensemble_values(config.ensemble)
        ]
    lines += [f"authProvider.{suffix}={name}\n" for suffix, name in config.auth_providers]
    _print("".join(lines))
    for kind, remarks in (("warning", config.warnings), ("note", config.notes)):
        for line, text in remarks:
            where = f"line {line}: " if line else ""
            click.echo(f"{kind}: {where}{text}", err=True)
    if strict and config.warnings:
        count = len(config.warnings)
        fail(f"refused: {count} warning{'s' if count > 1 else ''}, and --strict was given")


def _print(text: str) -> None:
    """Write to standard output. A reader that has seen enough (`| head`) changes nothing."""
    try:
        click.echo(text, nl=False)
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_output()
    except OSError as error:
        raise SystemExit(
            refuse(f"cannot write to standard output: {error.strerror}", ExitCode.UNEXPECTED)
        ) from None


def _show(name: str, value: object) -> str:
    if value is None:
        return ""
    if name.endswith("superDigest"):
        return "(set)"
    if name in ("forceSync", "skipACL", "leaderServes"):
        return "yes" if value else "no"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)
