"""What each mechanism of SASL has to answer, on both sides of an exchange.

Pure. Answers to SaslServer and SaslClient of the Java platform.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

DIGEST_MD5: Final = "DIGEST-MD5"
GSSAPI: Final = "GSSAPI"

Authorize = Callable[[str, str], str]
"""Takes who somebody has proved to be and who he asks to act as; returns the id that he gets.

Raises SaslError if he may not."""


class Mechanism(Protocol):
    """One side of one exchange, as a state machine: a token in, a token out."""

    @property
    def is_blocking(self) -> bool:
        """Whether a step may wait for a file or for another machine."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether the exchange has succeeded."""
        ...

    @property
    def authorization_id(self) -> str:
        """The id that the other side has got; known on the server's side once it is complete."""
        ...

    def step(self, token: bytes) -> bytes | None:
        """Take the other side's token and return the next one, None if there is none to send.

        A client begins with an empty token. Raises SaslError; after that, and after the end, every
        step fails.
        """
        ...
