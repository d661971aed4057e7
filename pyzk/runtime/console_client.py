"""A client of the server's own that has no socket: the console writes through it.

Shell. The bytes go to the client port's protocol and come from it, as those of any client do, so
that a write from the console takes the way of every other: the limits, the ACLs, the leader, the
log, the audit log. The address, and the certificate if there is one, are those of the visitor.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from pyzk.runtime.client_port import ClientInputs, ClientProtocol

if TYPE_CHECKING:
    from pyzk.admin.console.writing import Conversation, Outcome

TIMEOUT_S: Final = 15.0
"""How long a write may take; after that nobody knows whether it happens."""


class _NoSocket:
    """What stands for the socket that the client port asks for its number and options."""

    def fileno(self) -> int:
        return -1

    def setsockopt(self, *_: object) -> None:
        """Does nothing."""


class ConsoleClient(asyncio.Transport):
    """One conversation with the server, and the transport below the server's side of it."""

    def __init__(
        self,
        inputs: ClientInputs,
        conversation: Conversation,
        peername: tuple[str, int],
        tls: object,
        *,
        has_address: bool,
    ) -> None:
        """``has_address`` says whether the address counts as an identity."""
        super().__init__({"peername": peername, "socket": _NoSocket(), "tls": tls})
        self._conversation = conversation
        self._has_address = has_address
        self._loop = asyncio.get_running_loop()
        self._protocol = ClientProtocol(inputs)
        self._ended: asyncio.Future[str] = self._loop.create_future()
        self._is_closing = False

    async def run(self) -> Outcome:
        """Has the conversation, and returns how the write has ended. Whoever cancels this, because
        the visitor is gone, ends the conversation."""
        try:
            self._protocol.connection_made(self)
            connection = self._protocol.connection
            if connection is not None:
                if not self._has_address:
                    connection.auth_ids = tuple(
                        each for each in connection.auth_ids if each.scheme != "ip"
                    )
                self._feed(self._conversation.begin())
            async with asyncio.timeout(TIMEOUT_S):
                reason = await self._ended
        except TimeoutError:
            reason = f"no answer within {TIMEOUT_S:.0f} s"
        finally:
            self.abort()
        return self._conversation.ended(reason)

    # --- called by the client port ----------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        answer = self._conversation.received(bytes(data))
        if answer:
            # Not at once: the server is writing to its clients now.
            self._loop.call_soon(self._feed, answer)
        elif self._conversation.outcome is not None:
            self.close()

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon(self._lost)

    def abort(self) -> None:
        self.close()

    def pause_reading(self) -> None:
        """Does nothing: nothing is sent before the answer to what was sent before."""

    def resume_reading(self) -> None:
        """Does nothing, as nothing was paused."""

    def get_write_buffer_size(self) -> int:
        return 0

    # --- to the client port -----------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        if not self._is_closing:
            self._protocol.data_received(data)

    def _lost(self) -> None:
        self._protocol.connection_lost(None)
        if not self._ended.done():
            self._ended.set_result("the server has closed the connection: it may not serve now")
