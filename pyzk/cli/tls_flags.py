"""The options of TLS that our own tools share, as they stand on the command line.

Shell. `access_options` makes use of them. They are apart, because `pyzk health` imports as little
as it can.
"""

from __future__ import annotations

from typing import Final

import click

KEY_PASSWORD_VARIABLE: Final = "PYZK_KEY_PASSWORD"  # noqa: S105  its name

TLS_OPTIONS: Final = (
    click.option(
        "--tls",
        is_flag=True,
        help="Talk TLS: the ports named are secureClientPorts, or take both kinds.",
    ),
    click.option(
        "--ca", metavar="FILE", help="Whom to trust, PEM. Default: the system's authorities."
    ),
    click.option("--cert", metavar="FILE", help="The client's certificate, with its chain; PEM."),
    click.option("--key", metavar="FILE", help="Its key, PEM; default: in the file of --cert."),
    click.option(
        "--key-password-file",
        metavar="FILE",
        help=f"The password of the key; or the environment variable {KEY_PASSWORD_VARIABLE}.",
    ),
    click.option(
        "--no-check-hostname",
        is_flag=True,
        help="Take a server's certificate that is for another host.",
    ),
    click.option("--no-verify", is_flag=True, help="Take any certificate of a server."),
)

TLS_NAMES: Final = ("ca", "cert", "key", "key_password_file", "no_check_hostname", "no_verify")
"""The options that have no use without TLS."""
