"""The options of a test run that say how an external server is reached: by TLS, and with a login.

Shell. The names are those of our command line, with ``pyzk-`` in front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

import attrs
import pytest

from pyzk.cli.access import AccessError
from pyzk.cli.access_options import AccessOptions


def options_of(config: pytest.Config) -> AccessOptions:
    """Return how an external server is reached."""
    names = attrs.fields_dict(AccessOptions)
    given = {name: config.getoption(f"pyzk_{name}") for name in names}
    return AccessOptions(**{name: value for name, value in given.items() if value})


def check(config: pytest.Config) -> None:
    """Check that the options make sense together. Raises UsageError."""
    try:
        options_of(config).read()
    except AccessError as error:
        raise pytest.UsageError(str(error).replace("--", "--pyzk-")) from None


def skip_tls(
    settings: Mapping[str, object], options: AccessOptions, skip: Callable[[str], NoReturn]
) -> None:
    """Skip a test that asks for TLS where the server that runs has none."""
    if settings.get("tls") and not options.tls:
        skip("tls is not available with an external server (--pyzk-connect) without --pyzk-tls")
