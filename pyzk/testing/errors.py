"""The errors and warnings that a test gets from the fixture.

Shell.
"""

from __future__ import annotations

from pyzk.errors import PyzkError


class FixtureError(PyzkError):
    """The test asks for what the fixture cannot do; the message says what to do instead."""


class NotRunningError(FixtureError):
    """The server was not started, or is stopped, killed or broken."""


class NotAvailableError(FixtureError):
    """A server that runs in another process cannot do what the test asks for."""


class LeakedClientsError(FixtureError):
    """The server was stopped while clients were connected to it."""


class LeakedClientsWarning(UserWarning):
    """The server was stopped while clients were connected to it, and ``leaks`` is ``warn``.

    It is no ResourceWarning, as Python hides those by default.
    """
