"""`pyzk config`: what a configuration means, without starting anything.

Shell.
"""

from __future__ import annotations

import click

from pyzk.cli.sources import load, property_options
from pyzk.config import effective_values


@click.group("config")
def command() -> None:
    """Look at a configuration."""


@command.command("check")
@click.argument("zoo_cfg", required=False, metavar="[ZOO_CFG]")
@property_options[0]
@property_options[1]
def check(zoo_cfg: str | None, properties: tuple[str, ...], properties_file: str | None) -> None:
    """Print the effective values of ZOO_CFG, and what of it will be ignored.

    Exits with 2 and one line on standard error where a value is wrong.
    """
    config = load(zoo_cfg, properties, properties_file)
    for name, value in effective_values(config):
        click.echo(f"{name}={_show(name, value)}")
    for suffix, name in config.auth_providers:
        click.echo(f"authProvider.{suffix}={name}")
    for kind, remarks in (("warning", config.warnings), ("note", config.notes)):
        for line, text in remarks:
            where = f"line {line}: " if line else ""
            click.echo(f"{kind}: {where}{text}", err=True)


def _show(name: str, value: object) -> str:
    if value is None:
        return ""
    if name.endswith("superDigest"):
        return "(set)"
    if name in ("forceSync", "skipACL"):
        return "yes" if value else "no"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)
