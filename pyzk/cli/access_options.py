"""The options by which our own tools get into a server, with the same names everywhere.

Shell. `tls_options` is for commands that ask by four-letter words only, which know no login;
`access_options` is for those that have a session. Each puts them into one argument, ``access``. A
password comes from a file or from the environment: other users of a machine see arguments.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, Final

import click

from pyzk.cli.access import DIGEST, GSSAPI, SERVICE, Access, AccessError, Login, client_context
from pyzk.cli.sources import fail

KEY_PASSWORD_VARIABLE: Final = "PYZK_KEY_PASSWORD"  # noqa: S105  its name
SASL_PASSWORD_VARIABLE: Final = "PYZK_SASL_PASSWORD"  # noqa: S105  its name

Command = Callable[..., None]

_TLS: Final = (
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
_SASL: Final = (
    click.option(
        "--sasl",
        metavar="MECHANISM[:USER]",
        help="Log in: digest:USER, or gssapi[:PRINCIPAL] with the ticket of Kerberos.",
    ),
    click.option(
        "--sasl-password-file",
        metavar="FILE",
        help=f"The password of USER; or the environment variable {SASL_PASSWORD_VARIABLE}.",
    ),
    click.option(
        "--sasl-service",
        default=SERVICE,
        show_default=True,
        metavar="NAME",
        help="What the servers' principals begin with (gssapi).",
    ),
)


def tls_options(function: Command) -> Command:
    """Add the options of TLS to a command; its function has the parameter ``access``."""
    return _with(_TLS, function)


def access_options(function: Command) -> Command:
    """Add the options of TLS and of SASL to a command; its function has the parameter
    ``access``."""
    return _with((*_TLS, *_SASL), function)


def _with(options: tuple[Callable[[Command], Command], ...], function: Command) -> Command:
    @functools.wraps(function)
    def command(
        *arguments: Any,
        tls: bool,
        ca: str | None,
        cert: str | None,
        key: str | None,
        key_password_file: str | None,
        no_check_hostname: bool,
        no_verify: bool,
        sasl: str | None = None,
        sasl_password_file: str | None = None,
        sasl_service: str = SERVICE,
        **others: Any,
    ) -> None:
        try:
            access = read_access(
                tls=tls,
                ca=ca,
                cert=cert,
                key=key,
                key_password_file=key_password_file,
                no_check_hostname=no_check_hostname,
                no_verify=no_verify,
                sasl=sasl,
                sasl_password_file=sasl_password_file,
                sasl_service=sasl_service,
            )
        except AccessError as error:
            fail(str(error))
        function(*arguments, access=access, **others)

    return functools.reduce(lambda made, option: option(made), reversed(options), command)


def read_access(
    *,
    tls: bool = False,
    ca: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    key_password_file: str | None = None,
    no_check_hostname: bool = False,
    no_verify: bool = False,
    sasl: str | None = None,
    sasl_password_file: str | None = None,
    sasl_service: str = SERVICE,
) -> Access:
    """Return what these options say, whoever takes them. Raises AccessError."""
    given = {
        "--ca": ca,
        "--cert": cert,
        "--key": key,
        "--key-password-file": key_password_file,
        "--no-check-hostname": no_check_hostname,
        "--no-verify": no_verify,
    }
    context = None
    if tls:
        context = client_context(
            ca=ca,
            cert=cert,
            key=key,
            key_password=_password(key_password_file, KEY_PASSWORD_VARIABLE),
            verifies=not no_verify,
            checks_host=not no_check_hostname,
        )
    else:
        for option, value in given.items():
            if value:
                raise AccessError(f"{option} is for TLS: it needs --tls")
    return Access(context, _login(sasl, sasl_password_file, sasl_service))


def _login(sasl: str | None, password_file: str | None, service: str) -> Login | None:
    if sasl is None:
        if password_file is not None:
            raise AccessError("--sasl-password-file needs --sasl digest:USER")
        return None
    mechanism, _, user = sasl.partition(":")
    if mechanism == GSSAPI:
        if password_file is not None:
            raise AccessError("--sasl gssapi takes the ticket of Kerberos (kinit), no password")
        login = Login(GSSAPI, user or None, service=service)
        login.begin("")  # the library may be missing
        return login
    if mechanism != DIGEST or not user:
        raise AccessError(f"--sasl {sasl!r} is neither digest:USER nor gssapi[:PRINCIPAL]")
    password = _password(password_file, SASL_PASSWORD_VARIABLE)
    if password is None:
        raise AccessError(
            f"--sasl {sasl} needs a password: --sasl-password-file FILE, or the environment"
            f" variable {SASL_PASSWORD_VARIABLE}"
        )
    return Login(DIGEST, user, password)


def _password(path: str | None, variable: str) -> str | None:
    """Return what a file holds, but for the end of its line, or else an environment variable."""
    if path is None:
        return os.environ.get(variable)
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise AccessError(f"the password file {path}: {reason}") from None
