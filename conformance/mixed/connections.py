"""A blocking client for servers of the original that sometimes leave a request unanswered.

Shell.

3.8.0 on a busy machine now and then leaves a request, be it a read, where it is until the next one
comes: a thread missed a wake-up.  Real clients ping and never notice.  Nothing of the kind is
forgiven to this project's servers.
"""

from __future__ import annotations

from typing import Final

from conformance.frames import Address, Client, ClosedError, Frame

NUDGE_S: Final = 3.0
PING: Final = -2


class NudgingClient(Client):
    """A client that pings when an answer is late."""

    nudges = 0
    """How many pings were sent by all clients, for the summary."""

    def __init__(self, address: Address, timeout: float = 10.0) -> None:
        super().__init__(address, timeout)
        self.pings_to_drop = 0

    def receive(self, timeout: float | None = None) -> Frame:
        """Returns the next frame that is no answer to such a ping."""
        if timeout is None:
            try:
                return self._receive(NUDGE_S)
            except ClosedError:
                if self.channel.eof:
                    raise
            self.send("ping", xid=PING)
            self.pings_to_drop += 1
            NudgingClient.nudges += 1
        return self._receive(timeout)

    def _receive(self, timeout: float | None) -> Frame:
        while True:
            frame = super().receive(timeout)
            if frame.xid != PING or not self.pings_to_drop:
                return frame
            self.pings_to_drop -= 1
