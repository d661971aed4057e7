"""GSSAPI with Kerberos, the server's and the client's side of it.

Pure. RFC 4752 with the layer «none»: once the context stands, the server offers layers, and the
client chooses one, both wrapped. The context is handed in, for it asks a library that reads files
and other machines: so a step may block, and whoever takes one does it away from the loop. Answers
to GssKrb5Server and GssKrb5Client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from pyzk.auth.sasl.mechanism import Authorize, Mechanism
from pyzk.config.jaas import Login
from pyzk.errors import SaslError

NO_LAYER: Final = 1
OFFER: Final = bytes((NO_LAYER, 1, 0, 0))
"""The layers that the server offers, and the size of its buffer, as the Java platform sends it."""
CHOICE: Final = bytes((NO_LAYER, 0, 0, 0))


class GssContext(Protocol):
    """One side of one security context. Each method may block, and raises SaslError."""

    def step(self, token: bytes) -> bytes:
        """Take the other side's token and return the next one, which may be empty."""
        ...

    @property
    def is_established(self) -> bool:
        """Whether both sides know what they wanted to know."""
        ...

    @property
    def peer_name(self) -> str:
        """The Kerberos principal of the other side."""
        ...

    def wrap(self, data: bytes) -> bytes:
        """Return the data with a proof that it comes from this side."""
        ...

    def unwrap(self, data: bytes) -> bytes:
        """Return the data that the other side has wrapped."""
        ...


class Step(Protocol):
    """One step of an exchange, as whoever has threads sees it."""

    @property
    def mechanism(self) -> Mechanism:
        """The mechanism whose step it is."""
        ...

    def take(self) -> None:
        """Take the step. Nothing else of the core is touched, so a thread may do it."""
        ...

    def finish(self) -> None:
        """Tell the core what has come of it; this is an input."""
        ...


class StepWorld(Protocol):
    """Whoever has threads."""

    def run(self, step: Step) -> None:
        """Take the step on a thread, then finish it as an input."""
        ...


class Kerberos(StepWorld, Protocol):
    """The library, and the threads on which it may block, as a world has them."""

    def accept(self, login: Login) -> GssContext:
        """Return the side that takes part with the key of a service."""
        ...

    def initiate(self, login: Login, service: str) -> GssContext:
        """Return the side that has a ticket for ``service``, a principal, or gets one."""
        ...


class GssapiServer:
    """The server's side: takes tokens of the context, offers layers, reads the choice."""

    is_blocking: Final = True

    def __init__(self, begin: Callable[[], GssContext], authorize: Authorize) -> None:
        self._begin = begin
        self._authorize = authorize
        self._context: GssContext | None = None
        self._has_offered = False
        self._is_spent = False
        self._authorization_id: str | None = None

    @property
    def is_complete(self) -> bool:
        return self._authorization_id is not None

    @property
    def authorization_id(self) -> str:
        assert self._authorization_id is not None, "the exchange is not complete"
        return self._authorization_id

    def step(self, token: bytes) -> bytes | None:
        if self._is_spent:
            raise SaslError("a token after the end of the exchange")
        self._is_spent = True  # unless nothing is raised
        answer = self._step(token)
        self._is_spent = self.is_complete
        return answer

    def _step(self, token: bytes) -> bytes | None:
        context = self._context
        if context is None:
            context = self._context = self._begin()
        if not context.is_established:
            answer = context.step(token)
            return answer if answer or self._is_waiting(context) else self._offer(context)
        if not self._has_offered:
            if token:
                raise SaslError("a token in place of an empty one, which asks for the layers")
            return self._offer(context)
        choice = context.unwrap(token)
        if len(choice) < len(CHOICE) or not choice[0] & NO_LAYER:
            raise SaslError(f"the client has chosen no layer that was offered: {choice[:4]!r}")
        proved = context.peer_name
        asked = choice[len(CHOICE) :].decode("utf-8", "replace") or proved
        self._authorization_id = self._authorize(proved, asked)
        return None

    def _is_waiting(self, context: GssContext) -> bool:
        return not context.is_established

    def _offer(self, context: GssContext) -> bytes:
        """Return the offer: at once, where the client wants no proof from this side."""
        self._has_offered = True
        return context.wrap(OFFER)


class GssapiClient:
    """The client's side: makes tokens of the context, and chooses no layer."""

    is_blocking: Final = True

    def __init__(self, begin: Callable[[], GssContext], authzid: str) -> None:
        self._begin = begin
        self._authzid = authzid
        self._context: GssContext | None = None
        self._is_spent = False
        self.is_complete = False

    @property
    def authorization_id(self) -> str:
        return self._authzid

    def step(self, token: bytes) -> bytes | None:
        if self._is_spent:
            raise SaslError("a token after the end of the exchange")
        self._is_spent = True  # unless nothing is raised
        answer = self._step(token)
        self._is_spent = self.is_complete
        return answer

    def _step(self, token: bytes) -> bytes:
        context = self._context
        if context is None:
            context = self._context = self._begin()
        if not context.is_established:
            return context.step(token)
        offer = context.unwrap(token)
        if len(offer) < len(OFFER) or not offer[0] & NO_LAYER:
            raise SaslError(f"the server insists on a layer: {offer[:4]!r}")
        self.is_complete = True
        return context.wrap(CHOICE + self._authzid.encode())
