"""The command `pyzk`.

Shell. Each subcommand is a module that is imported only when it runs, because start-up is measured.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

from pyzk import __version__
from pyzk.runtime.process import open_standard_streams

COMMANDS: Final = {
    "serve": ("pyzk.cli.serve", "Run a server."),
    "ensemble": ("pyzk.cli.ensemble", "Run an ensemble on this machine."),
    "container": ("pyzk.cli.container", "Run a server as its container's environment says."),
    "status": ("pyzk.cli.status", "Show how the members of an ensemble are."),
    "health": ("pyzk.cli.health", "Tell whether one server is ready, or alive."),
    "members": ("pyzk.cli.members", "Show and change the members of an ensemble."),
    "purge": ("pyzk.cli.purge", "Remove snapshots and logs that nothing needs any more."),
    "config": ("pyzk.cli.config", "Look at a configuration."),
}


@contextmanager
def _explained() -> Iterator[None]:
    """Says where --output belongs, if it stands elsewhere."""
    try:
        yield
    except click.NoSuchOption as error:
        if error.option_name != "--output":
            raise
        said = (
            f"{error.message} It belongs behind `status`, `health`, `purge`, `config check` or a"
            " command of `members`."
        )
        raise click.NoSuchOption(error.option_name, said, ctx=error.ctx) from None


class _Commands(click.Group):
    """The table above as a group; listing it imports nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        try:
            command = importlib.import_module(COMMANDS[cmd_name][0]).command
        except ModuleNotFoundError as error:
            # Only compiled modules need it, so only a wheel that has them names it.
            if error.name is None or error.name.partition(".")[0] != "librt":
                raise
            raise click.ClickException(
                "the compiled core needs the package librt, which is not installed:"
                " pip install librt"
            ) from None
        assert isinstance(command, click.Command), cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"There is no command {args[0]!r}; there is {', '.join(COMMANDS)}.")
        return super().resolve_command(ctx, args)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        with _explained():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _explained():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="pyzk %(version)s")
def main() -> None:
    """A ZooKeeper-compatible server."""
    open_standard_streams()
