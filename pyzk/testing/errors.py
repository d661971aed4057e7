"""What the fixture says when it is used in a way that cannot work.

Shell.
"""

from __future__ import annotations

from pyzk.errors import PyzkError


class FixtureError(PyzkError):
    """The test asks for what the fixture cannot do; the message says what to do instead."""


class NotRunningError(FixtureError):
    """The server was not started, or is stopped, killed or broken."""


class NotAvailableError(FixtureError):
    """A server that runs elsewhere cannot do this."""


class LeakedClientsError(FixtureError):
    """The server was stopped while clients were connected to it."""


class LeakedClientsWarning(UserWarning):
    """The same, where it is no error. No ResourceWarning: nobody sees those by default."""
