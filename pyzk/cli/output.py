"""Standard output of commands that print a report and end: as text, or as JSON for programs.

Shell.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import click

from pyzk.exit_codes import ExitCode

if TYPE_CHECKING:
    from pyzk.config.settings import Remark

TEXT: Final = "text"
JSON: Final = "json"

output_option = click.option(
    "--output",
    type=click.Choice([TEXT, JSON]),
    default=TEXT,
    show_default=True,
    help="The form of the report.",
)
"""The option of every command that prints a report; its function has the parameter ``output``."""


def print_json(report: object) -> None:
    """Write a report for programs."""
    import json  # the other form does without

    print_out(json.dumps(report, indent=2) + "\n")


def print_out(text: str) -> None:
    """Write to standard output.

    A reader that has seen enough (`| head`) is no error. Any other failure ends the process with
    one line that says why.
    """
    try:
        click.echo(text, nl=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_output()
    except OSError as error:
        from pyzk.runtime.main import refuse  # it imports much

        _abandon_output()
        raise SystemExit(
            refuse(f"cannot write to standard output: {error.strerror}", ExitCode.UNEXPECTED_ERROR)
        ) from None


def print_remarks(kind: str, remarks: Iterable[Remark]) -> None:
    """Write notes or warnings about a configuration to standard error; ``kind`` is the word."""
    for line, text in remarks:
        where = f"line {line}: " if line else ""
        click.echo(f"{kind}: {where}{text}", err=True)


def _abandon_output() -> None:
    from pyzk.runtime.main import abandon_output  # it imports much

    abandon_output()
