"""Standard output of commands that print once and end.

Shell.
"""

from __future__ import annotations

import sys

import click

from pyzk.runtime.main import ExitCode, abandon_output, refuse


def print_out(text: str) -> None:
    """Write to standard output. A reader that has seen enough (`| head`) changes nothing; where it
    cannot be written otherwise, the process ends with one line that says why."""
    try:
        click.echo(text, nl=False)
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_output()
    except OSError as error:
        abandon_output()
        raise SystemExit(
            refuse(f"cannot write to standard output: {error.strerror}", ExitCode.UNEXPECTED)
        ) from None
