"""Kerberos by the library ``gssapi``, and the threads on which it may block.

Shell. The server's side reads a file of keys and writes one that remembers tickets; the client's
side asks the servers of the realm. Each has a few threads of its own, so that a realm that does not
answer keeps no client out. What `pyzk.auth.sasl.gssapi` asks for is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from pyzk.auth.sasl.gssapi import GssapiClient, GssContext, Step
from pyzk.config.jaas import Login
from pyzk.errors import ConfigError, SaslError
from pyzk.extras import the_extra

ACCEPTING_THREADS: Final = 2
INITIATING_THREADS: Final = 8
_FILE_VARIABLE: Final = "KRB5_CONFIG"
"""The environment variable by which the library is told another krb5.conf."""

TakeIn = Callable[[str, object, Callable[[], object]], None]
"""Gives the core an input: where it comes from, what it is, and the call."""


class GssKerberos:
    """The library of this process; `Kerberos` and `StepWorld` of the core."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, take_in: TakeIn, kerberos_file: str | None = None
    ) -> None:
        """Load the library. Raises ConfigError if it is not installed."""
        if kerberos_file is not None:
            os.environ[_FILE_VARIABLE] = kerberos_file
        self._gssapi = library()
        self._accepting = Threads(ACCEPTING_THREADS, loop, take_in)
        self._initiating = Threads(INITIATING_THREADS, loop, take_in)

    def accept(self, login: Login) -> _Context:
        """Return the context of a service that has its key in a file."""
        store = {} if login.keytab is None else {"keytab": login.keytab}
        return _Context(self._gssapi, login, "accept", store)

    def initiate(self, login: Login, service: str) -> _Context:
        """Return the context of somebody who goes to a service, with a key or with a ticket."""
        if not login.uses_keytab:
            store = {} if login.ticket_cache is None else {"ccache": f"FILE:{login.ticket_cache}"}
        else:
            # Tickets that the key has brought are kept for the next time.
            store = {"ccache": f"MEMORY:pyzk-{login.section}-{id(self)}"}
            if login.keytab is not None:
                store["client_keytab"] = login.keytab
        return _Context(self._gssapi, login, "initiate", store, service)

    def run(self, step: Step) -> None:
        """Do a step on a thread, and give its end to the core."""
        is_client = isinstance(step.mechanism, GssapiClient)
        (self._initiating if is_client else self._accepting).run(step)


def client_context(principal: str | None, service: str) -> Callable[[], GssContext]:
    """Return what begins the context of somebody who has a ticket and goes to a service, on a
    thread that may wait. Without a ``principal`` it is who the ticket is for. Raises ConfigError if
    the library is not installed."""
    gssapi = library()
    login = Login(section="", users={}, principal=principal)
    return lambda: _Context(gssapi, login, "initiate", {}, service)


class _Context:
    """One security context; its credentials are acquired at the first step, on that thread."""

    def __init__(
        self, library: Any, login: Login, usage: str, store: dict[str, str], service: str = ""
    ) -> None:
        self._library = library
        self._login = login
        self._usage = usage
        self._store = store
        self._service = service
        self._context: Any = None

    def step(self, token: bytes) -> bytes:
        with self._failures():
            if self._context is None:
                self._context = self._begin()
            return self._context.step(token or None) or b""

    def _begin(self) -> Any:
        library = self._library
        principal = library.NameType.kerberos_principal
        own = self._login.principal
        credentials = library.Credentials(
            name=None if own is None else library.Name(own, principal),
            usage=self._usage,
            store=self._store or None,
        )
        if self._usage == "accept":
            context = library.SecurityContext(creds=credentials, usage="accept")
            context.__DEFER_STEP_ERRORS__ = False  # what fails raises at once
            return context
        flag = library.RequirementFlag
        context = library.SecurityContext(
            name=library.Name(self._service, principal),
            creds=credentials,
            usage="initiate",
            mech=library.MechType.kerberos,
            flags=flag.mutual_authentication | flag.integrity,
        )
        context.__DEFER_STEP_ERRORS__ = False
        return context

    @property
    def is_established(self) -> bool:
        return self._context is not None and bool(self._context.complete)

    @property
    def peer_name(self) -> str:
        with self._failures():
            return str(self._context.initiator_name)

    def wrap(self, data: bytes) -> bytes:
        with self._failures():
            return bytes(self._context.wrap(data, False).message)

    def unwrap(self, data: bytes) -> bytes:
        with self._failures():
            return bytes(self._context.unwrap(data).message)

    @contextlib.contextmanager
    def _failures(self) -> Any:
        try:
            yield
        except self._library.exceptions.GSSError as error:
            raise SaslError(" ".join(str(error).split())) from None


class Threads:
    """A few threads, one for each step that is under way; further steps wait."""

    def __init__(self, most: int, loop: asyncio.AbstractEventLoop, take_in: TakeIn) -> None:
        self._most = most
        self._loop = loop
        self._take_in = take_in
        self._waiting: deque[Step] = deque()
        self._running = 0

    def run(self, step: Step) -> None:
        if self._running == self._most:
            self._waiting.append(step)
            return
        self._running += 1
        # One that hangs must not keep the process from its end.
        threading.Thread(target=self._work, args=(step,), daemon=True, name="pyzk-kerberos").start()

    def _work(self, step: Step) -> None:
        step.take()
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._done, step)

    def _done(self, step: Step) -> None:
        self._running -= 1
        if self._waiting:
            self.run(self._waiting.popleft())
        self._take_in("SASL step", "", step.finish)


def library() -> Any:
    """Return the library. Raises ConfigError if it is not installed."""
    try:
        import gssapi
    except ImportError as error:
        raise ConfigError(
            f"a Krb5LoginModule needs {the_extra('kerberos')}: {error}",
            key="java.security.auth.login.config",
        ) from None
    return gssapi
