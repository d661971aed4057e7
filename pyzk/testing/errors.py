"""What the fixture says when it is used in a way that cannot work.

Shell.
"""

from __future__ import annotations

from pyzk.errors import PyzkError


class FixtureError(PyzkError):
    """The test asks for what the fixture cannot do; the message says what to do instead."""


class NotRunningError(FixtureError):
    """The server was not started, or is stopped, killed or broken."""


class LeakedClientsError(FixtureError):
    """The server was stopped while clients were connected to it."""
