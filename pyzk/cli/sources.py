"""From command line arguments and files to a ServerConfig.

Shell. The subcommands that take a `zoo.cfg` share it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NoReturn

import click

from pyzk.config.server import Property, ServerConfig, parse_config, parse_properties
from pyzk.errors import ConfigError
from pyzk.exit_codes import ExitCode
from pyzk.runtime.auth_providers import has_provider
from pyzk.runtime.main import refuse

ReadFile = Callable[[str], bytes | None]

DEFAULTS = (
    Property("clientPort", "2181", "clientPort"),
    Property("clientPortAddress", "127.0.0.1", "clientPortAddress"),
    Property("dataDir", "./pyzk-data", "dataDir"),
)
"""The address to serve on where no zoo.cfg is given: only this machine can reach it."""
_ADMIN_DEFAULT = Property("zookeeper.admin.serverAddress", "127.0.0.1", "")
"""The address of the admin server then; a property, for -D to win over it. Nobody has given it, so
no remark is made about it."""

KERBEROS_VARIABLE = "KRB5_CONFIG"
"""The environment variable that names another krb5.conf to what has to do with Kerberos."""
KERBEROS_FILE_KEY = "java.security.krb5.conf"

property_options = (
    click.option(
        "-D",
        "properties",
        multiple=True,
        metavar="NAME=VALUE",
        help="A Java system property of ZooKeeper, e.g. -Djute.maxbuffer=4194304.",
    ),
    click.option(
        "--properties",
        "properties_file",
        metavar="FILE",
        help="System properties from a Java properties file; -D wins.",
    ),
)


def load(
    zoo_cfg: str | None,
    properties: Iterable[str] = (),
    properties_file: str | None = None,
    options: Iterable[Property] = (),
    read_file: ReadFile | None = None,
) -> ServerConfig:
    """Return the configuration, or end the process with one line that says what is wrong.

    ``read_file`` returns the content of a file that the configuration names, such as myid, None if
    there is none; by default it is that on disk.
    """
    given = load_properties(properties, properties_file)
    options = tuple(options)
    try:
        return read_config(zoo_cfg, given, options, read_file)
    except ConfigError as error:
        is_of_file = error.key not in {each.label for each in (*given, *options)}
        fail(f"{zoo_cfg}: {error}" if zoo_cfg is not None and is_of_file else str(error))
    except OSError as error:
        fail(f"cannot read {error.filename}: {error.strerror}")


def read_config(
    zoo_cfg: str | None,
    properties: Iterable[Property],
    options: Iterable[Property],
    read_file: ReadFile | None = None,
) -> ServerConfig:
    """Return the configuration; ``read_file`` is that of `load`. Raises ConfigError and OSError."""
    read = read_file or read_if_there
    if zoo_cfg is None:
        all_options = (*DEFAULTS, *options)
        return parse_config(
            b"",
            (_ADMIN_DEFAULT, *properties),
            all_options,
            read,
            has_provider=has_provider,
        )
    return parse_config(
        _read(zoo_cfg),
        properties,
        options,
        read,
        resolve,
        os.path.isdir,
        os.path.abspath(zoo_cfg),
        has_provider,
    )


def load_properties(
    properties: Iterable[str] = (), properties_file: str | None = None
) -> list[Property]:
    """Return the properties that ``property_options`` give, the strongest last, or end the process
    with one line that says what is wrong."""
    given: list[Property] = []
    kerberos = os.environ.get(KERBEROS_VARIABLE)
    if kerberos:
        given.append(Property(KERBEROS_FILE_KEY, kerberos, KERBEROS_VARIABLE))
    if properties_file is not None:
        try:
            entries = parse_properties(_read(properties_file))
        except ConfigError as error:
            fail(f"{properties_file}: {error}")
        except OSError as error:
            fail(f"cannot read {error.filename}: {error.strerror}")
        for entry in entries:
            label = f"{properties_file} line {entry.line}: {entry.key}"
            given.append(Property(entry.key, entry.value, label))
    for text in properties:
        name, _, value = text.partition("=")
        given.append(Property(name, value, f"-D{name}"))
    return given


def fail(reason: str) -> NoReturn:
    """End the process with one line and the code for a wrong argument."""
    raise SystemExit(refuse(reason, ExitCode.INVALID_INVOCATION))


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def read_if_there(path: str) -> bytes | None:
    """Return the content of a file, None if there is none. Raises any other OSError."""
    try:
        return _read(path)
    except FileNotFoundError:
        return None


def resolve(host: str) -> str | None:
    """Return the first address of a host, an IPv4 one if there is any, as Java does."""
    import socket  # few need it

    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    addresses = [str(each[4][0]) for each in found]
    return next((address for address in addresses if ":" not in address), addresses[0])
