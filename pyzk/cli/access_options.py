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

import attrs
import click

from pyzk.cli.access import DIGEST, GSSAPI, SERVICE, Access, AccessError, Login, client_context
from pyzk.cli.sources import fail
from pyzk.cli.tls_flags import KEY_PASSWORD_VARIABLE, TLS_NAMES, TLS_OPTIONS

SASL_PASSWORD_VARIABLE: Final = "PYZK_SASL_PASSWORD"  # noqa: S105  its name

Command = Callable[..., None]

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
    return _with(TLS_OPTIONS, function)


def access_options(function: Command) -> Command:
    """Add the options of TLS and of SASL to a command; its function has the parameter
    ``access``."""
    return _with((*TLS_OPTIONS, *_SASL), function)


def _with(options: tuple[Callable[[Command], Command], ...], function: Command) -> Command:
    @functools.wraps(function)
    def command(*arguments: Any, **others: Any) -> None:
        names = attrs.fields_dict(AccessOptions)
        given = {name: others.pop(name) for name in names if name in others}
        try:
            access = AccessOptions(**given).read()
        except AccessError as error:
            fail(str(error))
        function(*arguments, access=access, **others)

    made: Command = command
    for option in reversed(options):
        made = option(made)
    return made


@attrs.frozen
class AccessOptions:
    """What was given, by the names of the options."""

    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    key_password_file: str | None = None
    no_check_hostname: bool = False
    no_verify: bool = False
    sasl: str | None = None
    sasl_password_file: str | None = None
    sasl_service: str = SERVICE

    def read(self) -> Access:
        """Return what they say together. Raises AccessError."""
        context = None
        if self.tls:
            context = client_context(
                ca=self.ca,
                cert=self.cert,
                key=self.key,
                key_password=self._key_password(),
                verifies=not self.no_verify,
                checks_host=not self.no_check_hostname,
            )
        else:
            for name in TLS_NAMES:
                if getattr(self, name):
                    option = f"--{name.replace('_', '-')}"
                    raise AccessError(f"{option} is for TLS: it needs --tls")
        return Access(context, self._login(), has_certificate=self.cert is not None)

    def kazoo_options(self) -> dict[str, Any]:
        """Return the same as arguments of a KazooClient, which needs pure-sasl for a login. Raises
        AccessError."""
        options: dict[str, Any] = {}
        if self.tls:
            options |= {
                "use_ssl": True,
                "ca": self.ca,
                "certfile": self.cert,
                "keyfile": self.key or self.cert,
                "keyfile_password": self._key_password(),
                "verify_certs": not self.no_verify,
                "check_hostname": not (self.no_verify or self.no_check_hostname),
            }
        login = self._login()
        if login is not None and login.mechanism == DIGEST:
            options["sasl_options"] = {
                "mechanism": "DIGEST-MD5",
                "username": login.user,
                "password": login.password,
            }
        elif login is not None:
            options["sasl_options"] = {"mechanism": "GSSAPI", "service": login.service}
            if login.user is not None:
                options["sasl_options"]["principal"] = login.user
        return options

    def _key_password(self) -> str | None:
        return _password(self.key_password_file, KEY_PASSWORD_VARIABLE)

    def _login(self) -> Login | None:
        sasl, password_file = self.sasl, self.sasl_password_file
        if sasl is None:
            if password_file is not None:
                raise AccessError("--sasl-password-file needs --sasl digest:USER")
            return None
        mechanism, _, user = sasl.partition(":")
        if mechanism == GSSAPI:
            if password_file is not None:
                raise AccessError("--sasl gssapi takes the ticket of Kerberos (kinit), no password")
            login = Login(GSSAPI, user or None, service=self.sasl_service)
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
